"""Real traffic of real libraries over the network in memory; run as a script it prints the hash of its trace.

A PLC (asyncua server, `cell`), a bridge (asyncua client and MQTT publisher, `site`), a broker (amqtt, `enterprise`)
and a reader (MQTT subscriber, `enterprise`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiomqtt
from amqtt.broker import Broker
from asyncua import Client, Server, ua

from shakedown.twin.clock import now_ns, run
from shakedown.twin.network.memory import MemoryNetwork
from shakedown.twin.network.model import current_host

SIGNALS = 8
ENDPOINT = "opc.tcp://plc:4840"


@dataclass
class Plant:
    network: MemoryNetwork
    changes: list[tuple[int, str, float]] = field(default_factory=list)
    messages: list[tuple[int, str, bytes]] = field(default_factory=list)
    reconnects: int = 0
    wrong_hosts: list[str] = field(default_factory=list)

    def note_host(self, expected: str) -> None:
        host = current_host.get()
        if host is None or host.name != expected:
            self.wrong_hosts.append(f"{host} where {expected} was expected")


async def serve_signals(plant: Plant, period_s: float) -> None:
    """An asyncua server whose variables count up."""
    server = Server()
    await server.init()
    server.set_endpoint(ENDPOINT)
    index = await server.register_namespace("urn:test")
    nodes = [
        await server.nodes.objects.add_variable(ua.NodeId(f"signal{n}", index), f"signal{n}", 0.0)
        for n in range(SIGNALS)
    ]
    async with server:
        value = 0
        while True:
            await asyncio.sleep(period_s)
            plant.note_host("plc")
            value += 1
            for node in nodes:
                await server.write_attribute_value(node.nodeid, ua.DataValue(ua.Variant(float(value))))


class _Handler:
    def __init__(self, plant: Plant, publish: asyncio.Queue[tuple[str, float]]) -> None:
        self._plant = plant
        self._publish = publish

    def datachange_notification(self, node: Any, value: float, data: Any) -> None:
        self._plant.note_host("bridge")
        self._plant.changes.append((now_ns(), node.nodeid.Identifier, value))
        self._publish.put_nowait((node.nodeid.Identifier, value))


async def collect(plant: Plant, publish: asyncio.Queue[tuple[str, float]]) -> None:
    """An asyncua client that comes back whenever its connection has broken."""
    while True:
        with contextlib.suppress(OSError, asyncio.TimeoutError, ua.UaError, ConnectionError):
            async with Client(ENDPOINT, timeout=4) as client:
                index = await client.get_namespace_index("urn:test")
                subscription = await client.create_subscription(500, _Handler(plant, publish))
                nodes = [client.get_node(ua.NodeId(f"signal{n}", index)) for n in range(SIGNALS)]
                await subscription.subscribe_data_change(nodes)
                while True:
                    await asyncio.sleep(1)
                    await client.check_connection()
        plant.reconnects += 1
        await asyncio.sleep(2)


async def publish_all(plant: Plant, queue: asyncio.Queue[tuple[str, float]], tls: Any) -> None:
    while True:
        with contextlib.suppress(aiomqtt.MqttError):
            async with aiomqtt.Client("broker", identifier="bridge", keepalive=10, tls_context=tls) as client:
                while True:
                    name, value = await queue.get()
                    await client.publish(f"plant/{name}", str(value).encode(), qos=1, timeout=30)
        plant.reconnects += 1
        await asyncio.sleep(2)


async def serve_broker(plant: Plant, tls: dict[str, Any]) -> None:
    listener = {"type": "tcp", "bind": "broker:1883", **tls}
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    broker = Broker({"listeners": {"default": listener}, "plugins": plugins})
    await broker.start()
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        await broker.shutdown()


async def read_messages(plant: Plant, tls: Any) -> None:
    async with aiomqtt.Client("broker", identifier="reader", tls_context=tls) as client:
        await client.subscribe("plant/#", qos=1)
        async for message in client.messages:
            plant.note_host("reader")
            plant.messages.append((now_ns(), message.topic.value, bytes(message.payload)))


@contextlib.asynccontextmanager
async def plant_at_work(
    *, seed: int = 0, period_s: float = 1.0, server_tls: dict[str, Any] | None = None, client_tls: Any = None
) -> AsyncIterator[Plant]:
    """Everything connected and publishing; taken down in the order of its making."""
    with MemoryNetwork(seed=seed) as network:
        plant = Plant(network)
        for host, zone in (
            ("plc", "cell"),
            ("bridge", "site"),
            ("broker", "enterprise"),
            ("reader", "enterprise"),
        ):
            network.add_host(host, zone)
        network.add_conduit("cell", ("cell", "site"), latency_ms=2, jitter_ms=1)
        network.add_conduit("wan", ("site", "enterprise"), latency_ms=20, jitter_ms=5)
        queue: asyncio.Queue[tuple[str, float]] = asyncio.Queue()
        parts: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("broker", lambda: serve_broker(plant, server_tls or {})),
            ("plc", lambda: serve_signals(plant, period_s)),
            ("reader", lambda: read_messages(plant, client_tls)),
            ("bridge", lambda: collect(plant, queue)),
            ("bridge", lambda: publish_all(plant, queue, client_tls)),
        ]
        tasks = []
        for host, part in parts:
            tasks.append(network.host(host).spawn(part(), name=f"part of {host}"))  # type: ignore[arg-type]
            await asyncio.sleep(1)
        try:
            yield plant
        finally:
            for task in reversed(tasks):
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


async def _print_trace() -> None:
    async with plant_at_work(seed=7) as plant:
        await asyncio.sleep(30)
        await plant.network.conduit("wan").stall()
        await asyncio.sleep(5)
        await plant.network.conduit("wan").heal()
        await asyncio.sleep(20)
        assert plant.messages
        trace = plant.network.trace_sha256()
    sys.stdout.write(f"{trace} {plant.network.trace_sha256()} {len(plant.messages)}\n")


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    run(_print_trace(), seed=7)
