"""The auditor: what a perfect one counts is the truth, what a person counts is near it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shakedown.twin.enterprise.jsonl import JsonLines
from shakedown.twin.enterprise.people.auditor import AuditorParameters, Shift, audit, audit_ledger

PERFECT = AuditorParameters(missed=0, counted_twice=0, shortest_stop_s=0, watch_s=1e-9)
"""Nobody; for comparison."""

S = 1_000_000_000
EARLY = Shift("early", 1_000 * S, 9_000 * S, ((4_000 * S, 5_000 * S),))


def part(at_s: float, good: bool = True, **more: Any) -> list[Any]:
    return [
        "P",
        round(at_s * S),
        "part",
        "packer",
        {"good": good, "disposition": "good" if good else "scrap", **more},
    ]


def state(at_s: float, before: int, after: int, machine: str = "packer") -> list[Any]:
    return ["P", round(at_s * S), "state", machine, {"from": before, "to": after, "reason": 0}]


def test_a_shift_counted_by_hand() -> None:
    events = [
        state(500, 4, 6),
        part(900),  # before
        state(1_100, 6, 9),
        state(1_400, 9, 6),  # 300 s
        state(1_500, 6, 9, "filler"),
        part(2_000),
        part(2_001, good=False),
        part(2_002, good=False, disposition="rework"),
        part(2_003, rework=True),
        state(3_900, 6, 4),
        state(5_050, 4, 6),  # 100 s before the break and 50 s after it
        state(8_990, 6, 11),  # 10 s at the end
        part(9_000),  # after
    ]
    told = audit(EARLY, "packer", events, 0, PERFECT)
    assert told == {"shift": "early", "produced": 3, "good": 2, "reject": 1, "run_s": 7_000 - 460, "stops": 4}


def test_a_machine_that_stood_from_the_start_and_one_that_never_changed() -> None:
    assert audit(EARLY, "packer", [state(2_000, 4, 6)], 0, PERFECT)["run_s"] == 6_000
    assert audit(EARLY, "packer", [state(9_500, 4, 6)], 0, PERFECT)["run_s"] == 0
    assert audit(EARLY, "packer", [], 0, PERFECT)["run_s"] == 7_000


@given(st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from([4, 6, 9])), max_size=20))
def test_run_time_is_the_time_in_which_it_ran(changes: list[tuple[int, int]]) -> None:
    events, before = [], 4
    for at_s, after in sorted(changes):
        if after != before:
            events.append(state(at_s, before, after))
            before = after
    second, seconds = 4, 0
    by_time = {event[1] // S: event[4]["to"] for event in events}
    if not events:
        second = 6  # nothing is known of the machine: nobody saw it stand
    for at_s in range(9_000):
        second = by_time.get(at_s, second)
        seconds += second == 6 and at_s >= 1_000 and not 4_000 <= at_s < 5_000
    assert audit(EARLY, "packer", events, 0, PERFECT)["run_s"] == seconds


@pytest.mark.slow
def test_a_person_errs_as_stated() -> None:
    parts = [part(1_000 + number * 0.5) for number in range(10_000)]
    told = [audit(EARLY, "packer", parts, seed) for seed in range(200)]
    counts = [row["good"] for row in told]
    assert told[0] == audit(EARLY, "packer", parts, 0)
    assert np.mean(counts) == pytest.approx(10_000 * (1 - 0.002 + 0.001), abs=2)
    assert 3 < np.std(counts) < 8  # sqrt(20 + 10) = 5.5

    stops = [
        event
        for number in range(100)
        for event in (state(1_000 + 60 * number, 6, 9), state(1_033 + 60 * number, 9, 6))
    ]
    shift = Shift("long", 1_000 * S, 8_000 * S)
    runs = [audit(shift, "packer", stops, seed) for seed in range(100)]
    assert {row["stops"] for row in runs} == {100}
    assert np.mean([row["run_s"] for row in runs]) == pytest.approx(7_000 - 3_300, abs=20)
    assert len({row["run_s"] for row in runs}) > 10
    short = [
        event
        for number in range(100)
        for event in (state(1_000 + 60 * number, 6, 9), state(1_019 + 60 * number, 9, 6))
    ]
    assert audit(shift, "packer", short, 0)["run_s"] == 7_000  # not one of them was written down


def test_the_ledger_is_audited_shift_by_shift(tmp_path: Path) -> None:
    calendar = [
        {"name": "early", "from_ns": 1_000 * S, "to_ns": 9_000 * S, "breaks": [[4_000 * S, 5_000 * S]]},
        {"name": "late", "from_ns": 9_000 * S, "to_ns": 20_000 * S, "breaks": []},
    ]
    header = {"kind": "header", "bottleneck": "packer", "calendar": calendar}
    rows = [header, ["S", 1, 0, 1.0, 0], state(500, 4, 6), part(2_000), part(10_000), ["Z", 12_000 * S, {}]]
    (tmp_path / "ledger.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    log = JsonLines(tmp_path / "people.jsonl")
    told = audit_ledger(tmp_path / "ledger.jsonl", log, 0, PERFECT)
    log.close(1)
    written = [json.loads(line) for line in (tmp_path / "people.jsonl").read_text().splitlines()]
    assert written[0] == ["K", 9_000 * S, "audit", told[0]]
    assert (told[0]["good"], told[0]["run_s"]) == (1, 7_000)
    assert len(written) == 2  # the late shift was not over


def test_an_auditor_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="probabilities"):
        AuditorParameters(missed=1.5)
