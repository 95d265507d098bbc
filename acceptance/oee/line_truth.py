"""The judge's own OEE of a line, from what physically happened to all of its machines (docs/oee.md).

The headline (times, counts, factors) follows from the physical moments, which no report may miss by more than its
tolerance. What counts or names episodes (failures, causes, the other work units) follows from the moments at which the
controllers show them, and beside these from the samples that they offered. While an upset makes a state lie, it is held
by what it said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from shakedown.acceptance.oee.course import EVER, NO_ORDER, UNKNOWN, Changes, Course, Span
from shakedown.acceptance.oee.figures import Within
from shakedown.acceptance.oee.losses import Losses
from shakedown.acceptance.oee.oracle import BUCKETS, Machine, ShiftTruth, ratio, share, shifts_of
from shakedown.acceptance.oee.suspects import HELD, Suspect, suspects_of
from shakedown.acceptance.operations_site import OeeLine
from shakedown.acceptance.readers import Ledger

KINDS = {
    "apt": ("run",),
    "aust": ("changeover",),
    "adet": ("failure", "minor_stop"),
    "adot": ("starved", "blocked", "idle"),
}
"""What is done in each time element; inside of an order waiting is ADET."""


@dataclass
class Known:
    """What is known of a work unit: from when on its state, and what its controller shows of it."""

    machine: Machine
    state_from_ns: int = 0
    shown: list[tuple[int, str, Any]] = field(default_factory=list)  # (ns, canonical state, stop reason)
    counted: dict[str, list[tuple[int, int]]] = field(default_factory=dict)  # (ns, value) by count


def kind_of(line: OeeLine, state: str, reason: Any) -> str:
    """What a work unit does, of its state and the reason that it shows for it."""
    if state not in ("fault", "idle"):
        return state
    waits = (kind for kind in ("starved", "blocked") if reason in line.reasons.get(kind, ()))
    own = "minor_stop" if reason in line.reasons.get("minor_stop", ()) else "failure"
    return next(waits, own if state == "fault" else "idle")


class LineTruth:
    """What is right of any stretch of a line's time."""

    def __init__(self, ledger: Ledger, line: OeeLine, known: Mapping[str, Known]) -> None:
        self.ledger, self.line = ledger, line
        self.machines = {unit.name: known[unit.name].machine for unit in line.units}
        self.machine = self.machines[line.counting.name]
        self.scan_ms = self.machine.scan_ms
        told = ledger.physical.of("order_at")
        orders = [
            (event.ns, str(event.data.get("order"))) for event in told if event.machine == self.machine.name
        ]
        orders = self._until_full(orders, known[line.counting.name].machine)
        self.told_of_orders = bool(told)
        planned = _planned(ledger)
        physical: dict[str, Changes] = {}
        scanned: dict[str, Changes] = {}
        shown: dict[str, Changes] = {}
        for unit in line.units:
            of = known[unit.name]
            states = ledger.physical.states_of(of.machine.name)
            lies = lies_of(ledger, of.machine.name) if of.shown else []
            said = self._kinds(of.shown, of)
            physical[unit.name] = _spliced(self._kinds(states, of), said, lies)
            scans = of.machine.next_scan(np.array([ns for ns, _, _ in states], dtype=np.int64)).tolist()
            at_scans = [(ns, *rest) for ns, (_, *rest) in zip(scans, states, strict=True)]
            scanned[unit.name] = _spliced(self._kinds(at_scans, of), said, lies)
            shown[unit.name] = said if of.shown else scanned[unit.name]
        self.course = Course(physical, orders, planned)
        scans = self.machine.next_scan(np.array([ns for ns, _ in orders], dtype=np.int64)).tolist()
        orders = [(ns, order) for ns, (_, order) in zip(scans, orders, strict=True)]
        self.seen = [Course(kinds, orders, planned) for kinds in (scanned, shown)]
        """The course as the controllers show it: of what happened, and of what they offered."""

        self.lies = lies_of(ledger, self.machine.name)
        self.losses = [Losses(course, line) for course in self.seen]
        self.suspects = [
            suspect
            for unit in line.units
            for count, samples in known[unit.name].counted.items()
            for suspect in self._suspects(unit.name, count, samples)
        ]

    def _until_full(self, orders: Changes, machine: Machine) -> Changes:
        """The same, each order ended where the good parts since it began reach its planned quantity."""
        if "order_quantity" not in self.line.counting.topics:
            return orders
        begun = [
            event.data for event in self.ledger.physical.of("order") if event.data.get("phase") == "start"
        ]
        quantity = {str(data.get("id")): int(data.get("quantity") or 0) for data in begun}
        found: Changes = []
        for (ns, order), (until_ns, _) in pairwise([*orders, (EVER, NO_ORDER)]):
            found.append((ns, order))
            full_ns = machine.good_since(ns, quantity.get(order, 0))
            if full_ns is not None and full_ns < until_ns:
                found.append((full_ns, NO_ORDER))
        return found

    def _suspects(self, unit: str, count: str, samples: list[tuple[int, int]]) -> list[Suspect]:
        seen = self.seen[1]
        ran = seen.does(unit, ("run", UNKNOWN))
        return suspects_of(
            unit,
            count,
            samples,
            self.line.rolls_over_at,
            min(self.line.lineage["ideal_s"].values(), default=0.0),
            lambda since_ns, ns: seen.spent_ns(ran, [(since_ns, ns)]),
            asks_rises=unit == self.line.counting.name,
        )

    def _uncounted(self, unit: str) -> list[Span]:
        """The steps of a work unit's counters that count nothing: up to the sample that shows them."""
        return [
            (one.since_ns + 1, one.ns + 1) for one in self.suspects if one.unit == unit and one.kind in HELD
        ]

    def _kinds(self, states: Sequence[tuple[int, str, Any]], known: Known) -> Changes:
        return [
            (max(ns, known.state_from_ns), kind_of(self.line, state, reason)) for ns, state, reason in states
        ]

    def ended(self) -> list[ShiftTruth]:
        """Every shift that ended."""
        return [self.shift(*shift) for shift in shifts_of(self.ledger) if shift[2] <= self.ledger.end_ns]

    def shift(self, name: str, from_ns: int, to_ns: int, doubt: Sequence[Span] = ()) -> ShiftTruth:
        """What is right of a shift as far as `to_ns`; parts shown in a span of `doubt` need not be counted."""
        truth = ShiftTruth(name, from_ns, to_ns, is_line=self.line.is_line)
        span = [(from_ns, to_ns)]
        own, course = self.line.counting.name, self.course
        truth.buckets_ns = self.buckets_ns(span)
        truth.unknown_ns = course.planned_ns(own, (UNKNOWN,), span)
        if self.line.order is not None and self.told_of_orders:
            waiting = course.planned & course.does(own, KINDS["adot"]) & (course.order != NO_ORDER)
            truth.delay_ns = course.spent_ns(waiting, span)
            truth.buckets_ns["adet"] += truth.delay_ns
            truth.buckets_ns["adot"] -= truth.delay_ns
        truth.stops = sum(
            from_ns <= begin < to_ns for kind in KINDS["adet"] for begin, _ in course.episodes(own, kind)
        )
        self._count(truth, doubt)
        return truth

    def buckets_ns(self, spans: Sequence[Span]) -> dict[str, int]:
        """Planned time in each time element, all waiting in ADOT."""
        own = self.line.counting.name
        return {bucket: self.course.planned_ns(own, KINDS[bucket], spans) for bucket in BUCKETS}

    def _count(self, truth: ShiftTruth, doubt: Sequence[Span]) -> None:
        machine = self.machine
        own = self.line.counting.name
        parts = machine.parts(truth.from_ns, truth.to_ns, doubt)
        for name, which in parts.by_count().items():
            truth.exact[name] = int(np.count_nonzero(parts.inside & which))
        truth.counts = self.counts(own, truth, doubt)
        truth.reworks = parts.counted(parts.good & parts.rework)
        truth.standard_ns = machine.standard_ns(parts.product[parts.inside])
        truth.standards_ns = machine.standards_ns(parts, np.ones_like(parts.good))
        apt_ns = truth.buckets_ns["apt"]
        if apt_ns:
            least, most = truth.standards_ns
            truth.spans["effectiveness"] = Within(least / apt_ns, most / apt_ns, may_be_none=False)
        truth.yields = {}
        for figure in ("quality", "fpy"):
            truth.yields[figure], span = self._yield(truth, doubt, figure)
            if span is not None:
                truth.spans[figure] = span
        if truth.spans.keys() >= {"effectiveness", "quality"}:
            a, e, q = apt_ns / truth.known_ns, truth.spans["effectiveness"], truth.spans["quality"]
            truth.spans["oee"] = Within(a * e.low * q.low, a * e.high * q.high, q.may_be_none)
        if truth.is_line and truth.known_ns and not (apt_ns and truth.counts["produced"][0]):
            high = truth.spans["oee"].high if "oee" in truth.spans else 0.0
            truth.spans["oee"] = Within(0.0, high, may_be_none=False)

    def counts(self, unit: str, truth: ShiftTruth, doubt: Sequence[Span] = ()) -> dict[str, tuple[int, int]]:
        """The least and the most that a work unit's counters may say; a correction counts as it was shown."""
        span = (truth.from_ns, truth.to_ns)
        parts = self.machines[unit].parts(*span, [*doubt, *self._uncounted(unit)])
        fewer = Counter(
            {
                one.counter: one.parts
                for one in self.suspects
                if one.unit == unit and span[0] <= one.ns < span[1]
            }
        )
        found = {}
        for name, which in parts.by_count().items():
            least, most = parts.counted(which)
            found[name] = (least + fewer[name], most)
        return found

    def _yield(
        self, truth: ShiftTruth, doubt: Sequence[Span], figure: str
    ) -> tuple[float | None, Within | None]:
        """Rolled over all work units that made anything: what passes each, and what of it is known."""
        rolled, low, high, may_be_none, made = 1.0, 1.0, 1.0, True, False
        for unit in self.line.units:
            of_unit = [*doubt, *self._uncounted(unit.name)]
            parts = self.machines[unit.name].parts(truth.from_ns, truth.to_ns, of_unit)
            which = parts.good
            if figure == "fpy" and (unit.topics.get("rework") or not self.line.is_line):
                which = parts.good & ~parts.rework
            true = ratio(int(np.count_nonzero(parts.inside & which)), int(np.count_nonzero(parts.inside)))
            rolled *= 1.0 if true is None else true
            made |= true is not None
            if np.any(parts.perhaps):
                span = share(parts, which)
                low, high = low * span.low, high * (max(span.high, 1.0) if span.may_be_none else span.high)
                may_be_none &= span.may_be_none
        within = None if low == high == 1.0 and may_be_none and not made else Within(low, high, may_be_none)
        return (rolled if made else None), within


def lies_of(ledger: Ledger, machine: str) -> list[Span]:
    """When an upset made the controller of a machine show another state than it was in."""
    begun: dict[str, int] = {}
    found = []
    for event in ledger.physical.of("upset"):
        if f"{machine}.state" in (event.data.get("signals") or ()):
            name = str(event.data.get("id"))
            if event.data.get("phase") == "start":
                begun[name] = event.ns
            elif name in begun:
                found.append((begun.pop(name), event.ns))
    return found + [(ns, ledger.end_ns) for ns in begun.values()]


def _spliced(true: Changes, said: Changes, lies: list[Span]) -> Changes:
    """What happened, and while the signal lied what it said: no bridge can know better."""
    for begin, end in lies:
        after = [value for ns, value in true if ns <= end][-1]
        inside = [(ns, value) for ns, value in said if begin <= ns < end]
        kept = [(ns, value) for ns, value in true if not begin <= ns <= end]
        true = sorted([*kept, *inside, (end, after)], key=lambda change: change[0])
    return true


def _planned(ledger: Ledger) -> Changes:
    """Whether production is planned: in a shift, and in no break."""
    open_shifts: set[str] = set()
    on_break = False
    found: Changes = []
    for event in ledger.physical.of("shift", "break"):
        begins = event.data.get("phase") == "start"
        if event.kind == "break":
            on_break = begins
        elif begins:
            open_shifts.add(str(event.data.get("name")))
        else:
            open_shifts.discard(str(event.data.get("name")))
        found.append((event.ns, bool(open_shifts) and not on_break))
    return found
