"""Signals: what of a machine the world can see, under the vendor's name, in the vendor's unit and type."""

from __future__ import annotations

from dataclasses import dataclass

from shakedown.twin.line.plant import Plant
from shakedown.twin.line.signal_spec import SignalSpec

NAMESPACE_INDEX = 2


@dataclass(frozen=True, slots=True)
class Signal:
    """One vendor tag; `unit` is the UNECE code of the vendor's unit or "", `data_type` an OPC UA built-in type."""

    tag: str
    node_id: str
    data_type: str
    unit: str
    eu_low: float | None
    eu_high: float | None
    machine: str
    scan_ms: int
    description: str


def signals_of(plant: Plant) -> tuple[Signal, ...]:
    """The signals of a plant in the order of its file: a signal's place here is its index in the ledger."""
    return tuple(_signal(plant, machine, spec) for machine, _, spec in plant.each_signal())


def _signal(plant: Plant, machine: str, spec: SignalSpec) -> Signal:
    low, high = spec.range or (None, None)
    return Signal(
        tag=spec.tag,
        node_id=f"ns={NAMESPACE_INDEX};s={spec.tag}",
        data_type=spec.type,
        unit=spec.unit,
        eu_low=low,
        eu_high=high,
        machine=machine,
        scan_ms=plant.scan_ms,
        description=spec.description,
    )
