"""One client's network connection: keep-alive, back pressure, and which packet means what.

It stands where amqtt has its protocol handler. That one starts a task for each packet, ignores the keep-alive
and goes on after malformed packets; here packets are served in their order, in the connection's one task.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from asyncio import StreamWriter
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from amqtt.mqtt.packet import (
    DISCONNECT,
    PINGREQ,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBSCRIBE,
    UNSUBSCRIBE,
)

from shakedown.twin.enterprise.broker_limits import BrokerCounters, BrokerLimits
from shakedown.twin.enterprise.broker_packets import (
    MalformedPacket,
    Will,
    acknowledgement,
    decode,
    decode_packet_id,
    decode_publish,
)
from shakedown.twin.enterprise.broker_session import ClientSession

_PINGRESP = b"\xd0\x00"
_LINGER_0_S = struct.pack("ii", 1, 0)


def reset(transport: asyncio.WriteTransport) -> None:
    """End a connection as a dead process does: with RST, whatever is still unsent."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0_S)
    transport.abort()


class Broker(Protocol):
    """What a connection asks of the broker that has accepted it."""

    counters: BrokerCounters
    limits: BrokerLimits

    def take(self, session: ClientSession, topic: str, payload: bytes, qos: int, retain: bool) -> None: ...
    async def subscribe(self, connection: Connection, packet_id: int, topics: Any) -> None: ...
    async def unsubscribe(self, connection: Connection, packet_id: int, topics: Any) -> None: ...
    def ended(self, connection: Connection) -> None: ...


class Connection:
    """A connection from its accepted CONNECT to its end."""

    def __init__(
        self,
        broker: Broker,
        session: ClientSession,
        will: Will | None,
        packets: AsyncIterator[tuple[int, int, bytes]],
        writer: StreamWriter,
    ) -> None:
        self.session = session
        self.will = will
        self.ended = False
        self._broker = broker
        self._packets = packets
        self._writer = writer
        self._transport = writer.transport
        self._transport.set_write_buffer_limits(high=broker.limits.write_buffer_bytes_max)
        self._loop = asyncio.get_running_loop()
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._drained_task: asyncio.Task[None] | None = None
        self._heard_s = self._loop.time()
        self._keep_alive_timer: asyncio.TimerHandle | None = None

    def watch(self, keep_alive_s: int) -> None:
        """Enforce the keep-alive: 1.5 times it in silence is a failed network [MQTT-3.1.2-24]."""
        if keep_alive_s:
            self._watch(1.5 * keep_alive_s)

    def _watch(self, silence_s: float) -> None:
        due_s = self._heard_s + silence_s
        if due_s <= self._loop.time():
            self._broker.counters.keep_alive_expired += 1
            self.fail()
        else:
            self._keep_alive_timer = self._loop.call_at(due_s, self._watch, silence_s)

    async def serve(self) -> None:
        """Serve packets until the connection ends; what the client does wrong ends this connection only."""
        session = self.session
        async for kind, flags, body in self._packets:
            if self.ended:
                return  # what is still in the buffers of an ended connection is lost with it
            self._heard_s = self._loop.time()
            if kind == PUBLISH:
                self._publish(flags, body)
            elif kind in (PUBACK, PUBREC, PUBCOMP):
                packet_id = decode_packet_id(body)
                session.acknowledged(kind, packet_id)
                if kind == PUBREC:
                    self.write(acknowledgement(PUBREL, packet_id))  # [MQTT-4.3.3-1]
            elif kind == PUBREL:
                packet_id = decode_packet_id(body)
                session.released(packet_id)
                self.write(acknowledgement(PUBCOMP, packet_id))  # also if it is not known any more
            elif kind == PINGREQ:
                self.write(_PINGRESP)
            elif kind in (SUBSCRIBE, UNSUBSCRIBE):
                packet = await decode(kind, flags, body)
                act = self._broker.subscribe if kind == SUBSCRIBE else self._broker.unsubscribe
                await act(self, packet.variable_header.packet_id, packet.payload.topics)
            elif kind == DISCONNECT:
                self.will = None  # [MQTT-3.14.4-3]
                return
            else:
                raise MalformedPacket("[MQTT-3.1.0-2] a second CONNECT")
            if self.congested:
                await self._drain()

    def _publish(self, flags: int, body: bytes) -> None:
        publish = decode_publish(flags, body)
        broker, session = self._broker, self.session
        topic, payload, qos, retain, dup, packet_id = publish
        if qos == 1:
            broker.counters.duplicates += dup
            broker.take(session, topic, payload, 1, retain)
            self.write(acknowledgement(PUBACK, packet_id))
        elif qos == 0:
            broker.take(session, topic, payload, 0, retain)
        else:
            if session.first_receipt(packet_id):
                broker.take(session, topic, payload, 2, retain)
            self.write(acknowledgement(PUBREC, packet_id))

    @property
    def congested(self) -> bool:
        """Whether the client takes its bytes so slowly that no more may be buffered for it."""
        if self._transport.is_closing():
            return False  # what is written now is lost, not buffered
        limit = self._broker.limits.write_buffer_bytes_max
        return self._unsent_bytes + self._transport.get_write_buffer_size() > limit

    def write(self, data: bytes) -> None:
        """Send `data` in this turn of the event loop, together with all else of this turn."""
        if self.ended:
            return
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(data)
        self._unsent_bytes += len(data)

    def _flush(self) -> None:
        if self._unsent and not self._transport.is_closing():
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()
        self._unsent_bytes = 0

    def call_when_drained(self, callback: Callable[[], None]) -> None:
        """Call `callback` once the client has taken what is buffered for it; one such wait at a time."""
        if self._drained_task is None or self._drained_task.done():
            self._drained_task = self._loop.create_task(self._drain_and_call(callback))

    async def _drain_and_call(self, callback: Callable[[], None]) -> None:
        await self._drain()
        self._drained_task = None
        callback()

    async def _drain(self) -> None:
        self._flush()
        with contextlib.suppress(OSError):  # the reading side sees the same and ends the connection
            await self._writer.drain()

    def fail(self) -> None:
        """End as if the network had failed: at once, and the will goes out."""
        self._transport.abort()
        self._end()

    def close(self) -> None:
        """End after the last bytes are sent; publishes the will unless a DISCONNECT has removed it."""
        if self.ended:
            return
        self._flush()
        if not self._transport.is_closing():
            if self._transport.get_write_buffer_size():
                self._loop.call_later(self._broker.limits.close_timeout_s, self._transport.abort)
            self._transport.close()
        self._end()

    def _end(self) -> None:
        if self.ended:
            return
        self.ended = True
        for timer in (self._keep_alive_timer, self._drained_task):
            if timer is not None:
                timer.cancel()
        self._broker.ended(self)
