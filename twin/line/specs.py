"""Products, orders, machines, conveyors and reservoirs of a plant file; impossible physics is refused here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from shakedown.twin.line.master_data import Energy
from shakedown.twin.line.quantities import (
    Amount,
    Duration,
    Fraction,
    Name,
    Seconds,
    SecondsOrNone,
    Size,
    Spec,
    within,
)
from shakedown.twin.line.states import CAUSE_CODE_MIN

Code = Annotated[int, within(CAUSE_CODE_MIN, 65_535, f"codes below {CAUSE_CODE_MIN} are the line's own")]


class Product(Spec):
    """A product and what it asks of the machines."""

    label: str = Field(min_length=1, max_length=64, description="Name shown by the machines")
    volume_l: Annotated[float, within(0.01, 30, "the content of one bottle in litres")] = (
        0.0  # filled with nothing
    )
    load: Annotated[float, within(0.1, 10, "1 is the load of an ordinary product")] = 1.0
    cycle_factor: Annotated[float, within(0.2, 5, "1 is the machine's own cycle time")] = 1.0


class Order(Spec):
    """So many bottles of a product; without an `id` the line numbers its orders."""

    id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_\-]+$", max_length=64)
    product: str
    quantity: Annotated[int, within(1, 1e9, "a whole number of bottles")]


class Stoppage(Spec):
    """A small stop: halts a machine after so much time spent working (`between`), until an operator clears it."""

    cause: str = Field(min_length=1, max_length=80)
    code: Code
    between: Duration
    lasts: Duration


class FailureMode(Spec):
    """One way in which a machine fails: after `mtbf` of working time it begins, and stops the machine.

    With `develops` the machine works on for that working time while the deviation grows: the driver
    `<machine>.<mode>` goes from 0 to 1, and what it drives shows the failure before it stops the machine. A repair
    takes `mttr`; where `maintenance` is needed, it is the crew that repairs.
    """

    cause: str = Field(min_length=1, max_length=80)
    code: Code
    mtbf: Duration
    mttr: Duration
    develops: Duration | None = None
    critical: bool = False
    maintenance: bool = False
    alarms: list[str] = Field(default=[], description="Alarms of site.yaml that tell of this failure")
    response_s: Seconds = 300.0


class SpeedLoss(Spec):
    """Something that makes a machine slower for a while: its cycle takes `factor` times as long. Working times."""

    cause: str = Field(min_length=1, max_length=80)
    factor: Annotated[float, within(1, 10, "1 is the machine's own cycle time")]
    between: Duration
    lasts: Duration


class MachineSpec(Spec):
    """A machine that takes `batch` parts, works on them for one cycle and hands them on, or rejects them.

    Of the rejected parts `rework_share` go through the machine once more.
    """

    cycle: Duration
    batch: Annotated[int, within(1, 1_000, "parts that are worked on together")] = 1
    reject_rate: Annotated[float, within(0, 0.5, "the fraction of parts rejected")] = 0.0
    rework_share: Fraction = 0.0
    ramp_s: SecondsOrNone = 0.0
    starved_after_s: SecondsOrNone = 3.0
    blocked_after_s: SecondsOrNone = 3.0
    changeover: Duration | None = None
    stoppages: list[Stoppage] = Field(default_factory=list)
    failures: dict[Name, FailureMode] = Field(default_factory=dict)
    speed_losses: list[SpeedLoss] = Field(default_factory=list)
    energy: Energy | None = None


class ConveyorSpec(Spec):
    """A belt between two machines: room for `capacity` parts, each of which travels `transit_s` from end to end."""

    capacity: Annotated[int, within(1, 100_000, "a belt holds at least one part")]
    transit_s: SecondsOrNone = 0.0
    ramp_s: SecondsOrNone = 0.0


class Use(Spec):
    """What a machine draws from a reservoir: for each part it hands on, each litre in it, each second of work."""

    per_part: Amount = 0.0
    per_litre: Amount = 0.0
    per_run_s: Amount = 0.0


class ReservoirSpec(Spec):
    """Something that is used up and refilled by an on/off controller (bowl, hopper, reel, air receiver)."""

    capacity: Size
    start: Fraction = 0.8
    low: Fraction
    high: Fraction
    refill_per_s: Size
    users: dict[str, Use] = Field(min_length=1)

    @model_validator(mode="after")
    def _band(self) -> ReservoirSpec:
        if not self.low < self.high:
            raise ValueError(
                f"low {self.low:g} is not below high {self.high:g} - refilling starts at low, ends at high"
            )
        return self


class Ambient(Spec):
    """Temperature of the hall in degrees Celsius: a daily swing around a mean."""

    mean_cel: Annotated[float, within(-40, 60, "a temperature that people work in")] = 21.0
    swing_cel: Annotated[float, within(0, 30, "half of the daily difference")] = 3.0
    period_s: Size = 86_400.0
