"""A drop-out: signals are Bad (broken wire, dead module), or fall silent (a controller that says nothing at all)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from shakedown.twin.line.signal_spec import SignalSpec
from shakedown.twin.line.upsets.upset import Distortion, Offer, SignalUpset, Value

Status = Literal["BadNotConnected", "BadDeviceFailure", "BadSensorFailure", "BadOutOfService"]
STATUS = {
    "BadNotConnected": 0x808A0000,
    "BadDeviceFailure": 0x808B0000,
    "BadSensorFailure": 0x808C0000,
    "BadOutOfService": 0x808D0000,
}
"""OPC UA StatusCodes (Part 6, A.2) of a drop-out."""


class DropOut(SignalUpset):
    """A drop-out: signals have no value and this `status`, or nothing at all is offered of them (`status: silent`)."""

    kind: Literal["drop_out"]
    status: Status | Literal["silent"] = "BadSensorFailure"

    def problem(self, signal: SignalSpec) -> str | None:
        return None

    def distortion(self, signal: SignalSpec, chance: np.random.Generator) -> Distortion:
        return _Gone(None if self.status == "silent" else (None, STATUS[self.status]))


class _Gone(Distortion):
    def __init__(self, offer: Offer | None) -> None:
        self._offer = offer

    def show(self, value: Value, elapsed_s: float) -> Offer | None:
        return self._offer
