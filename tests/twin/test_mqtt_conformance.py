"""MQTT 3.1.1, clause by clause: the embedded broker and a real Mosquitto pass the same tests.

Each test names the normative statements it stands for. `amqtt` is the library as it comes: where it is known to
fail, the test must fail (strict), so that we notice when it has been mended and a correction can go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.twin import mqtt_wire as wire
from tests.twin.mqtt_lab import Lab, conforms, payloads
from tests.twin.mqtt_wire import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Client, Packet, Will

# -- CONNECT


@conforms("MQTT-3.2.2-1", "MQTT-3.2.2-2", "MQTT-3.2.2-3", "MQTT-3.1.2-6", fails=("amqtt",))
async def test_session_present_and_clean_session(lab: Lab) -> None:
    first = await lab.client("a", clean=False)
    assert not first.session_present
    await first.disconnect()
    second = await lab.client("a", clean=False)
    assert second.session_present
    await second.disconnect()
    clean = await lab.client("a", clean=True)
    assert not clean.session_present
    await clean.disconnect()
    assert not (await lab.client("a", clean=False)).session_present


@conforms("MQTT-3.1.0-1", fails=("amqtt",))
async def test_first_packet_must_be_connect(lab: Lab) -> None:
    client = await lab.dial()
    client.send(wire.packet(wire.PINGREQ))
    assert await client.expect_end() == []


@conforms("MQTT-3.1.0-2")
async def test_second_connect_ends_the_connection(lab: Lab) -> None:
    client = await lab.client("a")
    client.send(wire.connect("a"))
    assert await client.expect_end() == []


@conforms("MQTT-3.1.2-2")
async def test_unknown_protocol_level_is_answered(lab: Lab) -> None:
    client = await lab.dial()
    assert await client.connect("a", level=99) == 1
    assert await client.expect_end() == []


@conforms("MQTT-3.1.3-8", "MQTT-3.1.3-9")
async def test_empty_client_id_needs_clean_session(lab: Lab) -> None:
    client = await lab.dial()
    assert await client.connect("", clean=False) == 2
    assert await client.expect_end() == []
    assert await (await lab.dial()).connect("", clean=True) == 0


@conforms("MQTT-3.1.4-5")
async def test_packets_sent_before_the_connack_are_served(lab: Lab) -> None:
    client = await lab.dial()
    client.send(wire.connect("a"), wire.subscribe([("t", 0)]), wire.publish("t", b"x"))
    assert (await client.expect(wire.CONNACK)).body == b"\0\0"
    await client.expect(wire.SUBACK)
    assert (await client.expect(PUBLISH)).payload == b"x"


# -- keep-alive, wills, take-over


@conforms("MQTT-3.1.2-24", "MQTT-3.1.2-8", fails=("amqtt",))
async def test_silence_of_one_and_a_half_keep_alives_is_a_failed_network(lab: Lab) -> None:
    watcher = await lab.subscriber("watcher", ("will", 1))
    silent = await lab.client("silent", keep_alive_s=1, will=Will("will", b"gone", 1))
    clock = asyncio.get_running_loop().time
    silent_since_s = clock()
    assert await silent.expect_end() == []
    assert clock() - silent_since_s >= 1.0
    assert (await watcher.expect(PUBLISH)).payload == b"gone"


@conforms("MQTT-3.1.2-24")
async def test_a_client_that_pings_is_alive(lab: Lab) -> None:
    client = await lab.client("a", keep_alive_s=1)
    until_s = asyncio.get_running_loop().time() + 2.5
    while asyncio.get_running_loop().time() < until_s:
        assert await client.fence() == []
        with pytest.raises(TimeoutError):
            await client.receive(wait_s=0.7)  # silence, and not the end of the connection


@conforms("MQTT-3.1.2-8", "MQTT-3.1.2-16", "MQTT-3.1.2-17")
async def test_will_is_published_when_the_connection_breaks(lab: Lab) -> None:
    watcher = await lab.subscriber("watcher", ("will/+", 1))
    (await lab.client("a", will=Will("will/a", b"a", 1, retain=True))).cut()
    got = await watcher.expect(PUBLISH)
    assert (got.payload, got.qos, got.retain) == (b"a", 1, False)
    late = await lab.client("late")
    late.send(wire.subscribe([("will/a", 1)]))
    retained = next(got for got in await late.fence() if got.kind == PUBLISH)
    assert (retained.payload, retained.retain) == (b"a", True)


@conforms("MQTT-3.1.2-10", "MQTT-3.14.4-3")
async def test_disconnect_discards_the_will(lab: Lab) -> None:
    watcher = await lab.subscriber("watcher", ("will", 1))
    await (await lab.client("a", will=Will("will", b"a"))).disconnect()
    assert await watcher.fence() == []


@conforms("MQTT-3.1.2-8", "MQTT-4.8.0-1", fails=("amqtt",))
async def test_will_is_published_after_a_protocol_error(lab: Lab) -> None:
    watcher = await lab.subscriber("watcher", ("will", 0))
    client = await lab.client("a", will=Will("will", b"a"))
    client.send(wire.packet(wire.CONNACK, 0, b"\0\0"))
    assert await client.expect_end() == []
    assert (await watcher.expect(PUBLISH)).payload == b"a"


@conforms("MQTT-3.1.4-2", "MQTT-3.1.2-8", fails=("amqtt",))
async def test_take_over_closes_the_old_connection_and_publishes_its_will(lab: Lab) -> None:
    watcher = await lab.subscriber("watcher", ("will", 1))
    old = await lab.client("a", will=Will("will", b"old"))
    new = await lab.client("a", will=Will("will", b"new"))
    assert await old.expect_end() == []
    assert (await watcher.expect(PUBLISH)).payload == b"old"
    assert await watcher.fence() == []
    assert await new.fence() == []
    new.cut()
    assert (await watcher.expect(PUBLISH)).payload == b"new"


@conforms("MQTT-3.1.4-2", "MQTT-3.1.2-8", fails=("mosquitto", "amqtt"))
async def test_take_over_of_a_persistent_session(lab: Lab) -> None:
    watcher = await lab.subscriber("watcher", ("will", 1))
    old = await lab.client("a", clean=False, will=Will("will", b"old"))
    new = await lab.client("a", clean=False, will=Will("will", b"new"))
    assert new.session_present
    assert await old.expect_end() == []
    assert [got.payload for got in await watcher.fence()] == [b"old"]
    new.cut()
    assert (await watcher.expect(PUBLISH)).payload == b"new"


@conforms("MQTT-3.1.4-2", fails=("amqtt",))
async def test_take_over_does_not_publish_the_new_will(lab: Lab) -> None:
    watcher = await lab.subscriber("watcher", ("will", 1))
    old = await lab.client("a", clean=False, will=Will("will", b"old"))
    await lab.client("a", clean=False, will=Will("will", b"new"))
    assert await old.expect_end() == []
    assert b"new" not in [got.payload for got in await watcher.fence()]


@conforms("MQTT-3.1.2-8", fails=("amqtt",))
async def test_the_will_is_that_of_the_last_connect(lab: Lab) -> None:
    watcher = await lab.subscriber("watcher", ("will", 0))
    await (await lab.client("a", clean=False, will=Will("will", b"1"))).disconnect()
    (await lab.client("a", clean=False, will=Will("will", b"2", retain=True))).cut()
    assert (await watcher.expect(PUBLISH)).payload == b"2"
    (await lab.client("a", clean=False)).cut()
    late = await lab.client("late")
    late.send(wire.subscribe([("will", 0)]))
    assert [got.payload for got in await late.fence() if got.kind == PUBLISH] == [b"2"]
    assert await watcher.fence() == []


# -- PUBLISH and acknowledgements


@conforms("MQTT-4.3.1-1", "MQTT-4.3.2-2", "MQTT-4.3.3-2", fails=("amqtt",))
async def test_every_qos_reaches_a_subscriber_at_the_lower_of_both(lab: Lab) -> None:
    publisher = await lab.client("publisher")
    for granted in (0, 1, 2):
        subscriber = await lab.subscriber(f"s{granted}", ("t", granted))
        for qos in (0, 1, 2):
            await publisher.publish("t", b"x", qos)
            got = await subscriber.expect(PUBLISH)
            assert (got.topic, got.payload, got.qos, got.dup) == ("t", b"x", min(qos, granted), False)
            if got.qos == 1:
                subscriber.send(wire.acknowledge(PUBACK, got.packet_id))
            elif got.qos == 2:
                subscriber.send(wire.acknowledge(PUBREC, got.packet_id))
                assert (await subscriber.expect(PUBREL)).packet_id == got.packet_id
                subscriber.send(wire.acknowledge(PUBCOMP, got.packet_id))
        assert await subscriber.fence() == []
        await subscriber.disconnect()


@conforms("MQTT-4.3.3-2", fails=("amqtt",))
async def test_qos_2_is_taken_once(lab: Lab) -> None:
    subscriber = await lab.subscriber("s", ("t", 0))
    publisher = await lab.client("p")
    for dup in (False, True):
        publisher.send(wire.publish("t", b"x", 2, dup=dup, packet_id=7))
        assert (await publisher.expect(PUBREC)).packet_id == 7
    publisher.send(wire.acknowledge(PUBREL, 7))
    assert (await publisher.expect(PUBCOMP)).packet_id == 7
    publisher.send(wire.acknowledge(PUBREL, 7))
    assert (await publisher.expect(PUBCOMP)).packet_id == 7
    await publisher.publish("t", b"y", 2)
    assert [(await subscriber.expect(PUBLISH)).payload for _ in "xy"] == [b"x", b"y"]
    assert await subscriber.fence() == []


@conforms("MQTT-4.3.2-1", "MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-4.6.0-1", fails=("amqtt",))
async def test_unacknowledged_messages_come_again_with_dup_and_in_order(lab: Lab) -> None:
    subscriber = await lab.subscriber("s", ("t", 1), clean=False)
    publisher = await lab.client("p")
    for number in range(5):
        await publisher.publish("t", bytes((number,)))
    first = [await subscriber.expect(PUBLISH) for _ in range(5)]
    subscriber.send(wire.acknowledge(PUBACK, first[0].packet_id))
    await subscriber.fence()
    subscriber.cut()
    await publisher.publish("t", b"\5")
    again = await lab.client("s", clean=False)
    got = [await again.expect(PUBLISH) for _ in range(5)]
    assert payloads(got) == [bytes((number,)) for number in range(1, 6)]
    assert all(one.dup for one in got[:4])
    assert [one.packet_id for one in got[:4]] == [one.packet_id for one in first[1:]]


@conforms("MQTT-4.4.0-1", "MQTT-4.3.3-1", fails=("amqtt",))
async def test_qos_2_goes_on_where_the_connection_broke(lab: Lab) -> None:
    subscriber = await lab.subscriber("s", ("t", 2), clean=False)
    publisher = await lab.client("p")
    await publisher.publish("t", b"x", 2)
    got = await subscriber.expect(PUBLISH)
    subscriber.send(wire.acknowledge(PUBREC, got.packet_id))
    assert (await subscriber.expect(PUBREL)).packet_id == got.packet_id
    subscriber.cut()
    again = await lab.client("s", clean=False)
    assert (await again.expect(PUBREL)).packet_id == got.packet_id
    again.send(wire.acknowledge(PUBCOMP, got.packet_id))
    assert await again.fence() == []
    again.cut()
    assert await (await lab.client("s", clean=False)).fence() == []


@conforms("MQTT-4.3.2-1", fails=("amqtt",))
async def test_a_message_is_kept_however_long_its_acknowledgement_takes(lab: Lab) -> None:
    subscriber = await lab.subscriber("s", ("t", 1), clean=False)
    await (await lab.client("p")).publish("t", b"x")
    await subscriber.expect(PUBLISH)
    with pytest.raises(TimeoutError):
        await subscriber.receive(wait_s=6.0 if lab.is_virtual else 0.1)
    subscriber.cut()
    got = await (await lab.client("s", clean=False)).expect(PUBLISH)
    assert (got.payload, got.dup) == (b"x", True)


@conforms("MQTT-3.1.2-4", "MQTT-3.1.2-5", fails=("amqtt",))
async def test_messages_wait_for_a_persistent_session(lab: Lab) -> None:
    await (await lab.subscriber("s", ("t", 1), clean=False)).disconnect()
    publisher = await lab.client("p")
    for number in range(100):
        await publisher.publish("t", bytes((number,)))
    again = await lab.client("s", clean=False)
    got = [await again.expect(PUBLISH) for _ in range(100)]
    assert payloads(got) == [bytes((number,)) for number in range(100)]
    assert not any(one.dup or one.retain for one in got)


OUTAGE_MESSAGES = 2_500


async def outage(lab: Lab, go_silent: Callable[[Client], None]) -> None:
    """A persistent QoS 1 subscriber fails a fifth into a stream; it must get all of it, repeats marked DUP."""
    subscriber = await lab.subscriber("s", ("t", 1), clean=False, keep_alive_s=600)
    publisher = await lab.client("p")
    seen: dict[bytes, int] = {}

    def take(got: Packet) -> None:
        assert got.kind == PUBLISH
        assert got.dup or got.payload not in seen
        seen[got.payload] = seen.get(got.payload, 0) + 1

    for number in range(OUTAGE_MESSAGES):
        publisher.send(wire.publish("t", b"%d" % number, 1, packet_id=number + 1))
        if number == OUTAGE_MESSAGES // 5:
            for _ in range(OUTAGE_MESSAGES // 10):
                take(got := await subscriber.receive())
                subscriber.send(wire.acknowledge(PUBACK, got.packet_id))
            go_silent(subscriber)
    acknowledged = {(await publisher.expect(PUBACK)).packet_id for _ in range(OUTAGE_MESSAGES)}
    assert len(acknowledged) == OUTAGE_MESSAGES
    if lab.is_virtual:
        await asyncio.sleep(30)
    if go_silent is not stall:
        subscriber = await lab.client("s", clean=False)
        assert subscriber.session_present
    while len(seen) < OUTAGE_MESSAGES:
        take(got := await subscriber.receive())
        subscriber.send(wire.acknowledge(PUBACK, got.packet_id))
    assert list(seen) == [b"%d" % number for number in range(OUTAGE_MESSAGES)]
    assert await subscriber.fence() == []


def stall(_: Client) -> None:
    """Read nothing for a while, then go on."""


def black_hole(_: Client) -> None:
    """Read nothing any more; the connection stays open on the broker's side until it is taken over."""


@conforms("MQTT-4.3.2-1", "MQTT-4.4.0-1", "MQTT-4.6.0-1")
async def test_a_stalled_subscriber_loses_nothing(lab: Lab) -> None:
    await outage(lab, stall)


@conforms("MQTT-4.3.2-1", "MQTT-4.4.0-1", "MQTT-4.6.0-1", fails=("amqtt",))
async def test_a_black_holed_subscriber_loses_nothing(lab: Lab) -> None:
    await outage(lab, black_hole)


@conforms("MQTT-4.3.2-1", "MQTT-4.4.0-1", "MQTT-4.6.0-1", fails=("amqtt",))
async def test_a_subscriber_that_was_cut_off_loses_nothing(lab: Lab) -> None:
    await outage(lab, Client.cut)
