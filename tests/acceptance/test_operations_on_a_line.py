"""The judge's counts of a shift against the counters of a real line: what it shows is what the oracle finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shakedown.acceptance.files import Problem
from shakedown.acceptance.oee.oracle import COUNTS, ShiftTruth
from shakedown.acceptance.readers import read_ledger
from tests.acceptance.one_machine import one_machine
from tests.twin.line_rig import Recording, document

SHIFTS = [
    {
        "name": "early",
        "begins_s": 0,
        "lasts_s": 1_200,
        "breaks": [{"name": "tea", "begins_s": 400, "lasts_s": 200}],
    },
    {"name": "late", "begins_s": 1_200, "lasts_s": 900},
]
EDGES = {"early": (0, 1_200), "late": (1_200, 2_100)}
COUNTERS = {"produced": "total", "good": "good", "reject": "reject", "rework": "reworked"}


def worked(folder: Path, rework_share: float, seed: int) -> tuple[Recording, list[ShiftTruth]]:
    """A line whose packer, the bottleneck, throws out a tenth of what it makes and repairs a share of that."""
    shown = {name: {"tag": f"P.{name}", "type": "UInt32", "show": name} for name in COUNTERS.values()}
    machines = {
        "filler": {"cycle": {"mean_s": 0.4}},
        "packer": {"cycle": {"mean_s": 1.37}, "reject_rate": 0.1, "rework_share": rework_share},
    }
    belt = {"belt": {"capacity": 8, "transit_s": 2}}
    plant = document(calendar=SHIFTS, machines=machines, conveyors=belt, signals={"packer": shown})
    recording = Recording(folder, plant, 2_200, seed=seed)
    problems: list[Problem] = []
    ledger = read_ledger(folder / "0.jsonl", problems)
    assert ledger is not None
    assert problems == []
    assert ledger.header["bottleneck"] == "packer"
    return recording, one_machine(ledger).ended()


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("rework_share", [0.0, 0.5, 1.0])
def test_counts_are_those_that_the_line_shows(tmp_path: Path, rework_share: float, seed: int) -> None:
    recording, found = worked(tmp_path, rework_share, seed)
    assert [truth.name for truth in found] == list(EDGES)
    for truth in found:
        begin, end = EDGES[truth.name]
        counted: dict[str, Any] = {
            figure: recording.values[f"packer.{name}"][end] - recording.values[f"packer.{name}"][begin]
            for figure, name in COUNTERS.items()
        }
        for count in COUNTS:
            least, most = truth.counts[count]
            assert least <= counted[count] <= most
            assert most - least <= 2  # an edge is not a share
        assert truth.exact["produced"] == truth.exact["good"] + truth.exact["reject"]
        assert truth.reworks[0] <= counted["rework"] <= truth.reworks[1]
        assert (truth.reworks[0] > 10) == (rework_share > 0)


def test_a_part_that_goes_through_twice_is_one_part_and_no_first_pass(tmp_path: Path) -> None:
    recording, found = worked(tmp_path, 1.0, 7)
    parts = [
        (moment, data["disposition"], data["rework"])
        for moment, machine, data in recording.of("part")
        if machine == "packer" and moment < 1_200
    ]
    passages = {kind: sum(entry[1] == kind for entry in parts) for kind in ("good", "scrap", "rework")}
    truth = found[0]
    assert passages["rework"] > 10
    assert truth.exact["produced"] == passages["good"] + passages["scrap"] == len(parts) - passages["rework"]
    good_at_once = sum(kind == "good" and not again for _, kind, again in parts)
    kpis = truth.kpis()
    assert kpis["fpy"] == good_at_once / truth.exact["produced"]
    assert kpis["quality"] == passages["good"] / truth.exact["produced"]
    standard_s = truth.exact["produced"] * recording.header["ideal_s"]["a"]["packer"]
    assert truth.standard_ns == pytest.approx(standard_s * 1e9)
    assert kpis["oee"] == pytest.approx(standard_s * kpis["quality"] / 1_000)
