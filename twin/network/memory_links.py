"""Conduits and cables of the in-memory network: what each direction of them does to bytes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

from shakedown.twin.network.model import CAPABILITIES, Conduit, Direction, Host


class Cut(IntEnum):
    """Why bytes do not pass; of several the greatest holds."""

    NONE = 0
    STALL = 1
    BLACKHOLE = 2


@dataclass(slots=True)
class Way:
    """One direction of a link as it is now; `rate` is bytes a second, 0 for no limit."""

    latency_ns: int
    jitter_ns: int
    rate: int
    cut: Cut = Cut.NONE


class Crossing(Protocol):
    """A connection, as a link on its way knows it."""

    def refresh(self) -> None: ...
    def sever(self) -> None: ...
    def reset(self, reason: str) -> None: ...


class MemoryConduit(Conduit):
    """A link whose faults act on the connections that cross it, at once and exactly."""

    capabilities = frozenset(CAPABILITIES)

    def __init__(
        self,
        name: str,
        zones: tuple[str, str],
        latency_ms: float = 0.0,
        jitter_ms: float = 0.0,
        bandwidth_kB_s: float | None = None,  # noqa: N803 (SI prefix)
    ) -> None:
        super().__init__(name, zones)
        self._made_with = (_ns(latency_ms), _ns(jitter_ms), _rate(bandwidth_kB_s))
        self._ways = {True: Way(*self._made_with), False: Way(*self._made_with)}
        self._faults: dict[tuple[str, bool], dict[str, Any]] = {}
        self.is_down = False
        self.connections: dict[Crossing, None] = {}

    def way(self, up: bool) -> Way:
        """The state of one direction, `up` being from who connects to who listens."""
        return self._ways[up]

    async def blackhole(self, direction: Direction = "both") -> None:
        for up in _ups(direction):
            self._ways[up].cut = Cut.BLACKHOLE
            self._faults["blackhole", up] = {}
        self._changed()

    async def stall(self, direction: Direction = "both") -> None:
        for up in _ups(direction):
            self._ways[up].cut = max(self._ways[up].cut, Cut.STALL)
            self._faults["stall", up] = {}
        self._changed()

    async def down(self) -> None:
        self.is_down = True
        for up in (True, False):
            self._faults["down", up] = {}
        for connection in list(self.connections):
            connection.sever()

    async def reset(self) -> None:
        for connection in list(self.connections):
            self.counters.resets += 1
            connection.reset(f"reset on {self.name}")

    async def latency(self, latency_ms: float, jitter_ms: float = 0.0, direction: Direction = "both") -> None:
        made_latency_ns, made_jitter_ns, _ = self._made_with
        for up in _ups(direction):
            self._ways[up].latency_ns = made_latency_ns + _ns(latency_ms)
            self._ways[up].jitter_ns = made_jitter_ns + _ns(jitter_ms)
            self._faults["latency", up] = {"latency_ms": latency_ms, "jitter_ms": jitter_ms}
        self._changed()

    async def bandwidth(self, kB_s: float, direction: Direction = "both") -> None:  # noqa: N803 (SI prefix)
        for up in _ups(direction):
            made_rate = self._made_with[2]
            self._ways[up].rate = min(_rate(kB_s), made_rate or _rate(kB_s))
            self._faults["bandwidth", up] = {"kB_s": kB_s}
        self._changed()

    async def heal(self) -> None:
        swallowed = any(way.cut is Cut.BLACKHOLE for way in self._ways.values())
        self._ways = {True: Way(*self._made_with), False: Way(*self._made_with)}
        self._faults.clear()
        self.is_down = False
        if swallowed:
            await self.reset()
        self._changed()

    async def read_back(self) -> list[dict[str, Any]]:
        return [
            {"kind": kind, "direction": "up" if up else "down", **parameters}
            for (kind, up), parameters in self._faults.items()
        ]

    def _changed(self) -> None:
        for connection in list(self.connections):
            connection.refresh()


def _ups(direction: Direction) -> tuple[bool, ...]:
    try:
        return {"up": (True,), "down": (False,), "both": (True, False)}[direction]
    except KeyError:
        raise ValueError(f"direction {direction!r}; remedy: up, down or both") from None


def _ns(milliseconds: float) -> int:
    if not 0 <= milliseconds < 1e9:
        raise ValueError(f"{milliseconds} ms is not a latency; remedy: a number that is not negative")
    return round(milliseconds * 1e6)


def _rate(kB_s: float | None) -> int:  # noqa: N803 (SI prefix)
    """Bytes a second, at least one; 0 stands for no limit."""
    if kB_s is None:
        return 0
    if not 0 < kB_s < 1e9:
        raise ValueError(f"{kB_s} kB/s is not a bandwidth; remedy: a number above 0 (for no passage: stall)")
    return max(1, round(kB_s * 1000))


class Path:
    """The links between two hosts: the client's cable, a conduit where zones differ, the server's cable."""

    def __init__(self, client: Host, server: Host, links: tuple[MemoryConduit, ...]) -> None:
        self.client = client
        self.server = server
        self.links = links

    @property
    def plugged(self) -> bool:
        return not self.links or (self.client.plugged and self.server.plugged)

    def latency_ns(self, up: bool) -> int:
        return sum(link.way(up).latency_ns for link in self.links)

    def passes(self) -> bool:
        """Whether a packet and its answer get through now."""
        return self.plugged and not any(link.way(up).cut for link in self.links for up in (True, False))

    def link_down(self) -> MemoryConduit | None:
        return next((link for link in self.links if link.is_down), None)
