"""The embedded broker keeps its bounds, whatever clients send or do not take."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shakedown.twin.enterprise.broker import EmbeddedBroker
from shakedown.twin.enterprise.broker_limits import BrokerLimits
from shakedown.twin.enterprise.broker_packets import (
    MalformedPacket,
    decode_publish,
    encode_publish,
    read_packets,
)
from tests.twin import mqtt_wire as wire
from tests.twin.broker_lab import ADDRESS, PORT, client, on_virtual_time, subscriber
from tests.twin.mqtt_wire import PUBACK, PUBLISH, Client, Will


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


@pytest.mark.slow
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


@settings(deadline=None)
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


@settings(deadline=None)
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


VALID = [
    wire.publish("t", b"x", 1),
    wire.publish("t", b"x", 2),
    wire.subscribe([("#", 2)]),
    wire.unsubscribe(["#"]),
    wire.packet(wire.PINGREQ),
    *(wire.acknowledge(kind, 1) for kind in (PUBACK, wire.PUBREC, wire.PUBREL, wire.PUBCOMP)),
]


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(st.sampled_from(VALID) | st.binary(max_size=60), max_size=8))
def test_hostile_bytes_end_their_connection_only(chunks: list[bytes]) -> None:
    async def case(broker: EmbeddedBroker) -> None:
        for greeting in (b"", wire.connect("hostile")):
            hostile = await Client.dial(ADDRESS, PORT)
            hostile.send(greeting, *chunks)
            hostile.writer.write_eof()
            await hostile.expect_end(wait_s=60)
        assert await (await client("honest")).fence() == []

    on_virtual_time(case)
