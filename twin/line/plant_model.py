"""What a plant file holds, before its parts are held against each other (plant.py)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from shakedown.twin.line.master_data import Asset, Bill, Item, Recipe, Shift
from shakedown.twin.line.quantities import Name, Seconds, SecondsOrNone, Spec, within
from shakedown.twin.line.signal_spec import SignalSpec
from shakedown.twin.line.specs import Ambient, ConveyorSpec, MachineSpec, Order, Product, ReservoirSpec
from shakedown.twin.line.upsets import AnyUpset, DropOut
from shakedown.twin.line.upsets.drop_out import Status

SCAN_MS_MIN, SCAN_MS_MAX = 10, 60_000

ChangeoverFactor = Annotated[
    float, within(0.01, 100, "a factor of the machine's own changeover time, 1 is that time")
]


class Dropout(Spec):
    """Signals that are Bad from `at_s` on for `lasts_s`: a broken wire, a failed sensor, a module without power."""

    signals: list[str] = Field(min_length=1, description="<machine>.<signal>")
    at_s: SecondsOrNone
    lasts_s: Seconds
    status: Status = "BadSensorFailure"


class PlantModel(Spec):
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
