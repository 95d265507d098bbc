"""Random small lines: no part appears or vanishes, counters only count up, and what is shown is what happened."""

from __future__ import annotations

import json
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from shakedown.twin.ledger import Ledger
from shakedown.twin.line import Line, Plant
from shakedown.twin.line.states import State

REASONS = {State.EXECUTE: {0}, State.IDLE: {4, 5, 6}, State.SUSPENDED: {1, 2}, State.SETUP: {3}}

seconds = st.integers(min_value=1, max_value=3_000).map(lambda ms: ms / 1_000)


@st.composite
def durations(draw: st.DrawFn, mean_s: st.SearchStrategy[float] = seconds) -> dict[str, Any]:
    kind = draw(st.sampled_from(["constant", "exponential", "lognormal"]))
    spread = {"cv": draw(st.sampled_from([0.1, 0.5, 1.5]))} if kind == "lognormal" else {}
    return {"distribution": kind, "mean_s": draw(mean_s), **spread}


@st.composite
def machines(draw: st.DrawFn) -> dict[str, Any]:
    batch = draw(st.sampled_from([1, 1, 1, 2, 5]))
    cycle = draw(durations(st.sampled_from([0.2, 0.37, 1.0, 2.0])))
    rare = durations(st.sampled_from([2.0, 10.0, 40.0]))
    stoppages = [
        {"cause": "jam", "code": 100 + number, "between": draw(rare), "lasts": draw(durations())}
        for number in range(draw(st.integers(0, 2)))
    ]
    failures = {
        f"mode_{number}": {
            "cause": "broken",
            "code": 200 + number,
            "mtbf": draw(rare),
            "mttr": draw(durations()),
            "develops": draw(st.none() | durations()),
        }
        for number in range(draw(st.integers(0, 2)))
    }
    slow = [
        {
            "cause": "worn",
            "factor": draw(st.sampled_from([1.0, 1.7, 5.0])),
            "between": draw(rare),
            "lasts": draw(rare),
        }
        for _ in range(draw(st.integers(0, 1)))
    ]
    return {
        "cycle": cycle,
        "batch": batch,
        "reject_rate": draw(st.sampled_from([0.0, 0.0, 0.05, 0.4])),
        "ramp_s": draw(st.sampled_from([0.0, 2.0])),
        "starved_after_s": draw(st.sampled_from([0.0, 0.5, 3.0])),
        "blocked_after_s": draw(st.sampled_from([0.0, 0.5, 3.0])),
        "changeover": draw(st.none() | durations()),
        "rework_share": draw(st.sampled_from([0.0, 0.5, 1.0])),
        "stoppages": stoppages,
        "failures": failures,
        "speed_losses": slow,
        "energy": draw(st.none() | st.just({"run_kw": 3.5, "idle_kw": 0.25, "per_part_kj": 1.5})),
    }


@st.composite
def plants(draw: st.DrawFn) -> Plant:
    count = draw(st.integers(min_value=1, max_value=4))
    names = [f"m{number}" for number in range(count)]
    belt = st.fixed_dictionaries(
        {"capacity": st.integers(1, 6), "transit_s": st.sampled_from([0.0, 0.3, 4.0])}
    )
    order = st.fixed_dictionaries({"product": st.sampled_from(["a", "b"]), "quantity": st.integers(1, 40)})
    shown = {
        "state": "Int32",
        "stop_reason": "UInt16",
        "good": "UInt32",
        "reject": "UInt32",
        "total": "UInt32",
    }
    return Plant.model_validate(
        {
            "plant": "random",
            "products": {
                "a": {"label": "A", "volume_l": 0.5},
                "b": {"label": "B", "volume_l": 1.0, "cycle_factor": draw(st.sampled_from([0.5, 1.7]))},
            },
            "orders": draw(st.lists(order, min_size=1, max_size=3)),
            "repeat_orders": draw(st.booleans()),
            "machines": {name: draw(machines()) for name in names},
            "conveyors": {f"c{number}": draw(belt) for number in range(count - 1)},
            "signals": {
                name: {
                    show: {"tag": f"{name}.{show}", "type": kind, "show": show}
                    for show, kind in shown.items()
                }
                for name in names
            },
        }
    )


def run(plant: Plant, seed: int, seconds: int, check: Any = None) -> tuple[Line, list[Any]]:
    """Run a line, `check(line)` after every single event; returns the line and the ledger's lines after the header."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.jsonl"
        env = simpy.Environment()
        with Ledger(path, start_ns=0) as ledger:
            line = Line(plant, env, seed, ledger)
            line.start()
            while env.peek() <= seconds * 1_000:
                env.step()
                if check is not None:
                    check(line)
        return line, [json.loads(text) for text in path.read_text().splitlines()[1:]]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(plants(), st.integers(0, 2**32))
def test_no_bottle_appears_or_vanishes_at_any_time(plant: Plant, seed: int) -> None:
    def conserved(line: Line) -> None:
        assert line.bottles_in == line.bottles_out + line.bottles_rejected + line.bottles_on_line
        assert all(conveyor.parts <= conveyor.capacity for conveyor in line.conveyors.values())

    line, rows = run(plant, seed, 90, conserved)
    assert line.bottles_in > 0
    parts = [(row[3], row[4]) for row in rows if row[0] == "P" and row[2] == "part"]
    last = list(plant.machines)[-1]
    out = sum(data.get("bottles", 1) for machine, data in parts if machine == last and data["good"])
    assert out == line.bottles_out
    for machine in plant.machines:
        finished = [data["id"] for name, data in parts if name == machine and data["disposition"] != "rework"]
        assert len(set(finished)) == len(finished), "a part has been finished twice"


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(plants(), st.integers(0, 2**32))
def test_what_is_shown_agrees_with_what_happened(plant: Plant, seed: int) -> None:
    line, rows = run(plant, seed, 120)
    shown = {signal.node_id: index for index, signal in enumerate(line.signals)}
    state = dict.fromkeys(plant.machines, (int(State.IDLE), 4))
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    open_stops: dict[str, dict[str, Any]] = {}
    values: dict[int, Any] = {}
    moment = 0
    for row in rows:
        assert row[1] >= moment, "the ledger goes back in time"
        moment = row[1]
        assert moment % 1_000_000 == 0
        if row[0] == "S":
            assert moment % (plant.scan_ms * 1_000_000) == 0
            index, value = row[2], row[3]
            if line.signals[index].tag.split(".")[1] in ("good", "reject", "total"):
                assert value >= values.get(index, 0), "a counter has counted down"
            values[index] = value
            machine, show = line.signals[index].tag.split(".")
            expected = {"state": state[machine][0], "stop_reason": state[machine][1], **counted[machine]}
            assert value == expected.get(show, 0), (line.signals[index].tag, moment)
        elif row[0] == "P":
            _, _, kind, machine, data = row
            if kind == "state":
                assert data["from"] == state[machine][0], "a state edge is missing"
                state[machine] = data["to"], data["reason"]
                assert data["reason"] in REASONS.get(data["to"], range(100, 65_536))
                assert (machine in open_stops) == (data["to"] != State.EXECUTE)
            elif kind == "part" and data["disposition"] != "rework":
                counted[machine].update({"total": 1, "good" if data["good"] else "reject": 1})
            elif kind == "stop" and data["phase"] == "start":
                assert machine not in open_stops, "a stop within a stop"
                open_stops[machine] = data
            elif kind == "stop":
                assert open_stops.pop(machine) == {**data, "phase": "start"}
    assert rows[-1][0] == "Z"
    assert shown.keys() == {
        f"ns=2;s={name}.{show}" for name in plant.machines for show in plant.signals[name]
    }
    for name, machine in line.machines.items():
        assert {"total": machine.total, "good": machine.good, "reject": machine.reject} == {
            "total": counted[name]["total"], "good": counted[name]["good"], "reject": counted[name]["reject"],
        }  # fmt: skip


def _plant(**changes: Any) -> Plant:
    document = {
        "plant": "pair",
        "products": {"a": {"label": "A", "volume_l": 0.5}, "b": {"label": "B", "volume_l": 1.0}},
        "orders": [{"product": "a", "quantity": 10_000}],
        "machines": {"first": {"cycle": {"mean_s": 1}}, "second": {"cycle": {"mean_s": 1}}},
        "conveyors": {"belt": {"capacity": 3}},
    }
    return Plant.model_validate({**document, **changes})


def _edges(rows: list[Any], machine: str) -> list[tuple[int, int, int]]:
    return [
        (row[1] // 1_000_000, row[4]["to"], row[4]["reason"])
        for row in rows
        if row[2] == "state" and row[3] == machine
    ]


def test_a_breakdown_starves_downstream_and_blocks_upstream() -> None:
    stuck = {"cause": "stuck", "code": 100, "mtbf": {"mean_s": 10}, "mttr": {"mean_s": 30}}
    healthy = {"cycle": {"mean_s": 1}}
    machines = {"first": healthy, "middle": {**healthy, "failures": {"stuck": stuck}}, "last": healthy}
    plant = _plant(machines=machines, conveyors={"c1": {"capacity": 3}, "c2": {"capacity": 3}})
    _, rows = run(plant, 0, 50)
    # The middle machine gets its first bottle at 1 s and breaks after 10 s of work, with the 10th inside. The first one
    # fills the belt by 13 s, finishes one more at 14 s, waits 3 s: blocked. The last one finishes the 9th at 11 s,
    # waits 3 s: starved. At 41 s all go on.
    assert _edges(rows, "middle") == [(1_000, 6, 0), (11_000, 9, 100), (41_000, 6, 0)]
    assert _edges(rows, "first")[1:] == [(17_000, 5, 2), (41_000, 6, 0)]
    assert _edges(rows, "last")[1:] == [(14_000, 5, 1), (41_000, 6, 0)]


def test_one_changeover_of_each_machine_between_two_products() -> None:
    orders = [{"product": "a", "quantity": 5}, {"product": "b", "quantity": 5}]
    machine = {"cycle": {"mean_s": 1}, "changeover": {"mean_s": 20}}
    plant = _plant(orders=orders, repeat_orders=False, machines={"first": machine, "second": machine})
    line, rows = run(plant, 0, 100)
    changed = [(row[1] // 10**6, row[3], row[4]["phase"]) for row in rows if row[2] == "changeover"]
    assert changed == [
        (5_000, "first", "start"), (25_000, "first", "end"), (26_000, "second", "start"), (46_000, "second", "end"),
    ]  # fmt: skip
    assert line.bottles_out == 10
    assert [
        data["product"] for data in (row[4] for row in rows if row[2] == "part" and row[3] == "second")
    ] == [
        *["a"] * 5,
        *["b"] * 5,
    ]
    assert _edges(rows, "first")[-1][1:] == (State.IDLE, 4), "worked off: nothing left to do"


def test_a_case_never_mixes_products() -> None:
    orders = [{"product": "a", "quantity": 7}, {"product": "b", "quantity": 6}]
    packer = {"cycle": {"mean_s": 1}, "batch": 6}
    plant = _plant(
        orders=orders, repeat_orders=False, machines={"first": {"cycle": {"mean_s": 1}}, "second": packer}
    )
    _, rows = run(plant, 0, 60)
    cases = [(row[1] // 10**6, row[4]) for row in rows if row[2] == "part" and row[3] == "second"]
    assert [(moment, case["product"], len(case["contents"])) for moment, case in cases] == [
        (7_000, "a", 6),
        (9_000, "a", 1),  # closed when the first b arrives at 8 s
        (14_000, "b", 6),
    ]


def test_a_part_takes_its_time_on_the_belt() -> None:
    _, rows = run(_plant(conveyors={"belt": {"capacity": 3, "transit_s": 4}}), 0, 10)
    assert _edges(rows, "second") == [(5_000, State.EXECUTE, 0)]


def test_a_scan_sees_all_that_happens_in_its_millisecond() -> None:
    total = {"only": {"total": {"tag": "T", "type": "UInt32", "show": "total"}}}
    plant = _plant(machines={"only": {"cycle": {"mean_s": 0.5}}}, conveyors={}, signals=total)
    _, rows = run(plant, 0, 10)
    assert [row[3] for row in rows if row[0] == "S"] == [2 * second for second in range(11)]


def test_work_that_is_interrupted_goes_on_where_it_stopped() -> None:
    jam = {
        "cause": "jam",
        "code": 100,
        "between": {"mean_s": 2.5},
        "lasts": {"mean_s": 10},
    }
    plant = _plant(machines={"only": {"cycle": {"mean_s": 1}, "stoppages": [jam]}}, conveyors={})
    _, rows = run(plant, 0, 14)
    assert [row[1] // 10**6 for row in rows if row[2] == "part"] == [1_000, 2_000, 13_000, 14_000]
