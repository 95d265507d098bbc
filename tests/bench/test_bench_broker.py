"""Messages through a broker, one publisher to one subscriber: embedded, amqtt as it comes, Mosquitto.

Each group is one QoS; the factors in its table are the ratios between the brokers. The clients run in the same
process and loop as the Python brokers and do next to nothing: every message has the same size.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shakedown.twin.enterprise.broker import EmbeddedBroker
from shakedown.twin.enterprise.mosquitto import MosquittoBroker, mosquitto_missing
from tests.twin import mqtt_wire as wire
from tests.twin.mqtt_lab import ADDRESS, BareAmqtt, free_port
from tests.twin.mqtt_wire import PUBACK, Client

MESSAGES = 5_000
TOPIC = "spBv1.0/hamburg.filling/DDATA/line1/filler.filler_1"
PAYLOAD = bytes(200)

pytestmark = [pytest.mark.bench, pytest.mark.wall]


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("kind", ["embedded", "amqtt", "mosquitto"])
def test_messages_through(
    kind: str, qos: int, benchmark: Any, runner: asyncio.Runner, tmp_path: Path
) -> None:
    if kind == "mosquitto" and (missing := mosquitto_missing()):
        pytest.skip(missing)
    port = free_port()
    broker = {
        "embedded": lambda: EmbeddedBroker(ADDRESS, port),
        "amqtt": lambda: BareAmqtt(ADDRESS, port),
        "mosquitto": lambda: MosquittoBroker(ADDRESS, port, tmp_path),
    }[kind]()
    runner.run(broker.start())
    publisher, subscriber = runner.run(connected_pair(port, qos))
    benchmark.group = f"{MESSAGES} messages at QoS {qos}"
    got = benchmark.pedantic(
        lambda: runner.run(pass_through(publisher, subscriber, qos)), rounds=3, warmup_rounds=1
    )
    assert got == MESSAGES
    if benchmark.stats:
        benchmark.extra_info["messages_per_s"] = round(MESSAGES / benchmark.stats.stats.median)
    publisher.cut()
    subscriber.cut()
    runner.run(broker.stop())


async def connected_pair(port: int, qos: int) -> tuple[Client, Client]:
    publisher, subscriber = [await Client.dial(ADDRESS, port) for _ in range(2)]
    assert await publisher.connect("publisher") == await subscriber.connect("subscriber") == 0
    assert await subscriber.subscribe((TOPIC, qos)) == [qos]
    return publisher, subscriber


async def pass_through(publisher: Client, subscriber: Client, qos: int) -> int:
    """Publish in groups of ten and read everything back; how many messages arrived."""
    packets = [wire.publish(TOPIC, PAYLOAD, qos, packet_id=number + 1) for number in range(MESSAGES)]
    size, id_at = len(packets[0]), len(packets[0]) - len(PAYLOAD) - 2

    async def publish() -> None:
        for start in range(0, MESSAGES, 10):
            publisher.send(*packets[start : start + 10])
            await publisher.writer.drain()

    async def receive() -> int:
        arrived, rest = 0, b""
        while arrived < MESSAGES:
            rest += await subscriber.reader.read(1 << 16)
            whole = len(rest) - len(rest) % size
            if qos:
                starts = range(0, whole, size)
                subscriber.send(
                    *(bytes((PUBACK << 4, 2)) + rest[at + id_at : at + id_at + 2] for at in starts)
                )
            arrived += whole // size
            rest = rest[whole:]
        return arrived

    async def take_acknowledgements() -> None:
        await publisher.reader.readexactly(4 * MESSAGES if qos else 0)

    async with asyncio.timeout(60):
        _, arrived, _ = await asyncio.gather(publish(), receive(), take_acknowledgements())
    return arrived
