"""The judge's own reading of the rules of alarms (docs/alarms.md), by hand."""

from __future__ import annotations

from typing import Any

import pytest

from shakedown.acceptance.alarms.commands import Command, Commands
from shakedown.acceptance.alarms.condition import Signal, condition_of, settled
from shakedown.acceptance.alarms.life import Facts, Shown, Start, life
from shakedown.acceptance.alarms.rates import _chattering, _floods, _in_window
from shakedown.acceptance.operations_site import AlarmRule
from shakedown.acceptance.site import Topic
from shakedown.acceptance.spans import NEVER, delayed, holding, over, union

S = 1_000_000_000


def rule(**given: Any) -> AlarmRule:
    first = {"name": "hot", "topic": Topic("filler", "temperature", 0, "Double"), "unit": "", "kind": "high"}
    rest = {
        "limit": 10.0,
        "priority": "high",
        "on_delay_s": 5.0,
        "work_order": False,
        "suppress_in": frozenset(),
    }
    return AlarmRule(**{**first, **rest, "text": "", **given})


def signal(*samples: tuple[float, Any]) -> Signal:
    return Signal([round(second * S) for second, _ in samples], [value for _, value in samples])


def active(samples: list[tuple[float, Any]], states: list[tuple[float, Any]] = (), **given: Any) -> list[Any]:  # type: ignore[assignment]
    found = condition_of(rule(**given), signal(*samples), signal(*states), lambda ns: S)
    return [(begin / S, None if end == NEVER else end / S) for begin, end in found.active.spans]


def shown(spans: list[tuple[float, float]], **given: Any) -> list[tuple[float, str, bool]]:
    """The life of an alarm that is active in `spans`, in seconds; `given` says what hides it, and who answered."""
    hidden = [
        (name, [(round(a * S), round(b * S)) for a, b in given.pop(name, [])])
        for name in ("out_of_service", "shelved", "suppressed")
    ]
    acks, resets = ([round(second * S) for second in given.pop(name, [])] for name in ("acks", "resets"))
    nanos = [(round(a * S), round(b * S)) for a, b in spans]
    found = life(Facts(rule(**given), nanos, hidden, acks, resets), Start(0), 10_000 * S)
    return [(entry.ns / S, entry.state, entry.calls) for entry in found[1:]]


def test_spans() -> None:
    assert union([(5, 7), (1, 3)], [(3, 4), (6, 9)], [(12, 12)]) == [(1, 4), (5, 9)]
    assert holding([(1, True), (2, True), (4, False), (6, False), (8, True)]) == [(1, 4), (8, NEVER)]


@pytest.mark.parametrize(
    ("begin", "delay", "ends"),
    [
        (0, 5, 5),
        (0, 10, 10),  # over as the clock is stopped
        (0, 11, 21),
        (12, 5, 25),  # begun while it stood
        (12, 0, 20),
        (25, 0, 25),
        (0, 31, 51),  # ten, ten and eleven
        (0, NEVER, NEVER),
    ],
)
def test_the_clock_of_a_delay_stands_still(begin: int, delay: int, ends: int) -> None:
    assert over(begin, delay, [(10, 20), (30, 40)]) == ends


def test_a_condition_counts_once_it_has_lasted() -> None:
    beyond = [(0, 4), (10, 16), (18, 30), (40, NEVER)]
    found = delayed(beyond, (5, []), (3, []), lambda ns: 2)
    assert found.spans == [(15, 33), (45, NEVER)]
    assert found.close == [(4, 5), (18, 19)]  # short of five by one; short of three by one


def test_a_deadband_is_the_way_back() -> None:
    samples = [(0, 9), (1, 11), (7, 9.5), (8, 10.5), (20, 9), (21, 9.5)]
    assert active(samples, deadband=1.0) == [(6.0, 20.0)]
    assert active(samples) == [(6.0, 7.0), (13.0, 20.0)]


def test_what_is_not_usable_stops_the_clock_and_begins_nothing() -> None:
    """Four seconds beyond, three unknown, one more beyond."""
    assert active([(0, 9), (1, 11), (5, None), (8, 11), (30, 9)]) == [(9.0, 30.0)]
    assert active([(0, 9), (1, 11), (5, None), (600, 9)]) == []


def test_a_machine_that_runs_fourteen_seconds_and_idles_six_is_called_in_running_time() -> None:
    states = [(20 * n + late, name) for n in range(50) for late, name in ((0, "run"), (14, "idle"))]
    rules = {"on_delay_s": 60.0, "suppress_in": frozenset({"idle"})}
    assert active([(0, 11), (2_000, 9)], states, **rules) == [
        (84.0, 2_000.0)
    ]  # four times fourteen, and four


def test_a_state_that_turns_bad_suppresses_for_a_minute_more() -> None:
    states = [(0, "run"), (10, "idle"), (20, None), (300, "idle"), (310, "run")]
    found = condition_of(rule(suppress_in=frozenset({"idle"})), signal((0, 9)), signal(*states), lambda ns: S)
    assert found.suppressed == [(10 * S, 80 * S), (300 * S, 310 * S)]
    states[3] = (70, "idle")
    found = condition_of(rule(suppress_in=frozenset({"idle"})), signal((0, 9)), signal(*states), lambda ns: S)
    assert found.suppressed == [(10 * S, 310 * S)]


def test_a_sensor_that_stays_bad_is_active_after_its_time() -> None:
    samples = [(0, 9), (10, None), (40, 9), (100, None), (180, 9)]
    assert active(samples, kind="bad", on_delay_s=60.0, off_delay_s=60.0) == [(160.0, 240.0)]


def test_a_life_by_hand() -> None:
    assert shown([(10, 60), (100, 130)], acks=[20, 150]) == [
        (10, "unacked", True), (20, "acked", False), (60, "normal", False),
        (100, "unacked", True), (130, "rtn_unacked", False), (150, "normal", False),
    ]  # fmt: skip


def test_a_latch_stays_until_it_is_reset() -> None:
    assert shown([(10, 60), (100, 130)], latching=True, acks=[70, 110], resets=[150]) == [
        (10, "unacked", True), (60, "latched_unacked", False), (70, "latched_acked", False),
        (100, "unacked", True), (110, "acked", False), (130, "latched_acked", False), (150, "normal", False),
    ]  # fmt: skip


def test_an_alarm_that_was_answered_and_still_stands_is_called_again() -> None:
    assert shown([(10, 500)], re_alarm_s=100.0, acks=[20, 130]) == [
        (10, "unacked", True), (20, "acked", False), (120, "unacked", True), (130, "acked", False),
        (230, "unacked", True), (500, "rtn_unacked", False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spans", "more", "moves"),
    [
        ([(15, 60)], {}, [(10, "H"), (40, "unacked", True), (60, "rtn_unacked")]),  # a call put off
        ([(15, 30)], {}, [(10, "H"), (40, "normal")]),  # ... and forgotten
        ([(15, 30)], {"latching": True}, [(10, "H"), (40, "latched_unacked")]),
        ([(5, 60)], {}, [(5, "unacked", True), (10, "H"), (40, "unacked"), (60, "rtn_unacked")]),
        (
            [(5, 60)],
            {"acks": [7]},
            [(5, "unacked", True), (7, "acked"), (10, "H"), (40, "acked"), (60, "normal")],
        ),
        ([(5, 20)], {}, [(5, "unacked", True), (10, "H"), (40, "rtn_unacked")]),
        ([(5, 20), (25, 30)], {"acks": [7]}, [(5, "unacked", True), (7, "acked"), (10, "H"), (40, "normal")]),
    ],
)
def test_what_hides_removes_nothing(spans: Any, more: dict[str, Any], moves: list[Any]) -> None:
    wanted = [(second, "suppressed" if state == "H" else state, bool(call)) for second, state, *call in moves]
    assert shown(spans, suppressed=[(10, 40)], **more) == wanted


def test_the_end_of_a_shelf_calls_anew_and_a_suppression_behind_it_puts_that_off() -> None:
    life_ = shown([(5, 90)], acks=[7], shelved=[(10, 40)], suppressed=[(30, 50)])
    assert life_[2:] == [
        (10, "shelved", False), (40, "suppressed", False), (50, "unacked", True), (90, "rtn_unacked", False)
    ]  # fmt: skip


def test_shelves_are_moved_and_ended_by_later_commands() -> None:
    def shelf(second: int, until: int) -> Command:
        return Command(second * S, "shelve", f'{{"operator":"ann","until_ms":{until * 1000},"reason":"r"}}')

    given = Commands(obeyed=[shelf(10, 50), shelf(40, 90), shelf(100, 500), shelf(120, 0)])
    assert given.hidden("shelve") == [(10 * S, 90 * S), (100 * S, 120 * S)]


def test_after_an_outage_the_condition_is_known_once_what_holds_has_lasted() -> None:
    samples = signal((0, 9), (50, 11), (100, 9), (103, 11), (200, 9.5))
    condition = condition_of(rule(off_delay_s=10.0, deadband=1.0), samples, Signal(), lambda ns: S)
    assert settled(condition, samples, 60 * S) == 65 * S
    assert settled(condition, samples, 95 * S) == 100 * S
    assert settled(condition, samples, 97 * S) == 108 * S  # three seconds of either prove nothing
    assert settled(condition, samples, 210 * S) == NEVER  # a value within the deadband says nothing of before


def test_a_call_is_a_moment_of_its_own() -> None:
    facts = Facts(rule(), [(10 * S, 90 * S)], [], [], [])
    assert life(facts, Start(20 * S, acked=False), 80 * S) == [Shown(20 * S, "unacked", False)]


def test_the_figures_of_all_alarms_by_hand() -> None:
    calls = [(second * S, "filler/hot") for second in (0, 20, 50)] + [(100 * S, "capper/loose")]
    assert _in_window(calls)[3:5] == [(100 * S, 4), (600 * S, 3)]
    assert _chattering(calls) == [(0, ""), (50 * S, "filler/hot"), (650 * S, "")]
    many = [(second * S, "filler/hot") for second in range(11)]
    assert _floods(many) == [(0, False), (10 * S, True), (606 * S, False)]  # above ten, and below five
