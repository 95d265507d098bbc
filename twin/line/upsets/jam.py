"""A jam: the machine stands at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from shakedown.twin.line.upsets.upset import MachineUpset

if TYPE_CHECKING:
    from shakedown.twin.line.plant import FailureMode


class Jam(MachineUpset):
    """A jam: a failure without any warning; the machine stands in its next cycle."""

    kind: Literal["jam"]

    def mode_problem(self, mode: FailureMode) -> str | None:
        return "develops over time - a jam comes at once; leave out develops" if mode.develops else None
