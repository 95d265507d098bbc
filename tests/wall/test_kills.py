"""The bridge as a process of its own, killed with SIGKILL at seeded moments, with real sockets, in real time."""

import io
import random

import pytest
import yaml
from rich.console import Console

from shakedown.scenarios import model
from shakedown.scenarios.runner import Request, accept

SEED = 20260105
KILLS = 5
DURATION_S = 34


def _scenario():
    """Five kills in half a minute: while it starts, while it replays, in between."""
    moments = random.Random(SEED)
    faults, at_s = [], 6.0
    for number in range(KILLS):
        for_s = round(moments.uniform(0.2, 1.5), 2)
        faults.append(
            {
                "id": f"kill_{number}",
                "kind": "crash",
                "target": "bridge",
                "at_s": round(at_s, 2),
                "for_s": for_s,
            }
        )
        at_s += for_s + moments.uniform(0.3, 5)
    north = {"keep_alive_s": 3, "host_keep_alive_s": 3, "reconnect_s": {"min": 0.2, "max": 0.5}}
    return {
        "name": "kills",
        "title": "Five kills in half a minute",
        "warm_up_s": 5,
        "duration_s": DURATION_S,
        "drain_s": 10,
        "may_be_inconclusive": ["freshness"],
        "override": {
            "plant": {"scan_ms": 200},
            "site": {
                "south": {"plc1": {"publishing_interval_ms": 200, "sampling_interval_ms": 50}},
                "north": {"enterprise": {**north, "retention_margin_s": 2}},
            },
        },
        "faults": faults,
    }


@pytest.mark.wall
@pytest.mark.slow
def test_nothing_is_lost_when_the_bridge_is_killed_at_any_moment(tmp_path):
    file = tmp_path / "kills.yaml"
    file.write_text(yaml.safe_dump(_scenario()))
    request = Request(model.set_up(file), tmp_path / "run", clock="wall", seed=SEED, strict=True)
    verdict = accept(request, Console(file=io.StringIO())).verdict
    assert verdict.harness == []
    assert [(c.name, c.statement) for c in verdict.criteria if c.verdict == "FAIL"] == []
    counts = {name: verdict.counts[name] for name in ("lost", "late", "wrong", "unexpected", "duplicated")}
    assert counts == dict.fromkeys(counts, 0)
    assert verdict.counts["eligible"] > 5000
