"""Physics and sensors: closed form between scans, cause before effect, resolution, type, range and drop-outs."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simpy

from shakedown.bridge.yamlfile import read
from shakedown.twin.ledger import Change, Ledger
from shakedown.twin.line import Line, Plant
from shakedown.twin.line.physics import Physics
from shakedown.twin.line.ramp import Ramp
from shakedown.twin.line.sensors import Sensors
from shakedown.twin.line.signal_spec import SignalSpec
from shakedown.twin.line.states import State

BOTTLING = Path(__file__).parents[2] / "scenarios" / "plants" / "bottling" / "plant.yaml"
SECONDS = 1_800


def _spec(type: str = "Double", range: Any = (-1e9, 1e9), **source: Any) -> SignalSpec:
    return SignalSpec.model_validate({"tag": "T", "type": type, "range": list(range), **source})


@pytest.mark.parametrize("scan_ms", [100, 1_000, 7_000])
def test_a_step_is_followed_exactly_whatever_the_scan(scan_ms: int) -> None:
    spec = _spec(response={"base": 20, "gains": {"m.run": 60}, "tau_s": 30, "resolution": 1})
    physics = Physics(["m.run"], {"m.t": spec}, scan_ms)
    assert physics.settle([0.0])[0] == 20
    for scan in range(1, 50):
        elapsed_s = scan * scan_ms / 1_000
        assert physics.move([1.0])[0] == pytest.approx(80 - 60 * math.exp(-elapsed_s / 30), rel=1e-12)


def test_products_of_drivers_and_chains_of_quantities() -> None:
    specs = {
        "m.heat": _spec(response={"gains": {"m.current*m.current": 2}, "resolution": 1}),
        "m.current": _spec(
            response={"base": 1, "gains": {"m.speed*m.load": 3, "m.speed": 1}, "resolution": 1}
        ),
        "m.energy": _spec(totaliser={"gains": {"m.heat": 0.5}, "resolution": 1}),
    }
    physics = Physics(["m.speed", "m.load"], specs, 2_000)
    assert physics.settle([0.0, 1.0]).tolist() == [2, 1, 0]
    assert physics.move([0.5, 2.0]).tolist() == [2 * 4.5**2, 4.5, 2 * 0.5 * 2 * 4.5**2]
    assert physics.move([0.0, 2.0])[2] == 2 * 0.5 * 2 * 4.5**2 + 2 * 0.5 * 2


def test_a_ramp_is_never_faster_than_it_may_be() -> None:
    ramp = Ramp(4.0)
    assert [ramp.move(1.0, 1_000) for _ in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert ramp.move(0.9, 1_000) == pytest.approx(0.9)
    assert Ramp(0).move(1.0, 1) == 1.0


def test_sensors_have_noise_resolution_range_and_type() -> None:
    response = {"noise": 0.5, "resolution": 0.05}
    specs = [
        _spec(response=response),
        _spec("Float", response=response),
        _spec("Int16", (-10, 10), response={"noise": 3, "resolution": 2}),
        _spec(range=(0, 100), response=response),
    ]
    sensors = Sensors({f"m.{number}": spec for number, spec in enumerate(specs)}, 0)
    readings = [sensors.read(np.array([20.0, 20.0, 9.0, 100.0])) for _ in range(2_000)]
    double, single, whole, limited = (np.array(column) for column in zip(*readings, strict=True))
    assert np.abs(double.mean() - 20) < 4 * 0.5 / math.sqrt(2_000)
    assert double.std() == pytest.approx(0.5, rel=0.1)
    assert all(reading == round(reading * 20) / 20 for reading in double)
    assert all(reading == float(np.float32(reading)) for reading in single)
    assert all(type(row[2]) is int and row[2] % 2 == 0 and row[2] <= 10 for row in readings)
    assert limited.max() == 100
    assert whole.max() == 10


class _Recording:
    """The bottling plant for half an hour: every scan's values by name, and the ledger."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        document, _ = read(BOTTLING)
        self.plant = Plant.model_validate({**document, **changes})
        names = [f"{owner}.{name}" for owner, name, _ in self.plant.each_signal()]
        self.values: dict[str, list[Any]] = defaultdict(list)
        self.statuses: dict[str, list[int]] = defaultdict(list)
        self.scans: list[tuple[int, list[Change]]] = []
        now: dict[str, tuple[Any, int]] = {}

        def on_scan(source_ts_ns: int, changes: list[Change]) -> None:
            self.scans.append((source_ts_ns, changes))
            now.update({names[index]: (value, status) for index, value, status in changes})
            for name, (value, status) in now.items():
                self.values[name].append(value)
                self.statuses[name].append(status)

        env = simpy.Environment()
        with Ledger(folder / "ledger.jsonl", start_ns=5_000_000) as ledger:
            self.line = Line(self.plant, env, 3, ledger)
            self.line.on_scan = on_scan
            self.line.start()
            env.run(until=SECONDS * 1_000 + 1)
        self.rows = [json.loads(text) for text in (folder / "ledger.jsonl").read_text().splitlines()]

    def array(self, name: str) -> Any:
        return np.array(self.values[name], dtype=float)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> _Recording:
    return _Recording(tmp_path_factory.mktemp("bottling"))


def test_the_ledger_and_the_world_are_told_the_same(recording: _Recording) -> None:
    offered = [[moment, *change] for moment, changes in recording.scans for change in changes]
    assert offered == [row[1:] for row in recording.rows if isinstance(row, list) and row[0] == "S"]
    first_moment, first_changes = recording.scans[0]
    assert first_moment == 5_000_000
    assert [index for index, _, _ in first_changes] == list(range(len(recording.line.signals)))
    assert [moment for moment, _ in recording.scans] == [5_000_000 + s * 10**9 for s in range(SECONDS + 1)]


def test_only_changes_are_offered(recording: _Recording) -> None:
    last: dict[int, tuple[Any, int]] = {}
    for _, changes in recording.scans:
        for index, value, status in changes:
            assert last.get(index) != (value, status)
            last[index] = value, status


def test_at_least_48_numbers_change_at_nearly_every_scan_while_the_line_runs(recording: _Recording) -> None:
    machines = ("filler", "capper", "labeller", "packer")
    running = np.all([recording.array(f"{machine}.state") == State.EXECUTE for machine in machines], axis=0)
    assert running.sum() > 300
    lively = []
    for owner, name, spec in recording.plant.each_signal():
        if spec.type not in ("String", "Boolean"):
            values = recording.array(f"{owner}.{name}")
            changed = (np.diff(values) != 0)[running[1:] & running[:-1]].mean()
            lively += [f"{owner}.{name}"] if changed > 0.9 else []
    assert len(lively) >= 48, sorted(lively)


def test_every_heartbeat_beats_at_every_scan(recording: _Recording) -> None:
    beats = [name for name in recording.values if name.endswith(".heartbeat")]
    assert len(beats) == 8
    for name in beats:
        assert recording.values[name] == list(range(SECONDS + 1))


def test_measurements_stay_inside_their_range(recording: _Recording) -> None:
    for signal, (owner, name, spec) in zip(
        recording.line.signals, recording.plant.each_signal(), strict=True
    ):
        if spec.range is not None:
            values = recording.array(f"{owner}.{name}")
            assert signal.eu_low <= values.min()
            assert values.max() <= signal.eu_high
            assert np.mean((values == signal.eu_low) | (values == signal.eu_high)) < 0.01, (
                f"{signal.tag} saturates"
            )


def _standing(recording: _Recording, machine: str, seconds: int = 8) -> Any:
    """Scans before which the machine has not produced for so long."""
    still = recording.array(f"{machine}.state") != State.EXECUTE
    return np.array(
        [scan >= seconds and still[scan - seconds : scan + 1].all() for scan in range(len(still))]
    )


def test_torque_force_and_flow_only_while_the_machine_works(recording: _Recording) -> None:
    capper, filler = _standing(recording, "capper"), _standing(recording, "filler")
    assert capper.sum() > 20
    assert filler.sum() > 20
    assert np.abs(recording.array("capper.torque")[capper]).max() < 0.2
    assert np.abs(recording.array("capper.chuck_force")[capper]).max() < 8
    assert np.abs(recording.array("filler.product_flow")[filler]).max() < 2.5
    working = recording.array("capper.state") == State.EXECUTE
    assert np.median(recording.array("capper.torque")[working]) > 1.5


def test_speed_and_current_fall_when_the_machine_stops(recording: _Recording) -> None:
    for machine, speed in (
        ("filler", "carousel_speed"),
        ("labeller", "drum_speed"),
        ("capper", "spindle_speed"),
    ):
        standing = _standing(recording, machine)
        running = recording.array(f"{machine}.state") == State.EXECUTE
        values = recording.array(f"{machine}.{speed}")
        current = recording.array(f"{machine}.motor_current")
        assert np.abs(values[standing]).max() < 0.15 * np.median(values[running])
        assert current[standing].max() < 0.3 * np.median(current[running])


def test_the_heavier_product_draws_more_current(recording: _Recording) -> None:
    product = np.array(recording.values["filler.product"])
    running = recording.array("filler.state") == State.EXECUTE
    current = recording.array("filler.motor_current") / np.maximum(
        recording.array("filler.carousel_speed"), 0.1
    )
    water, lemonade = (
        np.median(current[running & (product == name)]) for name in ("WATER 0.5L", "LEMONADE 1.0L")
    )
    assert lemonade > 1.1 * water


def test_totals_agree_with_the_counters(recording: _Recording) -> None:
    """The flow meter has seen what was filled: both count the same bottles, but for the one in the filler."""
    volumes = {"water_500": 0.5, "lemonade_1000": 1.0}
    parts = [
        row[4] for row in recording.rows if isinstance(row, list) and row[2] == "part" and row[3] == "filler"
    ]
    litres = sum(volumes[part["product"]] for part in parts)
    assert recording.values["filler.product_total"][-1] == pytest.approx(litres, abs=1.1)
    power = recording.array("packer.power")
    assert recording.values["packer.energy"][-1] == pytest.approx(power[1:].sum() / 3_600, rel=0.01)


def test_the_bowl_drops_and_refills_between_its_limits(recording: _Recording) -> None:
    level = recording.array("filler.bowl_level")
    assert level.min() == pytest.approx(55, abs=3)
    assert level.max() == pytest.approx(85, abs=3)
    assert np.sum(np.diff((level > 70).astype(int)) == 1) > 5, "the bowl is refilled again and again"


def test_air_pressure_is_shared(recording: _Recording) -> None:
    header, capper = recording.array("air_receiver.header_pressure"), recording.array("capper.air_pressure")
    assert np.corrcoef(header, capper)[0, 1] > 0.7


def test_a_motor_warms_up_slowly_and_starts_at_ambient(recording: _Recording) -> None:
    temperature = recording.array("filler.motor_temperature")
    assert temperature[0] == pytest.approx(32 + 1.8 * 21.5, abs=1)
    assert temperature[-300:].mean() > temperature[0] + 40
    assert np.abs(np.diff(temperature)).max() < 1.0


def test_a_drop_out_is_bad_for_its_time_and_in_the_ledger(tmp_path: Path) -> None:
    names = ["filler.bowl_temperature", "filler.good", "capper.state"]
    dropout = {"signals": names, "at_s": 60, "lasts_s": 20, "status": "BadDeviceFailure"}
    recording = _Recording(tmp_path, dropouts=[dropout])
    for name in names:
        assert recording.statuses[name][:60] == [0] * 60
        assert recording.statuses[name][60:80] == [0x808B0000] * 20
        assert recording.values[name][60:80] == [None] * 20
        assert recording.statuses[name][80] == 0
        assert recording.values[name][80] is not None
    assert not any(recording.statuses["filler.bowl_level"])
    upsets = [row[1:] for row in recording.rows if isinstance(row, list) and row[2] == "upset"]
    assert [(moment, machine, data["phase"], data["signals"]) for moment, _, machine, data in upsets] == [
        (60_005_000_000, "filler", "start", names[:2]),
        (60_005_000_000, "capper", "start", names[2:]),
        (80_005_000_000, "filler", "end", names[:2]),
        (80_005_000_000, "capper", "end", names[2:]),
    ]
    bad = [row for row in recording.rows if isinstance(row, list) and row[0] == "S" and row[4]]
    assert len(bad) == 3, "Bad is a change once, not at every scan"


def test_a_counter_rolls_over_as_its_type_does() -> None:
    from shakedown.twin.line.registers import reader

    spec = SignalSpec.model_validate({"tag": "T", "type": "UInt16", "show": "heartbeat"})
    beat = reader(spec, object())
    assert [beat(scan) for scan in (65_534, 65_535, 65_536)] == [65_534, 65_535, 0]
