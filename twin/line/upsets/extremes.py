"""A controller at its limits: every value that its type can hold, and every status that it may have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np

from shakedown.twin.line.signal_spec import INTEGERS, SignalSpec, integer_limits
from shakedown.twin.line.upsets.upset import Distortion, Offer, SignalUpset, Value

STATUS = {
    "GoodClamped": 0x00300000,
    "GoodLocalOverride": 0x00960000,
    "UncertainInitialValue": 0x40920000,
    "UncertainLastUsableValue": 0x40900000,
    "UncertainSensorNotAccurate": 0x40930000,
    "UncertainEngineeringUnitsExceeded": 0x40940000,
    "UncertainSubNormal": 0x40950000,
    "BadOutOfRange": 0x803C0000,
    "BadConfigurationError": 0x80890000,
    "BadNotConnected": 0x808A0000,
    "BadDeviceFailure": 0x808B0000,
    "BadSensorFailure": 0x808C0000,
    "BadOutOfService": 0x808D0000,
}
"""OPC UA StatusCodes (Part 6, A.2; Part 8, 6.3.2) that a signal goes through."""
LONGEST = 4_096  # characters of a String
DOUBLE = np.finfo(np.float64)
FLOAT = np.finfo(np.float32)


def values(data_type: str) -> Mapping[str, Value]:
    """The values at the limits of an OPC UA type, by name."""
    if data_type == "Boolean":
        return {"false": False, "true": True}
    if data_type == "String":
        return {"empty": "", "not ASCII": "Fülldüse ½ Ω 漢 🏭", "longest": "x" * LONGEST}
    if data_type in INTEGERS:
        least, most = integer_limits(data_type)
        return {"least": least, "greatest": most} | ({"zero": 0} if least else {})
    limits = FLOAT if data_type == "Float" else DOUBLE
    numbers: dict[str, Value] = {
        "least": float(limits.min),
        "greatest": float(limits.max),
        "tiniest": float(limits.smallest_subnormal),
    }
    return numbers | {"NaN": math.nan, "infinity": math.inf, "-infinity": -math.inf, "zero": 0.0}


class Extremes(SignalUpset):
    """A controller at its limits: scan by scan the least and the greatest value of the signal's type, NaN and infinity,
    null, and a dozen statuses; at the end a value that has two statuses, and values less than a millisecond apart."""

    kind: Literal["extremes"]

    def problem(self, signal: SignalSpec) -> str | None:
        return None

    def distortion(self, signal: SignalSpec, chance: np.random.Generator) -> Distortion:
        return _Extreme(signal)


class _Extreme(Distortion):
    def __init__(self, signal: SignalSpec) -> None:
        self._limits: list[Value] = [*values(signal.type).values(), None]
        self._statuses = list(STATUS.values())
        self._turn = 0
        self._again: tuple[Offer, ...] = ()

    def show(self, value: Value, elapsed_s: float) -> Offer:
        turn, self._turn, self._again = self._turn, self._turn + 1, ()
        if turn < len(self._limits):
            return self._limits[turn], 0
        turn -= len(self._limits)
        if turn < len(self._statuses):
            status = self._statuses[turn]
            return (None if status >> 31 else value), status
        if turn == len(self._statuses):
            self._again = (value, STATUS["UncertainLastUsableValue"]), (value, 0)
        return value, 0

    def again(self) -> tuple[Offer, ...]:
        return self._again
