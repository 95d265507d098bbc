"""MQTT 3.1.1, clause by clause: subscriptions, topic matching and retained messages (see test_mqtt_conformance)."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.twin import mqtt_wire as wire
from tests.twin.mqtt_lab import Lab, conforms, payloads
from tests.twin.mqtt_wire import PUBLISH

# -- subscriptions


@conforms("MQTT-3.3.5-1", fails=("amqtt",))
async def test_overlapping_subscriptions_deliver_once_at_the_highest_qos(lab: Lab) -> None:
    subscriber = await lab.subscriber("s", ("t/#", 0), ("t/a", 1), ("+/a", 0))
    await (await lab.client("p")).publish("t/a", b"x")
    got = await subscriber.expect(PUBLISH)
    assert got.qos == 1
    assert await subscriber.fence() == []


@conforms("MQTT-3.8.4-3", fails=("amqtt",))
async def test_a_repeated_subscription_replaces_the_first_and_sends_retained_again(lab: Lab) -> None:
    publisher = await lab.client("p")
    await publisher.publish("t", b"kept", retain=True)
    subscriber = await lab.client("s")
    for qos in (1, 0):
        subscriber.send(wire.subscribe([("t", qos)]))
        got = {one.kind: one for one in await subscriber.fence()}
        assert got[wire.SUBACK].body[2:] == bytes((qos,))
        assert (got[PUBLISH].payload, got[PUBLISH].qos, got[PUBLISH].retain) == (b"kept", qos, True)
    await publisher.publish("t", b"x")
    assert [(got.payload, got.qos) for got in await subscriber.fence()] == [(b"x", 0)]


@conforms("MQTT-3.8.4-4", "MQTT-3.8.4-5", "MQTT-3.9.3-1")
async def test_several_filters_are_answered_in_their_order(lab: Lab) -> None:
    client = await lab.client("a")
    client.send(wire.subscribe([("a", 2), ("b", 0), ("c", 1)], packet_id=77))
    got = await client.expect(wire.SUBACK)
    assert (got.packet_id, got.body[2:]) == (77, b"\2\0\1")


@conforms("MQTT-3.10.4-1", "MQTT-3.10.4-4", "MQTT-3.10.4-5")
async def test_unsubscribe_ends_delivery_and_is_always_answered(lab: Lab) -> None:
    client = await lab.subscriber("a", ("t", 1), ("u", 0))
    client.send(wire.unsubscribe(["t", "never"], packet_id=9))
    assert (await client.expect(wire.UNSUBACK)).packet_id == 9
    publisher = await lab.client("p")
    await publisher.publish("t", b"x")
    await publisher.publish("u", b"y")
    assert payloads(await client.fence()) == [b"y"]


@conforms("MQTT-4.7.1-2", "MQTT-4.7.1-3", "MQTT-4.7.3-4")
@pytest.mark.parametrize(
    ("topic_filter", "topic", "matches"),
    [
        ("sport/#", "sport", True),
        ("sport/#", "sport/a/b", True),
        ("sport/#", "sports", False),
        ("#", "a/b", True),
        ("+", "a", True),
        ("+", "/a", False),
        ("/+", "/a", True),
        ("+/+", "/a", True),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a/b/b/c", False),
        ("Case", "case", False),
        ("with space", "with space", True),
        ("\u00fcml\u00e4ut/+", "\u00fcml\u00e4ut/\u96ea", True),
    ],
)
async def test_topic_matching(lab: Lab, topic_filter: str, topic: str, matches: bool) -> None:
    client = await lab.subscriber("a", (topic_filter, 0))
    await (await lab.client("p")).publish(topic, b"x")
    assert payloads(await client.fence()) == [b"x"] * matches


@conforms("MQTT-4.7.2-1", fails=("amqtt",))
async def test_wildcards_do_not_match_dollar_topics(lab: Lab) -> None:
    client = await lab.subscriber("a", ("#", 0), ("+/x", 0))
    exact = await lab.subscriber("b", ("$lab/x", 0))
    publisher = await lab.client("p")
    await publisher.publish("$lab/x", b"dollar")
    await publisher.publish("lab/x", b"plain")
    assert payloads(await client.fence()) == [b"plain"]
    assert payloads(await exact.fence()) == [b"dollar"]


@conforms("MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.1-3")
@pytest.mark.parametrize("topic_filter", ["a/#/b", "a#", "#/a", "a+", "+a/b"])
async def test_malformed_filters_are_not_granted(lab: Lab, topic_filter: str) -> None:
    client = await lab.client("a")
    client.send(wire.subscribe([(topic_filter, 0)]))
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):  # closing is as good
        assert (await client.expect(wire.SUBACK)).body[2:] == b"\x80"


# -- retained messages


@conforms("MQTT-3.3.1-5", "MQTT-3.3.1-8", "MQTT-3.3.1-9", fails=("amqtt",))
async def test_retain_flag_is_set_for_a_new_subscription_only(lab: Lab) -> None:
    early = await lab.subscriber("early", ("t", 1))
    await (await lab.client("p")).publish("t", b"x", retain=True)
    assert not (await early.expect(PUBLISH)).retain
    late = await lab.client("late")
    late.send(wire.subscribe([("t", 1)]))
    assert [got.retain for got in await late.fence() if got.kind == PUBLISH] == [True]


@conforms("MQTT-3.3.1-6", "MQTT-3.3.1-8", fails=("amqtt",))
async def test_retained_messages_go_to_the_new_subscription_only(lab: Lab) -> None:
    publisher = await lab.client("p")
    await publisher.publish("t", b"x", retain=True)
    bystander = await lab.subscriber("bystander", ("other", 1), clean=False)
    subscriber = await lab.client("s")
    subscriber.send(wire.subscribe([("t", 1)]))
    assert [got.payload for got in await subscriber.fence() if got.kind == PUBLISH] == [b"x"]
    assert await (await lab.client("newcomer")).fence() == []
    assert await bystander.fence() == []
    await bystander.disconnect()
    assert await (await lab.client("bystander", clean=False)).fence() == []


@conforms("MQTT-3.3.1-8", fails=("amqtt",))
async def test_a_resumed_session_gets_no_retained_message_again(lab: Lab) -> None:
    subscriber = await lab.subscriber("s", ("t", 1), clean=False)
    await subscriber.disconnect()
    await (await lab.client("p")).publish("t", b"x", retain=True)
    again = await lab.client("s", clean=False)
    got = await again.expect(PUBLISH)
    assert (got.payload, got.retain) == (b"x", False)
    assert await again.fence() == []


@conforms("MQTT-3.3.1-10", "MQTT-3.3.1-11")
async def test_an_empty_payload_deletes_the_retained_message(lab: Lab) -> None:
    publisher = await lab.client("p")
    await publisher.publish("t", b"x", retain=True)
    early = await lab.client("early")
    early.send(wire.subscribe([("t", 1)]))
    assert [got.payload for got in await early.fence() if got.kind == PUBLISH] == [b"x"]
    await publisher.publish("t", b"", retain=True)
    assert [(got.payload, got.retain) for got in await early.fence()] == [(b"", False)]
    assert await (await lab.subscriber("late", ("t", 1))).fence() == []


@conforms("MQTT-3.3.1-5", "MQTT-3.3.1-12")
async def test_the_last_retained_message_counts_and_others_leave_it_alone(lab: Lab) -> None:
    publisher = await lab.client("p")
    await publisher.publish("t", b"1", retain=True)
    await publisher.publish("t", b"2", retain=True)
    await publisher.publish("t", b"3")
    late = await lab.client("late")
    late.send(wire.subscribe([("t", 1)]))
    assert [got.payload for got in await late.fence() if got.kind == PUBLISH] == [b"2"]


@conforms("MQTT-3.3.1-5", "MQTT-3.8.4-6", fails=("amqtt",))
async def test_retained_messages_come_at_the_lower_of_both_qos(lab: Lab) -> None:
    publisher = await lab.client("p")
    for qos in (0, 1, 2):
        await publisher.publish(f"t/{qos}", b"x", qos, retain=True)
    for granted in (0, 1, 2):
        late = await lab.client(f"late{granted}")
        late.send(wire.subscribe([("t/+", granted)]))
        got = {one.topic: one.qos for one in await late.fence() if one.kind == PUBLISH}
        assert got == {f"t/{qos}": min(qos, granted) for qos in (0, 1, 2)}
