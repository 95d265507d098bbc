"""The replay behind `shakedown alarms tune`, held against three that know better: closed forms, the bridge, the labels.

Counts of annunciations are held in exact binomial bounds. They are conservative: the time between two annunciations is
a sum of waits that vary less than a geometric one, so counts scatter less than those of independent trials.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from shakedown.acceptance.alarms.annunciations import Annunciation
from shakedown.acceptance.alarms.labels import label
from shakedown.acceptance.operations_site import AlarmRule
from shakedown.acceptance.physical import TrueFault
from shakedown.acceptance.site import Topic
from shakedown.acceptance.spans import S
from shakedown.acceptance.statistics import lower_bound, upper_bound
from shakedown.acceptance.tuning.noise import (
    annunciation_rate,
    crossings_of,
    gauss_tail,
    noise_of,
    samples_held,
    scans_to_raise,
)
from shakedown.acceptance.tuning.replay import NEVER, Trajectory, Window, condition, covered, told
from shakedown.bridge.core.alarm import IN_FLIGHT_NS
from shakedown.bridge.core.alarm_rule import AlarmRule as BridgeRule
from shakedown.bridge.core.alarms import Alarms
from shakedown.bridge.core.model import BAD, GOOD, Sample

NONE = np.zeros(0, np.int64)
SCANS = 400_000
SURE = 0.9999


def rule(kind: str = "high", limit: float | str = 2.0) -> AlarmRule:
    return AlarmRule(
        "hot", Topic("c.m", "t", 0, "Double"), "", kind, limit, "high", 0.0, False, frozenset(), ""
    )


def trajectory(values: Any, good: Any = None, hidden: Any = (NONE, NONE)) -> Trajectory:
    """One sample a second from 0 on."""
    values = np.asarray(values, dtype=float)
    ns = np.arange(len(values), dtype=np.int64) * S
    good = np.ones(len(values), np.bool_) if good is None else np.asarray(good)
    return Trajectory(ns, values, good, len(values) * S, hidden)


def called(seen: Trajectory, n: float, m: float, deadband: float = 0.0, **which: Any) -> np.ndarray:
    return condition(rule(**which), seen, deadband).annunciations(int(n * S), int(m * S))


def noise(count: int = SCANS, correlation: float = 0.0, seed: int = 1) -> np.ndarray:
    fresh = np.random.default_rng(seed).standard_normal(count)
    if not correlation:
        return fresh
    values = np.empty(count)
    at = fresh[0]
    for index, draw in enumerate(fresh):
        at = correlation * at + math.sqrt(1 - correlation**2) * draw if index else draw
        values[index] = at
    return values


def chances(limit: float, deadband: float) -> tuple[float, float]:
    """P(beyond), and P(back behind the deadband), of a sample of standard normal noise."""
    return gauss_tail(limit), 1 - gauss_tail(limit - deadband)


# ---- closed forms


def time_in_alarm(out: float, back: float, n: int, m: int) -> float:
    """Share of the time in alarm: of a normal signal the false alarm rate, FAR."""
    up, down = scans_to_raise(out, back, n), scans_to_raise(back, out, m)
    if math.isinf(up) or math.isinf(down):
        return 0.0 if math.isinf(up) else 1.0
    return down / (up + down)


def detection_delay(beyond: float, n: int) -> float:
    """Expected samples from the first of a fault to the annunciation; `beyond` is P(beyond | fault), independent."""
    if beyond >= 1:
        return float(n - 1)
    return sum(beyond**i for i in range(n)) / beyond**n - 1


def test_the_closed_forms_are_those_of_the_reference() -> None:
    for n, m, q, expected in ((1, 1, 0.05, 0.0475), (2, 1, 0.05, 0.0024), (3, 3, 0.05, 0.00012)):
        assert annunciation_rate(q, 1 - q, n, m) == pytest.approx(expected, rel=0.02)
    for n, expected in ((3, 2.7), (5, 5.9), (10, 17.7)):
        assert detection_delay(0.9, n) == pytest.approx(expected, abs=0.05)
    for q in (0.01, 0.3):
        for n, m in ((1, 1), (2, 3), (5, 2)):
            p = 1 - q
            up, down = (1 - q**n) / (p * q**n), (1 - p**m) / (q * p**m)
            assert annunciation_rate(q, p, n, m) == pytest.approx(1 / (up + down), rel=1e-12)
            s_p, s_q = sum(p**i for i in range(m)), sum(q**i for i in range(n))
            far = q**n * s_p / (q**n * s_p + p**m * s_q)
            assert time_in_alarm(q, p, n, m) == pytest.approx(far, rel=1e-12)


def test_the_ends_of_the_closed_forms() -> None:
    assert annunciation_rate(0.0, 1.0, 1, 1) == 0.0
    assert time_in_alarm(0.0, 1.0, 3, 3) == 0.0
    assert time_in_alarm(0.5, 0.0, 3, 3) == 1.0, "what never comes back stands for ever"
    assert detection_delay(1.0, 4) == 3
    assert [samples_held(s, 1.0) for s in (0, 0.4, 1, 1.5, 2)] == [1, 1, 1, 2, 2]
    assert samples_held(0.3, 0.1) == 3


@pytest.mark.parametrize("kind", ["high", "low"])
@pytest.mark.parametrize("deadband", [0.0, 0.5, 1.5])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 1), (3, 3), (1, 10), (5, 10)])
@pytest.mark.parametrize("limit", [0.7, 1.6])
def test_annunciations_of_white_noise(kind: str, deadband: float, n: int, m: int, limit: float) -> None:
    values = noise()
    sign = 1 if kind == "high" else -1
    found = len(called(trajectory(sign * values), n, m, deadband, kind=kind, limit=sign * limit))
    expected = annunciation_rate(*chances(limit, deadband), n, m)
    assert lower_bound(found, SCANS, SURE) <= expected <= upper_bound(found, SCANS, SURE), found / SCANS


@pytest.mark.parametrize(("n", "m", "deadband"), [(1, 1, 0.0), (2, 5, 0.0), (3, 3, 1.0), (1, 8, 2.0)])
def test_time_in_alarm_of_white_noise(n: int, m: int, deadband: float) -> None:
    seen = trajectory(noise(1_600_000, seed=2))
    raised, cleared = condition(rule(limit=0.8), seen, deadband).active(n * S, m * S)
    looks = np.arange(0, len(seen.ns), 400) * S + S // 2  # far enough apart to be independent
    at = np.searchsorted(raised, looks, side="right") - 1
    active = int(((at >= 0) & (cleared[np.maximum(at, 0)] > looks)).sum())
    expected = time_in_alarm(*chances(0.8, deadband), n, m)
    assert lower_bound(active, len(looks), SURE) <= expected <= upper_bound(active, len(looks), SURE)


@pytest.mark.parametrize("n", [1, 3, 5, 10])
def test_delay_of_faults_in_noise(n: int) -> None:
    each, count, r = 600, 2_000, 0.9
    draws = np.random.default_rng(3).random((count, each)) < r
    draws[:, each // 2 :] = False
    seen = trajectory(np.where(draws.ravel(), 1.0, 0.0))
    found = called(seen, n, 0, kind="state", limit="hot")
    windows = [Window(i * each * S, (i * each + each // 2) * S, str(i)) for i in range(count)]
    delays = [
        (first - window.onset_ns) / S
        for window, (first, _) in zip(windows, told(found, windows, 0), strict=True)
        if first is not None
    ]
    assert len(delays) == count
    # a delay of n scans is over one scan after the n-th sample of a row
    error = np.std(delays) / math.sqrt(count)
    assert abs(np.mean(delays) - (detection_delay(r, n) + 1)) <= 4 * error


def test_correlation_eats_what_delays_gain() -> None:
    """The figures of the reference are of one simulated shift each, so both sides scatter."""
    hours = 20 * 28_800
    for correlation, raw, delayed in ((0.0, 621, 0), (0.8, 324, 10), (0.95, 158, 25)):
        seen = trajectory(noise(hours, correlation, seed=4))
        for settings, expected in (((0, 0), raw), ((5, 10), delayed)):
            found = len(called(seen, *settings)) / 20
            assert abs(found - expected) <= 4 * math.sqrt(expected) + 1


# ---- the noise of a signal


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_noise_is_found_under_a_slow_process_and_spikes(correlation: float) -> None:
    count = 40_000
    values = 0.3 * noise(count, correlation) + 5 * np.sin(np.arange(count) / 2_000)
    values[::997] += 50
    quiet = np.ones(count, np.bool_)
    quiet[10_000:12_000] = False
    values[10_000:12_000] = np.nan
    found = noise_of(values, quiet)
    assert found is not None
    assert found.sigma == pytest.approx(0.3, rel=0.08)
    assert found.correlation == pytest.approx(correlation, abs=0.06)
    assert found.spread == pytest.approx(5 / math.sqrt(2), rel=0.1)
    assert not found.is_white, "what is slow is a memory too"
    fast = noise_of(noise(count, correlation), quiet)
    assert fast is not None
    assert fast.is_white is (correlation == 0.0)
    assert noise_of(values, np.zeros(count, np.bool_)) is None
    assert noise_of(values[:30], quiet[:30]) is None


def test_crossings_tell_white_noise_from_wandering() -> None:
    all_of_it = np.ones(28_800, np.bool_)
    assert crossings_of(noise(28_800) > 1.6, all_of_it).is_white
    assert not crossings_of(noise(28_800, 0.5) > 1.6, all_of_it).is_white
    assert not crossings_of(noise(28_800) > 6, all_of_it).is_white, "no crossing shows nothing"


# ---- the bridge's own engine


@pytest.mark.parametrize("seed", range(120))
def test_the_bridge_annunciates_what_the_replay_does(seed: int) -> None:
    chance = np.random.default_rng(seed)
    count = 600
    kind = ("high", "low", "state")[seed % 3]
    on_s, off_s, deadband = (
        float(chance.choice([0, 1, 2.5, 5])),
        float(chance.choice([0, 1, 4, 9.5])),
        float(chance.choice([0, 0.4, 1.3])),
    )
    values = noise(count, 0.7, seed).round(1 if seed % 2 else 9)  # coarse ones hit limit and deadband exactly
    good = chance.random(count) > 0.03
    states = ["idle" if x < 0 else "run" for x in noise(count // 20, 0.5, seed + 999).repeat(20)]
    if kind == "state":
        values, deadband = (values > 0.5).astype(float), 0.0

    keys: dict[str, Any] = {"equals": "hot"} if kind == "state" else {kind: 0.8}
    engine = Alarms(
        [
            BridgeRule(
                "c.m", "hot", 0, deadband=deadband, on_delay_ns=int(on_s * S), off_delay_ns=int(off_s * S),
                suppress_in=frozenset({"idle"}), state_metric_id=1, **keys,
            )
        ]
    )  # fmt: skip
    before = "run"
    begins, ends = [], []
    for second in range(count):
        value: Any = float(values[second]) if kind != "state" else ("hot" if values[second] else "cold")
        if good[second]:
            engine.take(Sample(0, second * 1000, value, GOOD))
        else:
            engine.take(Sample(0, second * 1000, None, BAD))
        if (
            states[second] != before
        ):  # a quarter of a second later, so that no moment of a delay coincides with it
            moment = second * 1000 + 250
            engine.tick(moment * 1_000_000 + IN_FLIGHT_NS)
            engine.take(Sample(1, moment, states[second], GOOD))
            (begins if states[second] == "idle" else ends).append(moment * 1_000_000)
            before = states[second]
    engine.tick(count * S + IN_FLIGHT_NS)
    spoken = [move.ts_ns for move in engine.drain()[0] if move.annunciates]

    hidden = np.array(begins, np.int64), np.array([*ends, NEVER][: len(begins)], np.int64)
    seen = trajectory(np.where(good, values, np.nan), good, hidden)
    limit: Any = "hot" if kind == "state" else 0.8
    found = called(seen, on_s, off_s, deadband, kind=kind, limit=limit)
    assert found.tolist() == sorted(spoken)
    assert spoken or on_s >= 5


# ---- the judge's labels


@pytest.mark.parametrize("seed", range(40))
def test_true_and_false_are_what_the_labels_say(seed: int) -> None:
    chance = np.random.default_rng(seed)
    moments = np.sort(chance.integers(0, 10_000, 60)) * S
    onsets = np.sort(chance.integers(0, 9_000, 6))
    lengths = chance.integers(1, 2_500 if seed % 2 else 400, 6)  # every other time they overlap
    faults = [
        TrueFault(f"F{i}", "hot", "m", int(a) * S, int(a + b) * S, True, frozenset({"hot"}), 600.0)
        for i, (a, b) in enumerate(zip(onsets, lengths, strict=True))
    ]
    slack_ns = int(chance.integers(0, 30)) * S
    entries = [Annunciation(rule(), int(ns), int(ns)) for ns in moments]
    truth = label(entries, faults, {"hot": slack_ns}, 10_000 * S)
    windows = [Window(fault.onset_ns, fault.end_ns, fault.id) for fault in faults]
    assert int((~covered(moments, windows, slack_ns)).sum()) == truth.without_fault
    for fault, (first, count) in zip(faults, told(moments, windows, slack_ns), strict=True):
        behind = truth.of_fault[fault.id]
        assert count == len(behind)
        assert first == (behind[0].ns if behind else None)
