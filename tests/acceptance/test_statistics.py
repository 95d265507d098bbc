"""Exact bounds against scipy, the tables of the reference, and the decision rule."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betainc, betaincinv

from shakedown.acceptance.statistics import (
    LIMIT,
    beta_cdf,
    burst_size,
    decide,
    decide_outages,
    lower_bound,
    outage_statement,
    passed_by_repeating,
    sprt,
    trials_needed,
    unseen,
    upper_bound,
)


@pytest.mark.parametrize("n", [1, 7, 100, 29_956, 75_000, 1_000_000, 30_000_000])
@pytest.mark.parametrize("k", [0, 1, 2, 3.7, 20, 118, 4_000])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_bounds_agree_with_scipy(n: int, k: float, confidence: float) -> None:
    if k >= n:
        assert upper_bound(k, n, confidence) == 1.0
        return
    assert upper_bound(k, n, confidence) == pytest.approx(
        betaincinv(k + 1, n - k, confidence), rel=1e-9, abs=1e-15
    )
    if k:
        assert lower_bound(k, n, confidence) == pytest.approx(
            betaincinv(k, n - k + 1, 1 - confidence), rel=1e-9
        )


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-7, 1 - 1e-7), st.floats(0.5, 5_000), st.floats(0.5, 5_000))
def test_incomplete_beta_agrees_with_scipy(x: float, a: float, b: float) -> None:
    assert beta_cdf(x, a, b) == pytest.approx(betainc(a, b, x), rel=1e-8, abs=1e-11)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 10**6), st.data())
def test_bounds_hold_the_estimate_and_grow_with_the_losses(n: int, data) -> None:
    k = data.draw(st.integers(0, n - 1))
    assert lower_bound(k, n) <= k / n <= upper_bound(k, n) <= upper_bound(k + 1, n)


def test_zero_loss_sample_sizes() -> None:
    assert trials_needed(0, confidence=0.90) == 23_025
    assert trials_needed(0, confidence=0.95) == 29_956
    assert trials_needed(0, confidence=0.99) == 46_050
    assert [trials_needed(k) for k in range(1, 6)] == [47_437, 62_956, 77_535, 91_533, 105_128]
    assert (trials_needed(0, 0.05), trials_needed(0, 0.01)) == (59, 299)


@pytest.mark.parametrize(
    ("n", "passing", "failing"), [(100_000, 4, 16), (300_000, 20, 40), (1_000_000, 83, 118)]
)
def test_largest_passing_and_smallest_failing_number_of_losses(n: int, passing: int, failing: int) -> None:
    assert upper_bound(passing, n) < LIMIT < upper_bound(passing + 1, n)
    assert lower_bound(failing - 1, n) < LIMIT < lower_bound(failing, n)


def test_sequential_test_boundaries() -> None:
    assert (sprt(0, 32_714), sprt(0, 32_715)) == ("continue", "accept")
    assert (sprt(0, 51_054, error=0.01), sprt(0, 51_055, error=0.01)) == ("continue", "accept")
    assert (sprt(1, 32_715 + 25_582), sprt(1, 32_715 + 25_584)) == ("continue", "accept")
    assert sprt(2, 10_000) == "reject"


def test_sequential_test_rarely_passes_a_bad_rate_and_mostly_a_good_one() -> None:
    stream = random.Random("sprt")

    def end(rate: float) -> str:
        n = 0
        for k in range(1, 100):
            gap = int(stream.expovariate(rate)) + 1
            if sprt(k - 1, n + gap - 1) == "accept":  # it is crossed before the next loss
                return "accept"
            n += gap
            if sprt(k, n) == "reject":
                return "reject"
        return "continue"

    assert sum(end(1e-4) == "accept" for _ in range(2000)) <= 0.07 * 2000
    assert sum(end(1e-5) == "accept" for _ in range(2000)) >= 0.95 * 2000


@pytest.mark.parametrize(
    ("eligible", "bursts", "strict", "verdict", "needs"),
    [
        (29_956, [], False, "PASS", None),
        (29_955, [], False, "INCONCLUSIVE", 1),
        (29_955, [], True, "INCONCLUSIVE", 1),
        (0, [], False, "INCONCLUSIVE", 29_956),
        (100_000, [1] * 4, False, "PASS", None),
        (100_000, [1] * 4, True, "FAIL", None),
        (100_000, [1] * 5, False, "INCONCLUSIVE", 5_128),
        (100_000, [1] * 16, False, "FAIL", None),
        (100_000, [1] * 11, False, "FAIL", None),  # more than the limit, and no more samples to come
        (100_000, [4], False, "INCONCLUSIVE", 4 * 47_437 - 100_000),  # one burst of four is one loss in n/4
        (200_000, [4], False, "PASS", None),
    ],
)
def test_decision_rule(
    eligible: int, bursts: list[int], strict: bool, verdict: str, needs: int | None
) -> None:
    decision = decide(eligible, bursts, strict=strict)
    assert (decision.verdict, decision.needs) == (verdict, needs)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 500), max_size=20))
def test_what_a_decision_needs_is_enough_for_a_pass(eligible: int, bursts: list[int]) -> None:
    decision = decide(max(eligible, sum(bursts)), bursts)
    if decision.needs is not None:
        assert decide(decision.eligible + decision.needs, bursts).verdict == "PASS"
        assert decide(decision.eligible + decision.needs // 2, bursts).verdict != "PASS"


def test_burst_size_is_that_of_the_largest() -> None:
    assert burst_size([]) == 1.0
    assert burst_size([1, 1, 1]) == 1.0
    assert burst_size([100]) == 100.0
    assert burst_size([1, 9]) == 9.0


@pytest.mark.parametrize("size", [5, 20, 100])
def test_seen_bursts_at_the_true_limit_hardly_ever_pass(size: int) -> None:
    """Losses in bursts at a rate of exactly 1e-4. Runs without any loss are another matter: scope `population`."""
    stream = random.Random(f"bursts {size}")
    passed = 0
    for _ in range(400):
        bursts, at = [], 0.0
        while (at := at + stream.expovariate(LIMIT / size)) < 300_000:
            bursts.append(size)
        passed += bool(bursts) and decide(300_000, bursts).verdict == "PASS"
    assert passed <= 0.05 * 400


def test_what_outages_say_in_plain_words() -> None:
    assert "nothing can be said" in outage_statement(0, 0)
    assert outage_statement(1, 0).startswith("1 outage, it lost nothing: too few")
    assert "too few to say anything about outages in general" in outage_statement(4, 1)
    assert "less than 39% of cases" in outage_statement(6, 0)
    assert "it may be every outage" in outage_statement(8, 8)
    assert "less than 5% of cases" in outage_statement(59, 0)


@pytest.mark.parametrize(
    ("outages", "lossy", "held_up", "lost", "verdict", "needs"),
    [
        (0, 0, 0, 0, "PASS", None),
        (8, 0, 24_000, 0, "PASS", None),
        (8, 8, 800_000, 8, "FAIL", None),  # one sample in each of eight outages
        (8, 1, 800_000, 1, "INCONCLUSIVE", 85),
        (93, 1, 9_300_000, 1, "PASS", None),
        (4, 4, 800_000, 4, "INCONCLUSIVE", 177),  # too few to say that it is most of them
        (4, 1, 9_999, 1, "FAIL", None),  # more than 0.01 % of what they held up
    ],
)
def test_outages_are_decided_by_themselves(
    outages: int, lossy: int, held_up: int, lost: int, verdict: str, needs: int | None
) -> None:
    decision = decide_outages(outages, lossy, held_up, lost)
    assert (decision.verdict, decision.needs) == (verdict, needs)


def test_what_no_loss_is_worth_in_bursts() -> None:
    assert [round(unseen(29_956, burst), 2) for burst in (1, 5, 20, 100)] == [0.05, 0.55, 0.86, 0.97]
    assert round(passed_by_repeating(1), 3) == 0.05
    assert round(passed_by_repeating(5), 2) == 0.23
