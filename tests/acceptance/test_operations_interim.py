"""Reports that another one followed: of an open shift, or closed and restated; and what they are made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shakedown.acceptance.oee import open_reports
from shakedown.acceptance.verdict import Verdict
from tests.acceptance.judged import judged_by
from tests.acceptance.operations_day import MS, Day, at, held
from tests.acceptance.operations_report import open_report_of, open_reports_of, recompute, report_of


def judge(day: Day, folder: Path) -> Verdict:
    return judged_by({"oee"}, day.write(folder))


def wrong(verdict: Verdict) -> list[str]:
    """The figures that are wrong, shift by shift."""
    return [breach.figure for shift in verdict.criterion("oee").figures.shifts for breach in shift.breaches]


@pytest.fixture
def open_day(day: Day) -> Day:
    """Each shift is reported every ten minutes while it is open."""
    for name, begin, end in day.shifts:
        day.reports += [
            open_report_of(day, name, begin, end, second) for second in range(begin + 300, end, 600)
        ]
    return day


def restated(day: Day, second: int) -> None:
    """The report of the first shift again, as it is right."""
    right = report_of(day, *day.shifts[0]) | {"status": "restated"}
    day.host_rows.append(held(at(second), "", "oee/line1/report", at(second) // MS, right))


def test_open_reports_that_are_right_pass(open_day: Day, tmp_path: Path) -> None:
    verdict = judge(open_day, tmp_path)
    assert verdict.criterion("oee").verdict == "PASS"
    assert verdict.criterion("oee").figures.reports_before_the_last == 44
    assert "So is each of 44 reports before the last one" in verdict.criterion("oee").statement


def test_each_full_minute_of_an_open_shift_has_its_report(
    day: Day, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_reports, "MINUTE_NS", 60 * 10**9)
    _, begin, end = day.shifts[0]
    day.reports += open_reports_of(day)
    assert wrong(judge(day, tmp_path / "whole")) == []
    del day.reports[100:120]
    verdict = judge(day, tmp_path / "lacks_twenty")
    assert wrong(verdict) == ["open reports"]
    count = (end - begin) // 60 - 1
    text = f"open reports is reported as {count - 20} and was {count}."
    assert text in verdict.criterion("oee").statement
    away = {"id": "away", "kind": "freeze", "target": "bridge", "affects": ["bridge"], "verified": True}
    last_ns = day.reports[99]["as_of_ms"] * MS
    day.timeline.append(away | {"start_ns": last_ns, "end_ns": last_ns + 1_200 * 10**9})
    assert wrong(judge(day, tmp_path / "was_away")) == []


def test_closed_wrong_and_restated_right_is_wrong(day: Day, tmp_path: Path) -> None:
    day.reports[0]["oee"] = 0.99
    restated(day, 14_440)
    assert wrong(judge(day, tmp_path)) == ["oee in the closed report of 4:00:00"]


def test_a_closed_report_may_lack_what_came_later(day: Day, tmp_path: Path) -> None:
    """The cell is cut for the last five minutes of the shift; what it held up comes after the report."""
    name, begin, end = day.shifts[0]
    without = Day(states=day.states, shifts=day.shifts, breaks=day.breaks, again=day.again)
    without.parts = [part for part in day.parts if part[0] < end - 300]
    closed = report_of(without, name, begin, end)
    day.reports[0] = closed
    restated(day, end + 120)
    verdict = judge(day, tmp_path / "cause")
    assert {figure.split(" in ")[0] for figure in wrong(verdict)} >= {"produced", "good"}

    of_the_line = day.host_log

    def held_up() -> list[list[Any]]:
        late = range(at(end - 300) // MS, at(end) // MS)
        rows = [
            [row[0], max(row[1], at(end + 60)), *row[2:]] if row[0] == "H" and row[5] in late else row
            for row in of_the_line()
        ]
        return sorted(rows, key=lambda row: row[1])

    day.host_log = held_up  # type: ignore[method-assign]
    cut = {"kind": "down", "target": "cell", "cut": True, "affects": ["cell"], "verified": True}
    day.timeline.append({"id": "cut", **cut, "start_ns": at(end - 300), "end_ns": at(end + 30)})
    assert wrong(judge(day, tmp_path / "late")) == []
    closed["oee"] = 0.99
    assert wrong(judge(day, tmp_path / "flattered")) == ["oee in the closed report of 4:00:00"]


def shows_a_fine_line(day: Day) -> None:
    day.reports[3]["oee"] = 0.99


def counts_waiting_as_run(day: Day) -> None:
    report = day.reports[12]
    standard_s = report["effectiveness"] * report["apt_s"]
    report["apt_s"] += report["adot_s"]
    report["adot_s"] = 0.0
    recompute(report, standard_s=standard_s)


def misses_two_parts(day: Day) -> None:
    day.reports[5]["produced"] -= 2
    day.reports[5]["good"] -= 2


def looks_back(day: Day) -> None:
    """What it says was right ten minutes before."""
    day.reports[9] = day.reports[8] | {"as_of_ms": day.reports[9]["as_of_ms"]}


def invents_a_status(day: Day) -> None:
    day.reports[5]["status"] = "final"


def dates_itself_back(day: Day) -> None:
    early = day.reports[5]
    day.host_rows.append(held(at(14_000), "", "oee/line1/report", at(14_000) // MS, early))


@pytest.mark.parametrize(
    ("break_it", "figure"),
    [
        (shows_a_fine_line, "oee in the open report of 30:00"),
        (counts_waiting_as_run, "apt_s in the open report of 2:00:00"),
        (misses_two_parts, "produced in the open report of 50:00"),
        (looks_back, "apt_s in the open report of 1:30:00"),
        (invents_a_status, "status in the final report of 50:00"),
        (dates_itself_back, "as_of_ms in the open report of 50:00"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_an_open_report_that_is_wrong(
    break_it: Callable[[Day], None], figure: str, open_day: Day, tmp_path: Path
) -> None:
    break_it(open_day)
    assert figure in wrong(judge(open_day, tmp_path))


def test_the_shift_that_is_still_open_at_the_end_is_judged(day: Day, tmp_path: Path) -> None:
    """An hour of the second shift goes on after the run."""
    (name, begin, _) = day.shifts[1]
    day.header["calendar"] = [{"name": name, "from_ns": at(begin), "to_ns": at(31_000), "breaks": []}]
    rows = day.ledger_rows()
    day.ledger_rows = lambda: [
        row for row in rows if row[2:] != ["shift", "line", {"phase": "end", "name": name}]
    ]  # type: ignore[method-assign]
    day.reports[1] = open_report_of(day, name, begin, 31_000, 28_000)
    assert judge(day, tmp_path / "right").criterion("oee").verdict == "PASS"
    day.reports[1]["oee"] = 0.99
    verdict = judge(day, tmp_path / "wrong")
    assert wrong(verdict) == ["oee in the open report of 7:46:40"]
    assert "no closed report" not in verdict.criterion("oee").statement  # it has not ended


def doubles(day: Day, change: Callable[[list[Any]], list[Any]]) -> None:
    rows = [change(row) if row[0] == "H" and row[4] == "oee/line1/oee" else row for row in day.host_log()]
    day.host_log = lambda: rows  # type: ignore[method-assign]


def test_a_figure_of_the_open_shift_that_no_report_says(open_day: Day, tmp_path: Path) -> None:
    ts_ms = open_day.reports[3]["as_of_ms"]
    doubles(open_day, lambda row: [*row[:6], 0.99, *row[7:]] if row[5] == ts_ms else row)
    assert wrong(judge(open_day, tmp_path)) == ["oee/line1/oee in the open report of 30:00"]


def test_a_figure_between_two_reports_has_none_that_says_it(day: Day, tmp_path: Path) -> None:
    for second in (5_000, 28_000):  # the second one after the last shift
        day.host_rows.append(held(at(second), "", "oee/line1/oee", at(second) // MS, 0.99))
    assert wrong(judge(day, tmp_path)) == ["oee/line1/oee of 1:23:20", "oee/line1/oee of 7:46:40"]


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("metrics", "produced", "filler.filler_1/total"),
        ("tags", "good", "plc1 ns=2;s=P.TOT"),
        ("ideal_s", "A", 4.0),
        ("formulas", "oee", ""),
    ],
)
def test_what_it_is_made_from_is_what_it_says(
    kind: str, name: str, value: Any, day: Day, tmp_path: Path
) -> None:
    lineage = day.reports[1]["lineage"]
    day.reports[1]["lineage"] = lineage | {kind: lineage[kind] | {name: value}}
    (figure,) = wrong(judge(day, tmp_path))
    assert figure == ("lineage.formulas" if kind == "formulas" else f"lineage.{kind}.{name}")


def test_what_an_open_report_is_made_from_is_held_too(open_day: Day, tmp_path: Path) -> None:
    open_day.reports[4]["line"] = "line2"
    assert wrong(judge(open_day, tmp_path)) == ["line in the open report of 40:00"]


def test_a_report_without_lineage_is_refused(day: Day, tmp_path: Path) -> None:
    del day.reports[0]["lineage"]
    assert wrong(judge(day, tmp_path)) == ["lineage"]


def test_a_report_of_a_shift_that_was_not_is_wrong(day: Day, tmp_path: Path) -> None:
    name, begin, end = day.shifts[1]
    extra = report_of(day, name, begin, end) | {"shift": "night", "status": "open"}
    day.host_rows.append(held(at(27_000), "", "oee/line1/report", at(27_000) // MS, extra))
    assert wrong(judge(day, tmp_path)) == ["shift of the open report of 7:45:00"]
