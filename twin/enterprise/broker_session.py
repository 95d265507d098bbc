"""A client's session: what is in flight, what waits, and what happens when the connection goes and comes.

amqtt keeps one task and one 5 s timer for each message on its way and forgets the message when the timer or the
connection ends. Here the message stays in the session's `inflight_out` until it is acknowledged
[MQTT-4.3.2-1], and is sent again with DUP when the client comes back [MQTT-4.4.0-1] [MQTT-3.3.1-1].
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from amqtt.mqtt.packet import PUBACK, PUBREC, PUBREL
from amqtt.session import OutgoingApplicationMessage, Session

from shakedown.twin.enterprise.broker_limits import BrokerCounters, BrokerLimits
from shakedown.twin.enterprise.broker_packets import acknowledgement, encode_publish

# Who a client is may change with each of its connections; the state of its session does not.
_IDENTITY = (
    "username",
    "password",
    "remote_address",
    "remote_port",
    "ssl_object",
    "keep_alive",
    "is_anonymous",
)


class Publication:
    """A message on its way to any number of subscribers; encoded once for all that take it at QoS 0."""

    __slots__ = ("_wire", "payload", "topic")

    def __init__(self, topic: str, payload: bytes) -> None:
        self.topic = topic
        self.payload = payload
        self._wire: bytes | None = None

    def encode(self, retain: bool) -> bytes:
        if retain:
            return encode_publish(self.topic.encode(), self.payload, 0, True, False, 0)
        if self._wire is None:
            self._wire = encode_publish(self.topic.encode(), self.payload, 0, False, False, 0)
        return self._wire


class Outlet(Protocol):
    """The connection of a session, as far as messages go out by it."""

    @property
    def congested(self) -> bool: ...
    def write(self, packet: bytes) -> None: ...
    def call_when_drained(self, callback: Callable[[], None]) -> None: ...


class ClientSession(Session):
    """amqtt's session with a bounded queue, a bounded in-flight window and the connection it has, if any."""

    def __init__(self, incoming: Session, limits: BrokerLimits, counters: BrokerCounters) -> None:
        super().__init__()
        self.client_id = incoming.client_id
        self.clean_session = incoming.clean_session
        self.filters: dict[str, None] = {}
        self.connection: Outlet | None = None
        self._limits = limits
        self._counters = counters
        self._queue: deque[tuple[Publication, int, bool]] = deque()
        self._queued_bytes = 0

    def __len__(self) -> int:
        """Messages of QoS 1 and 2 that have not been acknowledged yet."""
        return len(self._queue) + len(self.inflight_out)

    def __bool__(self) -> bool:
        return True

    def attach(self, connection: Outlet, incoming: Session) -> None:
        """Go on over `connection`: first what was in flight, in its old order [MQTT-4.6.0-1], then the queue."""
        for name in _IDENTITY:
            setattr(self, name, getattr(incoming, name))
        self.connection = connection
        for packet_id, message in self.inflight_out.items():
            if message.pubrec_packet:
                connection.write(acknowledgement(PUBREL, packet_id))
            else:
                connection.write(_encode(message, dup=True))
                self._counters.redelivered += 1
        self.pump()

    def deliver(self, publication: Publication, qos: int, retain: bool = False) -> None:
        """Send at QoS `qos`, or keep, or drop at a bound (counted)."""
        connection = self.connection
        if qos == 0:
            if connection is None:
                self._counters.dropped["offline"] += 1
            elif connection.congested:
                self._counters.dropped["slow_consumer"] += 1
            else:
                connection.write(publication.encode(retain))
                self._counters.delivered += 1
        elif len(self._queue) >= self._limits.queue_max or self._queued_bytes >= self._limits.queue_bytes_max:
            self._counters.dropped["queue_full"] += 1
        else:
            self._queue.append((publication, qos, retain))
            self._queued_bytes += len(publication.payload)
            self.pump()

    def pump(self) -> None:
        """Send from the queue while the in-flight window and the connection have room."""
        connection = self.connection
        if connection is None:
            return
        while self._queue and len(self.inflight_out) < self._limits.inflight_max:
            if connection.congested:
                connection.call_when_drained(self.pump)
                return
            publication, qos, retain = self._queue.popleft()
            self._queued_bytes -= len(publication.payload)
            packet_id = self.next_packet_id
            message = OutgoingApplicationMessage(
                packet_id, publication.topic, qos, publication.payload, retain
            )
            self.inflight_out[packet_id] = message
            connection.write(_encode(message, dup=False))
            self._counters.delivered += 1

    def acknowledged(self, kind: int, packet_id: int) -> None:
        """Take PUBACK, PUBREC or PUBCOMP from the client; one for an unknown identifier is harmless."""
        message = self.inflight_out.get(packet_id)
        if message is None or (message.qos == 1) != (kind == PUBACK):
            return
        if kind == PUBREC:
            message.pubrec_packet = True
        else:
            del self.inflight_out[packet_id]
            self.pump()

    def first_receipt(self, packet_id: int) -> bool:
        """Whether a QoS 2 PUBLISH is new: it is until its PUBREL came [MQTT-4.3.3-2]."""
        if packet_id in self.inflight_in:
            return False
        self.inflight_in[packet_id] = None
        return True

    def released(self, packet_id: int) -> None:
        """Take PUBREL from the client."""
        self.inflight_in.pop(packet_id, None)


def _encode(message: OutgoingApplicationMessage, dup: bool) -> bytes:
    return encode_publish(
        message.topic.encode(), message.data, message.qos, message.retain, dup, message.packet_id
    )
