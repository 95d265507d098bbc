"""A flapping link in real time, with a real Mosquitto behind it: no connection lives as long as the retention."""

import io

import pytest
import yaml
from rich.console import Console

from shakedown.scenarios import model
from shakedown.scenarios.runner import Request, accept
from shakedown.twin.enterprise.mosquitto import mosquitto_missing
from tests.scenarios.health import assert_healthy, declared_lost, sent_per_sample

UP_S, DOWN_S, TIMES = 11, 3, 5
SCENARIO = {
    "name": "flapping",
    "title": "Up for 11 s, down for 3 s, and a journal of twelve seconds",
    "warm_up_s": 8,
    "duration_s": 12 + TIMES * (UP_S + DOWN_S),
    "drain_s": 30,
    "may_be_inconclusive": ["freshness"],
    "network": {"cell": {"latency_ms": 0}, "wan": {"latency_ms": 5}},
    "override": {
        "plant": {"scan_ms": 100},
        "site": {
            "south": {"plc1": {"publishing_interval_ms": 200, "sampling_interval_ms": 50}},
            "journal": {"rows_max": 6000},
            "north": {"enterprise": {"replay_per_s": 300, "reconnect_s": {"min": 0.2, "max": 0.5}}},
        },
    },
    "faults": [
        {
            "id": f"cut_{n}",
            "kind": "down",
            "target": "wan",
            "at_s": 10 + n * (UP_S + DOWN_S),
            "for_s": DOWN_S,
        }
        for n in range(TIMES)
    ],
}


@pytest.mark.wall
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(bool(mosquitto_missing()), reason=mosquitto_missing() or "present")
def test_a_flapping_link_loses_nothing_and_repeats_little(tmp_path):
    file = tmp_path / "flapping.yaml"
    file.write_text(yaml.safe_dump(SCENARIO))
    request = Request(model.set_up(file), tmp_path / "run", clock="wall", broker="mosquitto", strict=True)
    verdict = accept(request, Console(file=io.StringIO())).verdict
    assert_healthy(verdict)
    assert verdict.verdict == "PASS"
    assert declared_lost(tmp_path / "run") == 0
    assert sent_per_sample(tmp_path / "run") <= 2.5
