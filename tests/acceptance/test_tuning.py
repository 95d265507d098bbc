"""Tuning on recorded runs: what is proposed, what is refused, and that nothing is invented."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml

from shakedown.acceptance.tuning.noise import annunciation_rate, gauss_tail
from shakedown.acceptance.tuning.search import Setting, rounded
from shakedown.acceptance.tuning.tune import Untunable, as_dict, fragment, tune
from shakedown.bridge.config import load_site
from tests.acceptance.tuning_rig import BOTTLING, bottling, sensor

RULE = {"high": 3.0, "priority": "high"}
SECONDS = 12_000
FAULTS = [(onset, onset + 600, 240.0) for onset in (2_000, 4_500, 7_000, 9_500)]


def quiet(seconds: int = SECONDS, seed: int = 1) -> list[float]:
    return [float(value) for value in np.random.default_rng(seed).standard_normal(seconds)]


def hot(values: list[float | None], *spans: tuple[int, int]) -> list[float | None]:
    """The same, ten above where `spans` are."""
    found = list(values)
    for begin, end in spans:
        for second in range(begin, end):
            found[second] = (found[second] or 0.0) + 10
    return found


def tuned(folder: Path, values: list[float | None], rule: dict | None = None, **more):
    (found,) = tune(sensor(folder, values, rule or RULE, **more)).rules
    return found


def test_spikes_are_waited_out_and_faults_are_told_in_time(tmp_path: Path) -> None:
    spikes = [(begin, begin + 12) for begin in (1_000, 3_500, 6_000, 8_500, 11_000)]
    values = hot(quiet(), *spikes, *[(onset, end) for onset, end, _ in FAULTS])
    found = tuned(tmp_path, values, faults=FAULTS)
    assert found.basis == "faults"
    assert found.now.false_alarms > 5
    assert (found.proposed.false_alarms, found.proposed.missed, found.proposed.late) == (0, 0, 0)
    assert found.proposed.setting.on_delay_s == 15, "the shortest of the grid beyond twelve seconds"
    assert found.proposed.delay_max_s == 15
    assert found.proposed.missed_upper_95 == pytest.approx(1 - 0.05**0.25), (
        "four faults show no more than that"
    )
    assert [(check.own.faults, check.other.faults) for check in found.checks] == [(2, 2), (2, 2)]
    assert all(check.other.false_alarms == check.other.missed == 0 for check in found.checks)


def test_the_front_trades_false_alarms_for_delay(tmp_path: Path) -> None:
    spikes = [(500 + 150 * index, 500 + 150 * index + 1 + index) for index in range(9)]
    found = tuned(tmp_path, hot(quiet(), *spikes, *[f[:2] for f in FAULTS]), faults=FAULTS)
    points = [(point.delay_max_s, point.false_alarms) for point in found.front]
    assert len(points) >= 4
    assert all(a[0] < b[0] and a[1] > b[1] for a, b in pairwise(points))
    assert points[-1][1] == 0


def test_a_delay_is_not_longer_than_the_response_time_bears(tmp_path: Path) -> None:
    spikes = [(begin, begin + 25) for begin in (1_000, 3_500, 6_000, 8_500)]
    values = hot(quiet(), *spikes, *[f[:2] for f in FAULTS])
    patient = tuned(tmp_path / "a", values, faults=FAULTS)
    assert patient.proposed.setting.on_delay_s == 30
    hasty = tuned(tmp_path / "b", values, faults=[(onset, end, 60.0) for onset, end, _ in FAULTS])
    assert hasty.proposed.delay_max_s <= 15
    assert hasty.proposed.false_alarms >= 4, "spikes longer than the response time bears are called"


def test_what_masks_a_fault_is_not_proposed(tmp_path: Path) -> None:
    """The signal hangs within the deadband of the limit before each fault: a wide one would never let go of a spike."""
    values = [0.0 if second < 1_000 else 2.6 for second in range(SECONDS)]
    spikes = [(begin, begin + 3) for begin in range(1_200, SECONDS, 400)]
    values = [value + 0.05 * noise for value, noise in zip(values, quiet(), strict=True)]
    values = hot(values, *spikes, *[f[:2] for f in FAULTS])
    found = tuned(tmp_path, values, {**RULE, "deadband": 1.0}, faults=FAULTS)
    assert found.now.missed == 4
    assert (found.proposed.missed, found.proposed.false_alarms) == (0, 0)
    assert found.proposed.setting.deadband < 0.5
    assert found.front
    assert all(point.missed == 0 for point in found.front)


def test_chatter_of_a_fault_is_no_false_alarm_but_is_avoided(tmp_path: Path) -> None:
    flicker = [(begin, begin + 20) for onset, _, _ in FAULTS for begin in range(onset, onset + 600, 40)]
    found = tuned(tmp_path, hot([0.0] * SECONDS, *flicker), faults=FAULTS)
    assert found.now.annunciations_per_fault == 15
    assert found.proposed.annunciations_per_fault == 1
    assert found.proposed.setting == Setting(0, 30, 0)
    assert found.proposed.delay_max_s == found.now.delay_max_s == 0


def test_a_good_rule_is_left_alone(tmp_path: Path) -> None:
    rule = {**RULE, "high": 6.0, "on_delay_s": 1, "off_delay_s": 7, "deadband": 2.0}
    found = tuned(tmp_path, hot(quiet(), *[f[:2] for f in FAULTS]), rule | {"on_delay_s": 0}, faults=FAULTS)
    assert found.proposed is None
    assert found.why == "no setting is better than the one of now"
    slow = tuned(tmp_path, hot(quiet(), *[f[:2] for f in FAULTS]), rule | {"on_delay_s": 20}, faults=FAULTS)
    assert slow.proposed.setting.off_delay_s == 7, "what makes no difference stays as it is"


def test_a_fault_that_never_shows_is_not_tuned_for(tmp_path: Path) -> None:
    found = tuned(tmp_path, [0.0] * SECONDS, faults=FAULTS)
    assert (found.proposed, found.untold) == (None, 4)
    assert "look at the limit" in found.why
    late = [(onset, end, 240.0) for onset, end, _ in FAULTS]
    found = tuned(tmp_path, hot([0.0] * SECONDS, *[(a + 300, b) for a, b, _ in late]), faults=late)
    assert (found.late_at_best, found.now.late) == (4, 0), "held against the quickest setting"


def test_what_another_alarm_tells_sooner_is_not_asked_of_this_one(tmp_path: Path) -> None:
    """The value creeps up: `warm` tells all but the last fault, which jumps; `hot` comes too late for the others."""
    values = hot([0.0] * SECONDS, *[(begin, begin + 12) for begin in (1_000, 3_500, 6_000)])
    for onset, end, _ in FAULTS[:3]:
        values[onset:end] = [min(10.0, (second - onset) / 60) for second in range(onset, end)]
    values = hot(values, FAULTS[3][:2])
    others = {"warm": {"high": 0.5, "on_delay_s": 15}}
    folder = sensor(tmp_path, values, {"high": 8.0}, faults=FAULTS, others=others)
    hot_rule, warm = tune(folder).rules
    assert (hot_rule.elsewhere, hot_rule.now.faults) == (3, 1)
    assert hot_rule.proposed.setting.on_delay_s == 15, (
        "480 s and more would have been late whatever the delay"
    )
    assert (warm.elsewhere, warm.now.faults, warm.now.missed) == (0, 4, 0), "the last both can tell at once"


def test_without_a_fault_only_noise_speaks(tmp_path: Path) -> None:
    found = tuned(tmp_path, quiet())
    assert found.basis == "noise"
    assert "delay cannot be judged" in found.why
    assert found.noise.is_white
    assert found.noise.sigma == pytest.approx(1, rel=0.05)
    setting = found.proposed.setting
    assert setting.off_delay_s == 0
    assert setting.deadband == rounded(3 * found.noise.sigma)
    # the limit is three deviations away: two samples in a row once in 6 days, three once in 13 years
    out = gauss_tail(3 / found.noise.sigma)
    assert [3_600 * annunciation_rate(out, 0.5, n, 1) < 1 / 168 for n in (1, 2)] == [False, False]
    assert setting.on_delay_s >= 3
    assert found.checks == []
    assert found.proposed.delay_max_s is None


def test_without_a_fault_correlated_noise_gets_no_proposal(tmp_path: Path) -> None:
    at, values = 0.0, []
    for draw in quiet(seed=5):
        at = 0.8 * at + 0.6 * draw
        values.append(at)
    found = tuned(tmp_path, values, {"high": 4.0})
    assert found.proposed is None
    assert "no closed form holds" in found.why
    far = tuned(tmp_path, values, {"high": 40.0, "deadband": 5.0})
    assert "patient enough" in far.why, "noise cannot call more often than it is beyond, white or not"


def test_without_a_fault_and_without_quiet_nothing_is_said(tmp_path: Path) -> None:
    found = tuned(tmp_path, quiet(400))
    assert found.proposed is None
    assert "not quiet long enough" in found.why
    assert found.noise is None


@pytest.mark.slow
def test_counted_and_expected_agree_where_noise_is_white(tmp_path: Path) -> None:
    for index, rule in enumerate(
        ({"high": 1.8}, {"high": 1.8, "on_delay_s": 2, "off_delay_s": 5, "deadband": 1.0})
    ):
        found = tuned(tmp_path / str(index), quiet(40_000), rule)
        assert found.crossings.is_white
        assert found.expected_now == pytest.approx(
            found.now.false_alarms, abs=4 * found.now.false_alarms**0.5
        )
        assert found.now.false_alarms > 10


def test_suppression_counts_nobody_as_called(tmp_path: Path) -> None:
    rule = {**RULE, "high": 6.0, "suppress_in": ["idle"]}
    values = hot([0.0] * SECONDS, (1_000, 1_005), (3_000, 3_020), (5_000, 5_005))
    states = [(0, 6), (900, 4), (1_100, 6), (2_900, 4), (3_010, 6)]
    found = tuned(tmp_path, values, rule, states=states)
    assert found.now.false_alarms == 2, "what stands at a release, and what comes in run"


@pytest.mark.parametrize(("on_s", "calls"), [(0, 2), (1, 1), (10, 1), (11, 1), (12, 0)])
def test_the_clock_of_an_on_delay_stands_still_while_suppressed(
    tmp_path: Path, on_s: int, calls: int
) -> None:
    """Beyond for ten seconds up to a release, which only a rule without delay calls; and for eleven after another."""
    values = hot([0.0] * SECONDS, (3_000, 3_010), (5_000, 5_021))
    states = [(0, 6), (2_900, 4), (3_010, 6), (4_900, 4), (5_010, 6)]
    rule = {"high": 6.0, "on_delay_s": on_s, "suppress_in": ["idle"]}
    assert tuned(tmp_path, values, rule, states=states).now.false_alarms == calls


def test_bad_values_are_no_return_to_normal(tmp_path: Path) -> None:
    values = hot([0.0] * SECONDS, (3_000, 3_020))
    values[3_005:3_010] = [None] * 5
    assert tuned(tmp_path, values).now.false_alarms == 1


SPIKES = [(begin, begin + 12) for begin in (1_000, 3_500, 6_000, 8_500, 11_000)]


def held_out(folder: Path, *lengths_s: int) -> Path:
    """Another run of the same rule, with faults of these lengths."""
    onsets = range(2_000, 12_000, 2_500)
    faults = [(onset, onset + length, 240.0) for onset, length in zip(onsets, lengths_s, strict=False)]
    values = hot(quiet(seed=2), *SPIKES, *[fault[:2] for fault in faults])
    return sensor(folder, values, RULE, faults=faults, critical=True)


def test_a_proposal_that_misses_a_fault_of_another_run_is_withdrawn(tmp_path: Path) -> None:
    """On-delay 15 s is best at home; in the other run one critical fault lasts ten seconds only."""
    run = sensor(tmp_path / "run", hot(quiet(), *SPIKES, *[f[:2] for f in FAULTS]), RULE, faults=FAULTS)
    (alone,) = tune(run).rules
    assert (alone.proposed.setting.on_delay_s, alone.trust) == (15, "halves agree")
    (kept,) = tune(run, holdouts=[held_out(tmp_path / "like", 600, 600, 600)]).rules
    assert (kept.proposed.setting, kept.trust) == (alone.proposed.setting, "held out, 3")
    (gone,) = tune(run, holdouts=[tmp_path / "like", held_out(tmp_path / "short", 600, 10, 600)]).rules
    assert (gone.proposed, gone.trust) == (None, "")
    assert gone.why.startswith("withdrawn (on 15 s, off 0 s, deadband ")
    assert f"the critical fault F1 missed, 1 faults missed instead of 0 in {tmp_path / 'short'}" in gone.why


def test_no_alarm_of_critical_faults_is_made_to_stand_long(tmp_path: Path) -> None:
    """Two false calls a minute apart become one by an off-delay of 90 s, under which the next fault would hide."""
    pairs = [(b, b + 130) for a in (1_000, 3_500, 6_000, 8_500) for b in (a, a + 200)]
    values = hot(quiet(), *pairs, *[f[:2] for f in FAULTS])
    off_delays_s = []
    for critical in (False, True):
        run = sensor(tmp_path / str(critical), values, RULE, faults=FAULTS, critical=critical)
        off_delays_s.append(tune(run).rules[0].proposed.setting.off_delay_s)
    assert off_delays_s[0] == 90
    assert off_delays_s[1] <= 15


def test_a_run_of_other_rules_holds_nothing_out(tmp_path: Path) -> None:
    run = sensor(tmp_path / "run", quiet(600), RULE)
    with pytest.raises(Untunable, match="the run that is tuned"):
        tune(run, holdouts=[run])
    with pytest.raises(Untunable, match="no alarm hot with the same metric, limit"):
        tune(run, holdouts=[sensor(tmp_path / "other", quiet(600), {"high": 4.0})])


@pytest.mark.slow
def test_the_fragment_holds_the_proposal_and_nothing_else_new(tmp_path: Path) -> None:
    folder = bottling(tmp_path, 0.75)
    result = tune(folder)
    assert len(result.rules) == 12
    before = result.document["alarms"]
    after = yaml.safe_load(fragment(result))["alarms"]
    assert list(after) == list(before)
    proposed = {rule.name: rule.proposed for rule in result.rules}
    assert any(proposed.values())
    for name, body in after.items():
        others = set(body) - {"on_delay_s", "off_delay_s", "deadband"}
        assert {key: body[key] for key in others} == {key: before[name][key] for key in others}
        if proposed[name] is None:
            assert body == before[name]
        else:
            setting = {key: float(body.get(key, 0)) for key in asdict(proposed[name].setting)}
            assert setting == asdict(proposed[name].setting)
    site = tmp_path / "tuned.yaml"
    site.write_text((BOTTLING / "site.yaml").read_text() + fragment(result))
    assert len(load_site(site).alarms) == 12, "the bridge takes it"
    again = tune(folder)
    assert as_dict(again) == as_dict(result), "the same run gives the same proposal"


def test_pasted_and_tuned_again_nothing_is_better(tmp_path: Path) -> None:
    spikes = [(begin, begin + 12) for begin in (1_000, 3_500, 6_000, 8_500, 11_000)]
    values = hot(quiet(), *spikes, *[f[:2] for f in FAULTS])
    folder = sensor(tmp_path, values, RULE, faults=FAULTS)
    body = yaml.safe_load(fragment(tune(folder)))["alarms"]["hot"]
    (again,) = tune(sensor(tmp_path, values, body, faults=FAULTS)).rules
    assert again.proposed is None


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("site.yaml", None, "is not a run folder"),
        ("ledger.jsonl", None, "is not a run folder"),
        ("site.yaml", "format: 1\n", "has no alarms"),
        ("site.yaml", "alarms: [\n", "cannot be read"),
        ("site.yaml", "alarms: {hot: {metric: c.m/t}}\n", "cannot be understood"),
        ("ledger.jsonl", "", "begins with no header"),
        ("ledger.jsonl", "{}\n", "begins with no header"),
    ],
)
def test_what_cannot_be_tuned_is_refused_in_words(
    tmp_path: Path, name: str, text: str | None, said: str
) -> None:
    folder = sensor(tmp_path, quiet(700), RULE)
    (folder / name).unlink() if text is None else (folder / name).write_text(text)
    with pytest.raises(Untunable, match=said) as error:
        tune(folder)
    assert str(tmp_path) in str(error.value)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    folder = sensor(tmp_path / "cut", quiet(700), RULE)
    text = (folder / "ledger.jsonl").read_text()
    (folder / "ledger.jsonl").write_text(text[: len(text) // 2])
    with pytest.raises(Untunable, match="truncated"):
        tune(folder)
    for rule, said in (({"high": 1, "low": 0}, "takes one of"), ({"high": "warm"}, "warm"), ({}, "no limit")):
        with pytest.raises(Untunable, match=said):
            tune(sensor(tmp_path / "rule", quiet(700), rule))
    with pytest.raises(Untunable, match="over before its warm-up"):
        tune(sensor(tmp_path / "short", quiet(50), RULE))
