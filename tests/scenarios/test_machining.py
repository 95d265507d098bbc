"""The second shipped plant: its bottleneck is in the middle of the line, and every figure of its shift is right."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from shakedown.scenarios import model
from shakedown.scenarios.runner import Request, accept
from tests.scenarios.health import assert_healthy


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["machining_short", pytest.param("machining_shift", marks=[pytest.mark.long, pytest.mark.timeout(900)])],
)
def test_a_shift_of_the_machining_line_passes(tmp_path, name):
    request = Request(model.set_up(model.find(name)), tmp_path / "run", seed=0)
    verdict = accept(request, Console(file=io.StringIO())).verdict
    assert_healthy(verdict)
    assert verdict.verdict == "PASS", [(c.name, c.verdict, c.statement) for c in verdict.criteria]
    assert "oee" in {criterion.name for criterion in verdict.criteria}
