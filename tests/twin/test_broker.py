"""The embedded broker as a lab service: what it reports, how it dies, what it bounds."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import amqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from shakedown.twin.clock import now_ns, run
from shakedown.twin.network.memory import MemoryNetwork
from shakedown.twin.services.broker import EmbeddedBroker
from shakedown.twin.services.broker_limits import BrokerLimits
from shakedown.twin.services.broker_packets import (
    MalformedPacket,
    decode_publish,
    encode_publish,
    read_packets,
)
from shakedown.twin.services.errors import ServiceError
from tests.twin import mqtt_wire as wire
from tests.twin.mqtt_wire import PUBACK, PUBLISH, Client, Will

ADDRESS, PORT = "127.0.0.1", 1883


def on_virtual_time(case: Callable[[EmbeddedBroker], Awaitable[None]], **options: Any) -> EmbeddedBroker:
    """Run `case` beside a started broker on one host in memory."""
    broker = EmbeddedBroker(ADDRESS, PORT, **options)

    async def on_host() -> None:
        await broker.start()
        try:
            await case(broker)
        finally:
            await broker.stop()

    async def main() -> None:
        with MemoryNetwork() as network:
            await network.add_host("lab", "enterprise").spawn(on_host(), name="case")

    run(main())
    return broker


async def client(client_id: str, **options: Any) -> Client:
    dialled = await Client.dial(ADDRESS, PORT)
    assert await dialled.connect(client_id, **options) == 0
    return dialled


async def subscriber(client_id: str, topic_filter: str, qos: int, **options: Any) -> Client:
    connected = await client(client_id, **options)
    assert await connected.subscribe((topic_filter, qos)) == [qos]
    return connected


# -- evidence


def test_on_accept_reports_every_publish_and_will_once() -> None:
    accepted: list[tuple[Any, ...]] = []
    began_ns: list[int] = []

    async def case(broker: EmbeddedBroker) -> None:
        began_ns.append(now_ns())
        publisher = await client("p", will=Will("will", b"w", 1, retain=True))
        await publisher.publish("t/0", b"a", 0)
        await publisher.publish("t/1", b"b", 1, retain=True)
        await publisher.publish("t/2", b"c", 2)
        publisher.send(wire.publish("t/1", b"d", 1, dup=True, packet_id=9))
        await publisher.expect(PUBACK)
        publisher.cut()
        watcher = await subscriber("watcher", "will", 0)
        assert [got.payload for got in await watcher.fence()] in ([b"w"], [])
        await asyncio.sleep(0.01)
        assert broker.counters.sessions == 1

    broker = on_virtual_time(case, on_accept=lambda *what: accepted.append(what))
    assert [what[1:] for what in accepted] == [
        ("p", "t/0", b"a", 0, False),
        ("p", "t/1", b"b", 1, True),
        ("p", "t/2", b"c", 2, False),
        ("p", "t/1", b"d", 1, False),
        ("p", "will", b"w", 1, True),
    ]
    assert all(began_ns[0] <= what[0] < began_ns[0] + 10**9 for what in accepted)
    counters = broker.counters
    assert (counters.accepted, counters.duplicates, counters.wills) == (5, 1, 1)


def test_every_accepted_message_is_delivered_or_counted_as_dropped() -> None:
    async def case(broker: EmbeddedBroker) -> None:
        fast = await subscriber("fast", "#", 1)
        persistent = await subscriber("persistent", "#", 1, clean=False)
        await persistent.disconnect()
        publisher = await client("p")
        for _ in range(10):
            await publisher.publish("t", b"x", 1)
            await publisher.publish("t", b"x", 0)
        assert len(await fast.fence()) == 20
        await broker.stop()

    counters = on_virtual_time(case).counters
    assert counters.accepted == 20
    assert counters.delivered == 20
    assert counters.dropped == {"offline": 10, "broker_ended": 20}  # 10 unacknowledged, 10 queued


# -- life


def test_a_crash_resets_every_connection_and_loses_everything() -> None:
    async def case(broker: EmbeddedBroker) -> None:
        watcher = await subscriber("watcher", "will", 1, clean=False)
        victim = await client("victim", will=Will("will", b"w"))
        await victim.publish("kept", b"x", retain=True)
        silent = await Client.dial(ADDRESS, PORT)
        victim.send(wire.publish("t", b"unread"))
        await broker.crash()
        for connection in (watcher, victim, silent):
            with pytest.raises(ConnectionResetError):
                await connection.receive()
        with pytest.raises(ConnectionRefusedError):
            await Client.dial(ADDRESS, PORT)
        with pytest.raises(ServiceError, match="not running"):
            await broker.crash()
        await broker.start()
        again = await client("watcher", clean=False)
        assert not again.session_present
        again.send(wire.subscribe([("kept", 0)]))
        assert [got.kind for got in await again.fence()] == [wire.SUBACK]

    counters = on_virtual_time(case).counters
    assert (counters.wills, counters.accepted) == (0, 1)


def test_a_stop_closes_politely_after_the_last_bytes() -> None:
    async def case(broker: EmbeddedBroker) -> None:
        watcher = await subscriber("watcher", "t", 0)
        victim = await client("victim", will=Will("t", b"w"))
        await (await client("p")).publish("t", b"last")
        await broker.stop()
        assert [got.payload for got in await watcher.expect_end()] == [b"last"]
        assert await victim.expect_end() == []
        await broker.stop()
        await broker.start()
        with pytest.raises(ServiceError, match="running already"):
            await broker.start()

    assert on_virtual_time(case).counters.wills == 0


@pytest.mark.wall
def test_a_taken_port_is_an_error_with_a_remedy() -> None:
    async def main() -> None:
        first = EmbeddedBroker(ADDRESS, 0)
        await first.start()
        try:
            with pytest.raises(ServiceError, match=rf"cannot listen on {ADDRESS}:{first.port}.*another port"):
                await EmbeddedBroker(ADDRESS, first.port).start()
        finally:
            await first.stop()
        second = EmbeddedBroker(ADDRESS, first.port)
        await second.start()
        await second.stop()

    run(main(), clock="wall")


@pytest.mark.wall
def test_a_crash_is_a_reset_on_real_sockets() -> None:
    async def main() -> None:
        broker = EmbeddedBroker(ADDRESS, 0)
        await broker.start()
        connection = await Client.dial(ADDRESS, broker.port)
        assert await connection.connect("a") == 0
        await broker.crash()
        with pytest.raises(ConnectionResetError):
            await connection.receive()

    run(main(), clock="wall")


def test_corrections_refuse_another_amqtt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amqtt, "__version__", "0.13.0")

    async def main() -> None:
        with pytest.raises(ServiceError, match=r"0\.13\.0.*install amqtt>=0\.12\.1"):
            await EmbeddedBroker(ADDRESS, 0).start()

    run(main(), clock="wall")


# -- bounds


def test_a_slow_qos_0_subscriber_is_bounded_and_the_others_get_everything() -> None:
    payload = bytes(10_000)

    async def case(broker: EmbeddedBroker) -> None:
        slow = await subscriber("slow", "t", 0)
        fast = await subscriber("fast", "t", 0)
        slow.writer.transport.pause_reading()
        publisher = await client("p")
        for _ in range(200):
            publisher.send(wire.publish("t", payload))
            assert (await fast.expect(PUBLISH)).payload == payload
        assert await publisher.fence() == []
        dropped = broker.counters.dropped["slow_consumer"]
        assert 0 < dropped < 200
        slow.writer.transport.resume_reading()
        assert len(await slow.fence()) == 200 - dropped

    on_virtual_time(case, limits=BrokerLimits(write_buffer_bytes_max=100_000))


def test_a_slow_qos_1_subscriber_gets_everything_later() -> None:
    payload = bytes(10_000)

    async def case(broker: EmbeddedBroker) -> None:
        slow = await subscriber("slow", "t", 1)
        slow.writer.transport.pause_reading()
        publisher = await client("p")
        for _ in range(200):
            await publisher.publish("t", payload)
        assert broker.counters.delivered < 200
        slow.writer.transport.resume_reading()
        for _ in range(200):
            slow.send(wire.acknowledge(PUBACK, (await slow.expect(PUBLISH)).packet_id))
        assert await slow.fence() == []

    on_virtual_time(case, limits=BrokerLimits(write_buffer_bytes_max=100_000))


def test_the_in_flight_window_and_the_queue_are_bounded() -> None:
    async def case(broker: EmbeddedBroker) -> None:
        lazy = await subscriber("lazy", "t", 1, clean=False)
        publisher = await client("p")
        for number in range(20):
            await publisher.publish("t", bytes((number,)))
        got = await lazy.fence()
        assert [one.payload for one in got] == [bytes((number,)) for number in range(4)]
        assert broker.counters.dropped["queue_full"] == 20 - 4 - 8
        for number in range(4, 12):
            lazy.send(wire.acknowledge(PUBACK, got.pop(0).packet_id))
            got.append(await lazy.expect(PUBLISH))
            assert got[-1].payload == bytes((number,))
        assert await lazy.fence() == []

    on_virtual_time(case, limits=BrokerLimits(inflight_max=4, queue_max=8))


def test_a_publisher_that_takes_no_acknowledgements_is_held_back() -> None:
    async def case(broker: EmbeddedBroker) -> None:
        greedy = await client("greedy")
        greedy.writer.transport.pause_reading()
        for number in range(60_000):
            greedy.send(wire.publish("t", b"", 1, packet_id=number % 65_535 + 1))
        await asyncio.sleep(60)
        assert broker.counters.accepted < 60_000
        greedy.writer.transport.resume_reading()
        for _ in range(60_000):
            await greedy.expect(PUBACK)

    on_virtual_time(case, limits=BrokerLimits(write_buffer_bytes_max=1_000))


def test_a_packet_above_the_maximum_ends_its_connection() -> None:
    async def case(broker: EmbeddedBroker) -> None:
        watcher = await subscriber("watcher", "#", 0)
        big = await client("big", will=Will("will", b"w"))
        await big.publish("t", bytes(900), 0)
        big.send(wire.publish("t", bytes(1_000)))
        assert await big.expect_end() == []
        assert [got.topic for got in await watcher.fence()] == ["t", "will"]
        assert broker.counters.malformed == 1

    on_virtual_time(case, limits=BrokerLimits(packet_bytes_max=1_000))


def test_connections_sessions_subscriptions_and_retained_messages_are_bounded() -> None:
    async def case(broker: EmbeddedBroker) -> None:
        first = await client("first")
        assert await first.subscribe(("a", 0), ("b", 0), ("c", 0)) == [0, 0, 0x80]
        for topic in ("r/1", "r/2", "r/3"):
            await first.publish(topic, b"x", retain=True)
        assert broker.counters.dropped["retained_full"] == 1
        await (await client("second", clean=False)).disconnect()
        third = await Client.dial(ADDRESS, PORT)
        assert await third.connect("third") == 3
        await third.expect_end()
        silent = [await Client.dial(ADDRESS, PORT) for _ in range(3)]
        assert await silent[-1].expect_end() == []
        for connection in silent[:-1]:
            assert await connection.expect_end(wait_s=11) == []  # no CONNECT in 10 s

    limits = BrokerLimits(connections_max=3, sessions_max=2, subscriptions_max=2, retained_max=2)
    on_virtual_time(case, limits=limits)


def test_a_stalled_client_with_keep_alive_is_given_up_and_its_will_published() -> None:
    async def case(broker: EmbeddedBroker) -> None:
        watcher = await subscriber("watcher", "will", 0)
        loop = asyncio.get_running_loop()
        silent_since_s = loop.time()
        silent = await client("silent", keep_alive_s=30, will=Will("will", b"w"))
        assert (await watcher.receive(wait_s=46)).payload == b"w"
        assert await silent.expect_end() == []
        assert loop.time() - silent_since_s == pytest.approx(45, abs=0.01)
        assert broker.counters.keep_alive_expired == 1

    on_virtual_time(case)


def test_reserved_topics_are_the_brokers_own() -> None:
    async def case(broker: EmbeddedBroker) -> None:
        watcher = await subscriber("watcher", "$SYS/#", 0)
        await (await client("p")).publish("$SYS/broker/uptime", b"1")
        assert await watcher.fence() == []

    counters = on_virtual_time(case).counters
    assert (counters.accepted, counters.dropped) == (0, {"reserved_topic": 1})


# -- packets

publishes = st.tuples(
    st.text(st.characters(exclude_characters="\0+#", exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.binary(max_size=300),
    st.integers(0, 2),
    st.booleans(),
    st.integers(1, 65_535),
)


@given(st.lists(publishes, max_size=5), st.integers(1, 50))
def test_publishes_survive_the_wire_however_it_is_cut(messages: list[Any], chunk_bytes: int) -> None:
    data = b"".join(
        encode_publish(topic.encode(), payload, qos, retain, qos > 0, packet_id)
        for topic, payload, qos, retain, packet_id in messages
    )

    async def main() -> list[Any]:
        reader = asyncio.StreamReader()
        packets = read_packets(reader, 1_000)

        async def feed() -> None:
            for start in range(0, len(data), chunk_bytes):
                reader.feed_data(data[start : start + chunk_bytes])
                await asyncio.sleep(0)
            reader.feed_eof()

        feeding = asyncio.create_task(feed())
        got = [decode_publish(flags, body) async for _, flags, body in packets]
        await feeding
        return got

    expected = [
        (topic, payload, qos, retain, qos > 0, packet_id if qos else 0)
        for topic, payload, qos, retain, packet_id in messages
    ]
    assert asyncio.run(main()) == expected


@given(st.binary(max_size=200))
def test_any_bytes_are_packets_or_malformed(data: bytes) -> None:
    async def main() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        async for kind, flags, body in read_packets(reader, 100):
            if kind == PUBLISH:
                decode_publish(flags, body)

    try:
        asyncio.run(main())
    except MalformedPacket as malformed:
        assert str(malformed)  # noqa: PT017 (either outcome is right, anything else is not)


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_hostile_bytes_end_their_connection_only(chunks: list[bytes]) -> None:
    async def case(broker: EmbeddedBroker) -> None:
        for greeting in (b"", wire.connect("hostile")):
            hostile = await Client.dial(ADDRESS, PORT)
            hostile.send(greeting, *chunks)
            hostile.writer.write_eof()
            await hostile.expect_end(wait_s=60)
        assert await (await client("honest")).fence() == []

    on_virtual_time(case)


# -- TLS


def self_signed(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's context for one certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(ADDRESS))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = folder / "broker.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cafile=pem)


@pytest.mark.wall
def test_tls(tmp_path: Path) -> None:
    server_tls, client_tls = self_signed(tmp_path)

    async def main() -> None:
        broker = EmbeddedBroker(ADDRESS, 0, tls=server_tls)
        await broker.start()
        try:
            secure = await Client.dial(ADDRESS, broker.port, tls=client_tls)
            assert await secure.connect("a") == 0
            await secure.subscribe(("t", 1))
            secure.send(wire.publish("t", b"x" * 100_000, 0))
            assert (await secure.expect(PUBLISH)).payload == b"x" * 100_000
            plain = await Client.dial(ADDRESS, broker.port)
            plain.send(wire.connect("b"))
            assert all(got.kind != wire.CONNACK for got in await plain.expect_end())
            assert await secure.fence() == []
        finally:
            await broker.crash()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await secure.receive()

    run(main(), clock="wall")
