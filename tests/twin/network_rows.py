"""What a network does to an application, one coroutine a capability; each returns what was observed, in words.

The same code runs on every implementation: a host `bridge` in `site`, a host `broker` in `enterprise`, `wan` between.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import sys
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from shakedown.twin.network.errors import NetworkError
from shakedown.twin.network.model import Conduit, Network

PORT = 1883
QUIET_S = 0.12
"""How long nothing must arrive to be called nothing."""
PATIENCE_S = 5.0
"""How long something that must happen may take; longer than any working implementation needs."""
RST = struct.pack("ii", 1, 0)


@dataclass(eq=False)
class End:
    """One end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hears(self, patience_s: float = PATIENCE_S) -> str:
        """What comes next: the text sent, FIN, RST, ETIMEDOUT, or `nothing`."""
        try:
            async with asyncio.timeout(patience_s) as limit:
                data = await self.reader.read(65536)
        except ConnectionResetError:
            return "RST"
        except TimeoutError:
            return "nothing" if limit.expired() else "ETIMEDOUT"
        return data.decode() or "FIN"

    async def hears_now(self) -> str:
        return await self.hears(QUIET_S)

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
        self.writer.transport.abort()


@dataclass(eq=False)
class Lab:
    """Two hosts, the conduit between them, and connections from one to the other."""

    network: Network[Conduit]
    wan: Conduit
    on_the_wall: bool
    accepted: asyncio.Queue[End] = field(default_factory=asyncio.Queue)
    ends: list[End] = field(default_factory=list)

    async def listen(self, server: str = "broker", port: int = PORT) -> None:
        address = await self.network.listen_address(server, port)

        async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self.accepted.put(End(reader, writer))

        await self.network.host(server).spawn(asyncio.start_server(on_connection, *address))

    async def dial(self, client: str = "bridge", server: str = "broker", port: int = PORT) -> End:
        address = await self.network.route(client, server, port)
        end = End(*await self.network.host(client).spawn(asyncio.open_connection(*address)))
        self.ends.append(end)
        return end

    async def pair(self, client: str = "bridge", server: str = "broker") -> tuple[End, End]:
        """A connection that has carried a byte each way: its client's end and its server's."""
        near = await self.dial(client, server)
        await near.send(b"?")
        async with asyncio.timeout(PATIENCE_S):
            far = await self.accepted.get()
        self.ends.append(far)
        assert await far.hears() == "?"
        await far.send(b"!")
        assert await near.hears() == "!"
        return near, far

    async def attempt(self) -> str:
        """How a new connection goes: `refused`, or what comes of it."""
        try:
            async with asyncio.timeout(PATIENCE_S if self.on_the_wall else 300):
                end = await self.dial()
        except ConnectionRefusedError:
            return "refused"
        except TimeoutError:
            return "times out"
        return f"accepted, then {await end.hears_now()}"

    async def carries(self, near: End, far: End) -> str:
        """Which directions of a connection carry data now."""
        with contextlib.suppress(ConnectionError):
            await near.send(b"up")
            await far.send(b"down")
        up, down = await asyncio.gather(far.hears_now(), near.hears_now())
        return " and ".join(way for way, heard in (("up", up), ("down", down)) if heard == way) or "neither"


@contextlib.asynccontextmanager
async def lab(network: Network[Conduit], *, on_the_wall: bool) -> AsyncIterator[Lab]:
    """Put the two hosts up and take everything down again."""
    network.add_host("bridge", "site")
    network.add_host("broker", "enterprise")
    network.add_host("plc", "cell")
    network.add_host("clerk", "enterprise")
    wan = network.add_conduit("wan", ("site", "enterprise"))
    await network.start()
    made = Lab(network, wan, on_the_wall)
    try:
        await made.listen()
        yield made
    finally:
        for end in made.ends:
            end.writer.transport.abort()
        await network.close()


async def ordered_bytes(lab: Lab) -> str:
    near, far = await lab.pair()
    sent = b"".join(b"%07d " % number for number in range(40_000))
    for writer, reader in ((near.writer, far.reader), (far.writer, near.reader)):
        writer.write(sent)
        async with asyncio.timeout(PATIENCE_S):
            if await reader.readexactly(len(sent)) != sent:
                return "garbled"
    return "in order"


async def clean_close(lab: Lab) -> str:
    near, far = await lab.pair()
    near.writer.close()
    return await far.hears()


async def half_close(lab: Lab) -> str:
    near, far = await lab.pair()
    near.writer.write_eof()
    assert await far.hears() == "FIN"
    await far.send(b"answer")
    return "answered" if await near.hears() == "answer" else "cut"


async def reset_by_end(lab: Lab) -> str:
    near, far = await lab.pair()
    far.reset()
    return await near.hears()


async def nobody_listens(lab: Lab) -> str:
    await lab.network.listen_address("clerk", PORT)
    try:
        end = await lab.dial("bridge", "clerk")
    except ConnectionRefusedError:
        return "refused"
    except ConnectionResetError:
        return "accepted, then RST"  # so soon that connect() was told
    return f"accepted, then {await end.hears()}"


async def latency(lab: Lab) -> str:
    near, far = await lab.pair()
    await lab.wan.latency(40)
    slow_s = await round_trip_s(near, far)
    await lab.wan.heal()
    fast_s = min([await round_trip_s(near, far) for _ in range(5)])
    return f"{'later' if slow_s >= 0.08 else 'not later'}, {'not later' if fast_s < 0.08 else 'later'} after heal"


async def round_trip_s(near: End, far: End) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await near.send(b"ping")
    assert await far.hears() == "ping"
    await far.send(b"pong")
    assert await near.hears() == "pong"
    return loop.time() - began


async def jitter(lab: Lab) -> str:
    near, far = await lab.pair()
    await lab.wan.latency(20, 15, "up")
    loop = asyncio.get_running_loop()
    delays_s = []
    for _ in range(8):
        began = loop.time()
        await near.send(b"ping")
        assert await far.hears() == "ping"
        delays_s.append(loop.time() - began)
    numbers = b"".join(b"%03d " % number for number in range(20))
    for start in range(0, len(numbers), 4):
        await near.send(numbers[start : start + 4])
    async with asyncio.timeout(PATIENCE_S):
        in_order = await far.reader.readexactly(len(numbers)) == numbers
    varied = max(delays_s) - min(delays_s) > 0.002 and min(delays_s) >= 0.005
    return f"{'varies' if varied else 'constant'}, {'in order' if in_order else 'reordered'}"


async def bandwidth(lab: Lab) -> str:
    near, far = await lab.pair()
    await lab.wan.bandwidth(100)
    loop = asyncio.get_running_loop()
    began = loop.time()
    near.writer.write(bytes(30_000))
    async with asyncio.timeout(PATIENCE_S):
        await far.reader.readexactly(30_000)
    return "paced" if loop.time() - began >= 0.2 else "not paced"


async def back_pressure(lab: Lab) -> str:
    near, _ = await lab.pair()
    await lab.wan.stall()
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < 64 << 20:
            near.writer.write(bytes(65536))
            async with asyncio.timeout(QUIET_S):
                await near.writer.drain()
            sent += 65536
    return "paused" if sent < 16 << 20 else "endless"


async def down(lab: Lab) -> str:
    near, far = await lab.pair()
    await lab.wan.down()
    ends = {await near.hears(), await far.hears()}
    refused = await lab.attempt()
    await lab.wan.heal()
    await lab.pair()
    return f"{'closed' if ends <= {'FIN', 'RST'} else ends}, {refused}, back after heal"


async def reset(lab: Lab) -> str:
    near, far = await lab.pair()
    await lab.wan.reset()
    ends = {await near.hears(), await far.hears()}
    await lab.pair()
    return f"{' and '.join(sorted(ends))}, new ones work"


async def stall_resumes(lab: Lab) -> str:
    near, far = await lab.pair()
    heard = []
    for _ in range(2):  # second faults break what first ones do not
        await lab.wan.stall()
        await near.send(b"held up")
        await far.send(b"held down")
        heard += [await far.hears_now(), await near.hears_now()]
        await lab.wan.heal()
        heard += [await far.hears(), await near.hears()]
    intact = heard == ["nothing", "nothing", "held up", "held down"] * 2
    return "held and intact, twice" if intact else f"heard {heard}"


async def blackhole(lab: Lab) -> str:
    seen = []
    for _ in range(2):
        near, far = await lab.pair()
        await lab.wan.blackhole()
        await near.send(b"lost")
        await far.send(b"lost")
        seen += [await far.hears_now(), await near.hears_now()]
        await lab.wan.heal()
        seen += [await far.hears(), await near.hears()]
    after = set(seen[2:4] + seen[6:8])
    swallowed = set(seen[0:2] + seen[4:6]) == {"nothing"}
    return f"{'swallowed' if swallowed else seen}, {' and '.join(sorted(after))} at heal, twice"


async def fin_in_blackhole(lab: Lab) -> str:
    near, far = await lab.pair()
    await lab.wan.blackhole()
    near.writer.close()
    return await far.hears_now()


async def fin_in_stall(lab: Lab) -> str:
    near, far = await lab.pair()
    await lab.wan.stall()
    await near.send(b"last words")
    near.writer.close()
    before = await far.hears_now()
    await lab.wan.heal()
    return f"{before}, then {await far.hears()}, then {await far.hears()}"


async def asymmetric(lab: Lab) -> str:
    seen = []
    for fault in (lab.wan.blackhole, lab.wan.stall):
        for direction in ("up", "down"):
            near, far = await lab.pair()
            await fault(direction)
            seen.append(await lab.carries(near, far))
            await lab.wan.heal()
    return "the other direction goes on" if seen == ["down", "up"] * 2 else f"carried {seen}"


async def fault_on_new_connection(lab: Lab) -> str:
    await lab.pair()
    await lab.wan.latency(40)
    near, far = await lab.pair()
    return "holds" if await round_trip_s(near, far) >= 0.08 else "does not hold"


async def connect_into_blackhole(lab: Lab) -> str:
    await lab.wan.blackhole()
    return await lab.attempt()


async def retransmission(lab: Lab) -> str:
    """Whether bytes that are stalled are unacknowledged, so that the sender's TCP gives up some day."""
    near, _ = await lab.pair()
    await lab.wan.stall()
    await near.send(b"held")
    if not lab.on_the_wall:
        return await near.hears(3600)
    assert await near.hears_now() == "nothing"
    if sys.platform != "linux":
        return "acknowledged by the proxy"
    waiting = fcntl.ioctl(near.writer.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    return "acknowledged by the proxy" if waiting == bytes(4) else "unacknowledged"


async def half_open(lab: Lab) -> str:
    near, far = await lab.pair()
    lab.network.host("bridge").unplug()
    near.writer.transport.abort()  # what is left of the process says good-bye, and must not be heard
    unheard = await far.hears_now()
    lab.network.host("bridge").plug()
    if unheard != "nothing":
        return f"{unheard} at once"
    with contextlib.suppress(ConnectionError):
        await far.send(b"anybody there?")
    after = await far.hears()
    await lab.pair()
    return f"silence, then {after}"


async def zones(lab: Lab) -> str:
    try:
        await lab.network.route("plc", "broker", PORT)
    except NetworkError:
        return "refused"
    return "allowed"


async def cable(lab: Lab) -> str:
    near, far = await lab.pair()
    other_near, other_far = await lab.pair("clerk")
    await lab.network.cable("bridge").stall()
    seen = await lab.carries(near, far), await lab.carries(other_near, other_far)
    await lab.network.cable("bridge").heal()
    return "that host alone" if seen == ("neither", "up and down") else f"carried {seen}"


async def counters(lab: Lab) -> str:
    near, far = await lab.pair()
    await near.send(b"x" * 999)
    assert await far.hears() == "x" * 999
    await lab.wan.stall("down")
    await far.send(b"held")
    assert await near.hears_now() == "nothing"
    await lab.wan.heal()
    assert await near.hears() == "held"
    await lab.wan.blackhole("up")
    await near.send(b"swallowed")
    assert await far.hears_now() == "nothing"
    await lab.wan.heal()
    assert await far.hears() in ("RST", "FIN")
    seen = lab.wan.counters.as_dict()
    expected = {"connections": 1, "refused": 0, "resets": 1, "bytes_up": 1000, "bytes_down": 5}
    expected |= {"bytes_swallowed": 9, "bytes_held": 4}
    return "counted" if seen == expected else "not counted" if not any(seen.values()) else f"counted {seen}"


async def read_back(lab: Lab) -> str:
    await lab.pair()
    await lab.wan.blackhole("up")
    await lab.wan.latency(30, 0, "down")
    seen = await lab.wan.read_back()
    await lab.wan.heal()
    in_force = {(fault["kind"], fault["direction"], fault.get("latency_ms")) for fault in seen}
    right = in_force == {("blackhole", "up", None), ("latency", "down", 30)}
    return "the faults in force" if right and await lab.wan.read_back() == [] else f"{seen}"


Row = Callable[[Lab], Awaitable[str]]
