"""What the equipment model promises of each metric, as the judge reads `site.yaml`, and what the enterprise must see of
a raw value of the ledger: converted, mapped to a canonical state, with a Sparkplug quality."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from shakedown.acceptance.files import Problem
from shakedown.acceptance.sparkplug import BAD, DATATYPES, GOOD, STALE, Value
from shakedown.acceptance.units import UnknownUnit, conversion

DOUBLE_TOLERANCE = 1e-9
"""Relative, of the largest term: two orders of evaluation differ by 1e-15, two tables of units by 1e-12."""
FLOAT_TOLERANCE = 2.0**-23
"""Relative, when the value passes a 32-bit float anywhere on its way."""

STALE_STATUSES = frozenset({0x40900000, 0x408F0000})
"""UncertainLastUsableValue, UncertainNoCommunicationLastUsableValue: a value of the past, STALE in Sparkplug."""
BAD_NO_COMMUNICATION = 0x80310000

DEFAULT_CLASSES_S = {"alarm": 2.0, "state": 2.0, "heartbeat": 1.0, "process": 5.0, "count": 5.0, "slow": 30.0}
TEXT_BYTES_MAX = 4096
"""A longer text is not carried (docs/bridge.md, Bounds)."""
FLOAT_MAX = (2 - 2.0**-23) * 2.0**127
TEXTS = frozenset({"String", "Text"})
INTEGER_RANGE = {
    name: (-(1 << bits - 1), (1 << bits - 1) - 1) if name.startswith("Int") else (0, (1 << bits) - 1)
    for name in DATATYPES
    if "Int" in name
    for bits in [int(name.partition("nt")[2])]
}
"""Smallest and largest value of each integer type."""
_INTEGERS = frozenset(INTEGER_RANGE)
_OPC_UA_INTEGERS = frozenset(
    {"SByte", "Byte", *(f"{sign}Int{bits}" for sign in ("", "U") for bits in (16, 32, 64))}
)


def quality_of(status: int) -> int:
    """Sparkplug quality of an OPC UA StatusCode, by its severity bits 31:30."""
    severity = status >> 30
    if severity == 0:
        return GOOD
    if severity == 1:
        return STALE if status & 0xFFFF0000 in STALE_STATUSES else GOOD
    return BAD


@dataclass(frozen=True)
class Topic:
    """One metric of one device: its source signal and what must become of it."""

    device: str
    metric: str
    signal: int  # index in the ledger's header
    datatype: str
    factor: float = 1.0
    offset: float = 0.0
    states: dict[int, str] | None = None
    slo_s: float = 5.0
    critical: bool = True
    sampling_interval_ms: float = 0.0
    tolerance: float = DOUBLE_TOLERANCE
    unit: str = ""
    low: float | None = None
    high: float | None = None
    source: str = ""  # the machine of its server
    refused_type: str = ""  # the source's data type, where the declared one can carry none of its values

    @property
    def name(self) -> str:
        """`device/metric`, as reports show it."""
        return f"{self.device}/{self.metric}"

    def expect(self, raw: Value, status: int) -> tuple[Value, int]:
        """(value, quality) that the enterprise must see for `raw` with OPC UA `status`."""
        quality = quality_of(status)
        if raw is None:
            return None, quality
        if self.states is not None:
            return (self.states.get(raw, raw) if type(raw) is int else raw), quality
        if self.factor == 1.0 and self.offset == 0.0:
            return raw, quality
        if isinstance(raw, (int, float)) and not isinstance(raw, bool):
            return raw * self.factor + self.offset, quality
        return raw, quality

    def answers(self, expected: Value, quality: int, received: Value, seen_quality: int) -> bool:
        """Whether value and quality received are what the source offered.

        Of what has no usable value, whatever the source calls it, null and Bad is the honest answer too.
        """
        if seen_quality == quality:
            return self.same(expected, received, quality)
        return (seen_quality, received) == (BAD, None) and (expected is None or self._unusable(expected))

    def same(self, expected: Value, received: Value, quality: int) -> bool:
        """Whether `received` is `expected`, within the tolerance that its type allows.

        Where the source has no usable number (NaN, infinite, Bad, not of the declared type), null is an answer too.
        """
        if received is None:
            return expected is None or quality == BAD or self._unusable(expected)
        if type(expected) is float or type(received) is float:
            return self._same_number(expected, received)
        if self.datatype == "Boolean":
            return type(received) is bool and received == bool(expected)
        return type(expected) is type(received) and expected == received

    def _same_number(self, expected: Value, received: Value) -> bool:
        if not isinstance(expected, (int, float)) or not isinstance(received, (int, float)):
            return False
        if expected == received:
            return True
        if math.isnan(expected) or math.isnan(received):
            return math.isnan(expected) and math.isnan(received)
        if self.datatype in _INTEGERS:
            return abs(received - expected) < 1 and received == int(received)
        return abs(received - expected) <= self.tolerance * max(
            abs(expected), abs(received), abs(self.offset)
        )

    def _unusable(self, expected: Value) -> bool:
        """Whether the declared datatype cannot carry this value: it may come as null, Bad (docs/bridge.md)."""
        if self.refused_type:
            return False  # all of it is refused, which is no accident of a value
        if type(expected) is float and not math.isfinite(expected):
            return True
        if self.states is not None:
            return expected not in self.states.values()
        if isinstance(expected, str):
            return self.datatype not in TEXTS or len(expected.encode("utf-8", "replace")) > TEXT_BYTES_MAX
        if self.datatype in TEXTS:
            return True
        if self.datatype == "Float":
            return isinstance(expected, (int, float)) and abs(expected) > FLOAT_MAX
        low, high = INTEGER_RANGE.get(self.datatype, (-math.inf, math.inf))
        return isinstance(expected, (int, float)) and not low <= expected <= high


@dataclass(frozen=True)
class Site:
    """What the judge needs of `site.yaml`."""

    edge: str  # `group/edge node`
    host_id: str
    keep_alive_s: float
    host_keep_alive_s: float
    reconnect_min_s: float
    topics: tuple[Topic, ...]


def read_site(site: dict[str, Any], signals: list[dict[str, Any]], problems: list[Problem]) -> Site | None:
    """Compile a parsed `site.yaml` against the ledger's `signals`; None, with problems told, when that cannot be."""
    try:
        return _read_site(site, signals, problems)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        text = f"site.yaml cannot be understood: {type(error).__name__}: {error}"
        problems.append(Problem(text, "site.yaml", "validate it with `shakedown bridge check site.yaml`"))
        return None


def _read_site(site: dict[str, Any], signals: list[dict[str, Any]], problems: list[Problem]) -> Site:
    by_node = {signal["node_id"]: index for index, signal in enumerate(signals)}
    north = next(iter(site["north"].values()))
    classes = DEFAULT_CLASSES_S | (site.get("classes") or {})
    topics = []
    for cell, assets in site["cells"].items():
        for asset, body in assets.items():
            for name, metric in body["metrics"].items():
                index = by_node.get(metric["node"])
                where = f"site.yaml, cells.{cell}.{asset}.metrics.{name}"
                if index is None:
                    what = f"node {metric['node']!r} is not a signal of the ledger: it cannot be judged"
                    problems.append(Problem(what, where, "use the plant that this site.yaml was written for"))
                    continue
                try:
                    south = site["south"][metric["south"]]
                    topics.append(
                        _topic(f"{cell}.{asset}", name, index, metric, signals[index], classes, south)
                    )
                except UnknownUnit as error:
                    problems.append(
                        Problem(str(error), where, "correct the unit, or add it to acceptance/units.py")
                    )
    return Site(
        edge=f"{site['site']}.{site['area']}/{site['line']}",
        host_id=north.get("primary_host", ""),
        keep_alive_s=float(north.get("keep_alive_s", 30)),
        host_keep_alive_s=float(north.get("host_keep_alive_s", 30)),
        reconnect_min_s=float((north.get("reconnect_s") or {}).get("min", 1.0)),
        topics=tuple(topics),
    )


def _topic(
    device: str,
    name: str,
    index: int,
    metric: dict[str, Any],
    signal: dict[str, Any],
    classes: dict[str, float],
    south: dict[str, Any],
) -> Topic:
    vendor_unit = metric.get("from") or ""
    factor, offset = conversion(vendor_unit, metric["unit"]) if vendor_unit else (1.0, 0.0)
    single = metric["type"] == "Float" or signal.get("data_type") == "Float"
    return Topic(
        device=device,
        metric=name,
        signal=index,
        datatype=metric["type"],
        factor=factor,
        offset=offset,
        states=metric.get("states"),
        slo_s=float(classes[metric.get("class", "process")]),
        critical=metric.get("critical", True) is not False,
        sampling_interval_ms=float(south.get("sampling_interval_ms", 100)),
        tolerance=FLOAT_TOLERANCE if single else DOUBLE_TOLERANCE,
        unit=str(metric.get("unit") or ""),
        low=metric.get("low"),
        high=metric.get("high"),
        source=urlsplit(str(south.get("endpoint") or "")).hostname or str(metric["south"]),
        refused_type=_refused_type(metric, str(signal.get("data_type") or "")),
    )


def _refused_type(metric: dict[str, Any], offered: str) -> str:
    """`offered`, an OPC UA data type, where the declared type can carry none of its values; "" where it can."""
    if metric.get("states"):
        fits = offered in _OPC_UA_INTEGERS
    elif metric["type"] in TEXTS:
        fits = offered == "String"
    elif metric["type"] == "Boolean":
        fits = offered == "Boolean"
    elif metric["type"] in _INTEGERS:
        fits = offered in _OPC_UA_INTEGERS
    else:
        fits = offered in _OPC_UA_INTEGERS or offered in ("Float", "Double")
    known = offered in _OPC_UA_INTEGERS or offered in ("Float", "Double", "Boolean", "String")
    return offered if known and not fits else ""
