"""The nouns of the bridge: what is known of a metric, what the south delivers, what is published."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

GOOD, BAD, STALE = 192, 0, 500
"""Sparkplug `Quality` property values (Sparkplug B 3.0, 6.4.8 properties)."""

Value = bool | int | float | str | bytes | None


@dataclass(frozen=True, slots=True)
class Metric:
    """One canonical metric; `metric_id` is its index in the compiled model and its Sparkplug alias."""

    metric_id: int
    device: str  # `<cell>.<asset>`; "" for the edge node itself
    name: str
    datatype: int  # Sparkplug B datatype, e.g. 10 Double
    south: str = ""  # name of the source it comes from
    node_id: str = ""
    factor: float = 1.0
    offset: float = 0.0
    states: dict[int, str] | None = None  # vendor state number to canonical state
    properties: dict[str, Value] = field(default_factory=dict)  # birth properties: engUnit, engLow, engHigh
    is_command: bool = False  # what a DCMD may write


@dataclass(frozen=True, slots=True)
class Model:
    """One edge node as compiled from a configuration; `metrics[i].metric_id == i`, devices in birth order."""

    group_id: str
    edge_node_id: str
    metrics: tuple[Metric, ...]
    devices: tuple[str, ...]

    def of_device(self, device: str) -> tuple[Metric, ...]:
        """Metrics of one device ("" for the edge node itself), in alias order."""
        return tuple(metric for metric in self.metrics if metric.device == device)

    def of_south(self, south: str) -> tuple[Metric, ...]:
        """Metrics that one source delivers, in alias order."""
        return tuple(metric for metric in self.metrics if metric.south == south)


# Readings and samples are made for each value, a hundred thousand times an hour and more: a NamedTuple costs
# less than half of what a frozen dataclass does.


class Reading(NamedTuple):
    """What a south edge delivers: a raw vendor value as the source stamped it."""

    metric_id: int
    source_ts_ns: int
    value: Value
    status: int  # OPC UA StatusCode, 0 is Good


class Sample(NamedTuple):
    """What the bridge carries: canonical name, unit and state; its identity is all of its fields."""

    metric_id: int
    ts_ms: int
    value: Value
    quality: int = GOOD
    status: int = 0  # the OPC UA StatusCode behind a quality that is not GOOD
