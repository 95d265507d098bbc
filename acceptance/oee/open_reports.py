"""The reports of a shift that is still open: one at each full minute, or nobody sees how it goes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.join import NEVER
from shakedown.acceptance.oee.figures import Breaches
from shakedown.acceptance.oee.shift_reports import FLIGHT_S, Report, part_of
from shakedown.acceptance.operations_site import OeeLine
from shakedown.acceptance.source_faults import away_from_source
from shakedown.acceptance.spans import S, span_at
from shakedown.acceptance.sparkplug import GOOD

MINUTE_NS = 60 * S
LATE_NS = 10 * S  # so much later than its minute a report may be


def missing_reports(
    evidence: Evidence, line: OeeLine, from_ns: int, to_ns: int, reports: Sequence[Report]
) -> Breaches:
    """How many full minutes of a shift have their report, and how many should, if they are not the same.

    A minute counts from the first Good state of the counting work unit at the enterprise on, where no fault of the
    bridge or south of it is near, and once its deadline is over. Where the bridge has declared a loss, nothing is said.
    """
    run = evidence.run
    state = part_of(evidence, line.counting.topics["state"])
    known = state.received_ns[(state.quality == GOOD) & (state.received_ns != NEVER)]
    if not len(known) or evidence.joined.declared_lost:
        return []
    begin_ns = max(from_ns, int(known.min()) + int(FLIGHT_S * S))
    minutes = (
        np.arange(begin_ns // MINUTE_NS + 1, (min(to_ns, run.ledger.end_ns) - 1) // MINUTE_NS + 1) * MINUTE_NS
    )
    away = away_from_source(run)
    due = [ns for ns in minutes[run.deadlines_ns(minutes) <= run.end_ns].tolist() if not span_at(away, ns)]
    told = np.array(sorted(report.as_of_ns for report in reports if report.status == "open"))
    after = np.searchsorted(told, due)
    there = sum(
        index < len(told) and bool(told[index] - ns <= LATE_NS)
        for index, ns in zip(after.tolist(), due, strict=True)
    )
    return [] if there == len(due) else [("open reports", there, len(due))]
