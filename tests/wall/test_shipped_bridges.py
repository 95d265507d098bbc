"""Every shipped bridge carries a short calm run: nothing that arrives is wrong, and nothing is left behind."""

import io
import json

import pytest
import yaml
from rich.console import Console

from shakedown.scenarios import model
from shakedown.scenarios.bridges.choice import choose
from shakedown.scenarios.bridges.find import find_bridge, shipped_bridges
from shakedown.scenarios.bridges.install import missing
from shakedown.scenarios.runner import Request, accept
from shakedown.twin.enterprise.mosquitto import mosquitto_missing

SOON = ("naive", "node_opcua")  # what CI has time for
NORTH = {
    "keep_alive_s": 5,
    "host_keep_alive_s": 5,
    "reconnect_s": {"min": 0.5, "max": 2},
    "retention_margin_s": 5,
}
BRIDGES = [name for name, path in shipped_bridges().items() if not find_bridge(str(path)).file.is_external]


@pytest.mark.wall
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SOON else pytest.mark.long) for name in BRIDGES]
)
def test_a_shipped_bridge_carries_the_line(name, tmp_path):
    carries(name, tmp_path)


@pytest.mark.wall
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SOON else pytest.mark.long) for name in BRIDGES]
)
def test_a_shipped_bridge_carries_a_secure_line(name, tmp_path):
    carries(name, tmp_path, secure=True)


def carries(name, tmp_path, **more):
    install = find_bridge(name).file.install
    if install is not None and (lacks := missing(install)):
        pytest.skip(f"{'; '.join(lacks)}: shakedown bridges install {name}")
    if lacks := mosquitto_missing():
        pytest.skip(lacks)
    south = {"plc1": {"publishing_interval_ms": 200, "sampling_interval_ms": 50}}
    override = {"site": {"south": south, "north": {"enterprise": NORTH}}}
    scenario = {
        "name": "calm",
        "title": "Calm",
        "warm_up_s": 3,
        "duration_s": 8,
        "drain_s": 11,
        "override": override,
    } | more
    (tmp_path / "calm.yaml").write_text(yaml.safe_dump(scenario))
    setup = model.set_up(tmp_path / "calm.yaml")
    request = Request(setup, tmp_path / "run", clock="wall", broker="mosquitto", bridge=choose(name))
    outcome = accept(request, Console(file=io.StringIO()))
    assert outcome.verdict.harness == []
    assert "bridge_ended" not in json.loads((outcome.folder / "manifest.json").read_text())
    counts = outcome.verdict.counts
    # a bridge that a busy machine makes connect again reports what it has once more: that is its way, and no mistake
    assert (counts["wrong"], counts["unexpected"]) == (0, 0)
    assert counts["ok"] > 3 * 69
