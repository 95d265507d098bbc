"""`shakedown twin show`: all of a plant for eyes, for programs and as a drawing; and what a person gets wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from shakedown.bridge.yamlfile import ConfigError, load
from shakedown.scenarios.cli import cli
from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.plant_files import find_plant
from shakedown.twin.line import Plant
from shakedown.twin.line.draw import draw_line
from shakedown.twin.line.signals import signals_of
from tests.twin.line_rig import document

BOTTLING = Path(__file__).parents[2] / "scenarios" / "plants" / "bottling" / "plant.yaml"


def show(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["twin", "show", *arguments])


def test_everything_of_a_plant_is_shown() -> None:
    result = show("bottling")
    assert result.exit_code == 0
    plant = load(BOTTLING, Plant)
    lines = result.output.splitlines()
    for signal, name in zip(signals_of(plant), plant.each_signal_named(), strict=True):
        (line,) = [line for line in lines if line.startswith(f"{signal.node_id} ")]
        for told in (signal.data_type, signal.unit, name, signal.description):
            assert told in line
    for name in (*plant.machines, *plant.conveyors, *plant.reservoirs, *plant.upsets):
        assert name in result.output
    assert f"{plant.counted_machine} *" in result.output
    assert "--svg" in result.output


def test_a_plant_is_found_by_name_by_file_and_by_folder(tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    file.write_text(yaml.safe_dump(document()))
    assert find_plant(str(file)) == find_plant(str(tmp_path)) == Plant.model_validate(document())
    assert find_plant("bottling") == load(BOTTLING, Plant)


def test_the_json_is_whole() -> None:
    told = json.loads(show("bottling", "--json").output)
    plant = load(BOTTLING, Plant)
    assert [signal["node_id"] for signal in told["signals"]] == [s.node_id for s in signals_of(plant)]
    assert [machine["name"] for machine in told["machines"]] == list(plant.machines)
    assert told["upsets"] == list(plant.upsets)
    temperature = next(signal for signal in told["signals"] if signal["tag"] == "FILLER.TT101.PV")
    assert (temperature["unit"], temperature["low"], temperature["high"]) == ("FAH", 32.0, 212.0)


def test_the_drawing_goes_to_a_file_or_to_standard_output(tmp_path: Path) -> None:
    file = tmp_path / "line.svg"
    assert show("bottling", "--svg", str(file)).exit_code == 0
    assert file.read_text() == show("bottling", "--svg", "-").output == draw_line(load(BOTTLING, Plant))
    ET.fromstring(file.read_text())


def test_a_plant_with_one_machine_alone_is_shown(tmp_path: Path) -> None:
    alone = {"machines": {"only": {"cycle": {"mean_s": 2}}}, "conveyors": {}, "signals": {}}
    (tmp_path / "plant.yaml").write_text(yaml.safe_dump(document(**alone)))
    result = show(str(tmp_path))
    assert result.exit_code == 0
    assert "only *" in result.output
    assert "upsets: none" in result.output


def test_what_a_person_gets_wrong_is_said(tmp_path: Path) -> None:
    unknown = show("botling").exception
    assert isinstance(unknown, UsageError)
    assert "bottling" in str(unknown)
    (tmp_path / "plant.yaml").write_text("plant: 3")
    broken = show(str(tmp_path)).exception
    assert isinstance(broken, ConfigError)
    assert "plant.yaml:1:8" in str(broken)
    two = show("bottling", "--svg", "-", "--json")
    assert two.exit_code == 2
    assert "ask for one" in two.output
    nowhere = show("bottling", "--svg", str(tmp_path / "nowhere" / "line.svg"))
    assert nowhere.exit_code != 0
    assert "No such file or directory; check the path" in nowhere.output


@pytest.mark.parametrize("host", ["example.com", "::1", "1.2.3", "999.0.0.1"])
def test_a_host_that_is_no_address_is_refused(host: str) -> None:
    result = CliRunner().invoke(cli, ["twin", "serve", "bottling", "--host", host])
    assert result.exit_code == 2
    assert "give one of this machine, such as 127.0.0.1" in " ".join(result.output.split())


def test_the_command_line_starts_without_what_serving_needs() -> None:
    code = (
        "import sys, shakedown.twin.cli as c; c.twin_group(lambda name: None); "
        "print([m for m in ('asyncua', 'starlette', 'simpy', 'pydantic', 'uvicorn') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
