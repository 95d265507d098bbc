"""The network on the wire: hosts are loopback addresses, and each route from a client to a server is a proxy.

A conduit is a set of faults that are wanted; its routes' proxies are brought to the sum of what the conduits on
their way want, and read back. What follows from a proxy's nature is in docs/network.md, held by
tests/twin/test_network_capabilities.py.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shakedown.twin.network.errors import NetworkError, NetworkFault
from shakedown.twin.network.model import (
    Conduit,
    ConduitCounters,
    Direction,
    Host,
    Network,
)
from shakedown.twin.network.proxy import join_address
from shakedown.twin.network.wire_addresses import LoopbackAddresses
from shakedown.twin.network.wire_faults import STREAM_OF, UNITS, WireFault, both, slug, whole
from shakedown.twin.network.wire_toxiproxy import ToxicSpec, ToxiproxyClient, ToxiproxyProcess

__all__ = ["WireConduit", "WireNetwork"]

SERVER_NAME = "toxiproxy-server"

_serials = itertools.count()
_COMMON = {
    "blackhole",
    "stall",
    "down",
    "latency",
    "jitter",
    "bandwidth",
    "asymmetric",
    "cable",
    "zones",
    "read_back",
}
OURS = frozenset(_COMMON | {"reset", "half_open", "counters"})
SHOPIFYS = frozenset(_COMMON)


@dataclass(eq=False)
class Route:
    """One client's way to one server's port: a proxy, and the conduits it crosses."""

    proxy: str
    client: Host
    server: Host
    address: tuple[str, int]
    conduits: tuple[WireConduit, ...]

    @property
    def enabled(self) -> bool:
        return not any(conduit.is_down for conduit in self.conduits)

    def toxics(self) -> list[ToxicSpec]:
        """Everything that the conduits on the way, and unplugged ends, want of the proxy."""
        wanted = [fault.toxic(conduit.name) for conduit in self.conduits for fault in conduit.wanted()]
        for host in (self.client, self.server):
            if not host.plugged:
                # Holds bytes, FIN and RST: nobody hears of the end, and nothing of it comes through later.
                wanted += [
                    fault.toxic(f"unplugged-{host.name}") for fault in both("hold", "bandwidth", rate=0)
                ]
        return wanted


class WireConduit(Conduit):
    """A conduit whose faults are toxics on the proxies of every route that crosses it."""

    def __init__(
        self, name: str, zones: tuple[str, str], network: WireNetwork, base: list[WireFault]
    ) -> None:
        self._counters = ConduitCounters()
        super().__init__(name, zones)
        self.network = network
        self.is_down = False
        self._base = base
        self._faults: dict[tuple[str, str], WireFault] = {}

    @property
    def counters(self) -> ConduitCounters:
        """What the proxies counted up to now (a blocking request of a millisecond); the last known after `close`."""
        if self.network.is_open:
            self._counters = self.network._count(self)
        return self._counters

    @counters.setter
    def counters(self, counters: ConduitCounters) -> None:
        self._counters = counters

    @property
    def capabilities(self) -> frozenset[str]:
        """Those of our own proxy server or of Shopify's; known when the network has started."""
        return OURS if self.network.client.is_ours else SHOPIFYS

    async def blackhole(self, direction: Direction = "both") -> None:
        """Swallow bytes; at `heal()` ours resets the connections that crossed it, Shopify's closes them with FIN."""
        await self._put("blackhole", direction, "timeout", timeout=0)

    async def stall(self, direction: Direction = "both") -> None:
        await self._put("stall", direction, "bandwidth", rate=0)

    async def down(self) -> None:
        self.is_down = True
        await self.network._bring(self)

    async def reset(self) -> None:
        """End the existing connections: with RST on our own server; Shopify's closes them with FIN."""
        await self.network._end_connections(self)

    async def latency(self, latency_ms: float, jitter_ms: float = 0.0, direction: Direction = "both") -> None:
        """Add latency, in whole milliseconds as Toxiproxy has them."""
        attributes = {"latency": whole(latency_ms), "jitter": whole(jitter_ms)}
        await self._put("latency", direction, "latency", **attributes)

    async def bandwidth(self, kB_s: float, direction: Direction = "both") -> None:  # noqa: N803 (SI prefix)
        """Limit the rate, in whole kB/s as Toxiproxy has them, at least 1."""
        await self._put("bandwidth", direction, "bandwidth", rate=max(1, whole(kB_s)))

    async def heal(self) -> None:
        self._faults.clear()
        self.is_down = False
        await self.network._bring(self)

    async def read_back(self) -> list[dict[str, Any]]:
        """The faults that the server says are in force on every route of this conduit; raises NetworkFault if not."""
        return await self.network._read_back(self)

    def wanted(self) -> list[WireFault]:
        """The faults in force and what the conduit was made with."""
        return [*self._base, *self._faults.values()]

    def faults(self) -> list[WireFault]:
        return list(self._faults.values())

    async def _put(self, kind: str, direction: Direction, toxic: str, **attributes: int) -> None:
        if direction not in ("up", "down", "both"):
            raise ValueError(f"direction {direction!r}; remedy: up, down or both")
        for fault in both(kind, toxic, **attributes):
            if direction in ("both", fault.direction):
                self._faults[kind, fault.direction] = fault
        await self.network._bring(self)


class WireNetwork(Network[WireConduit]):
    """Hosts on loopback, routes through a Toxiproxy server; wall clock only.

    `toxiproxy` is the HTTP address of a server that runs already, or `"builtin"` for our own one; without it
    `toxiproxy-server` is used when it is on the PATH, else our own. Raises NetworkFault when the server does not do
    what it is told.
    """

    def __init__(self, toxiproxy: str | None = None, *, one_address: bool = False) -> None:
        super().__init__()
        self.client: ToxiproxyClient
        self.process: ToxiproxyProcess | None = None
        self._choice = toxiproxy
        self._one_address = one_address
        self._addresses: LoopbackAddresses
        self._listening: dict[tuple[str, int], tuple[str, int]] = {}
        self._routes: dict[tuple[str, str, int], Route] = {}
        self._cables: dict[str, WireConduit] = {}
        self._making = asyncio.Lock()
        self._lock = threading.Lock()  # one change of the proxies at a time, whichever thread makes it
        self._name = f"shakedown-{os.getpid()}-{next(_serials)}"
        self._open = False

    @property
    def is_open(self) -> bool:
        """Whether there is a server to be asked."""
        return self._open

    async def start(self) -> None:
        """Start the proxy server, or find the one that runs; routes and addresses can be had afterwards."""
        if self._choice and self._choice != "builtin":
            self.client = await asyncio.to_thread(ToxiproxyClient, self._choice)
        else:
            on_path = None if self._choice else shutil.which(SERVER_NAME)
            self.process = ToxiproxyProcess(Path(on_path) if on_path else None)
            try:
                self.client = await asyncio.to_thread(self.process.wait)
            except BaseException:
                self.process.close()
                raise
        self._addresses = LoopbackAddresses(only_one=self._one_address)
        self._open = True

    async def close(self) -> None:
        """Take the proxies down, and the server when it is ours; free the addresses."""
        if not self._open:
            return
        try:
            for conduit in [*self.conduits.values(), *self._cables.values()]:
                conduit.counters = await asyncio.to_thread(self._count, conduit)
            if self.process is None:
                await asyncio.to_thread(self._destroy_routes)
        finally:
            self._open = False
            self.client.close()
            if self.process is not None:
                await asyncio.to_thread(self.process.close)
            self._addresses.close()

    def cable(self, host_name: str) -> WireConduit:
        """The host's cable: what it dials and who dials it goes through it."""
        host = self.host(host_name)
        if host_name not in self._cables:
            self._cables[host_name] = WireConduit(f"cable-{host_name}", (host.zone, host.zone), self, [])
        return self._cables[host_name]

    async def listen_address(self, host_name: str, port: int) -> tuple[str, int]:
        """The host's own address and that port, or a free port where that one cannot be bound."""
        self.host(host_name)
        self._require_start()
        if (host_name, port) not in self._listening:
            try:
                self._listening[host_name, port] = self._addresses.listen(host_name, port)
            except ValueError as err:
                raise NetworkError(str(err)) from err
        return self._listening[host_name, port]

    def stands_at(self, host_name: str, port: int, address: tuple[str, int]) -> None:
        self._listening[self.host(host_name).name, port] = address

    async def route(self, client_name: str, server_name: str, port: int) -> tuple[str, int]:
        """The listening side of the proxy for this client, server and port; made at the first call."""
        key = client_name, server_name, port
        if key not in self._routes:
            client, server = self.host(client_name), self.host(server_name)
            address = await self.listen_address(server_name, port)
            if client is server:
                return address  # inside one machine there is no cable
            conduits = self._conduits_between(client, server)
            async with self._making:
                if key not in self._routes:
                    self._routes[key] = await asyncio.to_thread(
                        self._make_route, client, server, address, conduits
                    )
        return self._routes[key].address

    def names_of(self, server_name: str) -> tuple[str, ...]:
        """Its name, and every host's address: a proxy listens on its client's."""
        addresses = [self._addresses.of_host(name) for name in self.hosts]
        return tuple(dict.fromkeys((self.host(server_name).name, *addresses)))

    def _conduits_between(self, client: Host, server: Host) -> tuple[WireConduit, ...]:
        """Both cables, and between zones the conduit."""
        cables = self.cable(client.name), self.cable(server.name)
        if client.zone == server.zone:
            return cables
        conduit = self.conduit_between(client.zone, server.zone)
        if conduit is None:
            raise NetworkError(
                f"{client.name} ({client.zone}) cannot reach {server.name} ({server.zone}): "
                "no conduit joins the two zones; remedy: add_conduit, or a host between them"
            )
        return (cables[0], conduit, cables[1])

    def _make_route(
        self, client: Host, server: Host, upstream: tuple[str, int], conduits: tuple[WireConduit, ...]
    ) -> Route:
        number = len(self._routes)
        proxy = f"{self._name}-{number}-{slug(client.name)}-{slug(server.name)}-{upstream[1]}"
        listen = join_address(self._addresses.of_host(client.name), 0)
        with self._lock:
            address = self.client.create(proxy, listen, join_address(*upstream))
            route = Route(proxy, client, server, address, conduits)
            self.client.apply(proxy, route.toxics(), enabled=route.enabled)
        return route

    def _require_start(self) -> None:
        if not self._open:
            raise NetworkFault(
                "the network on the wire is not started: await start() before asking for addresses and routes"
            )

    def _routes_of(self, part: WireConduit | Host) -> list[Route]:
        if isinstance(part, Host):
            return [route for route in self._routes.values() if part in (route.client, route.server)]
        return [route for route in self._routes.values() if part in route.conduits]

    async def _bring(self, conduit: WireConduit) -> None:
        """Bring every route of a conduit to what is wanted now (before the start there are none)."""
        await asyncio.to_thread(self._apply, self._routes_of(conduit))

    def _apply(self, routes: Iterable[Route]) -> None:
        with self._lock:
            for route in routes:
                self.client.apply(route.proxy, route.toxics(), enabled=route.enabled)

    async def _end_connections(self, conduit: WireConduit) -> None:
        await asyncio.to_thread(self._end, self._routes_of(conduit))

    def _end(self, routes: Iterable[Route]) -> None:
        with self._lock:
            for route in routes:
                self.client.end_connections(route.proxy, route.toxics(), enabled=route.enabled)

    async def _read_back(self, conduit: WireConduit) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self._read_back_now, conduit, self._routes_of(conduit))

    def _read_back_now(self, conduit: WireConduit, routes: list[Route]) -> list[dict[str, Any]]:
        with self._lock:
            shown = [self.client.verify(r.proxy, r.toxics(), enabled=r.enabled) for r in routes]
        if not shown:
            return []
        proxies = [proxy["name"] for proxy in shown]
        in_force = {toxic["name"]: toxic for toxic in shown[0]["toxics"]}
        faults: list[dict[str, Any]] = []
        for fault in conduit.faults():
            toxic = in_force[fault.toxic(conduit.name).name]
            asked = {UNITS[key]: value for key, value in toxic["attributes"].items() if key in UNITS}
            if fault.kind == "stall":
                asked = {}
            faults.append(
                {
                    "kind": fault.kind,
                    "direction": fault.direction,
                    **asked,
                    "toxic": toxic,
                    "proxies": proxies,
                }
            )
        if conduit.is_down and not any(proxy["enabled"] for proxy in shown):
            faults += [{"kind": "down", "direction": way, "proxies": proxies} for way in STREAM_OF]
        return faults

    def _count(self, conduit: WireConduit) -> ConduitCounters:
        """What the routes of a conduit counted."""
        with self._lock:
            counted = self.client.counters()
        total = ConduitCounters()
        for route in self._routes_of(conduit):
            proxy = counted.get(route.proxy)
            if proxy is None:
                continue
            total.connections += proxy["connections"]
            total.refused += proxy["refused"]
            total.resets += proxy["resets"]
            total.bytes_up += proxy["bytes_upstream"]
            total.bytes_down += proxy["bytes_downstream"]
            for name, toxic in proxy["toxics"].items():
                if name.startswith(f"{slug(conduit.name)}-"):
                    total.bytes_swallowed += toxic["bytes_swallowed"]
                    total.bytes_held += toxic["bytes_held"]
        return total

    def _make_conduit(
        self,
        name: str,
        zones: tuple[str, str],
        latency_ms: float,
        jitter_ms: float,
        bandwidth_kB_s: float | None,  # noqa: N803 (SI prefix)
    ) -> WireConduit:
        base: list[WireFault] = []
        if latency_ms or jitter_ms:
            base += both("base_latency", "latency", latency=whole(latency_ms), jitter=whole(jitter_ms))
        if bandwidth_kB_s is not None:
            base += both("base_bandwidth", "bandwidth", rate=max(1, whole(bandwidth_kB_s)))
        return WireConduit(name, zones, self, base)

    def _unplug(self, host: Host) -> None:
        """At once, not in a task: whoever unplugs a component cancels it next, and that must not be heard."""
        self._apply(self._routes_of(host))

    def _plug(self, host: Host) -> None:
        self._end(self._routes_of(host))

    def _destroy_routes(self) -> None:
        with self._lock:
            for route in self._routes.values():
                self.client.destroy(route.proxy)
