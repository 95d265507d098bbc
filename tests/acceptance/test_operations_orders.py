"""Shift runs of broken CMMS clients, each told by what is wrong with its work orders; and of right ones, not blamed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import operations_day
from tests.acceptance.judged import judge_reported as judge
from tests.acceptance.judged import judged_by
from tests.acceptance.operations_day import FILLER, MS, Day, S, at, order_of
from tests.acceptance.operations_verdicts import failed, outcomes


def orders_twice(day: Day) -> None:
    day.orders.append(dict(day.orders[5], id="WO-again", created_ms=day.orders[5]["created_ms"] + 9_000))


def orders_again_while_one_is_open(day: Day) -> None:
    """The first order is completed and never closed; a second one is raised at the next call all the same."""
    day.orders[15]["history"][1][1] = "completed"


def loses_after_a_timeout(day: Day) -> None:
    del day.orders[6]


def names_the_wrong_equipment(day: Day) -> None:
    day.orders[3]["equipment"] = "HAM-C"


def keeps_the_asset_of_before_the_swap(day: Day) -> None:
    for order in day.orders:
        order["physical_asset"] = "SN-1"


def attaches_the_wrong_window(day: Day) -> None:
    order = day.orders[8]
    early = copy.copy(day.call(8))
    early.raised_ms -= 1_200_000
    order["context"] = order_of(day, early)["context"]


def attaches_half_the_window(day: Day) -> None:
    for signal in day.orders[8]["context"]:
        signal["samples"] = signal["samples"][len(signal["samples"]) // 2 :]


def leaves_out_the_last_samples(day: Day) -> None:
    for signal in day.orders[8]["context"]:
        signal["samples"] = signal["samples"][:-3]


def attaches_a_wrong_value(day: Day) -> None:
    day.orders[8]["context"][1]["samples"][4][1] += 0.01


def attaches_other_signals(day: Day) -> None:
    for order in day.orders:
        order["context"] = order["context"][1:]


def calls_everything_low(day: Day) -> None:
    for order in day.orders:
        order["priority"] = "low"


def gives_an_order_to_other_people(day: Day) -> None:
    day.orders[5]["owner"] = "electricians"


def names_no_owner(day: Day) -> None:
    for order in day.orders:
        order["owner"] = ""


def gives_the_limit_of_another_alarm(day: Day) -> None:
    day.orders[2]["reason"]["limit"] = 2.0


def gives_a_value_that_was_never_there(day: Day) -> None:
    day.orders[2]["reason"]["value"] = 14.75


def gives_no_reason(day: Day) -> None:
    del day.orders[2]["reason"]


def orders_after_an_hour(day: Day) -> None:
    day.orders[4]["created_ms"] += 3_600_000


def orders_four_minutes_late(day: Day) -> None:
    for order in day.orders:
        order["created_ms"] = order["raised_ms"] + 240_000


def orders_what_nobody_called_for(day: Day) -> None:
    day.orders.append(dict(day.orders[0], id="WO-x", occurrence=99))


def orders_for_alarms_that_need_none(day: Day) -> None:
    day.orders.append(order_of(day, day.call(0, "pressure_low")))


def never_orders(day: Day) -> None:
    day.orders.clear()


def leaves_out_a_sample(day: Day) -> None:
    """One in the middle of the window: the first and the last are there."""
    del day.orders[8]["context"][1]["samples"][4]


def leaves_out_every_third_sample(day: Day) -> None:
    for order in day.orders:
        for signal in order["context"]:
            del signal["samples"][1::3]


def leaves_out_what_the_alarm_asks_for(day: Day) -> None:
    """`context: [filler.filler_1/pressure]` of the alarm."""
    for order in day.orders:
        del order["context"][1]


def gives_another_unit(day: Day) -> None:
    day.orders[8]["context"][0]["unit"] = "FAH"


def takes_the_window_of_a_slow_clock(day: Day) -> None:
    """Two and a half minutes instead of five."""
    order = day.orders[8]
    for signal in order["context"]:
        signal["samples"] = [s for s in signal["samples"] if s[0] >= order["raised_ms"] - 150_000]


def never_tells_of_its_orders(day: Day) -> None:
    _rewrite(day, lambda row: None)


def tells_only_that_an_order_is_open(day: Day) -> None:
    _rewrite(day, lambda row: None if row[6].endswith("closed") else row)


def tells_an_end_before_it_came(day: Day) -> None:
    _rewrite(day, lambda row: [*row[:6], row[6].replace("open", "closed"), *row[7:]])


def tells_what_the_order_never_was(day: Day) -> None:
    number = day.orders[7]["id"]
    _rewrite(day, lambda row: [*row[:6], row[6].replace(f"{number} open", f"{number} assigned"), *row[7:]])


def tells_of_an_order_that_is_not_there(day: Day) -> None:
    _rewrite(day, lambda row: [*row[:6], row[6].replace("WO-", "MO-"), *row[7:]])


def asks_once_in_an_hour(day: Day) -> None:
    """What it tells is true, and up to an hour old: an order is known to be open long after it was closed."""

    def hourly(row: list[Any]) -> list[Any]:
        ms = -(-row[5] // 3_600_000) * 3_600_000
        return [row[0], ms * MS + 300 * MS, *row[2:5], ms, *row[6:]]

    _rewrite(day, hourly)


def falls_back_to_an_older_order(day: Day) -> None:
    first = day.orders[0]
    ms = at(28_000) // MS
    told = operations_day.held(
        at(28_000), FILLER, f"work_order/{first['alarm']}", ms, f"{first['id']} closed"
    )
    day.host_rows.append(told)


def _rewrite(day: Day, change: Callable[[list[Any]], list[Any] | None]) -> None:
    """Change, or leave out, each row about a work order."""
    rows = [
        new
        for row in day.host_log()
        if (new := change(row) if row[0] == "H" and row[4].startswith("work_order/") else row) is not None
    ]
    day.host_log = lambda: sorted(rows, key=lambda row: row[1])  # type: ignore[method-assign]


CMMS_MUTANTS: list[tuple[Callable[[Day], None], str]] = [
    (orders_twice, "duplicate"),
    (orders_again_while_one_is_open, "duplicate"),
    (loses_after_a_timeout, "missing"),
    (names_the_wrong_equipment, "asset"),
    (keeps_the_asset_of_before_the_swap, "asset"),
    (attaches_the_wrong_window, "context"),
    (attaches_half_the_window, "context"),
    (leaves_out_the_last_samples, "context"),
    (attaches_a_wrong_value, "context"),
    (attaches_other_signals, "context"),
    (leaves_out_a_sample, "context"),
    (leaves_out_every_third_sample, "context"),
    (leaves_out_what_the_alarm_asks_for, "context"),
    (gives_another_unit, "context"),
    (takes_the_window_of_a_slow_clock, "context"),
    (calls_everything_low, "routing"),
    (gives_an_order_to_other_people, "routing"),
    (names_no_owner, "routing"),
    (gives_the_limit_of_another_alarm, "reason"),
    (gives_a_value_that_was_never_there, "reason"),
    (gives_no_reason, "reason"),
    (orders_after_an_hour, "late"),
    (orders_four_minutes_late, "late"),
    (orders_what_nobody_called_for, "invented"),
    (orders_for_alarms_that_need_none, "invented"),
    (never_orders, "missing"),
    (never_tells_of_its_orders, "follow"),
    (tells_only_that_an_order_is_open, "follow"),
    (tells_an_end_before_it_came, "follow"),
    (tells_what_the_order_never_was, "follow"),
    (tells_of_an_order_that_is_not_there, "follow"),
    (asks_once_in_an_hour, "follow"),
    (falls_back_to_an_older_order, "follow"),
]


@pytest.mark.parametrize(("mutant", "kind"), CMMS_MUTANTS, ids=lambda value: getattr(value, "__name__", None))
def test_cmms_clients(mutant: Callable[[Day], None], kind: str, day: Day, tmp_path: Path) -> None:
    mutant(day)
    verdict = judge(day.write(tmp_path))
    assert failed(verdict) == {"work_orders"}
    breaches: dict[str, int] = verdict.criterion("work_orders").figures.breaches
    assert {name for name, count in breaches.items() if count} == {kind}


def test_a_template_of_the_site_may_leave_out_priority_and_owner(day: Day, tmp_path: Path) -> None:
    day.site["cmms"]["adapter"] = "generic"
    calls_everything_low(day)
    names_no_owner(day)
    assert outcomes(judge(day.write(tmp_path)))["work_orders"] == "PASS"


def cut(day: Day, begin: float, end: float, affects: str, *, is_cut: bool = True) -> None:
    entry: dict[str, Any] = {
        "id": "c",
        "kind": "down",
        "target": affects,
        "start_ns": at(begin),
        "end_ns": at(end),
    }
    day.timeline.append(
        entry | {"cut": is_cut, "affects": [affects], "asked": {}, "verified": True, "evidence": {}}
    )


@pytest.mark.parametrize(("affects", "is_cut"), [("wan", True), ("cmms", False), ("bridge", False)])
def test_the_clock_of_an_order_stands_still_while_it_cannot_be_made(
    day: Day, tmp_path: Path, affects: str, is_cut: bool
) -> None:
    order = day.orders[4]
    begin = (order["raised_ms"] * MS - at(0)) / S - 10
    cut(day, begin, begin + 3_000, affects, is_cut=is_cut)
    order["created_ms"] += 3_100_000
    result = judge(day.write(tmp_path)).criterion("work_orders")
    assert result.verdict == "PASS"
    assert result.figures.times_raw.max_s == 3_112
    assert result.figures.times_raw.below_5_min == len(day.orders) - 1
    assert result.figures.times.max_s == 3_112 - 2_990 - 40


def test_an_order_that_took_four_minutes_after_the_healing_is_late(day: Day, tmp_path: Path) -> None:
    order = day.orders[4]
    begin = (order["raised_ms"] * MS - at(0)) / S - 10
    cut(day, begin, begin + 3_000, "cmms", is_cut=False)
    order["created_ms"] += 3_230_000
    assert failed(judge(day.write(tmp_path))) == {"work_orders"}


def test_a_cut_of_a_second_excuses_a_second_and_a_retry(day: Day, tmp_path: Path) -> None:
    """Where the clock began anew at each healing, an order 1,200 s late with such a cut was 59 s late."""
    order = day.orders[4]
    raised = (order["raised_ms"] * MS - at(0)) / S
    for after in (400, 800, 1_140):
        cut(day, raised + after, raised + after + 1, "wan")
    order["created_ms"] = order["raised_ms"] + 1_200_000
    result = judge(day.write(tmp_path)).criterion("work_orders")
    assert result.figures.breaches["late"] == 1
    assert result.figures.times.max_s == pytest.approx(1_200 - 3 * 41, abs=0.01)


def test_an_order_that_still_had_time_is_counted_and_not_excused(day: Day, tmp_path: Path) -> None:
    """The CMMS is away until the end."""
    first = min(order["raised_ms"] for order in day.orders)
    cut(day, (first * MS - at(0)) / S - 10, 100_000, "cmms", is_cut=False)
    day.orders.clear()
    folder = day.write(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"may_be_inconclusive": ["work_orders"]}))
    result = judged_by({"work_orders"}, folder).criterion("work_orders")
    assert (result.verdict, result.excused) == ("INCONCLUSIVE", False)
    assert f"0 orders, {result.figures.still_to_come} still to come" in result.measured
    assert "had none when the run ended, with time left" in result.statement


def test_one_open_order_serves_an_alarm_that_speaks_again(day: Day, tmp_path: Path) -> None:
    first, second = (next(o for o in day.orders if o["occurrence"] == number) for number in (1, 2))
    first["history"][1][0] = second["raised_ms"] + 1_000  # closed just after the alarm had spoken again
    day.orders.remove(second)
    assert outcomes(judge(day.write(tmp_path)))["work_orders"] == "PASS"


def test_a_swap_in_the_events_alone_is_known(day: Day, tmp_path: Path) -> None:
    day.header["assets"] = [["HAM-F", "SN-1", at(0), None]]
    assert outcomes(judge(day.write(tmp_path)))["work_orders"] == "PASS"


# Bridges that are right, in circumstances that excuse them.


def test_the_samples_of_the_last_seconds_may_have_been_on_their_way(day: Day, tmp_path: Path) -> None:
    order = day.orders[8]
    second = (order["raised_ms"] * MS - at(0)) / S
    late = at(second - 1) // MS
    day.signals["pressure"][second - 1] = 3.125
    assert outcomes(judge(day.write(tmp_path / "without")))["work_orders"] == "PASS"
    samples = order["context"][1]["samples"]
    samples[:] = sorted([*samples, [late, 3.125, 192]])
    assert outcomes(judge(day.write(tmp_path / "with")))["work_orders"] == "PASS"


@pytest.mark.parametrize(
    ("affects", "outcome"), [("cell", "PASS"), ("bridge", "PASS"), ("wan", "FAIL"), ("cmms", "FAIL")]
)
def test_what_came_late_from_below_need_not_be_there(
    day: Day, tmp_path: Path, affects: str, outcome: str
) -> None:
    """A minute and a half of the pressure is missing: around a cut below, and for no reason around one above."""
    order = day.orders[8]
    raised = order["raised_ms"]
    begin = (raised * MS - at(0)) / S - 200
    cut(day, begin, begin + 30, affects, is_cut=affects != "cmms")
    for signal in order["context"]:
        kept = [s for s in signal["samples"] if not raised - 205_000 < s[0] < raised - 115_000]
        assert len(kept) < len(signal["samples"])
        signal["samples"] = kept
    assert outcomes(judge(day.write(tmp_path)))["work_orders"] == outcome


def test_a_cut_below_excuses_only_what_is_around_it(day: Day, tmp_path: Path) -> None:
    order = day.orders[8]
    begin = (order["raised_ms"] * MS - at(0)) / S - 280
    cut(day, begin, begin + 10, "cell")
    del order["context"][1]["samples"][-3]
    assert failed(judge(day.write(tmp_path))) == {"work_orders"}


def test_a_sample_that_was_lost_is_not_missed_again(day: Day, tmp_path: Path) -> None:
    """It never came to the enterprise: the bridge may never have had it. Losses are counted elsewhere."""
    sample = day.orders[8]["context"][1]["samples"].pop(4)
    rows = [row for row in day.host_log() if row[3:6] != [FILLER, "pressure", sample[0]]]
    day.host_log = lambda: rows  # type: ignore[method-assign]
    verdict = judge(day.write(tmp_path))
    assert outcomes(verdict)["work_orders"] == "PASS"
    assert verdict.counts["lost"] == 1


def test_what_the_source_called_good_without_a_number_may_be_null(day: Day, tmp_path: Path) -> None:
    order = day.orders[8]
    sample = order["context"][1]["samples"][4]
    second = (sample[0] * MS - at(0)) // S
    day.signals["pressure"][second] = None  # type: ignore[assignment]
    sample[1:] = [None, 0]
    rows = [
        [*row[:6], None, 0, *row[8:]] if row[3:6] == [FILLER, "pressure", sample[0]] else row
        for row in day.host_log()
    ]
    day.host_log = lambda: rows  # type: ignore[method-assign]
    assert outcomes(judge(day.write(tmp_path)))["work_orders"] == "PASS"


def test_an_order_that_changed_just_before_the_end_need_not_be_told(day: Day, tmp_path: Path) -> None:
    order = day.orders[-1]
    order["history"][1][0] = at(day.seconds - 30) // MS
    _rewrite(day, lambda row: None if row[6] == f"{order['id']} closed" else row)
    assert outcomes(judge(day.write(tmp_path / "late")))["work_orders"] == "PASS"
    order["history"][1][0] = at(day.seconds - 300) // MS
    assert failed(judge(day.write(tmp_path / "early"))) == {"work_orders"}


@pytest.mark.parametrize(("affects", "outcome"), [("cmms", "PASS"), ("bridge", "PASS"), ("host", "FAIL")])
def test_what_changed_while_the_cmms_was_away_is_told_after_it(
    day: Day, tmp_path: Path, affects: str, outcome: str
) -> None:
    """The order is closed in the middle of twenty minutes without the CMMS, and told half a minute after them."""
    order = day.orders[4]
    closed_ms = order["history"][1][0]
    begin = (closed_ms * MS - at(0)) / S - 600
    cut(day, begin, begin + 1_200, affects, is_cut=False)

    def late(row: list[Any]) -> list[Any]:
        if row[6] != f"{order['id']} closed":
            return row
        ms = closed_ms + 630_000
        return [row[0], ms * MS + 300 * MS, *row[2:5], ms, *row[6:]]

    _rewrite(day, late)
    assert outcomes(judge(day.write(tmp_path)))["work_orders"] == outcome


def test_a_state_too_short_for_a_poll_need_not_be_told(day: Day, tmp_path: Path) -> None:
    for order in day.orders:
        created_ms = order["created_ms"]
        order["history"].insert(1, [created_ms + 6_000, "assigned", "crew"])
        order["history"].insert(2, [created_ms + 9_000, "in_progress", "crew"])
    _rewrite(day, lambda row: None if row[6].endswith("assigned") else row)
    assert outcomes(judge(day.write(tmp_path)))["work_orders"] == "PASS"
