"""Store and forward: which journal rows go out when, and when a row is known to have arrived.

Sparkplug DATA is QoS 0, so nothing acknowledges it. On the same connection, behind the data, goes a QoS 1 *barrier*:
its PUBACK says that the broker has read everything before it, and no more. It only starts the retention R: within R
the broker has noticed that the host behind it is gone, and says so on this connection. Rows may go when a barrier that
was sent after R is acknowledged too: silence is no evidence, the line may be dead and its end not noticed yet. Neither
may the connection be lost nor the births be repeated meanwhile. After births everything above the watermark is sent
again as history, paced; live samples do not wait for it.

    confirmed ... watermark | history still to be sent (ranges) ... | sent, awaiting barrier + R | not yet sent
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

RANGES_MAX = 64
"""Outstanding pieces of history; beyond it the last two are joined, which repeats rows but loses none."""

BARRIERS_MAX = 8
"""Barriers awaiting their PUBACK."""

ACKED_MAX = 1024
"""Acknowledged barriers awaiting the end of R; beyond it new ones are skipped, later ones cover them."""

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ForwardingConfig:
    """Times of the policy; `retention_s` is R."""

    barrier_s: float = 1.0
    retention_s: float = 70.0
    replay_per_s: int = 5000
    slice_max: int = 1000

    @classmethod
    def of(
        cls,
        *,
        barrier_s: float,
        host_keep_alive_s: float,
        reconnect_max_s: float,
        margin_s: float,
        replay_per_s: int,
    ) -> ForwardingConfig:
        """R = 1.5 x host keep-alive + longest reconnect delay + margin.

        1.5 x keep-alive is how long a broker may take to notice that the host is gone (MQTT-3.1.2-24). Until then it
        acknowledges barriers for data that nobody receives.
        """
        return cls(barrier_s, 1.5 * host_keep_alive_s + reconnect_max_s + margin_s, replay_per_s)


@dataclass(frozen=True, slots=True)
class Slice:
    """A bounded piece of history to read and send: rows after `after`, up to `upto`, at most `limit` of them."""

    after: int
    upto: int
    limit: int


class Forwarding:
    """The policy of one target. Rows are journal rows; every method is told the time where it matters."""

    def __init__(self, config: ForwardingConfig, watermark: int, last_row: int) -> None:
        self.config = config
        self.watermark = watermark
        self.last_row = last_row  # newest row in the journal
        self.epoch = 0  # counts births: what was begun in an earlier one no longer counts
        self._open = False
        self._sent = watermark  # rows up to here were sent, or are in a range
        self._ranges: deque[tuple[int, int]] = deque()  # (after, upto), ascending
        self._barriers: deque[tuple[int, int, int]] = deque()  # (token, row, time sent)
        self._token = 0
        self._barrier_row = watermark
        self._barrier_ns = 0
        self._acked: deque[tuple[int, int]] = deque()  # (row, time of PUBACK)
        self._answered_ns = 0  # when the newest barrier that was acknowledged had been sent
        self._burst = min(config.slice_max, max(1, config.replay_per_s // 10))
        self._credit = 0.0
        self._credit_ns = 0

    # ---- what happened

    def births(self, now_ns: int) -> None:
        """Births were published: everything above the watermark becomes history, and what was awaited is void."""
        self.epoch += 1
        self._open = True
        self._void()
        self._sent = self.last_row
        self._barrier_row = self.watermark
        if self.watermark < self.last_row:
            self._ranges.append((self.watermark, self.last_row))
        self._credit_ns = now_ns
        self._credit = self._burst

    def closed(self) -> None:
        """The connection is gone or DATA has stopped: acknowledgements that are still awaited mean nothing."""
        self._open = False
        self._void()

    def journaled(self, last_row: int) -> None:
        """Rows up to `last_row` are in the journal."""
        self.last_row = max(self.last_row, last_row)

    def live(self, first_row: int, last_row: int) -> None:
        """Rows were sent as they came; rows that were held back before them become history."""
        if first_row - 1 > self._sent:
            self._add_range(self._sent, first_row - 1)
        self._sent = max(self._sent, last_row)

    def caught_up(self) -> None:
        """The present values of all rows held back were sent: the rows themselves become history."""
        if self._sent < self.last_row:
            self._add_range(self._sent, self.last_row)
            self._sent = self.last_row

    def replayed(self, piece: Slice, upto: int, count: int) -> None:
        """History of a slice was sent, up to row `upto`."""
        self._credit -= count
        if self._ranges and self._ranges[0][0] == piece.after:
            _, end = self._ranges.popleft()
            if upto < end:
                self._ranges.appendleft((upto, end))

    def barrier_acked(self, token: int, now_ns: int) -> None:
        """PUBACK of a barrier: its rows are at the broker, and R begins."""
        while self._barriers and self._barriers[0][0] <= token:
            number, row, sent_ns = self._barriers.popleft()
            if number == token:
                self._answered_ns = sent_ns
                if len(self._acked) < ACKED_MAX:
                    self._acked.append((row, now_ns))

    def confirmed(self, row: int) -> None:
        """The journal's cursor has moved."""
        self.watermark = max(self.watermark, row)

    # ---- what is to be done

    @property
    def position(self) -> int:
        """Every row up to here was sent on this connection (or confirmed before)."""
        return self._ranges[0][0] if self._ranges else self._sent

    @property
    def is_replaying(self) -> bool:
        return bool(self._ranges)

    @property
    def backlog(self) -> int:
        """Rows not yet sent, or to be sent again."""
        return sum(upto - after for after, upto in self._ranges) + self.last_row - self._sent

    def barrier(self, now_ns: int) -> int | None:
        """Token of the barrier to publish now, if one is due: `barrier_s` after the last, for new rows or after R."""
        due = now_ns - self._barrier_ns >= self.config.barrier_s * NS or now_ns < self._barrier_ns
        needed = self.position > self._barrier_row or (not self._barriers and self._outlived(now_ns))
        if not (self._open and due and needed) or len(self._barriers) >= BARRIERS_MAX:
            return None
        self._token += 1
        self._barrier_ns = now_ns
        self._barrier_row = self.position
        self._barriers.append((self._token, self.position, now_ns))
        return self._token

    def history(self, now_ns: int) -> Slice | None:
        """The next slice of history, as far as `replay_per_s` allows by now: a tenth of a second's rows, or all."""
        if not self._open or not self._ranges:
            return None
        elapsed_s = max(0, now_ns - self._credit_ns) / NS
        self._credit_ns = now_ns
        self._credit = min(self._credit + elapsed_s * self.config.replay_per_s, self._burst)
        after, upto = self._ranges[0]
        limit = min(self._burst, upto - after)  # smaller ones would cost as many messages as they hold rows
        return Slice(after, upto, limit) if self._credit >= limit else None

    def confirmable(self, now_ns: int) -> int | None:
        """The row up to which everything has outlived R since its PUBACK, as a later barrier shows; if that is new."""
        row = None
        while self._outlived(min(now_ns, self._answered_ns)):
            row = self._acked.popleft()[0]
        return row if row is not None and row > self.watermark else None

    # ---- helpers

    def _outlived(self, ns: int) -> bool:
        """Whether at `ns` R was over for the oldest acknowledged barrier."""
        return bool(self._acked) and ns - self._acked[0][1] >= self.config.retention_s * NS

    def _void(self) -> None:
        self._ranges.clear()
        self._barriers.clear()
        self._acked.clear()
        self._answered_ns = 0

    def _add_range(self, after: int, upto: int) -> None:
        if self._ranges and (self._ranges[-1][1] >= after or len(self._ranges) >= RANGES_MAX):
            after = self._ranges.pop()[0]
        self._ranges.append((after, upto))
