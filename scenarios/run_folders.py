"""The run folders of one run: one for each bridge, whole and by itself, nothing pooled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shakedown.scenarios.run_folder import RunFolder
from shakedown.scenarios.setups import Setup


def place_of(out: Path, setup: Setup, bridge: str) -> Path:
    """Where the run of a bridge belongs: at `out`, or beside it under the bridge's name where there are several."""
    return out.with_name(f"{out.name}.{bridge}") if setup.others else out


class RunFolders:
    """The folders of a run while they are written. Raises UsageError when a place is taken or cannot be written."""

    def __init__(self, out: Path, setup: Setup) -> None:
        self.of: dict[str, RunFolder] = {}
        try:
            for bridge in setup.bridges:
                self.of[bridge] = RunFolder(place_of(out, setup, bridge))
        except BaseException:
            self.discard()
            raise

    @property
    def paths(self) -> dict[str, Path]:
        """Where each bridge's run is written."""
        return {bridge: folder.path for bridge, folder in self.of.items()}

    def ask(self, setup: Setup, **asked: Any) -> None:
        """Write the inputs and the manifest of each bridge's run; with several, who else was in it."""
        for bridge, one in setup.bridges.items():
            self.of[bridge].ask(one, **asked)
            if setup.others:
                self.of[bridge].note(run={"bridge": bridge, "bridges": self._bridges(setup)})

    def _bridges(self, setup: Setup) -> dict[str, dict[str, str]]:
        return {
            bridge: {"folder": self.of[bridge].final.name, "edge": one.edge, "broker": one.broker}
            for bridge, one in setup.bridges.items()
        }

    def note(self, facts: Mapping[str, Mapping[str, Any]]) -> None:
        """Add facts to the manifest of each."""
        for bridge, folder in self.of.items():
            folder.note(**facts[bridge])

    def fail(self, fault: str) -> Path:
        """Note that the lab failed; the first folder with what was seen until then."""
        for folder in self.of.values():
            folder.fail(fault)
        return next(iter(self.of.values())).path

    def discard(self) -> None:
        """Leave nothing behind."""
        for folder in self.of.values():
            folder.discard()
