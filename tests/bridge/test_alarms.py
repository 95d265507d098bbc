"""Alarms: the state table against the standards, and rules over samples by hand and against a naive model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shakedown.bridge.core.alarm_states import TABLE, Event, State, step
from shakedown.bridge.core.alarms import IN_FLIGHT_NS, SHELVE_MAX_S, AlarmRule, Alarms, CommandRefused
from shakedown.bridge.core.model import BAD, GOOD, Sample

S = 1_000_000_000
ISA_18_2 = """
            A normal  B unacked  C acked  D rtn_unacked  E latched_unacked  F latched_acked  GHI inhibited
raised      B!        .          .        B!             B!                 B!               .
cleared     .         D          A        .              .                  .                .
latching    .         E          F        .              .                  .                .
ack         .         C          .        A              F                  .                .
reset       .         .          .        .              D                  A                .
re-alarm    .         .          B!       .              .                  .                .
released+   .         .          .        .              .                  .                B!
released-   .         .          .        .              .                  .                A
"""
EVENTS = (
    Event.RAISED, Event.CLEARED, Event.CLEARED_LATCHING, Event.ACK, Event.RESET, Event.RE_ALARM,
    Event.RELEASE_RAISED, Event.RELEASE_CLEAR,
)  # fmt: skip
LETTER = dict(zip("ABCDEFGHI", State, strict=True))


def test_the_table_is_that_of_isa_18_2() -> None:
    """Each cell of the matrix above: the letter of the next state, `!` where the operator is called."""
    rows = [line.split() for line in ISA_18_2.strip().splitlines()[1:]]
    for event, (_, *cells) in zip(EVENTS, rows, strict=True):
        for letters, cell in zip(("A", "B", "C", "D", "E", "F", "GHI"), cells, strict=True):
            for letter in letters:
                state, annunciates = step(LETTER[letter], event)
                expected = LETTER[letter] if cell == "." else LETTER[cell[0]]
                assert (state, annunciates) == (expected, cell.endswith("!")), (letter, event)


def test_every_state_can_be_silenced_and_only_the_process_calls() -> None:
    for state in State:
        assert step(state, Event.SHELVE) == (State.SHELVED, False)
        assert step(state, Event.SUPPRESS) == (State.SUPPRESSED, False)
        assert step(state, Event.REMOVE) == (State.OUT_OF_SERVICE, False)
    calls = {event for (_, event), after in TABLE.items() if after.annunciates}
    assert calls == {Event.RAISED, Event.RE_ALARM, Event.RELEASE_RAISED}


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


def test_a_standing_alarm_is_announced_again() -> None:
    alarms = Alarms([rule(re_alarm_ns=600 * S)])
    assert play(alarms, at(1, 11.0), until_s=5000) == [(1, "unacked!")]
    alarms.ack("d", "a", "kim", 5001 * S)
    assert play(alarms, until_s=5602) == [(5001, "acked"), (5601, "unacked!")]
    assert alarms.alarms["d", "a"].occurrence == 2


def test_suppression_follows_the_machine_and_a_release_calls_again() -> None:
    alarms = Alarms([rule(suppress_in=frozenset({"idle"}), state_metric_id=1)])
    states = [at(2, "idle", metric_id=1), at(9, "run", metric_id=1)]
    assert play(alarms, at(1, 11.0), states[0], at(3, 9.0), at(5, 11.0), states[1]) == [
        (1, "unacked!"), (2, "suppressed"), (9, "unacked!"),
    ]  # fmt: skip
    assert play(alarms, at(10, "idle", metric_id=1), at(11, 9.0), at(12, "run", metric_id=1)) == [
        (10, "suppressed"), (12, "normal"),
    ]  # fmt: skip


def test_what_called_is_a_value_beyond_the_limit_and_none_within_the_deadband() -> None:
    alarms = Alarms([rule(deadband=2, on_delay_ns=5 * S)])
    for sample in (at(1, 11.0), at(3, 10.5), at(4, 9.0)):
        alarms.take(sample)
    alarms.tick(8 * S)
    (raised,), _ = alarms.drain()
    assert (raised.annunciates, raised.value) == (True, 10.5)


def test_after_suppression_the_on_delay_begins_anew() -> None:
    alarms = Alarms([rule(suppress_in=frozenset({"idle"}), state_metric_id=1, on_delay_ns=10 * S)])
    idle, run = (lambda s: at(s, "idle", metric_id=1)), (lambda s: at(s, "run", metric_id=1))
    assert play(alarms, idle(1), at(2, 11.0), run(60), at(65, 9.0), until_s=100) == [
        (1, "suppressed"), (60, "normal"),
    ]  # fmt: skip
    assert play(alarms, idle(101), at(102, 11.0), run(160), until_s=200) == [
        (101, "suppressed"), (160, "normal"), (170, "unacked!"),
    ]  # fmt: skip


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
    alarms.service("d", "a", "kim", is_out=True, now_ns=3 * S)
    alarms.service("d", "a", "kim", is_out=False, now_ns=4 * S)
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
    since = None
    at_s = {sample.ts_ms // 1000: sample for sample in samples}
    for now in range(end_s):
        for _ in range(2):  # a delay that ends as the sample comes is over, and one of no length ends at once
            if since is not None and now >= since + (off_s if active else on_s):
                active, since = beyond, None
                yield (now, "unacked!" if active else "rtn_unacked")
            if sample := at_s.pop(now, None):
                if sample.value is None:
                    beyond, since = active, None
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
            second.restore("d", "a", Alarms.save(first.alarms["d", "a"]))
        for alarms in (whole, first if number < cut else second):
            alarms.take(at(ts_s, value, quality=BAD if value is None else GOOD))
    assert seen(whole) == parts + seen(first) + seen(second)


def test_the_first_good_value_counts_though_the_server_said_later_that_it_waits_for_data() -> None:
    alarms = Alarms([rule(on_delay_ns=2 * S)])
    assert play(alarms, at(10.001, None, quality=BAD), at(10, 90.0), until_s=15) == [(12.0, "unacked!")]
    assert play(alarms, at(9, 1.0), until_s=20) == []  # from then on an older one is ignored
