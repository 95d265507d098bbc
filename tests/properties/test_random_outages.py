"""The healthy bridge in random scenarios (tests/properties/outages.py): nothing lost, and nobody else blamed."""

import importlib.util
import io
import sys
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from shakedown.scenarios import model
from shakedown.scenarios.runner import Request, accept
from tests.scenarios.health import assert_healthy, declared_lost, sent_per_sample


def _outages():
    spec = importlib.util.spec_from_file_location("outages", Path(__file__).with_name("outages.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


OUTAGES = _outages()
QUIET = Console(file=io.StringIO())
FEW = (1,)
MORE = [
    pytest.param(seed, marks=pytest.mark.slow) for seed in range(8) if seed not in FEW
]  # every kind of fault
MANY = [pytest.param(seed, marks=[pytest.mark.slow, pytest.mark.long]) for seed in range(8, 30)]


@pytest.mark.parametrize("seed", [*FEW, *MORE, *MANY])
def test_the_healthy_bridge_is_healthy_and_nobody_else_is_blamed(tmp_path, seed):
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump(OUTAGES.scenario(seed)))
    request = Request(model.set_up(file), tmp_path / "run", seed=seed, strict=True)
    verdict = accept(request, QUIET).verdict
    assert_healthy(verdict)


@pytest.mark.parametrize("seed", [*FEW, *MORE, *MANY])
def test_a_flapping_link_makes_progress_and_little_is_sent_twice(tmp_path, seed):
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump(OUTAGES.flapping(seed)))
    verdict = accept(Request(model.set_up(file), tmp_path / "run", seed=seed, strict=True), QUIET).verdict
    assert_healthy(verdict)
    assert declared_lost(tmp_path / "run") == 0
    assert sent_per_sample(tmp_path / "run") <= 2.5


@pytest.mark.parametrize("seed", [*FEW, *MORE, *MANY])
def test_what_a_journal_cannot_hold_is_lost_and_declared_as_it_is(tmp_path, seed):
    file = tmp_path / "scenario.yaml"
    scenario = OUTAGES.flapping(seed, fits=False)
    file.write_text(yaml.safe_dump(scenario))
    verdict = accept(Request(model.set_up(file), tmp_path / "run", seed=seed), QUIET).verdict
    assert verdict.harness == []
    assert {c.name for c in verdict.criteria if c.verdict == "FAIL"} <= {"loss"}
    lost, declared = verdict.counts["lost"], declared_lost(tmp_path / "run")
    assert verdict.counts["late"] == 0
    # of each outage two seconds are in doubt: they may have arrived
    in_doubt = 2 * 2 * OUTAGES.CHANGES_PER_SCAN * len(scenario["faults"])
    assert declared > 0
    assert lost <= declared <= lost + in_doubt


@pytest.mark.parametrize("draw", [OUTAGES.scenario, OUTAGES.flapping])
def test_a_seed_is_a_scenario(draw):
    assert draw(7) == draw(7) != draw(8)


def test_a_rebirth_may_be_asked_for_while_the_bridge_is_away(tmp_path):
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump(OUTAGES.scenario(16)))
    faults = model.set_up(file).scenario.faults
    away, asked = (next(f for f in faults if f.id == name) for name in ("bridge_0", "rebirth_0"))
    assert away.at_s <= asked.at_s <= away.at_s + away.for_s
