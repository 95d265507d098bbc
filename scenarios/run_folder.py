"""The folder that a run leaves behind: everything that was asked, done, seen and concluded, as one chain of hashes.

A run is written into `<folder>.partial` and gets its name when it is whole, so that no half run reads as a verdict.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import stat
from collections.abc import Collection
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import msgspec

from shakedown.reports import RENDERERS, render
from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.model import to_yaml
from shakedown.scenarios.parts.plan import BRIDGE
from shakedown.scenarios.scenario import Scenario
from shakedown.scenarios.setups import Setup

FORMAT = 1
INPUTS = ("scenario.yaml", "plant.yaml", "site.yaml")
LOGS = (".jsonl", ".log")
NEEDED = ("status", "seed", "clock", "broker", "strict", "python", "versions")
WHOLE_BYTES_MAX = 256 << 20  # of a file that is read as a whole; logs are read line by line
VERSIONS_OF = (
    "shakedown-lab",
    "shakedown-bridge",
    "asyncua",
    "amqtt",
    "paho-mqtt",
    "aiomqtt",
    "simpy",
    "protobuf",
    "numpy",
    "time-machine",
)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """The versions that a run depends on, of Python too."""
    return {name: metadata.version(name) for name in VERSIONS_OF} | {"python": platform.python_version()}


def of_scenario(scenario: Scenario) -> dict[str, Any]:
    """What a manifest says of the scenario."""
    return {
        "scenario": scenario.name,
        "title": scenario.title,
        "warm_up_s": scenario.warm_up_s,
        "duration_s": scenario.duration_s,
        "drain_s": scenario.drain_s,
        "may_be_inconclusive": list(scenario.may_be_inconclusive),
        "only_promised": scenario.only_promised,
    }


def claim(final: Path) -> Path:
    """Make the folder `<final>.partial`, where something is written before it gets the name `final`.

    Raises UsageError when the place is taken or cannot be written.
    """
    partial = final.with_name(final.name + ".partial")
    for taken in (final, partial):
        if taken.exists():
            raise UsageError(f"The run folder {taken} exists already, and a run never overwrites another. Give "
                             f"another --out, or remove it: rm -r {taken}")  # fmt: skip
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        at = error.filename or partial
        raise UsageError(f"The run folder {final} cannot be made: {at}: {error.strerror}. Give another "
                         "--out.") from None  # fmt: skip
    return partial


class _Several(msgspec.Struct):
    """Which of a run's bridges a folder is of, and where the others are."""

    bridge: str
    bridges: dict[str, dict[str, str]]


class _Manifest(msgspec.Struct):
    """The facts of a manifest that others rely on: theirs is the type, whatever else stands there."""

    status: str
    seed: int
    clock: str
    broker: str
    strict: bool
    python: str
    versions: dict[str, str]
    title: str = ""
    scenario: str = ""
    asked: dict[str, Any] = {}
    run: _Several | None = None
    configuration_sha256: dict[str, str] = {}
    start_ns: Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)] = 0


class RunFolder:
    """One run's folder while it is written. Raises UsageError when the place is taken or cannot be written."""

    def __init__(self, final: Path) -> None:
        self.final = final
        self.path = claim(final)

    def ask(
        self,
        setup: Setup,
        *,
        seed: int,
        clock: str,
        broker: str,
        strict: bool,
        bridge: dict[str, Any] | None = None,
        asked: dict[str, Any] | None = None,
    ) -> None:
        """Write the inputs and the manifest of a run that begins; `asked` are the words that a command would have."""
        for name in INPUTS:
            (self.path / name).write_text(
                to_yaml(setup.documents[name.removesuffix(".yaml")]), encoding="utf-8"
            )
        self._manifest = {
            "format": FORMAT,
            "status": "running",
            **of_scenario(setup.scenario),
            "plant": setup.plant.plant,
            "seed": seed,
            "clock": clock,
            "broker": broker,
            "strict": strict,
            "python": platform.python_version(),
            "versions": {name: metadata.version(name) for name in VERSIONS_OF},
            **({"bridge": bridge} if bridge is not None else {}),
            "asked": asked or {},
            "configuration_sha256": {name: file_sha256(self.path / name) for name in INPUTS},
        }
        self.note()

    def note(self, **facts: Any) -> None:
        """Add facts to the manifest."""
        self._manifest |= facts
        new = self.path / "manifest.json.new"  # so that a full disk never leaves half a manifest
        new.write_text(json.dumps(self._manifest, indent=1) + "\n", encoding="utf-8")
        new.replace(self.path / "manifest.json")

    def fail(self, fault: str) -> None:
        """Note that the lab failed; where not even that can be written, the folder loses its manifest."""
        try:
            self.note(status="harness fault", fault=fault)
        except OSError:
            (self.path / "manifest.json.new").unlink(missing_ok=True)
            (self.path / "manifest.json").unlink(missing_ok=True)

    def seal(self) -> None:
        """Chain the evidence and write the reports, which follow from it."""
        write_chain(self.path, RENDERERS)
        render(self.path)

    def finish(self) -> Path:
        """Give the folder its name."""
        self.path.rename(self.final)
        return self.final

    def discard(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.path, ignore_errors=True)


def write_chain(folder: Path, derived: Collection[str]) -> None:
    """Write chain.json: each file's SHA-256, and the chain over them (h = SHA-256(0x01 | h before | name | hash)).

    The `derived` follow from the other files, show the head, and so are not part of it.
    """
    names = sorted(_files(folder) - set(derived))
    files = {name: file_sha256(folder / name) for name in names}
    chain = {"format": FORMAT, "files": files, "head": _head(files)}
    (folder / "chain.json").write_text(json.dumps(chain, indent=1) + "\n", encoding="utf-8")


def _files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.is_dir() and path.name != "chain.json"}


def _head(files: dict[str, str]) -> str:
    head = b""
    for name, digest in files.items():
        head = hashlib.sha256(b"\x01" + head + name.encode() + bytes.fromhex(digest)).digest()
    return head.hex()


def chain_head(folder: Path) -> str:
    """The head of the folder's chain, as chain.json says; empty where it does not."""
    try:
        return str(json.loads((folder / "chain.json").read_bytes())["head"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def chain_problems(folder: Path, derived: Collection[str]) -> list[str]:
    """What does not fit the folder's chain.json, in plain words; folders inside are not part of it."""
    try:
        chain = json.loads((folder / "chain.json").read_text(encoding="utf-8"))
        files: dict[str, str] = dict(chain["files"])
        fits = chain["head"] == _head(files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return [f"chain.json cannot be read: {error}"]
    found = _files(folder)
    problems = [f"{name} is missing" for name in sorted((files.keys() | set(derived)) - found)]
    problems += [f"{name} is not part of the run" for name in sorted(found - files.keys() - set(derived))]
    problems += [
        f"{name} was changed"
        for name in sorted(found & files.keys())
        if file_sha256(folder / name) != files[name]
    ]
    if not fits:
        problems.append("chain.json was changed: its head does not follow from its files")
    return problems


def strange_files(folder: Path) -> list[str]:
    """What no run writes and what is not to be opened: links that lead elsewhere, pipes, devices, boundless files."""
    problems = []
    for path in sorted(folder.iterdir()):
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            problems.append(f"{path.name} is a link: what it leads to is not in the folder")
        elif not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            problems.append(f"{path.name} is not a file, but a pipe, a socket or a device")
        elif stat.S_ISREG(found.st_mode) and path.suffix not in LOGS and found.st_size > WHOLE_BYTES_MAX:
            problems.append(
                f"{path.name} is larger than {WHOLE_BYTES_MAX:,} bytes, as none that a run writes"
            )
    return problems


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run folder. Raises UsageError when there is none."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise UsageError(
                f"{folder}: its manifest has format {manifest['format']!r}, this version reads {FORMAT}. Use the "
                "version of Shakedown that wrote it."
            )
        if missing := [name for name in NEEDED if name not in manifest]:
            raise UsageError(f"{folder / 'manifest.json'} lacks {', '.join(missing)}: it was changed, or is no "
                             "manifest of a run.")  # fmt: skip
        msgspec.convert(manifest, _Manifest)
        return dict(manifest)
    except FileNotFoundError:
        raise UsageError(f"{folder} is not a run folder: it has no manifest.json. Give the folder that a run printed "
                         "at its end.") from None  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{folder / 'manifest.json'} is not the manifest of a run ({error}). Give the folder that a "
                         "run printed at its end.") from None  # fmt: skip


def bridges_of(folder: Path, manifest: dict[str, Any]) -> dict[str, Path]:
    """The run folders of all bridges of the run that `folder` is of, by bridge; of a run with one, itself.

    Raises UsageError when one is not there any more.
    """
    bridges = manifest.get("run", {}).get("bridges", {})
    found = {name: folder.parent / Path(entry["folder"]).name for name, entry in bridges.items()}
    if gone := [str(path) for path in found.values() if not path.is_dir()]:
        raise UsageError(f"{folder} is of a run with {len(found)} bridges, which are repeated together, and "
                         f"{', '.join(gone)} is not there. Give one in the folder that the run wrote.")  # fmt: skip
    return found or {BRIDGE: folder}
