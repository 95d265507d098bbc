"""False alarms and missed faults: who is called has a reason to come, and no fault that matters goes untold.

False is an annunciation with no true fault behind it, whatever else it looks like. A fault is missed when none of its
alarms spoke while it was there, or what spoke was shelved or suppressed before anybody had acknowledged it.
"""

from __future__ import annotations

import math
from typing import Any

from shakedown.acceptance.alarms.labels import flood_share
from shakedown.acceptance.alarms.shelving import Shelving, shelvings
from shakedown.acceptance.alarms.view import AlarmView, Detection
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.run import Run
from shakedown.acceptance.statistics import lower_bound, trials_needed, upper_bound
from shakedown.acceptance.verdict import CriterionResult, Outcome

NAME, TITLE = "false_alarms", "False alarms and missed faults"
THRESHOLD = "< 10 % of annunciations without a fault; no critical fault missed; 95 % of faults told within their bound"
FALSE_MAX = 0.10
ENOUGH = trials_needed(0, FALSE_MAX)  # 29: annunciations that pass without a false one
MISS_MAX = (
    0.05  # of faults that are not critical; a run says it of itself only when the lower bound is beyond
)
ROUNDING = 1e-9  # one of one missed has a lower bound of 5 %, which is not beyond it
IN_TIME_SHARE = 0.95
LISTED_MAX = 20


def applies(run: Run) -> bool:
    """Only a site with alarms is judged on them."""
    return bool(run.operations.alarms)


def judge(evidence: Evidence) -> CriterionResult:
    """Bound the share of false alarms, then hold the vetoes."""
    view = evidence.alarms
    total, false = len(view.policy.entries), view.policy.without_fault
    hidden = shelvings(evidence)
    vetoes = _vetoes(view, hidden)
    verdict, needs = _verdict(total, false, vetoes)
    low, high = lower_bound(false, total), upper_bound(false, total)
    missed = [entry for entry in view.detections if entry.missed]
    return CriterionResult(
        name=NAME,
        title=TITLE,
        verdict=verdict,
        threshold=THRESHOLD,
        measured=f"{false} of {total} annunciations false, {len(missed)} of {len(view.detections)} faults missed",
        statement=_statement(view, total, false, high, vetoes),
        needs=needs,
        details={
            "annunciations": total,
            "false": false,
            "share": false / total if total else None,
            "lower_95": low,
            "upper_95": high,
            "of_those_without_a_consequence": _share(false, total - view.policy.count("REDUNDANT")),
            "vetoes": vetoes,
            "faults": len(view.detections),
            "faults_still_to_be_told": view.pending,
            "missed": [_missed(entry) for entry in missed][:LISTED_MAX],
            "miss_rate_upper_95": upper_bound(len(missed), len(view.detections)),
            "baseline_missed": sum(entry.baseline_s is None for entry in view.detections),
            "delays": _delays(view.detections),
            "flood_share": flood_share(view.policy.entries, view.from_ns, view.to_ns),
            "baseline_flood_share": flood_share(view.baseline.entries, view.from_ns, view.to_ns),
            "hidden": [entry.row() for entry in hidden][:LISTED_MAX],
        },
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _verdict(total: int, false: int, vetoes: list[str]) -> tuple[Outcome, str | None]:
    low, high = lower_bound(false, total), upper_bound(false, total)
    if vetoes or low > FALSE_MAX or (total >= ENOUGH and false >= FALSE_MAX * total):
        return "FAIL", None
    if high < FALSE_MAX:
        return "PASS", None
    return "INCONCLUSIVE", f"{max(1, trials_needed(false, FALSE_MAX) - total)} more annunciations"


def _vetoes(view: AlarmView, hidden: list[Shelving]) -> list[str]:
    """What fails the criterion whatever the share of false alarms is, in words."""
    found = []
    faults = view.detections
    for entry in faults:
        if entry.missed and entry.fault.critical:
            found.append(
                f"critical fault {entry.fault.id} ({entry.fault.mode}) was missed: {entry.why_missed}"
            )
    others = [entry for entry in faults if not entry.fault.critical]
    missed = sum(entry.missed for entry in others)
    if lower_bound(missed, len(others)) > MISS_MAX + ROUNDING:
        why = next(entry.why_missed for entry in others if entry.missed)
        found.append(f"{missed} of {len(others)} faults that are not critical were missed: {why}")
    told = [entry for entry in faults if not entry.missed]
    late = [entry for entry in told if not entry.in_time]
    if told and len(told) - len(late) < math.ceil(IN_TIME_SHARE * len(told)):
        worst = max(late, key=lambda entry: (entry.delay_s or 0.0) - entry.bound_s)
        found.append(
            f"{len(late)} of {len(told)} faults were told late; worst is {worst.fault.id} ({worst.fault.mode}),"
            f" after {worst.delay_s:.1f} s instead of {worst.bound_s:.1f} s"
        )
    found += [f"{entry.alarm} was {entry.state} {entry.breach}" for entry in hidden if entry.breach][:5]
    flood, before = (
        flood_share(labelled.entries, view.from_ns, view.to_ns) for labelled in (view.policy, view.baseline)
    )
    if flood > before:
        found.append(f"people are in a flood {flood:.1%} of the time, with naive rules {before:.1%}")
    return found


def _missed(entry: Detection) -> dict[str, Any]:
    fault = entry.fault
    return {
        "fault": fault.id,
        "mode": fault.mode,
        "machine": fault.machine,
        "critical": fault.critical,
        "onset_ns": fault.onset_ns,
        "why": entry.why_missed,
    }


def _delays(detections: list[Detection]) -> dict[str, Any]:
    delays = sorted(entry.delay_s for entry in detections if entry.delay_s is not None)
    if not delays:
        return {}
    p95 = delays[math.ceil(0.95 * len(delays)) - 1]
    ordered = sorted(
        detections, key=lambda entry: (not entry.missed, -(entry.delay_s or 0.0), entry.fault.id)
    )
    rows = [
        {
            "fault": entry.fault.id,
            "delay_s": entry.delay_s,
            "baseline_s": entry.baseline_s,
            "bound_s": entry.bound_s,
        }
        for entry in ordered[:LISTED_MAX]
    ]
    return {
        "median_s": delays[len(delays) // 2],
        "p95_s": p95,
        "max_s": delays[-1],
        "worst": rows,
    }


def _statement(view: AlarmView, total: int, false: int, high: float, vetoes: list[str]) -> str:
    if vetoes:
        return f"{vetoes[0][0].upper()}{vetoes[0][1:]}" + (
            f", and {len(vetoes) - 1} more." if vetoes[1:] else "."
        )
    if not total:
        return "No alarm spoke, so none was false."
    if false:
        text = f"{false} of {total} annunciations had no fault behind {'it' if false == 1 else 'them'}"
    else:
        text = f"Each of {total} annunciations had a fault behind it"
    if high < FALSE_MAX:
        text += f" (with 95 % confidence fewer than {high:.1%} have none)"
    return f"{text}; {_told(view.detections)}."


def _told(detections: list[Detection]) -> str:
    """What became of the faults, in words."""
    in_time = sum(entry.in_time for entry in detections)
    missed = sum(entry.missed for entry in detections)
    if not detections:
        return "there was no fault to tell"
    if in_time == len(detections):
        return f"each of {in_time} faults was told in time"
    text = f"{in_time} of {len(detections)} faults were told in time"
    late = len(detections) - in_time - missed
    return text + (f", {late} late" if late else "") + (f", {missed} missed" if missed else "")
