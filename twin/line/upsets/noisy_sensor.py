"""A sensor that is off and noisy: what it shows wanders to and fro across a limit, and follows what is measured."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np

from shakedown.twin.line.quantities import Size, within
from shakedown.twin.line.signal_spec import SignalSpec
from shakedown.twin.line.upsets.upset import Distortion, Offer, SignalUpset, Value, fitted, number_problem


class NoisySensor(SignalUpset):
    """A sensor that is off by so much that it shows `limit` at the onset, plus noise correlated from scan to scan.

    From there on it follows what it measures. `limit` and `noise` (its deviation) are in the vendor's unit;
    `correlation` is that of one scan with the next (AR(1)), the noise against which a delay helps less than against
    white noise.
    """

    kind: Literal["noisy_sensor"]
    limit: float
    noise: Size
    correlation: Annotated[float, within(0, 0.999, "correlation of neighbouring scans, less than 1")] = 0.0

    def problem(self, signal: SignalSpec) -> str | None:
        if signal.range and not signal.range[0] <= self.limit <= signal.range[1]:
            return (
                f"cannot show limit {self.limit:g}, its range is {signal.range} - choose one inside the range"
            )
        return number_problem(signal)

    def distortion(self, signal: SignalSpec, chance: np.random.Generator) -> Distortion:
        return _Wander(self, signal, chance)


class _Wander(Distortion):
    def __init__(self, upset: NoisySensor, signal: SignalSpec, chance: np.random.Generator) -> None:
        self._upset, self._signal, self._chance = upset, signal, chance
        self._fresh = math.sqrt(1 - upset.correlation**2)  # keeps the deviation what it is
        self._at = chance.standard_normal()
        self._off: float | None = None  # from the onset on

    def show(self, value: Value, elapsed_s: float) -> Offer:
        assert isinstance(value, (int, float))
        if self._off is None:
            self._off = self._upset.limit - value
        offer = fitted(self._signal, value + self._off + self._upset.noise * self._at), 0
        self._at = self._upset.correlation * self._at + self._fresh * self._chance.standard_normal()
        return offer
