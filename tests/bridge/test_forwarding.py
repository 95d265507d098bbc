"""The store-and-forward policy: by hand, and against a model of link, broker, host and bridge that fail at random."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shakedown.bridge.core.evidence import Evidence
from shakedown.bridge.core.forwarding import (
    BARRIERS_MAX,
    BUCKETS,
    QUIET_S,
    SPANS_MAX,
    Forwarding,
    ForwardingConfig,
    Slice,
)
from shakedown.bridge.core.memory import Memory
from tests.bridge.forwarding_model import CONFIG, LASTING, NS, ONCE, Plant, heal, run


def online(watermark: int = 0, last_row: int = 0) -> Forwarding:
    forwarding = Forwarding(CONFIG, watermark, last_row, Memory("a"))
    forwarding.host(1, is_live=False)
    forwarding.opened(0, can_tell=True)
    return forwarding


def sent(forwarding: Forwarding, first: int, last: int) -> None:
    forwarding.journaled(first, last)
    forwarding.live(first, last)


def replay(forwarding: Forwarding, now_ns: int, rows: int | None = None) -> Slice | None:
    """Send a slice of history, or the first `rows` of it."""
    piece = forwarding.history(now_ns)
    if piece is not None:
        upto = piece.after + (rows or piece.limit)
        forwarding.replayed(piece, upto, upto - piece.after)
    return piece


def acked(forwarding: Forwarding, now_ns: int) -> bytes:
    """Send a barrier, saved as it must be, and have it answered at once; returns its payload."""
    forwarding.is_unsaved = False
    barrier = forwarding.barrier(now_ns)
    assert barrier is not None
    forwarding.barrier_acked(barrier.token, now_ns)
    return barrier.payload


def again(forwarding: Forwarding, now_ns: int, *returned: bytes) -> None:
    """The connection is lost, and there is a new one to a broker that gives back what it has retained."""
    forwarding.closed()
    for payload in returned:
        forwarding.returned(payload)
    forwarding.opened(now_ns, can_tell=True)


def test_retention_is_what_the_host_may_take_to_be_missed_and_to_return() -> None:
    config = ForwardingConfig.of(
        barrier_s=1, host_keep_alive_s=30, reconnect_max_s=15, margin_s=10, replay_per_s=5000
    )
    assert config.retention_s == 1.5 * 30 + 15 + 10


def test_a_puback_only_starts_the_retention() -> None:
    forwarding = online()
    sent(forwarding, 1, 5)
    barrier = forwarding.barrier(1 * NS)
    assert barrier is not None
    assert forwarding.confirmable() is None
    forwarding.barrier_acked(barrier.token, 2 * NS)
    acked(forwarding, 22 * NS - 1)
    assert forwarding.confirmable() is None
    acked(forwarding, 23 * NS)
    assert forwarding.confirmable() == 5


def test_silence_after_the_retention_is_no_evidence() -> None:
    """The host may have died and come back while nothing passes and the dead line was not noticed yet."""
    forwarding = online()
    sent(forwarding, 1, 5)
    acked(forwarding, 1 * NS)
    within = forwarding.barrier(20 * NS)
    asked = [forwarding.barrier(second * NS) for second in range(21, 80)]
    assert not any(asked)
    assert within is not None
    forwarding.barrier_acked(within.token, 80 * NS)  # held up by the line: it was sent before R was over
    assert forwarding.confirmable() is None
    acked(forwarding, 81 * NS)
    assert forwarding.confirmable() == 5


def test_rows_sent_after_a_barrier_are_not_covered_by_it() -> None:
    forwarding = online()
    sent(forwarding, 1, 5)
    barrier = forwarding.barrier(1 * NS)
    assert barrier is not None
    sent(forwarding, 6, 9)
    forwarding.barrier_acked(barrier.token, 2 * NS)
    acked(forwarding, 99 * NS)
    assert forwarding.confirmable() == 5


def test_what_no_barrier_has_answered_for_is_doubtful_after_the_connection() -> None:
    forwarding = online()
    sent(forwarding, 1, 5)
    first = acked(forwarding, 1 * NS)
    sent(forwarding, 6, 7)
    in_flight = forwarding.barrier(3 * NS)
    sent(forwarding, 8, 9)
    again(forwarding, 4 * NS, first)
    forwarding.barrier_acked(in_flight.token if in_flight else 0, 5 * NS)
    assert forwarding.history(5 * NS) == Slice(5, 9, 4)


def test_retention_goes_on_over_connections_to_the_same_broker_and_host() -> None:
    """Eight seconds of connection, then an hour without: only the time with the broker counts."""
    forwarding = online()
    sent(forwarding, 1, 5)
    newest = acked(forwarding, 0)
    for hour in range(3):
        start_ns = 3600 * hour * NS
        if hour:
            again(forwarding, start_ns, newest)
        forwarding.host(1, is_live=False)
        assert forwarding.confirmable() is None
        for second in range(1, 9):
            newest = acked(forwarding, start_ns + second * NS)
    assert forwarding.confirmable() == 5


@pytest.mark.parametrize(
    "returned",
    [b"a/1", b"b/99", b"", b"\xff", b"a/" + b"9" * 19],
    ids=["older", "foreign", "", "hostile", "long"],
)
def test_a_broker_that_gives_back_less_than_it_had_is_not_believed(returned: bytes) -> None:
    forwarding = online()
    sent(forwarding, 1, 5)
    acked(forwarding, 1 * NS)
    acked(forwarding, 2 * NS)
    again(forwarding, 3 * NS, returned)
    assert forwarding.is_distrusted
    assert replay(forwarding, 3 * NS) == Slice(0, 5, 5)
    for second in range(4, 99):
        acked(forwarding, second * NS)
        assert forwarding.confirmable() is None, "the retained STATE is from before the crash"
    forwarding.host(2, is_live=True)
    assert replay(forwarding, 99 * NS) == Slice(0, 5, 5)
    acked(forwarding, 99 * NS)
    acked(forwarding, 120 * NS)
    assert forwarding.confirmable() == 5


def test_a_broker_that_gives_back_nothing_is_judged_by_a_barrier_of_a_second_later() -> None:
    forwarding = online()
    sent(forwarding, 1, 5)
    acked(forwarding, 1 * NS)
    again(forwarding, 10 * NS)
    sent(forwarding, 6, 6)
    early = forwarding.barrier(10 * NS)
    assert early is not None
    assert not early.retain, "it must not take the place of what may still come back"
    forwarding.barrier_acked(early.token, 11 * NS)
    assert not forwarding.is_replaying
    acked(forwarding, 11 * NS)
    assert forwarding.history(12 * NS) == Slice(0, 5, 5), "what this connection has sent is not repeated"
    assert not forwarding.is_distrusted, "it has never shown that it retains"


def test_the_broker_shows_once_that_it_retains() -> None:
    forwarding = online()
    sent(forwarding, 1, 5)
    assert not forwarding.needs_proof
    payload = acked(forwarding, 1 * NS)
    assert forwarding.needs_proof
    forwarding.returned(payload)
    assert not forwarding.needs_proof
    again(forwarding, 10 * NS)
    acked(forwarding, 11 * NS)
    assert forwarding.is_distrusted


def test_without_the_subscription_only_an_unbroken_connection_counts() -> None:
    forwarding = online()
    forwarding.closed()
    forwarding.opened(0, can_tell=False)
    sent(forwarding, 1, 5)
    barrier = forwarding.barrier(1 * NS)
    assert barrier is not None
    assert not barrier.retain
    forwarding.barrier_acked(barrier.token, 1 * NS)
    forwarding.closed()
    forwarding.opened(2 * NS, can_tell=False)
    assert replay(forwarding, 2 * NS) == Slice(0, 5, 5)
    acked(forwarding, 2 * NS)
    acked(forwarding, 22 * NS)
    assert forwarding.confirmable() == 5


@pytest.mark.parametrize(("ts", "is_live", "is_away"), [(1, False, False), (2, False, True), (1, True, True)])
def test_another_state_or_a_live_one_says_that_the_host_was_away(
    ts: int, is_live: bool, is_away: bool
) -> None:
    forwarding = online()
    sent(forwarding, 1, 5)
    acked(forwarding, 1 * NS)
    forwarding.host(ts, is_live=is_live)
    assert forwarding.is_replaying is is_away


def test_for_a_host_that_repeats_its_timestamp_only_an_unbroken_connection_counts() -> None:
    forwarding = online()
    forwarding.host(1, is_live=True)
    sent(forwarding, 1, 5)
    payload = acked(forwarding, 1 * NS)
    again(forwarding, 2 * NS, payload)
    assert forwarding.history(2 * NS) == Slice(0, 5, 5)


def test_what_was_never_sent_goes_before_what_is_doubtful() -> None:
    forwarding = online()
    sent(forwarding, 1, 5)
    forwarding.closed()
    forwarding.journaled(6, 9)
    forwarding.opened(1 * NS, can_tell=True)
    assert [replay(forwarding, second * NS) for second in (1, 2)] == [Slice(5, 9, 4), Slice(0, 5, 5)]


def test_a_storm_of_rebirth_commands_repeats_what_was_sent_once_and_interrupts_no_replay() -> None:
    forwarding = online(last_row=300)
    out = []
    for second in range(1, 61):
        out.append(replay(forwarding, second * NS))
        forwarding.reborn(second * NS)
    assert [piece.after for piece in out[:30] if piece] == list(range(0, 300, 10))
    assert out[30:] == [Slice(0, 10, 10)] + [None] * 29, (
        "while the commands come nothing is repeated but once"
    )
    quiet_ns = int(60 + QUIET_S) * NS
    repeated = 0
    while piece := replay(forwarding, quiet_ns + repeated * NS):
        repeated += piece.limit
    assert repeated == 300


def test_births_that_are_accepted_end_what_a_later_rebirth_puts_in_doubt() -> None:
    forwarding = online()
    sent(forwarding, 1, 5)
    forwarding.reborn(1 * NS)
    sent(forwarding, 6, 7)
    replay(forwarding, int(2 + QUIET_S) * NS)
    acked(forwarding, 20 * NS)
    forwarding.reborn(21 * NS)
    assert forwarding.backlog == 7


def test_history_is_paced_and_live_rows_do_not_wait() -> None:
    forwarding = online(last_row=1000)
    total = 0
    for tick in range(1, 21):
        now_ns = tick * NS // 10
        sent(forwarding, 1000 + tick, 1000 + tick)
        piece = replay(forwarding, now_ns)
        assert piece is not None
        assert piece.limit <= 10
        total += piece.limit
    assert total <= 2.0 * CONFIG.replay_per_s + 10
    assert forwarding.backlog == 1000 - total


def test_nothing_is_confirmed_behind_unsent_history_but_it_is_remembered() -> None:
    forwarding = online(last_row=100)
    sent(forwarding, 101, 110)
    replay(forwarding, 1 * NS, 10)
    acked(forwarding, 1 * NS)
    acked(forwarding, 99 * NS)
    assert forwarding.confirmable() == 10
    forwarding.confirmed(10)
    assert list(forwarding.arrived) == [(101, 110)]
    forwarding.settled(forwarding.arrived)
    after = Forwarding(CONFIG, 10, 110, forwarding.memory(), settled=[(101, 110)])
    assert after.backlog == 90


def test_rows_held_back_become_history() -> None:
    forwarding = online()
    sent(forwarding, 1, 3)
    forwarding.journaled(4, 9)
    sent(forwarding, 10, 12)
    assert forwarding.history(1 * NS) == Slice(3, 9, 6)


def test_an_empty_read_ends_a_piece_of_history() -> None:
    forwarding = online(last_row=100)
    piece = forwarding.history(1 * NS)
    assert piece is not None
    forwarding.replayed(piece, piece.upto, 0)
    assert not forwarding.is_replaying


def test_barriers_are_paced_and_bounded() -> None:
    forwarding = online()
    barriers = 0
    for second in range(1, 100):
        sent(forwarding, second, second)
        barriers += forwarding.barrier(second * NS) is not None
        assert forwarding.barrier(second * NS) is None
    assert barriers == BARRIERS_MAX


def test_nothing_new_needs_no_barrier() -> None:
    forwarding = online()
    assert forwarding.barrier(10 * NS) is None


def test_acknowledged_rows_are_kept_in_a_bounded_number_of_pieces() -> None:
    forwarding = Forwarding(ForwardingConfig(retention_s=1e6), 0, 0)
    forwarding.opened(0, can_tell=True)
    for second in range(1, 3000):
        sent(forwarding, second, second)
        acked(forwarding, second * NS)
    assert len(forwarding.memory().acked) <= BUCKETS
    acked(forwarding, 10**7 * NS)
    assert forwarding.confirmable() == 2999


def test_pieces_of_history_are_bounded_and_joined_without_loss() -> None:
    forwarding = online()
    for n in range(1, 3 * SPANS_MAX):
        forwarding.journaled(2 * n - 1, 2 * n)
        forwarding.live(2 * n, 2 * n)
    covered: set[int] = set()
    for tick in range(10_000):
        piece = replay(forwarding, tick * NS)
        if piece is None:
            break
        covered |= set(range(piece.after + 1, piece.after + piece.limit + 1))
    assert covered >= {2 * n - 1 for n in range(1, 3 * SPANS_MAX)}


def test_a_next_process_goes_on_where_the_last_one_was_killed() -> None:
    forwarding = online()
    sent(forwarding, 1, 5)
    acked(forwarding, 1 * NS)
    sent(forwarding, 6, 6)
    payload = acked(forwarding, 10 * NS)
    memory = Memory.decode(forwarding.memory().encode())
    after = Forwarding(CONFIG, 0, 9, memory)
    after.returned(payload)
    after.host(1, is_live=False)
    after.opened(500 * NS, can_tell=True)
    assert after.history(500 * NS) == Slice(6, 9, 3)
    acked(after, 512 * NS)
    assert after.confirmable() == 5
    barrier = after.barrier(530 * NS)
    assert barrier is not None
    assert barrier.token > memory.token + 1000, "what the dead one sent is not mistaken"


def test_what_is_dropped_is_lost_when_it_waits_and_otherwise_if_doubt_falls_on_it() -> None:
    forwarding = online()
    sent(forwarding, 1, 5)
    acked(forwarding, 1 * NS)
    sent(forwarding, 6, 7)
    forwarding.journaled(8, 12)
    assert forwarding.spare() == ((1, 5), (1, 7)), "acknowledged, then sent; never what was never sent"
    forwarding.dropped(1, 3)
    assert not forwarding.lost
    forwarding.dropped(11, 12)
    assert list(forwarding.lost) == [(11, 12)]
    forwarding.declared(forwarding.lost)
    assert forwarding.backlog == 3
    forwarding.host(2, is_live=True)
    assert list(forwarding.lost) == [(1, 3)]
    assert forwarding.confirmable() is None, "not before it is declared"
    forwarding.declared(forwarding.lost)
    assert forwarding.confirmable() == 3


def test_what_was_dropped_and_has_outlived_r_is_not_lost() -> None:
    forwarding = online()
    sent(forwarding, 1, 5)
    acked(forwarding, 1 * NS)
    forwarding.dropped(1, 5)
    acked(forwarding, 22 * NS)
    assert forwarding.confirmable() == 5
    forwarding.confirmed(5)
    forwarding.host(2, is_live=True)
    assert not forwarding.lost


def test_a_memory_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="is not a memory"):
        Memory.decode(b"\x81\xa3run\x01")


# ---- the model

FAULTS = st.lists(
    st.tuples(
        st.sampled_from(LASTING + ONCE),
        st.integers(1, 45),  # half seconds
        st.integers(0, 20),  # rows in each
    ),
    max_size=10,
)
BROKERS = ("sync", "snapshot", "empty", "deaf", "refusing")
HOSTS = ("standard", "foreign", "none")


def started(**options: object) -> Plant:
    """A plant that is online; a foreign host has shown that it repeats its timestamp."""
    plant = Plant(**options)  # type: ignore[arg-type]
    run(plant, [("up", 8, 1)])
    if plant.host_kind == "foreign":
        plant._say_state(online=True)
        run(plant, [("up", 8, 1)])
    return plant


@settings(max_examples=120, deadline=None)
@given(
    FAULTS,
    st.sampled_from(BROKERS),
    st.sampled_from(HOSTS),
    st.sampled_from((6.0, 90.0)),
    st.sampled_from((0, 2)),
    st.sampled_from((1_000_000, 300)),
)
def test_nothing_leaves_the_journal_that_the_host_does_not_have_and_all_arrives(
    faults: list[tuple[str, int, int]], broker: str, host: str, silence_s: float, latency: int, rows_max: int
) -> None:
    plant = started(
        broker_kind=broker, host_kind=host, silence_s=silence_s, latency_steps=latency, rows_max=rows_max
    )
    run(plant, faults)
    heal(plant, 2 * 200 + 3 * plant.last_row // (CONFIG.replay_per_s // 10))
    assert plant.received | plant.declared == set(range(1, plant.last_row + 1))
    assert plant.confirmed == plant.last_row
    assert plant.forwarding.backlog == 0
    assert not plant.declared or rows_max < plant.last_row


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(12, 60), st.integers(1, 30), st.sampled_from(("swallow", "down"))), min_size=3
    ),
    st.sampled_from(("sync", "snapshot", "empty")),
    st.sampled_from(("standard", "none")),
)
def test_a_link_that_flaps_for_ever_makes_progress_and_repeats_little(
    cycle: list[tuple[int, int, str]], broker: str, host: str
) -> None:
    """Up for six seconds at least, four of them connected; the broker keeps its memory."""
    plant = started(broker_kind=broker, host_kind=host, silence_s=3.0)
    while plant.steps < 800:
        for up, down, how in cycle:
            run(plant, [("up", up, 2), (how, down, 2)])
    assert plant.sent <= 2.5 * plant.last_row
    assert plant.confirmed >= plant.last_row / 4


def test_the_link_of_the_issue_confirms_for_ever_and_repeats_next_to_nothing() -> None:
    """22 s up, 3 s down, R = 70 s, and a journal of 30 s: nothing that was delivered falls out of it unconfirmed."""
    plant = Plant(config=ForwardingConfig(), rows_max=300)
    for _ in range(60):
        run(plant, [("up", 44, 5), ("down", 6, 5)])
        assert plant.last_row - plant.confirmed <= 5 * 2 * 110
    assert plant.sent <= 1.2 * plant.last_row
    assert plant.declared == set()


# ---- broken policies, each of which the model must catch


class _ForgetsRetention(Forwarding):
    def barrier_acked(self, token: int, now_ns: int) -> None:
        super().barrier_acked(token, now_ns - int(self.config.retention_s * NS))


class _CountsTheUnconfirmedOverANewHost(Forwarding):
    def host(self, ts: int, *, is_live: bool) -> None:
        self._evidence.state(ts, is_live=is_live)


class _TakesSilenceForEvidence(Forwarding):
    def barrier_acked(self, token: int, now_ns: int) -> None:
        super().barrier_acked(token, now_ns)
        self._evidence.answered_ns += int(self.config.retention_s * NS)


class _TakesWhatWasSentForArrived(Forwarding):
    def closed(self) -> None:
        self._sent.clear()
        self._barriers.clear()
        super().closed()


class _BelievesEveryBroker(Forwarding):
    def opened(self, now_ns: int, *, can_tell: bool) -> None:
        self._evidence.kept = self._evidence._expected = 1
        self._evidence.returned(f"{self._evidence.run}/1".encode())
        super().opened(now_ns, can_tell=can_tell)


class _BelievesARetainedState(Forwarding):
    @property
    def is_distrusted(self) -> bool:
        return False


class _ForgetsThatTheHostIsForeign(Forwarding):
    def opened(self, now_ns: int, *, can_tell: bool) -> None:
        self._evidence.is_foreign = False
        super().opened(now_ns, can_tell=can_tell)


class _CountsTheTimeWithoutABroker(Forwarding):
    left_ns = 0

    def barrier_acked(self, token: int, now_ns: int) -> None:
        super().barrier_acked(token, now_ns)
        self.left_ns = now_ns

    def opened(self, now_ns: int, *, can_tell: bool) -> None:
        if self.left_ns:
            self._evidence._base_ns += now_ns - self.left_ns
        super().opened(now_ns, can_tell=can_tell)


class _DoubtsNothingAtARebirth(Forwarding):
    def reborn(self, now_ns: int) -> None:
        pass


class _KeepsNoMargin(Forwarding):
    def _doubt_the_newest(self) -> None:
        pass


HALF_OPEN = [
    ("up", 4, 5), ("host_half_open", 30, 5), ("up", 60, 3), ("down", 60, 60), ("up", 60, 1),
    ("host_half_open", 30, 5), ("host_half_open", 30, 5), ("up", 80, 1),
    ("host_half_open", 20, 5), ("swallow", 80, 0), ("up", 80, 0),
]  # fmt: skip
CRASH = [("up", 20, 1), ("snapshot", 6, 1), ("host_half_open", 4, 5), ("broker_crash", 10, 5), ("up", 200, 0)]
MISSED = [("up", 10, 1), ("host_half_open", 10, 5), ("down", 60, 0), ("up", 120, 0)]
AT_ONCE = [("up", 20, 3), ("broker_crash", 20, 0), ("up", 120, 0)]
LATE_HOST = [("up", 10, 3), ("host_half_open", 6, 3), ("broker_crash", 200, 0), ("up", 120, 0)]


@pytest.mark.parametrize(
    ("broken", "faults", "options"),
    [
        (_ForgetsRetention, HALF_OPEN, {}),
        (_CountsTheUnconfirmedOverANewHost, MISSED, {}),
        (_TakesSilenceForEvidence, HALF_OPEN, {}),
        (_TakesWhatWasSentForArrived, [("up", 20, 3), ("swallow", 30, 5), ("up", 80, 1)], {}),
        (_BelievesEveryBroker, CRASH, {"broker_kind": "snapshot"}),
        (_BelievesARetainedState, CRASH, {"broker_kind": "snapshot"}),
        (_ForgetsThatTheHostIsForeign, MISSED, {"host_kind": "foreign"}),
        (_CountsTheTimeWithoutABroker, LATE_HOST, {}),
        (_DoubtsNothingAtARebirth, [("up", 20, 3), ("rebirths", 8, 5), ("up", 80, 1)], {}),
        (_KeepsNoMargin, AT_ONCE, {"host_kind": "none", "latency_steps": 0}),
    ],
)
def test_the_model_catches_broken_policies(
    broken: type[Forwarding], faults: list[tuple[str, int, int]], options: dict[str, object]
) -> None:
    for policy in (Forwarding, broken):
        plant = started(policy=policy, silence_s=45.0, **options)
        if policy is Forwarding:
            run(plant, faults)
        else:
            with pytest.raises(AssertionError, match="left the journal"):
                run(plant, faults)


def test_the_evidence_is_as_small_as_it_looks() -> None:
    """A process that has known nothing yet believes what it finds."""
    evidence = Evidence(Memory("a"))
    assert evidence.state(5, is_live=False)
    evidence.opened(0, can_tell=True)
    assert not evidence.is_distrusted
