"""What a proxy costs: round trips and throughput of the built-in one, of toxiproxy-server and of a bare connection.

Compare the three of a group with each other: absolute figures belong to the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from shakedown.twin.network.wire import WireNetwork

WAYS = ("bare", "builtin", "toxiproxy-server")
ROUND_TRIPS = 500
MESSAGE_BYTES = 100
BULK_BYTES = 16 << 20


@contextlib.asynccontextmanager
async def echo_through(way: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to an echo server, through the proxy of that name or none."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    network = WireNetwork("builtin" if way == "bare" else None if way == "toxiproxy-server" else way)
    network.add_host("client", "site")
    network.add_host("server", "site")
    await network.start()
    server = await asyncio.start_server(echo, *await network.listen_address("server", 7))
    try:
        address = await (
            network.listen_address("server", 7) if way == "bare" else network.route("client", "server", 7)
        )
        reader, writer = await asyncio.open_connection(*address)
        yield reader, writer
        writer.close()
        await writer.wait_closed()
    finally:
        server.close()
        await network.close()


def measure(benchmark: BenchmarkFixture, way: str, what: str) -> None:
    if way == "toxiproxy-server" and shutil.which(way) is None:
        pytest.skip("toxiproxy-server not on PATH")
    benchmark.group = what
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        reader, writer = runner.run(stack.enter_async_context(echo_through(way)))
        work = {"round trips": round_trips, "throughput": throughput}[what]
        try:
            benchmark.pedantic(lambda: runner.run(work(reader, writer)), rounds=15, warmup_rounds=1)
        finally:
            runner.run(stack.aclose())


async def round_trips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for _ in range(ROUND_TRIPS):
        writer.write(bytes(MESSAGE_BYTES))
        await reader.readexactly(MESSAGE_BYTES)


async def throughput(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async def send() -> None:
        for _ in range(BULK_BYTES >> 16):
            writer.write(bytes(1 << 16))
            await writer.drain()

    sending = asyncio.create_task(send())
    await reader.readexactly(BULK_BYTES)
    await sending


@pytest.mark.bench
@pytest.mark.parametrize("way", WAYS)
def test_round_trips(benchmark: BenchmarkFixture, way: str) -> None:
    """500 round trips of 100 bytes, one after the other."""
    measure(benchmark, way, "round trips")


@pytest.mark.bench
@pytest.mark.parametrize("way", WAYS)
def test_throughput(benchmark: BenchmarkFixture, way: str) -> None:
    """16 MiB there and back."""
    measure(benchmark, way, "throughput")
