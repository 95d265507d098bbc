"""What a shift report says of its orders, held against what was of each.

Each time is held within 1 % of the PBT of the shift, each count exactly: but for the parts at an edge of the shift, and
those that the controller showed in the scan of a change of order, which may be on either side of it. Of an order of few
parts one such part changes the factors a lot, so that these are held as the formulas of the report's own times and
counts, each of which is held on its own; what the parts should have taken (PRI * PQ) and how many of the good ones went
through twice, is the judge's.

An order must be there if a part was surely made for it, or if it lasted longer than a scan. One that was not at the
machine must not.
"""

from __future__ import annotations

from typing import Any

from shakedown.acceptance.oee.figures import BUCKET_SHARE, FACTOR_PP, ROUNDED, Breaches, number
from shakedown.acceptance.oee.oracle import COUNTS, S, ShiftTruth, ratio
from shakedown.acceptance.oee.production_orders import OrderTruth


def by_order(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What a report says of each order; what is no list of orders says nothing."""
    entries = report.get("orders")
    told = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return {str(entry.get("order")): entry for entry in told}


def wrong_orders(
    truth: ShiftTruth, orders: list[OrderTruth], report: dict[str, Any], scan_ms: int, *, has_rework: bool
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
            found += _wrong(order, told[order.order], truth.pbt_ns / S, has_rework=has_rework)
        elif order.counts["produced"][0] or order.times_s["pbt_s"] > scan_ms / 1000:
            found.append((f"order {order.order}", None, order.exact["produced"]))
    return found


def _wrong(order: OrderTruth, entry: dict[str, Any], pbt_s: float, *, has_rework: bool) -> Breaches:
    found: Breaches = []

    def hold(figure: str, least: float | None, most: float | None, true: Any) -> None:
        reported = number(entry.get(figure))
        if reported is None or least is None or most is None:
            is_wrong = entry.get(figure) is not None or least is not None
        else:
            is_wrong = not least - 1e-9 <= reported <= most + 1e-9
        if is_wrong:
            found.append((f"{figure} of {order.order}", entry.get(figure), true))

    def hold_near(figure: str, true: float | None, tolerance: float) -> None:
        within = (None, None) if true is None else (true - tolerance, true + tolerance)
        hold(figure, within[0], within[1], true)

    for figure, true_s in order.times_s.items():
        hold_near(figure, true_s, BUCKET_SHARE * pbt_s)
    for count in COUNTS:
        hold(count, *order.counts[count], order.exact[count])
    own = {name: number(entry.get(name)) or 0.0 for name in (*order.times_s, *COUNTS)}
    apt_s, own_s, produced = own["apt_s"], own["pbt_s"], own["produced"]
    least, most = (ratio(ns / S, apt_s) for ns in order.standard_ns)
    hold_near("availability", ratio(apt_s, own_s), ROUNDED)
    hold(
        "effectiveness",
        None if least is None else least - FACTOR_PP,
        None if most is None else most + FACTOR_PP,
        ratio(order.exact_standard_ns / S, order.times_s["apt_s"]),
    )
    hold_near("quality", ratio(own["good"], produced), ROUNDED)
    factors = [number(entry.get(name)) for name in ("availability", "effectiveness", "quality")]
    hold_near("oee", _product(*factors), ROUNDED)
    hold_near("nee", _product(ratio(apt_s + own["aust_s"], own_s), *factors[1:]), ROUNDED)
    if has_rework or not order.reworked[1]:  # without a counter of rework nobody can tell a first pass
        most, least = (ratio(own["good"] - again, produced) for again in order.reworked)
        hold(
            "fpy",
            None if least is None else least - FACTOR_PP,
            None if most is None else most + FACTOR_PP,
            ratio(order.exact["good"] - order.reworked[0], order.exact["produced"]),
        )
    return found


def _product(*factors: float | None) -> float | None:
    result = 1.0
    for factor in factors:
        if factor is None:
            return None
        result *= factor
    return result
