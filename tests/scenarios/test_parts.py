"""Which parts a lab has, where they stand, and runs with several PLCs, brokers, sites and bridges."""

import io
import json
import subprocess
import sys
import textwrap

import pytest
import yaml
from rich.console import Console

from shakedown.bridge.yamlfile import ConfigError
from shakedown.scenarios import model, suite_folder
from shakedown.scenarios.parts.part import TaskPart
from shakedown.scenarios.replay import replay
from shakedown.scenarios.runner import Request, accept
from shakedown.scenarios.suite_runner import accept_all
from shakedown.scenarios.verification import verify

QUIET = Console(file=io.StringIO())
NORTH = {"keep_alive_s": 4, "host_keep_alive_s": 4, "reconnect_s": {"min": 0.5, "max": 2}}
SHORT = {"format": 1, "name": "mine", "title": "Mine", "warm_up_s": 5, "duration_s": 30, "drain_s": 40,
         "may_be_inconclusive": ["freshness"]}  # fmt: skip
LINE_2 = {"line": "line2", "south": {"plc1": {"endpoint": "opc.tcp://plc2:4840"}}}


def line_2(**north):
    return {"kind": "bridge", "override": {"site": LINE_2 | {"north": {"enterprise": north}}}}


AT_THE_SITE = line_2(broker="mqtt://site_broker:1883", primary_host="site_scada")


def written(tmp_path, **entries):
    document = SHORT | {"override": {"site": {"north": {"enterprise": NORTH}}}} | entries
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return file


def carried_out(tmp_path, out="run", **entries):
    setup = model.set_up(written(tmp_path, **entries))
    outcome = accept_all("mine", [Request(setup, tmp_path / out)], tmp_path / out, QUIET)
    runs = {path.name.partition(".")[2]: path for path in suite_folder.runs_in(outcome.folder)}
    return outcome, runs


def rows(folder, name):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def assert_sound(suite):
    for run in suite.runs:
        assert run.harness == []
        assert [(run.scenario, c.name, c.statement) for c in run.criteria if c.verdict == "FAIL"] == []


TWO_LINES = {
    "parts": {"bridge_b": AT_THE_SITE, "site_broker": {"kind": "broker", "zone": "site"}},
    "faults": [
        {"id": "cut", "kind": "down", "target": "wan", "at_s": 6, "for_s": 6},
        {"id": "broker", "kind": "crash", "target": "broker", "at_s": 14, "for_s": 4},
        {"id": "plc", "kind": "crash", "target": "plc2", "at_s": 20, "for_s": 5},
    ],
}


def test_two_lines_with_a_bridge_each_are_two_runs_and_the_same_again(tmp_path):
    outcome, runs = carried_out(tmp_path, **TWO_LINES)
    assert_sound(outcome.suite)
    assert list(runs) == ["bridge", "bridge_b"]
    edges = {name: {row[2] for row in rows(run, "host.jsonl") if row[0] == "H"} for name, run in runs.items()}
    assert edges == {"bridge": {"hamburg.filling/line1"}, "bridge_b": {"hamburg.filling/line2"}}
    struck = {
        name: {
            row["id"]: (row["affects"], row["cut"])
            for row in rows(run, "timeline.jsonl")
            if row["kind"] != "phase"
        }
        for name, run in runs.items()
    }
    assert struck["bridge"] == {"cut": (["wan"], True), "broker": (["broker"], True), "plc": ([], False)}
    assert struck["bridge_b"] == {"cut": ([], False), "broker": ([], False), "plc": (["plc"], True)}
    seeds = {name: rows(run, "ledger.jsonl")[0]["seed"] for name, run in runs.items()}
    assert seeds["bridge"] != seeds["bridge_b"]
    logged = {name: (run / "bridge.log").read_text() for name, run in runs.items()}
    assert "filling/line1" in logged["bridge"]
    assert "filling/line1" not in logged["bridge_b"]
    again = replay(runs["bridge_b"], QUIET)
    assert again.same, again.differing
    assert again.folders == tuple(runs.values())
    assert verify(outcome.folder) == []


@pytest.mark.slow
def test_two_lines_pass_the_outages_of_one_and_are_the_same_again(tmp_path):
    setup = model.set_up(model.find("two_lines"))
    struck = {fault.id for fault in model.set_up(model.find("wan_outage")).scenario.faults}
    assert struck <= {fault.id for fault in setup.scenario.faults}
    outcome = accept_all(
        "two_lines", [Request(setup, tmp_path / "run", strict=True)], tmp_path / "run", QUIET
    )
    assert outcome.suite.verdict == "PASS"
    again = replay(suite_folder.runs_in(outcome.folder)[0], QUIET)
    assert again.same, again.differing


@pytest.mark.slow
def test_two_bridges_may_share_a_broker_and_a_primary_host(tmp_path):
    fault = {"id": "host", "kind": "crash", "target": "scada", "at_s": 8, "for_s": 8}
    outcome, runs = carried_out(tmp_path, parts={"bridge_b": line_2()}, faults=[fault])
    assert_sound(outcome.suite)
    assert len({(run / "host.jsonl").read_bytes() for run in runs.values()}) == 1
    seen = [row[2] for run in runs.values() for row in rows(run, "observer.jsonl") if row[0] == "E"]
    assert seen == ["connected", "connected"]
    for run in outcome.suite.runs:
        verdict = json.loads((outcome.folder / run.folder / "verdict.json").read_text())
        integrity = next(c for c in verdict["criteria"] if c["name"] == "integrity")
        assert integrity["figures"]["undeclared_metrics"] == {}


def test_a_stranger_among_neighbours_stays_a_stranger(tmp_path):
    outcome, runs = carried_out(tmp_path, duration_s=15, parts={"bridge_b": line_2()})
    (manifest_file,) = [runs["bridge"] / "manifest.json"]
    manifest = json.loads(manifest_file.read_text())
    manifest["run"]["bridges"]["bridge_b"]["broker"] = "site_broker:1883"  # and came to this one all the same
    manifest_file.write_text(json.dumps(manifest))
    from shakedown.acceptance.judging import judge

    integrity = next(c for c in judge(runs["bridge"]).criteria if c.name == "integrity")
    assert any(name.startswith("hamburg.filling/line2/") for name in integrity.figures.undeclared_metrics)
    assert outcome.suite.verdict in ("PASS", "INCONCLUSIVE")


def test_one_bridge_may_read_several_plcs(tmp_path):
    moved = yaml.safe_load((model.PLANTS / "bottling" / "site.yaml").read_text())["cells"]["capper"][
        "capper_1"
    ]
    metrics = {name: {"south": "plc2"} for name in moved["metrics"]}
    site = {
        "north": {"enterprise": NORTH},
        "south": {"plc2": {"endpoint": "opc.tcp://plc2:4840"}},
        "cells": {"capper": {"capper_1": {"metrics": metrics}}},
    }
    fault = {"id": "it", "kind": "crash", "target": "plc2", "at_s": 8, "for_s": 8}
    setup = model.set_up(written(tmp_path, override={"site": site}, faults=[fault]))
    outcome = accept(Request(setup, tmp_path / "run"), QUIET)
    assert [(c.name, c.statement) for c in outcome.verdict.criteria if c.verdict == "FAIL"] == []
    assert outcome.verdict.harness == []
    assert outcome.verdict.counts["lost"] == 0
    assert outcome.verdict.counts["eligible"] > 1000


@pytest.mark.slow
def test_another_site_has_conduits_of_its_own(tmp_path):
    cut = {"id": "cut", "kind": "down", "target": "link_b", "at_s": 8, "for_s": 8}
    outcome, runs = carried_out(
        tmp_path,
        network={
            "link_b": {"zones": ["site_b", "enterprise"], "latency_ms": 30},
            "cell_b": {"zones": ["site_b", "cell_b"]},
        },
        parts={"bridge_b": line_2() | {"zone": "site_b"}, "plc2": {"kind": "plc", "zone": "cell_b"}},
        faults=[cut],
    )
    assert_sound(outcome.suite)
    cuts = {
        name: [row["cut"] for row in rows(run, "timeline.jsonl") if row["id"] == "cut"]
        for name, run in runs.items()
    }
    assert cuts == {"bridge": [False], "bridge_b": [True]}


BAD = [
    ({"parts": {"x": {"kind": "borker"}}}, "parts.x.kind: is not a kind of part ('borker') - did you mean 'broker'?"),
    ({"parts": {"brocker": {"kind": "broker"}}}, "parts.brocker: no site.yaml names a broker 'brocker'"),
    ({"parts": {"broker": {"kind": "plc"}}}, "parts.broker.kind: 'broker' is the broker of a site.yaml, and no plc"),
    ({"parts": {"broker": {"kind": "broker", "zone": "moon"}}}, "parts.broker.zone: zone 'moon' of 'broker' has no"),
    ({"parts": {"bridge": {"kind": "bridge", "zone": "enterprise"}}}, "'plc1' in zone 'cell', and no conduit joins"),
    ({"parts": {"broker": {"kind": "broker", "dials": ["plc1", "nobody"]}}}, "there is no part 'nobody'"),
    (
        {"parts": {"plc1": {"kind": "plc", "dials": ["broker"]}, "broker": {"kind": "broker", "dials": ["plc1"]}}},
        "parts wait for each other: ",
    ),
    ({"parts": {"broker": {"kind": "broker", "plant": "x"}}}, "plant is for a part of kind bridge"),
    ({"parts": {"scada": {"kind": "primary_host", "saves_retained_s": 5}}}, "saves_retained_s is for a part of kind"),
    ({"parts": {"bridge_b": {"kind": "bridge"}}}, "bridges 'bridge' and 'bridge_b' are one edge node"),
    ({"parts": {"bridge_b": {"kind": "bridge"}}}, "'plc1' is the name of two parts, both plc"),
    ({"parts": {"bridge_b": line_2(host_keep_alive_s=9)}},
     "'scada' is the name of two parts, both primary_host, of which a site.yaml says otherwise"),
    ({"override": {"site": {"north": {"enterprise": {"primary_host": "asks-it"}}}}}, "'asks-it' is a host of the lab"),
    ({"parts": {"broker": AT_THE_SITE}}, "'broker' is the name of two parts, a broker and a bridge"),
    ({"network": {"link": {"latency_ms": 1}}}, "conduit 'link' joins nothing"),
    ({"network": {"link": {"zones": ["site", "cell"]}}}, "network.link: 'link' joins what 'cell' joins"),
    ({"faults": [{"id": "it", "kind": "crash", "target": "brocker", "at_s": 8, "for_s": 5}]},
     "there is no part of that name - did you mean 'broker'? There are: "),
    ({"faults": [{"id": "it", "kind": "freeze", "target": "observer", "at_s": 8, "for_s": 5}]},
     "the observer, which is evidence and cannot be struck"),
    ({"faults": [{"id": "it", "kind": "crash", "target": "wan", "at_s": 8, "for_s": 5}]},
     "'it' (crash) strikes a part, and 'wan' is a conduit - known here: "),
]  # fmt: skip


@pytest.mark.parametrize(("entries", "what"), BAD, ids=[what[:60] for _, what in BAD])
def test_what_cannot_be_had_is_told_with_its_place(tmp_path, entries, what):
    with pytest.raises(ConfigError) as refused:
        model.set_up(written(tmp_path, **entries))
    (found, *_) = [problem for problem in refused.value.problems if what in problem] or refused.value.problems
    assert what in found
    assert ".yaml:" in found.partition(": ")[0]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


class Recorder(TaskPart):
    """A kind of part of somebody's own."""

    kind = "recorder"
    what = "counts its starts"
    started = 0

    async def start(self):
        type(self).started += 1
        await super().start()

    async def run(self):
        assert self.plan.options == {"of": "everything"}
        await self.host.network.loop.create_future()


def test_a_kind_of_part_of_ones_own_comes_by_entry_point(tmp_path, plugged_in):
    plugged_in("shakedown.parts", recorder=f"{__name__}:Recorder")
    part = {"kind": "recorder", "zone": "site", "options": {"of": "everything"}}
    fault = {"id": "it", "kind": "crash", "target": "historian", "at_s": 6, "for_s": 5}
    setup = model.set_up(
        written(tmp_path, duration_s=15, drain_s=5, parts={"historian": part}, faults=[fault])
    )
    outcome = accept(Request(setup, tmp_path / "run"), QUIET)
    assert outcome.verdict.harness == []
    assert Recorder.started == 2


LEAK = """
    from typing import ClassVar, Literal
    from shakedown.scenarios.faults.conduit_fault import ConduitFault

    class Leak(ConduitFault):
        "A little is lost for ever."
        what: ClassVar[str] = "it leaks"
        kind: Literal["leak"]
        async def put(self, conduit):
            await conduit.stall(self.direction)
"""
FAULTS = [
    ("leak = mine:Leak", LEAK, 0, '"leak"'),
    ("leak = mine:Leek", LEAK, 2, "'leak' of shakedown.faults (mine:Leek) cannot be loaded: AttributeError"),
    ("leak = mine:Leak", "import nowhere", 2, "cannot be loaded: ModuleNotFoundError"),
    ("drip = mine:Leak", LEAK, 2, "is a fault of another kind"),
    ("crash = mine:Leak", LEAK, 2, "has the name of"),
    ("leak = mine:Path", "from pathlib import Path", 2, "is not a subclass of"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("entry", "module", "code", "words"), FAULTS, ids=[row[3] for row in FAULTS])
def test_a_fault_of_ones_own_comes_by_entry_point(tmp_path, entry, module, code, words):
    (tmp_path / "mine.py").write_text(textwrap.dedent(module))
    (tmp_path / "mine-1.dist-info").mkdir()
    (tmp_path / "mine-1.dist-info" / "METADATA").write_text("Name: mine\nVersion: 1\n")
    (tmp_path / "mine-1.dist-info" / "entry_points.txt").write_text(f"[shakedown.faults]\n{entry}\n")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from shakedown.scenarios.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "schema", "scenario"], capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    assert words in " ".join((done.stdout + done.stderr).split())
