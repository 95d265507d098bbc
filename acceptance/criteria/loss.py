"""Loss across outages: less than 0.01 % of the eligible samples never arrived (scope `run`)."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np

from shakedown.acceptance.attribution import LostSample
from shakedown.acceptance.blocks import ROWS_MAX, Block, Row, Sentence, Table, numbers, text
from shakedown.acceptance.causes import causes, never_came, too_slow
from shakedown.acceptance.criterion import Criterion, Finding, More
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.join import NEVER, Ints, TopicJoin
from shakedown.acceptance.run import Outage, Run, unmatched
from shakedown.acceptance.spans import S
from shakedown.acceptance.statistics import (
    LIMIT,
    Decision,
    OutageDecision,
    decide,
    decide_outages,
    outage_statement,
    passed_by_repeating,
    unseen,
)
from shakedown.acceptance.verdict import Answer, combine
from shakedown.acceptance.wording import clock, counted, number, percent, seconds

BURST_GAP_S = 10.0  # losses closer together than this, over all topics, are one burst: they have one cause
BURSTS_LISTED_MAX = 50
TOPICS_LISTED_MAX = 20
BURSTS_SHOWN, REPEATED = (20, 100), 5  # what a PASS without loss is put in proportion with


class Burst(msgspec.Struct, frozen=True):
    """Samples lost close together."""

    from_ns: int
    to_ns: int
    lost: int


class OutageLoss(msgspec.Struct, kw_only=True, frozen=True):
    """What one outage held up, and what of it was lost, by owner; `drained_after_s` is None if nothing arrived."""

    id: str
    kind: str
    affects: list[str]
    start_ns: int
    end_ns: int
    duration_s: float
    deadline_ns: int
    offered: int
    lost: int
    late: int
    bridge: int
    lab: int
    unattributed: int
    drained_after_s: float | None


class TopicLoss(msgspec.Struct, frozen=True):
    """What of one topic is missing."""

    topic: str
    missing: int
    eligible: int


class Figures(msgspec.Struct, kw_only=True, frozen=True):
    """The decisions, of samples and of outages; `outages` in order, `worst_topics` that miss most.

    `offered` is what the ledger holds, `eligible` what of it had to arrive, `pending` what still had time at the end.
    """

    decision: Decision
    by_outage: OutageDecision
    offered: int
    eligible: int
    examples: list[LostSample]
    pending: int
    bursts: list[Burst]
    outages: list[OutageLoss]
    worst_topics: list[TopicLoss]


def judge(evidence: Evidence) -> Finding:
    """Apply the decision rules to the samples lost or late, those of the lab apart: all of them, and outage by outage.

    Without an outage there was no occasion for what is asked, and only a loss is decided.
    """
    run, joined, owners = evidence.run, evidence.joined, evidence.attribution
    eligible, pending = joined.count("eligible"), joined.count("pending")
    bursts = _bursts(_missing(evidence))
    decision = decide(eligible - pending - owners.lab, [len(burst) for burst in bursts], strict=run.strict)
    outages = [_within(evidence, outage) for outage in run.outages]
    missing = [row.lost + row.late - row.lab for row in outages]
    held_up = sum(row.offered - row.lab for row in outages)
    by_outage = decide_outages(len(outages), sum(map(bool, missing)), held_up, sum(missing))
    verdict: Answer = combine([decision.verdict, by_outage.verdict])  # type: ignore[list-item]
    needs: str | More | None = None
    if verdict == "PASS" and pending:
        verdict = "INCONCLUSIVE"
        needs = f"a longer drain: {pending} samples still had time to arrive when the run ended"
    elif verdict == "INCONCLUSIVE" and by_outage.needs is not None:
        needs = f"{counted(by_outage.needs, 'more outage')} without loss"
    elif verdict == "INCONCLUSIVE" and decision.needs is not None:
        needs = More(decision.needs, "eligible samples", eligible)
    if eligible == 0:
        verdict, needs = "INCONCLUSIVE", "a run whose judged window holds samples"
    complete = not decision.lost and not pending
    if not outages and eligible and (complete or verdict == "PASS"):
        verdict, needs = "NOT_APPLICABLE", None
    figures = Figures(
        decision=decision,
        by_outage=by_outage,
        offered=len(run.ledger.values),
        eligible=eligible - owners.lab,
        examples=owners.examples,
        pending=pending,
        bursts=[Burst(int(burst[0]), int(burst[-1]), len(burst)) for burst in bursts[:BURSTS_LISTED_MAX]],
        outages=outages,
        worst_topics=_worst(evidence),
    )
    slow = too_slow(run, joined)
    said = [
        "Not applicable: nothing was cut in this run." if verdict == "NOT_APPLICABLE" else "",
        _statement(figures, evidence),
        *causes(run, joined, slow),
        outage_statement(by_outage.outages, by_outage.lossy) if outages and slow is None else "",
        unmatched(run) if decision.lost else "",
    ]
    return Finding(
        verdict=verdict,
        threshold="no sample lost (strict)" if run.strict else "",
        measured=f"{decision.lost:,} of {decision.eligible:,}{f', {pending:,} pending' if pending else ''}",
        statement=" ".join(filter(None, said)),
        needs=needs,
        figures=figures,
        blocks=_shown(run, figures),
        is_short=complete,
    )


def _shown(run: Run, figures: Figures) -> list[Block]:
    """The outages, and of what was lost where and why."""

    def at(ns: int) -> str:
        return clock((ns - run.ledger.start_ns) / S)

    said = figures.decision
    estimate = percent(said.lost / said.eligible if said.eligible else None, 4)
    weighed = (
        f" Losses within {BURST_GAP_S:g} s of one another have one cause, so these {number(said.lost)} weigh as"
        f" {said.lost / said.burst_size:.1f}."
    )
    blocks: list[Block] = [
        Sentence(
            f"Lost or late are {estimate}; with 95 % confidence on each side between {percent(said.lower, 4)} and"
            f" {percent(said.upper, 4)}. Less than {percent(LIMIT, 2)} may be.{weighed if said.burst_size > 1 else ''}"
        ),
        *([] if said.lost or said.verdict != "PASS" else [Sentence(_worth(said), tone="quiet")]),
        Table(
            title="What each outage held up",
            columns=[
                *text("outage"),
                *numbers("at", "for", "offered", "lost", "late", "last arrival"),
            ],
            rows=[
                Row(
                    [
                        f"{row.id} ({row.kind})", at(row.start_ns), seconds(row.duration_s), number(row.offered),
                        number(row.lost), number(row.late),
                        "none" if row.drained_after_s is None else f"after {seconds(row.drained_after_s)}",
                    ],
                    "bad" if row.lost + row.late > row.lab else "",
                )
                for row in figures.outages
            ],
            folded=True,
        ),
        Table(
            title="When samples were lost or late",
            columns=numbers("from", "to", "samples"),
            rows=[Row([at(burst.from_ns), at(burst.to_ns), number(burst.lost)]) for burst in figures.bursts[:ROWS_MAX]],
            folded=True,
        ),
        Table(
            title="Topics that miss the most",
            columns=[*text("topic"), *numbers("missing", "of")],
            rows=[Row([row.topic, number(row.missing), number(row.eligible)]) for row in figures.worst_topics],
            folded=True,
        ),
        Table(
            title="Whose loss it is, by the first that were lost",
            columns=text("topic", "at", "whose", "because"),
            rows=[Row([row.topic, at(row.ts_ms * 1_000_000), row.owner, row.because]) for row in figures.examples],
            folded=True,
        ),
    ]  # fmt: skip
    return [block for block in blocks if not isinstance(block, Table) or block.rows]


def _not_lab(evidence: Evidence, part: TopicJoin) -> Ints:
    """Indices of the samples of one topic that were lost or late, those that the lab lost left out."""
    lost = np.flatnonzero(part.lost | part.late)
    owners = evidence.attribution.owners.get(part.topic.name, {})
    if "lab" not in owners.values():
        return lost
    return np.array([i for i in lost.tolist() if owners.get(i) != "lab"], dtype=np.int64)


def _counted(evidence: Evidence, part: TopicJoin) -> int:
    """How many samples of one topic the loss is a share of: neither those that still had time, nor the lab's loss."""
    owners = evidence.attribution.owners.get(part.topic.name, {})
    lab = sum(owner == "lab" for owner in owners.values())
    return int(np.count_nonzero(part.eligible & ~part.pending)) - lab


def _missing(evidence: Evidence) -> Ints:
    """Source times of all samples lost or late, in order."""
    found = [part.ns[_not_lab(evidence, part)] for part in evidence.joined.topics]
    return np.sort(np.concatenate(found)) if found else np.zeros(0, np.int64)


def _bursts(missing: Ints) -> list[Ints]:
    if not len(missing):
        return []
    return np.split(missing, np.flatnonzero(np.diff(missing) > int(BURST_GAP_S * S)) + 1)


def _within(evidence: Evidence, outage: Outage) -> OutageLoss:
    """What an outage held up and lost; each sample belongs to one outage at most, unless outages overlap."""
    totals: Counter[str] = Counter()
    drained_ns, arrivals = outage.end_ns, 0
    for part in evidence.joined.topics:
        if part.topic.refused_type or never_came(part):
            continue  # lost whatever is cut, and said so
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
        arrivals += len(arrived)
    names = ("offered", "lost", "late", "bridge", "lab", "unattributed")
    return OutageLoss(
        id=outage.fault.id,
        kind=outage.fault.kind,
        affects=sorted(outage.fault.affects),
        start_ns=outage.fault.start_ns,
        end_ns=outage.end_ns,
        duration_s=round((outage.end_ns - outage.fault.start_ns) / S, 3),
        deadline_ns=outage.deadline_ns,
        drained_after_s=round((drained_ns - outage.end_ns) / S, 3)
        if arrivals or not totals["offered"]
        else None,
        **{name: totals[name] for name in names},
    )


def _worst(evidence: Evidence) -> list[TopicLoss]:
    missing = [(-len(_not_lab(evidence, part)), part.topic.name, part) for part in evidence.joined.topics]
    return [
        TopicLoss(name, -count, _counted(evidence, part))
        for count, name, part in sorted(missing, key=lambda row: row[:2])[:TOPICS_LISTED_MAX]
        if count
    ]


def _statement(figures: Figures, evidence: Evidence) -> str:
    decision, pending = figures.decision, figures.pending
    text = f"Of {counted(figures.offered, 'sample')} that the line offered {figures.eligible:,} had to arrive"
    if decision.lost == 0 and not pending:
        if decision.verdict == "PASS":
            return (
                f"{text}, and all did in time: with 95 % confidence fewer than one in ten thousand is lost where losses"
                " come singly."
            )
        return f"{text}, and all did in time, but they are too few to promise less than 0.01 % loss."
    lost, late = evidence.joined.count("lost") - evidence.attribution.lab, evidence.joined.count("late")
    text += f": {lost:,} never did, {late:,} came too late"
    if pending:
        text += f", and {pending:,} still had time when the run ended"
    return (
        f"{text} (between {decision.lower:.4%} and {decision.upper:.4%} with 95 % confidence on each side)."
    )


def _worth(decision: Decision) -> str:
    """What a PASS without any loss does not show."""
    shares = " and ".join(
        f"in {percent(unseen(decision.eligible, size), 0)} where it loses {size} at a time"
        for size in BURSTS_SHOWN
    )
    return (
        "What no loss at all does not show: losses come in bursts, and a bridge that loses one sample in ten thousand"
        f" loses none in {percent(unseen(decision.eligible, 1), 0)} of such runs where it loses them singly, but"
        f" {shares}."
        " Nor is a run evidence that was repeated until it passed: where one of twenty passes by chance,"
        f" {percent(passed_by_repeating(REPEATED), 0)} do within {REPEATED} attempts. Say beforehand which seeds count."
    )


def unpromised(run: Run) -> str:
    """What of the run's outages the bridge does not promise to bridge, "" if nothing."""
    promises = run.bridge.promises
    for outage in run.outages:
        fault = outage.fault
        if promises.store_and_forward == "none":
            return f"the bridge promises no store-and-forward, and {fault.id!r} keeps its data from arriving"
        if promises.store_and_forward == "memory" and "bridge" in fault.affects and fault.kind != "freeze":
            return f"the bridge promises to store in memory alone, and {fault.id!r} ends its process"
        if not promises.primary_host and "host" in fault.affects:
            return f"the bridge does not promise to wait for a primary host, and {fault.id!r} takes it away"
    return ""


CRITERION = Criterion(
    name="loss",
    title="Loss across outages",
    question="Does everything arrive, whatever is cut?",
    threshold="< 0.01 % of samples never arrived, of all and of what outages held up",
    judge=judge,
    figures=Figures,
    unpromised=unpromised,
    decisive=True,
    of_samples=True,
    is_measured_anyway=True,
)
