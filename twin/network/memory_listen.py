"""Listening in memory: the server object that asyncio's `create_server` returns."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextvars import Context
from typing import Any

from shakedown.twin.network.memory_transport import Address, SocketInfo
from shakedown.twin.network.model import Host


class Listener(asyncio.AbstractServer):
    """A bound port of a host; what is accepted runs in a copy of the context that called `create_server`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        unlisten: Callable[[Listener], None],
        host: Host,
        address: Address,
        *,
        loopback_only: bool,
        context: Context,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        tls: dict[str, Any] | None,
    ) -> None:
        self._loop = loop
        self._unlisten = unlisten
        self.host = host
        self.address = address
        self.loopback_only = loopback_only
        self.context = context
        self.protocol_factory = protocol_factory
        self.tls = tls
        self._serving = False
        self._closed: asyncio.Future[None] = loop.create_future()

    @property
    def sockets(self) -> tuple[SocketInfo, ...]:
        return (SocketInfo(self.address, None),) if self._serving else ()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def is_serving(self) -> bool:
        return self._serving

    async def start_serving(self) -> None:
        self._serving = True

    async def serve_forever(self) -> None:
        self._serving = True
        try:
            await asyncio.shield(self._closed)
        finally:
            self.close()

    def close(self) -> None:
        """Stop listening; accepted connections go on."""
        self._serving = False
        self._unlisten(self)
        if not self._closed.done():
            self._closed.set_result(None)

    async def wait_closed(self) -> None:
        """Return when the port is closed; does not wait for accepted connections."""
        await asyncio.shield(self._closed)

    async def __aenter__(self) -> Listener:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()


def server_tls(
    context: ssl.SSLContext | None, handshake_timeout_s: float | None, shutdown_timeout_s: float | None
) -> dict[str, Any] | None:
    """The keyword arguments of a server's SSLProtocol, None without TLS."""
    if context is None:
        return None
    if not isinstance(context, ssl.SSLContext):
        raise TypeError("ssl argument must be an SSLContext or None")
    return {
        "sslcontext": context,
        "ssl_handshake_timeout": handshake_timeout_s,
        "ssl_shutdown_timeout": shutdown_timeout_s,
    }
