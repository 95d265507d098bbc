"""The nouns of the bridge: what is known of a metric, what comes from the south, what is kept and published."""

from __future__ import annotations

from dataclasses import dataclass, field

GOOD, BAD, STALE = 192, 0, 500
"""Sparkplug `Quality` property values (Sparkplug B 3.0, 6.4.8 properties)."""

Value = bool | int | float | str | bytes | None


@dataclass(frozen=True, slots=True)
class Metric:
    """One canonical metric of the equipment model; `metric_id` is its index in the compiled model and its Sparkplug alias."""

    metric_id: int
    device: str  # `<cell>.<asset>`; "" for the edge node itself
    name: str
    datatype: int  # Sparkplug B datatype, e.g. 10 Double
    south: str = ""  # name of the OPC UA server it comes from
    node_id: str = ""
    factor: float = 1.0
    offset: float = 0.0
    states: dict[int, str] | None = None  # vendor state number to canonical state
    properties: dict[str, Value] = field(default_factory=dict)  # birth properties: engUnit, engLow, engHigh


@dataclass(frozen=True, slots=True)
class Reading:
    """What a south edge delivers: a raw vendor value as the source stamped it."""

    metric_id: int
    source_ts_ns: int
    value: Value
    status: int  # OPC UA StatusCode, 0 is Good


@dataclass(frozen=True, slots=True)
class Sample:
    """What the bridge carries: canonical name, unit and state; the identity of a sample is all of its fields."""

    metric_id: int
    ts_ms: int
    value: Value
    quality: int = GOOD
    status: int = 0  # the OPC UA StatusCode behind a quality that is not GOOD
