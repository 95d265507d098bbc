"""A kind of south that the bridge does not have: one row in the table, and it publishes through the whole bridge."""

from __future__ import annotations

import asyncio
import inspect
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from shakedown.bridge.cli import bridge_group
from shakedown.bridge.config import load_site
from shakedown.bridge.south.kinds import KINDS
from shakedown.bridge.south.south import MakeSouth
from shakedown.bridge.yamlfile import ConfigError
from tests.bridge.modbus_south import MODBUS, ModbusServer
from tests.bridge.test_app import SITE, Plant, site_file, with_plant

MODBUS_SITE = SITE.replace(
    'plc1: {endpoint: "opc.tcp://plc:4840", publishing_interval_ms: 100}',
    'plc1: {endpoint: "modbus://plc:502", poll_s: 0.5}',
).replace("ns=2;s=T", "holding:7").replace("ns=2;s=Q", "holding:9")  # fmt: skip


class ModbusPlant(Plant):
    """The plant of `test_app.py` with a Modbus server in it."""

    site = MODBUS_SITE

    def __init__(self, network, folder) -> None:
        super().__init__(network, folder)
        self.registers = {7: 212, 9: 3}
        self.server = ModbusServer("plc", 502, self.registers)


@pytest.fixture(autouse=True)
def _row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "modbus", MODBUS)


def test_values_go_all_the_way_converted_and_once(tmp_path: Path) -> None:
    async def case(plant: ModbusPlant) -> None:
        plant.start()
        await plant.watch.until(lambda: plant.watch.values())
        assert (plant.watch.values()[0][0], plant.watch.values()[0][2]) == (0, 100.0)  # 212 °F
        plant.registers[7] = 32
        await plant.watch.until(lambda: plant.watch.values()[-1][2] == 0.0)
        await asyncio.sleep(10)
        assert [(alias, value) for alias, _, value in plant.watch.values()] == [
            (0, 100.0),
            (1, 3.0),
            (0, 0.0),
        ]
        assert plant.bridge.counters["south.plc1.reads"] > 20

    with_plant(tmp_path, case, ModbusPlant)


def test_what_its_server_refuses_is_bad(tmp_path: Path) -> None:
    async def case(plant: ModbusPlant) -> None:
        del plant.registers[9]
        plant.start()
        await plant.watch.until(lambda: len(plant.watch.values()) == 2)
        assert [value for _, _, value in plant.watch.values()] == [100.0, None]

    with_plant(tmp_path, case, ModbusPlant)


def test_it_dies_and_returns_with_its_server(tmp_path: Path) -> None:
    async def case(plant: ModbusPlant) -> None:
        plant.start()
        await plant.watch.until(lambda: plant.watch.values())
        plant.network.host("plc").unplug()
        await plant.watch.until(lambda: plant.watch.count("DDEATH"))
        plant.network.host("plc").plug()
        await plant.watch.until(lambda: plant.watch.count("DBIRTH") == 2)
        assert plant.born()["temperature"] == 100.0

    with_plant(tmp_path, case, ModbusPlant)


def test_after_a_restart_it_goes_on_from_what_it_stored(tmp_path: Path) -> None:
    async def case(plant: ModbusPlant) -> None:
        plant.start()
        await plant.watch.until(lambda: len(plant.watch.values()) == 2)
        await asyncio.sleep(15)
        plant.task.cancel()
        await asyncio.wait([plant.task])
        plant.start()
        await plant.watch.until(lambda: plant.watch.count("DBIRTH") == 2)
        await asyncio.sleep(5)
        assert plant.bridge.counters.get("readings", 0) == 0
        plant.registers[9] = 4
        await plant.watch.until(lambda: plant.watch.values()[-1][::2] == (1, 4.0))

    with_plant(tmp_path, case, ModbusPlant)


def test_its_entry_is_judged_by_its_own_model(tmp_path: Path) -> None:
    broken = MODBUS_SITE.replace("poll_s: 0.5", "poll_s: 0")
    with pytest.raises(
        ConfigError, match=r"site\.yaml:6:\d+: south\.plc1\.poll_s: must be greater than 0 \(0\)"
    ):
        load_site(site_file(tmp_path, broken))
    with pytest.raises(
        ConfigError, match=r"south\.plc1\.endpoint: is not an endpoint of a known kind .* modbus://"
    ):
        load_site(site_file(tmp_path, MODBUS_SITE.replace("modbus://", "modbuss://")))


def test_check_needs_no_library_of_any_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "modbus", type(MODBUS)(MODBUS.config, lambda: 1 / 0))
    result = CliRunner().invoke(bridge_group, ["check", str(site_file(tmp_path, MODBUS_SITE))])
    assert (result.exit_code, "cell.a: 2 metrics" in result.output) == (0, True)


@pytest.mark.parametrize("scheme", [*KINDS, "modbus"])
def test_every_kind_is_made_and_lives_as_stated(scheme: str) -> None:
    south = KINDS[scheme].load()
    asked = inspect.signature(MakeSouth.__call__).parameters.values()
    inspect.signature(south).bind(
        *(0 for p in asked if p.name != "self" and p.kind is p.POSITIONAL_OR_KEYWORD),
        **{p.name: 0 for p in asked if p.kind is p.KEYWORD_ONLY},
    )
    assert inspect.iscoroutinefunction(south.run)
    assert KINDS[scheme].config.model_fields["endpoint"].is_required()


def test_the_schema_shows_what_each_kind_takes() -> None:
    schema = json.loads(CliRunner().invoke(bridge_group, ["schema"]).output)
    assert "publishing_interval_ms" in schema["$defs"]["OpcUaConfig"]["properties"]
