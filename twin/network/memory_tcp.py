"""TCP as an application sees it, between two transports of one process.

What is modelled: ordered bytes, latency with jitter that never reorders, bandwidth, a bounded send buffer and receive
window, retransmission with exponential back-off, RST, FIN, and connections of which one end has died.
What is not: congestion control, slow start, keep-alive probes, urgent data.
"""

from __future__ import annotations

import errno
import os
import random
from collections import deque
from contextvars import Context
from typing import Any, Protocol

from shakedown.twin.clock import VirtualLoop
from shakedown.twin.network.memory_links import Cut, Path

WINDOW_BYTES = 128 * 1024
"""What a sender's kernel and the receiver's hold together: sent, not yet read by the application."""

SEGMENT_BYTES = 64 * 1024
PACE_NS = 20_000_000
"""Under a bandwidth limit a long write arrives in slices of about this much time."""

PACE_GRID_NS = 1_000_000
"""Under a bandwidth limit bytes arrive on this grid: small writes that follow each other share a timer."""

RTO_MIN_NS = 200_000_000
RTO_MAX_NS = 120_000_000_000

Item = tuple[bytes | None, bytes]
"""Bytes on the wire with the plaintext they carry (the same, but for TLS); None on the wire is a FIN."""

FIN: Item = (None, b"")
OPEN: Item = (b"", b"")
"""The packet that completes the handshake: the server accepts when it arrives."""


class End(Protocol):
    """One end of a connection: who sends, and whom it arrives at."""

    loop: VirtualLoop
    context: Context
    flow: Flow
    is_gone: bool

    def arrived(self, item: Item) -> None: ...
    def arrived_soon(self, item: Item) -> None: ...
    def buffer_shrank(self) -> None: ...
    def fail(self, error: OSError) -> None: ...
    def fail_soon(self, error: OSError) -> None: ...


class Books(Protocol):
    """What all connections of a network have in common."""

    seed: int
    tcp_retries: int
    connections: dict[Connection, None]

    def record(self, when_ns: int, connection: int, up: bool, plain: bytes) -> None: ...


class Connection:
    """Two flows over one path, and what befalls them together."""

    def __init__(self, network: Books, number: int, path: Path) -> None:
        self.network = network
        self.number = number
        self.path = path
        self.half_open = False
        self.severed = False
        self.up: Flow
        self.down: Flow

    def join(self, client: End, server: End) -> None:
        """Put the two ends together and enter the links."""
        self.up = Flow(self, True, client, server)
        self.down = Flow(self, False, server, client)
        client.flow, server.flow = self.up, self.down
        self.network.connections[self] = None
        for link in self.path.links:
            link.connections[self] = None
            link.counters.connections += 1
        self.refresh()
        self.up.send(*OPEN)

    def refresh(self) -> None:
        """Take over the state of the links."""
        for flow in (self.up, self.down):
            ways = [link.way(flow.is_up) for link in self.path.links]
            flow.latency_ns = sum(way.latency_ns for way in ways)
            flow.jitter_ns = sum(way.jitter_ns for way in ways)
            flow.rate = min((way.rate for way in ways if way.rate), default=0)
            flow.cut = max((way.cut for way in ways), default=Cut.NONE)
            if self.half_open or not self.path.plugged:
                flow.cut = max(flow.cut, Cut.STALL)
            if flow.cut:
                flow.hold_back()

    def lose_an_end(self) -> None:
        """A host went silently; nobody is told."""
        self.half_open = True
        self.refresh()

    def sever(self) -> None:
        """Close visibly on both sides (FIN), whatever is on its way."""
        self.severed = True
        for flow in (self.up, self.down):
            flow.stop()
            flow.receiver.arrived_soon(FIN)

    def reset(self, reason: str) -> None:
        """RST to both sides."""
        for flow in (self.up, self.down):
            flow.stop()
            flow.receiver.fail_soon(ConnectionResetError(errno.ECONNRESET, f"{reason}: {self}"))

    def leave(self) -> None:
        """Both ends are closed: out of the books."""
        self.network.connections.pop(self, None)
        for link in self.path.links:
            link.connections.pop(self, None)

    def __repr__(self) -> str:
        return f"<connection {self.number} {self.path.client.name} -> {self.path.server.name}>"


class Flow:
    """One direction of a connection."""

    def __init__(self, connection: Connection, is_up: bool, sender: End, receiver: End) -> None:
        self.connection = connection
        self.is_up = is_up
        self.sender = sender
        self.receiver = receiver
        self.loop: VirtualLoop = sender.loop
        self.latency_ns = self.jitter_ns = self.rate = 0
        self.cut = Cut.NONE
        self.unsent_bytes = 0
        self._unsent: deque[Item] = deque()
        self._window_used = 0
        self._unacknowledged = 0
        self._on_the_way: deque[tuple[int, list[Item]]] = deque()
        self._held: list[Item] = []
        self._last_arrival_ns = 0
        self._busy_until_ns = 0
        self._random: random.Random | None = None
        self._jitter_drawn = (0, 0)
        self._retransmission: Any = None
        self._rto_ns = 0
        self._retries = 0
        self._stopped = False

    @property
    def _back(self) -> Flow:
        return self.connection.down if self.is_up else self.connection.up

    # --- sending

    def send(self, wire: bytes | None, plain: bytes) -> None:
        """Take bytes of the application; what the window has no room for waits in `unsent_bytes`."""
        if self._stopped:
            if self.connection.severed and wire is not None:
                self.sender.fail_soon(_reset("the connection was cut", self.connection))
            return
        if len(plain) > SEGMENT_BYTES and plain is wire:
            view = memoryview(plain)
            for offset in range(0, len(plain), SEGMENT_BYTES):
                piece = bytes(view[offset : offset + SEGMENT_BYTES])
                self.send(piece, piece)
        elif self._unsent or self._window_used >= WINDOW_BYTES:
            self._unsent.append((wire, plain))
            self.unsent_bytes += len(plain)
        else:
            self._transmit(wire, plain)

    def drop_unsent(self) -> None:
        self._unsent.clear()
        self.unsent_bytes = 0

    def _transmit(self, wire: bytes | None, plain: bytes) -> None:
        self._window_used += len(plain)
        if self._held or self.cut:
            self._hold([(wire, plain)])
        elif self.rate and plain is wire and len(plain) > (slice_bytes := self._slice_bytes()):
            for offset in range(0, len(plain), slice_bytes):
                piece = plain[offset : offset + slice_bytes]
                self._schedule((piece, piece))
        else:
            self._schedule((wire, plain))

    def _slice_bytes(self) -> int:
        return max(1460, self.rate * PACE_NS // 10**9)

    def _schedule(self, item: Item) -> None:
        """Let an item arrive in its time, never before what was sent earlier."""
        now_ns = self.loop.now_ns
        arrival_ns = now_ns + self.latency_ns
        if self.rate:
            self._busy_until_ns = max(now_ns, self._busy_until_ns) + len(item[1]) * 10**9 // self.rate
            arrival_ns += self._busy_until_ns - now_ns
            arrival_ns += -arrival_ns % PACE_GRID_NS
        if self.jitter_ns:
            arrival_ns = max(now_ns, arrival_ns + self._jitter(now_ns))
        if arrival_ns < self._last_arrival_ns:
            arrival_ns = self._last_arrival_ns
        self._last_arrival_ns = arrival_ns
        waiting = self._on_the_way
        if waiting and waiting[-1][0] == arrival_ns:
            waiting[-1][1].append(item)
            return
        waiting.append((arrival_ns, [item]))
        context: Context = self.receiver.context
        if arrival_ns > now_ns:
            self.loop.call_at_ns(arrival_ns, self._arrive, context=context)
        else:
            self.loop.call_soon(self._arrive, context=context)

    def _jitter(self, now_ns: int) -> int:
        """One draw for everything that is sent at one instant."""
        if self._random is None:
            name = f"{self.connection.network.seed}/jitter/{self.connection.number}/{self.is_up}"
            self._random = random.Random(name)
        if self._jitter_drawn[0] != now_ns:
            self._jitter_drawn = (now_ns, self._random.randint(-self.jitter_ns, self.jitter_ns))
        return self._jitter_drawn[1]

    # --- arriving (runs in the receiver's context)

    def _arrive(self) -> None:
        if not self._on_the_way or self._on_the_way[0][0] > self.loop.now_ns:
            return  # stopped or held back meanwhile
        arrival_ns, items = self._on_the_way.popleft()
        receiver = self.receiver
        if receiver.is_gone:
            if any(wire is not None for wire, _ in items):
                self._answer_with_reset()
            return
        plain = items[0][1] if len(items) == 1 else b"".join([item[1] for item in items])
        size = len(plain)
        if size:
            self._count(arrival_ns, plain, size)
        for item in items if len(items) == 1 else _merge(items):
            receiver.arrived(item)

    def _count(self, arrival_ns: int, plain: bytes, size: int) -> None:
        if self.is_up:
            for link in self.connection.path.links:
                link.counters.bytes_up += size
        else:
            for link in self.connection.path.links:
                link.counters.bytes_down += size
        self.connection.network.record(arrival_ns, self.connection.number, self.is_up, plain)

    def taken(self, size: int) -> None:
        """The receiving application has read so many bytes: the window opens, if the sender can be told."""
        if self._back.cut:
            self._unacknowledged += size
            self._arm()
            return
        self._window_used -= size
        if self._unsent:
            self._pump()

    def _pump(self) -> None:
        while self._unsent and self._window_used < WINDOW_BYTES and not self._stopped:
            wire, plain = self._unsent.popleft()
            self.unsent_bytes -= len(plain)
            self._transmit(wire, plain)
        self.sender.buffer_shrank()

    def _answer_with_reset(self) -> None:
        """Bytes came to a closed socket: its kernel answers with RST, if the way back is open."""
        if not self._back.cut:
            error = _reset("the other end has closed", self.connection)
            self.stop()
            when_ns = self.loop.now_ns + self._back.latency_ns
            self.loop.call_at_ns(when_ns, self.sender.fail, error, context=self.sender.context)

    # --- loss and retransmission

    def hold_back(self) -> None:
        """A cut begins: what is on its way is held at once, so that it stays before what is sent from now on."""
        items = [item for _, sent_together in self._on_the_way for item in sent_together]
        self._on_the_way.clear()
        if items:
            self._hold(items)

    def _hold(self, items: list[Item]) -> None:
        self._held.extend(items)
        size = sum(len(plain) for _, plain in items)
        for link in self.connection.path.links:
            if link.way(self.is_up).cut is Cut.BLACKHOLE:
                link.counters.bytes_swallowed += size
                break
            if link.way(self.is_up).cut is Cut.STALL:
                link.counters.bytes_held += size
                break
        self._arm()

    def _arm(self) -> None:
        if self._retransmission is None and not self._stopped:
            self._rto_ns = RTO_MIN_NS + 2 * self.latency_ns
            self._retries = 0
            self._arm_again()

    def _arm_again(self) -> None:
        self._retransmission = self.loop.call_at_ns(
            self.loop.now_ns + self._rto_ns, self._retransmit, context=self.sender.context
        )

    def _retransmit(self) -> None:
        self._retransmission = None
        connection = self.connection
        if connection.half_open and connection.path.plugged:
            self.stop()
            self.sender.fail(_reset("the other end knows nothing of this connection", connection))
            return
        if not self.cut:
            held, self._held = self._held, []
            for item in held:
                self._schedule(item)
            if not self._back.cut:
                self._acknowledged()
                return
        self._retries += 1
        if self._retries > connection.network.tcp_retries:
            self.stop()
            self.sender.fail(TimeoutError(errno.ETIMEDOUT, f"{os.strerror(errno.ETIMEDOUT)}: {connection}"))
            return
        self._rto_ns = min(self._rto_ns * 2, RTO_MAX_NS)
        self._arm_again()

    def _acknowledged(self) -> None:
        self._window_used -= self._unacknowledged
        self._unacknowledged = 0
        self._pump()

    def stop(self) -> None:
        """Nothing more arrives."""
        self._stopped = True
        self._on_the_way.clear()
        self._held.clear()
        self.drop_unsent()
        if self._retransmission is not None:
            self._retransmission.cancel()
            self._retransmission = None

    def reset_peer(self) -> None:
        """Send RST to the receiver behind what is on its way; a cut swallows it."""
        if self._stopped or self.cut:
            self.stop()
            return
        error = _reset("reset by the other end", self.connection)
        when_ns = max(self.loop.now_ns + self.latency_ns, self._last_arrival_ns)
        self.drop_unsent()
        self.loop.call_at_ns(when_ns, self.receiver.fail, error, context=self.receiver.context)


def _reset(reason: str, connection: Connection) -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, f"{os.strerror(errno.ECONNRESET)}: {reason}: {connection}")


def _merge(items: list[Item]) -> list[Item]:
    """Join neighbouring bytes, as one `recv` would return them; a FIN stays by itself."""
    merged: list[Item] = []
    wires: list[bytes] = []
    plains: list[bytes] = []
    for wire, plain in items:
        if wire is None:
            if wires:
                merged.append((b"".join(wires), b"".join(plains)))
                wires, plains = [], []
            merged.append(FIN)
        else:
            wires.append(wire)
            plains.append(plain)
    if wires:
        merged.append((b"".join(wires), b"".join(plains)))
    return merged
