"""What the reports know of a run: its manifest, its scenario and its verdict, as they stand in the run folder."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from shakedown.acceptance.files import read_yaml
from shakedown.acceptance.verdict import Verdict
from shakedown.acceptance.verdict_file import read_verdict

HEADLINES = {
    "PASS": "The bridge passed.",
    "FAIL": "The bridge failed.",
    "INCONCLUSIVE": "There is not enough evidence for a verdict.",
    "HARNESS_FAULT": "The lab itself failed: this says nothing about the bridge.",
}
WORDS = {
    "PASS": "PASS",
    "FAIL": "FAIL",
    "INCONCLUSIVE": "INCONCLUSIVE",
    "HARNESS_FAULT": "HARNESS FAULT",
    "NOT_APPLICABLE": "NOT APPLICABLE",
}


@dataclass(frozen=True)
class RunFacts:
    """One finished run, read from its folder."""

    folder: Path
    manifest: dict[str, Any]
    verdict: Verdict

    @property
    def headline(self) -> str:
        return HEADLINES[self.verdict.verdict]

    @cached_property
    def description(self) -> str:
        """What the scenario says of itself; empty if nothing."""
        text = (read_yaml(self.folder / "scenario.yaml", []) or {}).get("description")
        return " ".join(text.split()) if isinstance(text, str) else ""

    @cached_property
    def head(self) -> str:
        """The head of the run's chain of evidence, which everything else follows from; empty if it has none."""
        try:
            return str(json.loads((self.folder / "chain.json").read_bytes())["head"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    @property
    def took_s(self) -> dict[str, Any]:
        """Seconds of real time: `run`, `judge`, and of that each of the `criteria`; nothing where it is not known."""
        found = self.manifest.get("took_s")
        return found if isinstance(found, dict) else {}

    @property
    def command(self) -> str:
        """What repeats this run from the command line."""
        asked = {"scenario": self.manifest["scenario"], "bridge": self.verdict.bridge.name}
        asked |= self.manifest.get("asked", {})
        named, bridge = asked.pop("scenario"), asked.pop("bridge")
        options = {name: self.manifest[name] for name in ("clock", "seed", "broker", "strict")}
        return accept_command(
            [named], bridge=bridge if "bridge" in self.manifest else "ours", **options, **asked
        )


def accept_command(
    named: Sequence[str],
    *,
    clock: str,
    seed: int,
    broker: str,
    strict: bool,
    bridge: str = "ours",
    toxiproxy: str | None = None,
    duration_s: float | None = None,
) -> str:
    """The command that asks for a run, or a suite, once more; `named` is what selects it."""
    parts = ["shakedown", "accept", *named, "--seed", str(seed)]
    parts += ["--clock", clock] if clock != "virtual" else []
    parts += ["--broker", broker] if broker != "embedded" else []
    parts += ["--bridge", bridge] if bridge != "ours" else []
    parts += ["--toxiproxy", toxiproxy] if toxiproxy else []
    parts += ["--strict"] if strict else []
    parts += ["--duration", f"{duration_s:g}"] if duration_s is not None else []
    return shlex.join(parts)


def read_facts(folder: Path) -> RunFacts:
    """Read a run folder. Raises OSError or ValueError when a file is missing or is not what it should be."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return RunFacts(folder, manifest, read_verdict(folder / "verdict.json"))
