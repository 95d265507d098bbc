"""A TCP proxy that misbehaves on request: one listener, its connections, and the toxics between the two sides."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import socket
import struct
from dataclasses import asdict, dataclass, field
from typing import Any

from shakedown.twin.network.proxy_link import FIN, RST, STREAMS, Link, Stage, Stream, ToxicCounters
from shakedown.twin.network.proxy_toxics import Toxic

CONNECTIONS_MAX = 1024
"""Connections of one proxy at a time; a further one is reset at once."""
CONNECT_TIMEOUT_S = 5.0
"""How long the server behind the proxy may take to accept."""
COUNTED_TOXICS_MAX = 1000
"""Toxic names that counters are kept for; later names share one."""

_LINGER_OFF = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class ProxyCounters:
    """Totals of one proxy since it was made."""

    connections: int = 0
    refused: int = 0
    resets: int = 0
    bytes_upstream: int = 0
    bytes_downstream: int = 0
    toxics: dict[str, ToxicCounters] = field(default_factory=dict)

    def of_toxic(self, name: str) -> ToxicCounters:
        if name not in self.toxics and len(self.toxics) >= COUNTED_TOXICS_MAX:
            name = "others"
        return self.toxics.setdefault(name, ToxicCounters())

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Side(asyncio.Protocol):
    """The client's or the server's socket of a connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.transport: asyncio.Transport | None = None
        self.outgoing: Link  # what this side sends
        self.incoming: Link  # what it is sent
        self.writable = asyncio.Event()  # clear until there is a socket, and while that is full
        self.got_fin = self.sent_fin = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.writable.set()
        self.connection.side_made(self)

    def data_received(self, data: bytes) -> None:
        self.outgoing.arrive(data)

    def eof_received(self) -> bool:
        self.got_fin = True
        self.outgoing.arrive(FIN)
        self.connection.finish()
        return True  # the way back stays open: a half-closed connection still answers

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.connection.side_lost(self, exc)

    def pause_writing(self) -> None:
        self.writable.clear()
        self.incoming.balance()

    def resume_writing(self) -> None:
        self.writable.set()
        self.incoming.balance()

    def pause_reading(self) -> None:
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self.transport is not None:
            self.transport.resume_reading()

    def deliver(self, payload: bytes | str) -> None:
        """Write bytes, an end or a reset to this side's socket."""
        if self.transport is None or self.sent_fin:
            return
        if isinstance(payload, bytes):
            self.transport.write(payload)
        elif payload == RST:
            self.connection.reset(counted=False)
        else:
            self.sent_fin = True
            self.transport.write_eof()
            self.connection.finish()

    def abort(self) -> None:
        """End the socket with RST."""
        if self.transport is not None:
            sock = self.transport.get_extra_info("socket")
            with contextlib.suppress(OSError):  # gone already: then there is nobody to be told
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
            self.transport.abort()


class Connection:
    """A client, the server it was proxied to, and the two links between them."""

    def __init__(self, proxy: Proxy, serial: int) -> None:
        self.proxy = proxy
        self.serial = serial
        self.client = Side(self)
        self.server = Side(self)
        up = Link("upstream", self, self.client, self.server)
        down = Link("downstream", self, self.server, self.client)
        self.links: dict[Stream, Link] = {"upstream": up, "downstream": down}
        self.client.outgoing = self.server.incoming = up
        self.client.incoming = self.server.outgoing = down
        self.closed = False
        self._dialling: asyncio.Task[None] | None = None

    def side_made(self, side: Side) -> None:
        if side is self.server:
            side.incoming.balance()
            return
        self.proxy.joined(self)
        if not self.closed:
            self._dialling = asyncio.get_running_loop().create_task(self._dial(), name="proxy dials upstream")

    def side_lost(self, side: Side, exc: Exception | None) -> None:
        """One socket has gone by itself: the other end hears of it the way the bytes go."""
        if self.closed:
            return
        side.incoming.close()
        if exc is not None or not side.got_fin:
            side.outgoing.arrive(RST)
        other = self.server if side is self.client else self.client
        if other.transport is None:
            self.close()

    def finish(self) -> None:
        """Close when both directions have ended and been passed on."""
        if all(side.got_fin and side.sent_fin for side in (self.client, self.server)):
            self.close()

    def close(self) -> None:
        """Close both sockets politely; what is still inside the proxy is dropped."""
        if self._leave():
            for side in (self.client, self.server):
                if side.transport is not None:
                    side.transport.close()

    def reset(self, *, counted: bool = True) -> None:
        """End both sockets with RST."""
        if self._leave():
            self.proxy.counters.resets += counted
            self.client.abort()
            self.server.abort()

    def _leave(self) -> bool:
        if self.closed:
            return False
        self.closed = True
        if self._dialling is not None:
            self._dialling.cancel()
        for link in self.links.values():
            link.close()
        self.proxy.left(self)
        return True

    async def _dial(self) -> None:
        host, port = split_address(self.proxy.upstream)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await loop.create_connection(lambda: self.server, host, port)
        except OSError:  # TimeoutError is one
            self.proxy.counters.refused += 1
            self.reset(counted=False)
            return
        if self.closed:
            self.server.abort()


class Proxy:
    """A listener on a loopback address whose connections go to `upstream` through the toxics.

    A disabled proxy keeps its port bound, without listening: connections are refused and nobody else can take it.
    """

    def __init__(self, name: str, listen: str, upstream: str, *, seed: int = 0) -> None:
        self.name = name
        self.listen = listen
        self.upstream = upstream
        self.enabled = False
        self.seed = seed
        self.toxics: list[Toxic] = []
        self.counters = ProxyCounters()
        self._connections: dict[int, Connection] = {}
        self._server: asyncio.Server | None = None
        self._reserved: socket.socket | None = None
        self._next_serial = 0

    def as_json(self) -> dict[str, Any]:
        """The proxy as Toxiproxy 2.12 shows it (its empty `Logger` included)."""
        toxics = [t.as_json() for stream in STREAMS for t in self.toxics if t.direction == stream]
        return {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "Logger": {},
            "toxics": toxics,
        }

    async def enable(self) -> None:
        """Listen; raises OSError when the address is taken and ValueError when it is none of loopback."""
        if self.enabled:
            return
        sock, self._reserved = self._reserve(), None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, sock=sock)
        self.enabled = True

    async def disable(self, *, keep_port: bool = True) -> None:
        """Close the listener and every connection."""
        self.enabled = False
        if self._server is not None:
            self._server.close()
            self._server = None
            if keep_port:
                self._reserve()
        elif not keep_port and self._reserved is not None:
            self._reserved.close()
            self._reserved = None
        for connection in list(self._connections.values()):
            connection.close()

    def reset_connections(self) -> int:
        """Reset every existing connection; returns how many there were."""
        connections = list(self._connections.values())
        for connection in connections:
            connection.reset()
        return len(connections)

    def add_toxic(self, toxic: Toxic) -> None:
        self.toxics.append(toxic)
        for connection in self._connections.values():
            self._attach(toxic, connection)

    def remove_toxic(self, toxic: Toxic) -> None:
        self.toxics.remove(toxic)
        for connection in list(self._connections.values()):
            connection.links[toxic.direction].remove(toxic)

    def update_toxic(self, toxic: Toxic) -> None:
        for connection in self._connections.values():
            connection.links[toxic.direction].update(toxic)

    def snapshot(self) -> dict[str, Any]:
        """The counters, with the bytes of the connections that are still open."""
        counters = self.counters.as_json()
        for stream in STREAMS:
            counters[f"bytes_{stream}"] += sum(c.links[stream].bytes_out for c in self._connections.values())
        return counters

    def joined(self, connection: Connection) -> None:
        self.counters.connections += 1
        if len(self._connections) >= CONNECTIONS_MAX:
            connection.reset()
            return
        self._connections[connection.serial] = connection
        for toxic in self.toxics:
            self._attach(toxic, connection)

    def left(self, connection: Connection) -> None:
        self._connections.pop(connection.serial, None)
        self.counters.bytes_upstream += connection.links["upstream"].bytes_out
        self.counters.bytes_downstream += connection.links["downstream"].bytes_out

    def _accept(self) -> Side:
        self._next_serial += 1
        return Connection(self, self._next_serial).client

    def _attach(self, toxic: Toxic, connection: Connection) -> None:
        link = connection.links[toxic.direction]
        rng = random.Random(f"{self.seed}/{self.name}/{toxic.name}/{connection.serial}")
        active = rng.random() < toxic.toxicity
        link.add(Stage(toxic, link, rng, active, self.counters.of_toxic(toxic.name)))

    def _reserve(self) -> socket.socket:
        """Bind the listening address and find out the port when it is 0."""
        if self._reserved is not None:
            return self._reserved
        host, port = loopback_address(self.listen)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = tcp_socket(family)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setblocking(False)
            sock.bind((host, port))
        except OSError:
            sock.close()
            raise
        self._reserved = sock
        self.listen = join_address(*sock.getsockname()[:2])
        return sock


def tcp_socket(family: int = socket.AF_INET) -> socket.socket:
    """A socket that says it is TCP: asyncio switches Nagle's delay off on such ones alone."""
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)


def split_address(address: str) -> tuple[str, int]:
    """`host:port` or `[host]:port` in two; raises ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"listen tcp: address {address}: missing port in address")
    return host.strip("[]"), int(port)


def join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def loopback_address(address: str) -> tuple[str, int]:
    """The address to bind to; raises ValueError for one that others could reach."""
    host, port = split_address(address)
    if host == "localhost":
        host = "127.0.0.1"
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ValueError(f"listen {address}: only loopback addresses are served; listen on 127.0.0.1:{port}")
    return host, port
