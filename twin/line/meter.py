"""The electricity meter of a machine."""

from __future__ import annotations

from shakedown.twin.line.master_data import Energy
from shakedown.twin.line.randomness import MS_PER_S
from shakedown.twin.line.states import State


class Meter:
    """Adds up what a machine draws, in its states and for each part; exact, for states change at known moments."""

    def __init__(self, spec: Energy | None) -> None:
        self._spec = spec or Energy(run_kw=0)
        self._since_ms = 0
        self._kw = self._spec.idle_kw
        self._kj = 0.0
        self._read_kj = 0.0

    def enter(self, state: State, now_ms: int) -> None:
        """The machine goes over to another state."""
        self._kj = self.read_kj(now_ms)
        self._since_ms = now_ms
        self._kw = self._spec.run_kw if state is State.EXECUTE else self._spec.idle_kw

    def part(self) -> None:
        """The machine has worked on one part."""
        self._kj += self._spec.per_part_kj

    def read_kj(self, now_ms: int) -> float:
        """Energy used so far."""
        return self._kj + self._kw * (now_ms - self._since_ms) / MS_PER_S

    def mean_kw(self, now_ms: int, elapsed_ms: int) -> float:
        """Mean power since the last call; before any time has passed the power of the state."""
        if not elapsed_ms:
            return self._kw
        before, self._read_kj = self._read_kj, self.read_kj(now_ms)
        return (self._read_kj - before) * MS_PER_S / elapsed_ms
