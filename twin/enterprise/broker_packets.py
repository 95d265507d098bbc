"""Packets as MQTT 3.1.1 wants them: read whole, bounded, and refused when malformed.

amqtt decodes from the socket, so a packet with a wrong length eats the next one, and text that is not UTF-8
becomes its Python representation. Here a packet is cut out of the stream first, then decoded from its own
bytes by amqtt's codec, and must encode back to these bytes. PUBLISH alone has an own codec, for speed.
"""

from __future__ import annotations

from asyncio import StreamReader
from collections.abc import AsyncIterator
from typing import NamedTuple

from amqtt.adapters import BufferReader
from amqtt.errors import NoDataError
from amqtt.mqtt import packet_class
from amqtt.mqtt.connect import ConnectPacket
from amqtt.mqtt.packet import (
    CONNECT,
    DISCONNECT,
    PINGREQ,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBSCRIBE,
    UNSUBSCRIBE,
    MQTTFixedHeader,
    MQTTPacket,
)

_CHUNK_BYTES = 1 << 16

# [MQTT-2.2.2-1] [MQTT-2.2.2-2]: the flags that each packet from a client must carry; PUBLISH has its own.
_FLAGS = {
    CONNECT: 0,
    PUBACK: 0,
    PUBREC: 0,
    PUBREL: 2,
    PUBCOMP: 0,
    SUBSCRIBE: 2,
    UNSUBSCRIBE: 2,
    PINGREQ: 0,
    DISCONNECT: 0,
}


class MalformedPacket(Exception):
    """A client broke the protocol; its connection is closed and nothing else. Names the clause."""


class Publish(NamedTuple):
    """A PUBLISH as a client sent it; `packet_id` is 0 at QoS 0."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    packet_id: int


class Will(NamedTuple):
    """The last will of one connection (not of the session: a take-over must not exchange it)."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


async def read_packets(reader: StreamReader, packet_bytes_max: int) -> AsyncIterator[tuple[int, int, bytes]]:
    """Yield (packet type, flags, body) until the connection ends.

    Raises MalformedPacket for a type or flags that no client may send, and beyond `packet_bytes_max`.
    """
    buffer = b""
    while data := await _read(reader):
        buffer = buffer + data if buffer else data
        start = 0
        while frame := _frame(buffer, start, packet_bytes_max):
            body_start, start_next = frame
            if start_next > len(buffer):
                break
            kind, flags = buffer[start] >> 4, buffer[start] & 0x0F
            if kind != PUBLISH and _FLAGS.get(kind) != flags:
                raise MalformedPacket(f"[MQTT-2.2.2-2] packet type {kind} with flags {flags} from a client")
            yield kind, flags, buffer[body_start:start_next]
            start = start_next
        buffer = buffer[start:]


async def _read(reader: StreamReader) -> bytes:
    try:
        return await reader.read(_CHUNK_BYTES)
    except OSError:
        return b""  # a broken connection ends as a closed one does


def _frame(buffer: bytes, start: int, packet_bytes_max: int) -> tuple[int, int] | None:
    """Where the body of the packet at `start` begins and ends, or None while the length is incomplete."""
    length = 0
    for digit in range(4):
        at = start + 1 + digit
        if at >= len(buffer):
            return None
        length |= (buffer[at] & 0x7F) << 7 * digit
        if buffer[at] < 0x80:
            if at + 1 - start + length > packet_bytes_max:
                raise MalformedPacket(f"packet of {length} bytes is above the maximum of {packet_bytes_max}")
            return at + 1, at + 1 + length
    raise MalformedPacket("remaining length of more than four bytes (MQTT 3.1.1, 2.2.3)")


def decode_publish(flags: int, body: bytes) -> Publish:
    """The PUBLISH in `body`; MalformedPacket if it is not one."""
    qos = flags >> 1 & 3
    if qos == 3:
        raise MalformedPacket("[MQTT-3.3.1-4] PUBLISH with QoS 3")
    if flags & 8 and not qos:
        raise MalformedPacket("[MQTT-3.3.1-2] PUBLISH with DUP at QoS 0")
    at = 2 + int.from_bytes(body[:2], "big")
    packet_id = 0
    if qos:
        packet_id = decode_packet_id(body[at : at + 2])
        payload = body[at + 2 :]
    else:
        payload = body[at:]
    if at > len(body):
        raise MalformedPacket("PUBLISH shorter than its topic (MQTT 3.1.1, 1.5.3)")
    try:
        topic = str(body[2:at], "utf-8")
    except UnicodeDecodeError as error:
        raise MalformedPacket("[MQTT-1.5.3-1] topic is not UTF-8") from error
    check_topic_name(topic)
    return Publish(topic, payload, qos, bool(flags & 1), bool(flags & 8), packet_id)


def encode_publish(topic: bytes, payload: bytes, qos: int, retain: bool, dup: bool, packet_id: int) -> bytes:
    """A PUBLISH for the wire; `packet_id` is left out at QoS 0."""
    length = 2 + len(topic) + (2 if qos else 0) + len(payload)
    head = bytearray((PUBLISH << 4 | dup << 3 | qos << 1 | retain,))
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    head += len(topic).to_bytes(2, "big") + topic
    if qos:
        head += packet_id.to_bytes(2, "big")
    return bytes(head) + payload


def acknowledgement(kind: int, packet_id: int) -> bytes:
    """PUBACK, PUBREC, PUBREL or PUBCOMP for the wire."""
    return bytes((kind << 4 | _FLAGS[kind], 2, packet_id >> 8, packet_id & 0xFF))


def decode_packet_id(body: bytes) -> int:
    """The packet identifier that `body` consists of."""
    packet_id = int.from_bytes(body, "big")
    if len(body) != 2 or not packet_id:
        raise MalformedPacket("[MQTT-2.3.1-1] packet identifier missing or 0")
    return packet_id


def check_topic_name(topic: str) -> None:
    """Refuse what no PUBLISH and no will may name."""
    if not topic or "+" in topic or "#" in topic or "\0" in topic:
        raise MalformedPacket("[MQTT-3.3.2-2] [MQTT-4.7.3-1] topic empty, with a wildcard or with U+0000")


async def decode(kind: int, flags: int, body: bytes) -> MQTTPacket:
    """SUBSCRIBE or UNSUBSCRIBE through amqtt's codec, held to its own bytes."""
    header = MQTTFixedHeader(kind, flags, len(body))
    try:
        packet = await packet_class(header).from_stream(BufferReader(body), fixed_header=header)
    except NoDataError as error:
        raise MalformedPacket(f"packet type {kind} is shorter than its fields") from error
    _must_encode_back(packet, body)
    decode_packet_id(body[:2])
    entries = packet.payload.topics
    filters = [entry[0] for entry in entries] if kind == SUBSCRIBE else entries
    if not filters or not all(filters) or any("\0" in topic_filter for topic_filter in filters):
        raise MalformedPacket(
            "[MQTT-3.8.3-3] [MQTT-3.10.3-2] [MQTT-4.7.3-1] no topic filter, or an empty one"
        )
    if kind == SUBSCRIBE and any(qos > 2 for _, qos in entries):
        raise MalformedPacket("[MQTT-3.8.3-4] requested QoS above 2")
    return packet


async def decode_connect(body: bytes) -> tuple[ConnectPacket, Will | None]:
    """The CONNECT of protocol level 4 in `body`, and the will it leaves; MalformedPacket if it is none."""
    header = MQTTFixedHeader(CONNECT, 0, len(body))
    try:
        packet = await ConnectPacket.from_stream(BufferReader(body), fixed_header=header)
    except NoDataError as error:
        raise MalformedPacket("CONNECT is shorter than its fields") from error
    head, payload = packet.variable_header, packet.payload
    username, password = payload.username, payload.password
    client_id = payload.client_id
    if payload.client_id_is_random:
        payload.client_id = ""
    payload.password = None  # the password is binary and comes last: its length is checked, not its text
    encoded = head.to_bytes() + payload.to_bytes(header, head)
    tail = body[len(encoded) :]
    if not body.startswith(encoded) or len(tail) != (
        2 + int.from_bytes(tail[:2], "big") if head.password_flag else 0
    ):
        raise MalformedPacket("[MQTT-1.5.3-1] CONNECT does not encode back to its own bytes")
    payload.client_id, payload.password = client_id, password
    if head.reserved_flag or (head.password_flag and not head.username_flag):
        raise MalformedPacket("[MQTT-3.1.2-3] [MQTT-3.1.2-22] connect flags")
    if "\0" in f"{client_id}{username or ''}":
        raise MalformedPacket("[MQTT-1.5.3-2] U+0000 in CONNECT")
    return packet, _will(packet)


def _will(packet: ConnectPacket) -> Will | None:
    head, payload = packet.variable_header, packet.payload
    if not head.will_flag:
        if head.will_qos or head.will_retain_flag:
            raise MalformedPacket("[MQTT-3.1.2-13] [MQTT-3.1.2-15] will QoS or retain without a will")
        return None
    if head.will_qos == 3:
        raise MalformedPacket("[MQTT-3.1.2-14] will with QoS 3")
    check_topic_name(payload.will_topic)
    return Will(payload.will_topic, bytes(payload.will_message), head.will_qos, head.will_retain_flag)


def _must_encode_back(packet: MQTTPacket, body: bytes) -> None:
    encoded = packet.variable_header.to_bytes()
    encoded += packet.payload.to_bytes(packet.fixed_header, packet.variable_header)
    if encoded != body:
        raise MalformedPacket("[MQTT-1.5.3-1] the packet does not encode back to its own bytes")
