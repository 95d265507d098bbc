"""A sensor that is stuck: it goes on showing, as Good, what it showed last."""

from __future__ import annotations

from typing import Literal

import numpy as np

from shakedown.twin.line.signal_spec import SignalSpec
from shakedown.twin.line.upsets.upset import Distortion, Offer, SignalUpset, Value


class Stuck(SignalUpset):
    """A sensor that is stuck: it goes on showing, as Good, what it showed at the onset."""

    kind: Literal["stuck"]

    def problem(self, signal: SignalSpec) -> str | None:
        return None

    def distortion(self, signal: SignalSpec, chance: np.random.Generator) -> Distortion:
        return _Held()


class _Held(Distortion):
    def __init__(self) -> None:
        self._held: list[Value] = []

    def show(self, value: Value, elapsed_s: float) -> Offer:
        self._held = self._held or [value]
        return self._held[0], 0
