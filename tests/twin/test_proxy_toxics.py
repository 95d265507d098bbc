"""The toxics of the built-in proxy at work, in one process over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from shakedown.twin.network.proxy import CONNECTIONS_MAX, Proxy, loopback_address, split_address
from shakedown.twin.network.proxy_link import BUFFER_BYTES
from shakedown.twin.network.proxy_toxics import TOXICS, Toxic
from tests.twin.network_rows import End


@dataclass
class Rig:
    """A proxy before a server that keeps its connections for the test."""

    proxy: Proxy
    accepted: asyncio.Queue[End]

    async def pair(self) -> tuple[End, End]:
        near = End(*await asyncio.open_connection(*loopback_address(self.proxy.listen)))
        async with asyncio.timeout(5):
            return near, await self.accepted.get()

    def add(self, kind: str, stream: str = "upstream", toxicity: float = 1.0, **attributes: int) -> Toxic:
        toxic = Toxic(kind, kind, stream, toxicity, msgspec.convert(attributes, TOXICS[kind]))
        self.proxy.add_toxic(toxic)
        return toxic


@contextlib.asynccontextmanager
async def rig(**options: Any) -> AsyncIterator[Rig]:
    accepted: asyncio.Queue[End] = asyncio.Queue()

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accepted.put(End(reader, writer))

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    proxy = Proxy("p", "127.0.0.1:0", f"{host}:{port}", **options)
    await proxy.enable()
    try:
        yield Rig(proxy, accepted)
    finally:
        await proxy.disable(keep_port=False)
        server.close()


async def first_byte(made: Rig) -> bytes:
    reader, _ = await asyncio.open_connection(*loopback_address(made.proxy.listen))
    return await reader.read(1)


def play(scene: Callable[[Rig], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with rig(**options) as made:
            await scene(made)

    asyncio.run(main())


def test_slicer_cuts_into_small_pieces_and_loses_nothing() -> None:
    async def scene(made: Rig) -> None:
        near, far = await made.pair()
        made.add("slicer", average_size=10, size_variation=4, delay=2000)
        await near.send(b"0123456789" * 10)
        pieces: list[bytes] = []
        async with asyncio.timeout(5):
            while len(b"".join(pieces)) < 100:
                pieces.append(await far.reader.read(1000))
        assert b"".join(pieces) == b"0123456789" * 10
        assert len(pieces) > 3

    play(scene)


@pytest.mark.parametrize("size", [0, -5])
def test_slicer_without_a_size_lets_pass(size: int) -> None:
    async def scene(made: Rig) -> None:
        near, far = await made.pair()
        made.add("slicer", average_size=size, size_variation=9)
        await near.send(b"whole")
        assert await far.hears() == "whole"

    play(scene)


def test_limit_data_closes_when_the_limit_is_reached_and_counts_over_updates() -> None:
    async def scene(made: Rig) -> None:
        near, far = await made.pair()
        toxic = made.add("limit_data", bytes=7)
        await near.send(b"01234")
        assert await far.hears() == "01234"
        toxic.attributes = msgspec.convert({"bytes": 8}, TOXICS["limit_data"])
        made.proxy.update_toxic(toxic)
        await near.send(b"56789")
        assert await far.hears() == "567"
        assert [await far.hears(), await near.hears()] == ["FIN", "FIN"]

    play(scene)


def test_slow_close_delays_the_end_alone() -> None:
    async def scene(made: Rig) -> None:
        near, far = await made.pair()
        toxic = made.add("slow_close", delay=60_000)
        await near.send(b"data")
        near.writer.close()
        assert await far.hears() == "data"
        assert await far.hears_now() == "nothing"
        made.proxy.remove_toxic(toxic)
        assert await far.hears() == "FIN"

    play(scene)


def test_timeout_closes_after_its_time() -> None:
    async def scene(made: Rig) -> None:
        near, far = await made.pair()
        made.add("timeout", timeout=50)
        await near.send(b"swallowed")
        assert [await far.hears(), await near.hears()] == ["FIN", "FIN"]
        assert made.proxy.snapshot()["toxics"]["timeout"]["bytes_swallowed"] == 9

    play(scene)


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
def test_reset_peer_resets_existing_and_new_connections(stream: str) -> None:
    async def scene(made: Rig) -> None:
        near, far = await made.pair()
        made.add("reset_peer", stream, timeout=30)
        assert [await far.hears(), await near.hears()] == ["RST", "RST"]
        near, far = await made.pair()
        assert [await far.hears(), await near.hears()] == ["RST", "RST"]

    play(scene)


def test_toxicity_is_the_same_share_for_the_same_seed() -> None:
    hit: dict[int, list[str]] = {1: [], 2: []}

    def scene(into: list[str]) -> Callable[[Rig], Awaitable[None]]:
        async def connect(made: Rig) -> None:
            made.add("reset_peer", toxicity=0.5)
            for _ in range(20):
                try:
                    near = End(*await asyncio.open_connection(*loopback_address(made.proxy.listen)))
                except ConnectionResetError:
                    into.append("RST")
                    continue
                into.append(await near.hears_now())
                near.writer.transport.abort()

        return connect

    for into in hit.values():
        play(scene(into), seed=7)
    assert hit[1] == hit[2]
    assert set(hit[1]) == {"RST", "nothing"}


def test_toxics_work_one_after_the_other_and_in_any_order_of_removal() -> None:
    async def scene(made: Rig) -> None:
        near, far = await made.pair()
        slow = made.add("latency", latency=60_000)
        hold = made.add("bandwidth", rate=0)
        await near.send(b"first ")
        await near.send(b"second")
        assert await far.hears_now() == "nothing"
        made.proxy.remove_toxic(slow)
        assert await far.hears_now() == "nothing"
        made.proxy.remove_toxic(hold)
        async with asyncio.timeout(5):
            assert await far.reader.readexactly(12) == b"first second"

    play(scene)


def test_a_stalled_link_holds_no_more_than_its_bound() -> None:
    async def scene(made: Rig) -> None:
        near, _ = await made.pair()
        made.add("bandwidth", rate=0)
        near.writer.write(bytes(16 << 20))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await near.writer.drain()
        (connection,) = made.proxy._connections.values()
        assert BUFFER_BYTES <= connection.links["upstream"].queued_bytes <= BUFFER_BYTES + 262_144
        near.writer.transport.abort()

    play(scene)


def test_a_slow_reader_pauses_a_fast_sender_without_toxics() -> None:
    async def scene(made: Rig) -> None:
        near, far = await made.pair()
        far.writer.transport.pause_reading()
        near.writer.write(bytes(32 << 20))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await near.writer.drain()
        assert near.writer.transport.get_write_buffer_size() > 16 << 20
        far.writer.transport.resume_reading()
        async with asyncio.timeout(20):
            assert len(await far.reader.readexactly(32 << 20)) == 32 << 20

    play(scene)


def test_what_was_sent_before_the_server_answered_the_dial_is_not_lost() -> None:
    async def scene(made: Rig) -> None:
        _, writer = await asyncio.open_connection(*loopback_address(made.proxy.listen))
        writer.write(b"early")
        async with asyncio.timeout(5):
            far = await made.accepted.get()
        assert await far.hears() == "early"
        writer.close()

    play(scene)


def test_a_disabled_proxy_keeps_its_port_for_itself() -> None:
    async def scene(made: Rig) -> None:
        address = loopback_address(made.proxy.listen)
        await made.proxy.disable()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)
        with pytest.raises(OSError, match="in use"):
            await asyncio.start_server(lambda r, w: None, *address, reuse_address=False)
        await made.proxy.enable()
        assert loopback_address(made.proxy.listen) == address
        await made.pair()

    play(scene)


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CONNECTIONS_MAX <= 1024
    monkeypatch.setattr("shakedown.twin.network.proxy.CONNECTIONS_MAX", 2)

    async def scene(made: Rig) -> None:
        kept = [await made.pair() for _ in range(2)]
        with pytest.raises(ConnectionResetError):  # from connect() or from the first read, as it happens
            await first_byte(made)
        await kept[0][0].send(b"still here")
        assert await kept[0][1].hears() == "still here"

    play(scene)


@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "example.com:1", "192.168.1.1:1"])
def test_what_others_could_reach_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match="only loopback"):
        loopback_address(address)


@pytest.mark.parametrize("address", ["", "host", "host:", "host:x", "host:70000", "host:-1"])
def test_an_address_has_a_port(address: str) -> None:
    with pytest.raises(ValueError, match="missing port"):
        split_address(address)
