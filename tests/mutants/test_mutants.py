"""Each broken bridge is caught by the criterion that should catch it; the healthy one passes the same drill."""

import importlib.util
import sys
from pathlib import Path

import pytest
from rich.console import Console

from shakedown.bridge.app import Bridge
from shakedown.scenarios import model
from shakedown.scenarios.runner import Request, accept

HERE = Path(__file__).parent
QUIET = Console(file=open("/dev/null", "w"))  # noqa: SIM115 (for the life of the process)


def _load(name):
    spec = importlib.util.spec_from_file_location(f"mutants_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


MUTANTS = _load("mutants").MUTANTS


def verdict_of(tmp_path, bridge=Bridge, parts=None, drill="drill.yaml"):
    def factory(site, journal, connect_to):
        return bridge(site, journal_path=journal, connect_to=dict(connect_to), parts=parts)

    setup = model.set_up(HERE / drill)
    return accept(Request(setup, tmp_path / "run"), QUIET, factory).verdict


def outcomes(verdict):
    return {criterion.name: criterion.verdict for criterion in verdict.criteria}


def test_the_healthy_bridge_passes_the_drill(tmp_path):
    verdict = verdict_of(tmp_path)
    assert verdict.verdict == "PASS", [(c.name, c.verdict, c.measured) for c in verdict.criteria]
    assert verdict.counts["lost"] == 0
    assert verdict.counts["late"] == 0


def test_the_healthy_bridge_passes_the_calm_run(tmp_path):
    assert verdict_of(tmp_path, drill="calm.yaml").verdict == "PASS"


QUICK = 8  # so many in every run of the tests, the rest with the longer ones


@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(m, id=m.name, marks=[pytest.mark.slow] if n >= QUICK else [])
        for n, m in enumerate(MUTANTS)
    ],
)
def test_a_broken_bridge_is_caught(tmp_path, mutant):
    verdict = verdict_of(tmp_path, mutant.bridge, mutant.parts, mutant.drill)
    assert verdict.harness == []
    assert verdict.verdict == "FAIL"
    failed = {name for name, outcome in outcomes(verdict).items() if outcome == "FAIL"}
    assert failed & set(mutant.caught_by), [(c.name, c.verdict, c.measured) for c in verdict.criteria]
