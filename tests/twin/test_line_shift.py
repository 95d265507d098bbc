"""A line through its shift: breaks, orders, recipes, changeovers, speed losses, failures that wait for their repair."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import pytest
import simpy

from shakedown.twin.clock import drive, now_ns, run
from shakedown.twin.ledger import Ledger
from shakedown.twin.line import Line, Plant
from shakedown.twin.line.faults import UnknownFaultError
from shakedown.twin.line.states import State
from tests.twin.line_rig import NS_PER_S, Recording, document

SHIFTS = [
    {
        "name": "early",
        "begins_s": 0,
        "lasts_s": 100,
        "breaks": [{"name": "tea", "begins_s": 40, "lasts_s": 20}],
    },
    {"name": "late", "begins_s": 150, "lasts_s": 100},
]
TWO_ORDERS = [{"product": "a", "quantity": 40}, {"product": "b", "quantity": 40}]
ONE: dict[str, Any] = {"conveyors": {}, "signals": {}}


def _states(recording: Recording, machine: str) -> list[tuple[float, int, int]]:
    return [
        (moment, data["to"], data["reason"])
        for moment, name, data in recording.of("state")
        if name == machine
    ]


def test_machines_rest_in_breaks_and_between_shifts(tmp_path: Path) -> None:
    recording = Recording(
        tmp_path, document(calendar=SHIFTS, machines={"only": {"cycle": {"mean_s": 1.5}}}, **ONE), 260
    )
    told = [event for event in recording.events if event[1] in ("shift", "break")]
    assert [(moment, kind, data["phase"], data["name"]) for moment, kind, _, data in told] == [
        (0, "shift", "start", "early"),
        (40, "break", "start", "tea"), (60, "break", "end", "tea"),
        (100, "shift", "end", "early"),
        (150, "shift", "start", "late"), (250, "shift", "end", "late"),
    ]  # fmt: skip
    # a machine ends the cycle that it is in: the one from 39 s on ends at 40.5 s
    assert _states(recording, "only") == [
        (0, 6, 0), (40.5, 4, 5), (60, 6, 0), (100.5, 4, 6), (150, 6, 0), (250.5, 4, 6),
    ]  # fmt: skip
    made = [moment for moment, _, _ in recording.of("part")]
    assert len(made) == 27 + 27 + 67
    assert recording.header["calendar"] == [
        {"name": "early", "from_ns": 0, "to_ns": 100 * NS_PER_S, "breaks": [[40 * NS_PER_S, 60 * NS_PER_S]]},
        {"name": "late", "from_ns": 150 * NS_PER_S, "to_ns": 250 * NS_PER_S, "breaks": []},
    ]


def test_nothing_is_made_before_the_first_shift(tmp_path: Path) -> None:
    late = [{"name": "late", "begins_s": 50, "lasts_s": 100}]
    recording = Recording(tmp_path, document(calendar=late), 80)
    assert _states(recording, "filler")[0] == (50, State.EXECUTE, 0)
    assert recording.of("part")[0][0] == 50.5


def test_an_order_ends_when_its_last_bottle_has_left(tmp_path: Path) -> None:
    machines = {"first": {"cycle": {"mean_s": 1}, "reject_rate": 0.2}, "last": {"cycle": {"mean_s": 1}}}
    plant = document(orders=TWO_ORDERS, repeat_orders=False, machines=machines, signals={})
    recording = Recording(tmp_path, plant, 200)
    begun, ended = (
        [(moment, data) for moment, _, data in recording.of("order") if data["phase"] == phase]
        for phase in ("start", "end")
    )
    assert [(data["id"], data["lot"], data["product"], data["quantity"]) for _, data in begun] == [
        ("ORD-0001", "LOT-0001", "a", 40), ("ORD-0002", "LOT-0002", "b", 40),
    ]  # fmt: skip
    assert [moment for moment, _ in begun] == [0, 40]
    for (moment, data), (_, start) in zip(ended, begun, strict=True):
        parts = [
            (at, machine, part) for at, machine, part in recording.of("part") if part["lot"] == data["lot"]
        ]
        out = [at for at, machine, part in parts if machine == "last" or not part["good"]]
        assert (data["id"], moment, len(out)) == (start["id"], max(out), 40)
        assert data["scrap"] == sum(not part["good"] for _, _, part in parts) > 0
        assert data["good"] + data["scrap"] == 40


def test_a_recipe_is_downloaded_at_changeover_and_drives_the_machine(tmp_path: Path) -> None:
    def recipe(pressure: float) -> dict[str, Any]:
        steps = [{"name": "press", "share": 0.25}, {"name": "fill", "share": 0.75}]
        return {
            "only": {"steps": steps, "parameters": {"pressure": {"value": pressure, "low": 1, "high": 9}}}
        }

    shown = {
        "tag": "P",
        "type": "Double",
        "range": [0, 10],
        "response": {"gains": {"only.pressure": 1}, "resolution": 0.1},
    }
    step = {"tag": "S", "type": "UInt16", "show": "step"}
    plant = document(
        orders=TWO_ORDERS, recipes={"a": recipe(3), "b": recipe(7)}, scan_ms=500,
        machines={"only": {"cycle": {"mean_s": 2}, "changeover": {"mean_s": 10}}}, conveyors={},
        signals={"only": {"shown": shown, "step": step}},
    )  # fmt: skip
    recording = Recording(tmp_path, plant, 100)
    downloads = recording.of("recipe")
    assert [(moment, data["phase"], data["product"]) for moment, _, data in downloads] == [
        (0, "download", "a"), (90, "download", "b"),
    ]  # fmt: skip
    assert downloads[1][2]["parameters"] == {"pressure": {"value": 7, "low": 1, "high": 9}}
    assert [recording.values["only.shown"][2 * second] for second in (1, 79, 89, 91)] == [3, 3, 3, 7]
    assert recording.values["only.step"][:9] == [1, 2, 2, 2, 1, 2, 2, 2, 1]
    assert recording.values["only.step"][170] == 0, "no step during the changeover"


def test_the_matrix_says_how_long_a_changeover_takes(tmp_path: Path) -> None:
    machines = {"only": {"cycle": {"mean_s": 1}, "changeover": {"mean_s": 10}}}
    plant = document(orders=TWO_ORDERS, changeovers={"b": {"a": 2.5}}, machines=machines, **ONE)
    told = Recording(tmp_path, plant, 200).of("changeover")
    edges = [(moment, data["phase"], data["from"], data["to"]) for moment, _, data in told]
    assert edges == [
        (40, "start", "a", "b"), (50, "end", "a", "b"), (90, "start", "b", "a"), (115, "end", "b", "a"),
        (155, "start", "a", "b"), (165, "end", "a", "b"),
    ]  # fmt: skip


def test_a_speed_loss_stretches_the_cycle_while_it_lasts(tmp_path: Path) -> None:
    loss = {"cause": "blunt", "factor": 3, "between": {"mean_s": 10}, "lasts": {"mean_s": 12}}
    plant = document(machines={"only": {"cycle": {"mean_s": 1}, "speed_losses": [loss]}}, **ONE)
    recording = Recording(tmp_path, plant, 33)
    told = [(moment, data["phase"], data["factor"]) for moment, _, data in recording.of("speed_loss")]
    assert told == [(10, "start", 3), (22, "end", 3), (32, "start", 3)]
    made = [moment for moment, _, _ in recording.of("part")]
    assert made == [*range(1, 11), 13, 16, 19, 22, *range(23, 33)]
    assert not recording.of("stop"), "a slow machine does not stand"


def _failing(tmp_path: Path, at: dict[float, Any], *, crew: bool = True, **failure: Any) -> Recording:
    mode = {
        "cause": "broken",
        "code": 200,
        "mtbf": {"mean_s": 20},
        "mttr": {"mean_s": 15},
        "maintenance": True,
        **failure,
    }
    machines = {"only": {"cycle": {"mean_s": 1}, "failures": {"mode": mode}}}
    return Recording(tmp_path, document(machines=machines, crew=crew, **ONE), 100, at=at)


def _phases(recording: Recording) -> list[tuple[float, str, str]]:
    return [(moment, data["id"], data["phase"]) for moment, _, data in recording.of("fault")]


def test_a_machine_waits_for_the_crew(tmp_path: Path) -> None:
    seen: list[Any] = []

    def look(line: Line) -> None:
        seen.append(
            [
                (fault.machine, fault.mode, fault.stopped, fault.repair_s)
                for fault in line.open_faults.values()
            ]
        )

    recording = _failing(tmp_path, {30: look, 70: lambda line: line.repair("F0001"), 80: look})
    assert _phases(recording) == [
        (20, "F0001", "onset"), (20, "F0001", "stop"), (70, "F0001", "repaired"),
        (90, "F0002", "onset"), (90, "F0002", "stop"),
    ]  # fmt: skip
    assert _states(recording, "only") == [(0, 6, 0), (20, 9, 200), (70, 6, 0), (90, 9, 200)]
    assert seen == [[("only", "mode", True, 15)], []]


def test_without_a_crew_it_repairs_itself(tmp_path: Path) -> None:
    for recording in (_failing(tmp_path, {}, crew=False), _failing(tmp_path, {}, maintenance=False)):
        assert _phases(recording)[:3] == [
            (20, "F0001", "onset"),
            (20, "F0001", "stop"),
            (35, "F0001", "repaired"),
        ]


def test_a_repair_in_time_spares_the_stop(tmp_path: Path) -> None:
    recording = _failing(tmp_path, {30: lambda line: line.repair("F0001")}, develops={"mean_s": 30})
    assert _phases(recording)[:2] == [(20, "F0001", "onset"), (30, "F0001", "repaired")]
    assert _states(recording, "only") == [(0, 6, 0), (80, 9, 200)], (
        "20 s of work from the repair, 30 s of wear"
    )


def test_what_is_not_open_cannot_be_repaired(tmp_path: Path) -> None:
    recording = _failing(tmp_path, {})
    with pytest.raises(UnknownFaultError, match=r"No open fault 'F0009'; open now: F0001\. Name one of"):
        recording.line.repair("F0009")
    recording.line.repair("F0001")
    recording.line.repair("F0001")  # twice before it takes effect is once


def test_a_repair_from_the_event_loop_counts_from_then(tmp_path: Path) -> None:
    mode = {
        "cause": "broken",
        "code": 200,
        "mtbf": {"mean_s": 20},
        "mttr": {"mean_s": 15},
        "maintenance": True,
    }
    machines = {"only": {"cycle": {"mean_s": 1}, "failures": {"mode": mode}}}
    plant = Plant.model_validate(document(machines=machines, crew=True, scan_ms=60_000, **ONE))

    async def crew() -> None:
        env = simpy.Environment()
        with Ledger(tmp_path / "ledger.jsonl", start_ns=now_ns()) as ledger:
            line = Line(plant, env, 0, ledger)
            line.start()
            driver = asyncio.ensure_future(drive(env))
            await asyncio.sleep(33.25)
            for fault in list(line.open_faults):
                line.repair(fault)
            await asyncio.sleep(5)
            driver.cancel()
            await asyncio.wait([driver])

    run(crew())
    header, *rows = [json.loads(text) for text in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    since = [((row[1] - header["start_ns"]) / NS_PER_S, row[4]["phase"]) for row in rows if row[2] == "fault"]
    assert since == [(20, "onset"), (20, "stop"), (33.25, "repaired")]


def test_rework_goes_through_once_more_and_counts_once(tmp_path: Path) -> None:
    counters = {
        name: {"tag": name, "type": "UInt32", "show": name}
        for name in ("good", "reject", "total", "reworked")
    }
    machines = {"only": {"cycle": {"mean_s": 1}, "reject_rate": 0.3, "rework_share": 0.6}}
    recording = Recording(
        tmp_path, document(machines=machines, conveyors={}, signals={"only": counters}), 2_000
    )
    parts = [data for _, _, data in recording.of("part")]
    kinds = {
        kind: [part["serial"] for part in parts if part["disposition"] == kind]
        for kind in ("good", "scrap", "rework")
    }
    assert all(len(kind) > 50 for kind in kinds.values())
    again = [part["serial"] for part in parts if part["rework"]]
    assert again == kinds["rework"][: len(again)]
    assert [moment for moment, _, _ in recording.of("part")] == list(range(1, 2_001)), (
        "a second time takes a cycle"
    )
    saved = [part for part in parts if part["rework"] and part["good"]]
    assert len(saved) < len(again), "some are bad again: scrap, and no good part that was reworked"
    last = {name: recording.values[f"only.{name}"][-1] for name in counters}
    assert last == {
        "good": len(kinds["good"]), "reject": len(kinds["scrap"]), "reworked": len(saved),
        "total": len(kinds["good"]) + len(kinds["scrap"]),
    }  # fmt: skip
    assert len(kinds["rework"]) / 2_000 == pytest.approx(0.3 * 0.6 / (1 + 0.3 * 0.6), abs=0.03)


def test_another_asset_takes_the_place(tmp_path: Path) -> None:
    assignments = [{"physical_asset": "SN-1"}, {"physical_asset": "SN-2", "from_s": 30}]
    plant = document(
        assets={"packer": {"equipment": "L1-PACKER", "assignments": assignments}}, bottleneck="filler"
    )
    recording = Recording(tmp_path, plant, 60)
    assert recording.of("swap") == [(30, "packer", {"equipment": "L1-PACKER", "physical_asset": "SN-2"})]
    assert recording.header["assets"] == [
        ["L1-PACKER", "SN-1", 0, 30 * NS_PER_S], ["L1-PACKER", "SN-2", 30 * NS_PER_S, None],
    ]  # fmt: skip
    assert recording.header["bottleneck"] == "filler"
    assert recording.header["labels"] == {"a": "A", "b": "B"}
    assert recording.header["ideal_s"]["a"] == {"filler": 0.5, "packer": 1.8}


def test_a_machine_is_on_an_order_from_its_set_up_on_and_until_the_next_one(tmp_path: Path) -> None:
    """Three orders, the second of another product: its set-up is its own, and each part is made on its order."""
    orders = [
        {"product": product, "quantity": 40, "id": name} for product, name in zip("abb", "XYZ", strict=True)
    ]
    machines = document()["machines"]
    machines["packer"]["changeover"] = {"mean_s": 30}
    signals = {
        "packer": {
            "order": {"tag": "P.ORDER", "type": "String", "show": "order"},
            "total": {"tag": "P.TOTAL", "type": "UInt32", "show": "total"},
        }
    }
    plant = document(orders=orders, repeat_orders=False, machines=machines, signals=signals)
    recording = Recording(tmp_path, plant, 200)
    at = [
        (moment, data["order"]) for moment, machine, data in recording.of("order_at") if machine == "packer"
    ]
    assert [order for _, order in at] == ["X", "Y", "Z", ""]
    at.pop()
    setup = [moment for moment, machine, data in recording.of("changeover") if machine == "packer"]
    assert setup[0] == at[1][0]
    lots = {data["lot"]: data["id"] for _, _, data in recording.of("order")}
    for moment, machine, data in recording.of("part"):
        if machine == "packer":
            assert lots[data["lot"]] == [order for begun, order in at if begun <= moment][-1]
    shown = recording.values["packer.order"]
    assert shown[0] == ""
    assert list(dict.fromkeys(shown)) == ["", "X", "Y", "Z"]
    for begun, order in at:
        assert shown.index(order) == math.ceil(begun)


def test_after_the_last_order_a_machine_is_on_none(tmp_path: Path) -> None:
    """The first when nothing more comes in, one behind it when nothing more is on its way to it."""
    plan = document(orders=[{"product": "a", "quantity": 12}], repeat_orders=False)
    recording = Recording(tmp_path, plan, 60)
    told = [(machine, data["order"]) for _, machine, data in recording.of("order_at")]
    assert told == [("filler", "ORD-0001"), ("packer", "ORD-0001"), ("filler", ""), ("packer", "")]
    last = [moment for moment, machine, _ in recording.of("part") if machine == "filler"][-1]
    assert last == next(
        moment for moment, m, data in recording.of("order_at") if (m, data["order"]) == ("filler", "")
    )
