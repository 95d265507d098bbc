"""One direction of one proxied connection: what has arrived, the toxics on its way, and the socket it leaves by.

Everything that travels is an `Item`: bytes, or the end of the stream, or a reset. So a toxic that holds or swallows
bytes holds or swallows FIN and RST as well, as a broken path does.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

Stream = Literal["upstream", "downstream"]
STREAMS: tuple[Stream, Stream] = ("upstream", "downstream")

BUFFER_BYTES = 256 * 1024
"""Bytes a link keeps before it stops reading from the sender; one read more may come on top (256 KiB at most)."""

FIN = "FIN"
RST = "RST"


class Item(NamedTuple):
    """What travels: `payload` is bytes, or `FIN`, or `RST`; `arrived` is the loop's time of arrival."""

    arrived: float
    payload: bytes | str

    @property
    def size(self) -> int:
        return len(self.payload) if isinstance(self.payload, bytes) else 0


@dataclass(slots=True)
class ToxicCounters:
    """What one toxic of one proxy has done, over all its connections."""

    bytes_swallowed: int = 0
    bytes_held: int = 0


class Sender(Protocol):
    """The side a link reads from."""

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Receiver(Protocol):
    """The side a link writes to."""

    writable: asyncio.Event

    def deliver(self, payload: bytes | str) -> None: ...


class Owner(Protocol):
    """The connection both links belong to."""

    def close(self) -> None: ...
    def reset(self) -> None: ...


class Effect(Protocol):
    """What a toxic does to the bytes that pass."""

    @property
    def holds(self) -> bool: ...
    def begin(self, stage: Stage) -> None: ...
    def end(self, stage: Stage) -> None: ...
    async def carry(self, stage: Stage, item: Item) -> None: ...


class Toxic(Protocol):
    """Something on a proxy that may be put into its links."""

    @property
    def attributes(self) -> Effect: ...


@dataclass(slots=True, eq=False)
class Stage:
    """One toxic at work in one link; a stage that was taken out is transparent for what it still holds."""

    toxic: Toxic
    link: Link
    rng: random.Random
    active: bool
    counters: ToxicCounters
    next: Stage | None = None
    interrupted: asyncio.Event = field(default_factory=asyncio.Event)
    removed: bool = False
    free_at: float = 0.0
    passed_bytes: int = 0
    timer: asyncio.TimerHandle | None = None

    async def carry(self, item: Item) -> None:
        """Let the toxic do its work on one item."""
        if self.removed or not self.active:
            await self.forward(item)
        else:
            await self.toxic.attributes.carry(self, item)

    async def forward(self, item: Item) -> None:
        """Hand an item to the next toxic, or to the socket after the last one."""
        if self.next is None:
            await self.link.emit(item)
        else:
            await self.next.carry(item)

    async def pause_until(self, when: float) -> None:
        """Wait for that loop time (`math.inf`: for ever), or until the toxic is changed or taken away."""
        loop = asyncio.get_running_loop()
        if self.removed or when <= loop.time():
            return
        try:
            async with asyncio.timeout_at(None if math.isinf(when) else when):
                await self.interrupted.wait()
        except TimeoutError:
            pass

    def swallow(self, item: Item) -> None:
        self.counters.bytes_swallowed += item.size

    def begin(self) -> None:
        self.stop_timer()
        if self.active:
            self.toxic.attributes.begin(self)

    def end(self) -> None:
        """Take the toxic out: what it holds goes on at once."""
        self.removed = True
        self.stop_timer()
        self.interrupt()
        if self.active:
            self.toxic.attributes.end(self)

    def interrupt(self) -> None:
        """Wake what waits in this stage; it goes on at once."""
        self.interrupted.set()
        self.interrupted = asyncio.Event()

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Link:
    """The bytes of one direction; bounded by `BUFFER_BYTES`, then the sender is not read any more."""

    def __init__(self, stream: Stream, owner: Owner, sender: Sender, receiver: Receiver) -> None:
        self.stream = stream
        self.owner = owner
        self.bytes_out = 0
        self._sender = sender
        self._receiver = receiver
        self._stages: list[Stage] = []
        self._queue: deque[Item] = deque()
        self.queued_bytes = 0
        self._arrived = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    def arrive(self, payload: bytes | str) -> None:
        """Take what the sender sent; without toxics it leaves in the same step."""
        if self._closed:
            return
        if not self._stages and not self._queue and self._receiver.writable.is_set():
            self._write(payload)
            return
        item = Item(asyncio.get_running_loop().time(), payload)
        self._queue.append(item)
        self.queued_bytes += item.size
        for stage in self._holding():
            stage.counters.bytes_held += item.size
        self._arrived.set()
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work(), name=f"link {self.stream}")
        self.balance()

    async def emit(self, item: Item) -> None:
        """Write an item to the receiver when that has room for it."""
        await self._receiver.writable.wait()
        if not self._closed:
            self._write(item.payload)

    def balance(self) -> None:
        """Read from the sender as long as there is room, and only then."""
        if self._closed:
            return
        full = self.queued_bytes >= BUFFER_BYTES
        if full or (not self._stages and not self._receiver.writable.is_set()):
            self._sender.pause_reading()
        else:
            self._sender.resume_reading()

    def add(self, stage: Stage) -> None:
        self._stages.append(stage)
        self._relink()
        if stage in self._holding():
            stage.counters.bytes_held += self.queued_bytes
        stage.begin()
        self.balance()

    def remove(self, toxic: Toxic) -> None:
        gone = [stage for stage in self._stages if stage.toxic is toxic]
        self._stages = [stage for stage in self._stages if stage.toxic is not toxic]
        self._relink()
        for stage in gone:
            stage.end()
        self.balance()

    def update(self, toxic: Toxic) -> None:
        """Let a toxic start afresh with its new attributes; what it held under the old ones goes on."""
        for stage in self._stages:
            if stage.toxic is toxic:
                stage.interrupt()
                stage.begin()

    def close(self) -> None:
        """Drop what is queued and stop working."""
        self._closed = True
        self._queue.clear()
        self.queued_bytes = 0
        for stage in self._stages:
            stage.stop_timer()
        if self._worker is not None:
            self._worker.cancel()

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            while self._queue:
                item = self._queue[0]  # stays in the queue, and counted, until it has gone
                await (self._stages[0].carry(item) if self._stages else self.emit(item))
                if self._closed:
                    return
                self._queue.popleft()
                self.queued_bytes -= item.size
                self.balance()
            self._arrived.clear()

    def _write(self, payload: bytes | str) -> None:
        if isinstance(payload, bytes):
            self.bytes_out += len(payload)
        self._receiver.deliver(payload)

    def _relink(self) -> None:
        for stage, following in zip(self._stages, [*self._stages, None][1:], strict=True):
            stage.next = following

    def _holding(self) -> list[Stage]:
        return [stage for stage in self._stages if stage.active and stage.toxic.attributes.holds]
