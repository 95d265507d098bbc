"""The store-and-forward policy: by hand, and against a model of link, broker and host that fails at random."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shakedown.bridge.core.forwarding import (
    ACKED_MAX,
    BARRIERS_MAX,
    RANGES_MAX,
    Forwarding,
    ForwardingConfig,
    Slice,
)

NS = 1_000_000_000
CONFIG = ForwardingConfig(barrier_s=1.0, retention_s=20.0, replay_per_s=100, slice_max=50)


def online(watermark: int = 0, last_row: int = 0) -> Forwarding:
    forwarding = Forwarding(CONFIG, watermark, last_row)
    forwarding.births(0)
    return forwarding


def sent(forwarding: Forwarding, first: int, last: int) -> None:
    forwarding.journaled(last)
    forwarding.live(first, last)


def confirmable(forwarding: Forwarding, now_ns: int) -> int | None:
    """What may go at `now_ns` when the broker answers just then."""
    token = forwarding.barrier(now_ns)
    if token is not None:
        forwarding.barrier_acked(token, now_ns)
    return forwarding.confirmable(now_ns)


def test_retention_is_what_the_host_may_take_to_be_missed_and_to_return() -> None:
    config = ForwardingConfig.of(
        barrier_s=1, host_keep_alive_s=30, reconnect_max_s=15, margin_s=10, replay_per_s=5000
    )
    assert config.retention_s == 1.5 * 30 + 15 + 10


def test_a_puback_only_starts_the_retention() -> None:
    forwarding = online()
    sent(forwarding, 1, 5)
    token = forwarding.barrier(1 * NS)
    assert token is not None
    assert confirmable(forwarding, 100 * NS) is None
    forwarding.barrier_acked(token, 2 * NS)
    assert confirmable(forwarding, 22 * NS - 1) is None
    assert confirmable(forwarding, 23 * NS) == 5


def test_silence_after_the_retention_is_no_evidence() -> None:
    """The host may have died and come back while nothing passes and the dead line was not noticed yet."""
    forwarding = online()
    sent(forwarding, 1, 5)
    forwarding.barrier_acked(forwarding.barrier(1 * NS) or 0, 2 * NS)
    sent(forwarding, 6, 6)
    within = forwarding.barrier(20 * NS)
    asked = [forwarding.barrier(second * NS) for second in range(21, 80)]
    assert forwarding.confirmable(80 * NS) is None
    forwarding.barrier_acked(within or 0, 80 * NS)  # held up by the line: it was sent before R was over
    assert forwarding.confirmable(80 * NS) is None
    assert not any(asked)
    after = forwarding.barrier(81 * NS)
    assert after is not None
    forwarding.barrier_acked(after, 82 * NS)
    assert forwarding.confirmable(82 * NS) == 5


def test_rows_sent_after_a_barrier_are_not_covered_by_it() -> None:
    forwarding = online()
    sent(forwarding, 1, 5)
    token = forwarding.barrier(1 * NS)
    sent(forwarding, 6, 9)
    forwarding.barrier_acked(token or 0, 2 * NS)
    assert confirmable(forwarding, 99 * NS) == 5


@pytest.mark.parametrize("event", ["births", "closed"])
def test_births_and_cuts_void_what_is_awaited(event: str) -> None:
    forwarding = online()
    sent(forwarding, 1, 5)
    acknowledged = forwarding.barrier(1 * NS)
    forwarding.barrier_acked(acknowledged or 0, 2 * NS)
    sent(forwarding, 6, 7)
    in_flight = forwarding.barrier(3 * NS)
    forwarding.births(4 * NS) if event == "births" else forwarding.closed()
    forwarding.barrier_acked(in_flight or 0, 5 * NS)
    assert confirmable(forwarding, 999 * NS) is None


def test_a_late_puback_of_the_time_before_the_births_counts_for_nothing() -> None:
    forwarding = online()
    sent(forwarding, 1, 5)
    old = forwarding.barrier(1 * NS)
    forwarding.births(2 * NS)
    piece = forwarding.history(3 * NS)
    assert piece == Slice(0, 5, 5)
    forwarding.replayed(piece, 5, 5)
    new = forwarding.barrier(4 * NS)
    forwarding.barrier_acked(old or 0, 5 * NS)
    assert confirmable(forwarding, 999 * NS) is None
    forwarding.barrier_acked(new or 0, 6 * NS)
    assert confirmable(forwarding, 26 * NS) == 5


def test_births_make_history_of_everything_above_the_watermark() -> None:
    forwarding = online(watermark=10, last_row=200)
    assert forwarding.backlog == 190
    assert forwarding.history(0) == Slice(10, 200, 10)


def test_history_is_paced_and_live_rows_do_not_wait() -> None:
    forwarding = online(last_row=1000)
    total = 0
    for tick in range(1, 21):
        now_ns = tick * NS // 10
        sent(forwarding, 1000 + tick, 1000 + tick)
        piece = forwarding.history(now_ns)
        assert piece is not None
        assert piece.limit <= 10
        forwarding.replayed(piece, piece.after + piece.limit, piece.limit)
        total += piece.limit
    assert total <= 2.0 * CONFIG.replay_per_s + 10
    assert forwarding.backlog == 1000 - total


def test_a_barrier_never_covers_rows_behind_unsent_history() -> None:
    forwarding = online(last_row=100)
    sent(forwarding, 101, 110)
    piece = forwarding.history(1 * NS)
    assert piece is not None
    forwarding.replayed(piece, 10, 10)
    token = forwarding.barrier(1 * NS)
    forwarding.barrier_acked(token or 0, 2 * NS)
    assert confirmable(forwarding, 99 * NS) == 10


def test_rows_held_back_become_history_behind_their_present_values() -> None:
    forwarding = online()
    sent(forwarding, 1, 3)
    forwarding.journaled(9)
    assert forwarding.position == 3
    forwarding.caught_up()
    assert forwarding.history(1 * NS) == Slice(3, 9, 6)
    sent(forwarding, 10, 12)
    assert forwarding.position == 3


def test_a_gap_before_live_rows_becomes_history() -> None:
    forwarding = online()
    sent(forwarding, 1, 3)
    forwarding.journaled(8)
    forwarding.live(7, 8)
    assert forwarding.history(1 * NS) == Slice(3, 6, 3)


def test_an_empty_read_ends_a_range() -> None:
    forwarding = online(last_row=100)
    piece = forwarding.history(1 * NS)
    assert piece is not None
    forwarding.replayed(piece, piece.upto, 0)
    assert not forwarding.is_replaying
    assert forwarding.position == 100


def test_barriers_are_paced_and_bounded() -> None:
    forwarding = online()
    tokens = 0
    for second in range(1, 100):
        sent(forwarding, second, second)
        tokens += forwarding.barrier(second * NS) is not None
        assert forwarding.barrier(second * NS) is None
    assert tokens == BARRIERS_MAX


def test_nothing_new_needs_no_barrier() -> None:
    forwarding = online()
    assert forwarding.barrier(10 * NS) is None


def test_acknowledged_barriers_are_bounded_and_later_ones_cover_what_was_skipped() -> None:
    forwarding = Forwarding(ForwardingConfig(retention_s=1e6), 0, 0)
    forwarding.births(0)
    for second in range(1, ACKED_MAX + 100):
        sent(forwarding, second, second)
        token = forwarding.barrier(second * NS)
        forwarding.barrier_acked(token or 0, second * NS)
    assert confirmable(forwarding, 10**7 * NS) == ACKED_MAX


def test_pieces_of_history_are_bounded_and_joined_without_loss() -> None:
    forwarding = online()
    for n in range(1, 3 * RANGES_MAX):
        forwarding.journaled(2 * n)
        forwarding.live(2 * n, 2 * n)
    covered: set[int] = set()
    for tick in range(10_000):
        piece = forwarding.history(tick * NS)
        if piece is None:
            break
        upto = piece.after + piece.limit
        covered |= set(range(piece.after + 1, upto + 1))
        forwarding.replayed(piece, upto, piece.limit)
    assert covered >= {2 * n - 1 for n in range(1, 3 * RANGES_MAX)}


# ---- the model


@dataclass
class Plant:
    """Bridge (the policy), link, broker and host, in steps of half a second.

    The host counts what it receives. A half-open host receives nothing while the broker acknowledges all the same, for
    at most `HOST_AWAY_S`; when it returns, a new STATE makes the bridge repeat its births, once it
    gets there.
    """

    HOST_AWAY_S = 15.0  # 1.5 x keep-alive; R = 20 s leaves 5 s to reconnect

    forwarding: Forwarding = field(default_factory=lambda: Forwarding(CONFIG, 0, 0))
    now_ns: int = 0
    received: set[int] = field(default_factory=set)
    confirmed: int = 0
    link: str = "up"  # up, swallow (both ways), no_acks (down direction only), down (visibly)
    link_s: float = 0.0
    has_swallowed: bool = False
    host_away_s: float = 0.0
    pubacks: list[tuple[int, int]] = field(default_factory=list)
    is_online: bool = False
    silence_s: float = 6.0  # how long the bridge takes to notice a dead link
    has_news: bool = False  # a new STATE that the bridge has not got yet

    def step(self, rows: int) -> None:
        self.now_ns += NS // 2
        self._link()
        self._host()
        if rows:
            first, last = self.forwarding.last_row + 1, self.forwarding.last_row + rows
            self.forwarding.journaled(last)
            if self.is_online:
                self._send(range(first, last + 1))
                self.forwarding.live(first, last)
        self._replay()
        self._barrier()
        self._confirm()

    def _link(self) -> None:
        swallowed, self.has_swallowed = self.has_swallowed, self.link == "swallow"
        is_reset = self.link == "down" or (swallowed and self.link != "swallow")  # TCP does not skip bytes
        self.link_s = 0.0 if self.link == "up" else self.link_s + 0.5
        if self.is_online and (is_reset or self.link_s >= self.silence_s):
            self.is_online = False
            self.forwarding.closed()
            self.pubacks.clear()
        elif not self.is_online and self.link == "up" and self.host_away_s == 0:
            self._births()

    def _host(self) -> None:
        if self.host_away_s > 0:
            self.host_away_s -= 0.5
            if self.host_away_s <= 0:
                self.host_away_s = 0
                self.has_news = True
        if self.has_news and self.is_online and self.link == "up":
            self._births()

    def _births(self) -> None:
        self.is_online, self.has_news = True, False
        self.forwarding.births(self.now_ns)

    def _send(self, rows: range) -> None:
        if self.link in ("up", "no_acks") and self.host_away_s == 0:
            self.received |= set(rows)

    def _replay(self) -> None:
        piece = self.forwarding.history(self.now_ns) if self.is_online else None
        if piece is not None:
            upto = piece.after + piece.limit
            self._send(range(piece.after + 1, upto + 1))
            self.forwarding.replayed(piece, upto, piece.limit)

    def _barrier(self) -> None:
        token = self.forwarding.barrier(self.now_ns)
        if token is not None and self.link in ("up", "no_acks"):
            self.pubacks.append((token, self.now_ns + NS))
        if self.link == "up" and self.is_online:
            due = [token for token, at in self.pubacks if at <= self.now_ns]
            self.pubacks = [(token, at) for token, at in self.pubacks if at > self.now_ns]
            for token in due:
                self.forwarding.barrier_acked(token, self.now_ns)

    def _confirm(self) -> None:
        row = self.forwarding.confirmable(self.now_ns)
        if row is not None:
            missing = set(range(self.confirmed + 1, row + 1)) - self.received
            assert not missing, f"rows {sorted(missing)[:5]} left the journal, the host never had them"
            assert row > self.confirmed
            self.confirmed = row
            self.forwarding.confirmed(row)


FAULTS = st.lists(
    st.tuples(
        st.sampled_from(("up", "swallow", "no_acks", "down", "host_half_open")),
        st.integers(1, 45),  # half seconds
        st.integers(0, 20),  # rows in each
    ),
    max_size=8,
)


def run(plant: Plant, faults: list[tuple[str, int, int]]) -> None:
    for kind, steps, rows in faults:
        if kind == "host_half_open":
            plant.host_away_s = plant.host_away_s or Plant.HOST_AWAY_S
        else:
            plant.link = kind
        for _ in range(steps):
            plant.step(rows)


@settings(max_examples=100, deadline=None)
@given(FAULTS, st.sampled_from((6.0, 90.0)))
def test_nothing_leaves_the_journal_that_the_host_does_not_have_and_all_arrives(
    faults: list[tuple[str, int, int]], silence_s: float
) -> None:
    plant = Plant(silence_s=silence_s)
    run(plant, faults)
    plant.link = "up"
    replayed_per_step = CONFIG.replay_per_s // 10
    for _ in range(4 * 30 + plant.forwarding.last_row // replayed_per_step):
        if plant.confirmed == plant.forwarding.last_row:
            break
        plant.step(0)
    assert plant.received == set(range(1, plant.forwarding.last_row + 1))
    assert plant.confirmed == plant.forwarding.last_row
    assert plant.forwarding.backlog == 0


class _ForgetsRetention(Forwarding):
    def barrier_acked(self, token: int, now_ns: int) -> None:
        super().barrier_acked(token, now_ns - int(self.config.retention_s * NS))


class _CountsLatePubacks(Forwarding):
    def births(self, now_ns: int) -> None:
        acked = list(self._acked)
        super().births(now_ns)
        self._acked.extend(acked)


class _BarrierAheadOfHistory(Forwarding):
    @property
    def position(self) -> int:
        return self._sent


class _TakesSilenceForEvidence(Forwarding):
    def confirmable(self, now_ns: int) -> int | None:
        self._answered_ns = now_ns
        return super().confirmable(now_ns)


@pytest.mark.parametrize(
    "broken", [_ForgetsRetention, _CountsLatePubacks, _BarrierAheadOfHistory, _TakesSilenceForEvidence]
)
def test_the_model_catches_broken_policies(broken: type[Forwarding]) -> None:
    """A half-open host, a cut with a long history, a host half-open twice, and once before a long silence."""
    plant = Plant(forwarding=broken(CONFIG, 0, 0), silence_s=45.0)
    faults = [
        ("up", 4, 5), ("host_half_open", 30, 5), ("up", 60, 3), ("down", 60, 60), ("up", 60, 1),
        ("host_half_open", 30, 5), ("host_half_open", 30, 5), ("up", 80, 1),
        ("host_half_open", 20, 5), ("swallow", 80, 0), ("up", 80, 0),
    ]  # fmt: skip
    with pytest.raises(AssertionError, match="left the journal"):
        run(plant, faults)
