"""The whole bridge between a real OPC UA server and a real broker in virtual time, and its command line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiomqtt
import msgspec
import pytest
from click.testing import CliRunner

from shakedown.bridge.app import Bridge, Parts
from shakedown.bridge.cli import bridge_group
from shakedown.bridge.config import load_site
from shakedown.bridge.core.model import BAD, Metric, Model, Reading, Sample
from shakedown.bridge.core.normalise import normalise
from shakedown.bridge.journal.errors import JournalDamaged, JournalFull
from shakedown.bridge.journal.journal import Journal
from shakedown.bridge.last_values import LastValues
from shakedown.twin.clock import run
from shakedown.twin.enterprise.broker import EmbeddedBroker
from shakedown.twin.network.memory import MemoryNetwork
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
  enterprise: {broker: "mqtt://broker:1883", keep_alive_s: 5, reconnect_s: {min: 0.5, max: 2}}
cells:
  cell:
    a:
      metrics:
        temperature: {south: plc1, node: "ns=2;s=T", from: FAH, unit: CEL, type: Double}
        quiet: {south: plc1, node: "ns=2;s=Q", type: Double}
"""


def site_file(folder: Path, text: str = SITE) -> Path:
    path = folder / "site.yaml"
    path.write_text(text)
    return path


class Plant:
    """Server, broker, watcher and bridge, each on its host."""

    site = SITE

    def __init__(self, network: MemoryNetwork, folder: Path) -> None:
        self.network, self.folder = network, folder
        self.watch = Watch()
        self.server: Any = OpcUaServer("plc", 4840, [Tag("T"), Tag("Q")], endpoint_name="plc")
        self.broker = EmbeddedBroker("broker", 1883)
        self.bridge: Bridge
        self.task: asyncio.Task[None]

    async def open(self) -> None:
        network = self.network
        network.add_conduit("cell", ("cell", "site"))
        network.add_conduit("wan", ("site", "enterprise"))
        for name, zone in (("plc", "cell"), ("bridge", "site"), ("broker", "enterprise")):
            network.add_host(name, zone)
        await network.host("plc").spawn(self.server.start(), name="server")
        await network.host("broker").spawn(self.broker.start(), name="broker")
        network.host("broker").spawn(self.watch.run(aiomqtt.Client("broker", 1883)), name="watch")
        await self.watch.ready.wait()

    def start(self, parts: Parts | None = None) -> None:
        site = load_site(site_file(self.folder, self.site))
        self.bridge = Bridge(site, journal_path=self.folder / "journal", parts=parts)
        self.task = self.network.host("bridge").spawn(self.bridge.run(), name="bridge")

    async def change(self, *changes: tuple[int, float, int]) -> int:
        """Publish (signal, value, status) changes; returns their timestamp in ms."""
        now_ms = time.time_ns() // 1_000_000
        await self.network.host("plc").spawn(
            self.server.publish(now_ms * 1_000_000, list(changes)), name="change"
        )
        return now_ms

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.network.host("plc").spawn(self.server.stop(), name="server")
        await self.network.host("broker").spawn(self.broker.stop(), name="broker")

    def born(self) -> dict[str, object]:
        """Values of the newest DBIRTH."""
        birth = [seen for seen in self.watch.seen if seen.kind == "DBIRTH"][-1]
        return {m.name: None if m.is_null else m.double_value for m in birth.message.metrics}


def with_plant(folder: Path, case: Callable[[Any], Awaitable[None]], kind: type[Plant] = Plant) -> None:
    async def main() -> None:
        with MemoryNetwork() as network:
            plant = kind(network, folder)
            await plant.open()
            try:
                await case(plant)
            finally:
                await plant.end()

    run(main())


def declared(plant: Plant, field: str) -> list[object]:
    """Values that the edge node has published of itself."""
    return [getattr(m, field) for s in plant.watch.seen if s.kind == "NDATA" for m in s.message.metrics]


def test_a_value_goes_all_the_way_with_its_timestamp_and_unit(tmp_path: Path) -> None:
    async def case(plant: Plant) -> None:
        plant.start()
        await plant.watch.until(lambda: plant.watch.count("DBIRTH"))
        await asyncio.sleep(1)
        ts_ms = await plant.change((0, 212.0, 0))
        expected = (0, ts_ms, 212.0 * (5 / 9) + -160 / 9)
        await plant.watch.until(lambda: expected in plant.watch.values(historical=False))
        assert plant.bridge.counters["readings"] >= 1
        assert plant.bridge.counters["north.enterprise.online"] == 1

    with_plant(tmp_path, case)


def test_values_that_cannot_be_carried_are_bad_and_declared(tmp_path: Path) -> None:
    async def case(plant: Plant) -> None:
        plant.start()
        await plant.watch.until(lambda: plant.watch.count("DBIRTH"))
        await asyncio.sleep(1)
        await plant.change((1, float("nan"), 0))
        await plant.watch.until(
            lambda: any(
                s.kind == "NDATA" and any(m.long_value == 1 for m in s.message.metrics)
                for s in plant.watch.seen
            )
        )
        assert plant.bridge.counters["values_refused"] == 1

    with_plant(tmp_path, case)


@pytest.mark.parametrize("after_s", [2, 15])
def test_births_after_a_crash_show_quiet_values_too(after_s: int, tmp_path: Path) -> None:
    """Before and after the image was stored; the server does not repeat a value that it has sent."""

    async def case(plant: Plant) -> None:
        plant.start()
        await plant.watch.until(lambda: plant.watch.count("DBIRTH"))
        await asyncio.sleep(1)
        await plant.change((1, 42.0, 0))
        for n in range(after_s * 2):
            await asyncio.sleep(0.5)
            await plant.change((0, float(n), 0))
        plant.network.host("bridge").unplug()
        plant.bridge.cut()
        plant.task.cancel()
        await asyncio.wait([plant.task])
        births = plant.watch.count("DBIRTH")
        plant.network.host("bridge").plug()
        plant.start()
        await plant.watch.until(lambda: plant.watch.count("DBIRTH") > births)
        assert plant.born()["quiet"] == 42.0
        assert plant.born()["temperature"] is not None

    with_plant(tmp_path, case)


def test_a_full_disk_is_declared_and_nothing_is_lost(tmp_path: Path) -> None:
    class Full(Journal):
        failing = False

        async def append(self, samples, entries=None):
            if type(self).failing:
                raise JournalFull("disk is full", self.path, "Free space.")
            return await super().append(samples, entries)

    async def case(plant: Plant) -> None:
        plant.start(Parts(journal=Full))
        await plant.watch.until(lambda: plant.watch.count("DBIRTH"))
        await asyncio.sleep(1)
        Full.failing = True
        expected = {await plant.change((1, 0.5, 0))}
        for n in range(1, 20):
            await asyncio.sleep(0.2)
            expected.add(await plant.change((1, float(n), 0)))
        assert not expected & {v[1] for v in plant.watch.values()}, "published without being journaled"
        assert True in declared(plant, "boolean_value")
        Full.failing = False
        await plant.watch.until(lambda: expected <= {v[1] for v in plant.watch.values()})
        assert plant.bridge.counters["journal_failures"] > 0

    with_plant(tmp_path, case)


def test_parts_can_be_replaced(tmp_path: Path) -> None:
    def doubled(metric: Metric, reading: Reading) -> Sample:
        sample = normalise(metric, reading)
        return sample._replace(value=sample.value * 2) if isinstance(sample.value, float) else sample

    async def case(plant: Plant) -> None:
        plant.start(Parts(normalise=doubled))
        await plant.watch.until(lambda: plant.watch.count("DBIRTH"))
        await asyncio.sleep(1)
        ts_ms = await plant.change((1, 21.0, 0))
        await plant.watch.until(lambda: (1, ts_ms, 42.0) in plant.watch.values())

    with_plant(tmp_path, case)


def test_the_image_survives_another_order_of_the_configuration(tmp_path: Path) -> None:
    def model(*names: str) -> Model:
        return Model("g", "e", tuple(Metric(i, "c.a", name, 10) for i, name in enumerate(names)), ("c.a",))

    async def main() -> list[Sample]:
        journal = await Journal.open(
            tmp_path / "j", targets=["t"], rows_max=1000, metrics=model("x", "y").metrics
        )
        rows = await journal.append([Sample(0, 1, 1.0), Sample(1, 2, None, BAD, 5)])
        image = LastValues(journal)
        await image.store([Sample(0, 1, 1.0)], 1)
        await image.store([Sample(0, 1, 1.0), Sample(1, 2, None, BAD, 5)], rows[-1])
        stored = sum(len(blob) for blob in journal.entries("bridge/image").values())
        await image.store([Sample(0, 1, 1.0), Sample(1, 2, None, BAD, 5)], rows[-1])
        again = sum(len(blob) for blob in journal.entries("bridge/image").values())
        assert again - stored < 20, "what did not change is not written"
        await journal.append([Sample(0, 3, 3.0), Sample(0, 2, 2.0)])
        await journal.close()
        changed = model("new", "y", "x")
        journal = await Journal.open(tmp_path / "j", targets=["t"], rows_max=1000, metrics=changed.metrics)
        try:
            return await LastValues(journal).recall(changed, "t")
        finally:
            await journal.close()

    assert asyncio.run(main()) == [
        Sample(2, 1, 1.0),
        Sample(1, 2, None, BAD, 5),
        Sample(2, 3, 3.0),
        Sample(2, 2, 2.0),
    ]


def test_the_image_of_an_earlier_format_is_read(tmp_path: Path) -> None:
    model = Model("g", "e", (Metric(0, "c.a", "x", 10), Metric(1, "c.a", "y", 10)), ("c.a",))
    old = msgspec.msgpack.encode((0, [("c.a/y", 1, 1.0, 192, 0), ("c.a/gone", 2, None, 0, 5)]))

    async def main() -> None:
        journal = await Journal.open(tmp_path / "j", targets=["t"], rows_max=1000, metrics=model.metrics)
        await journal.append([], {"bridge/image": old})
        image = LastValues(journal)
        assert await image.recall(model, "t") == [Sample(1, 1, 1.0)]
        await image.store([Sample(0, 2, 2.0), Sample(1, 1, 1.0)], 0)
        assert await LastValues(journal).recall(model, "t") == [Sample(0, 2, 2.0), Sample(1, 1, 1.0)]
        await journal.close()

    asyncio.run(main())


# ---- command line


def test_a_damaged_journal_ends_with_another_exit_code_than_a_wrong_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Bridge) -> None:
        raise JournalDamaged("a page is gone", tmp_path / "j")

    monkeypatch.setattr(Bridge, "run", fail)
    result = CliRunner().invoke(bridge_group, ["run", str(site_file(tmp_path))])
    assert result.exit_code == 1
    assert "Start again: what can be read of it is saved then." in result.output


def test_check_says_what_a_site_compiles_to(tmp_path: Path) -> None:
    result = CliRunner().invoke(bridge_group, ["check", str(site_file(tmp_path))])
    assert result.exit_code == 0
    assert "edge node site.area/line" in result.output
    assert "cell.a: 2 metrics" in result.output


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_bad_site_ends_with_every_problem_and_exit_code_2(command: str, tmp_path: Path) -> None:
    path = site_file(tmp_path, SITE.replace("unit: CEL", "unit: KGM").replace("keep_alive_s", "keepalive"))
    result = CliRunner().invoke(bridge_group, [command, str(path)])
    assert result.exit_code == 2
    assert (
        f"error: {path}:8:46: north.enterprise.keepalive: unknown field - did you mean 'keep_alive_s'?"
        in result.output
    )


def test_schema_is_json(tmp_path: Path) -> None:
    result = CliRunner().invoke(bridge_group, ["schema"])
    assert json.loads(result.output)["title"] == "Site"


def test_help_has_examples() -> None:
    result = CliRunner().invoke(bridge_group, ["run", "--help"])
    assert "--connect-to broker:1883=127.0.0.1:1883" in result.output


@pytest.mark.parametrize("route", ["broker", "broker:1883", "broker:1883=x", "broker:1883=x:99999", "b=1:2"])
def test_a_malformed_route_is_refused(route: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(bridge_group, ["run", str(site_file(tmp_path)), "--connect-to", route])
    assert result.exit_code == 2
    assert "for instance broker:1883=10.0.0.7:1883" in result.output


def test_a_journal_of_another_version_is_not_touched(tmp_path: Path) -> None:
    async def make() -> None:
        await (await Journal.open(tmp_path / "journal", targets=["t"], rows_max=1000)).close()

    asyncio.run(make())
    with contextlib.closing(sqlite3.connect(tmp_path / "journal")) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = (tmp_path / "journal").read_bytes()
    arguments = ["run", str(site_file(tmp_path)), "--journal", str(tmp_path / "journal")]
    result = CliRunner().invoke(bridge_group, arguments)
    assert result.exit_code == 2
    assert f"error: journal {tmp_path / 'journal'}" in result.output
    assert "version" in result.output
    assert (tmp_path / "journal").read_bytes() == before


def test_a_missing_certificate_is_named(tmp_path: Path) -> None:
    text = SITE.replace('"mqtt://broker:1883"', '"mqtts://broker:8883", tls: {ca: absent.pem}')
    result = CliRunner().invoke(
        bridge_group, ["run", str(site_file(tmp_path, text)), "--journal", str(tmp_path / "j")]
    )
    assert result.exit_code == 2
    assert "north.enterprise.tls.ca: absent.pem cannot be read" in result.output


@pytest.mark.wall
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_signals_stop_the_process_cleanly(number: signal.Signals, code: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "shakedown.bridge", "run", str(site_file(tmp_path))]
    routes = ["--connect-to=broker:1883=127.0.0.1:1", "--connect-to=plc:4840=127.0.0.1:1"]
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    process = subprocess.Popen([*command, *routes], stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "cannot be reached" in line:
            break
    process.send_signal(number)
    rest = process.communicate(timeout=20)[1]
    assert process.returncode == code, "".join(lines) + rest
    assert "Traceback" not in "".join(lines) + rest
    assert (tmp_path / "site.journal").exists()
