"""A disturbed cable: single scans show far more than there is."""

from __future__ import annotations

from typing import Literal

import numpy as np

from shakedown.twin.line.quantities import Fraction
from shakedown.twin.line.signal_spec import SignalSpec
from shakedown.twin.line.upsets.upset import Distortion, Offer, SignalUpset, Value, fitted, number_problem


class Spikes(SignalUpset):
    """A disturbed cable: a `share` of the scans show `height` more than there is (the vendor's unit)."""

    kind: Literal["spikes"]
    height: float
    share: Fraction = 0.05

    def problem(self, signal: SignalSpec) -> str | None:
        return number_problem(signal)

    def distortion(self, signal: SignalSpec, chance: np.random.Generator) -> Distortion:
        return _Spiky(self, signal, chance)


class _Spiky(Distortion):
    def __init__(self, upset: Spikes, signal: SignalSpec, chance: np.random.Generator) -> None:
        self._upset, self._signal, self._chance = upset, signal, chance

    def show(self, value: Value, elapsed_s: float) -> Offer:
        assert isinstance(value, (int, float))
        if self._chance.random() >= self._upset.share:
            return value, 0
        return fitted(self._signal, value + self._upset.height), 0
