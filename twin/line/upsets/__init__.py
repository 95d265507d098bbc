"""The upsets that a plant can name: one file each, one row each in this table."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shakedown.twin.line.upsets.bearing_wear import BearingWear
from shakedown.twin.line.upsets.chattering_switch import ChatteringSwitch
from shakedown.twin.line.upsets.counter_reset import CounterReset
from shakedown.twin.line.upsets.drift import Drift
from shakedown.twin.line.upsets.drop_out import DropOut
from shakedown.twin.line.upsets.extremes import Extremes
from shakedown.twin.line.upsets.flapping_state import FlappingState
from shakedown.twin.line.upsets.jam import Jam
from shakedown.twin.line.upsets.noisy_sensor import NoisySensor
from shakedown.twin.line.upsets.roll_over import RollOver
from shakedown.twin.line.upsets.spikes import Spikes
from shakedown.twin.line.upsets.stuck import Stuck
from shakedown.twin.line.upsets.trip import Trip
from shakedown.twin.line.upsets.upset import MachineUpset, SignalUpset, Upset

UPSETS: tuple[type[Upset], ...] = (
    ChatteringSwitch,
    NoisySensor,
    Drift,
    Stuck,
    Spikes,
    DropOut,
    CounterReset,
    RollOver,
    Jam,
    BearingWear,
    Trip,
    FlappingState,
    Extremes,
)

AnyUpset = Annotated[
    ChatteringSwitch | NoisySensor | Drift | Stuck | Spikes | DropOut | CounterReset | RollOver | Jam | BearingWear
    | Trip | FlappingState | Extremes,
    Field(discriminator="kind"),
]  # fmt: skip

__all__ = ["UPSETS", "AnyUpset", "DropOut", "MachineUpset", "SignalUpset", "Trip", "Upset"]
