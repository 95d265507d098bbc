"""Plant files: the shipped one loads, and impossible physics is refused with key, value and remedy."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from shakedown.bridge.yamlfile import ConfigError, load, parse, read, validate
from shakedown.twin.line import Plant
from shakedown.twin.line.signals import signals_of

BOTTLING = Path(__file__).parents[2] / "scenarios" / "plants" / "bottling" / "plant.yaml"


def test_the_shipped_plant_has_the_signals_that_the_line_needs() -> None:
    plant = load(BOTTLING, Plant)
    signals = signals_of(plant)
    assert len(signals) >= 56
    assert len({signal.node_id for signal in signals}) == len(signals)
    assert all(signal.node_id == f"ns=2;s={signal.tag}" for signal in signals)
    assert {signal.machine for signal in signals} == {*plant.machines, *plant.conveyors, "air_receiver"}
    for owner, specs in plant.signals.items():
        assert specs["heartbeat"].show == "heartbeat", owner
    for machine in plant.machines:
        assert {"state", "stop_reason", "good", "reject", "total"} <= plant.signals[machine].keys()


def test_a_plant_survives_being_written_and_read_again() -> None:
    plant = load(BOTTLING, Plant)
    assert Plant.model_validate(plant.model_dump(mode="json", exclude_defaults=True, by_alias=True)) == plant


def _set(document: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split("/")
    at: Any = document
    for step in parents:
        at = at[int(step)] if isinstance(at, list) else at[step]
    at[last] = value


REFUSED = [
    ("machines/filler/reject_rate", -0.1, "machines.filler.reject_rate", "-0.1", "fraction of parts rejected"),
    ("machines/filler/cycle/mean_s", -1, "machines.filler.cycle.mean_s", "-1", "a time in seconds"),
    ("machines/filler/cycle/mean_s", 0.01, "machines.filler", "100 parts a second", "give at least 0.025"),
    ("machines/filler/cycle/distribution", "gamma", "machines.filler.cycle.distribution", "gamma", "lognormal"),
    ("machines/filler/cycle/cv", 0.2, "machines.filler.cycle", "cv does not fit constant", "give cv with lognormal"),
    ("machines/filler/batch", 0, "machines.filler.batch", "0", "parts that are worked on together"),
    ("machines/filler/stoppages/0/between/mean_s", 0.1, "machines.filler", "every 0.1 s", "give a longer"),
    ("machines/filler/stoppages/0/code", 3, "machines.filler.stoppages.0.code", "3", "codes below 100"),
    ("machines/filler/stoppages/0/code", 150, "machines.filler.failures.valve_stuck.code", "150", "a code of its own"),
    ("machines/filler/colour", "red", "machines.filler.colour", "unknown field", "known here"),
    ("conveyors/conveyor_1/capacity", 0, "conveyors.conveyor_1.capacity", "0", "a belt holds at least one part"),
    ("conveyors/conveyor_1/capacity", 2.5, "conveyors.conveyor_1.capacity", "2.5", "whole number"),
    ("conveyors/conveyor_9", {"capacity": 5}, "conveyors", "4 conveyors for 4 machines", "give 3"),
    ("conveyors/filler", {"capacity": 5}, "conveyors.filler", "filler", "choose another"),
    ("products/water_500/volume_l", 0, "products.water_500.volume_l", "0", "content of one bottle in litres"),
    ("products/water_500/volume_l", float("nan"), "products.water_500.volume_l", "nan", ""),
    ("orders/0/product", "water_50", "orders.0.product", "water_50", "did you mean 'water_500'?"),
    ("orders/0/quantity", 0, "orders.0.quantity", "0", "a whole number of bottles"),
    ("scan_ms", 1, "scan_ms", "1", "a scan time in milliseconds"),
    ("reservoirs/bowl/low", 0.95, "reservoirs.bowl", "low 0.95 is not below high 0.85", "starts at low"),
    ("reservoirs/bowl/refill_per_s", 0.5, "reservoirs.bowl.refill_per_s", "1.282/s", "give more than that"),
    ("reservoirs/bowl/users/filer", {"per_litre": 1}, "reservoirs.bowl.users.filer", "filer", "did you mean 'filler'?"),
    ("signals/filler/bowl_level/range", [100, 0], "signals.filler.bowl_level", "upside down", "low below high"),
    ("signals/filler/bowl_level/range", None, "signals.filler.bowl_level", "range is missing", "give [low, high]"),
    ("signals/filler/bowl_level/tag", "capper.hb", "signals.capper.heartbeat.tag", "duplicate tag", "rename one"),
    ("signals/filler/bowl_level/show", "good", "signals.filler.bowl_level", "show and response", "give one of"),
    ("signals/filler/good/show", "goods", "signals.filler.good.show", "goods", "'good'"),
    ("signals/filler/good/show", "running", "signals.filler.good", "cannot show running", "use Boolean"),
    ("signals/conveyor_1/heartbeat/show", "good", "signals.conveyor_1.heartbeat.show", "conveyor_1 has no good", ""),
    ("signals/filler/good/type", "Double", "signals.filler.good", "type Double cannot show good", "use UInt16"),
    ("signals/filler/bowl_level/type", "String", "signals.filler.bowl_level", "String", "use Double, Float"),
    ("signals/capper/spindle_speed/range", [0, 40000], "signals.capper.spindle_speed", "40000", "use a wider type"),
    ("signals/capper/spindle_speed/response/resolution", 0.5, "signals.capper.spindle_speed", "0.5", "whole number"),
    ("signals/filler/bowl_level/response/resolution", 0, "signals.filler.bowl_level.response.resolution", "0", "size"),
    ("signals/filler/bowl_level/response/noise", -1, "signals.filler.bowl_level.response.noise", "-1", "negative"),
    ("signals/filler/bowl_level/response/gains/bowl.levle", 1,
     "signals.filler.bowl_level.response.gains.bowl.levle", "bowl.levle", "did you mean 'bowl.level'?"),
    ("signals/filler/bowl_level/response/gains/ambient*ambient*ambient", 1,
     "signals.filler.bowl_level.response.gains", "more than two", "use two at most"),
    ("signals/filler/motor_current/response/gains/filler.motor_power", 1,
     "signals.filler.motor_current", "in a circle", "break the circle"),
    ("signals/filer", {}, "signals.filer", "filer", "did you mean 'filler'?"),
    ("dropouts", [{"signals": ["filler.level"], "at_s": 1, "lasts_s": 1}],
     "dropouts.0.signals.0", "filler.level", "did you mean"),
    ("dropouts", [{"signals": ["filler.good"], "at_s": 1, "lasts_s": 0}],
     "dropouts.0.lasts_s", "0", "a time in seconds"),
    ("signals/filler/load", {"tag": "L", "type": "Double", "range": [0, 1], "response": {"resolution": 1}},
     "signals.filler.load", "also a driver", "rename the signal"),
    ("calendar/1/begins_s", 20000, "calendar.1.begins_s", "20000", "before the one before it ends at 28800 s"),
    ("calendar/0/breaks/0/begins_s", 28000, "calendar.0", "to 28900 s is not within", "from the line's start"),
    ("calendar/0/breaks/1/begins_s", 9100, "calendar.0", "9100 to 10900", "in order"),
    ("calendar/0/lasts_s", 0, "calendar.0.lasts_s", "0", "a time in seconds"),
    ("items/cap/lot_quantity", 0, "items.cap.lot_quantity", "0", "greater than zero"),
    ("items/water_500", {"lot_quantity": 1}, "items.water_500", "name of a product", "rename one"),
    ("bill/water_500/capper/cork", 1, "bill.water_500.capper.cork", "unknown item 'cork'", "known here"),
    ("bill/water_500/caper", {"cap": 1}, "bill.water_500.caper", "caper", "did you mean 'capper'?"),
    ("bill/water_500/capper/cap", -1, "bill.water_500.capper.cap", "-1", "greater than 0"),
    ("recipes/water", {}, "recipes.water", "unknown product 'water'", "did you mean 'water_500'?"),
    ("recipes/water_500/filler/parameters/fill_pressure/value", 300,
     "recipes.water_500.filler.parameters.fill_pressure", "300 is not between low 150 and high 260", "would refuse"),
    ("recipes/water_500/filler/steps/0/share", 0.5, "recipes.water_500.filler", "1.3 together", "add up to 1"),
    ("recipes/water_500/capper/parameters/torque_fault", {"value": 1, "low": 0, "high": 2},
     "recipes.water_500.capper.parameters.torque_fault", "failure mode of capper", "rename it"),
    ("changeovers/water_500/water_500", 1, "changeovers.water_500.water_500", "to itself", "leave it out"),
    ("changeovers/water_500/lemonade", 1, "changeovers.water_500.lemonade", "lemonade", "'lemonade_1000'"),
    ("assets/caper", {"equipment": "X", "assignments": [{"physical_asset": "Y"}]}, "assets.caper", "caper", "'capper'"),
    ("assets/capper/assignments/0/from_s", 5, "assets.capper", "[5.0] s", "the first begins at 0"),
    ("bottleneck", "packr", "bottleneck", "packr", "did you mean 'packer'?"),
    ("orders/0/id", "WO-1", "orders.0.id", "WO-1", "repeat_orders: false"),
    ("machines/capper/failures/run", {"cause": "x", "code": 299, "mtbf": {"mean_s": 9}, "mttr": {"mean_s": 9}},
     "machines.capper.failures.run", "also a driver", "rename it"),
    ("machines/capper/failures/cap_jam/mtbf/mean_s", 0.1, "machines.capper", "every 0.1 s", "longer mtbf.mean_s"),
    ("machines/capper/failures/cap_jam/code", 210, "machines.capper", "not all different", "a code of its own"),
    ("machines/capper/rework_share", 1.5, "machines.capper.rework_share", "1.5", "a fraction"),
    ("machines/capper/speed_losses", [{"cause": "x", "factor": 0.5, "between": {"mean_s": 9}, "lasts": {"mean_s": 9}}],
     "machines.capper.speed_losses.0.factor", "0.5", "the machine's own cycle time"),
    ("upsets/bowl_noise/limit", 500, "upsets.bowl_noise.signals", "cannot show limit 500", "inside the range"),
    ("upsets/bowl_noise/noise", 0, "upsets.bowl_noise.noise", "0", "greater than zero"),
    ("upsets/bowl_noise/correlation", 1, "upsets.bowl_noise.correlation", "1", "less than 1"),
    ("upsets/bowl_noise/kind", "noise", "upsets.bowl_noise", "noise", "noisy_sensor"),
    ("upsets/bowl_noise/per_hour", -1, "upsets.bowl_noise.per_hour", "-1", "a hazard rate"),
    ("upsets/seal_drift/signals", ["packer.state"], "upsets.seal_drift.signals", "is not a measured", "name a"),
    ("upsets/seal_drift/signals", ["packer.seal"], "upsets.seal_drift.signals.0", "packer.seal", "did you mean"),
    ("upsets/backup_switch_chatter/signals", ["filler.good"], "upsets.backup_switch_chatter.signals", "not a switch",
     "type Boolean"),
    ("upsets/labeller_flaps/signals", ["labeller.good"], "upsets.labeller_flaps.signals", "not a state", "shows state"),
    ("upsets/labeller_flaps/other", 7, "upsets.labeller_flaps.signals", "never shows 7", "states are 4, 5"),
    ("upsets/packer_reset/signals", ["packer.power"], "upsets.packer_reset.signals", "not a counter", "infeed, good"),
    ("upsets/old", {"kind": "roll_over", "signals": ["filler.good"], "bits": 16, "left": 5, "at_s": [9.0]},
     "upsets.old", "cannot begin to be old later", "leave out at_s"),
    ("upsets/cap_jam/mode", "turret_bearing", "upsets.cap_jam.mode", "develops over time", "leave out develops"),
    ("upsets/turret_bearing/mode", "cap_jam", "upsets.turret_bearing.mode", "comes at once", "give develops"),
    ("upsets/cap_jam/machine", "caper", "upsets.cap_jam.machine", "caper", "did you mean 'capper'?"),
    ("upsets/cap_jam/mode", "jam", "upsets.cap_jam.mode", "capper has no failure 'jam'", "did you mean 'cap_jam'?"),
    ("upsets/main_trip/shifts/filler.good", 1, "upsets.main_trip.shifts.filler.good", "not a measured", "name a"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "key", "shown", "remedy"), REFUSED, ids=[f"{r[0]}={r[1]}" for r in REFUSED]
)
def test_impossible_physics_is_refused(path: str, value: Any, key: str, shown: str, remedy: str) -> None:
    document, marks = read(BOTTLING)
    _set(document, path, value)
    with pytest.raises(ConfigError) as refused:
        validate(document, marks, Plant)
    problems = [problem for problem in refused.value.problems if f": {key}" in problem]
    assert problems, refused.value.problems
    assert re.match(r".*plant\.yaml:\d+:\d+: ", problems[0])
    assert any(shown in problem for problem in problems), problems
    assert any(re.search(remedy.replace("[", r"\[").replace("?", r"\?"), problem) for problem in problems), (
        problems
    )


def test_all_contradictions_are_told_at_once() -> None:
    document, marks = read(BOTTLING)
    for path, value in (
        ("orders/0/product", "x"),
        ("signals/filer", {}),
        ("conveyors/filler", {"capacity": 5}),
    ):
        _set(document, path, copy.deepcopy(value))
    with pytest.raises(ConfigError) as refused:
        validate(document, marks, Plant)
    assert len(refused.value.problems) == 4  # the added conveyor is also one too many


def test_the_smallest_plant_is_one_machine() -> None:
    text = (
        "{plant: p, products: {a: {label: A, volume_l: 1}}, orders: [{product: a, quantity: 1}], "
        "machines: {m: {cycle: {mean_s: 1}}}}"
    )
    plant = validate(*parse(text, "plant.yaml"), Plant)
    assert list(plant.machines) == ["m"]
    assert signals_of(plant) == ()
