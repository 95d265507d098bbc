"""One line, shift by shift: what is wrong of the last word on each, and of every word before it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.oee.companions import wrong_companions
from shakedown.acceptance.oee.doubles import Doubles
from shakedown.acceptance.oee.figures import BUCKET_SHARE, FACTOR_PP, Breaches, number
from shakedown.acceptance.oee.formulas import held, nee
from shakedown.acceptance.oee.interim import wrong_interim
from shakedown.acceptance.oee.line_evidence import line_truth
from shakedown.acceptance.oee.line_truth import LineTruth
from shakedown.acceptance.oee.lineage import wrong_lineage
from shakedown.acceptance.oee.loss_tree import LossTree, tree_of
from shakedown.acceptance.oee.open_reports import missing_reports
from shakedown.acceptance.oee.oracle import BUCKETS, COUNTS, ShiftTruth, shifts_of
from shakedown.acceptance.oee.order_reports import wrong_orders
from shakedown.acceptance.oee.plan import planned_shifts
from shakedown.acceptance.oee.production_orders import OrderTruth, orders_of
from shakedown.acceptance.oee.result import Breach
from shakedown.acceptance.oee.shift_reports import Report, reports_of
from shakedown.acceptance.operations_site import OeeLine
from shakedown.acceptance.run import Run
from shakedown.acceptance.spans import MS, S
from shakedown.acceptance.wording import clock

OEE_RELATIVE = 0.01
BREACHES_MAX = 4  # of one report that another one followed


@dataclass
class Judged:
    """One shift, its last report, and what is wrong; None where no report came, or nothing tells of orders."""

    line: OeeLine
    truth: ShiftTruth
    report: dict[str, Any] | None
    breaches: list[Breach]
    orders: list[OrderTruth] | None
    tree: LossTree


@dataclass
class LineJudged:
    """The shifts of a line; how many wait for their report, and how many reports were followed by another one."""

    shifts: list[Judged] = field(default_factory=list)
    pending: int = 0
    interim: int = 0
    lied_s: float = 0.0  # how long the state of the counting machine lied


def judge_line(evidence: Evidence, line: OeeLine) -> LineJudged:
    """Hold every report of each shift, and the Doubles beside it, against the ledger."""
    run = evidence.run
    lines = line_truth(evidence, line)
    reports, doubles = reports_of(run, line.name), Doubles(run, line.name)
    stray = doubles.between(reports)
    found = LineJudged(lied_s=sum(end - begin for begin, end in lines.lies) / S)
    shifts = shifts_of(run.ledger)
    planned = list(planned_shifts(line.plan, run.ledger.start_ns, run.ledger.end_ns))
    unknown = [one for one in reports if not any(one.is_of(*shift) for shift in [*shifts, *planned])][:1]
    for name, from_ns, to_ns in shifts:
        truth = lines.shift(name, from_ns, to_ns)
        mine = [report for report in reports if report.is_of(name, from_ns, to_ns)]
        ended = to_ns <= run.ledger.end_ns
        final = next((report for report in reversed(mine) if ended and report.is_final), None)
        found.interim += len(mine) - (final is not None)
        has_time = int(run.deadlines_ns(np.array([to_ns]))[0]) > run.end_ns
        wrong: Breaches = []
        for report in mine:
            of_report = [] if report is final else wrong_interim(evidence, lines, truth, report)
            if report.status == "open" or (report.status == "closed" and not has_time):
                of_report += doubles.wrong(report)
            wrong += of_report if report is final else _told_of(run, report, of_report)
        wrong += [
            (f"{metric} of {_moment(run, ts_ms)}", value, "what a report says")
            for ts_ms, metric, value in stray
            if _shift_at(shifts, ts_ms) == (name, from_ns, to_ns)
        ]
        if from_ns == shifts[0][1]:
            wrong += [
                (f"shift of the {_which(run, report)}", report.content.get("shift"), None)
                for report in unknown
            ]
        wrong += missing_reports(evidence, line, from_ns, to_ns, mine)
        orders = orders_of(lines, truth)
        if final is not None:
            wrong = _final(lines, truth, orders, final) + wrong
        elif ended and not has_time:
            wrong.insert(0, ("report", None, "a closed report"))
        if final is None and ended and has_time and not wrong:
            found.pending += 1
        elif ended or wrong:
            content = None if final is None else final.content
            breaches = [Breach(line.name, name, *figure) for figure in wrong]
            found.shifts.append(
                Judged(line, truth, content, breaches, orders, tree_of(lines, truth, content))
            )
    return found


def _shift_at(shifts: list[tuple[str, int, int]], ts_ms: int) -> tuple[str, int, int]:
    """The last shift that had begun at a time, else the first."""
    return next((shift for shift in reversed(shifts) if shift[1] <= ts_ms * MS), shifts[0])


def _told_of(run: Run, report: Report, wrong: Breaches) -> Breaches:
    """The same, with the report that says so."""
    return [
        (f"{figure} in the {_which(run, report)}", reported, true)
        for figure, reported, true in wrong[:BREACHES_MAX]
    ]


def _which(run: Run, report: Report) -> str:
    return f"{report.status} report of {_moment(run, report.as_of_ns / MS)}"


def _moment(run: Run, ms: float) -> str:
    return clock(max(0.0, ms * MS - run.ledger.start_ns) / S)


def _final(
    lines: LineTruth,
    truth: ShiftTruth,
    orders: list[OrderTruth] | None,
    final: Report,
) -> Breaches:
    """Every figure of the last report that is missing or too far from the truth."""
    line, report, scan_ms = lines.line, final.content, lines.scan_ms
    found: Breaches = []
    figures = dict(report)

    def hold(figure: str, true: float | None, tolerance: float) -> None:
        reported = number(figures.get(figure))
        if reported is None and true is None:
            return
        if reported is None or true is None or not abs(reported - true) <= tolerance + 1e-9:
            found.append((figure, figures.get(figure), true))

    hold("from_ms", truth.from_ns / MS, scan_ms)
    hold("to_ms", truth.to_ns / MS, scan_ms)
    hold("as_of_ms", truth.to_ns / MS, scan_ms)
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
            found.append((count, report.get(count), truth.exact[count]))
    kpis = truth.kpis()
    hold("availability", kpis["availability"], FACTOR_PP)
    counted = {"effectiveness": FACTOR_PP, "quality": FACTOR_PP, "oee": OEE_RELATIVE * (kpis["oee"] or 0.0)}
    # Without a counter of rework nobody can tell a first pass.
    if line.is_line or "rework" in line.counting.topics or not truth.reworks[1]:
        counted["fpy"] = FACTOR_PP
    for figure, tolerance in counted.items():
        span = truth.spans.get(figure)
        if span is None:
            hold(figure, None, 0.0)
        elif not span.holds(number(report.get(figure)), tolerance + 1e-9):
            found.append((figure, report.get(figure), kpis[figure]))
    slack_s = BUCKET_SHARE * pbt_s
    found += held(report, nee(report))
    found += wrong_companions(lines, truth, report, slack_s)
    if orders is not None:
        found += wrong_orders(
            truth, orders, report, scan_ms, slack_s, has_rework="rework" in line.counting.topics
        )
    return found + wrong_lineage(line, report)
