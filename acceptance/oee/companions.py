"""What stands beside the OEE of a shift: repairs, changeovers, why the line stood and what its other machines did.

Each is held by the definition of docs/oee.md. What counts episodes or attributes waiting follows from the moments at
which the controllers show it, of what happened and of what they offered: a figure may be either, and a time in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shakedown.acceptance.oee.course import UNKNOWN, Course, Span
from shakedown.acceptance.oee.figures import NOTHING, Breaches, Within, number
from shakedown.acceptance.oee.formulas import held
from shakedown.acceptance.oee.line_truth import LineTruth
from shakedown.acceptance.oee.oracle import COUNTS, ShiftTruth, ratio
from shakedown.acceptance.oee.suspects import wrong_suspects
from shakedown.acceptance.spans import S

STOPS = ("failure", "minor_stop")
TIMES = {
    "apt_s": "run", "aust_s": "changeover", "failure_s": "failure", "minor_stop_s": "minor_stop",
    "starved_s": "starved", "blocked_s": "blocked", "idle_s": "idle", "unknown_s": UNKNOWN,
}  # fmt: skip
"""The times of a work unit, which make its PBT, by what it does."""


def wrong_companions(lines: LineTruth, truth: ShiftTruth, report: dict[str, Any], slack_s: float) -> Breaches:
    """Every companion that is missing or not what happened; a time may be off by `slack_s`."""
    own, scan_s = lines.line.counting.name, lines.scan_ms / 1000
    within = {"unplanned_downtime_s": _downtime(lines, truth, slack_s)}
    times = _times(lines, own, truth, slack_s)
    within |= _repairs(lines, own, truth, report, scan_s)
    changeovers = _changeovers(lines, truth)
    within["changeover_s_mean"] = _around([_mean(lengths) for lengths in changeovers], scan_s)
    suspects = wrong_suspects(lines.suspects, truth.from_ns, truth.to_ns, report)
    within["unknown_s"] = times["unknown_s"]
    if not lines.line.is_line:
        return held(report, within) + suspects
    within |= {name: times[name] for name in ("failure_s", "minor_stop_s", "starved_s", "blocked_s")}
    within["changeovers"] = _around([len(lengths) for lengths in changeovers])
    for kind in STOPS:
        within[f"{kind}s"] = _around([_began(course, own, kind, truth) for course in lines.seen])
    found = held(report, within)
    found += _wrong_losses(lines, truth, report, slack_s)
    return found + _wrong_units(lines, truth, report, slack_s) + suspects


def _around(values: Sequence[float | None], slack: float = 0.0) -> Within:
    """Either of these values, or what is between them."""
    some = [value for value in values if value is not None]
    if not some:
        return NOTHING
    return Within(min(some) - slack, max(some) + slack, None in values, values[0])


def _mean(lengths_ns: Sequence[int]) -> float | None:
    return ratio(sum(lengths_ns) / S, len(lengths_ns))


def _downtime(lines: LineTruth, truth: ShiftTruth, slack_s: float) -> Within:
    """Failures and minor stops; where the ledger does not tell of orders, the idle time may be in ADET with them."""
    down_s = truth.down_ns / S
    waiting_s = (
        truth.buckets_ns["adot"] / S if lines.line.order is not None and truth.delay_ns is None else 0.0
    )
    return Within(down_s - slack_s, down_s + waiting_s + slack_s, False, down_s)


def _times(lines: LineTruth, unit: str, truth: ShiftTruth, slack_s: float) -> dict[str, Within]:
    spans = [(truth.from_ns, truth.to_ns)]
    return {
        name: _around([course.planned_ns(unit, (kind,), spans) / S for course in lines.seen], slack_s)
        for name, kind in TIMES.items()
    }


def _repairs(
    lines: LineTruth, unit: str, truth: ShiftTruth, report: dict[str, Any], scan_s: float
) -> dict[str, Within]:
    """Mean length of the failures that ended in the shift, and the report's own run time by those that began in it."""
    ended = [
        [end - begin for begin, end in course.episodes(unit, "failure") if truth.from_ns < end < truth.to_ns]
        for course in lines.seen
    ]
    run_s = number(report.get("apt_s")) or 0.0
    between = [ratio(run_s, _began(course, unit, "failure", truth)) for course in lines.seen]
    return {
        "mttr_s": _around([_mean(lengths) for lengths in ended], scan_s),
        "mtbf_s": _around(between, scan_s),
    }


def _began(course: Course, unit: str, kind: str, truth: ShiftTruth) -> int:
    return sum(truth.from_ns <= begin < truth.to_ns for begin, _ in course.episodes(unit, kind))


def _changeovers(lines: LineTruth, truth: ShiftTruth) -> list[list[int]]:
    """How long each took: from the last good part of a product to the first good one of the next, at the line's end."""
    if not lines.line.is_line:
        own = lines.line.counting.name
        return [
            [
                end - begin
                for begin, end in course.episodes(own, "changeover")
                if truth.from_ns < end < truth.to_ns
            ]
            for course in lines.seen
        ]
    last = lines.line.units[-1]
    if "product" not in last.topics:
        return [[]]
    plan = lines.seen[0]
    gaps = lines.machines[last.name].changes_of_product()
    return [[plan.spent_ns(plan.planned, [gap]) for gap in gaps if truth.from_ns <= gap[1] < truth.to_ns]]


def _wrong_losses(lines: LineTruth, truth: ShiftTruth, report: dict[str, Any], slack_s: float) -> Breaches:
    """Each cause of lost time, and their sum: what is left of the report's own planned time."""
    spans: list[Span] = [(truth.from_ns, truth.to_ns)]
    seen = [losses.within(spans) for losses in lines.losses]
    entries = report.get("losses")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return [("losses", entries, "work_unit, kind and s of each")]
    told = {
        (str(entry.get("work_unit")), str(entry.get("kind"))): number(entry.get("s")) for entry in entries
    }
    causes = dict.fromkeys([*told, *seen[0], *seen[1]])
    named = {f"losses of {unit or 'none'}, {kind}": (unit, kind) for unit, kind in causes}
    said = {name: told.get(cause, 0.0) for name, cause in named.items()}
    found = held(
        said, {name: _around([one[cause] / S for one in seen], slack_s) for name, cause in named.items()}
    )
    lost_s = (number(report.get("pbt_s")) or 0.0) - (number(report.get("apt_s")) or 0.0)
    total_s = sum(value or 0.0 for value in told.values())
    return found + ([("sum of losses", total_s, lost_s)] if abs(total_s - lost_s) > ROUNDED_S else [])


ROUNDED_S = 0.1


def _wrong_units(lines: LineTruth, truth: ShiftTruth, report: dict[str, Any], slack_s: float) -> Breaches:
    """Times, counts and repairs of each work unit, in the order of flow."""
    entries = report.get("work_units")
    names = [unit.name for unit in lines.line.units]
    if (
        not isinstance(entries, list)
        or [isinstance(e, dict) and e.get("work_unit") for e in entries] != names
    ):
        return [("work_units", entries, names)]
    found: Breaches = []
    for name, entry in zip(names, entries, strict=True):
        within = _times(lines, name, truth, slack_s) | _repairs(
            lines, name, truth, entry, lines.scan_ms / 1000
        )
        for count, (least, most) in lines.counts(name, truth).items():
            within[count] = Within(least, most, False, most)
        produced, good = (number(entry.get(count)) or 0.0 for count in COUNTS[:2])
        quality = ratio(good, produced)
        within["quality"] = (
            NOTHING if quality is None else Within(quality - 1e-6, quality + 1e-6, False, quality)
        )
        within["failures"] = _around([_began(course, name, "failure", truth) for course in lines.seen])
        found += [(f"{figure} of {name}", told, true) for figure, told, true in held(entry, within)]
        total_s = sum(number(entry.get(time)) or 0.0 for time in TIMES)
        if abs(total_s - (number(report.get("pbt_s")) or 0.0)) > ROUNDED_S:
            found.append((f"sum of the times of {name}", total_s, truth.pbt_ns / S))
    return found
