"""The scenario for bridges without a primary host: nothing in it is more than plain JSON kept in memory can promise."""

from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

from shakedown.acceptance.criteria import loss
from shakedown.acceptance.promises import Promises
from shakedown.acceptance.run import load_run
from shakedown.scenarios import model
from shakedown.scenarios.runner import Request, accept


@pytest.mark.slow
def test_its_faults_take_nothing_away_that_a_json_bridge_in_memory_does_not_promise(tmp_path):
    setup = model.set_up(model.find("network_cuts"))
    outcome = accept(Request(setup, tmp_path / "run"), Console(file=io.StringIO()))
    assert outcome.verdict.verdict == "PASS", [c.in_full for c in outcome.verdict.criteria]
    run = load_run(outcome.folder)
    assert run.manifest["only_promised"] is True
    assert [outage.fault.kind for outage in run.outages] == ["blackhole", "stall", "down", "down"]
    for kept, judged in (("disk", True), ("memory", True), ("none", False)):
        promises = Promises(protocol="json", primary_host=False, store_and_forward=kept)
        run.bridge = msgspec.structs.replace(run.bridge, promises=promises)
        assert (loss.unpromised(run) == "") is judged
