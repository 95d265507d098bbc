"""What a network is, whichever implementation carries it: hosts in zones, conduits between zones.

`MemoryNetwork` (virtual or paced clock) and `WireNetwork` (wall clock) implement this page, and components import
nothing else: a component dials what `route` answers and listens on what `listen_address` answers.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from contextvars import copy_context
from dataclasses import asdict, dataclass
from typing import Any, Generic, Literal, TypeVar

from shakedown.twin.clock.holding import Holding, current_host
from shakedown.twin.network.errors import NetworkError

T = TypeVar("T")

ZONES = ("cell", "site", "enterprise")
"""The zones that are always there; a conduit brings others."""
ZONES_MAX = 25

Direction = Literal["up", "down", "both"]
"""`up` is from who connects to who listens, `down` the way back."""

CAPABILITIES = {
    "blackhole": "bytes are swallowed; at heal() the connections that crossed it are reset",
    "stall": "bytes are held back and go on intact at heal()",
    "down": "connections close visibly, new ones are refused; heal() accepts again",
    "reset": "existing connections end in ECONNRESET",
    "latency": "bytes arrive that much later; heal() removes it",
    "jitter": "latency varies, bytes are never reordered within a connection",
    "bandwidth": "bytes are paced, and a sender that is faster is paused (back pressure)",
    "asymmetric": "each fault may hold in one direction alone",
    "cable": "a fault may be put on the cable of one host",
    "half_open": "unplug() kills connections silently: the peer learns nothing until it sends",
    "connect_into_cut": "a connect into a black hole or a stall does not complete (a proxy completes it)",
    "retransmission_timeout": "a stall that outlasts TCP's patience ends the connection with ETIMEDOUT",
    "zones": "what crosses zones without a conduit is refused",
    "counters": "connections, refusals, resets and bytes are counted for each conduit",
    "read_back": "the faults really in force can be asked for",
    "trace": "a hash over everything delivered, equal for equal seeds",
}
"""Every capability that an implementation may claim in `Conduit.capabilities`."""


@dataclass(slots=True)
class ConduitCounters:
    """Evidence of what a conduit did: plain totals since it was made, never reset by `heal()`."""

    connections: int = 0
    refused: int = 0
    resets: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    bytes_swallowed: int = 0
    bytes_held: int = 0

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


class Conduit(ABC):
    """The one way between two zones, or the cable of one host; holds faults and counters."""

    def __init__(self, name: str, zones: tuple[str, str]) -> None:
        self.name = name
        self.zones = zones
        self.counters = ConduitCounters()

    @property
    @abstractmethod
    def capabilities(self) -> frozenset[str]:
        """The keys of `CAPABILITIES` that this implementation keeps."""

    @abstractmethod
    async def blackhole(self, direction: Direction = "both") -> None:
        """Swallow bytes; at `heal()` the connections that crossed it are reset."""

    @abstractmethod
    async def stall(self, direction: Direction = "both") -> None:
        """Hold bytes back; at `heal()` they go on intact, as after TCP's retransmission."""

    @abstractmethod
    async def down(self) -> None:
        """Close the connections visibly and refuse new ones."""

    @abstractmethod
    async def reset(self) -> None:
        """End the existing connections with RST, once."""

    @abstractmethod
    async def latency(self, latency_ms: float, jitter_ms: float = 0.0, direction: Direction = "both") -> None:
        """Add latency, uniform within plus or minus `jitter_ms`, to what the conduit was made with."""

    @abstractmethod
    async def bandwidth(self, kB_s: float, direction: Direction = "both") -> None:  # noqa: N803 (SI prefix)
        """Limit each direction to `kB_s` kilobytes (1000 bytes) a second, for each connection."""

    @abstractmethod
    async def heal(self) -> None:
        """Remove every fault; what the conduit was made with stays."""

    @abstractmethod
    async def read_back(self) -> list[dict[str, Any]]:
        """The faults in force as the implementation reports them; each has `kind` and `direction`."""


class Host:
    """A machine in a zone: what it spawns knows that it runs there."""

    def __init__(self, name: str, zone: str, network: Network[Any]) -> None:
        self.name = name
        self.zone = zone
        self.network = network
        self.plugged = True
        self.context = copy_context()
        self.context.run(current_host.set, self)

    def __repr__(self) -> str:
        return f"<Host {self.name} in {self.zone}>"

    def spawn(self, coro: Coroutine[Any, Any, T], *, name: str | None = None) -> asyncio.Task[T]:
        """Start a task with this host as `current_host`; everything it starts inherits the host."""
        context = self.context.copy()
        return asyncio.get_running_loop().create_task(coro, name=name, context=context)

    def tasks(self) -> list[asyncio.Task[Any]]:
        """What was started here, by `spawn` or by what that started, and is not done."""
        return self._loop().tasks_of(self)

    def freeze(self) -> None:
        """Hold back everything that this host would do: it stays connected and says nothing."""
        self._loop().hold(self)

    def thaw(self) -> None:
        """Let it go on where it was, with everything that came meanwhile; does nothing when it is not frozen."""
        self._loop().let_go(self)

    @staticmethod
    def _loop() -> Holding:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, Holding):
            raise NetworkError("this loop cannot hold a host back; remedy: shakedown.twin.clock.run")
        return loop

    def unplug(self) -> None:
        """Let every connection of the host die silently, no FIN, no RST: the first half of a crash."""
        self.plugged = False
        self.network._unplug(self)

    def plug(self) -> None:
        """Let the host be reached again; what died stays dead, and who still sends gets RST."""
        self.plugged = True
        self.network._plug(self)


C = TypeVar("C", bound=Conduit)


class Network(ABC, Generic[C]):
    """Hosts in zones and conduits between zones; subclasses carry the bytes.

    A subclass adds `_make_conduit`, `cable`, `listen_address`, `route`, `start`, `close`, `_unplug` and `_plug`.
    """

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self.conduits: dict[str, C] = {}
        self.zones = list(ZONES)

    def add_host(self, name: str, zone: str) -> Host:
        """Put a host into a zone; raises NetworkError for a name taken or a zone unknown."""
        if zone not in self.zones:
            raise NetworkError(f"host {name!r}: unknown zone {zone!r}; zones are {', '.join(self.zones)}")
        if name in self.hosts:
            raise NetworkError(f"host {name!r} is there already, in zone {self.hosts[name].zone!r}")
        host = self.hosts[name] = Host(name, zone, self)
        return host

    def add_conduit(
        self,
        name: str,
        zones: tuple[str, str],
        latency_ms: float = 0.0,
        jitter_ms: float = 0.0,
        bandwidth_kB_s: float | None = None,  # noqa: N803 (SI prefix)
    ) -> C:
        """Join two zones, also new ones; raises NetworkError when the name or the pair of zones is taken."""
        if name in self.conduits:
            raise NetworkError(f"conduit {name!r} is there already")
        if self.conduit_between(*zones) is not None or zones[0] == zones[1]:
            raise NetworkError(f"conduit {name!r}: {zones[0]} and {zones[1]} are joined already")
        self.zones += [zone for zone in zones if zone not in self.zones]
        if len(self.zones) > ZONES_MAX:
            raise NetworkError(f"conduit {name!r}: more than {ZONES_MAX} zones; remedy: fewer")
        conduit = self.conduits[name] = self._make_conduit(
            name, (zones[0], zones[1]), latency_ms, jitter_ms, bandwidth_kB_s
        )
        return conduit

    def host(self, name: str) -> Host:
        """The host of that name; raises NetworkError."""
        if name not in self.hosts:
            raise NetworkError(f"no host {name!r}; hosts are {', '.join(self.hosts) or 'none yet'}")
        return self.hosts[name]

    def conduit(self, name: str) -> C:
        """The conduit of that name; raises NetworkError."""
        if name not in self.conduits:
            raise NetworkError(f"no conduit {name!r}; conduits are {', '.join(self.conduits) or 'none yet'}")
        return self.conduits[name]

    def conduit_between(self, zone: str, other: str) -> C | None:
        """The conduit that joins two different zones, None when there is none."""
        for conduit in self.conduits.values():
            if zone != other and {zone, other} == set(conduit.zones):
                return conduit
        return None

    @abstractmethod
    def _make_conduit(
        self,
        name: str,
        zones: tuple[str, str],
        latency_ms: float,
        jitter_ms: float,
        bandwidth_kB_s: float | None,  # noqa: N803
    ) -> C: ...

    @abstractmethod
    def cable(self, host_name: str) -> C:
        """The host's own network cable; what it dials inside its zone goes through it."""

    @abstractmethod
    async def listen_address(self, host_name: str, port: int) -> tuple[str, int]:
        """What a server on that host binds to; call it before anybody asks for a route to it."""

    def stands_at(self, host_name: str, port: int, address: tuple[str, int]) -> None:
        """From now on a server that somebody else runs is that host's: it listens at `address` already.

        Raises NetworkError where nothing real can be reached, which is everywhere but on the wire.
        """
        raise NetworkError(
            f"{host_name} cannot stand at {address}: this network reaches nothing outside of it"
        )

    @abstractmethod
    async def route(self, client_name: str, server_name: str, port: int) -> tuple[str, int]:
        """What that client dials to reach that server; raises NetworkError across zones without a conduit."""

    @abstractmethod
    def names_of(self, server_name: str) -> tuple[str, ...]:
        """Every name and address by which the hosts there are may dial that host: what its certificate has to say."""

    @abstractmethod
    async def start(self) -> None:
        """Make the network carry bytes."""

    @abstractmethod
    async def close(self) -> None:
        """End every connection and listener and leave nothing behind."""

    @abstractmethod
    def _unplug(self, host: Host) -> None: ...

    @abstractmethod
    def _plug(self, host: Host) -> None: ...
