"""The judge's own figures of each order in a shift: for which order a part was made, and on which one time was spent.

A part belongs to the order of its lot, wherever in time it lies. Time belongs to the order that the counting machine is
on (`order_at`), and before the first one to none. Idle inside of an order is ADET (a delay), outside of any it is ADOT.
What a counter gains in a scan belongs to the order that the machine was on before that scan. Only a part of the next
order that is finished in the very scan of the change cannot be told from it: it is unsure, and counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from shakedown.acceptance.oee.course import NO_ORDER, Column
from shakedown.acceptance.oee.line_truth import KINDS, LineTruth
from shakedown.acceptance.oee.oracle import BUCKETS, Machine, Parts, ShiftTruth, ratio
from shakedown.acceptance.spans import S


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
    unsure: int = 0  # parts that came in the scan of a change of order, as the first of the next one
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

    def kpis(self, *, is_line: bool = False) -> dict[str, float | None]:
        """availability, effectiveness, quality, oee, fpy; oee, on a line, is 0 if nothing was made for it."""
        run_ns, pbt_ns, produced = self.spent_ns["run"], sum(self.spent_ns.values()), self.exact["produced"]
        a, e = ratio(run_ns, pbt_ns), ratio(self.exact_standard_ns, run_ns)
        q, fpy = (
            ratio(good, produced) for good in (self.exact["good"], self.exact["good"] - self.reworked[0])
        )
        oee = None if a is None or e is None or q is None else a * e * q
        if is_line and a is not None and not (run_ns and produced):
            oee = 0.0
        return {"availability": a, "effectiveness": e, "quality": q, "oee": oee, "fpy": fpy}


def orders_of(lines: LineTruth, truth: ShiftTruth) -> list[OrderTruth] | None:
    """The orders of a shift as they came; None if the ledger does not tell which one a machine is on."""
    course, machine, physical = lines.course, lines.machine, lines.ledger.physical
    if lines.line.order is None or not lines.told_of_orders:
        return None
    begun = [event.data for event in physical.of("order") if event.data.get("phase") == "start"]
    lots = {str(data.get("lot")): str(data.get("id")) for data in begun}
    parts = machine.parts(truth.from_ns, truth.to_ns)
    of_lot = np.array([*(lots.get(lot, NO_ORDER) for lot in physical.lots), NO_ORDER], dtype=object)
    mine = of_lot[parts.lot]
    shown_for = _shown_for(lines, mine)
    own, span = lines.line.counting.name, [(truth.from_ns, truth.to_ns)]
    names = dict.fromkeys([*_touching(lines, truth), *mine[parts.perhaps].tolist()])
    found = []
    for name in names:
        if name != NO_ORDER:
            spent = {of: course.planned_ns(own, KINDS[bucket], span, name) for bucket, of in BUCKETS.items()}
            order = OrderTruth(name, spent_ns=spent)
            order.products = list(
                dict.fromkeys(str(data.get("product")) for data in begun if data.get("id") == name)
            )
            _count(order, machine, parts, mine == name, shown_for == name)
            found.append(order)
    return found


def _touching(lines: LineTruth, truth: ShiftTruth) -> list[str]:
    """The orders that the machine was on during the shift, or a scan before or after it."""
    slack_ns = lines.scan_ms * 1_000_000
    return [
        order
        for (ns, order), (until_ns, _) in pairwise([*lines.course.orders, (truth.to_ns + slack_ns, NO_ORDER)])
        if ns <= truth.to_ns + slack_ns and until_ns >= truth.from_ns - slack_ns
    ]


def _shown_for(lines: LineTruth, mine: Column) -> Column:
    """The order of each part as the controller shows it: of its lot, but in the scan of a change the one before."""
    machine = lines.machine
    changes = np.array([ns for ns, _ in lines.course.orders], dtype=np.int64)
    together = np.isin(machine.shown, machine.next_scan(changes))
    before = lines.course.order_at(machine.shown - machine.scan_ms * 1_000_000)
    return np.where(together, before, mine)


def _count(order: OrderTruth, machine: Machine, parts: Parts, mine: Column, shown: Column) -> None:
    """Count what is surely and what is perhaps of an order; `shown` are the parts that its counters show."""
    sure = parts._replace(surely=parts.surely & mine & shown, perhaps=parts.perhaps & (mine | shown))
    order.unsure = int(np.count_nonzero(parts.perhaps & mine & ~shown))
    for name, which in parts.by_count().items():
        order.counts[name] = sure.counted(which)
        order.exact[name] = int(np.count_nonzero(parts.inside & mine & which))
    order.reworked = sure.counted(parts.good & parts.rework)
    order.standard_ns = machine.standards_ns(sure, np.ones_like(parts.good))
    order.exact_standard_ns = machine.standard_ns(parts.product[parts.inside & mine])
