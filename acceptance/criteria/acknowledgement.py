"""Acknowledgement time of a simulated operator: how much sooner somebody answers a true fault than with naive rules.

The operator model is replayed on what both policies annunciated on the same trajectory. Times run from the onset of the
fault, so a delay of the alarm costs; a fault that is never acknowledged counts with the cap. Gated is the primary cell
of the grid (median 15 s, base 10 per ten minutes, trust on); every other stable cell is reported, and none may be
slower than the baseline and the on-delay (standards 4.4, 4.5).
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from shakedown.acceptance.alarms.annunciations import is_ack
from shakedown.acceptance.alarms.labels import Labelled
from shakedown.acceptance.alarms.operators import (
    GRID,
    PRIMARY,
    WINDOW_S,
    Call,
    Cell,
    acknowledge,
    at_rate,
    fault_delays,
    trusted,
)
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.operations_site import PRIORITIES
from shakedown.acceptance.run import Run
from shakedown.acceptance.verdict import CriterionResult, Outcome

NAME, TITLE = "acknowledgement", "Acknowledgement time (simulated operator)"
THRESHOLD = "mean from fault onset down >= 30 % in the primary cell of the operator model; p95 not worse"
CUT_MIN = 0.30
FAULTS_MIN = 10  # below, a bootstrap over faults promises more than it can keep
CAP_S = 1800.0
REPLAYS, REPLAYS_ELSEWHERE = 20, 4
RESAMPLES = 2_000
SEED = "shakedown acknowledgement"
S = 1_000_000_000


def applies(run: Run) -> bool:
    """Only a site with alarms is judged on them."""
    return bool(run.operations.alarms)


@dataclass
class Outcomes:
    """One cell: mean delay of each fault with both policies, in the same order, and all delays."""

    cell: Cell
    policy: list[float]
    baseline: list[float]
    p95_s: float
    baseline_p95_s: float

    @property
    def cut(self) -> float:
        """By how much the mean falls; negative if it rises."""
        return 1 - sum(self.policy) / sum(self.baseline) if sum(self.baseline) else 0.0


def judge(evidence: Evidence) -> CriterionResult:
    """Replay the operator on both policies, cell by cell, and bound the cut of the primary one."""
    view = evidence.alarms
    onsets_s = {entry.fault.id: entry.fault.onset_ns / S for entry in view.detections}
    policy, baseline = _calls(view.policy, onsets_s), _calls(view.baseline, onsets_s)
    span_s = (view.from_ns / S, view.to_ns / S)
    cells = {
        cell: replay(cell, policy, baseline, onsets_s, span_s)
        for cell in GRID
        if cell.stable or cell == PRIMARY
    }
    primary = cells[PRIMARY]
    low, high = bootstrap(primary.policy, primary.baseline)
    on_delay_s = max((rule.on_delay_s for rule in evidence.run.operations.alarms), default=0.0)
    slower = [cell.name for cell, outcome in cells.items() if _slower(outcome, on_delay_s)]
    breaches = _breaches(evidence, primary, slower)
    verdict, needs = _verdict(len(onsets_s), low, high, primary.cut, breaches)
    return CriterionResult(
        name=NAME,
        title=TITLE,
        verdict=verdict,
        threshold=THRESHOLD,
        measured=f"{-primary.cut:+.0%} over {len(onsets_s)} faults (95 % bound {_percent(-low)})",
        statement=_statement(primary, low, onsets_s, breaches),
        needs=needs,
        details={
            "operator": "simulated",
            "primary": PRIMARY.name,
            "cut_lower_95": low if onsets_s else None,
            "cut_upper_95": high,
            "baseline_per_10_min": round(observed_base(baseline, span_s), 3),
            "cap_s": CAP_S,
            "cells": [_row(outcome) for outcome in cells.values()],
            "unstable_cells": [cell.name for cell in GRID if not cell.stable],
            "breaches": breaches,
            "recorded": _recorded(evidence),
        },
    )


def _calls(labelled: Labelled, onsets_s: dict[str, float]) -> list[Call]:
    """Annunciations as the operator hears them: when people could hear them, with the fault behind them if any.

    One that was hidden before anybody could have answered it is heard as well: whether that misses a fault is for the
    criterion of missed faults to say; here it answers no fault.
    """
    calls = []
    for entry in labelled.entries:
        fault = entry.fault if entry.hidden_ns is None else None
        told_s = entry.told_ns / S
        if fault is not None and told_s < onsets_s.get(fault, -math.inf):
            fault = None
        calls.append(Call(told_s, PRIORITIES.index(entry.rule.priority), entry.tag, fault))
    return trusted(calls)


def replay(
    cell: Cell,
    policy: list[Call],
    baseline: list[Call],
    onsets_s: dict[str, float],
    span_s: tuple[float, float],
) -> Outcomes:
    """Both policies in one cell; the same draws for both, several times, each fault's mean over them."""
    observed = observed_base(baseline, span_s)
    factor = cell.base / observed if observed else 0.0
    runs: list[list[dict[str, float]]] = [[], []]
    for number in range(REPLAYS if cell == PRIMARY else REPLAYS_ELSEWHERE):
        for calls, found in zip((policy, baseline), runs, strict=True):
            seed = f"{SEED}/{cell.name}/{number}"
            heard = at_rate(calls, factor, span_s, seed)
            done = acknowledge(heard, cell, seed)
            found.append(fault_delays(heard, done, onsets_s, CAP_S))
    means = [[fmean(run[fault] for run in found) for fault in onsets_s] for found in runs]
    tails = [p95([run[fault] for run in found for fault in onsets_s]) for found in runs]
    return Outcomes(cell, means[0], means[1], tails[0], tails[1])


def observed_base(baseline: list[Call], span_s: tuple[float, float]) -> float:
    """Calls of the baseline without a fault behind them, per ten minutes."""
    return sum(call.fault is None for call in baseline) * WINDOW_S / max(1e-9, span_s[1] - span_s[0])


def p95(values: list[float]) -> float:
    """The 95th percentile by nearest rank; 0 of nothing."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1] if values else 0.0


def bootstrap(policy: list[float], baseline: list[float]) -> tuple[float, float]:
    """One-sided 95 % lower and upper bound of the cut of the mean; faults are drawn in pairs, with replacement."""
    if not policy:
        return -math.inf, 1.0
    rng = random.Random(f"{SEED}/bootstrap")
    count = len(policy)
    cuts = []
    for _ in range(RESAMPLES):
        drawn = rng.choices(range(count), k=count)
        before = sum(baseline[index] for index in drawn)
        cuts.append(1 - sum(policy[index] for index in drawn) / before if before else 0.0)
    cuts.sort()
    return cuts[int(0.05 * RESAMPLES)], cuts[math.ceil(0.95 * RESAMPLES) - 1]


def _slower(outcome: Outcomes, on_delay_s: float) -> bool:
    """Whether the policy is slower than the baseline and the on-delay, by more than the draws of a replay explain."""
    excess = [new - old - on_delay_s for new, old in zip(outcome.policy, outcome.baseline, strict=True)]
    return sum(excess) > 0.0 and _resampled(excess)[0] > 0.0


def _resampled(values: list[float]) -> tuple[float, float]:
    """One-sided 95 % bounds of a mean, by bootstrap."""
    rng = random.Random(f"{SEED}/bootstrap")
    means = sorted(sum(rng.choices(values, k=len(values))) / len(values) for _ in range(RESAMPLES))
    return means[int(0.05 * RESAMPLES)], means[math.ceil(0.95 * RESAMPLES) - 1]


def _verdict(
    faults: int, low: float, high: float, cut: float, breaches: list[str]
) -> tuple[Outcome, str | None]:
    if breaches:
        return "FAIL", None
    if faults < FAULTS_MIN:
        return "INCONCLUSIVE", f"{FAULTS_MIN - faults} more faults"
    if low >= CUT_MIN:
        return "PASS", None
    return (
        ("FAIL", None)
        if high < CUT_MIN or cut < CUT_MIN
        else ("INCONCLUSIVE", "more faults, or a larger cut")
    )


def _breaches(evidence: Evidence, primary: Outcomes, slower: list[str]) -> list[str]:
    found = []
    if not evidence.alarms.published:
        found.append("no state of any alarm ever reached the enterprise")
    unasked = unasked_acks(evidence)
    if unasked:
        found.append(f"{len(unasked)} alarms were acknowledged by nobody, first {unasked[0]}")
    if len(primary.policy) >= FAULTS_MIN:
        if primary.p95_s > primary.baseline_p95_s:
            found.append(
                f"the slowest answers (p95) take {primary.p95_s:.0f} s, with naive rules"
                f" {primary.baseline_p95_s:.0f} s"
            )
        found += [f"slower than naive rules and the on-delay at {name}" for name in slower]
    return found


def unasked_acks(evidence: Evidence) -> list[str]:
    """Alarms that went to an acknowledged state though no person had said so: alarm and time of each."""
    run = evidence.run
    given: dict[tuple[str, str], list[tuple[int, int | None]]] = {}
    for ack in sorted(run.people.acks, key=lambda ack: ack.ns):
        given.setdefault((ack.device, ack.alarm), []).append((ack.ns, ack.occurrence))
    found = []
    for rule in run.operations.alarms:
        left = given.get((rule.device, rule.name), [])
        before, ordinal = "normal", None
        for move in evidence.alarms.moves[rule.name]:
            ordinal = move.occurrence if move.occurrence is not None else ordinal
            if is_ack(before, move.state):
                fits = [
                    entry
                    for entry in left
                    if entry[0] <= move.received_ns
                    and (entry[1] is None or ordinal is None or entry[1] == ordinal)
                ]
                if fits:
                    left.remove(fits[0])
                else:
                    found.append(f"{rule.name} at {move.ns // 1_000_000} ms")
            before = move.state
    return found


def _recorded(evidence: Evidence) -> dict[str, Any]:
    """What the people of this run really did, beside the replay: annunciations acknowledged, and how soon."""
    entries = evidence.alarms.policy.entries
    waits = [(entry.acked_ns - entry.ns) / S for entry in entries if entry.acked_ns is not None]
    return {
        "annunciations": len(entries),
        "acknowledged": len(waits),
        "mean_s": fmean(waits) if waits else None,
        "p95_s": p95(waits) if waits else None,
    }


def _percent(value: float) -> str:
    return f"{value:+.0%}" if math.isfinite(value) else "none"


def _row(outcome: Outcomes) -> dict[str, Any]:
    return {
        "cell": outcome.cell.name,
        "primary": outcome.cell == PRIMARY,
        "mean_s": fmean(outcome.policy) if outcome.policy else None,
        "baseline_mean_s": fmean(outcome.baseline) if outcome.baseline else None,
        "cut": outcome.cut,
        "p95_s": outcome.p95_s,
        "baseline_p95_s": outcome.baseline_p95_s,
    }


def _statement(primary: Outcomes, low: float, onsets_s: dict[str, float], breaches: list[str]) -> str:
    if breaches:
        return f"{breaches[0][0].upper()}{breaches[0][1:]} (simulated operator)."
    if not onsets_s:
        return "There was no fault to be acknowledged (simulated operator)."
    demanded = "" if low >= CUT_MIN else f"; {CUT_MIN:.0%} shorter is demanded"
    return (
        f"A simulated operator answers a true fault {fmean(primary.policy):.0f} s after it began, with naive rules"
        f" {fmean(primary.baseline):.0f} s; {bound_in_words(low)}{demanded}."
    )


def bound_in_words(low: float) -> str:
    """The lower bound of the cut of the mean; where it is negative, nothing shows that there is a cut at all."""
    if low > 0:
        return f"with 95 % confidence the mean is at least {low:.0%} shorter"
    if not math.isfinite(low):
        return "nothing bounds the difference"
    return f"that it is shorter at all is not shown: with 95 % confidence it may be up to {max(0.0, -low):.0%} longer"
