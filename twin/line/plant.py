"""The plant file: how a line physically behaves and what its vendors' tags look like (docs/plant.md).

Impossible physics is refused here; what concerns more than one part of the file is checked in `checks.py`. A message
reads `what - remedy`; who loads the file adds where it stands and the value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from shakedown.twin.line import checks
from shakedown.twin.line.states import CAUSE_CODE_MIN

SCAN_MS_MIN, SCAN_MS_MAX = 10, 60_000
CYCLE_S_MIN = 0.025  # the fastest can fillers built make about 40 parts a second

DataType = Literal[
    "Boolean", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float", "Double", "String"
]
Register = Literal[
    "state", "stop_reason", "product", "heartbeat", "infeed", "good", "reject", "total",
    "starved", "blocked", "running", "parts", "refilling",
]  # fmt: skip


def _within(low: float, high: float, remedy: str) -> AfterValidator:
    def check(number: float) -> float:
        if not low <= number <= high:  # also false for NaN
            raise ValueError(f"is outside {low:g} to {high:g} - {remedy}")
        return number

    return AfterValidator(check)


Seconds = Annotated[float, _within(0.001, 1e8, "a time in seconds, a millisecond at least")]
SecondsOrNone = Annotated[float, _within(0, 1e8, "a time in seconds, 0 for none")]
Fraction = Annotated[float, _within(0, 1, "a fraction: 0 is nothing, 1 is all")]
Amount = Annotated[float, _within(0, 1e12, "a rate or an amount cannot be negative")]
Size = Annotated[float, _within(1e-9, 1e12, "a size or a rate must be greater than zero")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Duration(_Part):
    """How long something takes: a mean, and how it scatters around it (`cv` is deviation by mean, lognormal only)."""

    distribution: Literal["constant", "exponential", "lognormal"] = "constant"
    mean_s: Seconds
    cv: Annotated[float, _within(0.01, 5, "standard deviation divided by mean")] | None = None

    @model_validator(mode="after")
    def _cv_fits(self) -> Duration:
        if (self.cv is None) == (self.distribution == "lognormal"):
            raise ValueError(f"cv does not fit {self.distribution} - give cv with lognormal and only there")
        return self


class Product(_Part):
    """A product and what it asks of the machines."""

    label: str = Field(min_length=1, max_length=64, description="Name shown by the machines")
    volume_l: Annotated[float, _within(0.01, 30, "the content of one bottle in litres")]
    load: Annotated[float, _within(0.1, 10, "1 is the load of an ordinary product")] = 1.0
    cycle_factor: Annotated[float, _within(0.2, 5, "1 is the machine's own cycle time")] = 1.0


class Order(_Part):
    """So many bottles of a product."""

    product: str
    quantity: Annotated[int, _within(1, 1e9, "a whole number of bottles")]


class Stoppage(_Part):
    """One cause that halts a machine now and then; it strikes after so much time spent working (`between`)."""

    cause: str = Field(min_length=1, max_length=80)
    code: Annotated[int, _within(CAUSE_CODE_MIN, 65_535, f"codes below {CAUSE_CODE_MIN} are the line's own")]
    kind: Literal["breakdown", "small_stop"]
    between: Duration
    lasts: Duration


class MachineSpec(_Part):
    """A machine that takes `batch` parts, works on them for one cycle and hands them on, or rejects them."""

    cycle: Duration
    batch: Annotated[int, _within(1, 1_000, "parts that are worked on together")] = 1
    reject_rate: Annotated[float, _within(0, 0.5, "the fraction of parts rejected")] = 0.0
    ramp_s: SecondsOrNone = 0.0
    starved_after_s: SecondsOrNone = 3.0
    blocked_after_s: SecondsOrNone = 3.0
    changeover: Duration | None = None
    stoppages: list[Stoppage] = []

    @model_validator(mode="after")
    def _plausible(self) -> MachineSpec:
        per_part_s = self.cycle.mean_s / self.batch
        if per_part_s < CYCLE_S_MIN:
            raise ValueError(
                f"cycle.mean_s {self.cycle.mean_s:g} for {self.batch} parts is {1 / per_part_s:,.0f} parts a second, "
                f"faster than any machine built - give at least {CYCLE_S_MIN * self.batch:g}"
            )
        for stoppage in self.stoppages:
            if stoppage.between.mean_s < self.cycle.mean_s:
                raise ValueError(
                    f"{stoppage.cause!r} strikes every {stoppage.between.mean_s:g} s, more often than a cycle of "
                    f"{self.cycle.mean_s:g} s ends - give a longer between.mean_s"
                )
        codes = [stoppage.code for stoppage in self.stoppages]
        if len(set(codes)) < len(codes):
            raise ValueError(
                f"stoppage codes {codes} are not all different - give each cause a code of its own"
            )
        return self


class ConveyorSpec(_Part):
    """A belt between two machines: room for `capacity` parts, each of which travels `transit_s` from end to end."""

    capacity: Annotated[int, _within(1, 100_000, "a belt holds at least one part")]
    transit_s: SecondsOrNone = 0.0
    ramp_s: SecondsOrNone = 0.0


class Use(_Part):
    """What a machine draws from a reservoir: for each part it hands on, each litre in it, each second of work."""

    per_part: Amount = 0.0
    per_litre: Amount = 0.0
    per_run_s: Amount = 0.0


class ReservoirSpec(_Part):
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


class Ambient(_Part):
    """Temperature of the hall in degrees Celsius: a daily swing around a mean."""

    mean_cel: Annotated[float, _within(-40, 60, "a temperature that people work in")] = 21.0
    swing_cel: Annotated[float, _within(0, 30, "half of the daily difference")] = 3.0
    period_s: Size = 86_400.0


class Response(_Part):
    """An analogue quantity that follows `base` plus the sum of gain times driver, with a first-order lag `tau_s`.

    `gains` are by driver; `a*b` is the product of two drivers. `noise` is the standard deviation of the sensor and
    `resolution` its smallest step, in the vendor's unit.
    """

    base: float = 0.0
    gains: dict[str, float] = {}
    tau_s: SecondsOrNone = 0.0
    noise: Amount = 0.0
    resolution: Size


class Totaliser(_Part):
    """A meter: the integral over time of the sum of gain times driver (`gains` per second), shown in whole steps."""

    gains: dict[str, Amount] = Field(min_length=1)
    resolution: Size


class SignalSpec(_Part):
    """One vendor tag and where its value comes from: exactly one of `show`, `response` and `totaliser`."""

    tag: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$", max_length=120)
    type: DataType
    unit: str = Field(default="", pattern=r"^[A-Z0-9]{0,3}$", description="UNECE code of the vendor's unit")
    range: list[float] | None = Field(
        default=None, min_length=2, max_length=2, description="EURange: low and high"
    )
    description: str = Field(default="", max_length=200)
    show: Register | None = None
    response: Response | None = None
    totaliser: Totaliser | None = None

    @model_validator(mode="after")
    def _one_source(self) -> SignalSpec:
        sources = [name for name in ("show", "response", "totaliser") if getattr(self, name) is not None]
        if len(sources) != 1:
            raise ValueError(
                f"signal source is {' and '.join(sources) or 'missing'} - give one of show, response, totaliser"
            )
        if problem := checks.type_problem(self):
            raise ValueError(problem)
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range {self.range} is upside down - give [low, high] with low below high")
        return self


class Dropout(_Part):
    """Signals that are Bad from `at_s` on for `lasts_s`: a broken wire, a failed sensor, a module without power."""

    signals: list[str] = Field(min_length=1, description="<machine>.<signal>")
    at_s: SecondsOrNone
    lasts_s: Seconds
    status: Literal["BadNotConnected", "BadDeviceFailure", "BadSensorFailure", "BadOutOfService"] = (
        "BadSensorFailure"
    )


class Plant(_Part):
    """One line: machines in the order of flow, a conveyor between each two, and the tags that show them."""

    format: Literal[1] = 1
    plant: Name
    description: str = ""
    scan_ms: Annotated[int, _within(SCAN_MS_MIN, SCAN_MS_MAX, "a scan time in milliseconds")] = 1_000
    products: dict[Name, Product] = Field(min_length=1)
    orders: list[Order] = Field(min_length=1)
    repeat_orders: bool = True
    ambient: Ambient = Ambient()
    machines: dict[Name, MachineSpec] = Field(min_length=1)
    conveyors: dict[Name, ConveyorSpec] = {}
    reservoirs: dict[Name, ReservoirSpec] = {}
    signals: dict[str, dict[Name, SignalSpec]] = {}
    dropouts: list[Dropout] = []

    def each_signal(self) -> Iterator[tuple[str, str, SignalSpec]]:
        """Owner, name and specification of every signal, in the order of the file."""
        for owner, specs in self.signals.items():
            for name, spec in specs.items():
                yield owner, name, spec

    @model_validator(mode="wrap")
    @classmethod
    def _consistent(cls, data: object, handler: ValidatorFunctionWrapHandler) -> Plant:
        plant: Plant = handler(data)
        problems = checks.problems(plant)
        if problems:
            raise ValidationError.from_exception_data(
                cls.__name__, [_detail(*problem) for problem in problems]
            )
        return plant


def _detail(place: checks.Place, value: object, message: str) -> InitErrorDetails:
    """One problem as pydantic reports it; the message goes in as a value, for it may hold braces."""
    return InitErrorDetails(
        type=PydanticCustomError("plant", "{message}", {"message": message}), loc=place, input=value
    )
