"""Floods, chattering and the figures of ISA-18.2, counted by hand."""

from __future__ import annotations

import json
import random

import pytest

from shakedown.bridge.core.alarm_rates import RECORDS_MAX, Annunciation, Rates, figures

S = 1_000_000_000
A, B = ("d", "a"), ("d", "b")


def test_a_flood_begins_above_ten_and_ends_below_five() -> None:
    rates = Rates()
    floods = []
    for number in range(11):
        rates.annunciated(A, "low", number * 30 * S)
        floods.append(rates.is_flood)
    assert floods == [False] * 10 + [True]
    rates.elapse(600 * S + 5 * 30 * S)  # six have left the window: five are in it
    assert (rates.in_window, rates.is_flood) == (5, True)
    rates.elapse(600 * S + 6 * 30 * S)
    assert (rates.in_window, rates.is_flood) == (4, False)


def test_chattering_is_three_in_a_minute() -> None:
    rates = Rates()
    for ts_s in (0, 30, 60):
        rates.annunciated(A, "low", ts_s * S)
    for ts_s in (100, 130, 161):
        rates.annunciated(B, "low", ts_s * S)
    assert rates.chattering(200 * S) == [A]
    assert rates.chattering(700 * S) == []


def test_figures_of_a_small_hour() -> None:
    records = [
        Annunciation(A, "high", i * 10 * S, (i * 10 + 5) * S) for i in range(12)
    ]  # fleeting, chattering
    records += [Annunciation(B, "low", 1800 * S, None, 1810 * S), Annunciation(B, "low", 4000 * S)]
    found = figures(records, 0, 3600 * S)
    assert found == {
        "hours": 1.0,
        "annunciations": 13,
        "per_operator_hour": 13.0,
        "per_operator_10_min": 13 / 6,
        "per_operator_10_min_max": 12.0,
        "windows_above_10": 1 / 6,
        # the eleventh comes at 100 s; fewer than five are left when the eighth leaves, at 670 s
        "flood_time": 570 / 3600,
        "top_10": 1.0,
        "chattering": 1,
        "fleeting": 12,
        "stale": 0,
        "priorities": {"high": 12, "low": 1},
    }


def test_an_answered_or_a_day_long_alarm_is_named_as_such() -> None:
    day = 24 * 3600 * S
    records = [
        Annunciation(A, "high", 0, 5 * S, 4 * S),  # answered before it went: not fleeting
        Annunciation(B, "high", 10 * S, None),
        Annunciation(("d", "c"), "high", 10 * S, 10 * S + day),
    ]
    found = figures(records, 0, day + 20 * S)
    assert (found["fleeting"], found["stale"]) == (0, 1)


def test_what_has_stood_for_days_is_stale_though_it_was_raised_before_the_period() -> None:
    """The figures are of the last 24 h: in them nothing new can stand longer than that."""
    day = 24 * 3600 * S
    rates = Rates()
    rates.annunciated(A, "low", 0)
    rates.annunciated(B, "low", 1 * S)
    rates.cleared(B, 2 * S)
    rates.annunciated(A, "low", day)  # re-alarm: it stands all the time
    assert figures(list(rates.records), 2 * day, 3 * day)["stale"] == 1
    rates.cleared(A, 3 * day)
    assert figures(list(rates.records), 3 * day, 4 * day)["stale"] == 0


def test_rates_note_how_an_annunciation_ended() -> None:
    rates = Rates()
    rates.annunciated(A, "low", 1 * S)
    rates.acked(A, 3 * S)
    rates.cleared(A, 4 * S)
    rates.cleared(A, 9 * S)
    rates.cleared(B, 9 * S)
    assert list(rates.records) == [Annunciation(A, "low", 1 * S, 4 * S, 3 * S)]


def test_an_empty_period_is_refused() -> None:
    with pytest.raises(ValueError, match="is empty"):
        figures([], 5, 5)


def test_a_flood_that_was_over_before_the_next_annunciation_has_ended_whoever_looked() -> None:
    rates = Rates()
    for number in range(11):
        rates.annunciated(A, "low", number * S)
    assert rates.is_flood
    rates.annunciated(B, "low", 2000 * S)
    assert (rates.in_window, rates.is_flood) == (1, False)


@pytest.mark.parametrize("seed", range(3))
def test_what_was_written_down_is_all_that_a_restart_needs(seed: int) -> None:
    """At any moment, over more annunciations than are remembered."""
    draw = random.Random(seed)
    rates, written, now_ns = Rates(), {}, 0
    restarts = {draw.randrange(24_000) for _ in range(4)}
    for number in range(24_000):
        now_ns += draw.choice((1, 20, 20, 300)) * S if number % 1000 < 40 else 100 * S
        alarm = ("d", draw.choice("abc"))
        draw.choice((rates.cleared, rates.acked))(alarm, now_ns)
        rates.annunciated(alarm, "low", now_ns)
        written |= rates.drain()
        if number not in restarts:
            continue
        again = Rates()
        again.restore(json.loads(json.dumps(list(written.values()))))
        assert again.records == rates.records
        assert (again.is_flood, again.in_window) == (rates.is_flood, rates.in_window)
        assert again.chattering(now_ns) == rates.chattering(now_ns)
        assert again.drain() == {}
        rates = again
    assert len(rates.records) == RECORDS_MAX
