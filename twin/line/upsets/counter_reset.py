"""A controller that lost its memory: a counter starts again from zero."""

from __future__ import annotations

from typing import Literal

import numpy as np

from shakedown.twin.line.signal_spec import SignalSpec, integer_limits
from shakedown.twin.line.upsets.upset import Distortion, Offer, SignalUpset, Value, counter_problem


class CounterReset(SignalUpset):
    """A controller that lost its memory: counters start again from zero, and go on from there."""

    kind: Literal["counter_reset"]
    lasting = False

    def problem(self, signal: SignalSpec) -> str | None:
        return counter_problem(signal)

    def distortion(self, signal: SignalSpec, chance: np.random.Generator) -> Distortion:
        return _FromZero(integer_limits(signal.type)[1])


class _FromZero(Distortion):
    def __init__(self, mask: int) -> None:
        self._mask = mask
        self._lost: int | None = None

    def show(self, value: Value, elapsed_s: float) -> Offer:
        assert isinstance(value, int)
        if self._lost is None:
            self._lost, self.over = value, True
        return (value - self._lost) & self._mask, 0
