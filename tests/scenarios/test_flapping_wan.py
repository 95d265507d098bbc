"""A link on which no connection lives as long as the retention is got over for ever, in a journal of half a minute."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from shakedown.scenarios import model
from shakedown.scenarios.runner import Request, accept
from tests.scenarios.health import assert_healthy, declared_lost, sent_per_sample


@pytest.mark.slow
def test_a_flapping_link_loses_nothing_and_repeats_little(tmp_path):
    request = Request(model.set_up(model.find("flapping_wan")), tmp_path / "run", strict=True)
    verdict = accept(request, Console(file=io.StringIO())).verdict
    assert_healthy(verdict)
    assert verdict.verdict == "PASS"
    assert declared_lost(tmp_path / "run") == 0
    assert sent_per_sample(tmp_path / "run") <= 2.5
