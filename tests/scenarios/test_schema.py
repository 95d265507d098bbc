"""`shakedown schema` prints JSON Schemas that an editor can load, with every key of the shipped files in them."""

import json

import pytest
from click.testing import CliRunner

from shakedown.scenarios import model
from shakedown.scenarios.bridges.find import find_bridge, shipped_bridges
from shakedown.scenarios.cli import cli


@pytest.mark.parametrize("what", ["scenario", "plant", "site"])
def test_the_schema_is_json_and_knows_the_keys_of_the_shipped_files(what):
    result = CliRunner().invoke(cli, ["schema", what])
    assert result.exit_code == 0
    schema = json.loads(result.stdout)
    assert schema["$schema"].startswith("https://json-schema.org/")
    for path in model.shipped().values():
        assert model.set_up(path).documents[what].keys() <= schema["properties"].keys()


def test_the_schema_of_a_bridge_knows_the_keys_of_the_shipped_bridges():
    schema = json.loads(CliRunner().invoke(cli, ["schema", "bridge"]).stdout)
    for name in shipped_bridges():
        assert find_bridge(name).document.keys() <= schema["properties"].keys()
