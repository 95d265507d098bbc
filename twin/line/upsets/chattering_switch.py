"""A switch that bounces: a Boolean shows the opposite of what is, every other half period."""

from __future__ import annotations

from typing import Literal

import numpy as np

from shakedown.twin.line.quantities import Seconds
from shakedown.twin.line.signal_spec import SignalSpec
from shakedown.twin.line.upsets.upset import Distortion, Offer, SignalUpset, Value


class ChatteringSwitch(SignalUpset):
    """A switch that bounces: a Boolean shows the opposite of what is, every other half period."""

    kind: Literal["chattering_switch"]
    half_period_s: Seconds = 2.0

    def problem(self, signal: SignalSpec) -> str | None:
        return None if signal.type == "Boolean" else "is not a switch - name a signal of type Boolean"

    def distortion(self, signal: SignalSpec, chance: np.random.Generator) -> Distortion:
        return _Chatter(self.half_period_s)


class _Chatter(Distortion):
    def __init__(self, half_period_s: float) -> None:
        self._half_period_s = half_period_s

    def show(self, value: Value, elapsed_s: float) -> Offer:
        opposite = int(elapsed_s / self._half_period_s) % 2 == 0
        return not value if opposite else value, 0
