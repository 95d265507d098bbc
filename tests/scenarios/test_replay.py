"""The same seed gives the same bytes on every simulated wire, between processes and for any PYTHONHASHSEED."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_rig import CommandLine

SHAKEDOWN = Path(sys.executable).with_name("shakedown")


def shakedown(*arguments, hash_seed="0"):
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "NO_COLOR": "1"}
    return subprocess.run(
        [SHAKEDOWN, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replay") / "run"
    done = shakedown("accept", "wan_outage_fast", "--duration", 30, "--seed", 5, "--out", folder)
    assert done.returncode == 3, done.stdout + done.stderr  # this is too short for a PASS
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("hash_seed", ["1", pytest.param("4242", marks=pytest.mark.long)])
def test_a_replay_in_another_process_with_another_hash_seed_is_identical(run, hash_seed):
    done = shakedown("replay", run, hash_seed=hash_seed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "identical" in done.stdout


def short(line, seed):
    """The folder of a run of a few seconds."""
    out = f"seed_{seed}"
    done = line.here("accept", "wan_outage_fast", "--duration", "10", "--seed", str(seed), "--out", out)
    assert done.returncode == 3, done.stdout + done.stderr
    return line.folder / out


@pytest.fixture(scope="module")
def short_run(tmp_path_factory):
    """A run of a few seconds that nobody may change; copy it."""
    return short(CommandLine(tmp_path_factory.mktemp("short")), 5)


@pytest.mark.slow
def test_another_seed_gives_other_bytes(short_run, line):
    folders = short_run, short(line, 6)
    traces = [json.loads((folder / "manifest.json").read_text())["trace_sha256"] for folder in folders]
    assert traces[0] != traces[1]


def test_a_run_that_was_tampered_with_does_not_replay(short_run, line):
    copy = shutil.copytree(short_run, line.folder / "copy")
    scenario = (copy / "scenario.yaml").read_text()
    assert "latency_ms: 5" in scenario
    (copy / "scenario.yaml").write_text(scenario.replace("latency_ms: 5", "latency_ms: 6"))
    done = line.here("replay", "copy")
    assert done.returncode == 1
    assert "different" in done.stdout
