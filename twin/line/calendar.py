"""The shift calendar: when the line is meant to work, and why it does not at other times."""

from __future__ import annotations

from collections.abc import Sequence

import simpy

from shakedown.twin.line.master_data import Shift
from shakedown.twin.line.process import LINE, Process, Record
from shakedown.twin.line.randomness import MS_PER_S
from shakedown.twin.line.states import StopReason


class Calendar:
    """Shifts and breaks as a SimPy process (`run`); a line without shifts works always.

    A machine asks before each cycle: it ends the one that it is in. Repairs and changeovers go on through a break.
    """

    def __init__(self, shifts: Sequence[Shift], env: simpy.Environment, record: Record) -> None:
        self._shifts = shifts
        self._env = env
        self._record = record
        self._opens = env.event()
        self.is_open = not shifts
        self.reason = StopReason.OFF_SHIFT

    def run(self) -> Process:
        """Go through shifts and breaks."""
        for shift in self._shifts:
            yield from self._until(shift.begins_s)
            self._record("shift", LINE, {"phase": "start", "name": shift.name})
            self._open()
            for pause in shift.breaks:
                yield from self._until(pause.begins_s)
                self._close(StopReason.BREAK)
                self._record("break", LINE, {"phase": "start", "name": pause.name})
                yield from self._until(pause.ends_s)
                self._record("break", LINE, {"phase": "end", "name": pause.name})
                self._open()
            yield from self._until(shift.ends_s)
            self._close(StopReason.OFF_SHIFT)
            self._record("shift", LINE, {"phase": "end", "name": shift.name})

    def opens(self) -> simpy.Event:
        """The event of work going on, while it is not open."""
        return self._opens

    def _open(self) -> None:
        self.is_open = True
        self._opens.succeed()

    def _close(self, reason: StopReason) -> None:
        self.is_open = False
        self.reason = reason
        self._opens = self._env.event()

    def _until(self, moment_s: float) -> Process:
        left_ms = round(moment_s * MS_PER_S) - self._env.now
        if left_ms > 0:
            yield self._env.timeout(left_ms)
