"""A bearing that wears out: the machine works on while it shows more and more, until it fails."""

from __future__ import annotations

from typing import Literal

from shakedown.twin.line.specs import FailureMode
from shakedown.twin.line.upsets.upset import MachineUpset


class BearingWear(MachineUpset):
    """A bearing that wears out: a failure that shows itself first, and may be repaired before it stops the machine."""

    kind: Literal["bearing_wear"]

    def mode_problem(self, mode: FailureMode) -> str | None:
        return None if mode.develops else "comes at once - wear takes its time; give develops"
