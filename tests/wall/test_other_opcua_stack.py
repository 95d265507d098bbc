"""A client of another OPC UA stack (node-opcua, in JavaScript) at a served plant: a second reading of the standard."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from shakedown.twin.servers.address_space import unece_unit_id
from tests.wall.served_plant import serving

pytestmark = [pytest.mark.wall, pytest.mark.timeout(600)]
STACK = Path(__file__).parent / "other_opcua_stack"
INSTALL_S, CLIENT_S = 300, 60
UPSET = "torque_stuck"


@pytest.fixture(scope="module")
def stack(pytestconfig: pytest.Config) -> Path:
    """The client with the packages of its lock file, installed once for each lock file."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian packages nodejs and npm)")
    lock = (STACK / "package-lock.json").read_bytes()
    folder = Path(pytestconfig.cache.mkdir("other_opcua_stack")) / hashlib.sha256(lock).hexdigest()[:16]
    if not (folder / "whole").exists():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(STACK, folder, ignore=shutil.ignore_patterns("node_modules"))
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S)
        if installed.returncode != 0:
            reason = f"npm cannot install node-opcua-client: {installed.stderr.strip()[-500:]}"
            if os.environ.get("SHAKEDOWN_CI"):
                pytest.fail(reason)
            pytest.skip(reason)
        (folder / "whole").touch()
    shutil.copy(STACK / "client.js", folder)
    return folder


def test_it_browses_subscribes_and_sets_off_an_upset(stack: Path, tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        before_ms = time.time_ns() // 1_000_000
        seen = _client(stack, tmp_path, served.endpoints["opcua"])
        upset = next(upset for upset in served.ask("GET", "/upsets") if upset["id"] == UPSET)
        (begun,) = served.ask("GET", "/ledger?kind=upset")
        signals = served.ask("GET", "/plant")["plant"]["signals"]
        after_ms = time.time_ns() // 1_000_000

    assert "bottling" in seen["objects"]
    assert seen["plant"] == [*dict.fromkeys(signal["owner"] for signal in signals), "Upsets", "Faults"]
    assert seen["filler"] == [signal["tag"] for signal in signals if signal["owner"] == "filler"]
    assert sorted(seen["properties"]) == ["EURange", "EngineeringUnits"]
    assert seen["unit"] == unece_unit_id("FAH")

    beats = seen["changes"]
    assert {beat["status"] for beat in beats} == {"Good"}
    assert [beat["value"] - beats[0]["value"] for beat in beats] == [0, 1, 2]
    assert [beat["ts_ms"] - beats[0]["ts_ms"] for beat in beats] == [0, 1_000, 2_000]
    assert before_ms - 1_000 <= beats[0]["ts_ms"] <= after_ms

    assert seen["upsets"] == ["Trigger"]
    assert seen["argument"]["name"] == "id"
    assert UPSET in seen["argument"]["description"]
    wrong = {
        "unknown": "BadInvalidArgument",
        "mistyped": "BadInvalidArgument",
        "missing": "BadArgumentsMissing",
    }
    wrong |= {"too_many": "BadTooManyArguments", "misplaced": "BadMethodInvalid"}
    assert {name: seen[name] for name in wrong} == wrong
    assert seen["called"] == "Good"
    assert upset["in_force"]
    assert begun["data"] == {"phase": "start", "id": UPSET, "upset": "stuck", "signals": ["capper.torque"]}
    assert beats[-1]["ts_ms"] <= begun["ts_ms"] <= after_ms


def _client(stack: Path, scratch: Path, endpoint: str) -> dict[str, Any]:
    """What the client saw; its certificate store is in `scratch`."""
    environment = os.environ | {"HOME": str(scratch), "XDG_CONFIG_HOME": str(scratch)}
    command = ["node", "client.js", endpoint, "bottling", UPSET]
    ended = subprocess.run(
        command, cwd=stack, env=environment, capture_output=True, text=True, timeout=CLIENT_S
    )
    assert ended.returncode == 0, ended.stderr
    # node-opcua, too, says things on its standard output, and when it pleases
    (report,) = (line for line in ended.stdout.splitlines() if line.startswith('{"objects":'))
    seen: dict[str, Any] = json.loads(report)
    return seen
