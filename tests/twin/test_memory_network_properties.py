"""Whatever a conduit does short of cutting a connection: bytes arrive in order, complete, exactly once."""

from __future__ import annotations

import asyncio
import hashlib
import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shakedown.twin.clock import run
from shakedown.twin.network.memory import MemoryNetwork
from shakedown.twin.network.memory_links import MemoryConduit

DIRECTIONS = st.sampled_from(["up", "down", "both"])


@dataclass(frozen=True)
class Fault:
    """After `after_s`, do `kind` on link `link` (0, 1: the cables, 2: the conduit)."""

    after_s: float
    link: int
    kind: str
    direction: str
    amount: float


FAULTS = st.builds(
    Fault,
    after_s=st.floats(0, 20),
    link=st.integers(0, 2),
    kind=st.sampled_from(["stall", "heal", "latency", "bandwidth"]),
    direction=DIRECTIONS,
    amount=st.floats(1, 500),
)
WRITES = st.lists(st.tuples(st.floats(0, 10), st.integers(0, 150_000)), max_size=12)


async def _act(link: MemoryConduit, fault: Fault) -> None:
    if fault.kind == "stall":
        await link.stall(fault.direction)  # type: ignore[arg-type]
    elif fault.kind == "heal":
        await link.heal()
    elif fault.kind == "latency":
        await link.latency(fault.amount, fault.amount, fault.direction)  # type: ignore[arg-type]
    else:
        await link.bandwidth(fault.amount, fault.direction)  # type: ignore[arg-type]


async def _write(writer: asyncio.StreamWriter, writes: list[tuple[float, int]], seed: int) -> bytes:
    source, sent = random.Random(seed), hashlib.sha256()
    for after_s, size in writes:
        await asyncio.sleep(after_s)
        data = source.randbytes(size)
        sent.update(data)
        writer.write(data)
        await writer.drain()
    writer.write_eof()
    return sent.digest()


async def _read(reader: asyncio.StreamReader, pause_s: float) -> bytes:
    received = hashlib.sha256()
    while data := await reader.read(20_000):
        received.update(data)
        await asyncio.sleep(pause_s)
    return received.digest()


async def _scenario(
    up: list[tuple[float, int]], down: list[tuple[float, int]], faults: list[Fault], pause_s: float, seed: int
) -> tuple[bool, str]:
    # the patience of TCP must outlast every stall here, so that no connection times out
    with MemoryNetwork(seed=seed, tcp_retries=100) as network:
        network.add_host("plc", "cell")
        network.add_host("bridge", "site")
        conduit = network.add_conduit("cell", ("cell", "site"), latency_ms=5, jitter_ms=5)
        links = [network.cable("plc"), network.cable("bridge"), conduit]
        accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted.put_nowait((reader, writer))

        server = await network.host("plc").spawn(asyncio.start_server(accept, "plc", 1))
        reader, writer = await network.host("bridge").spawn(asyncio.open_connection("plc", 1))
        server_reader, server_writer = await accepted.get()
        tasks = [
            asyncio.create_task(task)
            for task in (
                _write(writer, up, 1),
                _read(server_reader, pause_s),
                _write(server_writer, down, 2),
                _read(reader, 0),
            )
        ]
        for fault in faults:
            await asyncio.sleep(fault.after_s)
            await _act(links[fault.link], fault)
        for link in links:
            await link.heal()
        sent_up, received_up, sent_down, received_down = await asyncio.gather(*tasks)
        writer.close()
        server_writer.close()
        server.close()
        return sent_up == received_up and sent_down == received_down, network.trace_sha256()


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    up=WRITES,
    down=WRITES,
    faults=st.lists(FAULTS, max_size=8),
    pause_s=st.sampled_from([0, 0.001, 0.5]),
    seed=st.integers(0, 5),
)
def test_bytes_arrive_ordered_complete_and_once(
    up: list[tuple[float, int]],
    down: list[tuple[float, int]],
    faults: list[Fault],
    pause_s: float,
    seed: int,
) -> None:
    intact, trace = run(_scenario(up, down, faults, pause_s, seed))
    assert intact
    again, same_trace = run(_scenario(up, down, faults, pause_s, seed))
    assert again
    assert same_trace == trace
