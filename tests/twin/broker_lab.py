"""An embedded broker on one host in memory, and clients that dial it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from shakedown.twin.clock import run
from shakedown.twin.enterprise.broker import EmbeddedBroker
from shakedown.twin.network.memory import MemoryNetwork
from tests.twin.mqtt_wire import Client

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
