"""Alarms: the state table against the standards, and rules over samples by hand and against a naive model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shakedown.bridge.core.alarm import IN_FLIGHT_NS, SERVICE_MAX_S, CommandRefused
from shakedown.bridge.core.alarm_rule import AlarmRule
from shakedown.bridge.core.alarm_states import TABLE, Event, State, step
from shakedown.bridge.core.alarms import SHELVE_MAX_S, Alarms
from shakedown.bridge.core.model import BAD, GOOD, Sample

S = 1_000_000_000
ISA_18_2 = """
            A normal  B unacked  C acked  D rtn_unacked  E latched_unacked  F latched_acked
raised      B!        .          .        B!             B!                 B!
cleared     .         D          A        .              .                  .
latching    .         E          F        .              .                  .
ack         .         C          .        A              F                  .
reset       .         .          .        .              D                  A
re-alarm    .         .          B!       .              .                  .
"""
EVENTS = (
    Event.RAISED, Event.CLEARED, Event.CLEARED_LATCHING, Event.ACK, Event.RESET, Event.RE_ALARM,
)  # fmt: skip
LETTER = dict(zip("ABCDEF", State, strict=False))


def test_the_table_is_that_of_isa_18_2() -> None:
    """Each cell of the matrix above: the letter of the next state, `!` where the operator is called."""
    rows = [line.split() for line in ISA_18_2.strip().splitlines()[1:]]
    for event, (_, *cells) in zip(EVENTS, rows, strict=True):
        for letter, cell in zip("ABCDEF", cells, strict=True):
            state, annunciates = step(LETTER[letter], event)
            expected = LETTER[letter] if cell == "." else LETTER[cell[0]]
            assert (state, annunciates) == (expected, cell.endswith("!")), (letter, event)
    assert {event for (_, event), after in TABLE.items() if after.annunciates} == {
        Event.RAISED,
        Event.RE_ALARM,
    }


def rule(**settings: object) -> AlarmRule:
    return AlarmRule("d", "a", 0, **{"high": 10.0, **settings})  # type: ignore[arg-type]


def at(ts_s: float, value: object, *, metric_id: int = 0, quality: int = GOOD) -> Sample:
    return Sample(metric_id, int(ts_s * 1000), value, quality)  # type: ignore[arg-type]


def seen(alarms: Alarms) -> list[tuple[float, str]]:
    """(seconds, state) of the transitions since the last call; `!` marks an annunciation."""
    return [(t.ts_ns / S, t.state.value + "!" * t.annunciates) for t in alarms.drain()[0]]


def play(alarms: Alarms, *samples: Sample, until_s: float = 0.0) -> list[tuple[float, str]]:
    for sample in samples:
        alarms.take(sample)
    alarms.tick(int(until_s * S))
    return seen(alarms)


def flags(alarms: Alarms) -> str:
    return "".join("TF"[not flag] for flag in alarms.alarms["d", "a"].flags)


def test_vectors_of_opc_ua_part_9_b_1_2() -> None:
    """(Active, Acked, Confirmed, Retain): acknowledged before it clears, then cleared before it is acknowledged."""
    alarms = Alarms([rule(confirm=True)])
    vectors = []
    for begin_s, steps in ((0, "acx"), (100, "cax")):
        alarms.take(at(begin_s, 20.0))
        vectors.append(flags(alarms))
        for number, what in enumerate(steps, 1):
            if what == "a":
                alarms.ack("d", "a", "kim", (begin_s + number) * S)
            elif what == "c":
                alarms.take(at(begin_s + number, 0.0))
            else:
                alarms.confirm("d", "a", "kim", (begin_s + number) * S)
            vectors.append(flags(alarms))
    assert vectors == ["TFTT", "TTFT", "FTFT", "FTTF", "TFTT", "FFTT", "FTFT", "FTTF"]


@pytest.mark.parametrize(
    ("settings", "samples", "expected"),
    [
        ({}, [(0, 10.0), (1, 10.1), (2, 10.0)], [(1, "unacked!"), (2, "rtn_unacked")]),
        ({"deadband": 2}, [(1, 11.0), (2, 8.1), (3, 8.0)], [(1, "unacked!"), (3, "rtn_unacked")]),
        ({"high": None, "low": 5.0, "deadband": 1}, [(1, 5.0), (2, 4.9), (3, 5.9), (4, 6.0)],
         [(2, "unacked!"), (4, "rtn_unacked")]),
        ({"high": None, "equals": "fault"}, [(1, "run"), (2, "fault"), (3, "run")],
         [(2, "unacked!"), (3, "rtn_unacked")]),
        ({"on_delay_ns": 5 * S}, [(1, 11.0), (5, 9.0), (6, 11.0), (12, 12.0)], [(11, "unacked!")]),
        ({"on_delay_ns": 5 * S}, [(1, 11.0), (6, 9.0)], [(6, "unacked!"), (6, "rtn_unacked")]),
        ({"off_delay_ns": 5 * S}, [(1, 11.0), (2, 9.0), (4, 11.0), (5, 9.0), (20, 9.0)],
         [(1, "unacked!"), (10, "rtn_unacked")]),
        ({"latching": True}, [(1, 11.0), (2, 9.0), (3, 11.0)],
         [(1, "unacked!"), (2, "latched_unacked"), (3, "unacked!")]),
        ({}, [(5, 9.0), (4, 11.0), (6, 9.0)], []),  # older than the newest: ignored
    ],
)  # fmt: skip
def test_rules_by_hand(settings: dict, samples: list, expected: list) -> None:
    assert play(Alarms([rule(**settings)]), *(at(*sample) for sample in samples)) == expected


def test_a_delay_ends_without_another_sample_and_is_stamped_with_its_end() -> None:
    alarms = Alarms([rule(on_delay_ns=5 * S)])
    alarms.take(at(1, 11.0))
    assert alarms.due_ns == 6 * S + IN_FLIGHT_NS
    alarms.tick(6 * S + IN_FLIGHT_NS - 1)
    assert seen(alarms) == []
    alarms.tick(6 * S + IN_FLIGHT_NS)
    assert seen(alarms) == [(6, "unacked!")]
    assert alarms.due_ns is None


def test_nothing_is_proven_while_the_source_is_out_of_reach_or_bad() -> None:
    alarms = Alarms([rule(on_delay_ns=5 * S)])
    alarms.take(at(1, 11.0))
    alarms.reach([0], is_up=False)
    assert alarms.due_ns is None
    assert play(alarms, until_s=60) == []
    alarms.reach([0], is_up=True)
    assert play(alarms, until_s=60) == [(6, "unacked!")]
    assert play(alarms, at(61, None, quality=BAD), until_s=90) == []  # and a bad value clears nothing
    assert play(alarms, at(91, 9.0)) == [(91, "rtn_unacked")]
    assert play(alarms, at(92, 11.0), at(93, None, quality=BAD), until_s=120) == []
    assert play(alarms, at(130, 11.0), until_s=140) == [(134, "unacked!")]  # 1 s before it, 4 s after


def test_a_standing_alarm_is_announced_again() -> None:
    alarms = Alarms([rule(re_alarm_ns=600 * S)])
    assert play(alarms, at(1, 11.0), until_s=5000) == [(1, "unacked!")]
    alarms.ack("d", "a", "kim", 5001 * S)
    assert play(alarms, until_s=5602) == [(5001, "acked"), (5601, "unacked!")]
    assert alarms.alarms["d", "a"].occurrence == 2


def test_suppression_follows_the_machine_and_what_came_meanwhile_calls_at_the_release() -> None:
    alarms = Alarms([rule(suppress_in=frozenset({"idle"}), state_metric_id=1)])
    states = [at(2, "idle", metric_id=1), at(9, "run", metric_id=1)]
    assert play(alarms, at(1, 11.0), states[0], at(3, 9.0), at(5, 11.0), states[1]) == [
        (1, "unacked!"), (2, "suppressed"), (9, "unacked!"),
    ]  # fmt: skip
    assert play(alarms, at(10, "idle", metric_id=1), at(11, 9.0), at(12, "run", metric_id=1)) == [
        (10, "suppressed"), (12, "rtn_unacked"),
    ]  # fmt: skip


def test_what_called_is_a_value_beyond_the_limit_and_none_within_the_deadband() -> None:
    alarms = Alarms([rule(deadband=2, on_delay_ns=5 * S)])
    for sample in (at(1, 11.0), at(3, 10.5), at(4, 9.0)):
        alarms.take(sample)
    alarms.tick(8 * S)
    (raised,), _ = alarms.drain()
    assert (raised.annunciates, raised.value) == (True, 10.5)


def idle(ts_s: float) -> Sample:
    return at(ts_s, "idle", metric_id=1)


def run(ts_s: float) -> Sample:
    return at(ts_s, "run", metric_id=1)


def suppressible(**settings: object) -> Alarms:
    return Alarms([rule(suppress_in=frozenset({"idle"}), state_metric_id=1, **settings)])


def test_a_machine_that_starts_has_the_whole_on_delay() -> None:
    alarms = suppressible(on_delay_ns=10 * S)
    assert play(alarms, idle(1), at(2, 11.0), run(60), at(65, 9.0), until_s=100) == [
        (1, "suppressed"), (60, "normal"),
    ]  # fmt: skip
    assert play(alarms, idle(101), at(102, 11.0), run(160), until_s=200) == [
        (101, "suppressed"), (160, "normal"), (170, "unacked!"),
    ]  # fmt: skip


def test_a_machine_that_runs_14_s_and_idles_6_s_silences_nothing() -> None:
    """The clock of an on-delay stands still while it idles, and what was called once does not call at each release."""
    alarms = suppressible(on_delay_ns=15 * S)
    samples = [at(0, 11.0), *(what(20.0 * n + s) for n in range(360) for what, s in ((idle, 14), (run, 20)))]
    moves = play(alarms, *samples)
    assert moves[:4] == [(14, "suppressed"), (20, "normal"), (21, "unacked!"), (34, "suppressed")]
    assert [move for move in moves if move[1].endswith("!")] == [(21, "unacked!")]
    assert moves[4] == (40, "unacked")


def test_bad_samples_within_a_delay_stop_its_clock_and_do_not_begin_it_anew() -> None:
    """600 s over the limit, one scan of ten Bad: called after 15 s of good values; and the way back likewise."""
    alarms = Alarms([rule(on_delay_ns=15 * S, off_delay_ns=15 * S)])
    scans = [at(s, None, quality=BAD) if s % 10 == 9 else at(s, 11.0) for s in range(600)]
    assert play(alarms, *scans) == [(16, "unacked!")]
    scans = [at(s, None, quality=BAD) if s % 10 == 9 else at(s, 9.0) for s in range(600, 640)]
    assert play(alarms, *scans) == [(616, "rtn_unacked")]


def test_a_value_that_is_no_number_proves_nothing() -> None:
    alarms = Alarms([rule()])
    assert play(alarms, at(1, 11.0), at(2, float("nan")), at(3, 11.0)) == [(1, "unacked!")]


def test_a_sensor_that_stays_bad_has_an_alarm_of_its_own() -> None:
    alarms = Alarms([rule(high=None, is_bad=True, on_delay_ns=60 * S, off_delay_ns=60 * S)])
    bad = lambda s: at(s, None, quality=BAD)  # noqa: E731
    assert play(alarms, at(0, 1.0), bad(1), at(60, 1.0), bad(70), until_s=131.0) == [(130, "unacked!")]
    assert play(alarms, at(140, 1.0), bad(150), at(160, 1.0), until_s=221) == [(220, "rtn_unacked")]


def test_a_state_that_turns_bad_suppresses_for_a_minute_only() -> None:
    alarms = suppressible()
    bad_state = at(10, None, metric_id=1, quality=BAD)
    assert play(alarms, idle(1), at(5, 11.0), bad_state, until_s=70.9) == [(1, "suppressed")]
    assert alarms.due_ns == 70 * S + IN_FLIGHT_NS
    assert play(alarms, until_s=71) == [(70, "unacked!")]
    moves = play(alarms, idle(80), at(90, None, metric_id=1, quality=BAD), idle(100), until_s=300)
    assert moves == [(80, "suppressed")]
    late = suppressible()  # all of it at once, after an outage
    moves = play(late, idle(1), at(5, 11.0), at(10, None, metric_id=1, quality=BAD), idle(200))
    assert moves == [(1, "suppressed"), (70, "unacked!"), (200, "suppressed")]


def test_what_was_answered_before_a_suppression_does_not_call_at_its_end() -> None:
    alarms = suppressible()
    assert play(alarms, at(1, 11.0), idle(2), run(3)) == [(1, "unacked!"), (2, "suppressed"), (3, "unacked")]
    alarms.ack("d", "a", "kim", 4 * S)
    assert play(alarms, idle(5), run(6)) == [(4, "acked"), (5, "suppressed"), (6, "acked")]
    alarms.shelve("d", "a", "kim", 20 * S, "is being changed", 7 * S)
    assert play(alarms, idle(8), until_s=20) == [(7, "shelved"), (20, "suppressed")]
    assert play(alarms, run(30)) == [(30, "unacked!")]


@pytest.mark.parametrize("how", ["suppressed", "shelved", "out_of_service"])
def test_hiding_removes_no_latch(how: str) -> None:
    alarms = suppressible(latching=True)

    def hide(ts_s: int, *, is_on: bool) -> None:
        until_ns = (ts_s + 600) * S if is_on else 0
        if how == "suppressed":
            alarms.take((idle if is_on else run)(ts_s))
        else:
            command = alarms.shelve if how == "shelved" else alarms.remove
            command("d", "a", "kim", until_ns, "is being changed", ts_s * S)

    play(alarms, at(1, 11.0))
    hide(2, is_on=True)
    assert play(alarms, at(3, 9.0)) == [(2, how)]
    hide(4, is_on=False)
    assert play(alarms) == [(4, "latched_unacked")]
    alarms.ack("d", "a", "kim", 5 * S)
    hide(6, is_on=True)
    with pytest.raises(CommandRefused, match=f"is {how}: nothing to reset"):
        alarms.reset("d", "a", "kim", 7 * S)
    hide(8, is_on=False)
    assert play(alarms) == [(5, "latched_acked"), (6, how), (8, "latched_acked")]


@pytest.mark.parametrize(
    ("latching", "before", "hidden", "released"),
    [
        (False, "", "+", "unacked!"),  # raised while hidden: the call comes with the release
        (False, "", "+-", "normal"),  # ... and gone: nobody was called
        (True, "", "+-", "latched_unacked"),
        (False, "+", "", "unacked!"),  # it stands: the end of a shelf calls
        (False, "+a", "", "unacked!"),
        (False, "+a", "-", "normal"),
        (False, "+", "-", "rtn_unacked"),
        (False, "+-", "+", "unacked!"),
        (False, "+-", "+-", "rtn_unacked"),
        (False, "+a", "-+", "unacked!"),
    ],
)
def test_what_a_release_shows(latching: bool, before: str, hidden: str, released: str) -> None:
    alarms, now = Alarms([rule(latching=latching)]), 0
    for phase in (before, hidden):
        for what in phase:
            now += 1
            if what == "a":
                alarms.ack("d", "a", "kim", now * S)
            else:
                alarms.take(at(now, 11.0 if what == "+" else 9.0))
        if phase is before:
            alarms.shelve("d", "a", "kim", 50 * S, "is being changed", 10 * S)
            now = 20
    alarms.tick(50 * S)
    assert seen(alarms)[-1] == (50, released)


def test_a_shelf_has_an_owner_a_reason_and_an_end() -> None:
    alarms = Alarms([rule()])
    alarms.take(at(1, 11.0))
    for by, until_s, reason in (
        ("", 9, "x"),
        ("kim", 9, ""),
        ("kim", 1, "x"),
        ("kim", SHELVE_MAX_S + 3, "x"),
    ):
        with pytest.raises(CommandRefused):
            alarms.shelve("d", "a", by, until_s * S, reason, 2 * S)
    alarms.shelve("d", "a", "kim", 60 * S, "sensor is being changed", 2 * S)
    alarms.shelve("d", "a", "kim", 50 * S, "is faster", 3 * S)
    assert alarms.due_ns == 50 * S
    assert play(alarms, until_s=55) == [(1, "unacked!"), (2, "shelved"), (50, "unacked!")]
    with pytest.raises(CommandRefused, match="not shelved"):
        alarms.shelve("d", "a", "kim", 0, "", 56 * S)


def test_the_strongest_silence_is_shown() -> None:
    alarms = Alarms([rule(suppress_in=frozenset({"idle"}), state_metric_id=1)])
    play(alarms, at(1, "idle", metric_id=1))
    alarms.shelve("d", "a", "kim", 60 * S, "x", 2 * S)
    alarms.remove("d", "a", "kim", 90 * S, "x", 3 * S)
    alarms.remove("d", "a", "kim", 0, "", 4 * S)
    alarms.shelve("d", "a", "kim", 0, "", 5 * S)
    assert [state for _, state in seen(alarms)] == ["shelved", "out_of_service", "shelved", "suppressed"]


def test_commands_that_make_no_sense_are_refused_in_words() -> None:
    alarms = Alarms([rule(latching=True)])
    with pytest.raises(CommandRefused, match=r"d/a is normal: nothing to ack"):
        alarms.ack("d", "a", "kim", S)
    with pytest.raises(CommandRefused, match="no alarm 'b' on device 'd'"):
        alarms.ack("d", "b", "kim", S)
    with pytest.raises(CommandRefused, match="awaits no confirmation"):
        alarms.confirm("d", "a", "kim", S)
    play(alarms, at(1, 11.0), at(2, 9.0))
    alarms.ack("d", "a", "kim", 3 * S)
    alarms.reset("d", "a", "kim", 4 * S)
    assert [state for _, state in seen(alarms)] == ["latched_acked", "normal"]


VALUES = st.lists(st.tuples(st.integers(1, 8), st.sampled_from([0.0, 9.0, 11.0, None])), max_size=40)


@given(VALUES, st.integers(0, 6), st.integers(0, 6), st.sampled_from([0.0, 2.0]))
def test_delays_agree_with_a_model_that_looks_at_every_second(
    steps: list, on_s: int, off_s: int, deadband: float
) -> None:
    """And whether a later sample or a timer ends a delay makes no difference."""
    samples, ts_s = [], 0
    for wait_s, value in steps:
        ts_s += wait_s
        samples.append(at(ts_s, value, quality=BAD if value is None else GOOD))
    end_s = ts_s + 20
    settings = rule(on_delay_ns=on_s * S, off_delay_ns=off_s * S, deadband=deadband)
    by_samples, by_timers = Alarms([settings]), Alarms([settings])
    for sample in samples:
        by_timers.tick(sample.ts_ms * 1_000_000)
        by_timers.take(sample)
        by_samples.take(sample)
    states = []
    for alarms in (by_samples, by_timers):
        alarms.tick(end_s * S)
        states.append(seen(alarms))
    assert states[0] == states[1]
    assert [s for s in states[0] if s[0] <= end_s] == list(naive(samples, on_s, off_s, deadband, end_s))


def naive(samples: list[Sample], on_s: int, off_s: int, deadband: float, end_s: int):
    active = beyond = False
    since = still = None
    at_s = {sample.ts_ms // 1000: sample for sample in samples}
    for now in range(end_s):
        for _ in range(2):  # a delay that ends as the sample comes is over, and one of no length ends at once
            if since is not None and still is None and now >= since + (off_s if active else on_s):
                active, since = beyond, None
                yield (now, "unacked!" if active else "rtn_unacked")
            if sample := at_s.pop(now, None):
                if still is not None and since is not None:
                    since += now - max(still, since)
                still = now if sample.value is None else None
                if sample.value is None:
                    continue
                was, beyond = beyond, sample.value > 10 - (deadband if beyond else 0)
                if was != beyond:
                    since = now if beyond != active else None


@given(VALUES, st.integers(0, 40))
def test_an_alarm_continues_after_a_restart_where_it_was(steps: list, cut: int) -> None:
    settings = rule(on_delay_ns=3 * S, off_delay_ns=2 * S, deadband=1.0, re_alarm_ns=30 * S)
    whole, first, second = Alarms([settings]), Alarms([settings]), Alarms([settings])
    ts_s, parts = 0, []
    for number, (wait_s, value) in enumerate(steps):
        ts_s += wait_s
        if number == cut:
            parts += seen(first)
            second.restore("d", "a", first.alarms["d", "a"].save())
        for alarms in (whole, first if number < cut else second):
            alarms.take(at(ts_s, value, quality=BAD if value is None else GOOD))
    assert seen(whole) == parts + seen(first) + seen(second)


def test_the_first_good_value_counts_though_the_server_said_later_that_it_waits_for_data() -> None:
    alarms = Alarms([rule(on_delay_ns=2 * S)])
    assert play(alarms, at(10.001, None, quality=BAD), at(10, 90.0), until_s=15) == [(12.0, "unacked!")]
    assert play(alarms, at(9, 1.0), until_s=20) == []  # from then on an older one is ignored


def test_an_alarm_out_of_service_has_an_owner_a_reason_and_an_end() -> None:
    alarms = Alarms([rule()])
    for by, until_s, reason in (
        ("", 9, "x"),
        ("kim", 9, ""),
        ("kim", 1, "x"),
        ("kim", SERVICE_MAX_S + 3, "x"),
    ):
        with pytest.raises(CommandRefused):
            alarms.remove("d", "a", by, until_s * S, reason, 2 * S)
    with pytest.raises(CommandRefused, match="in service"):
        alarms.remove("d", "a", "kim", 0, "", 2 * S)
    alarms.remove("d", "a", "kim", 60 * S, "cable is being laid", 2 * S)
    assert alarms.due_ns == 60 * S
    assert play(alarms, at(5, 11.0), until_s=60) == [(2, "out_of_service"), (60, "unacked!")]


@pytest.mark.parametrize(
    ("changes", "shown", "released"),
    [
        ({"state": "acked", "active": True}, "acked", None),
        ({"state": "latched_acked"}, "latched_acked", None),
        ({"state": "shelved", "active": True, "shelved_until_ns": 90 * S}, "shelved", (90, "unacked!")),
        ({"state": "shelved", "shelved_until_ns": 90 * S}, "shelved", (90, "normal")),
        ({"state": "out_of_service", "removed": True}, "out_of_service", (SERVICE_MAX_S + 50, "normal")),
    ],
)
def test_what_an_earlier_version_wrote_is_gone_on_with(
    changes: dict, shown: str, released: tuple | None
) -> None:
    written = {
        "state": "normal", "occurrence": 3, "beyond": False, "active": False, "since_ns": None, "ts_ns": 50 * S,
        "value": 11.0, "cause": 11.0, "changed_ns": 50 * S, "acked_ns": 50 * S, "confirmed": True,
        "suppressed": False, "shelved_until_ns": 0, "removed": False,
    }  # fmt: skip
    alarms = Alarms([rule(latching=changes["state"].startswith("latched"))])
    alarms.restore("d", "a", written | changes | {"beyond": changes.get("active", False)})
    assert alarms.alarms["d", "a"].shown.value == shown
    alarms.tick((SERVICE_MAX_S + 100) * S)
    assert seen(alarms) == ([released] if released else [])


def test_what_a_changed_rule_would_never_end_ends_with_the_restart() -> None:
    before = suppressible(latching=True, confirm=True)
    play(before, at(1, 11.0), at(2, 9.0))
    before.ack("d", "a", "kim", 3 * S)
    play(before, idle(4))
    after = Alarms([rule()])
    after.restore("d", "a", before.alarms["d", "a"].save())
    assert seen(after) == [(4, "latched_acked"), (4, "normal")]
    assert flags(after) == "FTTF"
    same = suppressible(latching=True, confirm=True)
    same.restore("d", "a", before.alarms["d", "a"].save())
    assert seen(same) == []
