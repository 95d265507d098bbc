"""The socket that paho gets: non-blocking, pollable by the loop, honest about failure."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
from collections.abc import AsyncIterator

import pytest
from paho.mqtt import client as paho

from shakedown.twin.clock import VirtualLoop, run
from shakedown.twin.network.memory import MemoryNetwork
from shakedown.twin.network.memory_sockets import MemorySocket
from shakedown.twin.network.model import current_host


@contextlib.asynccontextmanager
async def two_hosts(latency_ms: float = 0.0) -> AsyncIterator[MemoryNetwork]:
    with MemoryNetwork() as network:
        network.add_host("broker", "enterprise")
        current_host.set(network.add_host("bridge", "site"))
        network.add_conduit("wan", ("site", "enterprise"), latency_ms=latency_ms)
        yield network


async def _accept_one(
    network: MemoryNetwork,
) -> asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.put_nowait((reader, writer))

    await network.host("broker").spawn(asyncio.start_server(accept, "broker", 1883))
    return accepted


async def _until(sock: MemorySocket, events: int) -> None:
    """Wait as a program does: for the loop to call back."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    add, remove = (
        (loop.add_reader, loop.remove_reader)
        if events == selectors.EVENT_READ
        else (loop.add_writer, loop.remove_writer)
    )
    add(sock.fileno(), lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        remove(sock.fileno())


def test_bytes_both_ways_and_the_end() -> None:
    async def main() -> None:
        async with two_hosts(latency_ms=10) as network:
            accepted = await _accept_one(network)
            sock = network.open_socket("broker", 1883, 5)
            assert sock.send(b"early") == 5
            with pytest.raises(BlockingIOError):
                sock.recv(100)
            reader, writer = await accepted.get()
            assert await reader.readexactly(5) == b"early"
            assert sock.getpeername() == ("10.30.0.2", 1883)
            writer.write(b"abcdef")
            await _until(sock, selectors.EVENT_READ)
            assert sock.recv(4) == b"abcd"
            await _until(sock, selectors.EVENT_READ)  # level-triggered: the rest is still there
            assert sock.recv(4) == b"ef"
            writer.close()
            await _until(sock, selectors.EVENT_READ)
            assert sock.recv(4) == b""
            sock.close()
            assert sock.fileno() == -1
            sock.close()
            with pytest.raises(OSError, match="closed"):
                sock.send(b"x")

    run(main())


def test_a_full_connection_blocks_and_opens_again() -> None:
    async def main() -> None:
        async with two_hosts() as network:
            accepted = await _accept_one(network)
            sock = network.open_socket("broker", 1883, 5)
            reader, writer = await accepted.get()
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            sent = 0
            with contextlib.suppress(BlockingIOError):
                for _ in range(1000):
                    sent += sock.send(bytes(10_000))
            assert 128 * 1024 < sent < 300_000
            writing = asyncio.create_task(_until(sock, selectors.EVENT_WRITE))
            await asyncio.sleep(1)
            assert not writing.done()
            writer.transport.resume_reading()  # type: ignore[attr-defined]
            assert len(await reader.readexactly(sent)) == sent
            await writing
            assert sock.send(b"more") == 4

    run(main())


def test_what_is_received_and_not_read_is_bounded() -> None:
    async def main() -> None:
        async with two_hosts() as network:
            accepted = await _accept_one(network)
            sock = network.open_socket("broker", 1883, 5)
            _reader, writer = await accepted.get()
            written = 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(10):
                    while True:
                        writer.write(bytes(10_000))
                        written += 10_000
                        await writer.drain()
            assert written < 700_000
            received = 0
            while received < written:
                await _until(sock, selectors.EVENT_READ)
                received += len(sock.recv(100_000))

    run(main())


def test_refused_at_once_where_that_is_known_at_once() -> None:
    async def main() -> None:
        async with two_hosts() as network:
            with pytest.raises(ConnectionRefusedError):
                network.open_socket("broker", 1883, 5)
            with pytest.raises(socket.gaierror):
                network.open_socket("nobody", 1883, 5)
            await _accept_one(network)
            await network.conduit("wan").down()
            with pytest.raises(ConnectionRefusedError):
                network.open_socket("broker", 1883, 5)

    run(main())


def test_refused_or_timed_out_later_is_told_by_recv_and_send() -> None:
    async def main() -> None:
        async with two_hosts(latency_ms=10) as network:
            sock = network.open_socket("broker", 1883, 5)
            await _until(sock, selectors.EVENT_READ)
            with pytest.raises(ConnectionRefusedError):
                sock.recv(1)
            sock.close()
            await _accept_one(network)
            await network.conduit("wan").stall()
            loop = asyncio.get_running_loop()
            before = loop.time()
            sock = network.open_socket("broker", 1883, 5)
            await _until(sock, selectors.EVENT_WRITE)
            await _until(sock, selectors.EVENT_READ)
            assert loop.time() - before == pytest.approx(5)
            with pytest.raises(TimeoutError):
                sock.send(b"x")

    run(main())


def test_reset_is_told_after_the_bytes_before_it() -> None:
    async def main() -> None:
        async with two_hosts() as network:
            accepted = await _accept_one(network)
            sock = network.open_socket("broker", 1883, 5)
            _reader, writer = await accepted.get()
            writer.write(b"last words")
            await asyncio.sleep(1)
            await network.conduit("wan").reset()
            await asyncio.sleep(1)
            assert sock.recv(100) == b"last words"
            with pytest.raises(ConnectionResetError):
                sock.recv(100)

    run(main())


def test_closing_while_it_connects_leaves_nothing() -> None:
    async def main() -> None:
        async with two_hosts(latency_ms=100) as network:
            await _accept_one(network)
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            sock = network.open_socket("broker", 1883, 5)
            await asyncio.sleep(0.15)
            sock.close()
            await asyncio.sleep(10)
            assert network.connections == {}
            assert len(asyncio.all_tasks()) == 1

    run(main())


def test_paho_is_as_before_when_the_network_is_closed() -> None:
    async def main() -> None:
        before = dict(vars(paho.Client))
        async with two_hosts():
            assert vars(paho.Client)["_create_socket_connection"] is not before["_create_socket_connection"]
            assert vars(paho.Client)["_ssl_wrap_socket"] is not before["_ssl_wrap_socket"]
        assert dict(vars(paho.Client)) == before
        with pytest.raises(KeyError):
            async with two_hosts():
                raise KeyError
        assert dict(vars(paho.Client)) == before

    run(main())
