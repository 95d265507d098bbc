"""The judge's own figures of each order in a shift: for which order a part was made, and on which one time was spent.

A part belongs to the order of its lot, wherever in time it lies. Time belongs to the order that the counting machine is
on (`order_at`), and before the first one to none. Idle inside of an order is ADET (a delay), outside of any it is ADOT.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from shakedown.acceptance.oee.oracle import (
    BUCKETS,
    Column,
    Parts,
    S,
    ShiftTruth,
    next_scan,
    parts_of,
    ratio,
    standard_ns,
)
from shakedown.acceptance.physical import Physical
from shakedown.acceptance.readers import Ledger

NO_ORDER = ""

Changes = list[tuple[int, str]]
"""(ns, order) of each time that a machine takes up an order."""


def _nothing() -> dict[str, int]:
    return dict.fromkeys(BUCKETS.values(), 0)


@dataclass
class OrderTruth:
    """One order in one shift. Where there are two numbers, they are the least and the most, as in ShiftTruth."""

    order: str
    products: list[str] = field(default_factory=list)
    spent_ns: dict[str, int] = field(default_factory=_nothing)  # planned time by canonical state
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    exact: dict[str, int] = field(default_factory=dict)
    reworked: tuple[int, int] = (0, 0)  # good ones that went through twice
    standard_ns: tuple[int, int] = (0, 0)
    exact_standard_ns: int = 0

    @property
    def times_s(self) -> dict[str, float]:
        """The planned time that was spent on the order, and what of it was which time element."""
        spent_s = {state: ns / S for state, ns in self.spent_ns.items()}
        return {
            "pbt_s": sum(spent_s.values()),
            "apt_s": spent_s["run"],
            "aust_s": spent_s["changeover"],
            "adet_s": spent_s["fault"] + spent_s["idle"],
            "adot_s": 0.0,
        }

    @property
    def oee(self) -> float | None:
        """What it was; None if the machine never ran for it, or made nothing."""
        quality = ratio(self.exact["good"], self.exact["produced"])
        share = ratio(self.exact_standard_ns, sum(self.spent_ns.values()))
        return None if quality is None or share is None or not self.spent_ns["run"] else share * quality


def orders_of(
    ledger: Ledger, machine: str, truth: ShiftTruth, scan_ms: int, unseen_until_ns: int = 0
) -> list[OrderTruth] | None:
    """The orders of a shift as they came; None if the ledger does not tell which one a machine is on."""
    physical = ledger.physical
    told = physical.of("order_at")
    if not told:
        return None
    changes = [(event.ns, str(event.data.get("order"))) for event in told if event.machine == machine]
    begun = [event.data for event in physical.of("order") if event.data.get("phase") == "start"]
    lots = {str(data.get("lot")): str(data.get("id")) for data in begun}
    parts = parts_of(truth, ledger, machine, scan_ms, unseen_until_ns)
    of_lot = np.array([*(lots.get(lot, NO_ORDER) for lot in physical.lots), NO_ORDER], dtype=object)
    mine = of_lot[parts.lot]
    spent = _spent(truth, physical, machine, changes)
    names = dict.fromkeys([*_touching(truth, changes, scan_ms), *spent, *mine[parts.perhaps].tolist()])
    doubtful = _doubtful(parts, changes, ledger, scan_ms)
    found = []
    for name in names:
        if name != NO_ORDER:
            order = OrderTruth(name, spent_ns=spent.get(name, _nothing()))
            order.products = list(
                dict.fromkeys(str(data.get("product")) for data in begun if data.get("id") == name)
            )
            _count(order, ledger, machine, parts, mine == name, doubtful)
            found.append(order)
    return found


def delayed(truth: ShiftTruth, orders: list[OrderTruth]) -> ShiftTruth:
    """A shift in which idle inside of an order is ADET, and no longer ADOT."""
    delay_ns = sum(order.spent_ns["idle"] for order in orders)
    buckets = truth.buckets_ns
    moved = {"adet": buckets["adet"] + delay_ns, "adot": buckets["adot"] - delay_ns}
    return replace(truth, buckets_ns=buckets | moved, delay_ns=delay_ns)


def _touching(truth: ShiftTruth, changes: Changes, scan_ms: int) -> list[str]:
    """The orders that the machine was on during the shift, or a scan before or after it."""
    slack_ns = scan_ms * 1_000_000
    return [
        order
        for (ns, order), (until_ns, _) in pairwise([*changes, (truth.to_ns + slack_ns, NO_ORDER)])
        if ns <= truth.to_ns + slack_ns and until_ns >= truth.from_ns - slack_ns
    ]


def _spent(
    truth: ShiftTruth, physical: Physical, machine: str, changes: Changes
) -> dict[str, dict[str, int]]:
    """Planned time by order and state: the shift is cut wherever anything changes, and each piece looked at."""
    first, states = physical.states_of(machine)
    breaks = [(event.ns, str(event.data.get("phase"))) for event in physical.of("break")]
    now = {"state": first, "order": NO_ORDER, "break": "end"}
    later = {"state": states[::-1], "order": changes[::-1], "break": breaks[::-1]}
    cuts = {ns for series in later.values() for ns, _ in series if truth.from_ns < ns < truth.to_ns}
    found: dict[str, dict[str, int]] = {}
    for begin, end in pairwise(sorted(cuts | {truth.from_ns, truth.to_ns})):
        for what, series in later.items():
            while series and series[-1][0] <= begin:
                now[what] = series.pop()[1]
        if now["break"] != "start":
            found.setdefault(now["order"], _nothing())[now["state"]] += end - begin
    return found


def _doubtful(parts: Parts, changes: Changes, ledger: Ledger, scan_ms: int) -> dict[str, Column]:
    """By order, the parts that the controller shows in the scan of a change from or to it: its counter says no more."""
    found: dict[str, Column] = {}
    before = NO_ORDER
    for ns, order in changes:
        together = parts.shown == next_scan(np.array(ns), ledger, scan_ms)
        for one in (before, order):
            found[one] = found.get(one, np.zeros_like(parts.good)) | together
        before = order
    return found


def _count(
    order: OrderTruth,
    ledger: Ledger,
    machine: str,
    parts: Parts,
    mine: Column,
    doubtful: dict[str, Column],
) -> None:
    doubt = doubtful.get(order.order, np.zeros_like(parts.good))
    surely, perhaps, inside = (
        parts.surely & mine & ~doubt,
        parts.perhaps & (mine | doubt),
        parts.inside & mine,
    )
    for name, which in parts.by_count().items():
        order.counts[name] = (int(np.count_nonzero(surely & which)), int(np.count_nonzero(perhaps & which)))
        order.exact[name] = int(np.count_nonzero(inside & which))
    again = parts.good & parts.rework
    order.reworked = (int(np.count_nonzero(surely & again)), int(np.count_nonzero(perhaps & again)))
    least, most, exact = (
        standard_ns(ledger, machine, parts.product[which]) for which in (surely, perhaps, inside)
    )
    order.standard_ns, order.exact_standard_ns = (least, most), exact
