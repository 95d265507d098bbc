"""How fast history goes: a bound that is kept, or what the line takes."""

from __future__ import annotations

from shakedown.bridge.core.pace import (
    FLOOR_PER_S,
    GROWTH,
    LATE_NS,
    NS,
    PAUSE_MAX_S,
    START_PER_S,
    TOP_PER_S,
    Pace,
)

LATENCY_NS = 600_000_000  # of the line, there and back


def answered(pace: Pace, second: int, took_ns: int = LATENCY_NS) -> None:
    """History goes, and the barrier behind it comes back."""
    pace.went(pace.burst)
    pace.answered(second * NS - took_ns, second * NS)


def sent_in(pace: Pace, seconds: int, from_s: int = 0) -> int:
    """Rows that go when somebody asks as often as they should."""
    rows, now_ns = 0, from_s * NS
    while now_ns < (from_s + seconds) * NS:
        now_ns += int(pace.pause_s * NS)
        if pace.allows(pace.burst, now_ns):
            pace.went(pace.burst)
            rows += pace.burst
    return rows


def test_a_bound_is_kept_whatever_the_line_does() -> None:
    for per_s in (1, 100, 5000, 100_000):
        pace = Pace(per_s, 1000)
        pace.opened(0)
        for second in range(1, 9):
            answered(pace, second, second * NS // 10)
        pace.blocked(20 * NS)
        assert pace.per_s == per_s
    pace = Pace(600, 1000)
    pace.opened(0)
    assert 0.9 * 6000 <= sent_in(pace, 10) <= 6000 + pace.burst


def test_without_one_it_grows_while_barriers_come_back_as_promptly_as_the_line_can() -> None:
    pace = Pace(None, 1000)
    pace.opened(0)
    assert pace.per_s == START_PER_S
    answered(pace, 1)
    assert pace.per_s == START_PER_S * GROWTH
    for second in range(2, 20):
        answered(pace, second)
    assert pace.per_s == TOP_PER_S
    assert sent_in(pace, 10, 20) >= 0.9 * 10 * TOP_PER_S
    assert pace.pause_s <= PAUSE_MAX_S


def test_it_does_not_grow_while_nothing_is_sent() -> None:
    pace = Pace(None, 1000)
    pace.opened(0)
    for second in range(1, 20):
        pace.answered(second * NS - LATENCY_NS, second * NS)
    assert pace.per_s == START_PER_S


def test_a_late_barrier_and_a_blocked_line_halve_it_once_a_second_to_a_floor() -> None:
    pace = Pace(None, 1000)
    pace.opened(0)
    answered(pace, 1)
    answered(pace, 2, LATENCY_NS + LATE_NS + 1)
    assert pace.per_s == START_PER_S * GROWTH / 2
    pace.blocked(2 * NS + 1)
    assert pace.per_s == START_PER_S * GROWTH / 2
    for second in range(3, 30):
        pace.blocked(second * NS)
    assert pace.per_s == FLOOR_PER_S


def test_it_begins_at_twice_what_comes_live() -> None:
    pace = Pace(None, 1000)
    pace.opened(0)
    for second in range(1, 4):
        pace.came(8000)
        pace.answered(second * NS - LATENCY_NS, second * NS)
    pace.opened(10 * NS)
    assert pace.per_s == 16_000
