"""The conduct of every fault of the table, on the parts and conduits that it may strike.

Each takes effect, is seen on the wire, heals, leaves nothing behind, costs no sample, and is the same for a seed.
"""

import io
import json

import pytest
from rich.console import Console

from shakedown.scenarios import model, runner
from shakedown.scenarios.faults import FAULTS, kind_of
from shakedown.scenarios.lab import Lab
from shakedown.scenarios.parts import kinds, table
from shakedown.scenarios.runner import Request, accept
from shakedown.twin.enterprise.cmms.failures import FailureSwitch
from shakedown.twin.network.memory_links import MemoryConduit


def marked(is_for_ci):
    return [pytest.mark.slow] if is_for_ci else []


PARAMETERS = {
    "blackhole": [
        {"target": "wan"},
        {"target": "wan", "direction": "up"},
        {"target": "cell", "direction": "down"},
    ],
    "stall": [{"target": "wan", "direction": "down"}, {"target": "cell"}],
    "down": [{"target": "wan"}, {"target": "cell"}],
    "reset": [{"target": "wan"}, {"target": "cell"}],
    "slow": [{"target": "wan", "latency_ms": 300, "jitter_ms": 20, "bandwidth_kB_s": 50}],
    "rebirth_request": [{"target": "bridge"}],
    "foreign_state": [{"target": "scada"}],
    "alarm_command": [
        {"target": "bridge", "device": "capper.capper_1", "alarm": "capper_fault", "verb": verb}
        for verb in ("shelve", "remove")
    ],
    "cmms_errors": [
        {"target": "cmms", "how": "error", "status": 500},
        {"target": "cmms", "how": "error_after"},
        {"target": "cmms", "how": "time_out"},
        {"target": "cmms", "how": "time_out_after"},
        {"target": "cmms", "how": "error", "methods": ["GET"]},
    ],
}
PARTS = ("plc1", "broker", "scada", "bridge", "cmms", "operator", "crew", "storekeeper")
"""One part of each kind that can be struck."""
OF_PARTS = ("crash", "freeze", "restart")
PARAMETERS |= {kind: [{"target": part} for part in PARTS] for kind in OF_PARTS}
AT_EACH_CHANGE = {(OF_PARTS[number % len(OF_PARTS)], part) for number, part in enumerate(PARTS)}
"""Every part is struck, and every fault strikes parts; all the pairs are CI's."""
CASES = [
    pytest.param(
        kind,
        parameters,
        marks=marked(kind in OF_PARTS and (kind, parameters["target"]) not in AT_EACH_CHANGE),
    )
    for kind, cases in PARAMETERS.items()
    for parameters in cases
]
AFFECTS = {
    "wan": ["wan"], "cell": ["cell"], "plc1": ["plc"], "broker": ["broker"], "scada": ["host"], "bridge": ["bridge"],
    "cmms": ["cmms"],
}  # fmt: skip
HINDER_NOTHING = ("rebirth_request", "foreign_state", "alarm_command")
WITHOUT_A_CUT = ("slow", "cmms_errors", *HINDER_NOTHING)
OF_A_CMMS = ("cmms", "operator", "crew", "storekeeper")
SHORT = {"format": 1, "name": "one", "title": "One fault", "warm_up_s": 5, "duration_s": 30, "drain_s": 40}
NORTH = {"keep_alive_s": 4, "host_keep_alive_s": 4, "reconnect_s": {"min": 0.5, "max": 2}}


def run_with(tmp_path, more=None, *, clock="virtual", folder="run", **fault):
    document = SHORT | {"override": {"site": {"north": {"enterprise": NORTH}}}}
    if fault["target"] in OF_A_CMMS:
        document |= {"overlays": ["shift"], "people": {"crew": {"poll_s": 2}}}
    document |= {"faults": [{"id": "it", "at_s": 8, "for_s": 8, **fault}], **(more or {})}
    file = tmp_path / "one.yaml"
    file.write_text(json.dumps(document))
    request = Request(model.set_up(file), tmp_path / folder, clock=clock)
    outcome = accept(request, Console(file=io.StringIO()))
    rows = [json.loads(line) for line in (outcome.folder / "timeline.jsonl").read_text().splitlines()]
    (row,) = [row for row in rows if row["id"] == "it"]
    return outcome, row


def named(value):
    return "-".join(map(str, value.values())) if isinstance(value, dict) else value


@pytest.fixture
def at_the_end(monkeypatch):
    """What each part and conduit says just before the line stands still."""
    found = {}

    class Inspected(Lab):
        async def stop_lines(self):
            for part in self._up:
                found[part.name] = await part.answers()
            for name in ("cell", "wan"):
                found[name] = not await self.conduit(name).read_back()
            await super().stop_lines()

    monkeypatch.setattr(runner, "Lab", Inspected)
    return found


def test_every_fault_of_the_table_is_tried():
    assert {kind_of(fault) for fault in FAULTS} == PARAMETERS.keys()


def test_every_kind_of_part_is_struck_or_is_evidence():
    evidence = {kind for kind in table.OURS if kinds.kind_of(kind).is_evidence}
    assert evidence == {"line", "observer", "auditor", "probe"}
    assert len(PARTS) == len(table.OURS) - len(evidence)


@pytest.mark.parametrize(("kind", "parameters"), CASES, ids=named)
def test_conduct(tmp_path, at_the_end, kind, parameters):
    outcome, row = run_with(tmp_path, kind=kind, **parameters)
    assert row["verified"], row["evidence"]
    assert (row["kind"], row["target"]) == (kind, parameters["target"])
    assert row["affects"] == ([] if kind in HINDER_NOTHING else AFFECTS.get(row["target"], []))
    assert row["cut"] is (row["affects"] not in ([], ["cmms"]) and kind not in WITHOUT_A_CUT)
    assert row["end_ns"] - row["start_ns"] == pytest.approx(
        8e9, abs=1e6 if kind != "rebirth_request" else 2e9
    )
    assert parameters.items() <= row["asked"].items()
    assert set(at_the_end.values()) == {True}, at_the_end
    assert outcome.verdict.harness == []
    assert [c.statement for c in outcome.verdict.criteria if c.verdict == "FAIL"] == []
    counts = outcome.verdict.counts
    assert counts["eligible"] > 1000
    assert {counts[name] for name in ("lost", "late", "wrong", "unexpected", "duplicated")} == {0}


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(k, marks=marked(k not in ("blackhole", "crash", "cmms_errors")))
        for k in sorted(PARAMETERS)
    ],
)
def test_the_same_seed_gives_the_same_run(tmp_path, kind):
    first, again = (
        run_with(tmp_path, folder=name, kind=kind, **PARAMETERS[kind][0])[0] for name in ("a", "b")
    )
    assert first.facts["trace_sha256"] == again.facts["trace_sha256"]
    for name in ("ledger.jsonl", "host.jsonl", "timeline.jsonl", "verdict.json"):
        assert (first.folder / name).read_bytes() == (again.folder / name).read_bytes(), name


IN_CI = {
    ("bridge", "crash"),
    ("bridge", "freeze"),
    ("plc1", "crash"),
}  # each takes a minute; the others are the night's


@pytest.mark.wall
@pytest.mark.parametrize(
    ("part", "kind"),
    [
        pytest.param(part, kind, marks=[] if (part, kind) in IN_CI else [pytest.mark.slow, pytest.mark.long])
        for part in ("plc1", "broker", "scada", "bridge")
        for kind in ("crash", "freeze", "restart")
    ],
)
def test_conduct_in_real_time(tmp_path, kind, part):
    outcome, row = run_with(tmp_path, clock="wall", kind=kind, target=part)
    assert row["verified"], row["evidence"]
    assert outcome.verdict.harness == []
    assert [c.statement for c in outcome.verdict.criteria if c.verdict == "FAIL"] == []
    counts = outcome.verdict.counts
    assert counts["eligible"] > 1000
    assert {counts[name] for name in ("lost", "late", "wrong", "unexpected", "duplicated")} == {0}


def test_a_cmms_that_goes_on_answering_makes_the_run_a_harness_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(FailureSwitch, "set", lambda self, failure: None)
    outcome, row = run_with(tmp_path, kind="cmms_errors", target="cmms", how="error")
    assert row["evidence"] == {"answers_meanwhile": True, "requests_struck": 0}
    assert outcome.verdict.exit_code == 4


def test_what_loses_an_answer_is_held_open_until_an_order_falls_into_it(tmp_path):
    more = {"duration_s": 160, "override": {"plant": {"upsets": {"cap_jam": {"at_s": [50]}}}}}
    outcome, row = run_with(
        tmp_path, more, kind="cmms_errors", target="cmms", how="time_out_after", methods=["POST"], for_s=5
    )
    assert row["evidence"]["requests_struck"] > 0, row
    assert row["end_ns"] - row["start_ns"] > 30e9
    assert outcome.verdict.harness == []
    assert outcome.verdict.criterion("work_orders").verdict == "PASS"


@pytest.mark.parametrize("kind", ["blackhole", "stall", "down", "reset"])
def test_a_fault_that_did_not_happen_makes_the_run_a_harness_fault(tmp_path, monkeypatch, kind):
    async def nothing(self, *args):
        return None

    monkeypatch.setattr(MemoryConduit, kind, nothing)
    outcome, row = run_with(tmp_path, kind=kind, target="wan")
    assert not row["verified"]
    assert outcome.verdict.verdict == "HARNESS_FAULT"
    assert outcome.verdict.exit_code == 4
    assert any("'it'" in problem.what for problem in outcome.verdict.harness)


@pytest.mark.parametrize("part", ["plc1", "broker", "scada", "bridge", "cmms"])
def test_a_part_that_goes_on_serving_was_not_struck(tmp_path, monkeypatch, part):
    async def nothing(self):
        return None

    kind = {"plc1": "plc", "scada": "primary_host"}.get(part, part)
    monkeypatch.setattr(kinds.kind_of(kind), "freeze", nothing)
    outcome, row = run_with(tmp_path, kind="freeze", target=part)
    assert row["evidence"] == {"answers_meanwhile": True}
    assert outcome.verdict.exit_code == 4


def test_a_fault_that_is_reported_but_lets_bytes_pass_is_not_believed(tmp_path, monkeypatch):
    async def claims(self):
        return [{"kind": "blackhole", "direction": "up"}]

    async def nothing(self, *args):
        return None

    monkeypatch.setattr(MemoryConduit, "read_back", claims)
    monkeypatch.setattr(MemoryConduit, "blackhole", nothing)
    _, row = run_with(tmp_path, kind="blackhole", target="wan")
    assert not row["verified"]
