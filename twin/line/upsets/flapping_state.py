"""A state that flaps: the controller shows another state every other half period, whatever the machine does."""

from __future__ import annotations

from typing import Literal

import numpy as np

from shakedown.twin.line.quantities import Seconds
from shakedown.twin.line.signal_spec import SignalSpec
from shakedown.twin.line.states import State
from shakedown.twin.line.upsets.upset import Distortion, Offer, SignalUpset, Value


class FlappingState(SignalUpset):
    """A state that flaps: the controller shows `other` every other half period, whatever the machine does."""

    kind: Literal["flapping_state"]
    other: int = int(State.HELD)
    half_period_s: Seconds = 1.0

    def problem(self, signal: SignalSpec) -> str | None:
        if signal.show != "state":
            return "is not a state - name a signal that shows state"
        if self.other not in set(State):
            known = ", ".join(str(int(state)) for state in State)
            return f"never shows {self.other} - states are {known}"
        return None

    def distortion(self, signal: SignalSpec, chance: np.random.Generator) -> Distortion:
        return _Flap(self)


class _Flap(Distortion):
    def __init__(self, upset: FlappingState) -> None:
        self._upset = upset

    def show(self, value: Value, elapsed_s: float) -> Offer:
        other = int(elapsed_s / self._upset.half_period_s) % 2 == 0
        return self._upset.other if other else value, 0
