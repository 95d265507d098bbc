"""A raw MQTT 3.1.1 client for tests: it can say anything, right or wrong, and shows every packet it gets."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterable
from typing import NamedTuple

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = range(1, 8)
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = range(8, 15)

WAIT_S = 10.0
"""How long a test waits for what must come."""


class Will(NamedTuple):
    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


class Packet(NamedTuple):
    kind: int
    flags: int
    body: bytes

    @property
    def qos(self) -> int:
        return self.flags >> 1 & 3

    @property
    def retain(self) -> bool:
        return bool(self.flags & 1)

    @property
    def dup(self) -> bool:
        return bool(self.flags & 8)

    @property
    def packet_id(self) -> int:
        """Of anything but a PUBLISH the first two bytes; of a PUBLISH those behind the topic."""
        at = 2 + int.from_bytes(self.body[:2], "big") if self.kind == PUBLISH else 0
        return int.from_bytes(self.body[at : at + 2], "big")

    @property
    def topic(self) -> str:
        return self.body[2 : 2 + int.from_bytes(self.body[:2], "big")].decode()

    @property
    def payload(self) -> bytes:
        return self.body[2 + int.from_bytes(self.body[:2], "big") + (2 if self.qos else 0) :]


def text(value: str | bytes) -> bytes:
    """A length-prefixed string."""
    data = value.encode() if isinstance(value, str) else value
    return len(data).to_bytes(2, "big") + data


def packet(kind: int, flags: int = 0, body: bytes = b"") -> bytes:
    """A whole control packet."""
    length, digits = len(body), bytearray()
    while True:
        digits.append(length & 0x7F | (0x80 if length > 0x7F else 0))
        length >>= 7
        if not length:
            return bytes((kind << 4 | flags,)) + bytes(digits) + body


def connect(
    client_id: str,
    *,
    clean: bool = True,
    keep_alive_s: int = 0,
    will: Will | None = None,
    level: int = 4,
    user: tuple[str, str] | None = None,
) -> bytes:
    flags = clean << 1
    body = text(client_id)
    if will:
        flags |= 4 | will.qos << 3 | will.retain << 5
        body += text(will.topic) + text(will.payload)
    if user:
        flags |= 0xC0
        body += text(user[0]) + text(user[1])
    return packet(CONNECT, 0, text("MQTT") + bytes((level, flags)) + keep_alive_s.to_bytes(2, "big") + body)


def publish(
    topic: str | bytes,
    payload: bytes = b"",
    qos: int = 0,
    *,
    retain: bool = False,
    dup: bool = False,
    packet_id: int = 1,
) -> bytes:
    body = text(topic) + (packet_id.to_bytes(2, "big") if qos else b"") + payload
    return packet(PUBLISH, dup << 3 | qos << 1 | retain, body)


def subscribe(filters: Iterable[tuple[str, int]], packet_id: int = 1) -> bytes:
    body = b"".join(text(topic_filter) + bytes((qos,)) for topic_filter, qos in filters)
    return packet(SUBSCRIBE, 2, packet_id.to_bytes(2, "big") + body)


def unsubscribe(filters: Iterable[str], packet_id: int = 1) -> bytes:
    return packet(UNSUBSCRIBE, 2, packet_id.to_bytes(2, "big") + b"".join(map(text, filters)))


def acknowledge(kind: int, packet_id: int) -> bytes:
    return packet(kind, 2 if kind == PUBREL else 0, packet_id.to_bytes(2, "big"))


class Client:
    """One connection. Nothing is acknowledged, pinged or repeated by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.session_present = False
        self.settle_s = 0.0
        self._next_id = 0

    @classmethod
    async def dial(
        cls, address: str, port: int, *, tls: ssl.SSLContext | None = None, **options: object
    ) -> Client:
        return cls(*await asyncio.open_connection(address, port, ssl=tls, **options))

    def send(self, *packets: bytes) -> None:
        self.writer.write(b"".join(packets))

    async def receive(self, wait_s: float | None = None) -> Packet:
        """The next packet; IncompleteReadError or ConnectionError when the connection has ended."""
        async with asyncio.timeout(wait_s or WAIT_S):
            (first,) = await self.reader.readexactly(1)
            length = shift = 0
            while True:
                (digit,) = await self.reader.readexactly(1)
                length |= (digit & 0x7F) << shift
                shift += 7
                if digit < 0x80:
                    return Packet(first >> 4, first & 15, await self.reader.readexactly(length))

    async def expect(self, kind: int) -> Packet:
        got = await self.receive()
        assert got.kind == kind, f"expected packet type {kind}, got {got}"
        return got

    async def connect(self, client_id: str, **options: object) -> int:
        """CONNECT; the return code of the CONNACK."""
        self.send(connect(client_id, **options))
        flags, code = (await self.expect(CONNACK)).body
        self.session_present = bool(flags)
        return code

    async def subscribe(self, *filters: tuple[str, int]) -> list[int]:
        """SUBSCRIBE; the return codes. Call it while nothing else is under way."""
        self.send(subscribe(filters))
        return list((await self.expect(SUBACK)).body[2:])

    async def publish(self, topic: str, payload: bytes = b"", qos: int = 1, *, retain: bool = False) -> None:
        """PUBLISH and wait until the broker has it (at QoS 0: until it answers a ping behind it)."""
        self._next_id = self._next_id % 65_535 + 1
        self.send(publish(topic, payload, qos, retain=retain, packet_id=self._next_id))
        if qos == 0:
            assert await self.fence() == []
        elif qos == 1:
            assert (await self.expect(PUBACK)).packet_id == self._next_id
        else:
            assert (await self.expect(PUBREC)).packet_id == self._next_id
            self.send(acknowledge(PUBREL, self._next_id))
            assert (await self.expect(PUBCOMP)).packet_id == self._next_id

    async def fence(self) -> list[Packet]:
        """Everything that comes before the answer to a ping, and in the `settle_s` behind it.

        Nothing in MQTT keeps an answer to a ping behind what was on its way before; embedded broker and Mosquitto
        do. Where waiting costs nothing, `settle_s` makes sure that nothing comes late.
        """
        self.send(packet(PINGREQ))
        packets = []
        while (got := await self.receive()).kind != PINGRESP:
            packets.append(got)
        with contextlib.suppress(TimeoutError):
            while self.settle_s:
                packets.append(await self.receive(self.settle_s))
        return packets

    async def expect_end(self, wait_s: float | None = None) -> list[Packet]:
        """Wait until the broker ends the connection; what came before."""
        packets = []
        async with asyncio.timeout(wait_s or WAIT_S):
            while True:
                try:
                    packets.append(await self.receive(wait_s))
                except (asyncio.IncompleteReadError, ConnectionError):
                    return packets

    def cut(self) -> None:
        """End the connection without DISCONNECT."""
        self.writer.transport.abort()

    async def disconnect(self) -> None:
        """DISCONNECT, and wait until the broker has closed."""
        self.send(packet(DISCONNECT))
        await self.expect_end()
        self.writer.close()
