"""Bridges that we did not write, on real sockets: what they do wrong is named, with the right exit code."""

from __future__ import annotations

import json
import sys

import pytest
import yaml

from shakedown.scenarios.cli import main

NORTH = {
    "keep_alive_s": 5,
    "host_keep_alive_s": 5,
    "reconnect_s": {"min": 0.5, "max": 2},
    "retention_margin_s": 5,
}
SOUTH = {"plc1": {"publishing_interval_ms": 200, "sampling_interval_ms": 50}}

PUBLISHES = """
import json, sys, time
import paho.mqtt.client as mqtt
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.connect({{ mqtt.host | tojson }}, {{ mqtt.port }})
client.loop_start()
print("ready", flush=True)
values = [{"d": "filler.filler_1", "m": "total", "v": n, "ts": n} for n in range({{ settings.values }})]
while True:
    client.publish("{{ settings.topic }}", json.dumps(values))
    time.sleep(0.02)
"""


@pytest.fixture
def drill(tmp_path, monkeypatch):
    """Runs `shakedown accept` in a folder of its own; the exit code, and the manifest if there is a run."""
    monkeypatch.chdir(tmp_path)

    def run(bridge, duration_s=3, drain_s=1, faults=(), clock="wall"):
        scenario = {
            "name": "drill",
            "title": "A drill",
            "warm_up_s": 1,
            "duration_s": duration_s,
            "drain_s": drain_s,
        }
        scenario |= {
            "override": {"site": {"south": SOUTH, "north": {"enterprise": NORTH}}},
            "faults": list(faults),
        }
        (tmp_path / "drill.yaml").write_text(yaml.safe_dump(scenario))
        with pytest.raises(SystemExit) as end:
            main(["accept", "drill.yaml", "--clock", clock, "--bridge", bridge, "--out", "run"])
        manifest = tmp_path / "run" / "manifest.json"
        return end.value.code, json.loads(manifest.read_text()) if manifest.exists() else None

    return run


def stranger(folder, **more):
    """A bridge file of a script that publishes made-up values."""
    declared = {"topic": "plant/values", "device": "[].d", "metric": "[].m", "value": "[].v"}
    document = {
        "name": "stranger",
        "title": "Stranger",
        "command": [sys.executable, "stranger.py"],
        "files": {"stranger.py": {"text": PUBLISHES}},
        "settings": {"topic": "plant/values", "values": 1},
        "promises": {"protocol": "json", "json": declared | {"timestamp": {"path": "[].ts"}}},
    }
    file = folder / "stranger.yaml"
    file.write_text(yaml.safe_dump(document | more, sort_keys=False))
    return str(file)


@pytest.mark.wall
def test_a_bridge_that_floods_is_stopped_and_fails(drill, tmp_path, monkeypatch):
    monkeypatch.setattr("shakedown.scenarios.parts.bridge.FLOOD_ROWS", 10_000)
    bridge = stranger(tmp_path, settings={"topic": "plant/values", "values": 2_000})
    code, manifest = drill(bridge, duration_s=6)
    assert (code, manifest["bridge"]["name"]) == (1, "stranger")
    assert manifest["bridge_ended"].startswith("it flooded the enterprise")


@pytest.mark.wall
def test_a_bridge_that_publishes_elsewhere_is_never_seen_and_the_topics_are_named(drill, tmp_path, capsys):
    bridge = stranger(
        tmp_path, settings={"topic": "other/x", "values": 1}, ready={"message": True, "within_s": 2}
    )
    code, manifest = drill(bridge)
    assert (code, manifest) == (2, None)
    assert "other/x" in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.glob("run*"))


@pytest.mark.wall
def test_a_bridge_that_publishes_elsewhere_fails_and_the_log_names_the_topics(drill, tmp_path):
    code, _ = drill(stranger(tmp_path, settings={"topic": "other/x", "values": 1}, ready={"log": "^ready"}))
    assert code in (1, 3)
    assert '"unmapped",{"topic":"other/x"}' in (tmp_path / "run" / "host.jsonl").read_text()


@pytest.mark.wall
def test_a_bridge_that_nobody_starts_is_asked_for_and_missed(drill, tmp_path, capsys):
    bridge = stranger(tmp_path, command=[], ready={"message": True, "within_s": 0.5})
    code, manifest = drill(bridge)
    printed = capsys.readouterr().err
    assert (code, manifest) == (2, None)
    assert "opc.tcp://127." in printed
    assert "ns=2;s=FILLER.TT101.PV" in printed
    assert "No bridge was seen within 0.5 s" in printed
