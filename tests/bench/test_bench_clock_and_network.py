"""What the clock, the network in memory and bare asyncua on them cost."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from asyncua import Client, Server, ua

from shakedown.twin.clock import run
from shakedown.twin.network.memory import MemoryNetwork

JUMPS = 20_000
MESSAGES = 5_000
BULK_BYTES = 20_000_000
SIGNALS = 48
VIRTUAL_S = 600

pytestmark = [pytest.mark.bench, pytest.mark.benchmark(timer=time.process_time)]


def test_jumps_of_the_clock(benchmark: Any) -> None:
    """One jump: asyncio.sleep, timer, task switch, every clock moved."""

    async def main() -> None:
        for _ in range(JUMPS):
            await asyncio.sleep(1)

    benchmark.extra_info["jumps"] = JUMPS
    benchmark.pedantic(lambda: run(main()), rounds=5, warmup_rounds=1)


def test_timers_of_plain_asyncio(benchmark: Any) -> None:
    """The same on asyncio's own loop: each timer is due by the time that the loop looks at it."""

    async def main() -> None:
        for _ in range(JUMPS):
            await asyncio.sleep(1e-9)

    benchmark.pedantic(lambda: asyncio.run(main()), rounds=5, warmup_rounds=1)


class _Echo(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class _Counter(asyncio.Protocol):
    """Sends `messages` one by one, each after the answer to the one before."""

    def __init__(self, messages: int) -> None:
        self.left = messages
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(b"x" * 100)

    def data_received(self, data: bytes) -> None:
        self.left -= 1
        if self.left:
            self.transport.write(data)
        else:
            self.done.set_result(None)


@pytest.mark.parametrize("latency_ms", [0.0, 5.0])
def test_messages_there_and_back(benchmark: Any, latency_ms: float) -> None:
    """100 bytes from protocol to protocol across a conduit, and the answer."""

    async def main() -> None:
        with MemoryNetwork() as network:
            plc, bridge = network.add_host("plc", "cell"), network.add_host("bridge", "site")
            network.add_conduit("cell", ("cell", "site"), latency_ms=latency_ms)
            loop = asyncio.get_running_loop()
            await plc.spawn(loop.create_server(_Echo, "plc", 1))
            _, client = await bridge.spawn(loop.create_connection(lambda: _Counter(MESSAGES), "plc", 1))
            await client.done

    benchmark.extra_info["messages"] = 2 * MESSAGES
    benchmark.pedantic(lambda: run(main()), rounds=5, warmup_rounds=1)


def test_messages_over_loopback(benchmark: Any) -> None:
    """The same protocols over TCP on the loopback interface; CPU time of the kernel's work for it included."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Echo, "127.0.0.1", 0)
        _, client = await loop.create_connection(lambda: _Counter(MESSAGES), *server.sockets[0].getsockname())
        await client.done
        client.transport.close()
        server.close()

    benchmark.extra_info["messages"] = 2 * MESSAGES
    benchmark.pedantic(lambda: asyncio.run(main()), rounds=5, warmup_rounds=1)


def test_bulk_bytes(benchmark: Any) -> None:
    """20 MB through one connection at 1 ms latency, with back pressure."""

    async def main() -> None:
        with MemoryNetwork() as network:
            plc, bridge = network.add_host("plc", "cell"), network.add_host("bridge", "site")
            network.add_conduit("cell", ("cell", "site"), latency_ms=1)

            async def send(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                for _ in range(BULK_BYTES // 100_000):
                    writer.write(bytes(100_000))
                    await writer.drain()
                writer.close()

            await plc.spawn(asyncio.start_server(send, "plc", 1))
            reader, _writer = await bridge.spawn(asyncio.open_connection("plc", 1))
            received = 0
            while data := await reader.read(1 << 20):
                received += len(data)
            assert received == BULK_BYTES

    benchmark.extra_info["bytes"] = BULK_BYTES
    benchmark.pedantic(lambda: run(main()), rounds=3, warmup_rounds=1)


class _Values:
    def __init__(self) -> None:
        self.count = 0

    def datachange_notification(self, _node: Any, _value: Any, _data: Any) -> None:
        self.count += 1


async def _serve_signals() -> None:
    server = Server()
    await server.init()
    server.set_endpoint("opc.tcp://plc:4840")
    index = await server.register_namespace("urn:bench")
    nodes = [
        await server.nodes.objects.add_variable(ua.NodeId(f"signal{n}", index), f"signal{n}", 0.0)
        for n in range(SIGNALS)
    ]
    async with server:
        value = 0.0
        while True:
            await asyncio.sleep(1)
            value += 1
            for node in nodes:
                await server.write_attribute_value(node.nodeid, ua.DataValue(ua.Variant(value)))


async def _subscribe() -> int:
    values = _Values()
    async with Client("opc.tcp://plc:4840") as client:
        subscription = await client.create_subscription(500, values)
        await subscription.subscribe_data_change(
            [client.get_node(ua.NodeId(f"signal{n}", 2)) for n in range(SIGNALS)]
        )
        await asyncio.sleep(VIRTUAL_S)
    return values.count


def test_bare_asyncua_at_1_hz(benchmark: Any) -> None:
    """Ten minutes of 48 signals at 1 Hz, server and client of asyncua as they come, start and stop included."""

    async def main() -> None:
        with MemoryNetwork() as network:
            plc, bridge = network.add_host("plc", "cell"), network.add_host("bridge", "site")
            network.add_conduit("cell", ("cell", "site"), latency_ms=2, jitter_ms=1)
            serving = plc.spawn(_serve_signals())
            await asyncio.sleep(0.5)
            assert await bridge.spawn(_subscribe()) >= SIGNALS * (VIRTUAL_S - 2)
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    benchmark.extra_info["virtual_s"] = VIRTUAL_S
    benchmark.pedantic(lambda: run(main()), rounds=3, warmup_rounds=1)
