"""A host asks for births again and again while history is replayed: it gets them, and not all history each time."""

from __future__ import annotations

import io

import pytest
import yaml
from rich.console import Console

from shakedown.scenarios import model
from shakedown.scenarios.runner import Request, accept
from tests.scenarios.health import assert_healthy, sent_per_sample

CUT = {"id": "cut", "kind": "down", "target": "wan", "at_s": 10, "for_s": 15}
STORM_FROM_S, STORM_S = 26, 45
NORTH = {
    "keep_alive_s": 4,
    "host_keep_alive_s": 4,
    "reconnect_s": {"min": 0.5, "max": 1},
    "retention_margin_s": 60,
}


def storm(per_s: int) -> dict:
    asked = [
        {"id": f"rebirth_{n}", "kind": "rebirth_request", "target": "bridge",
         "at_s": round(STORM_FROM_S + n / per_s, 1), "for_s": 0.1}
        for n in range(STORM_S * per_s)
    ]  # fmt: skip
    return {
        "name": f"storm_{per_s}",
        "title": "Births are asked for while history is replayed",
        "warm_up_s": 5,
        "duration_s": 90,
        "drain_s": 60,
        "may_be_inconclusive": ["freshness", "loss"],
        "override": {"plant": {"scan_ms": 500}, "site": {"north": {"enterprise": NORTH}}},
        "faults": [CUT, *asked],
    }


@pytest.mark.parametrize("per_s", [1, 5])
def test_a_storm_of_rebirth_commands_repeats_births_and_little_else(tmp_path, per_s: int) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump(storm(per_s)))
    run = accept(Request(model.set_up(file), tmp_path / "run", strict=True), Console(file=io.StringIO()))
    assert_healthy(run.verdict)
    assert sent_per_sample(run.folder) <= 2.5
