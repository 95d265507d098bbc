"""OEE accuracy: what is reported of a shift is what happened in it, factor by factor.

OEE alone hides state errors: run time and effectiveness cancel. So availability, effectiveness and
quality, each time bucket and each count are held on their own, beside the OEE and the edges of the shift, and so are
their companions, the figures of each order, and what they are made from (line_judge.py). Every report is held: the open
ones and those that were restated as far as was known at their time (interim.py), and the factors as values of their own
(doubles.py).
"""

from __future__ import annotations

from typing import Any

import msgspec

from shakedown.acceptance.criterion import Criterion, Finding, operations_unpromised
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.oee.figures import BUCKET_SHARE, number
from shakedown.acceptance.oee.line_judge import Judged, judge_line
from shakedown.acceptance.oee.oracle import BUCKETS, ShiftTruth, ratio
from shakedown.acceptance.oee.order_reports import by_order
from shakedown.acceptance.oee.production_orders import OrderTruth
from shakedown.acceptance.oee.result import (
    Audit,
    Figures,
    OrderFigures,
    OrderResult,
    ShiftFigures,
    ShiftResult,
    figures_of,
    shown,
)
from shakedown.acceptance.oee.variance import explain
from shakedown.acceptance.run import Run
from shakedown.acceptance.spans import MS, S
from shakedown.acceptance.wording import capital, clock, counted

NAMED_MAX = 6


def applies(run: Run) -> bool:
    """Only a site that reports OEE is judged on it."""
    return bool(run.operations.lines)


def judge(evidence: Evidence) -> Finding:
    """Hold every report of each shift against the ledger."""
    lines = [judge_line(evidence, line) for line in evidence.run.operations.lines]
    judged = [shift for line in lines for shift in line.shifts]
    wrong = sum(1 for entry in judged if entry.breaches)
    figures = Figures(
        shifts=[_row(evidence, entry) for entry in judged],
        shifts_still_to_be_reported=sum(line.pending for line in lines),
        reports_before_the_last=sum(line.interim for line in lines),
        state_lied_s=sum(line.lied_s for line in lines),
        parts_at_an_edge=sum(
            shift.truth.unsure + sum(o.unsure for o in shift.orders or ()) for shift in judged
        ),
    )
    return Finding(
        verdict="FAIL" if wrong else "PASS" if judged else "INCONCLUSIVE",
        measured=_measured(judged),
        statement=_statement(judged, wrong, figures),
        needs=None if judged else "a shift that ends, and a minute more",
        figures=figures,
        blocks=shown(figures, evidence.run.ledger.start_ns),
    )


def _measured(judged: list[Judged]) -> str:
    if not judged:
        return "no shift ended"
    worst = 0.0
    for entry in judged:
        true, reported = entry.truth.kpis()["oee"], number((entry.report or {}).get("oee"))
        if true and reported is not None:
            worst = max(worst, abs(reported / true - 1))
    figures = sum(len(entry.breaches) for entry in judged)
    return (
        f"{counted(len(judged), 'shift')}, OEE off by {worst:.2%} at most, {counted(figures, 'figure')} wrong"
    )


def _statement(judged: list[Judged], wrong: int, found: Figures) -> str:
    if not judged:
        return "No shift ended in this run, so no report of one can be held against what happened."
    if not wrong:
        return (
            f"Each figure of {_reports_of(len(judged))} is what the line did, counted from its parts and stops:"
            " OEE, its three factors, every time and every count." + _before(found) + _at_an_edge(found)
        )
    entry = next(entry for entry in judged if entry.breaches)
    first = entry.breaches[0]
    if first.figure == "report":
        return f"Shift {entry.truth.name!r} of {entry.line.name} ended, and no closed report of it ever came."
    figures = [*dict.fromkeys(breach.figure for breach in entry.breaches)]
    names = ", ".join(figures[:NAMED_MAX])
    names += f" and {len(figures) - NAMED_MAX} more" if len(figures) > NAMED_MAX else ""
    text = f"{wrong} of {_reports_of(len(judged))} {'is' if wrong == 1 else 'are'} wrong."
    text += f" Shift {entry.truth.name!r} of {entry.line.name}: {names}"
    text += f"; {first.figure} is reported as {_show(first.reported)} and was {_show(first.true)}"
    hint = entry.report and _looks_like(entry.truth, entry.report)
    return f"{text}; it looks like {hint}." if hint else f"{text}."


def _before(figures: Figures) -> str:
    count = figures.reports_before_the_last
    return (
        f" So is each of {counted(count, 'report')} before the last one, of what had arrived."
        if count
        else ""
    )


def _at_an_edge(figures: Figures) -> str:
    """The parts of which nobody can say on which side of an edge they count, and the time in which the state lied."""
    count = figures.parts_at_an_edge
    what = "a part was" if count == 1 else f"{count:,} parts were"
    where = "between the event and its scan at the edge of a shift or order"
    edge = f" {capital(what)} {where}, and may count on either side." if count else ""
    lied = f" For {clock(figures.state_lied_s)} the state itself lied: there it is held by what it said."
    return edge + (lied if figures.state_lied_s else "")


def _reports_of(shifts: int) -> str:
    return "1 shift report" if shifts == 1 else f"{shifts} shift reports"


def _show(value: Any) -> str:
    shown = number(value)
    return repr(value) if shown is None else f"{shown:,.10g}"


def _looks_like(truth: ShiftTruth, report: dict[str, Any]) -> str:
    """The mistake that fits, in words; empty when none does."""
    pbt_s = truth.pbt_ns / S
    off = {
        bucket: ((number(report.get(f"{bucket}_s")) or 0.0) * S - truth.buckets_ns[bucket])
        / max(1, truth.pbt_ns)
        for bucket in BUCKETS
    }
    shift_s = ((number(report.get("from_ms")) or 0.0) * MS - truth.from_ns) / S
    if abs(shift_s) > 1.0:
        return f"a shift edge that is off by {shift_s:+.0f} s"
    up, down = max(off, key=lambda name: off[name]), min(off, key=lambda name: off[name])
    if off[up] > BUCKET_SHARE and abs(off[up] + off[down]) < BUCKET_SHARE:
        aust, adot = number(report.get("aust_s")) or 0.0, number(report.get("adot_s")) or 0.0
        true_aust, true_adot = truth.buckets_ns["aust"] / S, truth.buckets_ns["adot"] / S
        if max(abs(aust - true_adot), abs(adot - true_aust)) < BUCKET_SHARE * pbt_s:
            return "changeover and idle exchanged"
        words = BUCKETS if truth.delay_ns is None else BUCKETS | {"adet": "fault or waiting in an order"}
        return f"{off[up]:.1%} of the planned time counted as {words[up]} that was {words[down]}"
    if off["apt"] > BUCKET_SHARE / 2:
        return f"{100 * off['apt']:.1f} pp more run time than there was"
    produced = number(report.get("produced")) or 0.0
    least, most = truth.counts["produced"]
    if produced < least:
        return f"{1 - produced / least:.1%} of the parts not counted"
    if produced > most:
        return f"{produced / max(1, most) - 1:.1%} more parts than there were"
    return ""


def _row(evidence: Evidence, entry: Judged) -> ShiftResult:
    """Truth, report, what explains their difference, and the clipboard audit of one shift."""
    truth, report = entry.truth, entry.report
    return ShiftResult(
        line=entry.line.name,
        shift=truth.name,
        from_ms=truth.from_ns // MS,
        to_ms=truth.to_ns // MS,
        stops=truth.stops,
        truth=_true(truth),
        reported=None if report is None else figures_of(ShiftFigures, report),
        audit=_audit(evidence.run, truth),
        breaches=entry.breaches,
        losses=entry.tree,
        orders=[] if report is None else _orders(entry.orders, by_order(report), is_line=entry.line.is_line),
        variance={} if report is None else explain(evidence, entry.line, truth, report),
    )


def _true(truth: ShiftTruth) -> ShiftFigures:
    times = {f"{bucket}_s": ns / S for bucket, ns in truth.buckets_ns.items()}
    down_s = truth.down_ns / S
    return ShiftFigures(
        pbt_s=truth.pbt_ns / S,
        unknown_s=truth.unknown_ns / S,
        **times,
        **truth.exact,
        **truth.kpis(),
        unplanned_downtime_s=down_s,
    )


def _orders(
    orders: list[OrderTruth] | None, told: dict[str, dict[str, Any]], *, is_line: bool
) -> list[OrderResult]:
    """Truth and report of each order; one that took no time and no part is left out."""
    return [
        OrderResult(
            order=order.order,
            products=order.products,
            truth=msgspec.convert(
                {**order.times_s, **order.exact, "oee": order.kpis(is_line=is_line)["oee"]}, OrderFigures
            ),
            reported=figures_of(OrderFigures, told[order.order]) if order.order in told else None,
        )
        for order in orders or ()
        if order.times_s["pbt_s"] or order.exact["produced"] or order.order in told
    ]


def _audit(run: Run, truth: ShiftTruth) -> Audit | None:
    """The person with the clipboard: what they counted, the OEE of it, and how far they themselves were off."""
    clipboard = next((audit for audit in run.people.audits if audit.get("shift") == truth.name), None)
    if clipboard is None:
        return None
    produced, good = number(clipboard.get("produced")) or 0.0, number(clipboard.get("good")) or 0.0
    run_s = number(clipboard.get("run_s")) or 0.0
    mean_s = ratio(truth.standard_ns / S, truth.exact["produced"]) or 0.0
    oee = ratio(mean_s * good, truth.pbt_ns / S)
    true = truth.kpis()["oee"]
    return Audit(
        produced=produced,
        good=good,
        run_s=run_s,
        oee=oee,
        oee_off=None if oee is None or not true else oee / true - 1,
        produced_off=produced - truth.exact["produced"],
        good_off=good - truth.exact["good"],
        run_off_s=run_s - truth.buckets_ns["apt"] / S,
    )


CRITERION = Criterion(
    name="oee",
    title="OEE accuracy",
    question="Is the reported OEE what the line did?",
    threshold=(
        "OEE within 1 % of what happened; A, E, Q, FPY within 1 pp; each time within 1 % of PBT; counts exact;"
        " and so by order, and in each report"
    ),
    judge=judge,
    figures=Figures,
    applies=applies,
    unpromised=operations_unpromised,
)
