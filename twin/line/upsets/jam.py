"""A jam: the machine stands at once."""

from __future__ import annotations

from typing import Literal

from shakedown.twin.line.specs import FailureMode
from shakedown.twin.line.upsets.upset import MachineUpset


class Jam(MachineUpset):
    """A jam: a failure without any warning; the machine stands in its next cycle."""

    kind: Literal["jam"]

    def mode_problem(self, mode: FailureMode) -> str | None:
        return "develops over time - a jam comes at once; leave out develops" if mode.develops else None
