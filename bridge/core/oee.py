"""OEE and its companions of a line (ISO 22400-2), per shift and per production order, in integer nanoseconds.

docs/oee.md has every formula, and a day worked by hand. One work unit counts for the line: its bottleneck, whose time
inside the planned busy time (PBT) is run (APT), changeover (AUST), delay (ADET) or idle without an order (ADOT). A
state holds until the next good sample says otherwise; before the first one the time is unknown.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shakedown.bridge.core.model import Sample
from shakedown.bridge.core.oee_calendar import Calendar, Period
from shakedown.bridge.core.oee_losses import causes, sums
from shakedown.bridge.core.oee_series import NS, Series, Step
from shakedown.bridge.core.oee_units import (
    COUNTS,
    DOWN,
    STOPS,
    WAITS,
    Episode,
    Meaning,
    Stretch,
    UnitConfig,
    WorkUnit,
    began,
    mean_times,
    parts_of,
    ratio,
    spent_ns,
)

REPORT_NS = 60 * NS
"""How often the report of an open shift is published, and how soon late data restates a closed one."""

CLOSE_NS = 5 * NS
"""A shift is closed this long after its end: its last samples are on their way. What comes later restates it."""

CLOSED_MAX = 4
"""Closed shifts that can still be restated."""

SUSPECT_MAX = 20
"""Doubted steps of counters that a report names."""

DELAYS = (*STOPS, *WAITS, "idle")
"""What is ADET inside an order; of it, what is not a stop is ADOT outside of any."""

FORMULAS = {
    "availability": "APT / (PBT - unknown)",
    "effectiveness": "sum over products (PRI * PQ) / APT",
    "quality": "product over work units (GQ / PQ)",
    "oee": "availability * effectiveness * quality",
    "nee": "(APT + AUST) / (PBT - unknown) * effectiveness * quality",
    "fpy": "product over work units ((GQ - reworked) / PQ)",
    "mttr_s": "mean length of the failures that ended in the period",
    "mtbf_s": "APT / failures that began in the period",
    "changeover_s_mean": "mean from the last good part of a product to the first of the next at the end of a line"
    "; of one work unit, mean length of the changeovers that ended in the period",
    "unplanned_downtime_s": "time in failures and minor stops inside PBT",
}
"""ISO 22400-2 as computed here; part of every report's lineage."""


@dataclass(frozen=True, slots=True)
class LineConfig:
    """What the OEE of a line is made from."""

    name: str
    units: Sequence[UnitConfig]  # in the order of flow
    calendar: Calendar
    counting: int = 0  # place of the work unit that counts for the line
    is_line: bool = False  # else the report is of that one work unit
    ideal_ns: Mapping[str, int] = field(default_factory=dict)  # planned run time per item (PRI) by product
    meaning: Meaning = field(default_factory=Meaning)
    lineage: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Tally:
    """Of one order, or of none: planned time in ns by what was done, and parts by (count, product)."""

    time_ns: Counter[str] = field(default_factory=Counter)
    parts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def count(self, what: str) -> int:
        return sum(n for (kind, _), n in self.parts.items() if kind == what)


class Line:
    """The history of one line, as long as a shift may still be restated, and the figures of any stretch of it."""

    def __init__(self, config: LineConfig) -> None:
        self.config = config
        self.units = [
            WorkUnit(unit, config.meaning, counts_for_line=place == config.counting)
            for place, unit in enumerate(config.units)
        ]
        self.counting = self.units[config.counting]
        self._has_orders = "order" in self.counting.config.ids
        self._period: Period | None = None
        self._between = (0, 0)  # a stretch without a shift
        self._takers: dict[int, list[WorkUnit]] = {}
        for unit in self.units:
            for metric_id in set(unit.config.ids.values()):
                self._takers.setdefault(metric_id, []).append(unit)

    @property
    def metric_ids(self) -> set[int]:
        return set(self._takers)

    def take(self, sample: Sample) -> bool:
        """Take a sample, late or not; returns whether it changes anything. What is not good changes nothing."""
        self._cut_at_shift(sample.ts_ms * 1_000_000)
        has_changed = False
        for unit in self._takers[sample.metric_id]:
            has_changed |= unit.take(sample)
        return has_changed

    def _cut_at_shift(self, ts_ns: int) -> None:
        period, between = self._period, self._between
        if period is not None and period.from_ns <= ts_ns < period.to_ns:
            return
        if between[0] <= ts_ns < between[1]:
            return
        edges = [period.to_ns] if period is not None and ts_ns >= period.to_ns else []
        self._period = self.config.calendar.period(ts_ns)
        if self._period is not None:
            edges.append(self._period.from_ns)
        else:
            following = self.config.calendar.following(ts_ns)
            self._between = (ts_ns, following.from_ns if following else ts_ns)
        for unit in self.units:
            unit.edge_ns = max(unit.edge_ns, *edges, 0)

    # ---- figures

    def figures(self, period: Period, until_ns: int) -> dict[str, Any]:
        """Time, counts and KPIs of a shift up to a time; a KPI without a denominator is None."""
        from_ns, to_ns = period.from_ns, min(period.to_ns, until_ns)
        planned = period.planned(from_ns, to_ns)
        for unit in self.units:
            unit.divide()
        counted = [{what: list(unit.steps(what, from_ns, to_ns)) for what in COUNTS} for unit in self.units]
        episodes, orders = self.counting.episodes(from_ns, to_ns), self.counting.orders()
        tallies = self._tally(planned, episodes, orders, counted[self.config.counting])
        total = _Tally()
        for tally in tallies.values():
            total.time_ns.update(tally.time_ns)
            total.parts.update(tally.parts)
        pbt_ns = sum(end - begin for begin, end in planned)
        found = {
            **self._kpis(total, pbt_ns, *_yields(counted)),
            **mean_times(episodes, from_ns, to_ns, total.time_ns["run"]),
            "unknown_s": total.time_ns["unknown"] / NS,
            "unplanned_downtime_s": sum(total.time_ns[kind] for kind in STOPS) / NS,
            "changeover_s_mean": _mean_s(self._changeovers(from_ns, to_ns, episodes)),
            "suspect_counts": self._suspects(counted),
            "orders": [{"order": order, **self._order(tally)} for order, tally in tallies.items() if order],
        }
        if not self.config.is_line:
            return found
        kinds = (*STOPS, *WAITS)
        units = zip(self.units, counted, strict=True)
        return {
            **found,
            **{f"{kind}_s": total.time_ns[kind] / NS for kind in kinds},
            **{f"{kind}s": began(episodes, kind, from_ns) for kind in STOPS},
            "changeovers": len(self._changeovers(from_ns, to_ns, episodes)),
            "losses": self._losses(from_ns, to_ns, planned, orders, tallies),
            "work_units": [unit.figures(from_ns, to_ns, planned, steps) for unit, steps in units],
        }

    def _tally(
        self,
        planned: Sequence[Stretch],
        episodes: Sequence[Episode],
        orders: Series[str],
        counted: Mapping[str, Sequence[Step]],
    ) -> dict[str, _Tally]:
        """Times and parts by production order; "" is outside of any."""
        unit = self.counting
        tallies: dict[str, _Tally] = defaultdict(_Tally)
        for begin, end in planned:
            for order_from, order_to, order in orders.pieces(begin, end):
                tally = tallies[order or ""]
                for kind, spent in spent_ns(episodes, [(order_from, order_to)]).items():
                    tally.time_ns[kind] += spent
                    if kind in DELAYS:
                        tally.time_ns["adet" if order or kind in STOPS else "adot"] += spent
        for what, steps in counted.items():
            for step in steps:
                tallies[orders.at(step.ts_ns - 1) or ""].parts[what, unit.product(step)] += step.parts
        return tallies

    def _kpis(self, tally: _Tally, pbt_ns: int, quality: float | None, fpy: float | None) -> dict[str, Any]:
        time_ns, produced = tally.time_ns, tally.count("produced")
        known_ns, apt_ns, aust_ns = pbt_ns - time_ns["unknown"], time_ns["run"], time_ns["changeover"]
        availability = ratio(apt_ns, known_ns)
        effectiveness = ratio(self._ideal_ns(tally), apt_ns)
        is_nothing_made = self.config.is_line and known_ns > 0 and (apt_ns <= 0 or produced <= 0)
        return {
            "pbt_s": pbt_ns / NS,
            "apt_s": apt_ns / NS,
            "aust_s": aust_ns / NS,
            "adet_s": time_ns["adet"] / NS,
            "adot_s": time_ns["adot"] / NS,
            "produced": produced,
            "good": tally.count("good"),
            "reject": tally.count("reject"),
            "availability": availability,
            "effectiveness": effectiveness,
            "quality": quality,
            "oee": 0.0 if is_nothing_made else _product(availability, effectiveness, quality),
            "nee": _product(ratio(apt_ns + aust_ns, known_ns), effectiveness, quality),
            "fpy": fpy,
        }

    def _order(self, tally: _Tally) -> dict[str, Any]:
        """Of one order, on the work unit that counts for the line."""
        produced, good = tally.count("produced"), tally.count("good")
        pbt_ns = sum(tally.time_ns[bucket] for bucket in ("run", "changeover", "adet", "adot", "unknown"))
        first_pass = good - tally.count("rework")
        return self._kpis(tally, pbt_ns, ratio(good, produced), ratio(first_pass, produced))

    def _ideal_ns(self, tally: _Tally) -> int | None:
        """What the parts should have taken; None if a product was made that nobody planned a time for."""
        ideal = self.config.ideal_ns
        parts = [(product, n) for (what, product), n in tally.parts.items() if what == "produced"]
        if any(product not in ideal for product, n in parts if n):
            return None
        return sum(ideal[product] * n for product, n in parts if n)

    def _changeovers(self, from_ns: int, to_ns: int, episodes: Sequence[Episode]) -> list[int]:
        """How long each took in ns: on a line between the good parts at its end, of one work unit in that state."""
        if self.config.is_line:
            return [self.config.calendar.planned_ns(*gap) for gap in self.units[-1].gaps(from_ns, to_ns)]
        return [e.end - e.begin for e in episodes if e.kind == "changeover" and from_ns < e.end < to_ns]

    def _losses(
        self,
        from_ns: int,
        to_ns: int,
        planned: Sequence[Stretch],
        orders: Series[str],
        tallies: Mapping[str, _Tally],
    ) -> list[dict[str, Any]]:
        """Where the planned time went in which the line's bottleneck did not run."""
        own = self.counting.config.name
        found: Counter[tuple[str, str]] = Counter()
        waiting = planned
        if self._has_orders:
            waiting = [
                (begin, end) for piece in planned for begin, end, order in orders.pieces(*piece) if order
            ]
        for order, tally in tallies.items():
            for kind in DOWN:
                found[own, kind] += tally.time_ns[kind]
            found["", "unknown"] += tally.time_ns["unknown"]
            if order or not self._has_orders:
                found[own, "idle"] += tally.time_ns["idle"]
            else:
                found["", "no_order"] += tally.time_ns["adot"]
        found.update(sums(causes(self.units, self.config.counting, from_ns, to_ns), waiting))
        return [
            {"work_unit": unit, "kind": kind, "s": spent / NS}
            for (unit, kind), spent in sorted(found.items())
            if spent
        ]

    def _suspects(self, counted: Sequence[Mapping[str, Sequence[Step]]]) -> list[dict[str, Any]]:
        """The steps of counters that are doubted."""
        found: list[dict[str, Any]] = [
            {
                "work_unit": unit.config.name, "count": what, "at_ms": step.ts_ns // 1_000_000,
                "before": step.before, "after": step.after, "parts": step.parts, "kind": step.suspect,
            }
            for unit, counts in zip(self.units, counted, strict=True)
            for what, steps in counts.items()
            for step in steps
            if step.suspect
        ]  # fmt: skip
        return sorted(found, key=lambda suspect: suspect["at_ms"])[:SUSPECT_MAX]

    # ---- memory

    def forget(self, before_ns: int) -> None:
        """Drop what no figure of a later stretch needs."""
        for series in self._series():
            series.forget(before_ns)

    def save(self) -> dict[str, Any]:
        """The history as plain data."""
        for unit in self.units:
            unit.divide()
        history = [(series.times, series.values) for series in self._series()]
        return {"metrics": self._metrics(), "history": history}

    def restore(self, saved: Any) -> bool:
        """Continue with a history; returns False where it is of other metrics: then it begins anew."""
        if isinstance(
            saved, list
        ):  # of a version that knew one work unit: state, product, order and the counts
            if self.config.is_line:
                return False
            texts, unit = self.counting.texts, self.counting
            series: list[Series[Any]] = [texts["state"], texts["product"], texts["order"]]
            series += unit.counters.values()
            history = saved
        elif saved["metrics"] != self._metrics():
            return False
        else:
            series, history = list(self._series()), saved["history"]
        for one, (times, values) in zip(series, history, strict=True):
            one.times, one.values = list(times), list(values)
        for unit in self.units:
            texts = unit.texts
            unit.edge_ns = max([0, *(t + 1 for t in texts["product"].times[-1:] + texts["order"].times[-1:])])
        return True

    def _metrics(self) -> list[dict[str, str]]:
        return [dict(unit.config.metrics) for unit in self.units]

    def _series(self) -> Iterator[Series[Any]]:
        for unit in self.units:
            yield from unit.series()


def _yields(counted: Sequence[Mapping[str, Sequence[Step]]]) -> tuple[float | None, float | None]:
    """Quality and first-pass yield of a whole line: of what enters, the share that passes every work unit."""
    passed: list[float] = []
    at_once: list[float] = []
    for counts in counted:
        produced, good, _, rework = (parts_of(counts[what]) for what in COUNTS)
        if produced > 0:
            passed.append(good / produced)
            at_once.append((good - rework) / produced)
    return (_product(*passed), _product(*at_once)) if passed else (None, None)


def _mean_s(lengths_ns: Sequence[int]) -> float | None:
    return ratio(sum(lengths_ns), len(lengths_ns) * NS)


def _product(*factors: float | None) -> float | None:
    result = 1.0
    for factor in factors:
        if factor is None:
            return None
        result *= factor
    return result
