"""OEE accuracy: what is reported of a shift is what happened in it, factor by factor.

OEE alone hides state errors: run time and effectiveness cancel (standards 3). So availability, effectiveness and
quality, each time bucket and each count are held on their own, beside the OEE and the edges of the shift. So are the
companions of the OEE (companions.py), the factors as values of their own (doubles.py), and where `site.yaml` names an
`order` the figures of each order (orders.py, order_reports.py).
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import msgspec
import numpy as np

from shakedown.acceptance.criterion import Criterion, Finding, operations_unpromised
from shakedown.acceptance.derived_rows import Row, rows_of
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.oee.companions import wrong_companions
from shakedown.acceptance.oee.doubles import wrong_doubles
from shakedown.acceptance.oee.figures import BUCKET_SHARE, FACTOR_PP, number
from shakedown.acceptance.oee.oracle import BUCKETS, COUNTS, S, ShiftTruth, ratio, shifts
from shakedown.acceptance.oee.order_reports import by_order, wrong_orders
from shakedown.acceptance.oee.production_orders import OrderTruth, delayed, orders_of
from shakedown.acceptance.oee.result import (
    Audit,
    Breach,
    Figures,
    OrderFigures,
    OrderResult,
    ShiftFigures,
    ShiftResult,
    figures_of,
    shown,
)
from shakedown.acceptance.oee.variance import explain
from shakedown.acceptance.operations_site import OeeLine
from shakedown.acceptance.run import Run
from shakedown.acceptance.wording import counted

OEE_RELATIVE = 0.01
MS = 1_000_000

Report = tuple[Row, dict[str, Any]]
"""A report as it arrived, and what it says."""


class Judged(NamedTuple):
    """One shift, its report, and what of it is wrong; None where no report came, or nothing tells of orders."""

    line: OeeLine
    truth: ShiftTruth
    report: dict[str, Any] | None
    breaches: list[Breach]
    orders: list[OrderTruth] | None


def applies(run: Run) -> bool:
    """Only a site that reports OEE is judged on it."""
    return bool(run.operations.lines)


def judge(evidence: Evidence) -> Finding:
    """Hold the last closed report of each shift that ended against the ledger."""
    run = evidence.run
    judged, pending = [], 0
    for line in run.operations.lines:
        machine = counting_machine(run, line)
        scan_ms = int(run.ledger.signals[line.produced.signal].get("scan_ms") or 1000)
        born_ns = first_birth_ns(evidence, line)
        reports = _reports(run, line.name)
        for truth in shifts(run.ledger, machine, scan_ms, born_ns):
            found = _report_of(reports, truth)
            report = found[1] if found else None
            has_time = int(run.deadlines_ns(np.array([truth.to_ns]))[0]) > run.end_ns
            if report is None and has_time:
                pending += 1
                continue
            orders = orders_of(run.ledger, machine, truth, scan_ms, born_ns) if line.order else None
            if orders is not None:
                truth = delayed(truth, orders)
            breaches = _breaches(line, truth, report, scan_ms)
            wrong = [] if report is None else wrong_companions(evidence, line, machine, truth, report)
            if report is not None and orders is not None:
                wrong += wrong_orders(truth, orders, report, scan_ms, has_rework=line.has_rework)
            closed = _report_of([entry for entry in reports if entry[1]["status"] == "closed"], truth)
            if closed is not None and not has_time:
                wrong += wrong_doubles(run, line.name, *closed)
            breaches += [Breach(line.name, truth.name, *figure) for figure in wrong]
            judged.append(Judged(line, truth, report, breaches, orders))
    return _result(evidence, judged, pending)


def counting_machine(run: Run, line: OeeLine) -> str:
    """The machine that counts for the line: the ledger's word, else the one whose state `site.yaml` names."""
    named = run.ledger.header.get("bottleneck")
    return str(named or run.ledger.signals[line.state.signal].get("machine"))


def first_birth_ns(evidence: Evidence, line: OeeLine) -> int:
    """When the enterprise first heard of the line's counter; 0 if never."""
    births = [part.first_birth_ns for part in evidence.joined.topics if part.topic == line.produced]
    return births[0] or 0 if births else 0


def _reports(run: Run, line: str) -> list[Report]:
    """Closed and restated reports of a line, in order of arrival; what is no report is left out."""
    topic = ("", f"oee/{line}/report")
    parsed = ((row, _parsed(row.value)) for row in rows_of(run, [topic])[topic])
    return [
        (row, report)
        for row, report in parsed
        if report is not None and report.get("status") in ("closed", "restated")
    ]


def _parsed(value: Any) -> dict[str, Any] | None:
    try:
        report = json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return None
    return report if isinstance(report, dict) else None


def _report_of(reports: list[Report], truth: ShiftTruth) -> Report | None:
    """The last report that speaks of this shift: of its name, and of a time that lies mostly in it."""
    for row, report in reversed(reports):
        begin, end = number(report.get("from_ms")), number(report.get("to_ms"))
        if begin is None or end is None or report.get("shift") != truth.name:
            continue
        overlap = min(end * MS, truth.to_ns) - max(begin * MS, truth.from_ns)
        if overlap > 0.5 * (truth.to_ns - truth.from_ns):
            return row, report
    return None


def _breaches(line: OeeLine, truth: ShiftTruth, report: dict[str, Any] | None, scan_ms: int) -> list[Breach]:
    """Every figure of the report that is missing or too far from the truth."""
    if report is None:
        return [Breach(line.name, truth.name, "report", None, "a closed report")]
    found = []
    figures = dict(report)

    def hold(figure: str, true: float | None, tolerance: float) -> None:
        reported = number(figures.get(figure))
        if reported is None and true is None:
            return
        if reported is None or true is None or not abs(reported - true) <= tolerance + 1e-9:
            found.append(Breach(line.name, truth.name, figure, figures.get(figure), true))

    hold("from_ms", truth.from_ns / MS, scan_ms)
    hold("to_ms", truth.to_ns / MS, scan_ms)
    pbt_s = truth.pbt_ns / S
    hold("pbt_s", pbt_s, BUCKET_SHARE * pbt_s)
    times = {f"{bucket}_s": truth.buckets_ns[bucket] / S for bucket in BUCKETS}
    if line.order and truth.delay_ns is None:  # the ledger does not tell of orders: their sum is held
        figures["waiting_s"] = sum(number(report.get(name)) or 0.0 for name in ("adet_s", "adot_s"))
        times["waiting_s"] = times.pop("adet_s") + times.pop("adot_s")
    for name, true_s in times.items():
        hold(name, true_s, BUCKET_SHARE * pbt_s)
    for count in COUNTS:
        least, most = truth.counts[count]
        reported = number(report.get(count))
        if reported is None or not least <= reported <= most:
            found.append(Breach(line.name, truth.name, count, report.get(count), truth.exact[count]))
    kpis = truth.kpis()
    hold("availability", kpis["availability"], FACTOR_PP)
    counted = {"effectiveness": FACTOR_PP, "quality": FACTOR_PP, "oee": OEE_RELATIVE * (kpis["oee"] or 0.0)}
    if line.has_rework or not truth.reworked:  # without a counter of rework nobody can tell a first pass
        counted["fpy"] = FACTOR_PP
    for figure, tolerance in counted.items():
        span = truth.spans.get(figure)
        if span is None:
            hold(figure, None, 0.0)
        elif not span.holds(number(report.get(figure)), tolerance + 1e-9):
            found.append(Breach(line.name, truth.name, figure, report.get(figure), kpis[figure]))
    return found


def _result(evidence: Evidence, judged: list[Judged], pending: int) -> Finding:
    wrong = sum(1 for entry in judged if entry.breaches)
    figures = Figures(shifts=[_row(evidence, entry) for entry in judged], shifts_still_to_be_reported=pending)
    return Finding(
        verdict="FAIL" if wrong else "PASS" if judged else "INCONCLUSIVE",
        measured=_measured(judged),
        statement=_statement(judged, wrong),
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


def _statement(judged: list[Judged], wrong: int) -> str:
    if not judged:
        return "No shift ended in this run, so no report of one can be held against what happened."
    if not wrong:
        return (
            f"Each figure of {_reports_of(len(judged))} is what the line did, counted from its parts and stops:"
            " OEE, its three factors, every time and every count."
        )
    entry = next(entry for entry in judged if entry.breaches)
    first = entry.breaches[0]
    if entry.report is None:
        return f"Shift {entry.truth.name!r} of {entry.line.name} ended, and no closed report of it ever came."
    names = ", ".join(dict.fromkeys(breach.figure for breach in entry.breaches))
    text = f"{wrong} of {_reports_of(len(judged))} {'is' if wrong == 1 else 'are'} wrong."
    text += f" Shift {entry.truth.name!r} of {entry.line.name}: {names}"
    text += f"; {first.figure} is reported as {_show(first.reported)} and was {_show(first.true)}"
    hint = _looks_like(entry.truth, entry.report)
    return f"{text}; it looks like {hint}." if hint else f"{text}."


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
        orders=[] if report is None else _orders(entry.orders, by_order(report)),
        variance={} if report is None else explain(evidence, entry.line, truth, report),
    )


def _true(truth: ShiftTruth) -> ShiftFigures:
    times = {f"{bucket}_s": ns / S for bucket, ns in truth.buckets_ns.items()}
    down_s = truth.down_ns / S
    return ShiftFigures(
        pbt_s=truth.pbt_ns / S, **times, **truth.exact, **truth.kpis(), unplanned_downtime_s=down_s
    )


def _orders(orders: list[OrderTruth] | None, told: dict[str, dict[str, Any]]) -> list[OrderResult]:
    """Truth and report of each order; one that took no time and no part is left out."""
    return [
        OrderResult(
            order=order.order,
            products=order.products,
            truth=msgspec.convert({**order.times_s, **order.exact, "oee": order.oee}, OrderFigures),
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
        " and so by order"
    ),
    judge=judge,
    figures=Figures,
    applies=applies,
    unpromised=operations_unpromised,
)
