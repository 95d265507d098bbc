"""A broker that somebody else runs: `--broker mqtt://HOST:PORT`."""

import io
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from shakedown.scenarios import model
from shakedown.scenarios.runner import Request, accept
from shakedown.twin.enterprise.mosquitto import _binary, mosquitto_missing
from tests.twin.mqtt_lab import free_port

pytestmark = [
    pytest.mark.wall,
    pytest.mark.skipif(bool(mosquitto_missing()), reason=mosquitto_missing() or "present"),
]

CUT = {
    "name": "foreign",
    "title": "One cut, at a broker that runs already",
    "warm_up_s": 5,
    "duration_s": 18,
    "drain_s": 10,
    "may_be_inconclusive": ["freshness", "loss"],
    "network": {"cell": {"latency_ms": 0}, "wan": {"latency_ms": 5}},
    "faults": [{"id": "cut", "kind": "down", "target": "wan", "at_s": 8, "for_s": 4}],
}


@pytest.fixture
def port() -> Iterator[int]:
    """That of a stock Mosquitto; without a configuration it listens on loopback alone."""
    port = free_port()
    command = [str(_binary()), "-p", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert any(" running" in line for line in process.stderr)
            yield port
        finally:
            process.kill()


@pytest.mark.timeout(180)
def test_a_run_at_a_broker_that_runs_already_comes_to_its_verdict(tmp_path: Path, port: int) -> None:
    scenario = tmp_path / "foreign.yaml"
    scenario.write_text(yaml.safe_dump(CUT))
    broker = f"mqtt://127.0.0.1:{port}"
    request = Request(
        model.set_up(scenario), tmp_path / "run", clock="wall", broker=broker, toxiproxy="builtin"
    )
    verdict = accept(request, Console(file=io.StringIO())).verdict
    assert verdict.harness == []
    assert verdict.verdict == "PASS", verdict.criteria
    assert verdict.counts["eligible"] > 100
