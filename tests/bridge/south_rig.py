"""A plant with an OPC UA server, and a south with its journal, in virtual time; and what ought to be in the journal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from shakedown.bridge.core.model import Metric, Reading, Sample
from shakedown.bridge.journal.journal import Journal
from shakedown.bridge.south.opcua import OpcUaSouth
from shakedown.twin.clock import run
from shakedown.twin.network.memory import MemoryNetwork
from shakedown.twin.servers.limits import OpcUaLimits
from shakedown.twin.servers.opcua import OpcUaSecurity, OpcUaServer

PORT = 4840


@dataclass(frozen=True)
class Tag:
    """A signal as the server wants it."""

    tag: str
    data_type: str = "Double"
    unit: str = ""
    eu_low: float | None = None
    eu_high: float | None = None
    machine: str = "filler_1"
    scan_ms: int = 100
    description: str = ""

    @property
    def node_id(self) -> str:
        return f"ns=2;s={self.tag}"


@dataclass
class Rig:
    """Server on host `plc`, south on host `bridge`, conduit `cell` between them; values change ten times a second."""

    network: MemoryNetwork
    server: OpcUaServer
    path: Path
    metrics: list[Metric]
    config: Any
    offered: list[Reading] = field(default_factory=list)
    delivered: list[Reading] = field(default_factory=list)  # all that `on_readings` got, over all starts
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    life: list[tuple[float, str]] = field(default_factory=list)
    south: OpcUaSouth = None  # type: ignore[assignment]
    journal: Journal = None  # type: ignore[assignment]
    south_task: asyncio.Task | None = None
    delay_s: float = 0.0  # what the journal takes for each append
    before_append: Callable[[], None] = lambda: None
    _number: int = 0
    _line: asyncio.Task | None = None

    @property
    def cell(self) -> Any:
        return self.network.conduit("cell")

    # -- plant

    async def scan(self) -> None:
        """Every tag changes."""
        self._number += 1
        now_ns = time.time_ns() // 1_000_000 * 1_000_000
        changes = [(i, float(self._number * 1000 + i), 0) for i in range(len(self.server.tags))]
        self.offered += [Reading(i, now_ns, value, status) for i, value, status in changes]
        await self.server.publish(now_ns, changes)

    def start_line(self) -> None:
        async def line() -> None:
            while True:
                await self.scan()
                await asyncio.sleep(0.1)

        self._line = self.network.host("plc").spawn(line(), name="line")

    def stop_line(self) -> None:
        assert self._line is not None
        self._line.cancel()

    # -- bridge

    async def start_south(self, metrics: Sequence[Metric] | None = None) -> None:
        self.metrics = list(metrics) if metrics is not None else self.metrics
        self.journal = await Journal.open(
            self.path, targets=["enterprise"], rows_max=10**6, metrics=self.metrics
        )

        async def on_readings(readings: Sequence[Reading], entries: Any) -> None:
            self.before_append()
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            await self.journal.append(
                [Sample(r.metric_id, r.source_ts_ns // 10**6, r.value, 192, r.status) for r in readings],
                entries,
            )
            self.delivered.extend(readings)

        loop = asyncio.get_running_loop()
        self.south = OpcUaSouth(
            "plc1",
            self.config,
            self.metrics,
            self.journal.get,
            on_readings=on_readings,
            on_lost=lambda name: self.life.append((loop.time(), "lost")),
            on_alive=lambda name: self.life.append((loop.time(), "alive")),
            on_event=lambda kind, details: self.events.append((kind, details)),
        )
        self.south_task = self.network.host("bridge").spawn(self.south.run(), name="south")

    async def stop_south(self) -> None:
        """Politely."""
        assert self.south_task is not None
        self.south_task.cancel()
        await asyncio.wait([self.south_task])
        await self.journal.close()

    async def kill_south(self) -> None:
        """As SIGKILL does: no farewell reaches anybody, nothing more reaches the disk."""
        assert self.south_task is not None
        self.network.host("bridge").unplug()
        await self.journal.close()
        self.south_task.cancel()
        await asyncio.wait([self.south_task])
        self.network.host("bridge").plug()

    # -- comparison

    async def journalled(self) -> list[tuple[int, int, Any]]:
        rows = await self.journal.read("enterprise", 0, 10**6)
        return [(s.metric_id, s.ts_ms, s.value) for _, s in rows if s.status == 0]

    async def settle(self) -> None:
        """The line stands still, and what is on its way arrives."""
        self.stop_line()
        await asyncio.sleep(60)

    async def differences(self) -> tuple[list[Any], list[Any]]:
        """What is missing in the journal and what is there too often or was never offered, from the first value on."""
        found = await self.journalled()
        first_ms = min((ts_ms for _, ts_ms, _ in found), default=0)
        expected = {
            (r.metric_id, r.source_ts_ns // 10**6, r.value)
            for r in self.offered
            if r.source_ts_ns // 10**6 >= first_ms
        }
        missing = sorted(expected - set(found))
        seen: set[Any] = set()
        surplus = [row for row in found if row not in expected or row in seen or seen.add(row)]  # type: ignore[func-returns-value]
        return missing, surplus

    async def in_order(self) -> bool:
        """Whether the values of each metric are in the order of their source: the live ones, and those of history."""
        rows = await self.journalled()
        for metric in self.metrics:
            newest, filled = 0, 0
            for metric_id, ts_ms, _ in rows:
                if metric_id != metric.metric_id:
                    continue
                if ts_ms >= newest:
                    newest = ts_ms
                elif ts_ms >= filled:
                    filled = ts_ms
                else:
                    return False
        return True


def metric(number: int, tag: str, name: str = "") -> Metric:
    return Metric(number, "filler.filler_1", name or tag.lower(), 10, "plc1", f"ns=2;s={tag}")


def play(
    folder: Path,
    scenario: Callable[[Rig], Coroutine[Any, Any, Any]],
    *,
    tags: int = 3,
    metrics: Sequence[Metric] | None = None,
    limits: OpcUaLimits | None = None,
    seed: int = 0,
    **config: Any,
) -> Any:
    """Run a scenario in virtual time; its result."""

    async def main() -> Any:
        async with asyncio.timeout(3600):
            with MemoryNetwork(seed=seed) as network:
                plc = network.add_host("plc", "cell")
                network.add_host("bridge", "site")
                network.add_conduit("cell", ("cell", "site"), latency_ms=2.0, jitter_ms=0.5)
                signals = [Tag(f"T{i}") for i in range(tags)]
                address = await network.listen_address("plc", PORT)
                server = OpcUaServer(*address, signals, endpoint_name="line1", limits=limits)
                await plc.spawn(server.start())
                await server.publish(time.time_ns(), [(i, -1.0, 0) for i in range(tags)])
                settings = {
                    "endpoint": f"opc.tcp://plc:{PORT}/line1",
                    "publishing_interval_ms": 500,
                    "sampling_interval_ms": 100,
                    "queue_size": 1000,
                    "session_timeout_s": 120.0,
                    "security": "none",
                    "username": "",
                    "password": None,
                    **config,
                }
                named = list(metrics) if metrics is not None else [metric(i, f"T{i}") for i in range(tags)]
                rig = Rig(network, server, folder / "journal", named, SimpleNamespace(**settings))
                return await scenario(rig)

    return run(main(), seed=seed)


def over_a_cut(folder: Path, config: Any, trust: OpcUaSecurity) -> tuple[list[Any], list[str], OpcUaServer]:
    """The good values that arrive of ten, one a second, from a server that asks for security; one cut on the way.

    Beside them the events of the south, and the server as it was left.
    """
    values: list[Any] = []
    events: list[str] = []
    server = OpcUaServer("plc", PORT, [Tag("T0")], endpoint_name="line1", security=trust)

    async def main() -> None:
        with MemoryNetwork(seed=0) as network:
            plc, bridge = network.add_host("plc", "cell"), network.add_host("bridge", "cell")
            await plc.spawn(server.start())
            journal = await Journal.open(folder / "j", targets=["a"], rows_max=1000)

            async def on_readings(readings: Sequence[Reading], entries: Any) -> None:
                await journal.append([], entries)
                values.extend(reading.value for reading in readings if not reading.status)

            south = OpcUaSouth(
                "plc1", config, [metric(0, "T0")], journal.get,
                on_readings=on_readings, on_event=lambda kind, details: events.append(kind),
            )  # fmt: skip
            task = bridge.spawn(south.run())
            for number in range(10):
                await server.publish(time.time_ns(), [(0, float(number), 0)])
                await asyncio.sleep(1)
                if number == 5:
                    await network.cable("plc").reset()
            task.cancel()
            await asyncio.wait([task])
            await journal.close()
            await server.stop()

    run(main())
    return values, events, server
