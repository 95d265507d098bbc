"""Every decision rule is monotonic: more lost, staler, later or more often never improves a verdict."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shakedown.acceptance.criteria import acknowledgement, false_alarms, nuisance
from shakedown.acceptance.criteria.freshness import TopicShare
from shakedown.acceptance.criteria.freshness import decide as decide_freshness
from shakedown.acceptance.readers import TimelineEntry
from shakedown.acceptance.spans import S
from shakedown.acceptance.statistics import decide, decide_outages
from shakedown.acceptance.work_orders.clock import RETRY_S, due_ns, elapsed_s

ORDER = ["PASS", "INCONCLUSIVE", "FAIL"]
BURSTS = st.lists(st.integers(1, 300), max_size=30)
SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=80)


def no_better(verdict: str, before: str) -> bool:
    return ORDER.index(verdict) >= ORDER.index(before)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 10**6), BURSTS, st.data())
def test_a_further_loss_never_improves_what_is_said_of_loss(
    eligible: int, bursts: list[int], data: Any
) -> None:
    """It comes singly, makes a burst larger, or makes one of two."""
    eligible = max(eligible, sum(bursts) + 1)
    before = decide(eligible, bursts).verdict
    worse = [[*bursts, 1]]
    if bursts:
        at = data.draw(st.integers(0, len(bursts) - 1))
        worse.append([*bursts[:at], bursts[at] + 1, *bursts[at + 1 :]])
        worse.append([*bursts[:at], sum(bursts[at : at + 2]) + 1, *bursts[at + 2 :]])
    assert all(no_better(decide(eligible, more).verdict, before) for more in worse)


def test_sixteen_more_single_losses_do_not_make_a_pass_of_a_burst() -> None:
    """With the mean size of bursts one of 16 was INCONCLUSIVE, and a further single loss made it a PASS."""
    said = [decide(747_597, [16, *[1] * single]).verdict for single in range(60)]
    assert said[0] == "INCONCLUSIVE"
    assert said == sorted(said, key=ORDER.index)


@settings(max_examples=400, deadline=None)
@given(st.integers(1, 300), st.integers(0, 10**6), st.data())
def test_a_further_loss_never_improves_what_the_outages_say(outages: int, held_up: int, data: Any) -> None:
    lossy = data.draw(st.integers(0, outages - 1))
    lost = data.draw(st.integers(lossy, lossy + 200)) if lossy else 0
    before = decide_outages(outages, lossy, held_up, lost).verdict
    if lossy:
        assert no_better(decide_outages(outages, lossy, held_up, lost + 1).verdict, before)
    assert no_better(decide_outages(outages, lossy + 1, held_up, lost + 1).verdict, before)


@settings(max_examples=400, deadline=None)
@given(SHARES, st.floats(0, 2_000), st.data())
def test_a_staler_topic_never_improves_what_is_said_of_freshness(
    shares: list[float], judged_s: float, data: Any
) -> None:
    at = data.draw(st.integers(0, len(shares) - 1))
    staler = [*shares[:at], data.draw(st.floats(0, shares[at])), *shares[at + 1 :]]
    assert no_better(fresh(staler, judged_s), fresh(shares, judged_s))


def test_one_topic_of_many_may_not_be_stale_for_most_of_the_time() -> None:
    assert fresh([1.0] * 68 + [0.51], 600.0) == "PASS"
    assert fresh([1.0] * 68 + [0.005], 600.0) == "FAIL"
    assert fresh([1.0] * 68 + [0.005], 300.0) == "INCONCLUSIVE"  # the other half may still be fresh
    assert fresh([1.0] * 68 + [0.005], 302.0) == "FAIL"


def test_freshness_fails_as_soon_as_the_rest_of_the_time_cannot_save_it() -> None:
    assert fresh([0.9], 119.0) == "INCONCLUSIVE"
    assert fresh([0.9], 121.0) == "FAIL"  # stale for more than 12 of 600 s


def fresh(shares: list[float], judged_s: float) -> str:
    return decide_freshness([TopicShare("t", 3.0, True, judged_s, share, share, 0.0) for share in shares])


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 500), st.data())
def test_a_further_false_alarm_never_improves_what_is_said_of_them(total: int, data: Any) -> None:
    false = data.draw(st.integers(0, total - 1))
    before, _ = false_alarms._verdict(total, false, [])
    assert no_better(false_alarms._verdict(total, false + 1, [])[0], before)
    assert false_alarms._verdict(total, false, ["missed"])[0] == "FAIL"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats(1, 1_800), st.floats(1, 1_800)), min_size=1, max_size=30), st.data())
def test_a_slower_answer_never_improves_what_is_said_of_them(times: list[Any], data: Any) -> None:
    at = data.draw(st.integers(0, len(times) - 1))
    policy, baseline = [list(column) for column in zip(*times, strict=True)]
    before = answered(policy, baseline)
    policy[at] += data.draw(st.floats(0, 1_800))
    assert no_better(answered(policy, baseline), before)


def answered(policy: list[float], baseline: list[float]) -> str:
    low, high = acknowledgement.bootstrap(policy, baseline)
    cut = 1 - sum(policy) / sum(baseline)
    return acknowledgement._verdict(len(policy), low, high, cut, [])[0]


SPANS = st.lists(st.tuples(st.integers(0, 2_000), st.integers(1, 400)), max_size=8)


@settings(max_examples=300, deadline=None)
@given(SPANS, st.integers(0, 2_000), st.integers(0, 2_000), st.integers(0, 500))
def test_a_later_order_is_never_less_late(spans: list[Any], raised_s: int, took_s: int, more_s: int) -> None:
    run = hindered_by(spans)
    before = elapsed_s(run, raised_s * S, (raised_s + took_s) * S)
    assert before <= elapsed_s(run, raised_s * S, (raised_s + took_s + more_s) * S)
    excused = sum(lasts + RETRY_S for at, lasts in spans if raised_s < at + lasts and at < raised_s + took_s)
    assert took_s - excused <= before <= took_s
    due_s = due_ns(run, raised_s * S, 60.0) / S
    assert elapsed_s(run, raised_s * S, int(due_s * S)) == 60.0


def hindered_by(spans: list[Any]) -> Any:
    cuts = [("cut", at * S, (at + lasts) * S) for at, lasts in sorted(spans)]
    faults = [
        TimelineEntry(name, "down", "wan", start, end, True, frozenset({"wan"}), True)
        for name, start, end in cuts
    ]
    return SimpleNamespace(timeline=faults)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 2_000), st.integers(0, 2_000))
def test_a_further_needless_call_never_improves_what_is_said_of_them(
    new: int, old: int, calls: int, old_calls: int
) -> None:
    before, _ = nuisance._verdict(True, (calls, old_calls), (new, old))
    assert no_better(nuisance._verdict(True, (calls + 1, old_calls), (new, old))[0], before)
    assert no_better(nuisance._verdict(True, (calls, old_calls), (new + 1, old))[0], before)
