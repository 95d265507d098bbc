"""The reports that another one followed: of a shift that is still open, and those that were restated.

Each is held against what was right at its time, and may differ from it only by what had not arrived: time in the gap
that a late sample leaves may count as anything, and a part shown in it need not be counted (shift_reports.py). The
factors are held as formulas of the report's own times and counts. By order it is held where nothing was late.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.oee.companions import wrong_companions
from shakedown.acceptance.oee.course import Span, without
from shakedown.acceptance.oee.figures import BUCKET_SHARE, FACTOR_PP, Breaches, Within
from shakedown.acceptance.oee.formulas import formulas, held
from shakedown.acceptance.oee.line_truth import LineTruth
from shakedown.acceptance.oee.lineage import wrong_lineage
from shakedown.acceptance.oee.oracle import BUCKETS, COUNTS, ShiftTruth
from shakedown.acceptance.oee.order_reports import wrong_orders
from shakedown.acceptance.oee.production_orders import orders_of
from shakedown.acceptance.oee.shift_reports import Report, late_spans
from shakedown.acceptance.operations_site import COUNTERS, WorkUnit
from shakedown.acceptance.site import Topic
from shakedown.acceptance.spans import MS, S

SIGMAS = 4.0
STATUSES = ("open", "closed", "restated")


def wrong_interim(evidence: Evidence, lines: LineTruth, shift: ShiftTruth, report: Report) -> Breaches:
    """Every figure of a report that could not be said at its time."""
    line, counting = lines.line, lines.line.counting
    until_ns = min(int(report.as_of_ns), shift.to_ns)
    scan_ns = lines.scan_ms * MS
    edges = {"from_ms": shift.from_ns, "to_ms": shift.to_ns, "as_of_ms": _said_ns(report, shift)}
    within = {
        name: Within((ns - scan_ns) / MS, (ns + scan_ns) / MS, False, ns / MS) for name, ns in edges.items()
    }
    found = held(report.content, within)
    if report.status not in STATUSES:
        found.append(("status", report.status, "open, closed or restated"))
    if found or until_ns <= shift.from_ns:
        return found
    span = (shift.from_ns, until_ns)
    gaps = late_spans(evidence, _topics((counting,), ("state", "order", "reason")), report)
    uncounted = late_spans(evidence, _topics(line.units, COUNTERS), report)
    truth = lines.shift(shift.name, *span, doubt=uncounted)
    slack_s = slack_of(lines, truth)
    within = _times(lines, truth, without(span, gaps), slack_s)
    for count in COUNTS:
        within[count] = Within(*truth.counts[count], False, truth.exact[count])
    reworked = truth.reworks if "rework" in counting.topics or not truth.reworks[1] else None
    within |= formulas(report.content, truth.standards_ns, reworked, truth.kpis(), is_line=line.is_line)
    if line.is_line:
        rolled = {name: truth.spans[name] for name in ("quality", "fpy") if name in truth.spans}
        within |= {name: known.widened(FACTOR_PP) for name, known in rolled.items()}
    found = held(report.content, within) + wrong_lineage(line, report.content)
    if not _after_births([*gaps, *uncounted], until_ns):
        orders = orders_of(lines, truth)
        if orders is not None:
            rework = "rework" in counting.topics
            found += wrong_orders(truth, orders, report.content, lines.scan_ms, slack_s, has_rework=rework)
        shown = late_spans(evidence, _topics(line.units, ("state", "reason", "product")), report)
        if not _after_births(shown, until_ns):
            found += wrong_companions(lines, truth, report.content, slack_s)
    return found


def _after_births(late: list[Span], until_ns: int) -> list[Span]:
    """Without the time before the first births, which the truth has as not known."""
    return [(begin, end) for begin, end in late if begin or end >= until_ns]


def _topics(units: Sequence[WorkUnit], keys: Sequence[str]) -> list[Topic]:
    return [unit.topics[key] for unit in units for key in keys if key in unit.topics]


def slack_of(lines: LineTruth, truth: ShiftTruth) -> float:
    """By how much a time may be off, in seconds: of a short stretch the scans alone may take more than 1 % of PBT."""
    changes = lines.course.changes((truth.from_ns, truth.to_ns))
    return max(BUCKET_SHARE * truth.pbt_ns / S, lines.scan_ms / 1000 * (1 + SIGMAS * sqrt(changes / 6)))


def _said_ns(report: Report, shift: ShiftTruth) -> int:
    """As of when it must be: the moment of its own timestamp, or the shift's end."""
    return shift.to_ns if report.is_final else min(report.row.ts_ms * MS, shift.to_ns)


def _times(lines: LineTruth, truth: ShiftTruth, known: list[Span], slack_s: float) -> dict[str, Within]:
    """Each time: what is known of it at the least, and at the most all of the gaps more."""
    least = {bucket: ns / S for bucket, ns in lines.buckets_ns(known).items()}
    gaps_s = truth.known_ns / S - sum(least.values())
    true = {bucket: truth.buckets_ns[bucket] / S for bucket in BUCKETS}
    bounds = {bucket: (least[bucket], least[bucket] + gaps_s) for bucket in BUCKETS}
    bounds["pbt"] = (truth.pbt_ns / S, truth.pbt_ns / S)
    if lines.line.order is not None:  # idle time inside an order is ADET; which it was must be known
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
