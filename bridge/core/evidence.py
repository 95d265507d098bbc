"""What is known of the broker and of the primary host behind it, over many connections.

**Is the broker the one that it was?** Barriers are retained, and at each new connection the broker gives back the
newest that it has. The newest that it had acknowledged, or a newer one: it has kept its memory. An older one, or none
where it is known to keep them: it has crashed or was replaced. A STATE that it retained over its own crash proves
nothing, for the Will of the host was never sent: then no row is confirmed until a STATE arrives that is live, or newer.

**Is the host the one that it was?** Each connection of a host has a timestamp of its own in STATE. Another timestamp,
an `offline`, or an `online` that is not retained: it was away. A host whose live STATE repeats its timestamp is foreign
to the standard; for it only an unbroken connection counts.

**How long was this so?** Only time counts in which the broker was there, shown by barriers that were answered.
"""

from __future__ import annotations

import re
from enum import Enum

from shakedown.bridge.core.memory import Memory

GRACE_NS = 1_000_000_000
"""A retained barrier follows the SUBACK at once; a barrier sent this long after the births is answered behind it."""

TOKENS_SKIPPED = 1 << 20
"""Tokens that a process leaves free for those that the one before it has used since it last wrote them down."""

_MARK = re.compile(rb"([0-9a-f]{1,32})/([0-9]{1,18})\Z")


class Broker(Enum):
    """What the broker of this connection is, compared with that of the connections before."""

    UNKNOWN = "not known yet"
    SAME = "has kept its memory"
    OTHER = "is another one, has lost its memory, or does not say"


class Evidence:
    """Continuity of broker and host; `Forwarding` asks, and draws its conclusions."""

    def __init__(self, memory: Memory) -> None:
        self.run = memory.run
        self.token = memory.token + TOKENS_SKIPPED if memory.token else 0  # newest barrier that was sent
        self.kept = memory.kept  # newest retained barrier that was acknowledged, 0 for none
        self.keeps = memory.keeps  # whether the broker has shown that it retains barriers
        self.host = memory.host  # timestamp of the newest STATE, None before the first
        self.is_foreign = memory.is_foreign
        self.is_distrusted = memory.is_distrusted  # a retained STATE is of before a crash or an offline
        self.answered_ns = memory.clock_ns  # connected time that was shown by answered barriers
        self.broker = Broker.UNKNOWN
        self._since_ns: int | None = None  # when this connection's births were sent
        self._base_ns = memory.clock_ns
        self._first = self.token  # newest barrier of the connections before
        self._expected = self.kept
        self._returned: int | None = None
        self.is_renewed = memory.is_renewed  # the host has come since the broker was last compared
        self._can_tell = False

    def clock_ns(self, now_ns: int) -> int:
        """Connected time until now."""
        return self._base_ns if self._since_ns is None else self._base_ns + now_ns - self._since_ns

    @property
    def may_retain(self) -> bool:
        """Whether a barrier may be retained: not while the one of before may still come back."""
        return self._can_tell and self.broker is not Broker.UNKNOWN

    @property
    def needs_proof(self) -> bool:
        """Whether to subscribe once more, so that the broker shows that it retains."""
        return self.may_retain and not self.keeps and self.kept > self._first

    # ---- the connection

    def opened(self, now_ns: int, *, can_tell: bool) -> None:
        """Births went out on a new connection; `can_tell` says that its barriers come back."""
        self._since_ns, self._can_tell = now_ns, can_tell
        self.is_distrusted &= not self.is_foreign  # nothing that it says could end that
        if not can_tell or not self.kept or self.is_foreign:
            self.broker = Broker.OTHER
        elif self._returned is not None:
            self._compare(self._returned)

    def closed(self) -> None:
        self._base_ns = self.answered_ns
        self._since_ns, self._returned = None, None
        self._first, self._expected = self.token, self.kept
        self.is_renewed &= self.broker is Broker.UNKNOWN
        self.broker = Broker.UNKNOWN
        self._can_tell = False

    # ---- barriers

    def mark(self) -> bytes:
        """Payload of the next barrier; it belongs to this journal alone."""
        self.token += 1
        return f"{self.run}/{self.token}".encode()

    def answered(self, sent_ns: int, kept: int) -> None:
        """A barrier was acknowledged: it was sent at `sent_ns`; the newest retained one is `kept`, 0 for none."""
        self.kept = max(self.kept, kept)
        if self._since_ns is None:
            return
        self.answered_ns = max(self.answered_ns, self._base_ns + sent_ns - self._since_ns)
        if self.broker is Broker.UNKNOWN and sent_ns - self._since_ns >= GRACE_NS:
            self._lost_memory(is_known=self.keeps)

    def returned(self, payload: bytes) -> None:
        """The broker gave back a retained barrier: what it has of the time before, or what it has just got."""
        found = _MARK.match(payload)
        token = int(found[2]) if found and found[1].decode() == self.run else -1
        if token > self._first:
            self.keeps = True
        elif self._since_ns is None:
            self._returned = token
        elif self.broker is Broker.UNKNOWN:
            self._compare(token)
        elif self.keeps and token >= self._expected:
            self.is_distrusted = False  # late, but there

    def _compare(self, token: int) -> None:
        self.keeps = True
        if token >= self._expected:
            self.broker = Broker.SAME
        else:
            self._lost_memory(is_known=True)

    def _lost_memory(self, *, is_known: bool) -> None:
        self.broker = Broker.OTHER
        if is_known and self.host is not None and not self.is_renewed:
            self.is_distrusted = True

    # ---- the host

    def offline(self) -> None:
        self.is_renewed, self.is_distrusted = False, True

    def state(self, ts: int, *, is_live: bool) -> bool:
        """STATE says online; returns whether the host was away before."""
        is_other = ts != self.host
        if is_live or self.host is None or ts > self.host:  # an older one may come out of a broker's old file
            self.is_renewed, self.is_distrusted = True, False
        if is_other or is_live:
            self.is_foreign = not is_other
        self.host = ts
        return is_other or is_live
