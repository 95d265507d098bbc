"""OEE and its companions of a line (ISO 22400-2), per shift and per production order, in integer nanoseconds.

Time model: inside planned busy time (PBT) a line runs (APT), is set up (AUST), is down (ADET), or is idle (ADOT; inside
an order that is a delay too). A state holds until the next good sample says otherwise.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from shakedown.bridge.core.model import GOOD, Sample
from shakedown.bridge.core.oee_calendar import Calendar, Period
from shakedown.bridge.core.oee_series import NS, PartCounter, Series

REPORT_NS = 60 * NS
"""How often the report of an open shift is published, and how soon late data restates a closed one."""

CLOSE_NS = 5 * NS
"""A shift is closed this long after its end: its last samples are on their way. What comes later restates it."""

CLOSED_MAX = 4
"""Closed shifts that can still be restated."""

FORMULAS = {
    "availability": "APT / PBT",
    "effectiveness": "sum over products (PRI * PQ) / APT",
    "quality": "GQ / PQ",
    "oee": "availability * effectiveness * quality",
    "nee": "(APT + AUST) / PBT * effectiveness * quality",
    "fpy": "(GQ - reworked) / PQ",
    "mttr_s": "mean length of the faults that ended in the period",
    "mtbf_s": "APT / faults that began in the period",
    "changeover_s_mean": "mean length of the changeovers that ended in the period",
    "unplanned_downtime_s": "time in state fault inside PBT",
}
"""ISO 22400-2 as computed here; part of every report's lineage."""

COUNTS = ("produced", "good", "reject", "rework")


@dataclass(frozen=True, slots=True)
class LineConfig:
    """What the OEE of a line is made from; metrics by metric_id, None for one that does not exist."""

    name: str
    state: int
    produced: int
    good: int
    reject: int
    calendar: Calendar
    ideal_ns: Mapping[str, int] = field(default_factory=dict)  # planned run time per item (PRI) by product
    product: int | None = None
    order: int | None = None
    rework: int | None = None  # counts good parts that needed rework
    modulus: int = 1 << 32
    lineage: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Tally:
    """Times in ns by bucket, and parts by (what, product)."""

    time_ns: Counter[str] = field(default_factory=Counter)
    parts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def count(self, what: str) -> int:
        return sum(n for (kind, _), n in self.parts.items() if kind == what)


class Line:
    """The history of one line, as long as a shift may still be restated, and the figures of any stretch of it."""

    def __init__(self, config: LineConfig) -> None:
        self.config = config
        self.states: Series[str] = Series()
        self.products: Series[str] = Series()
        self.production_orders: Series[str] = Series()
        self.counters = {what: PartCounter(config.modulus) for what in COUNTS}
        self._edge_ns = 0  # newest moment that counts are divided at
        self._period: Period | None = None
        texts = (
            (config.state, self.states),
            (config.product, self.products),
            (config.order, self.production_orders),
        )
        self._texts = {metric_id: series for metric_id, series in texts if metric_id is not None}
        ids = (config.produced, config.good, config.reject, config.rework)
        self._counts = {i: self.counters[w] for i, w in zip(ids, COUNTS, strict=True) if i is not None}

    @property
    def metric_ids(self) -> set[int]:
        return self._texts.keys() | self._counts.keys()

    def take(self, sample: Sample) -> bool:
        """Take a sample, late or not; returns whether it changes anything. What is not good changes nothing."""
        metric_id, ts_ms, value, quality, _ = sample
        if quality != GOOD or value is None:
            return False
        ts_ns = ts_ms * 1_000_000
        if counter := self._counts.get(metric_id):
            self._cut_at_shift(ts_ns)
            return counter.count(ts_ns, int(value), self._edge_ns)
        series = self._texts[metric_id]
        if series is not self.states:
            self._edge_ns = max(self._edge_ns, ts_ns)
        return series.put(ts_ns, "" if value == 0 else str(value))

    def _cut_at_shift(self, ts_ns: int) -> None:
        period = self._period
        if period is not None and period.from_ns <= ts_ns < period.to_ns:
            return
        if period is not None:
            self._edge_ns = max(self._edge_ns, period.to_ns if ts_ns >= period.to_ns else 0)
        self._period = self.config.calendar.period(ts_ns)
        if self._period is not None:
            self._edge_ns = max(self._edge_ns, self._period.from_ns)

    # ---- figures

    def figures(self, period: Period, until_ns: int) -> dict[str, Any]:
        """Time buckets, counts and KPIs of a shift up to a time; a KPI without a denominator is None."""
        to_ns = min(period.to_ns, until_ns)
        tallies = self._tally(period, to_ns)
        total = _Tally()
        for tally in tallies.values():
            total.time_ns.update(tally.time_ns)
            total.parts.update(tally.parts)
        pbt_ns = sum(end - begin for begin, end in period.planned(period.from_ns, to_ns))
        orders = [
            {"order": order, **self._kpis(tally, sum(tally.time_ns.values()))}
            for order, tally in tallies.items()
            if order
        ]
        return {
            **self._kpis(total, pbt_ns),
            **self._episodes(period.from_ns, to_ns, total.time_ns["run"]),
            "unplanned_downtime_s": total.time_ns["fault"] / NS,
            "orders": orders,
        }

    def _tally(self, period: Period, to_ns: int) -> dict[str, _Tally]:
        """Times and parts by production order; "" is outside of any."""
        self._divide()
        tallies: dict[str, _Tally] = defaultdict(_Tally)
        for begin, end in period.planned(period.from_ns, to_ns):
            for order_begin, order_end, order in self.production_orders.pieces(begin, end):
                for state_begin, state_end, state in self.states.pieces(order_begin, order_end):
                    tallies[order or ""].time_ns[_bucket(state, order)] += state_end - state_begin
        for what, counter in self.counters.items():
            for ts_ns, parts in counter.increments(period.from_ns, to_ns):
                tally = tallies[self.production_orders.at(ts_ns) or ""]
                tally.parts[what, self.products.at(ts_ns) or ""] += parts
        return tallies

    def _divide(self) -> None:
        """Divide the counts where product or order changed: on the way these may have been later than the counts."""
        edges = {*self.products.times, *self.production_orders.times}
        for counter in self.counters.values():
            for edge_ns in edges:
                counter.divide(edge_ns)

    def _kpis(self, tally: _Tally, pbt_ns: int) -> dict[str, Any]:
        time_ns, produced, good = tally.time_ns, tally.count("produced"), tally.count("good")
        apt_ns, aust_ns = time_ns["run"], time_ns["changeover"]
        availability = _ratio(apt_ns, pbt_ns)
        effectiveness = _ratio(self._ideal_ns(tally), apt_ns)
        quality = _ratio(good, produced)
        return {
            "pbt_s": pbt_ns / NS,
            "apt_s": apt_ns / NS,
            "aust_s": aust_ns / NS,
            "adet_s": (time_ns["fault"] + time_ns["delay"]) / NS,
            "adot_s": time_ns["idle"] / NS,
            "produced": produced,
            "good": good,
            "reject": tally.count("reject"),
            "availability": availability,
            "effectiveness": effectiveness,
            "quality": quality,
            "oee": _product(availability, effectiveness, quality),
            "nee": _product(_ratio(apt_ns + aust_ns, pbt_ns), effectiveness, quality),
            "fpy": _ratio(good - tally.count("rework"), produced),
        }

    def _ideal_ns(self, tally: _Tally) -> int | None:
        """What the parts should have taken; None if a product was made that nobody planned a time for."""
        ideal = self.config.ideal_ns
        parts = [(product, n) for (what, product), n in tally.parts.items() if what == "produced"]
        if any(product not in ideal for product, n in parts if n):
            return None
        return sum(ideal[product] * n for product, n in parts if n)

    def _episodes(self, from_ns: int, to_ns: int, apt_ns: int) -> dict[str, Any]:
        faults = list(self.states.episodes("fault", from_ns, to_ns))
        repaired = [end - begin for begin, end in faults if end < to_ns]
        began = sum(begin >= from_ns for begin, _ in faults)
        setups = [e - b for b, e in self.states.episodes("changeover", from_ns, to_ns) if e < to_ns]
        return {
            "changeover_s_mean": _ratio(sum(setups), len(setups) * NS),
            "mttr_s": _ratio(sum(repaired), len(repaired) * NS),
            "mtbf_s": _ratio(apt_ns, began * NS),
        }

    # ---- memory

    def forget(self, before_ns: int) -> None:
        """Drop what no figure of a later stretch needs."""
        for series in self._series():
            series.forget(before_ns)

    def save(self) -> list[tuple[list[int], list[Any]]]:
        """The history as plain data."""
        self._divide()
        return [(series.times, series.values) for series in self._series()]

    def restore(self, saved: list[tuple[list[int], list[Any]]]) -> None:
        """Continue with a history."""
        for series, (times, values) in zip(self._series(), saved, strict=True):
            series.times, series.values = list(times), list(values)
        self._edge_ns = max([0, *self.products.times[-1:], *self.production_orders.times[-1:]])

    def _series(self) -> Iterator[Series[Any]]:
        yield from (self.states, self.products, self.production_orders)
        yield from self.counters.values()


def _bucket(state: str | None, order: str | None) -> str:
    """Bucket of a state; what no sample has told is unknown, and in no KPI."""
    if state in ("run", "changeover", "fault"):
        return state
    if state is None:
        return "unknown"
    return "delay" if order else "idle"


def _ratio(part: int | None, whole: int) -> float | None:
    return None if part is None or whole <= 0 else part / whole


def _product(*factors: float | None) -> float | None:
    result = 1.0
    for factor in factors:
        if factor is None:
            return None
        result *= factor
    return result
