"""Shift runs whose reports are right in OEE and wrong in what stands beside it; and right ones, not blamed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.judged import judge_reported as judge
from tests.acceptance.operations_day import MS, Day, S, held
from tests.acceptance.operations_report import open_report_of, report_of
from tests.acceptance.operations_verdicts import failed, outcomes


def _doubles(day: Day, change: Callable[[list[Any]], list[Any] | None]) -> None:
    """Change, or leave out, each figure that is published beside a report."""
    rows = []
    for row in day.host_log():
        is_double = row[0] == "H" and row[4].startswith("oee/") and not row[4].endswith("/report")
        changed = change(row) if is_double else row
        if changed is not None:
            rows.append(changed)
    day.host_log = lambda: sorted(rows, key=lambda row: row[1])  # type: ignore[method-assign]


def shows_a_fine_line(day: Day) -> None:
    _doubles(day, lambda row: [*row[:6], 0.99, *row[7:]])


def publishes_no_doubles(day: Day) -> None:
    _doubles(day, lambda row: None)


def publishes_no_quality(day: Day) -> None:
    _doubles(day, lambda row: None if row[4] == "oee/line1/quality" else row)


def keeps_the_figures_of_the_first_shift(day: Day) -> None:
    _doubles(day, lambda row: row if row[5] == day.reports[0]["to_ms"] else None)


def publishes_nothing_but_nulls(day: Day) -> None:
    _doubles(day, lambda row: [*row[:6], None, *row[7:]])


def corrects_itself_for_the_worse(day: Day) -> None:
    to_ms = day.reports[0]["to_ms"]
    day.host_rows.append(held(to_ms * MS + 2 * S, "", "oee/line1/oee", to_ms, 0.99))


def forgets_the_setups_in_nee(day: Day) -> None:
    for report in day.reports:
        report["nee"] = report["oee"]


def gives_repairs_in_minutes(day: Day) -> None:
    for report in day.reports:
        report["mttr_s"] /= 60


def never_repairs_anything(day: Day) -> None:
    for report in day.reports:
        report["mttr_s"] = None


def divides_by_all_stops(day: Day) -> None:
    """Changeovers and waiting are no faults."""
    for report in day.reports:
        report["mtbf_s"] /= 3


def takes_waiting_for_setup(day: Day) -> None:
    """The changeover and what the line waits after it, as one."""
    for report in day.reports:
        report["changeover_s_mean"] += 360


def plans_all_downtime(day: Day) -> None:
    for report in day.reports:
        report["unplanned_downtime_s"] = 0.0


def leaves_out_the_companions(day: Day) -> None:
    for report in day.reports:
        for name in ("nee", "mttr_s", "mtbf_s", "changeover_s_mean", "unplanned_downtime_s"):
            del report[name]


MUTANTS: list[tuple[Callable[[Day], None], set[str]]] = [
    (shows_a_fine_line, {"availability", "effectiveness", "quality", "oee"}),
    (publishes_no_doubles, {"availability", "effectiveness", "quality", "oee"}),
    (publishes_no_quality, {"quality"}),
    (publishes_nothing_but_nulls, {"availability", "effectiveness", "quality", "oee"}),
    (corrects_itself_for_the_worse, {"oee"}),
    (forgets_the_setups_in_nee, {"nee"}),
    (gives_repairs_in_minutes, {"mttr_s"}),
    (never_repairs_anything, {"mttr_s"}),
    (divides_by_all_stops, {"mtbf_s"}),
    (takes_waiting_for_setup, {"changeover_s_mean"}),
    (plans_all_downtime, {"unplanned_downtime_s"}),
    (leaves_out_the_companions, {"nee", "mttr_s", "mtbf_s", "changeover_s_mean", "unplanned_downtime_s"}),
]


@pytest.mark.parametrize(("mutant", "figures"), MUTANTS, ids=lambda value: getattr(value, "__name__", None))
def test_what_stands_beside_the_oee(
    mutant: Callable[[Day], None], figures: set[str], day: Day, tmp_path: Path
) -> None:
    mutant(day)
    verdict = judge(day.write(tmp_path))
    assert failed(verdict) == {"oee"}
    wrong = {
        breach.figure.rsplit("/", 1)[-1]
        for shift in verdict.criterion("oee").figures.shifts
        for breach in shift.breaches
    }
    assert wrong == figures


def test_figures_that_stop_after_the_first_shift_are_wrong(day: Day, tmp_path: Path) -> None:
    keeps_the_figures_of_the_first_shift(day)
    verdict = judge(day.write(tmp_path))
    assert failed(verdict) == {"oee"}
    assert {
        breach.shift for shift in verdict.criterion("oee").figures.shifts for breach in shift.breaches
    } == {"late"}


# Bridges that are right, in circumstances that excuse them.


def test_an_open_report_of_the_very_end_may_arrive_later_as_history(day: Day, tmp_path: Path) -> None:
    to_ms = day.reports[0]["to_ms"]
    row = held(to_ms * MS + 40 * S, "", "oee/line1/oee", to_ms, 0.5)
    day.host_rows.append([*row[:8], True, row[9]])
    assert outcomes(judge(day.write(tmp_path)))["oee"] == "PASS"


def test_a_figure_that_did_not_change_need_not_be_said_again(day: Day, tmp_path: Path) -> None:
    early = day.shifts[0]
    before = open_report_of(day, *early, early[2] - 5)
    day.reports.append(before | {"quality": day.reports[0]["quality"]})
    _doubles(
        day, lambda row: None if row[4].endswith("quality") and row[5] == day.reports[0]["to_ms"] else row
    )
    assert outcomes(judge(day.write(tmp_path)))["oee"] == "PASS"


@pytest.mark.parametrize("edge", [13_900, 14_100])
def test_a_fault_over_the_edge_counts_whole_where_it_ends(day: Day, tmp_path: Path, edge: int) -> None:
    """One fault of six minutes in four is cut by the change of shift."""
    day.shifts = [("early", 900, edge), ("late", edge, 27_900)]
    day.reports = [report_of(day, *shift) for shift in day.shifts]
    assert outcomes(judge(day.write(tmp_path)))["oee"] == "PASS"
    day.reports[1]["mttr_s"] = (14_160 - edge + 360 + 360) / 3
    assert failed(judge(day.write(tmp_path))) == {"oee"}


def test_a_shift_without_a_setup_has_no_mean_of_them(day: Day, tmp_path: Path) -> None:
    day.shifts = [("early", 900, 4_000), ("late", 15_000, 27_900)]
    day.reports = [report_of(day, *shift) for shift in day.shifts]
    assert day.reports[0]["changeover_s_mean"] is None
    assert outcomes(judge(day.write(tmp_path)))["oee"] == "PASS"
    day.reports[0]["changeover_s_mean"] = 540.0
    assert failed(judge(day.write(tmp_path))) == {"oee"}


def test_idle_inside_an_order_may_be_a_delay(day: Day, tmp_path: Path) -> None:
    """With an order configured the sum of ADET and ADOT is held; without, each on its own."""
    for report in day.reports:
        report["adet_s"] += report["adot_s"]
        report["adot_s"] = 0.0
    assert failed(judge(day.write(tmp_path))) == {"oee"}
    day.site["oee"]["line1"]["order"] = "packer.packer_1/state"
    for report in day.reports:
        report["lineage"]["metrics"]["order"] = "packer.packer_1/state"
        report["lineage"]["tags"]["order"] = report["lineage"]["tags"]["state"]
    assert outcomes(judge(day.write(tmp_path)))["oee"] == "PASS"
