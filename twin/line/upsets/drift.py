"""A sensor that drifts away from the truth, slowly and steadily, until somebody calibrates it."""

from __future__ import annotations

from typing import Literal

import numpy as np

from shakedown.twin.line.signal_spec import SignalSpec
from shakedown.twin.line.upsets.upset import Distortion, Offer, SignalUpset, Value, fitted, number_problem


class Drift(SignalUpset):
    """A sensor that drifts away from the truth by `rate_per_s` (the vendor's unit a second), until it is calibrated."""

    kind: Literal["drift"]
    rate_per_s: float

    def problem(self, signal: SignalSpec) -> str | None:
        return number_problem(signal)

    def distortion(self, signal: SignalSpec, chance: np.random.Generator) -> Distortion:
        return _Drifting(self.rate_per_s, signal)


class _Drifting(Distortion):
    def __init__(self, rate_per_s: float, signal: SignalSpec) -> None:
        self._rate_per_s, self._signal = rate_per_s, signal

    def show(self, value: Value, elapsed_s: float) -> Offer:
        assert isinstance(value, (int, float))
        return fitted(self._signal, value + self._rate_per_s * elapsed_s), 0
