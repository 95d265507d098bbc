"""The judge's own arithmetic of a shift against hand-worked figures, closed forms and the tables of the reference."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shakedown.acceptance.alarms.annunciations import Annunciation
from shakedown.acceptance.alarms.baseline import POLICY_SHA256, naive, policy_sha256
from shakedown.acceptance.alarms.labels import first_told, flood_share, label
from shakedown.acceptance.alarms.operators import (
    FREE_SHARE,
    SIGMA,
    Call,
    Cell,
    acknowledge,
    at_rate,
    mean_service_s,
    trusted,
)
from shakedown.acceptance.alarms.view import told_within_s
from shakedown.acceptance.criteria import nuisance
from shakedown.acceptance.criteria.nuisance import cut_bounds
from shakedown.acceptance.join import TopicJoin
from shakedown.acceptance.oee.variance import growth
from shakedown.acceptance.operations_site import AlarmRule
from shakedown.acceptance.physical import Physical, TrueFault, canonical
from shakedown.acceptance.readers import Ledger
from shakedown.acceptance.site import Topic
from tests.acceptance.one_machine import one_machine

S, MS = 1_000_000_000, 1_000_000
T0 = 1_767_592_800 * S


def ledger(events: list[tuple[float, str, str, dict[str, Any]]]) -> Ledger:
    physical = Physical()
    for second, kind, machine, data in sorted(events, key=lambda event: event[0]):
        physical.add(["P", T0 + round(second * 1000) * MS, kind, machine, data])
    ideal = {"A": {"packer": 4.0}, "B": {"packer": 5.0}}
    return Ledger([], T0, T0 + 10_000 * S, header={"ideal_s": ideal}, physical=physical)


def state(second: float, to: int, machine: str = "packer") -> tuple[float, str, str, dict[str, Any]]:
    return second, "state", machine, {"from": 4, "to": to, "reason": 120 if to == 11 else 0}


def edges(kind: str, begin: float, end: float, name: str = "early") -> list[Any]:
    return [
        (begin, kind, "", {"phase": "start", "name": name}),
        (end, kind, "", {"phase": "end", "name": name}),
    ]


def part(second: float, number: int, *, good: bool = True, product: str = "A", **more: Any) -> Any:
    return second, "part", "packer", {"id": number, "good": good, "product": product, **more}


def small_day() -> list[Any]:
    """1,000 s with a break of 100 s. By hand: PBT 900, run 300 + 100 + 200, fault 100, set-up 100, idle 100."""
    states = [state(-50, 6), state(300, 9), state(400, 6), state(600, 101), state(700, 5), state(800, 6)]
    other = [state(100, 9, "filler"), state(900, 6, "filler")]
    # 100 parts of A (4 s) and 20 of B (5 s): 500 s of standard time; 6 are no good, 2 good ones come a second time
    parts = [part(2 + 2.5 * n, n, good=n % 20 != 7) for n in range(100)]
    parts += [part(810 + 5 * n, 100 + n, product="B", good=n != 3, rework=n in (1, 2)) for n in range(20)]
    parts += [part(808 + n, 100 + n, product="B", good=False, disposition="rework") for n in (1, 2)]
    before_and_after = [part(-10, 990), part(1_010, 991)]
    return [*edges("shift", 0, 1_000), *edges("break", 400, 500), *states, *other, *parts, *before_and_after]


def test_a_small_day_by_hand() -> None:
    (truth,) = one_machine(ledger(small_day())).ended()
    seconds = {bucket: ns / S for bucket, ns in truth.buckets_ns.items()}
    assert seconds == {"apt": 600.0, "adet": 100.0, "aust": 100.0, "adot": 100.0}
    assert truth.pbt_ns == 900 * S
    assert truth.exact == {"produced": 120, "good": 114, "reject": 6}
    assert truth.standard_ns == 500 * S
    assert (truth.stops, truth.reworks) == (1, (2, 2))
    kpis = truth.kpis()
    assert kpis["availability"] == pytest.approx(600 / 900)
    assert kpis["effectiveness"] == pytest.approx(500 / 600)
    assert kpis["quality"] == pytest.approx(114 / 120)
    assert kpis["oee"] == pytest.approx(500 / 900 * 114 / 120)
    assert kpis["fpy"] == pytest.approx(112 / 120)


def test_of_few_parts_one_at_an_edge_is_much_of_each_figure() -> None:
    """Ten parts of 4 s in 100 s of running; the last is made half a second before the end, and shown after it."""
    parts = [part(5 + 10 * n, n, good=n != 3) for n in range(9)] + [part(99.5, 9)]
    (truth,) = one_machine(ledger([*edges("shift", 0, 100), state(0, 6), *parts])).ended()
    assert truth.counts == {"produced": (9, 10), "good": (8, 9), "reject": (1, 1)}
    spans = {figure: tuple(span[:3]) for figure, span in truth.spans.items()}
    assert spans["effectiveness"] == pytest.approx((0.36, 0.40, False))
    assert spans["quality"] == spans["fpy"] == pytest.approx((8 / 9, 9 / 10, False))
    assert spans["oee"] == pytest.approx((0.36 * 8 / 9, 0.40 * 9 / 10, False))
    held = [truth.spans["effectiveness"].holds(e, 0.01) for e in (0.349, 0.351, 0.409, 0.411, None)]
    assert held == [False, True, True, False, False]


def test_where_nothing_was_made_there_is_no_quality() -> None:
    (truth,) = one_machine(ledger([*edges("shift", 0, 100), state(0, 9)])).ended()
    assert truth.spans == {}
    (truth,) = one_machine(ledger([*edges("shift", 0, 100), state(0, 6), part(99.5, 0)])).ended()
    assert truth.spans["quality"].may_be_none
    assert not truth.spans["effectiveness"].may_be_none


def test_a_part_that_no_scan_showed_before_the_line_ended_need_not_be_counted() -> None:
    made = ledger([*edges("shift", 0, 100), state(0, 6), part(20.5, 0), part(60.5, 1)])
    (begin, end), lines = (T0, T0 + 100 * S), one_machine(replace(made, end_ns=T0 + 60_700 * MS))
    truth = lines.shift("early", begin, end)
    assert (truth.counts["produced"], truth.exact["produced"]) == ((1, 2), 2)


def test_a_stop_over_the_edge_of_a_shift_counts_on_both_sides_of_it() -> None:
    events = [
        *edges("shift", 0, 500),
        *edges("shift", 500, 1_000, "late"),
        state(0, 6),
        state(450, 9),
        state(620, 6),
    ]
    early, late = one_machine(ledger(events)).ended()
    assert (early.buckets_ns["adet"], late.buckets_ns["adet"]) == (50 * S, 120 * S)
    assert early.pbt_ns == late.pbt_ns == 500 * S


def test_of_two_changes_at_the_same_moment_the_later_one_holds() -> None:
    """A machine that begins a cycle and is set up at once says both in the same nanosecond."""
    states = [state(0, 6), state(40, 6), state(40, 101), state(70, 6)]
    (truth,) = one_machine(ledger([*edges("shift", 0, 100), *states])).ended()
    assert truth.buckets_ns == {"apt": 70 * S, "adet": 0, "aust": 30 * S, "adot": 0}


def test_a_shift_that_has_not_ended_is_not_judged() -> None:
    assert one_machine(ledger(edges("shift", 0, 500)[:1])).ended() == []


def test_a_line_that_never_ran_has_no_effectiveness_and_no_oee() -> None:
    (truth,) = one_machine(ledger(edges("shift", 0, 500))).ended()
    assert truth.kpis() == {
        "availability": 0.0,
        "effectiveness": None,
        "quality": None,
        "oee": None,
        "fpy": None,
    }


def test_effectiveness_above_one_is_not_clipped() -> None:
    events = [*edges("shift", 0, 100), state(0, 6), *(part(1 + 2 * n, n) for n in range(49))]
    (truth,) = one_machine(ledger(events)).ended()
    assert truth.kpis()["effectiveness"] == pytest.approx(1.96)


@pytest.mark.parametrize(
    ("second", "least", "most"),
    [
        (500.0, 0, 1),
        (999.3, 0, 1),
        (1_000.0, 0, 1),
        (1_000.5, 0, 0),
        (0.0, 0, 1),
        (-0.3, 0, 1),
        (-1.5, 0, 0),
        (1.5, 1, 1),
    ],
)
def test_only_what_an_edge_can_push_is_uncertain(second: float, least: int, most: int) -> None:
    """A controller shows a part at its next whole second; nobody had heard of the counter before second 1."""
    unseen = T0 + S
    (truth,) = one_machine(ledger([*edges("shift", 0, 1_000), part(second, 1)]), 1000, unseen).ended()
    expected = (1, 1) if second == 500.0 else (least, most)
    assert truth.counts["produced"] == expected


def test_what_a_counter_forgot_before_it_was_shown_nobody_can_know() -> None:
    reset = (500.4, "upset", "packer", {"phase": "start", "id": "r", "upset": "counter_reset"})
    other = (700.4, "upset", "packer", {"phase": "start", "id": "s", "upset": "spikes"})
    parts = [part(second, n) for n, second in enumerate((499.9, 500.1, 500.9, 501.1, 700.1))]
    (truth,) = one_machine(ledger([*edges("shift", 0, 1_000), reset, other, *parts])).ended()
    assert (truth.counts["produced"], truth.exact["produced"]) == ((3, 5), 5)


@pytest.mark.parametrize(
    ("number", "reason", "expected"),
    [(6, 0, "run"), (101, 3, "changeover"), (9, 120, "fault"), (8, 0, "fault"), (1, 0, "fault"), (11, 120, "fault"),
     (11, 1, "idle"), (2, 0, "idle"), (5, 1, "idle"), (4, 4, "idle"), (17, 0, "idle")],
)  # fmt: skip
def test_canonical_states_of_packml(number: int, reason: int, expected: str) -> None:
    assert canonical(number, reason) == expected


@pytest.mark.parametrize(
    ("last", "now", "grown"),
    [(5, 9, 4), (65_530, 4, 10), (2**32 - 2, 3, 5), (40_000, 7, 7), (65_530, 60_000, 60_000), (500, 0, 0)],
)
def test_rollovers_and_resets(last: int, now: int, grown: int) -> None:
    assert growth(last, now) == grown


# Alarms.


def rule(name: str = "x", limit: float = 2.0) -> AlarmRule:
    topic = Topic("d", "m", 0, "Double")
    return AlarmRule(name, topic, "", "high", limit, "high", 0.0, False, frozenset(), "")


def trajectory(values: list[float]) -> TopicJoin:
    ns = T0 + np.arange(len(values), dtype=np.int64) * S
    zeros = np.zeros(len(values), dtype=np.int64)
    no = zeros.astype(bool)
    return TopicJoin(
        rule().topic, ns, ns // MS, list(values), zeros + 192, no, no, no, zeros, [-1] * len(values)
    )


@pytest.mark.parametrize("q", [0.02, 0.05, 0.2])
def test_naive_activations_on_white_noise_meet_the_closed_form(q: float) -> None:
    """1 / [(1-q^n)/(p q^n) + (1-p^m)/(q p^m)] activations a sample, with n = m = 1."""
    p, count = 1 - q, 60_000
    rng = random.Random(f"white noise {q}")
    values = [3.0 if rng.random() < q else 1.0 for _ in range(count)]
    found = len(naive((rule(),), [trajectory(values)]))
    expected = count / ((1 - q) / (p * q) + (1 - p) / (q * p))
    assert expected == pytest.approx(count * p * q)
    assert abs(found - expected) < 4 * math.sqrt(expected)


def test_the_naive_policy_holds_its_state_over_what_is_not_good() -> None:
    part = trajectory([1.0, 3.0, 3.0, 1.0, 3.0])
    part.quality[2] = 0
    part.values[2] = None
    assert [(e.ns - T0) // S for e in naive((rule(),), [part])] == [1, 4]


def test_the_baseline_policy_is_frozen() -> None:
    assert policy_sha256() == POLICY_SHA256
    assert policy_sha256({"name": "naive", "deadband": 0.5}) != POLICY_SHA256


@pytest.mark.parametrize(
    ("cut", "needed"), [pytest.param(0.6, 320, marks=pytest.mark.slow), (0.7, 80), (0.8, 40)]
)
def test_a_cut_is_shown_with_the_episodes_of_the_reference_and_not_with_half_of_them(
    cut: float, needed: int
) -> None:
    rng = np.random.default_rng(1)

    def passes(true_cut: float, episodes: int) -> float:
        pairs = zip(rng.poisson((1 - true_cut) * episodes, 300), rng.poisson(episodes, 300), strict=True)
        return sum(cut_bounds(int(new), int(old))[1] >= 0.5 for new, old in pairs) / 300

    assert passes(cut, needed) > 0.62
    assert passes(cut, needed // 2) < 0.58
    assert passes(0.5, needed) < 0.09  # at the limit itself: 5 %, and what 300 draws make of it


def test_bounds_of_a_cut_of_nothing() -> None:
    assert cut_bounds(0, 0)[1] == -math.inf
    assert cut_bounds(7, 0)[0] == -math.inf
    estimate, low, high = cut_bounds(30, 30)
    assert estimate == 0.0
    assert low < 0.0 < high < 0.5


def calls(*seconds: float, tag: str = "x", stands_s: float | None = 60.0) -> list[Annunciation]:
    found = []
    for second in seconds:
        ns = T0 + round(second * S)
        cleared = None if stands_s is None else ns + round(stands_s * S)
        found.append(Annunciation(rule(tag), ns, ns, cleared_ns=cleared))
    return found


def fault(onset: float, end: float, *alarms: str, name: str = "F1") -> TrueFault:
    return TrueFault(
        name, "m", "filler", T0 + round(onset * S), T0 + round(end * S), True, frozenset(alarms), 600.0
    )


def labels(entries: list[Annunciation], *faults: TrueFault, end_s: float = 9_000.0) -> list[str]:
    entries.sort(key=lambda entry: entry.ns)
    return [
        entry.label for entry in label(entries, list(faults), {"x": 5 * S}, T0 + round(end_s * S)).entries
    ]


def test_labels() -> None:
    f1 = fault(100, 400, "x", "y")
    assert labels(calls(50, 110, 300, 404, 406), f1) == ["FALSE", "TRUE", "REDUNDANT", "REDUNDANT", "FALSE"]
    assert labels(calls(110) + calls(120, tag="y"), f1) == ["TRUE", "REDUNDANT"]
    assert labels(calls(110, tag="z"), f1) == ["FALSE"]
    assert labels(calls(1_000, 1_020, 1_060, 1_200)) == ["CHATTER", "CHATTER", "CHATTER", "FALSE"]
    assert labels(calls(1_000, 1_020, 1_061)) == ["FALSE"] * 3
    assert labels(calls(1_000, stands_s=9.9)) == ["FLEETING"]
    assert labels(calls(1_000, stands_s=10.0)) == ["FALSE"]
    assert labels(calls(1_000, stands_s=None), end_s=90_000) == ["STALE"]


def test_an_acknowledged_alarm_is_not_fleeting() -> None:
    (entry,) = calls(1_000, stands_s=8.0)
    entry.acked_ns = entry.ns + 3 * S
    assert labels([entry]) == ["FALSE"]


def test_a_new_fault_is_told_by_a_new_word_even_while_an_old_one_lasts() -> None:
    both = (fault(100, 900, "x"), fault(500, 900, "x", name="F2"))
    assert labels(calls(110, 510, 600), *both) == ["TRUE", "TRUE", "REDUNDANT"]


def test_a_masked_fault_has_no_word_behind_it() -> None:
    entries = calls(50, stands_s=None)
    found = label(entries, [fault(100, 400, "x")], {}, T0 + 9_000 * S)
    assert found.of_fault["F1"] == []


def test_a_hidden_word_tells_nothing() -> None:
    f1 = fault(100, 400, "x")
    early, late = calls(110, 200)
    early.hidden_ns = early.ns + S
    assert first_told([early], f1) is None
    assert first_told([early, late], f1) is late
    early.hidden_ns = T0 + 401 * S
    assert first_told([early, late], f1) is early


def test_an_episode_ends_ten_minutes_after_its_first_call() -> None:
    entries = calls(1_000, 1_599, 2_198, 2_798, 5_000) + calls(1_000, tag="y")
    entries.sort(key=lambda entry: (entry.ns, entry.tag))
    assert label(entries, [], {}, T0).episodes == 5  # x: 1,000 and 1,599; 2,198; 2,798; 5,000; and y
    hours = calls(*range(0, 9_000, 60))  # what chatters all shift is not one episode
    assert label(hours, [], {}, T0).episodes == 15


@pytest.mark.parametrize(
    ("calls_", "episodes", "verdict"),
    [
        ((266, 1_366), (40, 134), "PASS"),
        ((800, 1_366), (40, 134), "FAIL"),  # few alarms left to chatter: few episodes, and no end of calls
        ((266, 1_366), (100, 134), "FAIL"),
        ((18, 30), (8, 40), "INCONCLUSIVE"),
        ((0, 1_366), (0, 3), "INCONCLUSIVE"),
    ],
)
def test_needless_calls_and_episodes_are_both_cut_by_half(
    calls_: tuple[int, int], episodes: tuple[int, int], verdict: str
) -> None:
    assert nuisance._verdict(True, calls_, episodes)[0] == verdict


@settings(deadline=None)
@given(new=st.integers(0, 200), old=st.integers(0, 200), episodes=st.integers(0, 60), base=st.integers(0, 60))
def test_more_nuisance_never_improves_the_verdict(new: int, old: int, episodes: int, base: int) -> None:
    rank = ["FAIL", "INCONCLUSIVE", "PASS"].index
    before = rank(nuisance._verdict(True, (new, old), (episodes, base))[0])
    assert rank(nuisance._verdict(True, (new + 1, old), (episodes, base))[0]) <= before
    assert rank(nuisance._verdict(True, (new, old), (episodes + 1, base))[0]) <= before


@pytest.mark.parametrize(
    ("response_s", "baseline_s", "bound_s"),
    [
        (600, None, 150.0),
        (600, 10.0, 27.0),  # the naive delay, an on-delay of 15 s and two polls of 1 s
        (600, 140.0, 150.0),
        (600, 198.0, 200.0),  # no rule can tell in 150 s what its signal shows after 198 s
    ],
)
def test_a_bound_is_never_less_than_what_a_rule_without_delay_needs(
    response_s: float, baseline_s: float | None, bound_s: float
) -> None:
    assert told_within_s(response_s, baseline_s, [(15.0, 2.0), (5.0, 2.0)]) == bound_s


def test_a_flood_begins_above_ten_and_ends_below_five() -> None:
    span = (T0, T0 + 6_000 * S)
    assert flood_share(calls(*range(0, 100, 10)), *span) == 0.0
    # The eleventh comes at 100; the seventh of eleven leaves the window at 600 + 60.
    assert flood_share(calls(*range(0, 110, 10)), *span) == pytest.approx((660 - 100) / 6_000)


# The simulated operator.


def poisson(per_window: float, count: int, name: str) -> list[Call]:
    rng, now, found = random.Random(name), 0.0, []
    for index in range(count):
        now += rng.expovariate(per_window / 600.0)
        found.append(Call(now, 1, f"tag {index}", None))
    return trusted(found)


@pytest.mark.parametrize(
    ("median_s", "per_window", "reference_s"),
    [
        (15.0, 1.0, 27.0),
        (15.0, 5.0, 30.0),
        (15.0, 10.0, 37.0),
        (15.0, 15.0, 58.0),
        (25.0, 1.0, 46.0),
        (25.0, 5.0, 58.0),
    ],
)
def test_the_operator_meets_pollaczek_khinchine_and_the_reference(
    median_s: float, per_window: float, reference_s: float
) -> None:
    mean_s = mean_service_s(median_s)
    square = (median_s / FREE_SHARE) ** 2 * math.exp(2 * SIGMA**2)
    rate = per_window / 600.0
    expected = mean_s + rate * square / (2 * (1 - rate * mean_s))
    heard = poisson(per_window, 20_000, f"calls {median_s} {per_window}")
    done = acknowledge(heard, Cell(median_s, per_window, False), "test")
    waited = [end - call.at_s for call, end in zip(heard, done, strict=True)]
    assert sum(waited) / len(waited) == pytest.approx(expected, rel=0.08)
    assert expected == pytest.approx(reference_s, rel=0.10)


def test_the_most_urgent_is_next_and_nobody_is_interrupted() -> None:
    heard = [
        Call(0.0, 2, "a", "F", key="a"),
        Call(0.1, 2, "b", "F", key="b"),
        Call(0.2, 0, "c", "F", key="c"),
    ]
    a, b, c = acknowledge(heard, Cell(15.0, 10.0, False), "test")
    assert a < c < b


def test_trust_is_the_share_of_the_last_twenty_of_the_tag_and_at_least_a_tenth() -> None:
    heard = trusted([Call(float(n), 1, "x", None if n < 25 else "F") for n in range(46)])
    assert [heard[n].trust for n in (0, 1, 25, 26, 35, 45)] == [1.0, 0.1, 0.1, 0.1, 0.5, 1.0]


def test_the_rate_scales_what_has_no_fault_and_nothing_else() -> None:
    heard = trusted([Call(float(n), 1, "x", "F" if n % 10 == 0 else None) for n in range(1_000)])
    for factor in (0.3, 1.0, 2.5):
        scaled = at_rate(heard, factor, (0.0, 1_000.0), "test")
        assert sum(call.fault is not None for call in scaled) == 100
        assert sum(call.fault is None for call in scaled) == pytest.approx(900 * factor, rel=0.06)
    assert [call.at_s for call in at_rate(heard, 1.0, (0.0, 1.0), "t")] == [float(n) for n in range(1_000)]


def test_unstable_cells_are_those_of_the_reference() -> None:
    assert [Cell(15.0, base, True).stable for base in (22.0, 24.0)] == [True, False]
    assert [Cell(25.0, base, True).stable for base in (13.5, 14.5)] == [True, False]


def test_physical_rows_that_are_none_are_refused(tmp_path: Path) -> None:
    for row in (
        ["P", "x", "state", "m", {}],
        ["P", 1, "part", "m", {}],
        ["P", 1, "state", "m"],
        ["P", 1, "state", 2, {}],
    ):
        with pytest.raises((ValueError, KeyError, TypeError)):
            Physical().add(row)
