"""Alarm nuisance: at least half of what naive rules would call people for, without need, is gone.

Both policies are held against the same recorded trajectory. The unit is the tag-episode, because chatter clusters:
nuisances of one alarm closer than ten minutes are one. Of all nuisance episodes of both, the share of the new policy is
binomial; a cut of one half is a share of one third (standards 4.4).
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from shakedown.acceptance.alarms.baseline import POLICY_SHA256, limits_sha256, policy_sha256
from shakedown.acceptance.alarms.labels import LABELS, Labelled, flood_share
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.run import Run
from shakedown.acceptance.statistics import lower_bound, upper_bound
from shakedown.acceptance.verdict import CriterionResult, Outcome

NAME, TITLE = "nuisance", "Alarm nuisance"
THRESHOLD = "nuisance episodes down >= 50 % against the naive baseline on the same trajectory"
CUT_MIN = 0.5
BASELINE_ENOUGH = 40  # episodes of the baseline that show a cut of 80 % (standards 4.4)
WORST_LISTED = 10


def applies(run: Run) -> bool:
    """Only a site with alarms is judged on them."""
    return bool(run.operations.alarms)


def cut_bounds(new: int, baseline: int) -> tuple[float, float, float]:
    """(estimate, lower, upper) of the cut 1 - new/baseline; one-sided 95 % Clopper-Pearson, exact given the total.

    With new | total ~ Bin(total, p) and p = r / (1 + r) for the ratio of rates r, the cut is 1 - p / (1 - p).
    """
    total = new + baseline
    high, low = upper_bound(new, total), lower_bound(new, total)
    estimate = 1 - new / baseline if baseline else -math.inf if new else 0.0
    return estimate, _cut(high), _cut(low)


def _cut(share: float) -> float:
    return -math.inf if share >= 1.0 else 1 - share / (1 - share)


def judge(evidence: Evidence) -> CriterionResult:
    """Count the nuisance episodes of both policies, and bound the cut."""
    view = evidence.alarms
    new, old = view.policy.episodes, view.baseline.episodes
    estimate, low, high = cut_bounds(new, old)
    verdict, needs = _verdict(view.published, new, old)
    return CriterionResult(
        name=NAME,
        title=TITLE,
        verdict=verdict,
        threshold=THRESHOLD,
        measured=f"{new} episodes instead of {old} ({_percent(-estimate)})",
        statement=_statement(view.published, new, old, low),
        needs=needs,
        details={
            "policy": _row(view.policy, view.from_ns, view.to_ns),
            "baseline": _row(view.baseline, view.from_ns, view.to_ns),
            "cut": _finite(estimate),
            "cut_lower_95": _finite(low),
            "cut_upper_95": _finite(high),
            "baseline_policy_sha256": policy_sha256(),
            "baseline_policy_is_frozen": policy_sha256() == POLICY_SHA256,
            "baseline_limits_sha256": limits_sha256(evidence.run.operations.alarms),
        },
    )


def _verdict(published: bool, new: int, old: int) -> tuple[Outcome, str | None]:
    estimate, low, high = cut_bounds(new, old)
    if not published:
        return "FAIL", None
    if low >= CUT_MIN:
        return "PASS", None
    if high < CUT_MIN or (old >= BASELINE_ENOUGH and estimate < CUT_MIN):
        return "FAIL", None
    return "INCONCLUSIVE", f"about {max(1, episodes_needed(new, old) - old)} more episodes of the baseline"


def episodes_needed(new: int, old: int) -> int:
    """Episodes of the baseline that would do at the cut observed (at one of 60 % if less was seen)."""
    ratio = min(new / old if old else 0.2, 0.4)
    count = 1
    while cut_bounds(math.ceil(ratio * count), count)[1] < CUT_MIN:
        count += max(1, count // 20)
    return count


def _row(labelled: Labelled, from_ns: int, to_ns: int) -> dict[str, Any]:
    worst = Counter(entry.tag for entry in labelled.nuisances)
    hours = max(1e-9, (to_ns - from_ns) / 3.6e12)
    return {
        "annunciations": len(labelled.entries),
        "per_hour": round(len(labelled.entries) / hours, 3),
        "labels": {name: labelled.count(name) for name in LABELS},
        "nuisances": len(labelled.nuisances),
        "episodes": labelled.episodes,
        "flood_share": round(flood_share(labelled.entries, from_ns, to_ns), 6),
        "worst": dict(sorted(worst.items(), key=lambda item: (-item[1], item[0]))[:WORST_LISTED]),
    }


def _statement(published: bool, new: int, old: int, low: float) -> str:
    if not published:
        return (
            "No state of any alarm ever reached the enterprise: nobody could be called, with or without need."
        )
    if not old and not new:
        return "Neither these rules nor the naive ones called anybody without need: there is nothing to cut."
    text = f"Naive rules call people without need {in_times(old)}, these rules {in_times(new)}"
    if low >= CUT_MIN:
        return f"{text}: with 95 % confidence at least {low:.0%} less."
    bound = f"at least {low:.0%} less" if low > 0 else "no cut at all"
    return f"{text}; with 95 % confidence that shows {bound}."


def in_times(count: int) -> str:
    """A count of occasions in words."""
    return {0: "never", 1: "once"}.get(count, f"{count} times")


def _percent(value: float) -> str:
    return f"{value:+.0%}" if math.isfinite(value) else "no baseline"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
