"""One end of an in-memory connection, as asyncio and the protocols above it know a transport."""

from __future__ import annotations

import asyncio
import socket
import struct
from asyncio import protocols, transports
from collections.abc import Callable, Iterable
from contextvars import Context
from typing import Any, Protocol

from shakedown.twin.clock import VirtualLoop
from shakedown.twin.network.memory_opcua import Carrying
from shakedown.twin.network.memory_tcp import FIN, Flow, Item
from shakedown.twin.network.memory_tls import TracedSSLProtocol

Address = tuple[str, int]

_HIGH_WATER_BYTES = 64 * 1024


class Listening(Protocol):
    """A port that takes connections, and what it makes of one."""

    protocol_factory: Callable[[], asyncio.BaseProtocol]
    tls: dict[str, Any] | None

    def is_serving(self) -> bool: ...


class SocketInfo:
    """What `get_extra_info("socket")` answers: enough of a socket for those who ask it for names or set options."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(self, name: Address, peer: Address | None, transport: MemoryTransport | None = None) -> None:
        self._name = name
        self._peer = peer
        self._transport = transport

    def getsockname(self) -> Address:
        return self._name

    def getpeername(self) -> Address:
        if self._peer is None:
            raise OSError("a listening socket has no peer")
        return self._peer

    def fileno(self) -> int:
        return -1

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """SO_LINGER with zero seconds makes the close a reset; every other option is taken and ignored."""
        if self._transport is not None and (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER):
            self._transport.resets_on_close = struct.unpack("ii", value) == (1, 0)  # type: ignore[arg-type]

    def getsockopt(self, level: int, option: int) -> int:
        return 0


class MemoryTransport(transports.Transport):
    """A transport over a `Flow` each way; its callbacks run in `context`, the one of its host."""

    def __init__(
        self,
        loop: VirtualLoop,
        context: Context,
        protocol: asyncio.BaseProtocol | None,
        name: Address,
        peer: Address,
    ) -> None:
        super().__init__({"sockname": name, "peername": peer, "socket": SocketInfo(name, peer, self)})
        self.loop = loop
        self.context = context
        self._name = name
        self._peer = peer
        self.flow: Flow
        self.is_gone = False
        self.resets_on_close = False
        self._listener: Listening | None = None
        self._protocol = protocol
        self._buffered = isinstance(protocol, protocols.BufferedProtocol)
        self._connected = False
        self._closing = False
        self._eof_written = False
        self._reading_paused = False
        self._writing_paused = False
        self._unread: list[Item] = []
        self._high_water = _HIGH_WATER_BYTES
        self._low_water = _HIGH_WATER_BYTES // 4

    # --- asyncio's interface

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if type(data) is Carrying:
            self.write_carrying(data, data.plain)
            return
        plain = data if type(data) is bytes else bytes(data)
        self.write_carrying(plain, plain)

    def write_carrying(self, wire: bytes, plain: bytes) -> None:
        """Write bytes that carry `plain` (TLS, OPC UA): price and trace are those of the plaintext."""
        if self._eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not wire or self._closing:
            return
        self.flow.send(wire, plain)
        if not self._writing_paused and self.flow.unsent_bytes > self._high_water:
            self._writing_paused = True
            self._protocol.pause_writing()  # type: ignore[union-attr]

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._closing and not self._eof_written:
            self._eof_written = True
            self.flow.send(*FIN)

    def close(self) -> None:
        """Close in order: what was written still goes out, then FIN."""
        if self._closing:
            return
        if self.resets_on_close:
            self.abort()
            return
        self._closing = True
        if not self._eof_written:
            self.flow.send(*FIN)
        if not self.flow.unsent_bytes:
            self._end_soon(None)

    def abort(self) -> None:
        """Close at once; what the kernel has taken still goes out, unless SO_LINGER says to reset."""
        self._force_close(None)

    def _force_close(self, exc: BaseException | None) -> None:
        if self.is_gone:
            return
        self.flow.drop_unsent()
        if self.resets_on_close:
            self.flow.reset_peer()
        elif not self._closing and not self._eof_written:
            self.flow.send(*FIN)
        self._closing = True
        self._end_soon(exc)

    def is_closing(self) -> bool:
        return self._closing

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol  # type: ignore[return-value]

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol
        self._buffered = isinstance(protocol, protocols.BufferedProtocol)

    def is_reading(self) -> bool:
        return not self._reading_paused and not self._closing

    def pause_reading(self) -> None:
        self._reading_paused = True

    def resume_reading(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            if self._unread:
                self.loop.call_soon(self._read_on, context=self.context)

    def get_write_buffer_size(self) -> int:
        return self.flow.unsent_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low_water, self._high_water

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = _HIGH_WATER_BYTES if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high_water, self._low_water = high, low
        self.buffer_shrank()

    # --- called by the flows and by the connection

    def begin(self) -> None:
        """Tell the protocol that the connection is there; runs in this end's context."""
        self._connected = True
        self._protocol.connection_made(self)  # type: ignore[union-attr]

    def accept_from(self, listener: Listening) -> None:
        """This is the server's end: the protocol is made when the first packet arrives."""
        self._listener = listener

    def _accept(self) -> None:
        listener, self._listener = self._listener, None
        if listener is None or not listener.is_serving():
            self.resets_on_close = True
            self._force_close(None)
            return
        protocol = listener.protocol_factory()
        if listener.tls is not None:
            protocol = TracedSSLProtocol(self.loop, protocol, waiter=None, server_side=True, **listener.tls)
        self.set_protocol(protocol)
        self.begin()

    def arrived(self, item: Item) -> None:
        """Bytes or a FIN are here; runs in this end's context."""
        if self._protocol is None and not self.is_gone:
            self._guarded(self._accept)
        if self._reading_paused or self._unread:
            self._unread.append(item)
        else:
            self._take(item)

    def arrived_soon(self, item: Item) -> None:
        self.loop.call_soon(self.arrived, item, context=self.context)

    def fail_soon(self, error: OSError) -> None:
        self.loop.call_soon(self.fail, error, context=self.context)

    def fail(self, error: OSError) -> None:
        """The connection is broken; idempotent."""
        if not self.is_gone:
            self.flow.stop()
            self._unread.clear()
            self._closing = True
            self._end_soon(error)

    def buffer_shrank(self) -> None:
        """The kernel took bytes of the write buffer."""
        if self._writing_paused and self.flow.unsent_bytes <= self._low_water:
            self._writing_paused = False
            self._protocol.resume_writing()  # type: ignore[union-attr]
        if self._closing and not self.is_gone and not self.flow.unsent_bytes:
            self._end_soon(None)

    # --- inside

    def _read_on(self) -> None:
        while self._unread and not self._reading_paused:
            self._take(self._unread.pop(0))

    def _take(self, item: Item) -> None:
        wire, plain = item
        if self._closing:
            return
        if wire is None:
            self._guarded(self._take_eof)
        elif wire:
            self._guarded(self._take_bytes, wire)
            if plain:
                self._back_flow().taken(len(plain))

    def _take_eof(self) -> None:
        if not self._protocol.eof_received():  # type: ignore[union-attr]
            self.close()

    def _take_bytes(self, wire: bytes) -> None:
        if self._buffered:
            protocols._feed_data_to_buffered_proto(self._protocol, wire)  # type: ignore[attr-defined]
        else:
            self._protocol.data_received(wire)  # type: ignore[union-attr]

    def _guarded(self, callback: Callable[..., None], *args: Any) -> None:
        """As asyncio's own transports do: what a protocol raises is reported, and ends its connection."""
        try:
            callback(*args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._report(error)
            self._force_close(error)

    def _back_flow(self) -> Flow:
        connection = self.flow.connection
        return connection.down if self.flow.is_up else connection.up

    def _report(self, error: BaseException) -> None:
        self.loop.call_exception_handler(
            {
                "message": "Fatal error: protocol callback failed.",
                "exception": error,
                "transport": self,
                "protocol": self._protocol,
            }
        )

    def _end_soon(self, error: BaseException | None) -> None:
        """Tell the protocol, once, on the next turn."""
        if not self.is_gone:
            self.is_gone = True
            self.loop.call_soon(self._end, error, context=self.context)

    def _end(self, error: BaseException | None) -> None:
        if self._back_flow().receiver.is_gone and self._back_flow().sender.is_gone:
            self.flow.connection.leave()
        if self._connected:
            self._protocol.connection_lost(error)  # type: ignore[union-attr, arg-type]

    def __repr__(self) -> str:
        return f"<MemoryTransport {self._name} -> {self._peer}>"
