"""The same seed gives the same bytes on every simulated wire, between processes and for any PYTHONHASHSEED."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SHAKEDOWN = Path(sys.executable).with_name("shakedown")


def shakedown(*arguments, hash_seed="0"):
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "NO_COLOR": "1"}
    return subprocess.run(
        [SHAKEDOWN, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replay") / "run"
    done = shakedown("accept", "wan_outage_fast", "--duration", 60, "--seed", 5, "--out", folder)
    assert done.returncode == 3, done.stdout + done.stderr  # a minute is too short for a PASS
    return folder


@pytest.mark.parametrize("hash_seed", ["1", pytest.param("4242", marks=pytest.mark.slow)])
def test_a_replay_in_another_process_with_another_hash_seed_is_identical(run, hash_seed):
    done = shakedown("replay", run, hash_seed=hash_seed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "identical" in done.stdout


def test_another_seed_gives_other_bytes(run, tmp_path):
    other = tmp_path / "run"
    shakedown("accept", "wan_outage_fast", "--duration", 60, "--seed", 6, "--out", other)
    traces = [json.loads((folder / "manifest.json").read_text())["trace_sha256"] for folder in (run, other)]
    assert traces[0] != traces[1]


def test_a_run_that_was_tampered_with_does_not_replay(run, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in run.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    scenario = (copy / "scenario.yaml").read_text()
    (copy / "scenario.yaml").write_text(scenario.replace("latency_ms: 5", "latency_ms: 6"))
    done = shakedown("replay", copy)
    assert done.returncode == 1
    assert "different" in done.stdout
