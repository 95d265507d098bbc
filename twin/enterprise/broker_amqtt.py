"""amqtt's broker with the clauses of MQTT 3.1.1 restored that it breaks.

From amqtt come the listeners, the life cycle, the plugins, authentication and topic filtering, the tables of
sessions, subscriptions and retained messages, the matching of topics and the codecs. Replaced is the way of a
message: amqtt passes it through three queues and two tasks for each subscriber, none of them bounded; here it is
taken from its packet to its subscribers in one step. docs/upstream.md lists each defect.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable

import amqtt
from amqtt.adapters import BufferReader, StreamWriterAdapter
from amqtt.broker import Broker, RetainedApplicationMessage
from amqtt.contexts import BrokerConfig, ListenerConfig
from amqtt.errors import AMQTTError, MQTTError
from amqtt.mqtt.connack import (
    IDENTIFIER_REJECTED,
    NOT_AUTHORIZED,
    SERVER_UNAVAILABLE,
    UNACCEPTABLE_PROTOCOL_VERSION,
    ConnackPacket,
)
from amqtt.mqtt.packet import CONNECT
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.mqtt.suback import SubackPacket
from amqtt.mqtt.unsuback import UnsubackPacket
from amqtt.session import Session

from shakedown.twin.clock import now_ns
from shakedown.twin.enterprise.broker_access import Access
from shakedown.twin.enterprise.broker_connection import Connection, reset
from shakedown.twin.enterprise.broker_limits import BrokerCounters, BrokerLimits
from shakedown.twin.enterprise.broker_packets import (
    MalformedPacket,
    Will,
    decode_connect,
    read_packets,
)
from shakedown.twin.enterprise.broker_session import ClientSession, Publication
from shakedown.twin.enterprise.errors import LabServiceError
from shakedown.twin.enterprise.server_tls import report_refusals

OnAccept = Callable[[int, str, str, bytes, int, bool], None]
OnRefuse = Callable[[int, str, str, str, str], None]
Retained = dict[str, RetainedApplicationMessage]

_AMQTT_VERSION = "0.12."
_LISTENER = "default"
_REFUSED = 0x80
_PROTOCOL_3_1_1 = b"\x00\x04MQTT\x04"


class _Refused(Exception):
    """A CONNECT that is answered with a return code and closed."""


class CorrectedBroker(Broker):
    """One life of the broker, from its start to its stop or crash."""

    def __init__(
        self,
        address: str,
        port: int,
        tls: ssl.SSLContext | None,
        on_accept: OnAccept | None,
        limits: BrokerLimits,
        counters: BrokerCounters,
        *,
        access: Access,
        on_refuse: OnRefuse | None,
        retained: Retained,
    ) -> None:
        if not amqtt.__version__.startswith(_AMQTT_VERSION):
            raise LabServiceError(
                f"embedded broker: its corrections fit amqtt {_AMQTT_VERSION}x and this is {amqtt.__version__}; "
                "install amqtt>=0.12.1,<0.13"
            )
        super().__init__(
            BrokerConfig(
                listeners={_LISTENER: ListenerConfig(bind=f"{address}:{port}")},
                plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            )
        )
        # What amqtt would log is raised or counted here.
        self.logger = logging.getLogger(f"{__name__}.base")
        self.logger.setLevel(logging.CRITICAL + 1)
        self.limits = limits
        self.counters = counters
        self._bind = (address, port)
        self._tls = tls
        self._access = access
        self._on_refuse = on_refuse
        if tls is not None:
            report_refusals(tls, lambda reason: self._count_refusal("tls", "", "", reason))
        self._on_accept = on_accept
        self._stopping = False
        self._tasks: dict[asyncio.Task[None], StreamWriter] = {}
        self._routes: dict[str, tuple[tuple[ClientSession, int], ...]] = {}
        self._kept = retained
        self._retained_bytes = sum(len(message.data) for message in retained.values())

    # -- life cycle

    @property
    def port(self) -> int:
        """The port listened on, also where port 0 was asked for."""
        return int(self._servers[_LISTENER].instance.sockets[0].getsockname()[1])

    async def _create_server_instance(self, *_: object) -> asyncio.Server:
        self._retained_messages.update(self._kept)  # amqtt forgets at each start what there was
        address, port = self._bind
        return await asyncio.start_server(
            self._connected,
            address,
            port,
            ssl=self._tls,
            ssl_handshake_timeout=self.limits.connect_timeout_s if self._tls else None,
        )

    async def _broadcast_loop(self) -> None:
        await self._broadcast_shutdown_waiter  # amqtt's own queue stays empty: `accept` delivers at once

    async def _session_monitor(self) -> None:
        return  # a clean session ends with its connection, not at the next look

    async def end(self, *, crash: bool) -> None:
        """End every connection, without wills, politely or with RST; then amqtt's own parts. Nothing is kept."""
        self._stopping = True
        for server in self._servers.values():
            server.instance.close()
        for writer in self._tasks.values():  # also those who have not said CONNECT yet
            if crash:
                reset(writer.transport)
        for session, connection in list(self._sessions.values()):
            self._drop_undelivered(session, "broker_ended")
            if connection is not None:
                connection.close()
        for writer in self._tasks.values():
            writer.close()
        self._sessions.clear()
        self.counters.sessions = 0
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=self.limits.close_timeout_s)
        for writer in self._tasks.values():  # who does not take its last bytes
            reset(writer.transport)
        await self.shutdown()

    # -- connections

    async def _connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self._stopping or len(self._tasks) >= self.limits.connections_max:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = writer
        self.counters.connections = len(self._tasks)
        connection: Connection | None = None
        try:
            packets = read_packets(reader, self.limits.packet_bytes_max)
            admitted = await self._admit(packets, writer)
            if admitted is not None:
                connection = self._open(*admitted, packets, writer)
                await connection.serve()
        except (MalformedPacket, AMQTTError, MQTTError):
            self.counters.malformed += 1
        finally:
            del self._tasks[task]
            self.counters.connections = len(self._tasks)
            if connection is not None:
                connection.close()
            else:
                writer.close()

    async def _admit(
        self, packets: AsyncIterator[tuple[int, int, bytes]], writer: StreamWriter
    ) -> tuple[Session, Will | None] | None:
        """Who connects, or None if nobody did: refused, too slow, or gone."""
        try:
            async with asyncio.timeout(self.limits.connect_timeout_s):
                return await self._read_connect(packets, writer)
        except (_Refused, OSError, StopAsyncIteration):  # TimeoutError is an OSError
            return None

    async def _read_connect(
        self, packets: AsyncIterator[tuple[int, int, bytes]], writer: StreamWriter
    ) -> tuple[Session, Will | None]:
        """Take the first packet, which must be a CONNECT [MQTT-3.1.0-1] from somebody who may."""
        kind, _, body = await anext(packets)
        if kind != CONNECT:
            raise MalformedPacket("[MQTT-3.1.0-1] the first packet is not CONNECT")
        if body[:6] == _PROTOCOL_3_1_1[:6] and body[:7] != _PROTOCOL_3_1_1:
            await self._refuse(writer, UNACCEPTABLE_PROTOCOL_VERSION)  # [MQTT-3.1.2-2]
        connect, will = await decode_connect(body)
        if connect.client_id_is_random and not connect.clean_session_flag:
            await self._refuse(writer, IDENTIFIER_REJECTED)  # [MQTT-3.1.3-8]
        _, incoming = await BrokerProtocolHandler.init_from_connect(
            BufferReader(connect.to_bytes()), StreamWriterAdapter(writer), self.plugins_manager
        )
        if not await self._authenticate(incoming, self.listeners_config[_LISTENER]):
            await self._refuse(writer, NOT_AUTHORIZED)
        if not self._access.admits(incoming.username, incoming.password):
            self._count_refusal(
                "user", incoming.username, incoming.client_id, "no such user, or another password"
            )
            await self._refuse(writer, NOT_AUTHORIZED)
        known = self._sessions.get(incoming.client_id)
        if known is not None and not self._access.is_same(known[0].username, incoming.username):
            self._count_refusal("client_id", incoming.username, incoming.client_id, "it is another user's")
            await self._refuse(writer, IDENTIFIER_REJECTED)
        if known is None and len(self._sessions) >= self.limits.sessions_max:
            await self._refuse(writer, SERVER_UNAVAILABLE)
        return incoming, will

    async def _refuse(self, writer: StreamWriter, return_code: int) -> None:
        writer.write(ConnackPacket.build(0, return_code).to_bytes())
        await writer.drain()
        raise _Refused

    def _open(
        self,
        incoming: Session,
        will: Will | None,
        packets: AsyncIterator[tuple[int, int, bytes]],
        writer: StreamWriter,
    ) -> Connection:
        """Give the client its session, taking it over from an older connection [MQTT-3.1.4-2].

        Awaits nothing, so that of two connections with one client identifier one comes after the other.
        """
        client_id = incoming.client_id
        session, older = self._sessions.get(client_id, (None, None))
        if older is not None:
            self.counters.taken_over += 1
            older.fail()  # its own will, not the new one's; a clean session is gone after it
            session, _ = self._sessions.get(client_id, (None, None))
        if session is not None and incoming.clean_session:
            self._forget(session)  # [MQTT-3.1.2-6]
            session = None
        present = session is not None
        if session is None:
            session = ClientSession(incoming, self.limits, self.counters)
        connection = Connection(self, session, will, packets, writer)
        self._sessions[client_id] = (session, connection)
        self.counters.sessions = len(self._sessions)
        connection.write(ConnackPacket.build(present, 0).to_bytes())  # [MQTT-3.2.2-2]
        connection.watch(incoming.keep_alive)
        session.attach(connection, incoming)
        return connection

    def ended(self, connection: Connection) -> None:
        """A connection has ended: keep or discard its session, and publish the will it still has."""
        session = connection.session
        session.connection = None
        if self._stopping:
            return
        if session.clean_session:
            self._forget(session)
        else:
            self._sessions[session.client_id] = (session, None)
        will, connection.will = connection.will, None
        if will is not None:  # [MQTT-3.1.2-8]
            self.counters.wills += 1
            self.take(session, *will, what="will")

    def _forget(self, session: ClientSession) -> None:
        self._drop_undelivered(session, "session_ended")
        for topic_filter in session.filters:
            self._unsubscribe(topic_filter, session)
        del self._sessions[session.client_id]
        self.counters.sessions = len(self._sessions)

    def _drop_undelivered(self, session: ClientSession, reason: str) -> None:
        if len(session):
            self.counters.dropped[reason] += len(session)

    # -- messages

    def take(
        self,
        session: ClientSession,
        topic: str,
        payload: bytes,
        qos: int,
        retain: bool,
        *,
        what: str = "publish",
    ) -> None:
        """Accept a message of a client whose user may publish it; another is counted and goes nowhere."""
        if self._access.may_publish(session.username, topic):
            self.accept(session.client_id, topic, payload, qos, retain)
        else:
            self._count_refusal(what, session.username, session.client_id, topic)

    def _count_refusal(self, what: str, username: str | None, client_id: str, detail: str) -> None:
        self.counters.refused[what] += 1
        if self._on_refuse is not None:
            self._on_refuse(now_ns(), what, username or "", client_id, detail)

    def accept(self, client_id: str, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        """Take a message and hand it to each subscriber once, at the lower of both QoS [MQTT-3.3.5-1]."""
        if topic.startswith("$SYS/"):
            self.counters.dropped["reserved_topic"] += 1  # MQTT 3.1.1, 4.7.2: the broker's own
            return
        self.counters.accepted += 1
        if self._on_accept is not None:
            self._on_accept(now_ns(), client_id, topic, payload, qos, retain)
        publication = Publication(topic, payload)
        for session, granted_qos in self._route(topic):
            session.deliver(publication, min(qos, granted_qos))
        if retain:
            self._retain(topic, payload, qos)

    async def _broadcast_message(
        self, session: Session | None, topic: str, data: bytes, force_qos: int | None = None
    ) -> None:
        """What a plugin of amqtt publishes."""
        self.accept(session.client_id if session else "", topic, bytes(data), force_qos or 0, False)

    def _route(self, topic: str) -> tuple[tuple[ClientSession, int], ...]:
        """Who gets `topic`, each with the highest QoS of its matching subscriptions; remembered."""
        route = self._routes.get(topic)
        if route is None:
            best: dict[str, tuple[ClientSession, int]] = {}
            for topic_filter, subscriptions in self._subscriptions.items():
                if self._matches(topic, topic_filter):
                    for session, qos in subscriptions:
                        if qos >= best.get(session.client_id, (session, 0))[1]:
                            best[session.client_id] = (session, qos)
            if len(self._routes) >= self.limits.routes_max:
                self._routes.clear()
            route = self._routes[topic] = tuple(best.values())
        return route

    def _retain(self, topic: str, payload: bytes, qos: int) -> None:
        """Keep as the topic's last message, or with an empty payload keep none [MQTT-3.3.1-5/10/11]."""
        former = self._retained_messages.get(topic)
        grown = len(payload) - (len(former.data) if former else 0)
        if not payload:
            self._retained_messages.pop(topic, None)
        elif (not former and len(self._retained_messages) >= self.limits.retained_max) or (
            self._retained_bytes + grown > self.limits.retained_bytes_max
        ):
            self.counters.dropped["retained_full"] += 1
            return
        else:
            self._retained_messages[topic] = RetainedApplicationMessage(None, topic, payload, qos)
        self._retained_bytes += grown

    # -- subscriptions

    async def subscribe(self, connection: Connection, packet_id: int, topics: list[tuple[str, int]]) -> None:
        """Grant each filter in turn, acknowledge, then send what is retained for these filters only."""
        session = connection.session
        codes = [await self.add_subscription(subscription, session) for subscription in topics]
        connection.write(SubackPacket.build(packet_id, codes).to_bytes())
        for (topic_filter, _), granted_qos in zip(topics, codes, strict=True):
            if granted_qos == _REFUSED:
                continue
            for topic, retained in self._retained_messages.items():
                if self._matches(topic, topic_filter):
                    publication = Publication(topic, retained.data)
                    session.deliver(
                        publication, min(granted_qos, retained.qos), retain=True
                    )  # [MQTT-3.3.1-8]

    async def add_subscription(self, subscription: tuple[str, int], session: ClientSession) -> int:
        """Grant what amqtt grants; an existing subscription is replaced [MQTT-3.8.4-3]."""
        topic_filter, _ = subscription
        if topic_filter not in session.filters and len(session.filters) >= self.limits.subscriptions_max:
            return _REFUSED
        if not self._access.may_subscribe(session.username, topic_filter):
            self._count_refusal("subscribe", session.username, session.client_id, topic_filter)
            return _REFUSED
        granted_qos = int(await super().add_subscription(subscription, session))
        if granted_qos == _REFUSED or session.connection is None:
            return _REFUSED  # its connection may have ended while a plugin was asked
        subscriptions = self._subscriptions[topic_filter]
        position = [known.client_id for known, _ in subscriptions].index(session.client_id)
        subscriptions[position] = (session, granted_qos)
        session.filters[topic_filter] = None
        self._routes.clear()
        return granted_qos

    async def unsubscribe(self, connection: Connection, packet_id: int, topics: list[str]) -> None:
        """Remove each filter and acknowledge, known or not [MQTT-3.10.4-5]."""
        for topic_filter in topics:
            if topic_filter in connection.session.filters:
                del connection.session.filters[topic_filter]
                self._unsubscribe(topic_filter, connection.session)
        connection.write(UnsubackPacket.build(packet_id).to_bytes())

    def _unsubscribe(self, topic_filter: str, session: ClientSession) -> None:
        self._del_subscription(topic_filter, session)
        if not self._subscriptions[topic_filter]:
            del self._subscriptions[topic_filter]
        self._routes.clear()
