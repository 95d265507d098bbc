"""Loss across outages: less than 0.01 % of the eligible samples never arrived (scope `run`)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.join import NEVER, Ints, TopicJoin
from shakedown.acceptance.run import Outage, S
from shakedown.acceptance.statistics import LIMIT, Decision, decide, outage_statement
from shakedown.acceptance.verdict import CriterionResult, Outcome

NAME, TITLE = "loss", "Loss across outages"
THRESHOLD = "< 0.01 % of samples never arrived"
BURST_GAP_S = 10.0  # losses closer together than this, over all topics, are one burst: they have one cause
BURSTS_LISTED_MAX = 50
TOPICS_LISTED_MAX = 20


def judge(evidence: Evidence) -> CriterionResult:
    """Apply the decision rule to the samples lost or late, those of the lab apart."""
    run, joined = evidence.run, evidence.joined
    eligible, pending = joined.count("eligible"), joined.count("pending")
    missing = _missing(evidence)
    bursts = _bursts(missing)
    by_lab = evidence.attribution.lab
    decision = decide(eligible - pending - by_lab, [len(burst) for burst in bursts], strict=run.strict)
    verdict: Outcome = decision.verdict  # type: ignore[assignment]
    needs = None
    if decision.needs is not None:
        needs = f"{decision.needs:,} more eligible samples"
    if pending and verdict == "PASS":
        verdict = "INCONCLUSIVE"
        needs = f"a longer drain: {pending} samples still had time to arrive when the run ended"
    if eligible == 0:
        verdict, needs = "INCONCLUSIVE", "a run whose judged window holds samples"
    outages = _outages(evidence)
    lossy = sum(1 for row in outages if row["lost"] + row["late"] > row["lab"])
    return CriterionResult(
        name=NAME,
        title=TITLE,
        verdict=verdict,
        threshold=THRESHOLD if not run.strict else "no sample lost (strict)",
        measured=f"{decision.lost:,} of {eligible:,}",
        statement=_statement(decision, evidence) + " " + outage_statement(len(outages), lossy),
        needs=needs,
        details=_details(decision, evidence) | {
            "pending": pending,
            "bursts": [_burst(burst) for burst in bursts[:BURSTS_LISTED_MAX]],
            "outages": outages,
            "worst_topics": _worst(evidence),
        },
    )  # fmt: skip


def _not_lab(evidence: Evidence, part: TopicJoin) -> Ints:
    """Indices of the samples of one topic that were lost or late, those that the lab lost left out."""
    lost = np.flatnonzero(part.lost | part.late)
    owners = evidence.attribution.owners.get(part.topic.name, {})
    if "lab" not in owners.values():
        return lost
    return np.array([i for i in lost.tolist() if owners.get(i) != "lab"], dtype=np.int64)


def _missing(evidence: Evidence) -> Ints:
    """Source times of all samples lost or late, in order."""
    found = [part.ns[_not_lab(evidence, part)] for part in evidence.joined.topics]
    return np.sort(np.concatenate(found)) if found else np.zeros(0, np.int64)


def _bursts(missing: Ints) -> list[Ints]:
    if not len(missing):
        return []
    return np.split(missing, np.flatnonzero(np.diff(missing) > int(BURST_GAP_S * S)) + 1)


def _burst(burst: Ints) -> dict[str, Any]:
    return {"from_ns": int(burst[0]), "to_ns": int(burst[-1]), "lost": len(burst)}


def _outages(evidence: Evidence) -> list[dict[str, Any]]:
    """What each outage held up and lost; each sample belongs to one outage at most, unless outages overlap."""
    run = evidence.run
    table = []
    for outage in run.outages:
        counts = _within(evidence, outage)
        entry = {
            "id": outage.fault.id,
            "kind": outage.fault.kind,
            "affects": sorted(outage.fault.affects),
            "start_ns": outage.fault.start_ns,
            "end_ns": outage.end_ns,
            "duration_s": round((outage.end_ns - outage.fault.start_ns) / S, 3),
            "deadline_ns": outage.deadline_ns,
        }
        table.append(entry | counts)
    return table


def _within(evidence: Evidence, outage: Outage) -> dict[str, Any]:
    totals: Counter[str] = Counter()
    drained_ns = outage.end_ns
    for part in evidence.joined.topics:
        inside = part.eligible & (part.ns >= outage.from_ns) & (part.ns < outage.until_ns)
        totals["offered"] += int(np.count_nonzero(inside))
        totals["late"] += int(np.count_nonzero(inside & part.late))
        lost = np.flatnonzero(inside & part.lost).tolist()
        totals["lost"] += len(lost)
        if lost:
            owners = evidence.attribution.owners[part.topic.name]
            totals.update(owners[index] for index in lost)
        arrived = part.received_ns[inside & (part.received_ns != NEVER) & (part.ns <= outage.end_ns)]
        drained_ns = max(drained_ns, int(arrived.max(initial=0)))
    names = ("offered", "lost", "late", "bridge", "lab", "unattributed")
    drained_s = round((drained_ns - outage.end_ns) / S, 3)
    return {name: totals[name] for name in names} | {"drained_after_s": drained_s}


def _worst(evidence: Evidence) -> list[dict[str, Any]]:
    missing = [(-len(_not_lab(evidence, part)), part.topic.name, part) for part in evidence.joined.topics]
    return [
        {"topic": name, "missing": -count, "eligible": int(part.eligible.sum())}
        for count, name, part in sorted(missing, key=lambda row: row[:2])[:TOPICS_LISTED_MAX]
        if count
    ]


def _details(decision: Decision, evidence: Evidence) -> dict[str, Any]:
    owners = evidence.attribution
    return {
        "eligible": decision.eligible,
        "missing": decision.lost,
        "limit": LIMIT,
        "estimate": decision.lost / decision.eligible if decision.eligible else None,
        "lower_95": decision.lower,
        "upper_95": decision.upper,
        "burst_size": decision.burst_size,
        "n_eff": decision.n_eff,
        "k_eff": decision.k_eff,
        "sprt": decision.sprt,
        "attribution": owners.counts(),
        "examples": owners.examples,
    }


def _statement(decision: Decision, evidence: Evidence) -> str:
    lost, late = evidence.joined.count("lost") - evidence.attribution.lab, evidence.joined.count("late")
    if decision.lost == 0:
        text = f"All {decision.eligible:,} samples that the line offered reached the enterprise in time"
        if decision.verdict == "PASS":
            return (
                text
                + ": with 95 % confidence fewer than one in ten thousand is lost where losses come singly."
            )
        return text + ", but that is too few to promise less than 0.01 % loss."
    text = f"Of {decision.eligible:,} samples {lost:,} never arrived and {late:,} came too late"
    return (
        text + f" (between {decision.lower:.4%} and {decision.upper:.4%} with 95 % confidence on each side)."
    )
