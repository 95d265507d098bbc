"""The non-blocking socket that paho gets instead of a real one."""

from __future__ import annotations

import asyncio
import errno
import selectors
import socket
import ssl
from asyncio import protocols, sslproto
from collections.abc import Awaitable, Callable
from typing import Any

from shakedown.twin.clock import VirtualLoop
from shakedown.twin.network.memory_transport import Address, SocketInfo

_READ_AHEAD_BYTES = 256 * 1024
_EARLY_BYTES = 64 * 1024

Opener = Callable[[protocols.Protocol, ssl.SSLContext | None, str | None], Awaitable[Any]]


class MemorySocket(protocols.Protocol):
    """A connected-looking stream socket over an in-memory transport, pollable by the virtual loop.

    paho connects in a blocking call, which virtual time cannot serve, so `connect` returns at once, as a
    non-blocking connect does: the handshakes (TCP, then TLS) go on in the loop, what is sent meanwhile waits (at most
    64 kB), and a failure is raised by the next `recv` or `send`, after `timeout_s` at the latest.
    """

    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(self, loop: VirtualLoop, opener: Opener, address: Address, timeout_s: float) -> None:
        self._loop = loop
        self._opener = opener
        self._address = address
        self._timeout_s = timeout_s
        self._tls: tuple[ssl.SSLContext, str | None] | None = None
        self._transport: Any = None
        self._received = bytearray()
        self._early = bytearray()
        self._eof = False
        self._closed = False
        self._error: OSError | None = None
        self._writable = True
        self._fd = loop.descriptors.open(self)
        self._task = loop.create_task(self._open(), name=f"connect to {address[0]}:{address[1]}")

    async def _open(self) -> None:
        context, server_hostname = self._tls or (None, None)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._opener(self, context, server_hostname)
        except OSError as error:  # refused, timed out, TLS refused
            self._fail(error)

    def wrap_tls(self, context: ssl.SSLContext, server_hostname: str | None) -> MemorySocket:
        """Speak TLS on this socket; to be called before the loop turns."""
        self._tls = (context, server_hostname)
        return self

    # --- the socket's interface

    def fileno(self) -> int:
        return -1 if self._closed else self._fd

    def recv(self, size: int) -> bytes:
        """Bytes, b"" at the end; BlockingIOError when there are none yet, OSError when the connection broke."""
        if not self._received:
            if self._error is not None:
                raise self._error
            if self._eof:
                return b""
            raise BlockingIOError(errno.EWOULDBLOCK, "no bytes yet")
        data = bytes(self._received[:size])
        del self._received[:size]
        if self._transport is not None and len(self._received) < _READ_AHEAD_BYTES:
            self._transport.resume_reading()
        return data

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """Hand over bytes; BlockingIOError when the connection takes none now, OSError when it broke."""
        if self._error is not None:
            raise self._error
        if self._closed:
            raise OSError(errno.EBADF, "the socket is closed")
        if not self._can_write():
            raise BlockingIOError(errno.EWOULDBLOCK, "the send buffer is full")
        if self._transport is None:
            taken = bytes(data)[: _EARLY_BYTES - len(self._early)]
            self._early += taken
            return len(taken)
        if self._transport.is_closing():
            raise BrokenPipeError(errno.EPIPE, "the connection is closed")
        self._transport.write(bytes(data))
        return len(data)

    def pending(self) -> int:
        """Bytes that `recv` gives at once, as of `ssl.SSLSocket.pending`: aiomqtt then reads on in the same turn."""
        return len(self._received)

    def setblocking(self, flag: bool) -> None:
        if flag:
            raise NotImplementedError("an in-memory socket never blocks; remedy: drive it from the loop")

    def settimeout(self, value: float | None) -> None:
        self.setblocking(value is None)

    def shutdown(self, how: int) -> None:
        if self._transport is not None and how in (socket.SHUT_WR, socket.SHUT_RDWR):
            self._transport.close()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._loop.descriptors.forget(self._fd)
        self._task.cancel()
        if self._transport is not None:
            self._transport.close()

    def getpeername(self) -> Address:
        if self._transport is None:
            raise OSError(errno.ENOTCONN, "not connected yet")
        address: Address = self._transport.get_extra_info("peername")
        return address

    def getsockname(self) -> Address:
        return self._transport.get_extra_info("sockname") if self._transport is not None else ("0.0.0.0", 0)

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        if self._transport is not None:
            info: SocketInfo = self._transport.get_extra_info("socket")
            info.setsockopt(level, option, value)

    # --- what the loop asks

    def ready_events(self) -> int:
        broken = self._error is not None or self._eof
        readable = selectors.EVENT_READ if self._received or broken else 0
        writable = selectors.EVENT_WRITE if broken or self._can_write() else 0
        return readable | writable

    def _can_write(self) -> bool:
        return self._writable if self._transport is not None else len(self._early) < _EARLY_BYTES

    # --- what the transport tells

    def connection_made(self, transport: Any) -> None:
        if self._closed:
            transport.close()
            return
        self._transport = transport
        if self._early:
            transport.write(bytes(self._early))
            self._early.clear()
        self._loop.descriptors.touch(self._fd)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) >= _READ_AHEAD_BYTES:
            self._transport.pause_reading()
        self._loop.descriptors.touch(self._fd)

    def eof_received(self) -> bool:
        self._eof = True
        self._loop.descriptors.touch(self._fd)
        return not isinstance(self._transport, sslproto._SSLProtocolTransport)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._loop.descriptors.touch(self._fd)

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, OSError):
            self._fail(exc)
        self._eof = True
        self._loop.descriptors.touch(self._fd)

    def _fail(self, error: OSError) -> None:
        self._error = error
        self._loop.descriptors.touch(self._fd)
