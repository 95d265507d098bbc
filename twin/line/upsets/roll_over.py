"""A counter of 16 or 32 bits that is about to roll over: it has been counting for a long time already."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from shakedown.twin.line.quantities import SecondsOrNone, within
from shakedown.twin.line.signal_spec import INTEGERS, SignalSpec
from shakedown.twin.line.upsets.upset import Distortion, Offer, SignalUpset, Value, counter_problem


class RollOver(SignalUpset):
    """A counter of 16 or 32 bits that has been counting for long: it starts `left` parts before it rolls over to 0.

    It can only strike at the line's start, for later it would make the counter jump; it ends with the roll-over.
    """

    kind: Literal["roll_over"]
    lasting = False
    at_s: list[SecondsOrNone] = Field(default=[0.0])
    bits: Literal[16, 32]
    left: Annotated[int, within(1, 65_536, "parts until the counter rolls over")]

    @model_validator(mode="after")
    def _at_the_start(self) -> RollOver:
        if self.at_s not in ([], [0.0]) or self.per_hour:
            raise ValueError(
                "a counter cannot begin to be old later on - leave out at_s and per_hour; choose `left` instead"
            )
        return self

    def problem(self, signal: SignalSpec) -> str | None:
        if problem := counter_problem(signal):
            return problem
        if INTEGERS[signal.type] < self.bits:
            return f"has no {self.bits} bits, its type is {signal.type} - choose fewer bits or a wider type"
        return None

    def distortion(self, signal: SignalSpec, chance: np.random.Generator) -> Distortion:
        return _Old(self.bits, self.left)


class _Old(Distortion):
    def __init__(self, bits: int, left: int) -> None:
        self._mask = (1 << bits) - 1
        self._left = left

    def show(self, value: Value, elapsed_s: float) -> Offer:
        assert isinstance(value, int)
        self.over = value >= self._left
        return (value - self._left) & self._mask, 0
