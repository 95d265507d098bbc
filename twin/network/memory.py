"""The network in memory: real protocols of real libraries, no socket of the system."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import socket
import ssl
import struct
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from paho.mqtt import client as paho

from shakedown.twin.clock import VirtualLoop
from shakedown.twin.clock.holding import current_host
from shakedown.twin.network import memory_opcua
from shakedown.twin.network.errors import NetworkError
from shakedown.twin.network.memory_links import MemoryConduit, Path
from shakedown.twin.network.memory_listen import Listener, server_tls
from shakedown.twin.network.memory_sockets import MemorySocket
from shakedown.twin.network.memory_tcp import Connection
from shakedown.twin.network.memory_tls import TracedSSLProtocol
from shakedown.twin.network.memory_transport import Address, MemoryTransport
from shakedown.twin.network.model import Host, Network

_LOOPBACK = ("localhost", "127.0.0.1")
_ANY = (None, "", "0.0.0.0")
_EPHEMERAL_PORTS = range(49152, 65536)
_SYN_TIMEOUT_NS = 10**9


class MemoryNetwork(Network[MemoryConduit]):
    """Serves `create_connection`, `create_server`, `getaddrinfo` and paho's socket of a virtual loop from memory.

    It is in force between `start()` and `close()`, or inside `with MemoryNetwork(seed=...) as network:`, on the
    loop that runs then. `tcp_retries` and `syn_retries` bound the patience of TCP as Linux does: 15 retransmissions
    are about 924 s, 6 connection attempts 127 s, then TimeoutError (ETIMEDOUT).
    """

    def __init__(self, *, seed: int = 0, tcp_retries: int = 15, syn_retries: int = 6) -> None:
        super().__init__()
        self.seed = seed
        self.tcp_retries = tcp_retries
        self.syn_retries = syn_retries
        self.loop: VirtualLoop
        self.connections: dict[Connection, None] = {}
        self._cables: dict[str, MemoryConduit] = {}
        self._listeners: dict[tuple[str, int], Listener] = {}
        self._ports: dict[str, int] = {}
        self._connection_count = 0
        self._trace = hashlib.sha256()
        self._paho: dict[str, Any] | None = None
        self._undo_opcua: Callable[[], None] = lambda: None

    # --- topology

    def add_host(self, name: str, zone: str) -> Host:
        host = super().add_host(name, zone)
        self._cables[name] = MemoryConduit(f"cable of {name}", (zone, zone))
        return host

    def _make_conduit(
        self,
        name: str,
        zones: tuple[str, str],
        latency_ms: float,
        jitter_ms: float,
        bandwidth_kB_s: float | None,  # noqa: N803 (SI prefix)
    ) -> MemoryConduit:
        return MemoryConduit(name, zones, latency_ms, jitter_ms, bandwidth_kB_s)

    def cable(self, host_name: str) -> MemoryConduit:
        return self._cables[self.host(host_name).name]

    async def listen_address(self, host_name: str, port: int) -> Address:
        return self.host(host_name).name, port

    async def route(self, client_name: str, server_name: str, port: int) -> Address:
        self._path(self.host(client_name), self.host(server_name))
        return server_name, port

    def names_of(self, server_name: str) -> tuple[str, ...]:
        return (self.host(server_name).name,)

    def address_of(self, host: Host) -> str:
        """The host's address: 10.<zone>.x.y, counted in the order of adding."""
        number = list(self.hosts).index(host.name) + 1
        return f"10.{10 * (self.zones.index(host.zone) + 1)}.{number // 250}.{number % 250 + 1}"

    def _path(self, client: Host, server: Host) -> Path:
        if client is server:
            return Path(client, server, ())
        links = [self._cables[client.name], self._cables[server.name]]
        if client.zone != server.zone:
            conduit = self.conduit_between(client.zone, server.zone)
            if conduit is None:
                raise NetworkError(
                    f"{client.name} ({client.zone}) cannot reach {server.name} ({server.zone}): "
                    "no conduit joins the two zones; remedy: add_conduit, or a host between them"
                )
            links.insert(1, conduit)
        return Path(client, server, tuple(links))

    # --- life

    async def start(self) -> None:
        self.__enter__()

    async def close(self) -> None:
        self.__exit__()

    def __enter__(self) -> MemoryNetwork:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualLoop):
            raise NetworkError(
                "the network in memory needs virtual or paced time; remedy: shakedown.twin.clock.run, "
                "or WireNetwork on the wall clock"
            )
        if loop.network is not None:
            raise NetworkError("another network serves this loop already; remedy: close it first")
        self.loop = loop
        loop.network = self
        self._patch_paho()
        self._undo_opcua = memory_opcua.patch()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._paho is None:
            return  # never started, or closed already
        for listener in list(self._listeners.values()):
            listener.close()
        for connection in list(self.connections):
            connection.reset("the network was closed")
        self.loop.network = None
        for name, original in self._paho.items():
            setattr(paho.Client, name, original)
        self._paho = None
        self._undo_opcua()

    def _patch_paho(self) -> None:
        """paho makes its socket itself, in a method of its own that other transports replace, too."""
        network = self

        def create(client: paho.Client) -> MemorySocket:
            return network.open_socket(client._host, client._port, client._connect_timeout)

        def wrap(client: paho.Client, sock: MemorySocket) -> MemorySocket:
            return sock.wrap_tls(client._ssl_context, client._host)  # type: ignore[arg-type]

        replacements = {"_create_socket_connection": create, "_ssl_wrap_socket": wrap}
        self._paho = {name: paho.Client.__dict__[name] for name in replacements}
        for name, replacement in replacements.items():
            setattr(paho.Client, name, replacement)

    def _unplug(self, host: Host) -> None:
        for connection in list(self.connections):
            if connection.path.links and host in (connection.path.client, connection.path.server):
                connection.lose_an_end()

    def _plug(self, host: Host) -> None:
        """Nothing to do: what died stays dead, and the next attempt to connect finds the host again."""

    # --- evidence

    def record(self, when_ns: int, connection: int, up: bool, plain: bytes) -> None:
        """Enter a delivery into the trace."""
        self._trace.update(struct.pack("<qI?I", when_ns, connection, up, len(plain)))
        self._trace.update(plain)

    def trace_sha256(self) -> str:
        """SHA-256 over (virtual time, connection, direction, decoded plaintext) of everything delivered."""
        return self._trace.hexdigest()

    # --- names

    def _resolve(self, name: str | bytes | None) -> tuple[Host, bool]:
        """The host of a name or address as the running task sees it, and whether it was called loopback."""
        here = _here(f"look up {name!r}")
        if isinstance(name, bytes):  # as anyio asks, after IDNA
            name = name.decode("ascii")
        if name in _LOOPBACK or name in _ANY:
            return here, True
        host = self.hosts.get(name) or next(
            (host for host in self.hosts.values() if self.address_of(host) == name), None
        )
        if host is None:
            raise socket.gaierror(
                socket.EAI_NONAME, f"unknown host {name!r}; hosts are {', '.join(self.hosts) or 'none yet'}"
            )
        return host, False

    async def getaddrinfo(self, host: str | bytes | None, port: int | str | None) -> list[tuple[Any, ...]]:
        found, loopback = self._resolve(host)
        address = "127.0.0.1" if loopback else self.address_of(found)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, int(port or 0)))]

    # --- listening

    async def create_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: Any = None,
        port: int | None = None,
        *,
        ssl: ssl.SSLContext | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
        sock: Any = None,
        **_ignored: Any,
    ) -> Listener:
        """asyncio's `create_server`; OSError with EADDRINUSE or EADDRNOTAVAIL as a system would give."""
        if sock is not None:
            raise NotImplementedError(
                "create_server(sock=...) has no meaning in memory; remedy: host and port"
            )
        if isinstance(host, (list, tuple)):
            host = host[0]  # all addresses of a host are one here
        here, name = _here(f"listen on port {port}"), host
        owner, loopback = self._resolve(name)
        if owner is not here:
            raise OSError(errno.EADDRNOTAVAIL, f"{here.name} cannot listen on the address of {owner.name}")
        port = port or self._ephemeral_port(here)
        if (here.name, port) in self._listeners:
            raise OSError(errno.EADDRINUSE, f"port {port} of {here.name} is in use")
        loopback_only = loopback and name not in _ANY
        listener = self._listeners[here.name, port] = Listener(
            self.loop,
            self._unlisten,
            here,
            ("127.0.0.1" if loopback_only else self.address_of(here), port),
            loopback_only=loopback_only,
            context=copy_context(),
            protocol_factory=protocol_factory,
            tls=server_tls(ssl, ssl_handshake_timeout, ssl_shutdown_timeout),
        )
        if start_serving:
            await listener.start_serving()
        return listener

    def _unlisten(self, listener: Listener) -> None:
        key = (listener.host.name, listener.address[1])
        if self._listeners.get(key) is listener:
            del self._listeners[key]

    def _ephemeral_port(self, host: Host) -> int:
        """The next port of the host, round and round; reuse after 16384 is far enough apart."""
        count = self._ports.get(host.name, -1) + 1
        self._ports[host.name] = count
        return _EPHEMERAL_PORTS[count % len(_EPHEMERAL_PORTS)]

    # --- connecting

    async def create_connection(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        *,
        ssl: ssl.SSLContext | bool | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        sock: Any = None,
        **_ignored: Any,
    ) -> tuple[asyncio.BaseTransport, asyncio.BaseProtocol]:
        """asyncio's `create_connection`: gaierror, ConnectionRefusedError or TimeoutError when it fails."""
        if sock is not None:
            raise NotImplementedError(
                "create_connection(sock=...) has no meaning in memory; remedy: host and port"
            )
        path, loopback = self._dial(host, port)
        listener = await self._handshake(path, port, loopback)
        protocol = protocol_factory()
        if not ssl:
            transport = self._join(path, listener, protocol)
            transport.begin()
            return transport, protocol
        ready = self.loop.create_future()
        tls = TracedSSLProtocol(
            self.loop,
            protocol,
            None if ssl is True else ssl,
            ready,
            False,
            server_hostname if server_hostname is not None else host,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        app_transport = tls._app_transport
        transport = self._join(path, listener, tls)
        transport.context.run(transport.begin)
        try:
            await ready
        except BaseException:
            app_transport.close()
            raise
        return app_transport, protocol

    def open_socket(self, host: str, port: int, timeout_s: float) -> MemorySocket:
        """A non-blocking socket that is connecting; what can be refused at once is refused at once."""
        path, loopback = self._dial(host, port)
        if path.plugged and not path.latency_ns(True) and path.passes():
            self._knock(path, port, loopback)

        async def opener(protocol: Any, context: ssl.SSLContext | None, server_hostname: str | None) -> Any:
            return await self.create_connection(
                lambda: protocol, host, port, ssl=context, server_hostname=server_hostname
            )

        return MemorySocket(self.loop, opener, (host, port), timeout_s)

    def _dial(self, name: str | None, port: int | None) -> tuple[Path, bool]:
        here = _here(f"connect to {name}:{port}")
        server, loopback = self._resolve(name)
        try:
            return self._path(here, server), loopback
        except NetworkError as error:
            raise ConnectionRefusedError(errno.ECONNREFUSED, str(error)) from error

    async def _handshake(self, path: Path, port: int | None, loopback: bool) -> Listener:
        """SYN and SYN-ACK; retried after 1, 2, 4 ... s while the path is cut."""
        wait_ns = _SYN_TIMEOUT_NS
        for _ in range(self.syn_retries + 1):
            if path.passes() or path.link_down() is not None:
                await self._pass(path.latency_ns(True))
                listener = self._knock(path, port, loopback)
                await self._pass(path.latency_ns(False))
                if path.passes() and path.link_down() is None:
                    return listener
            await self._pass(wait_ns)
            wait_ns *= 2
        raise TimeoutError(errno.ETIMEDOUT, f"no answer from {path.server.name}:{port}")

    async def _pass(self, duration_ns: int) -> None:
        if duration_ns:
            arrived = self.loop.create_future()
            timer = self.loop.call_at_ns(self.loop.now_ns + duration_ns, _arrived, arrived)
            try:
                await arrived
            finally:
                timer.cancel()

    def _knock(self, path: Path, port: int | None, loopback: bool) -> Listener:
        """What the server's kernel answers to a SYN."""
        closed = path.link_down()
        if closed is not None:
            closed.counters.refused += 1
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"{closed.name} is down")
        listener = self._listeners.get((path.server.name, port or 0))
        if listener is None or not listener.is_serving() or (listener.loopback_only and not loopback):
            for link in path.links:
                link.counters.refused += 1
            raise ConnectionRefusedError(
                errno.ECONNREFUSED, f"nobody listens on port {port} of {path.server.name}"
            )
        return listener

    def _join(self, path: Path, listener: Listener, protocol: asyncio.BaseProtocol) -> MemoryTransport:
        """Put two ends together; the server's is accepted when the third packet of the handshake arrives."""
        self._connection_count += 1
        connection = Connection(self, self._connection_count, path)
        if path.links:
            client_name, server_name = self.address_of(path.client), self.address_of(path.server)
        else:
            client_name = server_name = "127.0.0.1"
        name = (client_name, self._ephemeral_port(path.client))
        peer = (server_name, listener.address[1])
        client = MemoryTransport(self.loop, copy_context(), protocol, name, peer)
        server = MemoryTransport(self.loop, listener.context.copy(), None, peer, name)
        server.accept_from(listener)
        connection.join(client, server)
        return client


def _arrived(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _here(what: str) -> Host:
    host = current_host.get()
    if host is None:
        raise NetworkError(f"cannot {what}: the task runs on no host; remedy: start it with host.spawn(...)")
    return host
