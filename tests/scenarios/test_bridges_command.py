"""`shakedown bridges`: what is there, what each lacks, and what cannot be installed here."""

import json

import pytest

from shakedown.scenarios.bridges.find import find_bridge, shipped_bridges
from shakedown.scenarios.bridges.install import STAMP, folder_of, missing


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("SHAKEDOWN_BRIDGES", str(tmp_path / "bridges"))


def test_the_list_says_of_each_bridge_whether_it_is_here(line):
    done = line.here("bridges")
    assert done.returncode == 0
    rows = {row.split()[0]: row for row in done.stdout.splitlines() if row.strip()}
    assert {"ours", *shipped_bridges()} <= rows.keys()
    install = find_bridge("node_opcua").file.install
    assert all(package in done.stdout for package in install.npm)  # what it lacks
    assert "shakedown bridges install NAME" in done.stdout


@pytest.mark.parametrize(
    ("names", "words"),
    [(["naive"], "needs nothing that is to be installed"), (["nobody"], "Unknown bridge 'nobody'")],
)
def test_what_cannot_be_installed_is_a_usage_error(line, names, words):
    done = line.here("bridges", "install", *names)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())


def test_a_tool_that_is_missing_is_named_with_the_remedy(line, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = line.here("bridges", "install", "node_opcua")
    assert done.returncode == 2
    assert "npm is not on the PATH: install Node.js" in " ".join(done.stderr.split())
    assert not folder_of("node_opcua").exists()


def test_an_installation_of_other_versions_does_not_count(line):
    install = find_bridge("node_opcua").file.install
    folder = folder_of(install.into)
    folder.mkdir(parents=True)
    wanted = {"npm": install.npm, "pip": [], "go": None, "go_tags": []}
    (folder / STAMP).write_text(json.dumps(wanted))
    assert missing(install) == []
    (folder / STAMP).write_text(json.dumps(wanted | {"npm": {"node-opcua": "1.0.0"}}))
    assert missing(install) == [f"{folder} holds other versions"]


def test_a_bridge_that_is_not_installed_is_a_usage_error_with_the_command(line):
    done = line.here("accept", "wan_outage_fast", "--clock", "wall", "--bridge", "node_opcua")
    assert done.returncode == 2
    assert "Install it: shakedown bridges install node_opcua" in " ".join(done.stderr.split())


def test_a_bridge_of_mqtt_5_needs_another_broker(line):
    done = line.here("accept", "wan_outage_fast", "--clock", "wall", "--bridge", "thingsboard")
    assert done.returncode == 2
    assert "Add --broker mosquitto" in " ".join(done.stderr.split())
