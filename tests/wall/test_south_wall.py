"""The south on real sockets and a real disk: killed again and again at the twin's server; at asyncua's bare one."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from asyncua import Server, ua

from shakedown.bridge.core.model import Metric, Reading, Sample
from shakedown.bridge.journal.journal import Journal
from shakedown.bridge.south.opcua import OpcUaSouth, Timing
from shakedown.twin.servers.opcua import OpcUaServer
from tests.bridge.south_rig import Tag, metric

pytestmark = pytest.mark.wall

TAGS = 3

SOUTH = """
import asyncio, sys
from types import SimpleNamespace
from shakedown.bridge.core.model import Metric, Sample
from shakedown.bridge.journal.journal import Journal
from shakedown.bridge.south.opcua import OpcUaSouth

async def main(endpoint, path, tags):
    metrics = [Metric(i, "f.d", f"t{i}", 10, "plc1", f"ns=2;s=T{i}") for i in range(tags)]
    journal = await Journal.open(path, targets=["a"], rows_max=10**6, metrics=metrics)

    async def on_readings(readings, entries):
        await journal.append(
            [Sample(r.metric_id, r.source_ts_ns // 10**6, r.value, 192, r.status) for r in readings], entries
        )
        print(len(readings), flush=True)

    config = SimpleNamespace(
        endpoint=endpoint, publishing_interval_ms=100, sampling_interval_ms=0, queue_size=5000,
        session_timeout_s=60.0, security="none", username="", password=None,
    )
    await OpcUaSouth("plc1", config, metrics, journal.get, on_readings=on_readings).run()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def config_of(endpoint: str) -> Any:
    return SimpleNamespace(
        endpoint=endpoint,
        publishing_interval_ms=100,
        sampling_interval_ms=0,
        queue_size=5000,
        session_timeout_s=60.0,
        security="none",
        username="",
        password=None,
    )


async def start_process(server: OpcUaServer, path: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", SOUTH, server.url, str(path), str(TAGS), stdout=asyncio.subprocess.PIPE
    )


async def lines(process: asyncio.subprocess.Process, count: int) -> None:
    """Wait until so many appends were reported."""
    assert process.stdout is not None
    for _ in range(count):
        assert await asyncio.wait_for(process.stdout.readline(), 20)


def test_sigkill_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    metrics = [Metric(i, "f.d", f"t{i}", 10, "plc1", f"ns=2;s=T{i}") for i in range(TAGS)]

    async def main() -> tuple[list[tuple[int, int, float]], list[Sample], int]:
        server = OpcUaServer("127.0.0.1", 0, [Tag(f"T{i}") for i in range(TAGS)], endpoint_name="line1")
        await server.start()
        offered: list[tuple[int, int, float]] = []

        async def line() -> None:
            for number in range(100_000):
                now_ns = time.time_ns() // 10**6 * 10**6
                changes = [(i, float(number), 0) for i in range(TAGS)]
                offered.extend((i, now_ns // 10**6, float(number)) for i in range(TAGS))
                await server.publish(now_ns, changes)
                await asyncio.sleep(0.02)

        writer = asyncio.create_task(line())
        for appends in (8, 3, 17, 5):
            process = await start_process(server, path)
            await lines(process, appends)
            process.send_signal(signal.SIGKILL)
            await process.wait()
        process = await start_process(server, path)
        await lines(process, 10)
        writer.cancel()
        await asyncio.wait([writer])
        last = offered[-1]
        process.send_signal(signal.SIGKILL)
        await process.wait()
        process = await start_process(server, path)
        assert process.stdout is not None
        # What is still queued comes within a publishing interval or two; then only keep-alives, which print nothing.
        while True:
            try:
                await asyncio.wait_for(process.stdout.readline(), 4)
            except TimeoutError:
                break
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await server.stop()
        journal = await Journal.open(path, targets=["a"], rows_max=10**6, metrics=metrics)
        samples = [sample for _, sample in await journal.read("a", 0, 10**6)]
        await journal.close()
        return offered, samples, last[1]

    offered, samples, last_ms = asyncio.run(main())
    found = [(s.metric_id, s.ts_ms, s.value) for s in samples if s.status == 0]
    first_ms = min(ts_ms for _, ts_ms, _ in found)
    expected = [row for row in offered if row[1] >= first_ms]
    assert sorted(found) == sorted(expected)
    assert max(ts_ms for _, ts_ms, _ in found) == last_ms
    assert len(found) > 200


def test_bare_asyncua_server_is_served_and_its_restart_survived(tmp_path: Path) -> None:
    """Its Republish answers Good and nothing, its TransferSubscriptions drops who asks, its history is gone."""

    async def start(port: int) -> tuple[Server, list[Any]]:
        server = Server()
        await server.init()
        server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/bare")
        assert await server.register_namespace("urn:test") == 2
        objects = server.nodes.objects
        nodes = [await objects.add_variable(ua.NodeId(f"T{i}", 2), f"T{i}", -1.0) for i in range(TAGS)]
        await server.start()
        return server, nodes

    async def write(nodes: list[Any], number: int) -> None:
        for node in nodes:
            await node.write_value(float(number))

    async def main() -> tuple[list[float], dict[str, int], list[str]]:
        server, nodes = await start(0)
        assert server.bserver is not None
        port = server.bserver.port
        journal = await Journal.open(tmp_path / "journal", targets=["a"], rows_max=10**6)
        values: list[float] = []
        events: list[str] = []
        arrived = asyncio.Event()

        async def on_readings(readings: Sequence[Reading], entries: Any) -> None:
            await journal.append([], entries)
            values.extend(r.value for r in readings if r.metric_id == 0)  # type: ignore[misc]
            arrived.set()

        async def until(value: float) -> None:
            async with asyncio.timeout(40):
                while value not in values:
                    arrived.clear()
                    await arrived.wait()

        south = OpcUaSouth(
            "plc1", config_of(f"opc.tcp://127.0.0.1:{port}/bare"), [metric(i, f"T{i}") for i in range(TAGS)],
            journal.get, on_readings=on_readings, on_event=lambda kind, details: events.append(kind),
            timing=Timing(watchdog_s=5.0, reconnect_min_s=0.2, reconnect_max_s=0.5),
        )  # fmt: skip
        task = asyncio.create_task(south.run())
        await until(-1.0)
        for number in range(5):
            await write(nodes, number)
            await until(float(number))
        await server.stop()
        server, nodes = await start(port)
        await write(nodes, 100)
        await until(100.0)
        for number in range(101, 105):
            await write(nodes, number)
            await until(float(number))
        task.cancel()
        await asyncio.wait([task])
        await journal.close()
        await server.stop()
        return values, dict(south.counters), events

    values, counters, events = asyncio.run(main())
    assert [v for v in values if v != -1.0] == [float(n) for n in (*range(5), *range(100, 105))]
    assert counters["subscriptions"] == 2
    assert counters["gaps_declared"] == TAGS  # there may have been changes, and nobody can tell
    assert "gap" in events
