"""The toxics, one small class each: its fields are its JSON attributes, `carry` is what it does to what passes.

A new toxic is a subclass of `Attributes` and a line in `TOXICS`. Semantics are those that Toxiproxy's README states.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from shakedown.twin.network.proxy_link import FIN, Item, Stage, Stream

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class Attributes(msgspec.Struct):
    """What every toxic can do; by itself it lets everything pass."""

    @property
    def holds(self) -> bool:
        """Whether everything that comes is held until the toxic is removed."""
        return False

    def begin(self, stage: Stage) -> None:
        """The toxic has been put into a link, or its attributes have changed."""

    def end(self, stage: Stage) -> None:
        """The toxic has been taken out of a link."""

    async def carry(self, stage: Stage, item: Item) -> None:
        """Pass an item on: later, slower, in pieces, or never."""
        await stage.forward(item)


class Noop(Attributes):
    """Lets everything pass."""


class Latency(Attributes):
    """Delays everything by `latency` +/- `jitter` ms; never reorders."""

    latency: Int64 = 0
    jitter: Int64 = 0

    async def carry(self, stage: Stage, item: Item) -> None:
        delay_ms = self.latency + (stage.rng.uniform(-self.jitter, self.jitter) if self.jitter > 0 else 0)
        await stage.pause_until(item.arrived + delay_ms / 1000)
        await stage.forward(item)


class Bandwidth(Attributes):
    """Lets `rate` kB/s pass, in slices of 100 ms; a rate of 0 holds everything until the toxic is removed."""

    rate: Int64 = 0

    @property
    def holds(self) -> bool:
        return self.rate <= 0

    async def carry(self, stage: Stage, item: Item) -> None:
        if self.holds:
            await stage.pause_until(math.inf)
            await stage.forward(item)
            return
        rate_bytes_s = self.rate * 1000
        for piece in slices(item, lambda: rate_bytes_s // 10):
            now = asyncio.get_running_loop().time()
            stage.free_at = max(stage.free_at, now) + piece.size / rate_bytes_s
            await stage.pause_until(stage.free_at)
            await stage.forward(piece)


class Timeout(Attributes):
    """Swallows everything and closes the connection after `timeout` ms (0: never).

    When it is removed, the connections it was on are reset: their streams have holes.
    """

    timeout: Int64 = 0

    def begin(self, stage: Stage) -> None:
        if self.timeout > 0:
            loop = asyncio.get_running_loop()
            stage.timer = loop.call_later(self.timeout / 1000, stage.link.owner.close)

    async def carry(self, stage: Stage, item: Item) -> None:
        stage.swallow(item)

    def end(self, stage: Stage) -> None:
        stage.link.owner.reset()


class ResetPeer(Attributes):
    """Resets the connection after `timeout` ms, the existing ones too; swallows what comes before."""

    timeout: Int64 = 0

    def begin(self, stage: Stage) -> None:
        loop = asyncio.get_running_loop()
        stage.timer = loop.call_later(max(0, self.timeout) / 1000, stage.link.owner.reset)

    async def carry(self, stage: Stage, item: Item) -> None:
        stage.swallow(item)


class SlowClose(Attributes):
    """Delays the end of the stream by `delay` ms."""

    delay: Int64 = 0

    async def carry(self, stage: Stage, item: Item) -> None:
        if item.payload == FIN:
            await stage.pause_until(asyncio.get_running_loop().time() + self.delay / 1000)
        await stage.forward(item)


class Slicer(Attributes):
    """Cuts data into pieces of `average_size` +/- `size_variation` bytes, `delay` microseconds apart."""

    average_size: Int64 = 0
    size_variation: Int64 = 0
    delay: Int64 = 0

    async def carry(self, stage: Stage, item: Item) -> None:
        variation = max(0, min(self.size_variation, self.average_size - 1))

        def size() -> int:
            return self.average_size + stage.rng.randint(-variation, variation)

        for piece in slices(item, size) if self.average_size > 0 else [item]:
            await stage.forward(piece)
            await stage.pause_until(asyncio.get_running_loop().time() + self.delay / 1e6)


class LimitData(Attributes):
    """Closes the connection when `bytes` have passed."""

    bytes: Int64 = 0

    async def carry(self, stage: Stage, item: Item) -> None:
        allowed = max(0, self.bytes - stage.passed_bytes)
        if item.size and allowed:
            stage.passed_bytes += min(item.size, allowed)
            await stage.forward(item._replace(payload=item.payload[:allowed]))
        elif not item.size:
            await stage.forward(item)
        if stage.passed_bytes >= self.bytes:
            stage.link.owner.close()


def slices(item: Item, size: Callable[[], int]) -> Iterator[Item]:
    """Cut an item's bytes into pieces; `size` is asked for the length of each one."""
    if item.size == 0:
        yield item
    start = 0
    while start < item.size:
        end = start + max(1, size())
        yield item._replace(payload=item.payload[start:end])
        start = end


TOXICS: dict[str, type[Attributes]] = {
    "latency": Latency,
    "bandwidth": Bandwidth,
    "timeout": Timeout,
    "reset_peer": ResetPeer,
    "slow_close": SlowClose,
    "slicer": Slicer,
    "limit_data": LimitData,
    "noop": Noop,
}


@dataclass(slots=True, eq=False)
class Toxic:
    """A toxic as it stands on a proxy; `toxicity` is the share of connections that get it."""

    name: str
    type: str
    stream: str
    toxicity: float
    attributes: Attributes

    @property
    def direction(self) -> Stream:
        return "upstream" if self.stream.lower() == "upstream" else "downstream"

    def as_json(self) -> dict[str, Any]:
        return {
            "attributes": msgspec.to_builtins(self.attributes),
            "name": self.name,
            "type": self.type,
            "stream": self.stream,
            "toxicity": int(self.toxicity) if float(self.toxicity).is_integer() else self.toxicity,
        }
