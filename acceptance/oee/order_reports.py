"""What a shift report says of its orders, held against what was of each.

Each time is held within 1 % of the PBT of the shift, each count exactly: but for the parts at an edge of the shift. Of
an order of few parts one such part changes the factors a lot, so that these are held as the formulas of the report's
own times and counts (formulas.py).

An order must be there if a part was surely made for it, or if it lasted longer than a scan. One that was not at the
machine must not.
"""

from __future__ import annotations

from typing import Any

from shakedown.acceptance.oee.figures import Breaches, Within
from shakedown.acceptance.oee.formulas import formulas, held
from shakedown.acceptance.oee.oracle import COUNTS, ShiftTruth
from shakedown.acceptance.oee.production_orders import OrderTruth


def by_order(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What a report says of each order; what is no list of orders says nothing."""
    entries = report.get("orders")
    told = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return {str(entry.get("order")): entry for entry in told}


def wrong_orders(
    truth: ShiftTruth,
    orders: list[OrderTruth],
    report: dict[str, Any],
    scan_ms: int,
    slack_s: float,
    *,
    has_rework: bool,
) -> Breaches:
    """Every figure of an order that is missing, that is not what happened, or of an order that was not there."""
    told = by_order(report)
    known = [order.order for order in orders]
    entries = report.get("orders")
    if not isinstance(entries, list) or len(told) != len(entries):
        return [("orders", list(told), known)]
    found: Breaches = [(f"order {name}", "reported", None) for name in told if name not in known]
    for order in orders:
        if order.order in told:
            wrong = _wrong(order, told[order.order], slack_s, has_rework=has_rework, is_line=truth.is_line)
            found += [(f"{figure} of {order.order}", reported, true) for figure, reported, true in wrong]
        elif order.counts["produced"][0] or order.times_s["pbt_s"] > scan_ms / 1000:
            found.append((f"order {order.order}", None, order.exact["produced"]))
    return found


def _wrong(
    order: OrderTruth, entry: dict[str, Any], slack_s: float, *, has_rework: bool, is_line: bool
) -> Breaches:
    within = {
        figure: Within(true_s - slack_s, true_s + slack_s, False, true_s)
        for figure, true_s in order.times_s.items()
    }
    for count in COUNTS:
        within[count] = Within(*order.counts[count], False, order.exact[count])
    within |= formulas(
        entry,
        order.standard_ns,
        order.reworked if has_rework or not order.reworked[1] else None,
        order.kpis(is_line=is_line),
        is_line=is_line,
    )
    return held(entry, within)
