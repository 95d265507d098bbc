"""Virtual and wall agree: the same scenario, real sockets and a bridge killed with SIGKILL, the same verdict."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from shakedown.scenarios import model
from shakedown.scenarios.runner import Request, accept

CATEGORIES = ("lost", "late", "wrong", "unexpected", "duplicated", "declared")


def conclusion(name, tmp_path, clock):
    setup = model.set_up(model.find(name))
    # a real toxiproxy-server now and then blocks while a half-open host comes back (docs/network.md)
    outcome = accept(
        Request(setup, tmp_path / clock, clock=clock, toxiproxy="builtin"), Console(file=io.StringIO())
    )
    verdict = outcome.verdict
    assert verdict.harness == []
    categories = {name: verdict.counts[name] > 0 for name in CATEGORIES}
    return verdict.verdict, {c.name: c.verdict for c in verdict.criteria}, categories


@pytest.mark.wall
@pytest.mark.slow
@pytest.mark.timeout(420)
def test_wan_outage_fast_comes_out_the_same_on_the_wall_as_in_virtual_time(tmp_path):
    on_the_wall = conclusion("wan_outage_fast", tmp_path, "wall")
    assert on_the_wall == conclusion("wan_outage_fast", tmp_path, "virtual")
    assert on_the_wall[0] == "PASS"


@pytest.mark.wall
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_shift_with_its_people_comes_out_the_same_on_the_wall_as_in_virtual_time(tmp_path):
    drill = str(Path(__file__).parent / "shift_drill.yaml")
    on_the_wall = conclusion(drill, tmp_path, "wall")
    assert on_the_wall == conclusion(drill, tmp_path, "virtual")
    assert (on_the_wall[1]["oee"], on_the_wall[1]["work_orders"]) == ("PASS", "PASS")
