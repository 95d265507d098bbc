"""The plant file: how a line physically behaves and what its vendors' tags look like (docs/plant.md).

Impossible physics is refused here; what concerns more than one part of the file is checked in `checks.py`. A message
reads `what - remedy`; who loads the file adds where it stands and the value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from shakedown.twin.line import checks
from shakedown.twin.line.master_data import Asset, Bill, Energy, Item, Recipe, Shift
from shakedown.twin.line.quantities import (
    Amount,
    Duration,
    Fraction,
    Name,
    Seconds,
    SecondsOrNone,
    Size,
    Spec,
    Unit,
    within,
)
from shakedown.twin.line.states import CAUSE_CODE_MIN
from shakedown.twin.line.upsets import AnyUpset, DropOut
from shakedown.twin.line.upsets.drop_out import Status

SCAN_MS_MIN, SCAN_MS_MAX = 10, 60_000

DataType = Literal[
    "Boolean", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float", "Double", "String"
]
Register = Literal[
    "state", "stop_reason", "product", "order", "heartbeat", "infeed", "good", "reject", "total",
    "reworked", "step", "starved", "blocked", "running", "parts", "refilling",
]  # fmt: skip


class Product(Spec):
    """A product and what it asks of the machines."""

    label: str = Field(min_length=1, max_length=64, description="Name shown by the machines")
    volume_l: Annotated[float, within(0.01, 30, "the content of one bottle in litres")]
    load: Annotated[float, within(0.1, 10, "1 is the load of an ordinary product")] = 1.0
    cycle_factor: Annotated[float, within(0.2, 5, "1 is the machine's own cycle time")] = 1.0


class Order(Spec):
    """So many bottles of a product; without an `id` the line numbers its orders."""

    id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_\-]+$", max_length=64)
    product: str
    quantity: Annotated[int, within(1, 1e9, "a whole number of bottles")]


ChangeoverFactor = Annotated[
    float, within(0.01, 100, "a factor of the machine's own changeover time, 1 is that time")
]
Code = Annotated[int, within(CAUSE_CODE_MIN, 65_535, f"codes below {CAUSE_CODE_MIN} are the line's own")]


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


class Response(Spec):
    """An analogue quantity that follows `base` plus the sum of gain times driver, with a first-order lag `tau_s`.

    `gains` are by driver; `a*b` is the product of two drivers. `noise` is the standard deviation of the sensor and
    `resolution` its smallest step, in the vendor's unit.
    """

    base: float = 0.0
    gains: dict[str, float] = Field(default_factory=dict)
    tau_s: SecondsOrNone = 0.0
    noise: Amount = 0.0
    resolution: Size


class Totaliser(Spec):
    """A meter: the integral over time of the sum of gain times driver (`gains` per second), shown in whole steps."""

    gains: dict[str, Amount] = Field(min_length=1)
    resolution: Size


class SignalSpec(Spec):
    """One vendor tag and where its value comes from: exactly one of `show`, `response` and `totaliser`."""

    tag: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$", max_length=120)
    type: DataType
    unit: Unit = Field(default="", description="UNECE code of the vendor's unit")
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


class Dropout(Spec):
    """Signals that are Bad from `at_s` on for `lasts_s`: a broken wire, a failed sensor, a module without power."""

    signals: list[str] = Field(min_length=1, description="<machine>.<signal>")
    at_s: SecondsOrNone
    lasts_s: Seconds
    status: Status = "BadSensorFailure"


class Plant(Spec):
    """One line: machines in the order of flow, a conveyor between each two, and the tags that show them."""

    format: Literal[1] = 1
    plant: Name
    description: str = ""
    scan_ms: Annotated[int, within(SCAN_MS_MIN, SCAN_MS_MAX, "a scan time in milliseconds")] = 1_000
    products: dict[Name, Product] = Field(min_length=1)
    orders: list[Order] = Field(min_length=1)
    repeat_orders: bool = True
    ambient: Ambient = Ambient()
    machines: dict[Name, MachineSpec] = Field(min_length=1)
    conveyors: dict[Name, ConveyorSpec] = Field(default_factory=dict)
    reservoirs: dict[Name, ReservoirSpec] = Field(default_factory=dict)
    signals: dict[str, dict[Name, SignalSpec]] = Field(default_factory=dict)
    dropouts: list[Dropout] = Field(default_factory=list)
    calendar: list[Shift] = Field(default=[], description="Without shifts the line works always")
    items: dict[Name, Item] = Field(default_factory=dict)
    bill: dict[Name, Bill] = Field(default={}, description="By product, machine and item: consumption a part")
    recipes: dict[Name, dict[Name, Recipe]] = Field(default={}, description="By product and machine")
    changeovers: dict[Name, dict[Name, ChangeoverFactor]] = Field(
        default={}, description="From product to product: times each machine's own changeover"
    )
    assets: dict[Name, Asset] = Field(default_factory=dict)
    bottleneck: Name | None = Field(default=None, description="Machine whose output counts; else the last")
    crew: bool = Field(default=False, description="Whether what needs maintenance waits for a crew")
    upsets: dict[Name, AnyUpset] = Field(default_factory=dict)

    @property
    def counted_machine(self) -> str:
        """The machine whose output counts for the line."""
        return self.bottleneck or list(self.machines)[-1]

    def each_upset(self) -> Iterator[tuple[str, AnyUpset]]:
        """Id and specification of every upset, the drop-outs included."""
        yield from self.upsets.items()
        for number, dropout in enumerate(self.dropouts, 1):
            yield (
                f"dropout_{number}",
                DropOut(
                    kind="drop_out",
                    signals=dropout.signals,
                    at_s=[dropout.at_s],
                    lasts_s=dropout.lasts_s,
                    status=dropout.status,
                ),
            )

    def recipe(self, product: str, machine: str) -> Recipe:
        """How `machine` makes `product`; without a recipe it has no steps and no parameters."""
        return self.recipes.get(product, {}).get(machine) or Recipe()

    def each_signal_named(self) -> dict[str, SignalSpec]:
        """Every signal by `<owner>.<signal>`."""
        return {f"{owner}.{name}": spec for owner, name, spec in self.each_signal()}

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
