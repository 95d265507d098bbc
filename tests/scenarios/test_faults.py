"""Every fault of the table, in a short run: seen to take effect, healed; and one that does nothing is told."""

import io
import json

import pytest
from rich.console import Console

from shakedown.scenarios import model
from shakedown.scenarios.faults import FAULTS
from shakedown.scenarios.runner import Request, accept
from shakedown.twin.enterprise.cmms.failures import FailureSwitch
from shakedown.twin.network.memory_links import MemoryConduit

PARAMETERS = {
    "blackhole": [
        {"target": "wan"},
        {"target": "wan", "direction": "up"},
        {"target": "cell", "direction": "down"},
    ],
    "stall": [{"target": "wan", "direction": "down"}, {"target": "cell"}],
    "down": [{"target": "wan"}, {"target": "cell"}],
    "slow": [{"target": "wan", "latency_ms": 300, "jitter_ms": 20, "bandwidth_kB_s": 50}],
    "half_open_host": [{}],
    "broker_restart": [{}],
    "kill_bridge": [{}],
    "rebirth_request": [{}],
    "cmms_down": [
        {"how": "down"},
        {"how": "error", "status": 500},
        {"how": "error_after"},
        {"how": "time_out"},
        {"how": "time_out_after"},
        {"how": "error", "methods": ["GET"]},
    ],
}
CASES = [(kind, parameters) for kind, cases in PARAMETERS.items() for parameters in cases]


def run_with(tmp_path, **fault):
    file = tmp_path / "one.yaml"
    document = {
        "format": 1,
        "name": "one",
        "title": "One fault",
        "warm_up_s": 5,
        "duration_s": 30,
        "drain_s": 40,
    }
    document["override"] = {
        "site": {"north": {"enterprise": {"keep_alive_s": 4, "reconnect_s": {"min": 0.5, "max": 2}}}}
    }
    if fault["kind"] == "cmms_down":
        document |= {"overlays": ["shift"], "people": {"crew": {"poll_s": 2}}}
    document["faults"] = [{"id": "it", "at_s": 8, "for_s": 8, **fault}]
    file.write_text(json.dumps(document))
    outcome = accept(Request(model.set_up(file), tmp_path / "run"), Console(file=io.StringIO()))
    rows = [json.loads(line) for line in (outcome.folder / "timeline.jsonl").read_text().splitlines()]
    (row,) = [row for row in rows if row["id"] == "it"]
    return outcome, row


def test_every_fault_of_the_table_is_tried():
    assert {fault.model_fields["kind"].annotation.__args__[0] for fault in FAULTS} == PARAMETERS.keys()


@pytest.mark.parametrize(("kind", "parameters"), CASES, ids=lambda value: str(value).replace(" ", ""))
def test_a_fault_takes_effect_and_is_healed_and_nothing_is_lost(tmp_path, kind, parameters):
    outcome, row = run_with(tmp_path, kind=kind, **parameters)
    assert row["verified"], row["evidence"]
    assert row["kind"] == kind
    assert row["end_ns"] - row["start_ns"] == pytest.approx(8e9, abs=2e9)
    assert parameters.items() <= row["asked"].items()
    assert outcome.verdict.harness == []
    counts = outcome.verdict.counts
    assert counts["eligible"] > 1000
    assert {counts[name] for name in ("lost", "late", "wrong", "unexpected", "duplicated")} == {0}


def test_a_cmms_that_goes_on_answering_makes_the_run_a_harness_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(FailureSwitch, "set", lambda self, failure: None)
    outcome, row = run_with(tmp_path, kind="cmms_down", how="error")
    assert row["evidence"] == {"answers_meanwhile": True, "requests_struck": 0}
    assert outcome.verdict.exit_code == 4


@pytest.mark.parametrize("kind", ["blackhole", "stall", "down"])
def test_a_fault_that_did_not_happen_makes_the_run_a_harness_fault(tmp_path, monkeypatch, kind):
    async def nothing(self, *args):
        return None

    monkeypatch.setattr(MemoryConduit, kind, nothing)
    outcome, row = run_with(tmp_path, kind=kind, target="wan")
    assert not row["verified"]
    assert outcome.verdict.verdict == "HARNESS_FAULT"
    assert outcome.verdict.exit_code == 4
    assert any("'it'" in problem.what for problem in outcome.verdict.harness)


def test_a_fault_that_is_reported_but_lets_bytes_pass_is_not_believed(tmp_path, monkeypatch):
    async def claims(self):
        return [{"kind": "blackhole", "direction": "up"}]

    async def nothing(self, *args):
        return None

    monkeypatch.setattr(MemoryConduit, "read_back", claims)
    monkeypatch.setattr(MemoryConduit, "blackhole", nothing)
    _, row = run_with(tmp_path, kind="blackhole", target="wan")
    assert not row["verified"]
