"""A drive that follows its set-point no faster than its ramp allows."""

from __future__ import annotations

from shakedown.twin.line.randomness import MS_PER_S


class Ramp:
    """A value that moves towards a target; from 0 to 1 takes `ramp_s`, which may be 0."""

    def __init__(self, ramp_s: float) -> None:
        self._ramp_ms = ramp_s * MS_PER_S
        self.value = 0.0

    def move(self, target: float, elapsed_ms: int) -> float:
        """Where the drive is after `elapsed_ms` on its way to `target`."""
        way = target - self.value
        if way:
            reach = elapsed_ms / self._ramp_ms if self._ramp_ms else abs(way)
            self.value += max(-reach, min(reach, way))
        return self.value
