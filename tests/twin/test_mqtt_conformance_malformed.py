"""MQTT 3.1.1: a malformed packet ends its connection, and the broker lives (see test_mqtt_conformance)."""

from __future__ import annotations

import pytest

from tests.twin import mqtt_wire as wire
from tests.twin.mqtt_lab import Lab, conforms, payloads

RESERVED_TYPES = {
    "reserved packet type 0 (2.2.1)": b"\x00\x00",
    "reserved packet type 15 (2.2.1)": b"\xf0\x00",
}
MALFORMED = {
    "remaining length of five bytes (2.2.3)": b"\x30\xff\xff\xff\xff\x01",
    "SUBSCRIBE flags (MQTT-3.8.1-1)": wire.packet(8, 0, b"\0\1\0\1t\0"),
    "UNSUBSCRIBE flags (MQTT-3.10.1-1)": wire.packet(10, 0, b"\0\1\0\1t"),
    "PUBREL flags (MQTT-3.6.1-1)": wire.packet(6, 0, b"\0\1"),
    "PUBLISH at QoS 3 (MQTT-3.3.1-4)": wire.packet(3, 6, b"\0\1t\0\1x"),
    "PUBLISH to a wildcard (MQTT-3.3.2-2)": wire.publish("a/#"),
    "PUBLISH to no topic (MQTT-4.7.3-1)": wire.publish(""),
    "PUBLISH with U+0000 (MQTT-1.5.3-2)": wire.publish("a\0b"),
    "PUBLISH to a topic that is not UTF-8 (MQTT-1.5.3-1)": wire.publish(b"\xff\xfe"),
    "PUBLISH to a surrogate (MQTT-1.5.3-1)": wire.publish(b"\xed\xa0\x80"),
    "PUBLISH shorter than its topic": wire.packet(3, 0, b"\0\x09abc"),
    "PUBLISH without an identifier (MQTT-2.3.1-1)": wire.publish("t", b"", 1, packet_id=0),
    "SUBSCRIBE without a filter (MQTT-3.8.3-3)": wire.subscribe([]),
    "SUBSCRIBE at QoS 3 (MQTT-3.8.3-4)": wire.subscribe([("t", 3)]),
    "SUBSCRIBE to an empty filter (MQTT-4.7.3-1)": wire.subscribe([("", 0)]),
    "SUBSCRIBE longer than its packet": wire.packet(8, 2, b"\0\1\0\x09t\0"),
    "SUBSCRIBE without an identifier (MQTT-2.3.1-1)": wire.subscribe([("t", 0)], packet_id=0),
    "UNSUBSCRIBE without a filter (MQTT-3.10.3-2)": wire.unsubscribe([]),
    "CONNACK from a client": wire.packet(2, 0, b"\0\0"),
}


@conforms("MQTT-4.8.0-1", "MQTT-2.2.2-2")
@pytest.mark.parametrize("what", RESERVED_TYPES)
async def test_a_reserved_packet_type_ends_its_connection_only(lab: Lab, what: str) -> None:
    await malformed(lab, RESERVED_TYPES[what])


@conforms("MQTT-4.8.0-1", fails=("amqtt",))
@pytest.mark.parametrize("what", MALFORMED)
async def test_a_malformed_packet_ends_its_connection_only(lab: Lab, what: str) -> None:
    await malformed(lab, MALFORMED[what])


async def malformed(lab: Lab, data: bytes) -> None:
    watcher = await lab.subscriber("watcher", ("#", 0))
    client = await lab.client("a")
    client.send(data)
    assert await client.expect_end() == []
    await (await lab.client("b")).publish("t", b"alive")
    assert payloads(await watcher.fence()) == [b"alive"]


FORBIDDEN_FLAGS = {
    "reserved flag (MQTT-3.1.2-3)": (b"\x03", b""),
    "password without a user name (MQTT-3.1.2-22)": (b"\x42", wire.text("secret")),
}
MALFORMED_CONNECT = {
    "will QoS without a will (MQTT-3.1.2-13)": (b"\x0a", b""),
    "will retain without a will (MQTT-3.1.2-15)": (b"\x22", b""),
    "user name that is not there": (b"\x82", b""),
    "client identifier that is not UTF-8 (MQTT-1.5.3-1)": (b"\x02", b"\0\1\xff"),
    "something behind its last field": (b"\x02", b"\0\1ab"),
}


@conforms("MQTT-4.8.0-1")
@pytest.mark.parametrize("what", FORBIDDEN_FLAGS)
async def test_forbidden_connect_flags_are_not_accepted(lab: Lab, what: str) -> None:
    flags, tail = FORBIDDEN_FLAGS[what]
    await malformed_connect(lab, flags, wire.text("a") + tail)


@conforms("MQTT-4.8.0-1", fails=("amqtt",))
@pytest.mark.parametrize("what", MALFORMED_CONNECT)
async def test_a_malformed_connect_is_not_accepted(lab: Lab, what: str) -> None:
    flags, payload = MALFORMED_CONNECT[what]
    await malformed_connect(lab, flags, payload or wire.text("a"))


async def malformed_connect(lab: Lab, flags: bytes, payload: bytes) -> None:
    client = await lab.dial()
    client.send(wire.packet(wire.CONNECT, 0, wire.text("MQTT") + b"\4" + flags + b"\0\0" + payload))
    assert all(got.kind == wire.CONNACK and got.body[1] for got in await client.expect_end())
    assert await (await lab.client("b")).fence() == []
