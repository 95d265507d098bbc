"""The report of a shift as a right bridge makes it, and the figures beside it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tests.acceptance.operations_plan import IDEAL_S, MS, NUMBERS, Span, at, lineage

if TYPE_CHECKING:
    from tests.acceptance.operations_day import Day


def report_of(day: Day, name: str, begin: int, end: int) -> dict[str, Any]:
    """The report of a shift, by overlaps of spans: another way than the judge's sweep."""
    planned = _without([(begin, end)], day.breaks)
    spent = {
        state: float(sum(_overlap(span, (a, b)) for span in planned for a, b, s in day.states if s == state))
        for state in NUMBERS
    }
    made = [(*part, number in day.again) for number, part in enumerate(day.parts) if begin <= part[0] < end]
    produced, good = len(made), sum(good for _, good, _, _ in made)
    first_pass = sum(good and not again for _, good, _, again in made)
    pbt = float(sum(b - a for a, b in planned))
    standard = sum(IDEAL_S[product] for _, _, product, _ in made)
    a, e, q = spent["run"] / pbt, standard / spent["run"], good / produced
    return {
        "line": "line1", "shift": name, "status": "closed", "from_ms": at(begin) // MS, "to_ms": at(end) // MS,
        "pbt_s": pbt, "apt_s": spent["run"], "aust_s": spent["changeover"], "adet_s": spent["fault"],
        "adot_s": spent["idle"], "produced": produced, "good": good, "reject": produced - good,
        "availability": a, "effectiveness": e, "quality": q, "oee": a * e * q, "fpy": first_pass / produced,
        "nee": (spent["run"] + spent["changeover"]) / pbt * e * q, "unplanned_downtime_s": spent["fault"],
        **_means(day, begin, end, spent["run"]), "as_of_ms": at(end) // MS, "lineage": lineage(),
        "unknown_s": 0.0, "suspect_counts": [],
    }  # fmt: skip


def _means(day: Day, begin: int, end: int, run_s: float) -> dict[str, float | None]:
    """Mean length of the faults and changeovers that ended in the shift, run time by the faults that began in it."""
    ended = {
        state: [b - a for a, b, s in day.states if s == state and begin < b < end]
        for state in ("fault", "changeover")
    }
    began = sum(s == "fault" and begin <= a < end for a, _, s in day.states)
    mttr, setup = (sum(spans) / len(spans) if spans else None for spans in ended.values())
    return {"mttr_s": mttr, "changeover_s_mean": setup, "mtbf_s": run_s / began if began else None}


def open_report_of(day: Day, name: str, begin: int, end: int, as_of: int) -> dict[str, Any]:
    """What is right while the shift still goes on."""
    return report_of(day, name, begin, as_of) | {"status": "open", "to_ms": at(end) // MS}


def open_reports_of(day: Day) -> list[dict[str, Any]]:
    """Those of each full minute of each shift, as the contract asks for them."""
    return [
        open_report_of(day, *shift, s) for shift in day.shifts for s in range(shift[1] + 60, shift[2], 60)
    ]


def doubles_of(report: dict[str, Any]) -> list[tuple[str, float | None]]:
    """The figures that are published beside a report; null for what is no number."""
    figures = ("availability", "effectiveness", "quality", "oee")
    return [(f"oee/line1/{name}", report[name] if math.isfinite(report[name]) else None) for name in figures]


def recompute(report: dict[str, Any], *, standard_s: float | None = None) -> None:
    """The ratios of a report from its own times and counts, as a calculator that believes them would."""
    old_standard = report["effectiveness"] * report.pop("_apt_s", report["apt_s"])
    standard = old_standard if standard_s is None else standard_s
    report["availability"] = report["apt_s"] / report["pbt_s"]
    report["effectiveness"] = standard / report["apt_s"]
    report["quality"] = report["good"] / report["produced"]
    report["oee"] = report["availability"] * report["effectiveness"] * report["quality"]
    set_up = (report["apt_s"] + report["aust_s"]) / report["pbt_s"]
    report["nee"] = set_up * report["effectiveness"] * report["quality"]


def _without(spans: list[Span], holes: list[Span]) -> list[Span]:
    for a, b in holes:
        spans = [piece for x, y in spans for piece in ((x, min(y, a)), (max(x, b), y)) if piece[0] < piece[1]]
    return spans


def _overlap(one: Span, other: Span) -> int:
    return max(0, min(one[1], other[1]) - max(one[0], other[0]))
