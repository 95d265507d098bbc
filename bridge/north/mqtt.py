"""One MQTT 3.1.1 connection: paho as the protocol machine, asyncio as the transport.

paho's threads, sockets, queue and reconnect are not used: each connection has a fresh client over an asyncio transport,
so that connecting never blocks, back pressure is seen, TLS is asyncio's own, and no Will or message of an earlier
connection can come back.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
import time
from collections.abc import Callable
from typing import Any, Protocol

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from shakedown.bridge.core.events import Publish

CONNECT_TIMEOUT_S = 5.0
"""TCP connect and TLS handshake together; the system's own retries grow longer than a healed network should wait."""

PACKET_BYTES_MAX = 1 << 20
"""Largest packet that is accepted from the broker."""

WRITE_BUFFER_BYTES_MAX = 64 * 1024
"""Unsent bytes beyond which the connection says that it is blocked."""


class Handler(Protocol):
    """Who owns a connection. Called from the event loop, never from inside paho."""

    def connected(self) -> None: ...
    def subscribed(self, granted: tuple[int, ...]) -> None: ...
    def received(self, topic: str, payload: bytes, is_retained: bool) -> None: ...
    def acknowledged(self, mid: int) -> None: ...
    def writable(self) -> None: ...
    def lost(self, reason: str) -> None: ...


class _Client(paho.Client):
    """paho over a given transport."""

    wire: MqttConnection

    def _create_socket(self) -> Any:
        return self.wire

    def _do_on_publish(self, mid: int, reason_code: Any, properties: Any) -> MQTTErrorCode:
        """Called for a PUBACK. paho's own `on_publish` would also be called for each QoS 0 message written."""
        self.wire.puback(mid)
        return super()._do_on_publish(mid, reason_code, properties)

    def incoming_bytes(self) -> int:
        """Bytes still missing of the packet that is being received."""
        return int(self._in_packet["to_process"])


class MqttConnection(asyncio.Protocol):
    """A connection from CONNECT to its end; it is never used twice.

    It is also what paho takes for a socket: `recv`, `send`, `close`.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        client_id: str,
        keep_alive_s: int,
        will: Publish,
        user: tuple[str, str] | None = None,
    ) -> None:
        self.heard_s = time.monotonic()
        self.is_blocked = False
        self._handler: Handler | None = handler
        self._keep_alive_s = keep_alive_s
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._inbox: list[Callable[[Handler], None]] = []
        self._refusal = ""
        self._client = client = _Client(
            CallbackAPIVersion.VERSION2, client_id, clean_session=True, reconnect_on_failure=False
        )
        client.wire = self
        client.suppress_exceptions = False
        if user is not None:
            client.username_pw_set(*user)
        client.will_set(will.topic, will.payload, will.qos, will.retain)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message

    async def open(
        self, host: str, port: int, *, tls: ssl.SSLContext | None = None, server_name: str | None = None
    ) -> None:
        """Connect and send CONNECT; the handler hears of everything after it. Raises OSError, TimeoutError."""
        loop = asyncio.get_running_loop()
        name = server_name if tls else None
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await loop.create_connection(lambda: self, host, port, ssl=tls, server_hostname=name)
        if self._handler is not None:
            self._client.connect(host, port, self._keep_alive_s)

    def publish(self, message: Publish) -> int:
        """Send PUBLISH; returns its packet identifier (QoS 1: `acknowledged` will name it)."""
        return self._client.publish(message.topic, message.payload, message.qos, message.retain).mid

    def subscribe(self, filters: tuple[tuple[str, int], ...]) -> None:
        self._client.subscribe(list(filters))

    def keep_alive(self) -> None:
        """Let paho send PINGREQ when it is due; call it about once a second."""
        if self._transport is not None:
            self._client.loop_misc()

    def disconnect(self) -> None:
        """Send DISCONNECT behind everything else, then close; `lost` follows."""
        if self._transport is None or self._client.disconnect() != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._end("disconnected")

    def abort(self) -> None:
        """Close at once without DISCONNECT; the handler hears nothing more."""
        self._handler = None
        if self._transport is not None:
            self._transport.abort()

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.heard_s = time.monotonic()
        if self._handler is None:
            transport.abort()
            return
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES_MAX)

    def data_received(self, data: bytes) -> None:
        self.heard_s = time.monotonic()
        self._buffer += data
        fault = ""
        while self._buffer and not fault:
            try:
                code = self._client.loop_read()
            except (struct.error, ValueError, IndexError, KeyError, TypeError) as error:
                fault = f"the broker sent a malformed packet: {error}"
                break
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
                fault = self._refusal or paho.error_string(code)
            elif self._client.incoming_bytes() > PACKET_BYTES_MAX:
                fault = f"the broker sends a packet larger than {PACKET_BYTES_MAX:,} bytes"
            self._deliver()
        if fault:
            self._deliver()
            self._end(fault)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._end(str(error) if error else "closed by the broker")

    def pause_writing(self) -> None:
        self.is_blocked = True

    def resume_writing(self) -> None:
        self.is_blocked = False
        if self._handler is not None:
            self._handler.writable()

    # ---- what paho takes for a socket

    def recv(self, size: int) -> bytes:
        if not self._buffer:
            raise BlockingIOError
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def send(self, data: bytes | bytearray) -> int:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the connection is closed")
        self._transport.write(data)
        return len(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def setblocking(self, flag: bool) -> None:
        """asyncio's transports never block."""

    def fileno(self) -> int:
        return -1

    # ---- paho's callbacks: kept until paho has returned

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._refusal = f"the broker refuses the connection: {reason}"
        else:
            self._inbox.append(lambda handler: handler.connected())

    def _on_subscribe(self, client: Any, userdata: Any, mid: int, reasons: Any, properties: Any) -> None:
        granted = tuple(int(reason.value) for reason in reasons)
        self._inbox.append(lambda handler: handler.subscribed(granted))

    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:
        topic, payload, is_retained = message.topic, bytes(message.payload), bool(message.retain)
        self._inbox.append(lambda handler: handler.received(topic, payload, is_retained))

    def puback(self, mid: int) -> None:
        self._inbox.append(lambda handler: handler.acknowledged(mid))

    def _deliver(self) -> None:
        while self._inbox and self._handler is not None:
            self._inbox.pop(0)(self._handler)

    def _end(self, reason: str) -> None:
        handler, self._handler = self._handler, None
        if self._transport is not None:
            self._transport.abort()
        if handler is not None:
            handler.lost(reason)
