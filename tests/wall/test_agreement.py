"""Virtual and wall agree: the same scenario, real sockets and a bridge killed with SIGKILL, the same verdict."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from shakedown.scenarios import model
from shakedown.scenarios.runner import Request, accept

CATEGORIES = ("lost", "late", "wrong", "unexpected", "duplicated", "declared")
WAN_DRILL, SHIFT_DRILL = (
    str(Path(__file__).parent / f"{name}.yaml") for name in ("wan_drill", "shift_drill")
)


def conclusion(name, tmp_path, clock):
    setup = model.set_up(model.find(name))
    # a real toxiproxy-server has no half-open hosts (docs/network.md)
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
@pytest.mark.parametrize(
    "name",
    [WAN_DRILL, pytest.param("wan_outage_fast", marks=pytest.mark.long)],
    ids=["wan_drill", "wan_outage_fast"],
)
def test_outages_of_a_wan_come_out_the_same_on_the_wall_as_in_virtual_time(tmp_path, name):
    on_the_wall = conclusion(name, tmp_path, "wall")
    assert on_the_wall == conclusion(name, tmp_path, "virtual")
    assert on_the_wall[0] == "PASS"


@pytest.mark.wall
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_shift_with_its_people_comes_out_the_same_on_the_wall_as_in_virtual_time(tmp_path):
    on_the_wall = conclusion(SHIFT_DRILL, tmp_path, "wall")
    assert on_the_wall == conclusion(SHIFT_DRILL, tmp_path, "virtual")
    assert (on_the_wall[1]["oee"], on_the_wall[1]["work_orders"]) == ("PASS", "PASS")
