"""A small plant with alarms, OEE and a CMMS around the whole bridge, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiomqtt
import httpx2
import uvicorn
from starlette.applications import Starlette

from shakedown.bridge.app import Bridge, Parts
from shakedown.bridge.config import load_site
from shakedown.bridge.core import payload
from shakedown.bridge.core.datatypes import STRING
from shakedown.twin.clock import run
from shakedown.twin.enterprise.broker import EmbeddedBroker
from shakedown.twin.enterprise.cmms.failures import Failure
from shakedown.twin.enterprise.cmms.server import Cmms
from shakedown.twin.network.memory import MemoryNetwork
from shakedown.twin.network.model import Host
from shakedown.twin.servers.opcua import OpcUaServer
from tests.bridge.north_rig import Watch
from tests.bridge.south_rig import Tag

SITE = """\
format: 1
enterprise: acme
site: site
area: area
line: line
south: {plc1: {endpoint: "opc.tcp://plc:4840", publishing_interval_ms: 100}}
north:
  enterprise: {broker: "mqtt://broker:1883", keep_alive_s: 5, host_keep_alive_s: 1, retention_margin_s: 0, reconnect_s: {min: 0.5, max: 2}}
cells:
  cell:
    a:
      metrics:
        state: {south: plc1, node: "ns=2;s=STATE", type: String, states: {4: idle, 6: run, 9: fault, 101: changeover}}
        temperature: {south: plc1, node: "ns=2;s=T", unit: CEL, type: Double, low: -50, high: 200}
        total: {south: plc1, node: "ns=2;s=TOTAL", type: UInt32}
        good: {south: plc1, node: "ns=2;s=GOOD", type: UInt32}
        reject: {south: plc1, node: "ns=2;s=REJ", type: UInt32}
        pressure: {south: plc1, node: "ns=2;s=P", type: Double}
        quiet: {south: plc1, node: "ns=2;s=Q", type: Double}
alarms:
  hot: {metric: cell.a/temperature, high: 80, deadband: 5, on_delay_s: 5, off_delay_s: 3, priority: high, work_order: true,
        context: [cell.a/pressure], text: Bearing too hot,
        cause: cooling lost, consequence: the bearing seizes, response: open the valve, respond_s: 300}
  cold: {metric: cell.a/temperature, low: 0, suppress_in: [idle]}
oee:
  line1:
    state: cell.a/state
    produced: cell.a/total
    good: cell.a/good
    reject: cell.a/reject
    ideal_s: {"": 2}
    offset_s: 21600
    planned: [{name: early, begins_s: 0, lasts_s: 120}, {name: late, begins_s: 120, lasts_s: 600}]
cmms: {url: "http://cmms:8080", context_s: 60, timeout_s: 5}
equipment:
  cell.a: {equipment: ACME-A, owner: mechanics}
admin: {port: 8090}
"""  # noqa: E501
STATE, TEMPERATURE, TOTAL, GOOD, REJECT, PRESSURE, QUIET = range(7)
TAGS = (
    Tag("STATE", "UInt16"), Tag("T"), Tag("TOTAL", "UInt32"), Tag("GOOD", "UInt32"), Tag("REJ", "UInt32"),
    Tag("P"), Tag("Q"),
)  # fmt: skip
WAIT_S = 120.0


class Plant:
    """Everything on its host; `change` moves the machine, `said` is what the enterprise has heard."""

    def __init__(self, network: MemoryNetwork, folder: Path, site: str) -> None:
        self.network, self.folder = network, folder
        self.watch = Watch()
        self.server = OpcUaServer("plc", 4840, TAGS, endpoint_name="plc")
        self.broker = EmbeddedBroker("broker", 1883)
        self.cmms = Cmms("cmms", 8080, database=folder / "cmms.sqlite")
        self.bridge: Bridge
        self.task: asyncio.Task[None]
        (folder / "site.yaml").write_text(site)

    async def open(self) -> None:
        network = self.network
        network.add_conduit("cell", ("cell", "site"))
        network.add_conduit("wan", ("site", "enterprise"))
        hosts = {
            "plc": "cell",
            "bridge": "site",
            "broker": "enterprise",
            "cmms": "enterprise",
            "desk": "enterprise",
        }
        for name, zone in hosts.items():
            network.add_host(name, zone)
        await self.on("plc", self.server.start())
        await self.on("broker", self.broker.start())
        await self.on("cmms", self.cmms.start())
        network.host("broker").spawn(self.watch.run(aiomqtt.Client("broker", 1883)), name="watch")
        await self.watch.ready.wait()
        await self.assign("PUMP-1", 0)

    async def on(self, host: str, work: Any) -> Any:
        return await self.network.host(host).spawn(work, name="work")

    def start(self, parts: Parts | None = None) -> None:
        site = load_site(self.folder / "site.yaml")
        self.bridge = Bridge(site, journal_path=self.folder / "journal", parts=parts)
        self.task = self.network.host("bridge").spawn(self.bridge.run(), name="bridge")

    async def begin(self, parts: Parts | None = None) -> None:
        """Start the bridge and wait until the machine, running and cool, is known."""
        births = self.watch.count("DBIRTH")
        self.start(parts)
        await self.watch.until(lambda: self.watch.count("DBIRTH") > births)
        await asyncio.sleep(1)
        await self.change(
            (STATE, 6), (TEMPERATURE, 20.0), (TOTAL, 0), (GOOD, 0), (REJECT, 0), (PRESSURE, 1.0)
        )
        await asyncio.sleep(1)

    async def crash(self) -> None:
        self.network.host("bridge").unplug()
        self.bridge.cut()
        self.task.cancel()
        await asyncio.wait([self.task])
        self.network.host("bridge").plug()

    async def change(self, *changes: tuple[int, Any], status: int = 0) -> int:
        now_ms = time.time_ns() // 1_000_000
        values = [(i, value, status) for i, value in changes]
        await self.on("plc", self.server.publish(now_ms * 1_000_000, values))
        return now_ms

    async def command(self, name: str, value: str) -> None:
        """A DCMD by name."""
        message = payload.Payload()
        metric = message.metrics.add()
        metric.name, metric.datatype, metric.string_value = name, STRING, value

        async def send() -> None:
            async with aiomqtt.Client("broker", 1883) as client:
                await client.publish("spBv1.0/site.area/DCMD/line/cell.a", message.SerializeToString())

        await self.on("desk", send())

    async def http(self, method: str, url: str, body: Any = None, host: str = "desk") -> Any:
        async def ask() -> httpx2.Response:
            async with httpx2.AsyncClient(trust_env=False, timeout=5) as client:
                return await client.request(method, url, json=body)

        return await self.on(host, ask())

    async def assign(self, asset: str, from_ms: int) -> None:
        await self.http("POST", "http://cmms:8080/assets", {"id": asset})
        body = {"equipment": "ACME-A", "physical_asset": asset, "from_ms": from_ms}
        assert (await self.http("POST", "http://cmms:8080/assignments", body)).is_success

    async def orders(self) -> list[dict[str, Any]]:
        return (await self.http("GET", "http://cmms:8080/work-orders")).json()

    async def fail(self, kind: str) -> None:
        """The CMMS fails: `down`, or 5xx or no answer to a POST, before or after it has done what was asked."""
        if kind == "down":
            await self.on("cmms", self.cmms.stop())
        elif kind == "5xx":
            self.cmms.failures.set(Failure("error"))
        else:
            when = "after" if "after" in kind else "before"
            self.cmms.failures.set(Failure("time_out", when, methods=frozenset({"POST"})))

    async def heal(self, kind: str) -> None:
        if kind == "down":
            await self.on("cmms", self.cmms.start())
        self.cmms.failures.heal()

    async def work(self, order_id: str, *states: str) -> None:
        for state in states:
            url = f"http://cmms:8080/work-orders/{order_id}"
            assert (await self.http("PATCH", url, {"state": state, "by": "crew"})).is_success

    def said(self, name: str, *, device: str = "cell.a") -> list[tuple[int, Any]]:
        """(ts_ms, value) of a derived metric, in the order of time, each once."""
        metric_id = next(
            m.metric_id for m in self.bridge.model.metrics if (m.device, m.name) == (device, name)
        )
        found = dict.fromkeys(
            (m.timestamp, None if m.is_null else getattr(m, m.WhichOneof("value")))
            for seen in self.watch.seen
            if seen.kind in ("DDATA", "NDATA")
            for m in seen.message.metrics
            if m.alias == metric_id
        )
        return sorted(found, key=lambda pair: pair[0])

    def reports(self) -> list[dict[str, Any]]:
        return [json.loads(value) for _, value in self.said("oee/line1/report", device="")]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110 (what changes is all over the plant)
                await asyncio.sleep(0.2)

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.on("plc", self.server.stop())
        await self.on("cmms", self.cmms.stop())
        await self.on("broker", self.broker.stop())


def with_plant(folder: Path, case: Callable[[Plant], Awaitable[None]], site: str = SITE) -> None:
    async def main() -> None:
        with MemoryNetwork() as network:
            plant = Plant(network, folder, site)
            await plant.open()
            try:
                await case(plant)
            finally:
                await plant.end()

    run(main())


@contextlib.asynccontextmanager
async def serving(app: Starlette, host: Host, address: str, port: int) -> AsyncIterator[None]:
    """Serve an app of a test on a host of the network in memory."""
    config = uvicorn.Config(
        app, host=address, port=port, loop="none", http="h11", ws="none", lifespan="off", log_config=None
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.on_tick(0)
    await host.spawn(server.startup(), name="startup")
    try:
        yield
    finally:
        await server.shutdown()
