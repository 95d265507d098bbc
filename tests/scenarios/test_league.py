"""The league's drills are scenarios that anybody can run, and its tables say what the runs say."""

import io
from itertools import pairwise

import msgspec
import pytest
import yaml
from rich.console import Console

from shakedown.scenarios import model
from shakedown.scenarios.league import DRILLS, LOADS, Cell, measure, scenario_of
from shakedown.scenarios.league_command import as_markdown
from shakedown.scenarios.runner import Request, accept


@pytest.mark.parametrize("outage_s", [5, 30])
@pytest.mark.parametrize("drill", DRILLS)
def test_every_drill_is_a_scenario_whose_faults_come_one_after_the_other(drill, outage_s, tmp_path):
    file = tmp_path / "drill.yaml"
    file.write_text(yaml.safe_dump(scenario_of(drill, outage_s)))
    scenario = model.set_up(file).scenario
    by_target = {}
    for fault in scenario.faults:
        by_target.setdefault(fault.target, []).append((fault.at_s, fault.at_s + fault.for_s))
    for spans in by_target.values():
        assert all(end < begin for (_, end), (begin, _) in pairwise(spans))
    assert min(fault.at_s for fault in scenario.faults) > scenario.warm_up_s


@pytest.mark.parametrize(("load", "per_s"), [("counters_1hz", 1_000), ("counters_10hz", 10_000)])
def test_a_load_offers_so_many_values_a_second(load, per_s, tmp_path):
    file = tmp_path / "load.yaml"
    file.write_text(yaml.safe_dump(scenario_of(load, 30)))
    setup = model.set_up(file)
    assert sum(1 for _ in setup.plant.each_signal()) * 1000 / setup.plant.scan_ms == per_s
    assert len(LOADS) == 2


@pytest.mark.slow
def test_a_cell_says_what_its_run_says_and_can_be_written_down(tmp_path):
    file = tmp_path / "drill.yaml"
    file.write_text(yaml.safe_dump(scenario_of("cut", 5)))
    outcome = accept(Request(model.set_up(file), tmp_path / "run"), Console(file=io.StringIO()))
    cell = Cell(bridge="ours", drill="cut", run="run")
    measure(outcome.folder, cell)
    again = msgspec.json.decode(msgspec.json.encode(cell), type=Cell)
    assert again == cell
    assert (cell.lost, cell.duplicated, cell.breaches) == (0, 0, 0)
    assert cell.offered == outcome.verdict.counts["eligible"] > 1000
    assert 0 < cell.recovery_s < 30
    assert 0 < cell.p50_ms <= cell.p99_ms


def test_the_table_links_each_run_and_says_why_there_is_none():
    cells = [
        Cell(bridge="mine", drill="cut", run="mine/cut", offered=12_345, lost=67, duplicated=0),
        Cell(bridge="other", drill="cut", run="other/cut", trouble="error: not installed"),
        Cell(
            bridge="fast",
            drill="cut",
            run="fast/cut",
            offered=9,
            lost=9,
            trouble="the broker dropped messages",
        ),
        Cell(bridge="slow", drill="cut", run="slow/cut", offered=900, lost=1, pending=345, duplicated=2),
    ]
    text = as_markdown(cells, ["cut"], 30)
    assert "| [mine](mine/cut/report.html) | [67](mine/cut/) | [12,345](mine/cut/) | [0](mine/cut/) |" in text
    assert "| mine | [67 of 12,345](mine/cut/report.html) |" in text
    assert "| fast | no run |" in text
    assert "| slow | [1 of 900](slow/cut/report.html), 345 missing (2) |" in text
    assert "| other | no run: error: not installed |" in text
