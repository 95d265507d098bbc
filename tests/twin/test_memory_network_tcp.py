"""TCP in memory as an application sees it: connections, faults, patience, hosts that die."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import pytest

from shakedown.twin.clock import run
from shakedown.twin.clock.holding import current_host
from shakedown.twin.network.errors import NetworkError
from shakedown.twin.network.memory import MemoryNetwork
from shakedown.twin.network.memory_links import MemoryConduit

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Pair(NamedTuple):
    """Both ends of a connection; a writer that nobody holds would be closed by its finaliser."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server_reader: asyncio.StreamReader
    server_writer: asyncio.StreamWriter


class Rig:
    """A server on `plc` (cell) and a client on `bridge` (site), joined by the conduit `cell`."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.network = network
        self.accepted: asyncio.Queue[Streams] = asyncio.Queue()

    @property
    def conduit(self) -> MemoryConduit:
        return self.network.conduit("cell")

    async def serve(self, host: str = "plc", port: int = 4840) -> asyncio.AbstractServer:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert current_host.get() is self.network.host(host)
            self.accepted.put_nowait((reader, writer))

        address = await self.network.listen_address(host, port)
        return await self.network.host(host).spawn(asyncio.start_server(accept, *address))

    async def connect(self, client: str = "bridge", server: str = "plc", port: int = 4840) -> Streams:
        return await self.network.host(client).spawn(asyncio.open_connection(server, port))

    async def pair(self) -> Pair:
        """Both ends of a new connection."""
        client = await self.connect()
        return Pair(*client, *await self.accepted.get())


@contextlib.asynccontextmanager
async def rig(latency_ms: float = 0.0, jitter_ms: float = 0.0, **options: Any) -> AsyncIterator[Rig]:
    with MemoryNetwork(**options) as network:
        network.add_host("plc", "cell")
        network.add_host("plc2", "cell")
        network.add_host("bridge", "site")
        network.add_host("broker", "enterprise")
        network.add_conduit("cell", ("cell", "site"), latency_ms, jitter_ms)
        network.add_conduit("wan", ("site", "enterprise"), latency_ms=20)
        made = Rig(network)
        await made.serve()
        yield made


def in_virtual_time(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Run an async test on the virtual clock."""

    def wrapper() -> None:
        run(test())  # type: ignore[arg-type]

    wrapper.__name__ = test.__name__
    return wrapper


@in_virtual_time
async def test_bytes_go_both_ways_and_names_are_sensible() -> None:
    async with rig(latency_ms=5) as made:
        pair = await made.pair()
        before = time.monotonic()
        pair.writer.write(b"hello")
        assert await pair.server_reader.readexactly(5) == b"hello"
        assert time.monotonic() - before == pytest.approx(0.005)
        pair.server_writer.write(b"yes")
        assert await pair.reader.readexactly(3) == b"yes"
        assert time.monotonic() - before == pytest.approx(0.010)
        assert (
            pair.writer.get_extra_info("peername")
            == pair.server_writer.get_extra_info("sockname")
            == ("10.10.0.2", 4840)
        )
        assert pair.writer.get_extra_info("sockname") == pair.server_writer.get_extra_info("peername")
        assert pair.server_writer.get_extra_info("socket").getpeername()[0] == "10.20.0.4"


@in_virtual_time
async def test_end_of_stream_and_half_close() -> None:
    async with rig() as made:
        pair = await made.pair()
        pair.writer.write(b"question")
        pair.writer.write_eof()
        assert await pair.server_reader.read() == b"question"
        pair.server_writer.write(b"answer")
        pair.server_writer.close()
        assert await pair.reader.read() == b"answer"
        pair.writer.close()
        await pair.writer.wait_closed()
        await asyncio.sleep(1)
        assert made.network.connections == {}


@in_virtual_time
async def test_writing_to_a_closed_peer_is_answered_by_reset() -> None:
    async with rig(latency_ms=5) as made:
        pair = await made.pair()
        pair.server_writer.close()
        assert await pair.reader.read() == b""
        pair.writer.write(b"late")
        await asyncio.sleep(0.02)
        with pytest.raises(ConnectionResetError):
            await pair.writer.drain()


@in_virtual_time
async def test_closing_with_so_linger_0_resets_the_peer() -> None:
    async with rig() as made:
        pair = await made.pair()
        linger = struct.pack("ii", 1, 0)
        pair.server_writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        pair.server_writer.transport.abort()
        with pytest.raises(ConnectionResetError):
            await pair.reader.read()


@in_virtual_time
async def test_who_cannot_be_reached_is_said_and_why() -> None:
    async with rig() as made:
        with pytest.raises(ConnectionRefusedError, match="nobody listens on port 1 of plc"):
            await made.connect(port=1)
        with pytest.raises(socket.gaierror, match="unknown host 'plc9'"):
            await made.connect(server="plc9")
        with pytest.raises(ConnectionRefusedError, match=r"broker \(enterprise\) cannot reach plc \(cell\)"):
            await made.connect(client="broker")
        with pytest.raises(NetworkError, match="no conduit joins"):
            await made.network.route("broker", "plc", 4840)
        with pytest.raises(NetworkError, match=r"runs on no host; remedy: .*host\.spawn"):
            await asyncio.open_connection("plc", 4840)
        assert await made.network.route("bridge", "plc", 4840) == ("plc", 4840)
        assert made.conduit.counters.refused == 1


@in_virtual_time
async def test_addresses_names_and_ports_of_a_host() -> None:
    async with rig() as made:
        plc, loop = made.network.host("plc"), asyncio.get_running_loop()

        async def on_plc() -> None:
            with pytest.raises(OSError, match="in use") as caught:
                await asyncio.start_server(lambda *_: None, "0.0.0.0", 4840)
            assert caught.value.errno == errno.EADDRINUSE
            with pytest.raises(OSError, match="cannot listen on the address of plc2"):
                await asyncio.start_server(lambda *_: None, "plc2", 4841)
            private = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
            port = private.sockets[0].getsockname()[1]
            (await asyncio.open_connection("localhost", port))[1].close()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("plc", port)
            with pytest.raises(ConnectionRefusedError):
                await made.connect(port=port)
            found = await loop.getaddrinfo("plc2", 4840)
            assert found[0][4] == ("10.10.0.3", 4840)

        await plc.spawn(on_plc())
        _, writer = await made.network.host("bridge").spawn(asyncio.open_connection("10.10.0.2", 4840))
        assert writer.get_extra_info("peername") == ("10.10.0.2", 4840)


@in_virtual_time
async def test_a_closed_server_refuses_and_keeps_its_connections() -> None:
    async with rig() as made:
        server = await made.serve(port=4841)
        client, accepted = await made.connect(port=4841), await made.accepted.get()
        server.close()
        await server.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            await made.connect(port=4841)
        accepted[1].write(b"still here")
        assert await client[0].readexactly(10) == b"still here"


class _Broken(asyncio.Protocol):
    def data_received(self, data: bytes) -> None:
        raise KeyError("a defect of the protocol")


@pytest.mark.parametrize("factory", [_Broken, lambda: 1 / 0])
def test_a_protocol_that_raises_is_reported_and_loses_its_connection(factory: Callable[[], Any]) -> None:
    async def main() -> None:
        async with rig() as made:
            loop, reports = asyncio.get_running_loop(), []
            loop.set_exception_handler(lambda _loop, report: reports.append(report["exception"]))
            plc = made.network.host("plc")
            await plc.spawn(loop.create_server(factory, "plc", 4841))
            reader, writer = await made.connect(port=4841)
            writer.write(b"?")
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            assert [type(error) for error in reports] in ([KeyError], [ZeroDivisionError])
            await made.pair()  # other connections are none the worse

    run(main())


def test_it_works_on_the_paced_clock() -> None:
    async def main() -> None:
        async with rig(latency_ms=500) as made:
            pair = await made.pair()
            pair.writer.write(b"hello")
            assert await pair.server_reader.readexactly(5) == b"hello"

    before = time.monotonic()
    run(main(), clock="x10")
    assert time.monotonic() - before >= 0.2  # handshake and bytes: four times 500 ms, ten times as fast


@in_virtual_time
async def test_latency_and_jitter_never_reorder() -> None:
    async with rig(latency_ms=50, jitter_ms=49, seed=3) as made:
        pair = await made.pair()
        arrivals = []
        before = time.monotonic()
        for number in range(200):
            pair.writer.write(struct.pack(">I", number))
            await asyncio.sleep(0.001)
        for number in range(200):
            assert struct.unpack(">I", await pair.server_reader.readexactly(4)) == (number,)
            arrivals.append(time.monotonic() - before)
        await made.conduit.latency(500, direction="up")
        before = time.monotonic()
        pair.writer.write(b"!")
        await pair.server_reader.readexactly(1)
        assert 0.5 < time.monotonic() - before < 0.6


@in_virtual_time
async def test_bandwidth_is_held_and_pauses_the_writer() -> None:
    async with rig() as made:
        pair = await made.pair()
        await made.conduit.bandwidth(100)
        before = time.monotonic()

        async def write() -> float:
            for _ in range(100):
                pair.writer.write(bytes(10_000))
                await pair.writer.drain()
            return time.monotonic() - before

        writing = asyncio.create_task(write())
        await pair.server_reader.readexactly(500_000)
        assert time.monotonic() - before == pytest.approx(5, rel=0.02)
        await pair.server_reader.readexactly(500_000)
        assert time.monotonic() - before == pytest.approx(10, rel=0.02)
        assert 7.5 < await writing < 9.5  # all but window and buffer had to go out first


@in_virtual_time
async def test_a_reader_that_does_not_read_pauses_the_writer() -> None:
    async with rig() as made:
        pair = await made.pair()
        pair.server_writer.transport.pause_reading()
        written = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                while True:
                    pair.writer.write(bytes(10_000))
                    written += 10_000
                    await pair.writer.drain()
        assert 128 * 1024 < written < 300_000
        pair.server_writer.transport.resume_reading()
        assert len(await pair.server_reader.readexactly(written)) == written


@in_virtual_time
async def test_a_stall_holds_bytes_and_they_go_on_by_retransmission() -> None:
    async with rig() as made:
        pair = await made.pair()
        await made.conduit.stall()
        assert {"kind": "stall", "direction": "up"} in await made.conduit.read_back()
        before = time.monotonic()
        for number in range(10):
            pair.writer.write(bytes([number]))
            await asyncio.sleep(1)
        await made.conduit.heal()
        assert await made.conduit.read_back() == []
        assert await pair.server_reader.readexactly(10) == bytes(range(10))
        assert 10 <= time.monotonic() - before < 20  # the next retransmission, no later than as long again
        assert made.conduit.counters.bytes_held == 10


@in_virtual_time
async def test_what_was_on_its_way_when_a_cut_began_stays_before_what_is_sent_later() -> None:
    async with rig(latency_ms=300, jitter_ms=5) as made:
        pair = await made.pair()
        for number in range(40):  # five of them on their way, the next held back at once, twice over
            pair.writer.write(bytes([number]))
            if number in (9, 26):
                await made.conduit.stall("up")
            if number == 24:
                await made.conduit.heal()
            await asyncio.sleep(0.07)
        await made.conduit.heal()
        assert await pair.server_reader.readexactly(40) == bytes(range(40))


@in_virtual_time
async def test_tcp_loses_patience_after_924_seconds() -> None:
    async with rig() as made:
        pair = await made.pair()
        await made.conduit.stall()
        before = time.monotonic()
        pair.writer.write(b"?")
        with pytest.raises(TimeoutError):
            await pair.writer.wait_closed()
        assert time.monotonic() - before == pytest.approx(924.6)
        assert not pair.server_reader.at_eof()


@in_virtual_time
async def test_patience_is_configurable() -> None:
    async with rig(tcp_retries=3, syn_retries=1) as made:
        pair = await made.pair()
        await made.conduit.stall()
        before = time.monotonic()
        pair.writer.write(b"?")
        with pytest.raises(TimeoutError):
            await pair.writer.wait_closed()
        assert time.monotonic() - before == pytest.approx(0.2 + 0.4 + 0.8 + 1.6)
        before = time.monotonic()
        with pytest.raises(TimeoutError, match="no answer from plc:4840"):
            await made.connect()
        assert time.monotonic() - before == pytest.approx(3)


@in_virtual_time
async def test_a_connect_into_a_stall_succeeds_when_it_heals() -> None:
    async with rig() as made:
        await made.conduit.stall()
        before = time.monotonic()
        connecting = asyncio.create_task(made.connect())
        await asyncio.sleep(10)
        assert not connecting.done()
        await made.conduit.heal()
        await connecting
        assert time.monotonic() - before == pytest.approx(15)  # SYN after 0, 1, 3, 7 and 15 s


@in_virtual_time
async def test_a_cut_between_syn_and_answer_delays_the_connect() -> None:
    async with rig(latency_ms=100) as made:
        connecting = asyncio.create_task(made.connect())
        await asyncio.sleep(0.15)
        await made.conduit.stall()
        await asyncio.sleep(0.5)
        assert not connecting.done()
        await made.conduit.heal()
        await connecting


@in_virtual_time
async def test_many_small_writes_share_timers_under_a_bandwidth_limit() -> None:
    async with rig() as made:
        pair = await made.pair()
        await made.conduit.bandwidth(1000)
        before = time.monotonic()
        for _ in range(1000):
            pair.writer.write(bytes(100))
        await asyncio.sleep(0)
        assert len(pair.writer.transport.flow._on_the_way) <= 101  # type: ignore[attr-defined]
        await pair.server_reader.readexactly(100_000)
        assert time.monotonic() - before == pytest.approx(0.1, abs=0.002)


@in_virtual_time
async def test_a_black_hole_swallows_and_resets_at_healing() -> None:
    async with rig() as made:
        pair = await made.pair()
        await made.conduit.blackhole()
        pair.writer.write(b"gone")
        await asyncio.sleep(60)
        assert made.conduit.counters.bytes_swallowed == 4
        await made.conduit.heal()
        for side in (pair.reader, pair.server_reader):
            with pytest.raises(ConnectionResetError):
                await side.read()
        assert made.conduit.counters.resets == 1
        await made.connect()


@in_virtual_time
async def test_down_closes_visibly_and_refuses_until_healed() -> None:
    async with rig() as made:
        pair = await made.pair()
        await made.conduit.down()
        assert await pair.reader.read() == await pair.server_reader.read() == b""
        with pytest.raises(ConnectionRefusedError, match="cell is down"):
            await made.connect()
        assert made.conduit.counters.refused == 1
        await made.conduit.heal()
        await made.connect()


@in_virtual_time
async def test_reset_ends_both_sides_once() -> None:
    async with rig() as made:
        pair = await made.pair()
        await made.conduit.reset()
        for side in (pair.reader, pair.server_reader):
            with pytest.raises(ConnectionResetError):
                await side.read()
        await made.connect()


@in_virtual_time
async def test_a_cut_may_hold_in_one_direction() -> None:
    async with rig() as made:
        pair = await made.pair()
        await made.conduit.stall("down")
        pair.writer.write(b"up")
        assert await pair.server_reader.readexactly(2) == b"up"
        pair.server_writer.write(b"down")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await pair.reader.readexactly(4)
        await made.conduit.heal()
        assert await pair.reader.readexactly(4) == b"down"


@in_virtual_time
async def test_without_acknowledgements_the_sender_gives_up_too() -> None:
    async with rig(tcp_retries=3) as made:
        pair = await made.pair()
        await made.conduit.stall("down")
        pair.writer.write(b"heard, but not acknowledged")
        assert await pair.server_reader.readexactly(5) == b"heard"
        with pytest.raises(TimeoutError):
            await pair.writer.wait_closed()


@in_virtual_time
async def test_faults_on_a_cable_concern_that_host_alone() -> None:
    async with rig() as made:
        await made.serve("plc2")
        await made.network.cable("plc2").down()
        await made.connect()
        with pytest.raises(ConnectionRefusedError, match="cable of plc2 is down"):
            await made.connect(server="plc2")
        with pytest.raises(ConnectionRefusedError, match="cable of plc2 is down"):
            await made.connect(client="plc2", server="plc")


@in_virtual_time
async def test_an_unplugged_host_dies_silently() -> None:
    async with rig(latency_ms=5) as made:
        pair = await made.pair()
        made.network.host("plc").unplug()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):  # nobody sends: nobody learns
                await asyncio.wait(
                    {
                        asyncio.create_task(pair.reader.read(1)),
                        asyncio.create_task(pair.server_reader.read(1)),
                    },
                    return_when=asyncio.FIRST_COMPLETED,
                )
        made.network.host("plc").plug()
        await made.connect()
        pair.server_writer.close()  # what is left of the server: its FIN gets nowhere
        await asyncio.sleep(10)
        assert not pair.reader.at_eof()
        pair.writer.write(b"anybody there?")
        before = time.monotonic()
        with pytest.raises(ConnectionResetError, match="knows nothing of this connection"):
            await pair.writer.wait_closed()
        assert time.monotonic() - before < 1


@in_virtual_time
async def test_sending_to_an_unplugged_host_times_out() -> None:
    async with rig(tcp_retries=4) as made:
        pair = await made.pair()
        made.network.host("plc").unplug()
        pair.writer.write(b"anybody there?")
        with pytest.raises(TimeoutError):
            await pair.writer.wait_closed()


@in_virtual_time
async def test_loopback_survives_unplugging() -> None:
    async with rig() as made:
        client, accepted = await made.connect(client="plc"), await made.accepted.get()
        made.network.host("plc").unplug()
        accepted[1].write(b"me")
        assert await client[0].readexactly(2) == b"me"


@in_virtual_time
async def test_counters_show_what_passed() -> None:
    async with rig(latency_ms=3) as made:
        pair = await made.pair()
        pair.writer.write(b"abc")
        await pair.server_reader.readexactly(3)
        pair.server_writer.write(b"ok")
        await pair.reader.readexactly(2)
        counted = made.conduit.counters
        assert (counted.connections, counted.bytes_up, counted.bytes_down) == (1, 3, 2)
        assert (counted.refused, counted.resets, counted.bytes_swallowed, counted.bytes_held) == (0, 0, 0, 0)


@pytest.mark.parametrize(("change", "equal"), [({}, True), ({"text": b"abd"}, False), ({"seed": 2}, False)])
def test_the_trace_depends_on_seed_and_bytes_alone(change: dict[str, Any], equal: bool) -> None:
    async def traffic(text: bytes = b"abc", seed: int = 1) -> str:
        async with rig(latency_ms=3, jitter_ms=2, seed=seed) as made:
            pair = await made.pair()
            pair.writer.write(text)
            await pair.server_reader.readexactly(len(text))
            return made.network.trace_sha256()

    assert (run(traffic()) == run(traffic(**change))) is equal


@in_virtual_time
async def test_the_network_is_scoped() -> None:
    loop = asyncio.get_running_loop()
    network = MemoryNetwork()
    await network.close()  # never started: nothing to do
    await network.start()
    with pytest.raises(NetworkError, match="another network"):
        await MemoryNetwork().start()
    await network.close()
    await network.close()
    with pytest.raises(RuntimeError, match="no network of its own"):
        await loop.getaddrinfo("plc", 1)


def test_the_network_needs_virtual_time() -> None:
    with pytest.raises(NetworkError, match="needs virtual or paced time; remedy"):
        run(MemoryNetwork().start(), clock="wall")


@in_virtual_time
async def test_bad_topology_is_refused() -> None:
    network = MemoryNetwork()
    network.add_host("a", "cell")
    with pytest.raises(NetworkError, match="unknown zone 'dmz'"):
        network.add_host("b", "dmz")
    with pytest.raises(NetworkError, match="there already"):
        network.add_host("a", "site")
    conduit = network.add_conduit("wan", ("site", "enterprise"))
    with pytest.raises(NetworkError, match="joined already"):
        network.add_conduit("wan2", ("enterprise", "site"))
    with pytest.raises(NetworkError, match="no conduit 'cell'; conduits are wan"):
        network.conduit("cell")
    with pytest.raises(NetworkError, match="no host 'z'"):
        network.cable("z")
    for wrong in (conduit.latency(-1), conduit.bandwidth(0), conduit.stall("left")):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"remedy|latency"):
            await wrong
