"""Repeats a virtual run from its folder and says whether it came out the same, byte for byte."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from shakedown.scenarios.bridges.choice import choose
from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.model import set_up_again
from shakedown.scenarios.run_folder import bridges_of, file_sha256, read_manifest
from shakedown.scenarios.runner import Request, accept_each

COMPARED = (
    "ledger.jsonl",
    "broker.jsonl",
    "observer.jsonl",
    "host.jsonl",
    "timeline.jsonl",
    "server.json",
    "verdict.json",
)
OF_A_SHIFT = ("people.jsonl", "cmms.jsonl")  # compared where the run has them


@dataclass(frozen=True)
class Replay:
    """What differs between a run and its repetition; nothing when they are the same."""

    trace_before: str
    trace_now: str
    differing: tuple[str, ...]
    other_versions: tuple[str, ...]
    folders: tuple[Path, ...]  # of all bridges of the run: they were repeated together

    @property
    def same(self) -> bool:
        return self.trace_before == self.trace_now and not self.differing


def replay(folder: Path, console: Console, which: str = "") -> Replay:
    """Run the inputs and seed of `folder` again in virtual time and compare; `which` of several replays this is.

    Raises UsageError where that cannot be.
    """
    manifest = read_manifest(folder)
    if manifest["status"] != "complete":
        raise UsageError(
            f"{folder}: the run's status is {manifest['status']!r}, and only a complete run can be replayed. Run it "
            "again: shakedown accept with the same options."
        )
    if manifest["clock"] == "wall" or manifest["broker"] != "embedded":
        raise UsageError(f"{folder}: a run on clock {manifest['clock']} with broker {manifest['broker']} happened in "
                         "the real world once and cannot be repeated; only virtual and paced runs with the embedded "
                         "broker can. Repeat the drill instead: shakedown accept with the same options.")  # fmt: skip
    beside = bridges_of(folder, manifest)
    for place in beside.values():
        if missing := [name for name in COMPARED if not (place / name).is_file()]:
            raise UsageError(f"{place} lacks {', '.join(missing)}, so there is nothing to compare with. Give a run "
                             "folder as it was written; shakedown verify says what became of this one.")  # fmt: skip
    setup = set_up_again(folder, beside)
    with tempfile.TemporaryDirectory(prefix="shakedown-replay-") as scratch:
        bridge = choose((manifest.get("bridge") or {}).get("name", "ours"))
        out = Path(scratch) / "run"
        request = Request(setup, out, seed=manifest["seed"], strict=manifest["strict"], bridge=bridge)
        outcomes = accept_each(request, console, which=which)
        differing = tuple(
            f"{place.name}/{name}" if len(beside) > 1 else name
            for bridge_name, place in beside.items()
            for name in _differing(place, outcomes[bridge_name].folder)
        )
        outcome = next(iter(outcomes.values()))
        again = read_manifest(outcome.folder)
        versions = again["versions"] | {"python": again["python"]}
    before = manifest["versions"] | {"python": manifest["python"]}
    other = tuple(
        f"{name} {before.get(name)} -> {now}" for name, now in versions.items() if before.get(name) != now
    )
    return Replay(
        manifest["trace_sha256"], outcome.facts["trace_sha256"], differing, other, tuple(beside.values())
    )


def _differing(before: Path, again: Path) -> list[str]:
    compared = [*COMPARED, *(name for name in OF_A_SHIFT if (before / name).exists())]
    return [name for name in compared if file_sha256(before / name) != file_sha256(again / name)]
