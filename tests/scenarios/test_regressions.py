"""Scenarios that once made the healthy bridge lose, repeat or mis-order, or made judge or lab blame it wrongly."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from shakedown.scenarios import model
from shakedown.scenarios.runner import Request, accept
from tests.scenarios.health import assert_healthy

FOUND = sorted((Path(__file__).parent / "regressions").glob("*.yaml"))
SLOW = {
    "back_pressure",
    "bytes_in_flight",
    "host_returns_to_no_broker",
    "requests_of_a_dead_client",
    "silence_after_retention",
}


def _each(file):
    return pytest.param(file, id=file.stem, marks=[pytest.mark.slow] * (file.stem in SLOW))


@pytest.mark.parametrize("file", [_each(file) for file in FOUND])
def test_the_healthy_bridge_is_healthy_and_nobody_else_is_blamed(tmp_path, file):
    request = Request(model.set_up(file), tmp_path / "run", strict=True)
    verdict = accept(request, Console(file=io.StringIO())).verdict
    assert_healthy(verdict)
