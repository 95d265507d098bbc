"""What every upset is: data in a plant file, when it strikes, and what it does to a signal or a machine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from shakedown.twin.line.quantities import Name, Seconds, SecondsOrNone, Spec, within
from shakedown.twin.line.signal_spec import COUNTERS, INTEGERS, SignalSpec
from shakedown.twin.line.specs import FailureMode

Value = bool | int | float | str | None
Offer = tuple[Value, int]
"""A value and its OPC UA StatusCode (0 is Good)."""

PER_HOUR_MAX = 3_600
MEASURED = ("Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float", "Double")


class Distortion(ABC):
    """What one signal shows while an upset lasts; `over` once an upset without a duration has had its effect."""

    over = False

    @abstractmethod
    def show(self, value: Value, elapsed_s: float) -> Offer | None:
        """What is offered instead of the true `value`, so long after the onset; None: nothing at all."""

    def again(self) -> tuple[Offer, ...]:
        """What is offered besides within the same scan, one after the other."""
        return ()


class Upset(Spec, ABC):
    """One upset of a plant: it strikes at the times `at_s`, `per_hour` times an hour by chance, and when triggered."""

    kind: str
    at_s: list[SecondsOrNone] = Field(default=[], description="Seconds since the line's start")
    per_hour: Annotated[float, within(0, PER_HOUR_MAX, "a hazard rate, strikes an hour")] = 0.0


class SignalUpset(Upset):
    """An upset of sensors: for `lasts_s` its signals show something else than what is."""

    lasting: ClassVar[bool] = True  # whether it ends after `lasts_s`

    signals: list[str] = Field(min_length=1, description="<owner>.<signal>, or an owner: all of its signals")
    lasts_s: Seconds = 60.0

    @abstractmethod
    def problem(self, signal: SignalSpec) -> str | None:
        """Why this upset cannot befall the signal (`what - remedy`), or None."""

    @abstractmethod
    def distortion(self, signal: SignalSpec, chance: np.random.Generator) -> Distortion:
        """What the signal shows from now on."""


class MachineUpset(Upset):
    """An upset that makes a machine fail in one of its failure modes: a true fault."""

    machine: Name
    mode: Name

    @abstractmethod
    def mode_problem(self, mode: FailureMode) -> str | None:
        """Why this upset cannot set off the failure mode (`what - remedy`), or None."""


def number_problem(signal: SignalSpec) -> str | None:
    """Why a signal is no measured quantity, or None."""
    if signal.show is not None or signal.type not in MEASURED:
        return "is not a measured quantity - name a signal with a response or a totaliser"
    return None


def counter_problem(signal: SignalSpec) -> str | None:
    """Why a signal is no counter, or None."""
    if signal.show not in COUNTERS:
        return f"is not a counter - name a signal that shows {', '.join(COUNTERS)}"
    return None


def fitted(signal: SignalSpec, number: float) -> float | int:
    """A number as the sensor can show it: within its range, in steps of its resolution, of its type."""
    low, high = signal.range or (-np.inf, np.inf)
    source = signal.response or signal.totaliser
    steps = 1.0 / source.resolution if source is not None else 1.0
    shown = round(min(max(number, low), high) * steps) / steps + 0.0  # no negative zero
    if signal.type in INTEGERS:
        return int(shown)
    return float(np.float32(shown)) if signal.type == "Float" else shown
