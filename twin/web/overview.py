"""What a plant consists of, for a program and for a reader."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict

from shakedown.twin.line.plant import Plant
from shakedown.twin.line.signals import signals_of


class Told(BaseModel):
    """Something that is told: never changed after it is made."""

    model_config = ConfigDict(frozen=True)


class SignalOverview(Told):
    """One tag as the OPC UA server shows it; `unit` is a UNECE code of the vendor's unit, or empty."""

    name: str
    owner: str
    tag: str
    node_id: str
    data_type: str
    unit: str
    low: float | None
    high: float | None
    description: str


class MachineOverview(Told):
    """One machine; `per_hour` is how many of its own parts it hands on in an hour of undisturbed work."""

    name: str
    per_hour: float
    batch: int
    small_stops: list[str]
    failures: list[str]


class ConveyorOverview(Told):
    """One belt between two machines: room for so many parts, and how long each one travels."""

    name: str
    capacity: int
    transit_s: float


class ReservoirOverview(Told):
    """Something that is used up and refilled."""

    name: str
    capacity: float
    users: list[str]


class ProductOverview(Told):
    """One product; `label` is what the machines show."""

    name: str
    label: str
    volume_l: float


class PlantOverview(Told):
    """A plant: machines in the order of flow, a conveyor between each two, and the tags that show them."""

    plant: str
    description: str
    scan_ms: int
    counted_machine: str
    crew: bool
    products: list[ProductOverview]
    machines: list[MachineOverview]
    conveyors: list[ConveyorOverview]
    reservoirs: list[ReservoirOverview]
    upsets: list[str]
    signals: list[SignalOverview]


def overview(plant: Plant) -> PlantOverview:
    """What `plant` consists of."""
    return PlantOverview(
        plant=plant.plant,
        description=plant.description,
        scan_ms=plant.scan_ms,
        counted_machine=plant.counted_machine,
        crew=plant.crew,
        products=[
            ProductOverview(name=name, label=product.label, volume_l=product.volume_l)
            for name, product in plant.products.items()
        ],
        machines=[
            MachineOverview(
                name=name,
                per_hour=3_600 / machine.cycle.mean_s,
                batch=machine.batch,
                small_stops=[stoppage.cause for stoppage in machine.stoppages],
                failures=list(machine.failures),
            )
            for name, machine in plant.machines.items()
        ],
        conveyors=[
            ConveyorOverview(name=name, capacity=conveyor.capacity, transit_s=conveyor.transit_s)
            for name, conveyor in plant.conveyors.items()
        ],
        reservoirs=[
            ReservoirOverview(name=name, capacity=reservoir.capacity, users=list(reservoir.users))
            for name, reservoir in plant.reservoirs.items()
        ],
        upsets=[name for name, _ in plant.each_upset()],
        signals=_signals(plant),
    )


def _signals(plant: Plant) -> list[SignalOverview]:
    return [
        SignalOverview(
            name=name,
            owner=signal.machine,
            tag=signal.tag,
            node_id=signal.node_id,
            data_type=signal.data_type,
            unit=signal.unit,
            low=signal.eu_low,
            high=signal.eu_high,
            description=signal.description,
        )
        for name, signal in zip(plant.each_signal_named(), signals_of(plant), strict=True)
    ]


def as_text(told: PlantOverview) -> str:
    """The overview as aligned tables in plain text."""
    machines = (
        (
            f"{machine.name}{' *' if machine.name == told.counted_machine else ''}",
            f"{machine.per_hour:,.0f}",
            f"{machine.batch}",
            ", ".join(machine.small_stops),
            ", ".join(machine.failures),
        )
        for machine in told.machines
    )
    conveyors = ((belt.name, f"{belt.capacity} parts", f"{belt.transit_s:g} s") for belt in told.conveyors)
    reservoirs = ((r.name, f"{r.capacity:g}", ", ".join(r.users)) for r in told.reservoirs)
    signals = (
        (signal.node_id, signal.data_type, signal.unit, _range(signal), signal.name, signal.description)
        for signal in told.signals
    )
    parts = [
        f"{told.plant}: {told.description}" if told.description else told.plant,
        f"products: {', '.join(product.label for product in told.products)}; scan every {told.scan_ms} ms\n",
        *_table(("machine", "parts an hour", "at a time", "small stops", "failures"), machines),
        f"* its output counts for the line; {'a crew repairs' if told.crew else 'failures repair themselves'}\n",
        *_table(("conveyor", "room", "travels"), conveyors),
        *([""] if told.conveyors else []),
        *_table(("reservoir", "capacity", "used by"), reservoirs),
        *([""] if told.reservoirs else []),
        *_table(("node id", "type", "unit", "range", "signal", "shows"), signals),
        "",
        f"upsets: {', '.join(told.upsets) or 'none'}",
    ]
    return "\n".join(parts)


def _range(signal: SignalOverview) -> str:
    return (
        f"{signal.low:.12g} to {signal.high:.12g}"
        if signal.low is not None and signal.high is not None
        else ""
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell; nothing for no rows."""
    rows = list(rows)
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
