"""Store and forward: which journal rows go out when, and when a row is known to have arrived.

Sparkplug DATA is QoS 0, so nothing acknowledges it. On the same connection, behind the data, goes a QoS 1 *barrier*:
its PUBACK says that the broker has read everything before it, and no more. It only starts the retention R: within R of
connected time the broker has noticed that the host behind it is gone, and says so. A row is confirmed when R is over,
a barrier that was sent after it is answered (silence is not evidence), and broker and host are still those that they
were, over however many connections (`evidence.py`). Otherwise it is in doubt, and goes once more. docs/bridge.md has
the argument.

    never sent -> sent -> behind a barrier -> acknowledged -> confirmed
                     `-----------'----- doubtful <-----'

Live samples do not wait. History is paced: first what was never sent, then what is doubtful, each from the oldest on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shakedown.bridge.core.evidence import Broker, Evidence
from shakedown.bridge.core.memory import Memory
from shakedown.bridge.core.pace import Pace
from shakedown.bridge.core.spans import Span, Spans

SPANS_MAX = 256
"""Intervals of one set of rows. Beyond it gaps are filled (rows are repeated), or rows are doubted."""

BARRIERS_MAX = 8
"""Barriers awaiting their PUBACK."""

BUCKETS = 64
"""Acknowledged rows are kept by connection and time of the PUBACK, in steps of R divided by this."""

ACKED_MAX = 512
"""Such pieces; beyond it the newest one grows."""

MARGIN_S = 1.0
"""Where no host would come anew after a crash of the broker: what a broker may hold, read and not yet handed on."""

QUIET_S = 10.0
"""Births are accepted when no rebirth command has come for so long."""

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ForwardingConfig:
    """Times of the policy; `retention_s` is R; without `replay_per_s` the pace follows the line."""

    barrier_s: float = 1.0
    retention_s: float = 70.0
    replay_per_s: int | None = None
    slice_max: int = 1000

    @classmethod
    def of(
        cls,
        *,
        barrier_s: float,
        host_keep_alive_s: float,
        reconnect_max_s: float,
        margin_s: float,
        replay_per_s: int | None,
    ) -> ForwardingConfig:
        """R = 1.5 x host keep-alive + longest reconnect delay + margin.

        1.5 x keep-alive is how long a broker may take to notice that the host is gone (MQTT-3.1.2-24). Until then it
        acknowledges barriers for data that nobody receives. The rest is the time in which a host that lives comes back.
        """
        return cls(barrier_s, 1.5 * host_keep_alive_s + reconnect_max_s + margin_s, replay_per_s)


@dataclass(frozen=True, slots=True)
class Slice:
    """A bounded piece of history to read and send: rows after `after`, up to `upto`, at most `limit` of them."""

    after: int
    upto: int
    limit: int


@dataclass(frozen=True, slots=True)
class Barrier:
    """A QoS 1 publish that is due; `token` names it when it is acknowledged."""

    token: int
    payload: bytes
    retain: bool


@dataclass(slots=True)
class _Sent:
    """Rows behind which a barrier is out."""

    token: int
    sent_ns: int
    is_retained: bool
    rows: Spans


@dataclass(slots=True)
class _Acked:
    """Rows that were acknowledged from one connected time to another."""

    epoch: int  # the connection
    begun_ns: int
    clock_ns: int
    rows: Spans


class Forwarding:
    """The policy of one target. Rows are journal rows; every method is given the monotonic time where it matters."""

    def __init__(
        self,
        config: ForwardingConfig,
        watermark: int,
        last_row: int,
        memory: Memory | None = None,
        *,
        settled: Iterable[Span] = (),
        gone: Iterable[Span] = (),
    ) -> None:
        """`settled` rows beyond the watermark have arrived, `gone` ones are not in the journal any more."""
        self.config = config
        self.watermark = watermark
        self.last_row = last_row  # newest row in the journal
        self.epoch = 0  # counts connections: what was begun in an earlier one no longer counts
        self.is_open = False
        self.is_unsaved = False  # something was doubted, and `memory` was not stored since
        memory = memory or Memory("0")
        self._evidence = Evidence(memory)
        self._unsent = Spans([(watermark + 1, last_row)])
        self._doubtful = Spans()
        self._asked_again = Spans()  # what a rebirth command has put in doubt; it waits until they end
        self._asked_ns: int | None = None
        self._told = Spans()  # sent since births that were accepted
        self._sent = Spans()  # no barrier behind it yet
        self.arrived = Spans()  # confirmed, and the journal does not know yet
        self.lost = Spans()  # gone from the journal and not known to have arrived: to be declared
        self._gone = Spans(gone)  # not in the journal any more, and lost if doubt falls on them
        self._barriers: deque[_Sent] = deque()
        self._barrier_ns: int | None = None
        self._acked: deque[_Acked] = deque()
        self.pace = Pace(config.replay_per_s, config.slice_max)
        self._recall(memory, settled)

    # ---- the connection, the broker and the host

    def opened(self, now_ns: int, *, can_tell: bool) -> None:
        """Births were published on a new connection; `can_tell` says that its barriers come back retained."""
        self.epoch += 1
        self.is_open = True
        self._barrier_ns = None
        self._told.clear()
        self.pace.opened(now_ns)
        self._evidence.opened(now_ns, can_tell=can_tell)
        self._conclude()

    def closed(self) -> None:
        """The connection is gone: what no barrier has answered for is doubtful."""
        if not self.is_open:
            self._evidence.closed()
            return
        self.epoch += 1
        self.is_open = False
        self._evidence.closed()
        self._doubt([self._sent, *(barrier.rows for barrier in self._barriers)])
        self._sent.clear()
        self._barriers.clear()
        if self._evidence.host is None:
            self._doubt_the_newest()

    def reborn(self, now_ns: int) -> None:
        """Births were repeated for a rebirth command: what was sent since the last accepted ones was not understood.
        It goes once more at once, or, when commands come in a row, after the last of them."""
        is_quiet, self._asked_ns = self._is_quiet(now_ns), now_ns
        self._asked_again.update(self._told)
        self._asked_again.join(SPANS_MAX)
        for rows in (self._sent, *(b.rows for b in self._barriers), *(a.rows for a in self._acked)):
            rows.subtract(self._told)
        self._told.clear()
        self.is_unsaved = True
        if is_quiet:
            self._accept()
        self._lose()

    def host(self, ts: int, *, is_live: bool) -> None:
        """STATE of the primary host says online; if it was away, what is not confirmed is doubtful."""
        if self._evidence.state(ts, is_live=is_live):
            self._doubt_all()
            self.is_unsaved = True

    def host_gone(self) -> None:
        """STATE of the primary host says offline."""
        self._evidence.offline()
        self.is_unsaved = True
        self._doubt_all()

    def returned(self, payload: bytes) -> None:
        """The broker gave back a retained barrier."""
        self._evidence.returned(payload)
        self._conclude()

    @property
    def needs_proof(self) -> bool:
        """Whether to subscribe to the barriers once more: the broker has not shown yet that it retains them."""
        return self._evidence.needs_proof

    @property
    def is_distrusted(self) -> bool:
        """Whether a retained STATE of the host is not believed: nothing is confirmed on its word."""
        return self._evidence.is_distrusted

    # ---- rows

    def journaled(self, first_row: int, last_row: int) -> None:
        """Rows are in the journal."""
        self.last_row = max(self.last_row, last_row)
        self.pace.came(last_row - first_row + 1)
        self._unsent.add(first_row, last_row)
        self._unsent.join(SPANS_MAX)
        self._lose()

    def live(self, first_row: int, last_row: int) -> None:
        """Rows were sent as they came."""
        self._went_out(first_row, last_row)

    def replayed(self, piece: Slice, upto: int, count: int) -> None:
        """History of a slice was sent, up to row `upto`."""
        self.pace.went(count)
        self._went_out(piece.after + 1, upto)

    def barrier_acked(self, token: int, now_ns: int) -> None:
        """PUBACK of a barrier: what is behind it is at the broker, and R begins."""
        if not any(barrier.token == token for barrier in self._barriers):
            return
        rows = Spans()
        while self._barriers and self._barriers[0].token <= token:
            barrier = self._barriers.popleft()
            rows.update(barrier.rows)
        self.pace.answered(barrier.sent_ns, now_ns)
        self._evidence.answered(barrier.sent_ns, token if barrier.is_retained else 0)
        self._take_acked(rows, now_ns)
        self._conclude()

    def confirmed(self, row: int) -> None:
        """The journal's cursor has moved."""
        self.watermark = max(self.watermark, row)
        for rows in (self.arrived, self._gone):
            rows.remove(0, row)

    def settled(self, rows: Spans) -> None:
        """The journal knows of these rows that they have arrived."""
        self.arrived.subtract(rows)
        self._gone.subtract(rows)

    def dropped(self, first_row: int, last_row: int) -> None:
        """Rows are not in the journal any more: those that wait to be sent are lost, others if doubt falls on them."""
        self._gone.add(first_row, last_row)
        self._lose()

    def declared(self, rows: Spans) -> None:
        """These rows were declared lost."""
        self.lost.subtract(rows)

    def spare(self) -> tuple[Span, ...]:
        """The rows to be dropped first at the journal's bound: acknowledged ones, then all that were sent."""
        acked = Spans(span for acked in self._acked for span in acked.rows)
        sent = Spans(acked)
        for rows in (self._doubtful, self._asked_again, self._sent, *(b.rows for b in self._barriers)):
            sent.update(rows)
        return (*acked, *sent)

    # ---- what is to be done

    @property
    def is_replaying(self) -> bool:
        """Whether history is outstanding."""
        return bool(self._unsent or self._doubtful or self._asked_again)

    @property
    def backlog(self) -> int:
        """Rows not yet sent, or to be sent again."""
        return self._unsent.rows + self._doubtful.rows + self._asked_again.rows

    def barrier(self, now_ns: int) -> Barrier | None:
        """The barrier to publish now, `barrier_s` after the last, while rows await R or the broker is not known."""
        due = self._barrier_ns is None or now_ns - self._barrier_ns >= self.config.barrier_s * NS
        asks = self._acked or self._evidence.broker is Broker.UNKNOWN
        needed = self._sent or (asks and not self._barriers)
        if not (self.is_open and due and needed) or len(self._barriers) >= BARRIERS_MAX:
            return None
        self._barrier_ns = now_ns
        retain = self._evidence.may_retain and not self.is_unsaved
        payload = self._evidence.mark()
        barrier = Barrier(self._evidence.token, payload, retain)
        self._barriers.append(_Sent(barrier.token, now_ns, retain, self._sent))
        self._sent = Spans()
        return barrier

    def history(self, now_ns: int) -> Slice | None:
        """The next slice of history, as far as the pace allows by now: a tenth of a second's rows, or all."""
        if self._asked_again and self._is_quiet(now_ns):
            self._accept()
        waiting = self._unsent
        if not waiting and self._evidence.broker is not Broker.UNKNOWN:
            waiting = self._doubtful  # and not before all are known, so that they go in their order
        if not self.is_open or not waiting:
            return None
        first, last = next(iter(waiting))
        limit = min(self.pace.burst, last - first + 1)  # smaller slices would be as many messages
        return Slice(first - 1, last, limit) if self.pace.allows(limit, now_ns) else None

    def confirmable(self) -> int | None:
        """The row up to which everything has outlived R, as a later barrier shows; if that is new."""
        if self.is_open and self._evidence.broker is not Broker.UNKNOWN and not self.is_distrusted:
            limit_ns = self._evidence.answered_ns - self.config.retention_s * NS
            while self._acked and self._acked[0].clock_ns <= limit_ns:
                rows = self._acked.popleft().rows
                self._told.subtract(rows)
                self.arrived.update(rows)
        row = min((rows.first for rows in self._outstanding() if rows), default=self.last_row + 1) - 1
        return row if row > self.watermark else None

    # ---- what outlives the process

    def memory(self) -> Memory:
        """What a next process must know; store it soon, and before the next barrier where `is_unsaved`."""
        evidence = self._evidence
        return Memory(
            run=evidence.run,
            token=evidence.token,
            kept=evidence.kept,
            keeps=evidence.keeps,
            clock_ns=evidence.answered_ns,
            host=evidence.host,
            is_foreign=evidence.is_foreign,
            is_distrusted=evidence.is_distrusted,
            is_renewed=evidence.is_renewed,
            acked=tuple((acked.clock_ns, tuple(acked.rows)) for acked in self._acked if acked.rows),
            doubtful=(*self._doubtful, *self._asked_again),
        )

    def _recall(self, memory: Memory, settled: Iterable[Span]) -> None:
        """Take up what the process before has stored, of rows that are still there."""
        for clock_ns, spans in memory.acked:
            self._acked.append(_Acked(self.epoch, clock_ns, clock_ns, Spans(spans)))
        self._doubtful.update(memory.doubtful)
        for rows in (self._doubtful, *(acked.rows for acked in self._acked)):
            rows.remove(0, self.watermark)
            rows.remove(self.last_row + 1, max(self.last_row + 1, 1 << 62))
            rows.subtract(settled)
            self._unsent.subtract(rows)
        self._unsent.subtract(settled)
        self._lose()
        if memory.host is None:
            self._doubt_the_newest()

    # ---- helpers

    def _outstanding(self) -> Iterator[Spans]:
        """Every row above the watermark that is not confirmed is in one of these."""
        yield from (self._unsent, self._doubtful, self._asked_again, self._sent, self.lost)
        yield from (barrier.rows for barrier in self._barriers)
        yield from (acked.rows for acked in self._acked)

    def _is_quiet(self, now_ns: int) -> bool:
        return self._asked_ns is None or now_ns - self._asked_ns >= QUIET_S * NS

    def _accept(self) -> None:
        """What was not understood before the births goes once more."""
        self._doubt([self._asked_again])
        self._asked_again.clear()

    def _went_out(self, first_row: int, last_row: int) -> None:
        for waiting in (self._unsent, self._doubtful):
            rows = waiting.within([(first_row, last_row)])
            waiting.subtract(rows)
            self._sent.update(rows)
            self._told.update(rows)
        self._told.join(SPANS_MAX)
        self._doubt([self._sent.trim(SPANS_MAX)])

    def _take_acked(self, rows: Spans, now_ns: int) -> None:
        clock_ns = self._evidence.clock_ns(now_ns)
        newest = self._acked[-1] if self._acked else None
        step_ns = self.config.retention_s * NS / BUCKETS
        is_full = newest is None or clock_ns - newest.begun_ns >= step_ns or newest.epoch != self.epoch
        if newest is None or (is_full and len(self._acked) < ACKED_MAX):
            newest = _Acked(self.epoch, clock_ns, clock_ns, Spans())
            self._acked.append(newest)
        newest.clock_ns = max(newest.clock_ns, clock_ns)
        newest.rows.update(rows)
        self._doubt([newest.rows.trim(SPANS_MAX)])

    def _conclude(self) -> None:
        """The broker is not what it was: what it has acknowledged before is doubtful. What this connection has sent is
        not: receivers take what comes twice between births for two."""
        if self.is_open and self._evidence.broker is Broker.OTHER:
            while self._acked and self._acked[0].epoch != self.epoch:
                self._doubt([self._acked.popleft().rows])

    def _doubt_all(self) -> None:
        """Whatever was sent and is not confirmed goes once more."""
        self._doubt([self._sent, *(b.rows for b in self._barriers), *(a.rows for a in self._acked)])
        self._told.clear()
        self._sent.clear()
        self._barriers.clear()
        self._acked.clear()

    def _doubt_the_newest(self) -> None:
        limit_ns = self._evidence.answered_ns - MARGIN_S * NS
        while self._acked and self._acked[-1].clock_ns >= limit_ns:
            self._doubt([self._acked.pop().rows])

    def _doubt(self, doubted: list[Spans]) -> None:
        for rows in doubted:
            self._doubtful.update(rows)
            self.is_unsaved |= bool(rows)
        self._doubtful.join(SPANS_MAX)
        self._lose()

    def _lose(self) -> None:
        """What is to be sent and is not there is lost."""
        if self._gone:
            for waiting in (self._unsent, self._doubtful, self._asked_again):
                rows = waiting.within(self._gone)
                waiting.subtract(rows)
                self.lost.update(rows)
            self._gone.subtract(self.lost)
