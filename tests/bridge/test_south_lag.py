"""Lag against source time: queues, clocks that are off, values stamped long ago."""

from __future__ import annotations

import pytest

from shakedown.bridge.south.decode import TICKS_1970
from shakedown.bridge.south.lag import MESSAGES, Lag

MS, S, DAY = 10_000, 10_000_000, 86_400 * 10_000_000
NOW = TICKS_1970 + 10**17


@pytest.mark.parametrize("skew", [0, DAY, -DAY])
def test_what_waits_in_the_queues_is_lag_and_the_clock_of_the_server_is_not(skew: int) -> None:
    lag = Lag()
    for i in range(20):
        now = NOW + i * S
        lag.note(now, now - 3 * MS + skew, [now - 503 * MS + skew])
    assert lag.ms == 500
    said = [
        lag.note(now := now + S, now - 3 * MS + skew, [now - 20 * S + skew, now + skew]) for _ in range(9)
    ]
    assert lag.ms < 500  # the newest of two
    said += [lag.note(now := now + S, now - 3 * MS + skew, [now - 20 * S + skew] * 3) for _ in range(9)]
    assert (lag.ms, lag.is_behind, said.count(True)) == (19_997, True, 1)
    assert lag.note(now + S, now + S + skew, [])  # a keep-alive: nothing waits
    assert (lag.ms, lag.is_behind) == (0, False)


def test_a_value_that_is_stamped_with_yesterday_is_no_lag() -> None:
    lag = Lag()
    for i in range(50):
        now = NOW + i * S
        old = i % 6 == 0
        assert not lag.note(now, now, [now - DAY if old else now - 100 * MS])
    assert lag.ms == 100


def test_it_has_recovered_well_below_where_it_fell_behind() -> None:
    lag = Lag()
    said = []
    for i, age_s in enumerate([6] * 12 + [4] * 12 + [6] * 12 + [2] * 12):
        said.append(lag.note(NOW + i * S, NOW + i * S, [NOW + (i - age_s) * S]))
    assert said.count(True) == 2
    assert not lag.is_behind


@pytest.mark.parametrize("stamp", [0, -1, 2**63 - 1])
def test_times_that_are_none_do_not_count(stamp: int) -> None:
    lag = Lag()
    for _ in range(MESSAGES):
        assert not lag.note(NOW, stamp, [stamp, NOW - S])
    assert lag.ms == 1000
