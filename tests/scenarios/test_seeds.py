"""The healthy bridge on consecutive seeds (`make nightly`); CI runs the first ones."""

import io

import pytest
from rich.console import Console

from shakedown.scenarios import model
from shakedown.scenarios.runner import Request, accept
from shakedown.scenarios.suites import SUITES
from tests.scenarios.health import assert_healthy


def verdict_on(name, tmp_path, **asked):
    request = Request(model.set_up(model.find(name)), tmp_path / "run", **asked)
    return accept(request, Console(file=io.StringIO())).verdict


@pytest.mark.slow
def test_not_one_sample_is_lost_wrong_or_duplicated(tmp_path, outage_seed):
    verdict = verdict_on("wan_outage", tmp_path, seed=outage_seed, strict=True)
    assert verdict.verdict == "PASS", [(c.name, c.verdict, c.measured, c.statement) for c in verdict.criteria]
    assert_healthy(verdict)
    assert verdict.counts["eligible"] >= 29_956


@pytest.mark.slow
@pytest.mark.long  # .ci/run accepts seed 0 in the default suite
@pytest.mark.timeout(600)
def test_a_short_shift_turns_no_criterion_red(tmp_path, shift_seed, record_property):
    verdict = verdict_on("shift_short", tmp_path, seed=shift_seed)
    assert_healthy(verdict)
    assert len(verdict.criteria) == 9
    record_property("verdict", verdict.verdict)
    record_property("inconclusive", [c.name for c in verdict.criteria if c.verdict == "INCONCLUSIVE"])


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("name", sorted({name for suite in SUITES.values() for name in suite}))
def test_a_shipped_scenario_comes_to_its_verdict(tmp_path, name, suite_seed):
    verdict = verdict_on(name, tmp_path, seed=suite_seed)
    assert verdict.harness == []
    open_ = [(c.name, c.needs) for c in verdict.criteria if c.verdict == "INCONCLUSIVE" and not c.excused]
    assert open_ == []
