"""All upsets through one suite: each does what it says for its time, changes nothing else, and is in the ledger."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from shakedown.twin.line.disturbances import UnknownUpsetError
from shakedown.twin.line.signal_spec import SignalSpec
from shakedown.twin.line.states import State
from shakedown.twin.line.upsets import UPSETS, extremes
from shakedown.twin.line.upsets.noisy_sensor import NoisySensor
from tests.twin.line_rig import Recording, document

BEGINS, LASTS, SECONDS = 60, 30, 240
ENDS = BEGINS + LASTS

Check = Callable[[list[Any], list[Any], Recording], None]
"""Takes the values of the upset's signal from the onset to its end, those of the same run without it, and the run."""


def _chatters(shown: list[Any], calm: list[Any], _: Recording) -> None:
    opposite = [a != b for a, b in zip(shown, calm, strict=True)]
    assert opposite == [second % 4 < 2 for second in range(LASTS)], "2 s this way, 2 s that way"


def _wanders(shown: list[Any], calm: list[Any], _: Recording) -> None:
    beyond = np.diff(np.sign(np.array(shown) - 60))
    assert np.count_nonzero(beyond) >= 5, "crosses its limit again and again"
    assert abs(np.mean(shown) - 60) < 2.5
    assert np.max(calm) < 58


def _drifts(shown: list[Any], calm: list[Any], _: Recording) -> None:
    away = np.array(shown) - np.array(calm)
    assert away == pytest.approx(0.2 * np.arange(LASTS), abs=0.011)


def _sticks(shown: list[Any], calm: list[Any], _: Recording) -> None:
    assert shown == [calm[0]] * LASTS
    assert len(set(calm)) > LASTS / 2


def _spikes(shown: list[Any], calm: list[Any], _: Recording) -> None:
    away = np.array(shown) - np.array(calm)
    spikes = np.abs(away) > 1
    assert 1 <= spikes.sum() <= LASTS / 2
    assert away[spikes] == pytest.approx(30, abs=0.011)
    assert not away[~spikes].any()


def _is_bad(shown: list[Any], _: list[Any], run: Recording) -> None:
    assert shown == [None] * LASTS
    assert run.statuses["filler.temperature"][BEGINS:ENDS] == [0x808A0000] * LASTS
    assert run.offered["filler.temperature"][BEGINS:ENDS] == [True] + [False] * (LASTS - 1), (
        "Bad once is enough"
    )


def _is_silent(_: list[Any], __: list[Any], run: Recording) -> None:
    for name in ("packer.heartbeat", "packer.pressure"):
        assert not any(run.offered[name][BEGINS:ENDS])
        assert run.offered[name][ENDS]
        assert not any(run.statuses[name])


def _goes_through_its_limits(shown: list[Any], _: list[Any], run: Recording) -> None:
    assert shown[1] == np.finfo(np.float64).max
    assert [math.isnan(shown[3]), *shown[4:6], shown[7]] == [True, math.inf, -math.inf, None]
    codes = list(extremes.STATUS.values())
    assert run.statuses["filler.temperature"][BEGINS : ENDS - 1] == [0] * 8 + codes + [0] * (
        LASTS - 9 - len(codes)
    )
    doubtful, good = run.besides
    assert doubtful[1:] == ("filler.temperature", good[2], extremes.STATUS["UncertainLastUsableValue"])
    assert (good[0] - doubtful[0], good[3]) == (250_000, 0)


def _starts_again(shown: list[Any], calm: list[Any], run: Recording) -> None:
    assert shown == [value - calm[0] for value in calm]
    assert run.values["filler.total"][-1] < calm[-1] + 2 * (SECONDS - ENDS)


def _flaps(shown: list[Any], calm: list[Any], run: Recording) -> None:
    assert shown[0::2] == [int(State.HELD)] * (LASTS // 2)
    assert shown[1::2] == calm[1::2]
    assert not any(data["to"] == State.HELD for _, _, data in run.of("state")), (
        "the machine does not really stop"
    )


@dataclass(frozen=True)
class Case:
    """An upset of signals: its specification, the signals that it concerns, and what they show."""

    kind: str
    check: Check
    signals: tuple[str, ...]
    more: dict[str, Any]

    def spec(self, **when: Any) -> dict[str, Any]:
        return {"kind": self.kind, "signals": [*self.signals], **self.more, **when}


T = ("filler.temperature",)
CASES = [
    Case("chattering_switch", _chatters, ("filler.full",), {"half_period_s": 2, "lasts_s": LASTS}),
    Case("noisy_sensor", _wanders, T, {"limit": 60, "noise": 2, "correlation": 0.3, "lasts_s": LASTS}),
    Case("drift", _drifts, T, {"rate_per_s": 0.2, "lasts_s": LASTS}),
    Case("stuck", _sticks, T, {"lasts_s": LASTS}),
    Case("spikes", _spikes, T, {"height": 30, "share": 0.2, "lasts_s": LASTS}),
    Case("drop_out", _is_bad, T, {"status": "BadNotConnected", "lasts_s": LASTS}),
    Case("drop_out", _is_silent, ("packer",), {"status": "silent", "lasts_s": LASTS}),
    Case("counter_reset", _starts_again, ("filler.total",), {}),
    Case("extremes", _goes_through_its_limits, T, {"lasts_s": LASTS}),
    Case("flapping_state", _flaps, ("filler.state",), {"lasts_s": LASTS}),
]
MACHINE_CASES = {
    "jam": {"kind": "jam", "machine": "filler", "mode": "jam"},
    "bearing_wear": {"kind": "bearing_wear", "machine": "filler", "mode": "wear"},
    "trip": {
        "kind": "trip", "machine": "filler", "mode": "trip", "stagger_s": 5, "lasts_s": LASTS,
        "shifts": {"filler.temperature": 30, "packer.pressure": -150, "filler.vibration": 9},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return Recording(tmp_path_factory.mktemp("calm"), document(), SECONDS)


def _run(folder: Path, spec: dict[str, Any], **more: Any) -> Recording:
    return Recording(folder, document(upsets={"it": spec}), SECONDS, **more)


def _named(case: Case, run: Recording) -> list[str]:
    owners = run.plant.signals
    return [
        f"{named}.{name}" if named in owners else name
        for named in case.signals
        for name in owners.get(named, [named])
    ]


def test_every_upset_of_the_table_is_in_this_suite() -> None:
    kinds = {get_args(upset.model_fields["kind"].annotation)[0] for upset in UPSETS}
    assert kinds == {case.kind for case in CASES} | MACHINE_CASES.keys() | {"roll_over"}
    assert len(kinds) == len(UPSETS)


@pytest.mark.parametrize("way", ["schedule", "trigger"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{case.check.__name__}")
def test_an_upset_does_what_it_says_and_nothing_else(
    case: Case, way: str, calm: Recording, tmp_path: Path
) -> None:
    if way == "schedule":
        run = _run(tmp_path, case.spec(at_s=[BEGINS]))
    else:
        run = _run(tmp_path, case.spec(), at={BEGINS: lambda line: line.trigger("it")})
    concerned = _named(case, run)
    case.check(run.values[concerned[0]][BEGINS:ENDS], calm.values[concerned[0]][BEGINS:ENDS], run)
    for name in calm.values:
        assert run.values[name][:BEGINS] == calm.values[name][:BEGINS]
        if name not in concerned:
            assert run.values[name] == calm.values[name], f"{name} is none of its signals"
        elif case.kind != "counter_reset":
            assert run.values[name][ENDS + 1 :] == calm.values[name][ENDS + 1 :], "it has an end"
    told = run.of("upset")
    assert [data["phase"] for _, _, data in told] == ["start", "end"]
    assert all(
        (data["id"], data["upset"], data["signals"]) == ("it", case.kind, concerned) for _, _, data in told
    )
    assert told[0][0] == BEGINS
    assert [event for event in run.events if event[1] != "upset"] == calm.events, (
        "physically nothing has happened"
    )


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{case.check.__name__}")
def test_by_chance_it_strikes_as_often_as_its_hazard_rate_says(case: Case, tmp_path: Path) -> None:
    spec = case.spec(per_hour=360)
    if "lasts_s" in spec:
        spec["lasts_s"] = 3
    plant = document(upsets={"it": spec})
    runs = [Recording(tmp_path, plant, 600, seed=seed) for seed in (1, 1, 2)]
    begun = [[moment for moment, _, data in run.of("upset") if data["phase"] == "start"] for run in runs]
    # mean gap 10 s, and 3 s of its own time: about 46 in ten minutes, 60 without
    assert 25 <= len(begun[0]) <= 90
    assert begun[0] == begun[1], "its stream is named: the same seed gives the same times"
    assert begun[0] != begun[2]


@pytest.mark.parametrize(
    ("bits", "name"), [(16, "filler.small_total"), (16, "filler.total"), (32, "filler.total")]
)
def test_a_counter_rolls_over(bits: int, name: str, calm: Recording, tmp_path: Path) -> None:
    run = _run(tmp_path, {"kind": "roll_over", "signals": [name], "bits": bits, "left": 100})
    assert run.values[name] == [(value - 100) % 2**bits for value in calm.values[name]]
    assert run.values[name][0] == 2**bits - 100
    assert run.values[name][-1] == calm.values[name][-1] - 100 > 0
    (begins, _, start), (ends, _, end) = run.of("upset")
    assert (begins, start["phase"], end["phase"]) == (0, "start", "end")
    assert calm.values[name][int(ends) - 1] < 100 <= calm.values[name][int(ends)]


def test_a_reset_counter_is_reset_again(tmp_path: Path, calm: Recording) -> None:
    run = _run(tmp_path, {"kind": "counter_reset", "signals": ["filler.total"], "at_s": [50, 100]})
    true = calm.values["filler.total"]
    expected = true[:50] + [v - true[50] for v in true[50:100]] + [v - true[100] for v in true[100:]]
    assert run.values["filler.total"] == expected


def test_two_upsets_of_one_signal_act_one_after_the_other(tmp_path: Path, calm: Recording) -> None:
    drift = {"kind": "drift", "signals": [*T], "rate_per_s": 1, "at_s": [50], "lasts_s": 100}
    stuck = {"kind": "stuck", "signals": [*T], "at_s": [60], "lasts_s": 20}
    bad = {"kind": "drop_out", "signals": [*T], "at_s": [70], "lasts_s": 5}
    run = Recording(tmp_path, document(upsets={"drift": drift, "stuck": stuck, "bad": bad}), 160)
    shown, true = run.values[T[0]], calm.values[T[0]]
    assert shown[59] == pytest.approx(true[59] + 9)
    assert shown[60:70] == [pytest.approx(true[60] + 10)] * 10
    assert shown[70:75] == [None] * 5
    assert shown[75:80] == [pytest.approx(true[60] + 10)] * 5
    assert shown[80] == pytest.approx(true[80] + 30)
    assert shown[150:] == true[150:161]


def _phases(run: Recording) -> dict[str, float]:
    return {data["phase"]: moment for moment, _, data in run.of("fault")}


@pytest.mark.parametrize("way", ["schedule", "chance", "trigger"])
@pytest.mark.parametrize("kind", MACHINE_CASES)
def test_an_upset_of_a_machine_is_a_true_fault(kind: str, way: str, tmp_path: Path) -> None:
    when = {"schedule": {"at_s": [BEGINS]}, "chance": {"per_hour": 60}, "trigger": {}}[way]
    at = {BEGINS: lambda line: line.trigger("it")} if way == "trigger" else {}
    run = _run(tmp_path, {**MACHINE_CASES[kind], **when}, at=at)
    faults = [data for _, _, data in run.of("fault")]
    assert {data["mode"] for data in faults} == {MACHINE_CASES[kind]["mode"]}
    assert [data["phase"] for data in faults[:3]] == ["onset", "stop", "repaired"]
    if way != "chance":
        assert BEGINS <= _phases(run)["onset"] <= BEGINS + 4, "in the machine's next cycle"
    stopped = [moment for moment, _, data in run.of("state") if data["to"] == State.ABORTED]
    assert stopped == [moment for moment, _, data in run.of("fault") if data["phase"] == "stop"]


def test_a_machine_that_stands_is_struck_when_it_has_worked_again(tmp_path: Path) -> None:
    upsets = {
        "first": {**MACHINE_CASES["jam"], "at_s": [BEGINS]},
        "second": {**MACHINE_CASES["trip"], "at_s": [BEGINS + 4]},
    }
    run = Recording(tmp_path, document(upsets=upsets), SECONDS)
    moments = {(data["mode"], data["phase"]): moment for moment, _, data in run.of("fault")}
    assert moments["jam", "stop"] <= BEGINS + 4 < moments["jam", "repaired"]
    assert 10 <= moments["trip", "onset"] - moments["jam", "repaired"] < 15
    shown = [moment for moment, _, data in run.of("upset") if data["phase"] == "start"]
    assert set(shown) == {moments["trip", "onset"]}, "no signal runs away before the trip"


def test_a_worn_bearing_shows_before_it_fails(tmp_path: Path, calm: Recording) -> None:
    run = _run(tmp_path, {**MACHINE_CASES["bearing_wear"], "at_s": [30]})
    phases = _phases(run)
    worked = sum(
        1
        for moment, machine, _ in run.of("part")
        if machine == "filler" and phases["onset"] < moment <= phases["stop"]
    )
    assert worked * 0.5 == pytest.approx(60, abs=1), "it develops in a minute of working time"
    rises = np.array(run.values["filler.vibration"]) - np.array(calm.values["filler.vibration"])
    onset, stop = round(phases["onset"]), round(phases["stop"])
    assert np.abs(rises[:onset]).max() == 0
    assert rises[stop - 3 : stop].mean() > 4
    assert phases["repaired"] - phases["stop"] == 40
    assert run.values["filler.state"][stop + 1] == State.ABORTED


def test_a_trip_floods_one_signal_after_the_other(tmp_path: Path) -> None:
    run = _run(tmp_path, {**MACHINE_CASES["trip"], "at_s": [BEGINS]})
    pressure = np.array(run.values["packer.pressure"])
    assert pressure[BEGINS : BEGINS + 5].min() > 150, "its turn comes 5 s later"
    assert pressure[BEGINS + 5 : ENDS].max() < 90
    assert pressure[ENDS + 1 :].min() > 150
    told = [(moment, machine, data["phase"]) for moment, machine, data in run.of("upset")]
    assert told == [
        (BEGINS, "filler", "start"), (BEGINS, "packer", "start"), (ENDS, "filler", "end"), (ENDS, "packer", "end"),
    ]  # fmt: skip


def test_what_has_inertia_moves_with_a_trip_by_degrees(tmp_path: Path, calm: Recording) -> None:
    spec = {**MACHINE_CASES["trip"], "at_s": [BEGINS], "rise_s": 6, "lasts_s": 30}
    run = _run(tmp_path, spec)
    away = np.array(run.values["filler.temperature"]) - np.array(calm.values["filler.temperature"])
    assert away.max() > 28
    assert np.abs(np.diff(away)).max() < 6, "no winding is hotter by 30 degrees in one scan"


def test_a_noisy_sensor_follows_what_it_measures() -> None:
    spec = NoisySensor(kind="noisy_sensor", signals=["filler.temperature"], limit=60.0, noise=0.5)
    signal = SignalSpec.model_validate(
        {"tag": "T", "type": "Double", "unit": "CEL", "range": [0, 200], "description": "T",
         "response": {"base": 50, "gains": {}, "tau_s": 1, "noise": 0, "resolution": 0.01}}
    )  # fmt: skip
    shown = spec.distortion(signal, np.random.default_rng(1))
    before, after = ([shown.show(value, 0.0)[0] for _ in range(200)] for value in (50.0, 75.0))
    assert (np.mean(before), np.mean(after)) == pytest.approx((60, 85), abs=0.2)


def test_an_unknown_upset_is_refused_with_the_known_ones(calm: Recording) -> None:
    with pytest.raises(UnknownUpsetError, match=r"No upset 'x'; this plant has: none\."):
        calm.line.trigger("x")
