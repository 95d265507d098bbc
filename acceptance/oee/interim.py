"""The reports that another one followed: of a shift that is still open, and those that were restated.

Each is held against what was right at its time, and may differ from it only by what had not arrived: time in the gap
that a late sample leaves may count as anything, and a part shown in it need not be counted (shift_reports.py). The
factors are held as formulas of the report's own times and counts. By order it is held where nothing was late.
"""

from __future__ import annotations

from math import sqrt

from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.oee.course import Span, without
from shakedown.acceptance.oee.figures import BUCKET_SHARE, Breaches, Within
from shakedown.acceptance.oee.formulas import formulas, held
from shakedown.acceptance.oee.oracle import BUCKETS, COUNTS, Machine, S, ShiftTruth
from shakedown.acceptance.oee.order_reports import wrong_orders
from shakedown.acceptance.oee.production_orders import delayed, orders_of
from shakedown.acceptance.oee.shift_reports import MS, Report, late_spans
from shakedown.acceptance.operations_site import OeeLine

SIGMAS = 4.0
STATUSES = ("open", "closed", "restated")


def wrong_interim(
    evidence: Evidence, line: OeeLine, machine: Machine, shift: ShiftTruth, report: Report
) -> Breaches:
    """Every figure of a report that could not be said at its time."""
    until_ns = min(int(report.as_of_ns), shift.to_ns)
    scan_ns = machine.scan_ms * MS
    edges = {"from_ms": shift.from_ns, "to_ms": shift.to_ns, "as_of_ms": _said_ns(report, shift)}
    found = held(
        report.content,
        {
            name: Within((ns - scan_ns) / MS, (ns + scan_ns) / MS, False, ns / MS)
            for name, ns in edges.items()
        },
    )
    if report.status not in STATUSES:
        found.append(("status", report.status, "open, closed or restated"))
    if found or until_ns <= shift.from_ns:
        return found
    span = (shift.from_ns, until_ns)
    states = [topic for topic in (line.state, line.order) if topic is not None]
    gaps, uncounted = late_spans(evidence, states, report), late_spans(evidence, list(line.counters), report)
    truth = machine.shift(shift.name, *span, doubt=uncounted)
    orders = orders_of(machine, truth) if line.order is not None else None
    if orders is not None:
        truth = delayed(truth, orders)
    slack_s = slack_of(machine, truth)
    within = _times(machine, truth, without(span, gaps), slack_s, is_by_order=line.order is not None)
    for count in COUNTS:
        within[count] = Within(*truth.counts[count], False, truth.exact[count])
    reworked = truth.reworks if line.has_rework or not truth.reworks[1] else None
    within |= formulas(report.content, truth.standards_ns, reworked, truth.kpis())
    found = held(report.content, within)
    if orders is not None and not gaps and not uncounted:
        found += wrong_orders(
            truth, orders, report.content, machine.scan_ms, slack_s, has_rework=line.has_rework
        )
    return found


def slack_of(machine: Machine, truth: ShiftTruth) -> float:
    """By how much a time may be off, in seconds: of a short stretch the scans alone may take more than 1 % of PBT."""
    changes = machine.course.changes((truth.from_ns, truth.to_ns))
    return max(BUCKET_SHARE * truth.pbt_ns / S, machine.scan_ms / 1000 * (1 + SIGMAS * sqrt(changes / 6)))


def _said_ns(report: Report, shift: ShiftTruth) -> int:
    """As of when it must be: the moment of its own timestamp, or the shift's end."""
    return shift.to_ns if report.is_final else min(report.row.ts_ms * MS, shift.to_ns)


def _times(
    machine: Machine, truth: ShiftTruth, known: list[Span], slack_s: float, *, is_by_order: bool
) -> dict[str, Within]:
    """Each time: what is known of it at the least, and at the most all of the gaps more."""
    least = {bucket: ns / S for bucket, ns in machine.buckets_ns(known).items()}
    gaps_s = truth.pbt_ns / S - sum(least.values())
    true = {bucket: truth.buckets_ns[bucket] / S for bucket in BUCKETS}
    bounds = {bucket: (least[bucket], least[bucket] + gaps_s) for bucket in BUCKETS}
    bounds["pbt"] = (truth.pbt_ns / S, truth.pbt_ns / S)
    if is_by_order:  # idle time inside an order is ADET; which it was must be known
        is_known = truth.delay_ns is not None and not gaps_s
        bounds["adet"] = (least["adet"], least["adet"] + least["adot"] + gaps_s)
        bounds["adot"] = (0.0, least["adot"] + gaps_s)
        bounds |= {bucket: (true[bucket], true[bucket]) for bucket in ("adet", "adot") if is_known}
    within = {
        f"{bucket}_s": Within(low - slack_s, high + slack_s, False, true.get(bucket, low))
        for bucket, (low, high) in bounds.items()
    }
    down = (least["adet"] - slack_s, least["adet"] + gaps_s + slack_s)
    return within | {"unplanned_downtime_s": Within(*down, False, truth.down_ns / S)}
