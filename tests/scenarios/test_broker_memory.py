"""A broker crashes before it has noticed that the host is gone, and comes back with what it had retained, or empty."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from shakedown.scenarios import model
from shakedown.scenarios.runner import Request, accept
from tests.scenarios.health import assert_healthy

SCENARIO = """
name: broker_memory
title: The broker crashes before it has noticed that the host is gone
warm_up_s: 5
duration_s: 130
drain_s: 40
may_be_inconclusive: [freshness, loss]
override:
  site:
    north:
      enterprise: {keep_alive_s: 4, host_keep_alive_s: 4, reconnect_s: {min: 0.5, max: 1}, retention_margin_s: 3}
faults:
  - {id: host_gone, kind: crash, target: scada, at_s: 30, for_s: AWAY}
  - {id: broker_gone, kind: crash, target: broker, at_s: 32, for_s: 4}
parts:
  broker: {kind: broker, saves_retained_s: SAVES}
"""


@pytest.mark.parametrize(
    ("saves", "away"),
    [
        ("5", "60"),
        ("0", "12"),  # nobody could tell this crash from a cut: the host has to be back within the retention
        ("null", "60"),
    ],
)
def test_nothing_is_lost_behind_a_broker_that_died_with_its_host(tmp_path, saves: str, away: str) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(SCENARIO.replace("SAVES", saves).replace("AWAY", away))
    run = accept(Request(model.set_up(file), tmp_path / "run", strict=True), Console(file=io.StringIO()))
    assert_healthy(run.verdict)
