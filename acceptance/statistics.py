"""Exact bounds and the decision rule of a lossy run, on the standard library.

Samples are lost in bursts, so they are not independent trials: wherever a bound is taken of samples, both the trials
and the losses are divided by the burst size first (effective units). All bounds are one-sided at 95 % unless told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import msgspec

LIMIT = 1e-4  # what "less than 0.01 % never arrived" means
CONFIDENCE = 0.95
OUTAGES_MIN = 5  # fewer say nothing of outages in general
OUTAGES_LOSSY_MAX = 0.05  # the share of outages that may lose anything
SPRT_GOOD, SPRT_ERROR = 1e-5, 0.05  # the sequential test weighs a rate of 1e-5 against LIMIT, both errors 5 %


def beta_cdf(x: float, a: float, b: float) -> float:
    """Regularized incomplete beta function I_x(a, b), by its continued fraction (Lentz)."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - beta_cdf(1.0 - x, b, a)
    log_front = a * math.log(x) + b * math.log1p(-x) - _log_beta(a, b) - math.log(a)
    return math.exp(log_front) * _continued_fraction(x, a, b)


def _log_beta(a: float, b: float) -> float:
    """ln B(a, b); lgamma alone cancels badly when one argument is large, so its Stirling series is used there."""
    small, large = min(a, b), max(a, b)
    if large < 100:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    both = small + large
    if small < 100:  # lgamma(large) - lgamma(both), without the large terms
        ratio = -small * math.log(both) + small + (large - 0.5) * math.log1p(-small / both)
        return math.lgamma(small) + ratio + _stirling(large) - _stirling(both)
    front = 0.5 * math.log(2 * math.pi / small) + small * math.log(small / both)
    return (
        front
        + (large - 0.5) * math.log1p(-small / both)
        + _stirling(small)
        + _stirling(large)
        - _stirling(both)
    )


def _stirling(x: float) -> float:
    """The remainder of Stirling's formula for ln Gamma(x), exact to 1e-17 from x = 100 on."""
    return (1 / 12 - (1 / 360 - 1 / 1260 / (x * x)) / (x * x)) / x


def _continued_fraction(x: float, a: float, b: float) -> float:
    tiny = 1e-300  # stands for zero where one would be divided by
    d = 1.0 - (a + b) * x / (a + 1)
    c, d = 1.0, 1.0 / (d if abs(d) > tiny else tiny)
    value = d
    for m in range(1, 100_000):  # converges in O(sqrt(max(a, b))) steps
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 + numerator * d
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = 1.0 + numerator / c
            c = c if abs(c) > tiny else tiny
            value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            return value
    raise ArithmeticError(f"incomplete beta function does not converge at x={x}, a={a}, b={b}")


@lru_cache(maxsize=1_000)  # the same few counts are bounded again and again
def beta_quantile(probability: float, a: float, b: float) -> float:
    """x with I_x(a, b) = probability, by bisection to the last bit."""
    low, high = 0.0, 1.0
    for _ in range(1100):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if beta_cdf(middle, a, b) < probability:
            low = middle
        else:
            high = middle
        if high - low < 1e-16 * high:
            break
    return (low + high) / 2


def upper_bound(k: float, n: float, confidence: float = CONFIDENCE) -> float:
    """Clopper-Pearson upper bound of a rate after `k` events in `n` trials (both may be effective, so fractional)."""
    if n <= 0 or k >= n:
        return 1.0
    if k <= 0:
        return -math.expm1(math.log1p(-confidence) / n)
    return beta_quantile(confidence, k + 1, n - k)


def lower_bound(k: float, n: float, confidence: float = CONFIDENCE) -> float:
    """Clopper-Pearson lower bound of a rate after `k` events in `n` trials."""
    if n <= 0 or k <= 0:
        return 0.0
    if k >= n:
        return (1 - confidence) ** (1 / n)
    return beta_quantile(1 - confidence, k, n - k + 1)


def trials_needed(k: float, limit: float = LIMIT, confidence: float = CONFIDENCE) -> int:
    """The smallest n whose upper bound after `k` events does not exceed `limit`: 29,956 for none at 1e-4 and 95 %."""
    if k <= 0:
        return math.ceil(math.log1p(-confidence) / math.log1p(-limit))
    low, high = math.floor(k), math.ceil((k + 10) * 10 / limit)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if beta_cdf(limit, k + 1, middle - k) >= confidence else (middle, high)
    return high


def burst_size(bursts: Sequence[int]) -> float:
    """The largest burst, 1.0 without losses: a mean would fall with a further single loss, and improve the verdict."""
    return float(max(bursts, default=1))


def log_likelihood_ratio(k: float, n: float, good: float = SPRT_GOOD, bad: float = LIMIT) -> float:
    """ln(P(data | rate is bad) / P(data | rate is good)) of Wald's sequential test."""
    return k * math.log(bad / good) + (n - k) * (math.log1p(-bad) - math.log1p(-good))


def sprt(k: float, n: float, error: float = SPRT_ERROR) -> str:
    """Wald's sequential test: "accept", "reject" or "continue"; it may be looked at as often as one likes."""
    ratio, boundary = log_likelihood_ratio(k, n), math.log((1 - error) / error)
    return "reject" if ratio >= boundary else "accept" if ratio <= -boundary else "continue"


class Decision(msgspec.Struct, frozen=True):
    """What can be said of the loss in this run. `needs`: how many more samples a PASS takes, None if it has them."""

    verdict: str
    eligible: int
    lost: int
    bursts: int
    burst_size: float
    lower: float
    upper: float
    sprt: str
    needs: int | None


def decide(eligible: int, bursts: Sequence[int], *, strict: bool = False) -> Decision:
    """The rule for the scope `run`: of `eligible` samples those in `bursts` are lost, and no more will come."""
    lost = sum(bursts)
    size = burst_size(bursts)
    n, k = eligible / size, lost / size
    low, high = lower_bound(k, n), upper_bound(k, n)
    needs = None
    if lost == 0:
        verdict = "PASS" if eligible >= trials_needed(0) else "INCONCLUSIVE"
    elif strict or lost > LIMIT * eligible:
        verdict = "FAIL"
    else:
        verdict = "PASS" if high < LIMIT else "INCONCLUSIVE"
    if verdict == "INCONCLUSIVE":
        needs = max(1, math.ceil(trials_needed(k) * size) - eligible)
    return Decision(verdict, eligible, lost, len(bursts), size, low, high, sprt(k, n), needs)


class OutageDecision(msgspec.Struct, frozen=True):
    """What the outages say by themselves. `needs`: how many more without loss a PASS takes, None if it has them."""

    verdict: str
    outages: int
    lossy: int
    held_up: int
    lost: int
    needs: int | None


def decide_outages(outages: int, lossy: int, held_up: int, lost: int) -> OutageDecision:
    """The rule for `outages`, of which `lossy` lost something: `lost` of the `held_up` samples in all.

    The unit is the outage, for what one loses it loses together. One that lost something speaks against the bridge
    however much the run offered between the outages.
    """
    needs = None
    if lossy == 0:
        verdict = "PASS"
    elif lost > LIMIT * held_up or (
        outages >= OUTAGES_MIN and lower_bound(lossy, outages) > OUTAGES_LOSSY_MAX
    ):
        verdict = "FAIL"
    elif upper_bound(lossy, outages) < OUTAGES_LOSSY_MAX:
        verdict = "PASS"
    else:
        verdict, needs = "INCONCLUSIVE", trials_needed(lossy, OUTAGES_LOSSY_MAX) - outages
    return OutageDecision(verdict, outages, lossy, held_up, lost, needs)


def outage_statement(outages: int, lossy: int) -> str:
    """In plain words, what `outages`, of which `lossy` lost something, say of P(an outage loses anything)."""
    if outages == 0:
        return "No outage was seen, so nothing can be said about how often one loses data."
    seen = "none of them lost anything" if lossy == 0 else f"{lossy} of them lost something"
    if outages < OUTAGES_MIN:
        if outages == 1:
            seen = f"it lost {'something' if lossy else 'nothing'}"
        plural = "outage" if outages == 1 else "outages"
        return f"{outages} {plural}, {seen}: too few to say anything about outages in general."
    bound = upper_bound(lossy, outages)
    if bound >= 1:
        return (
            f"{outages} outages, {seen}: with 95 % confidence one can only say that it may be every outage."
        )
    return (
        f"{outages} outages, {seen}: with 95 % confidence an outage loses something in less than {bound:.0%} of cases"
        f" - to claim less than 5 % takes {trials_needed(0, OUTAGES_LOSSY_MAX)} outages without loss."
    )


def unseen(eligible: int, burst: int) -> float:
    """How likely `eligible` samples show no loss where one in 1 / `LIMIT` is lost, `burst` at a time."""
    return math.exp(eligible / burst * math.log1p(-LIMIT))


def passed_by_repeating(times: int, error: float = 1 - CONFIDENCE) -> float:
    """How likely one of so many runs passes by chance, where each does in a share `error`."""
    return 1 - (1 - error) ** times
