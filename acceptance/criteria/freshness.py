"""Freshness: what the enterprise sees live is never older than the SLO of the topic, nearly all of the time.

A topic is stale while a change older than its SLO has not arrived, or while the receiver holds it as STALE or BAD and
the source calls it Good. History never makes anything fresh. Quiet topics are fresh: nothing is missing.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from shakedown.acceptance.blocks import Row, Sentence, Table, numbers, text
from shakedown.acceptance.causes import never_came
from shakedown.acceptance.criterion import Criterion, Finding
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.join import NEVER, Ints, TopicJoin
from shakedown.acceptance.run import Run
from shakedown.acceptance.spans import MS, S
from shakedown.acceptance.sparkplug import GOOD
from shakedown.acceptance.verdict import Answer
from shakedown.acceptance.wording import lasting, percent, seconds

SHARE_MIN = 0.98
HALF = 0.5  # no critical topic may be stale for more of the time, however many are fresh
JUDGED_S_MIN = 600.0
HEALING_S = 10.0  # a cut counts until this long after it healed
WORST_LISTED = 10

Spans = NDArray[np.int64]
"""Disjoint intervals [start, end) in order, shape (n, 2), nanoseconds."""


class TopicShare(msgspec.Struct, frozen=True):
    """The share of the judged time, outside of cuts, in which one topic was fresh."""

    topic: str
    slo_s: float
    critical: bool
    judged_s: float
    share: float
    share_with_cuts: float
    longest_stale_s: float

    @property
    def best_share(self) -> float:
        """The share if it were fresh for all the time that a verdict still takes."""
        return 1.0 - (1.0 - self.share) * self.judged_s / max(self.judged_s, JUDGED_S_MIN)


class Figures(msgspec.Struct, kw_only=True, frozen=True):
    """`cuts` in nanoseconds; latency from source to host, of what was offered outside of them; None if nothing arrived.

    `worst` are the topics that were fresh for the smallest share of the time.
    """

    judged_s: float
    critical_topics: int
    within_slo: int
    within_slo_with_cuts: int
    cuts: list[tuple[int, int]]
    latency_p50_s: float | None
    latency_p99_s: float | None
    worst: list[TopicShare]


def judge(evidence: Evidence) -> Finding:
    """Integrate over the changes and arrivals of each topic; no polling."""
    run = evidence.run
    cuts, host_stale = cut_spans(run), _host_stale(run)
    topics = [topic_share(run, part, cuts, host_stale) for part in evidence.joined.topics if part.identified]
    critical = [topic for topic in topics if topic.critical]
    within = [topic for topic in critical if topic.share >= SHARE_MIN]
    judged_s = min((topic.judged_s for topic in critical), default=0.0)
    verdict = decide(critical)
    needs = None
    if verdict == "INCONCLUSIVE":
        needs = f"{lasting(JUDGED_S_MIN - judged_s)} more outside of injected cuts"
    p50_s, p99_s = latency_s(evidence, cuts)
    figures = Figures(
        judged_s=round(judged_s, 3),
        critical_topics=len(critical),
        within_slo=len(within),
        within_slo_with_cuts=sum(topic.share_with_cuts >= SHARE_MIN for topic in critical),
        cuts=[(int(start), int(end)) for start, end in cuts],
        latency_p50_s=p50_s,
        latency_p99_s=p99_s,
        worst=worst(topics),
    )
    return Finding(
        verdict=verdict,
        measured=f"{len(within)} of {len(critical)} topics ({len(within) / max(1, len(critical)):.1%})",
        statement=_statement(evidence, critical, within, judged_s, verdict),
        needs=needs,
        figures=figures,
        blocks=[
            Sentence(
                f"Time in injected cuts is not judged; were it, {figures.within_slo_with_cuts} of {len(critical)}"
                " topics would have kept their limit. Of the samples offered outside of cuts, half arrived within"
                f" {seconds(p50_s, 3)}, 99 % within {seconds(p99_s, 3)}."
            ),
            Table(
                title="The topics that were fresh for the smallest share of the time",
                columns=[*text("topic"), *numbers("limit", "fresh", "with the cuts", "stale at a stretch")],
                rows=[_shown(topic) for topic in figures.worst],
                folded=True,
            ),
        ],
    )


def decide(critical: Sequence[TopicShare]) -> Answer:
    """The verdict on the critical topics: FAIL as soon as the rest of the required time could not save it."""
    if not critical:
        return "INCONCLUSIVE"
    kept = sum(topic.best_share >= SHARE_MIN for topic in critical)
    if kept < SHARE_MIN * len(critical) or any(topic.best_share < HALF for topic in critical):
        return "FAIL"
    return "INCONCLUSIVE" if min(topic.judged_s for topic in critical) < JUDGED_S_MIN else "PASS"


def _shown(topic: TopicShare) -> Row:
    cells = [topic.topic, seconds(topic.slo_s), percent(topic.share, 2), percent(topic.share_with_cuts, 2)]
    wrong = topic.critical and topic.share < SHARE_MIN
    return Row([*cells, seconds(topic.longest_stale_s)], "bad" if wrong else "")


def latency_s(evidence: Evidence, cuts: Spans) -> tuple[float | None, float | None]:
    """Half and 99 % of the samples offered outside of cuts arrived within these times (nearest rank)."""
    found = []
    for part in evidence.joined.topics:
        cut = np.searchsorted(cuts[:, 0], part.ns, side="right") > np.searchsorted(
            cuts[:, 1], part.ns, side="right"
        )
        taken = part.eligible & (part.received_ns != NEVER) & ~cut
        found.append(part.received_ns[taken] - part.ns[taken])
    waits = np.concatenate([np.zeros(0, np.int64), *found])
    if not len(waits):
        return None, None
    p50, p99 = np.percentile(waits, (50, 99), method="inverted_cdf") / S
    return round(float(p50), 6), round(float(p99), 6)


def worst(topics: list[TopicShare], count: int = WORST_LISTED) -> list[TopicShare]:
    """The topics that were fresh for the smallest share of the time."""
    return sorted(topics, key=lambda topic: (topic.share, topic.share_with_cuts, topic.topic))[:count]


def _statement(
    evidence: Evidence,
    critical: list[TopicShare],
    within: list[TopicShare],
    judged_s: float,
    verdict: Answer,
) -> str:
    text = f"Over {judged_s / 60:.1f} minutes outside of injected cuts {len(within)} of {len(critical)} critical topics"
    text += " kept within their freshness limit at least 98 % of the time"
    if not critical or len(within) == len(critical):
        return text + "."
    bad = worst(critical, 1)[0]
    part = next(part for part in evidence.joined.topics if part.topic.name == bad.topic)
    text += f"; worst is {bad.topic}, fresh {bad.share:.1%} of the time{_because(part)}."
    if bad.best_share < HALF:
        text += " None may be stale for more than half of it."
    if verdict == "FAIL" and judged_s < JUDGED_S_MIN:
        text += f" The rest of the {JUDGED_S_MIN:g} s that a PASS takes could not save it."
    return text


def _because(part: TopicJoin) -> str:
    """Why a topic is stale, where the run shows it."""
    if part.topic.refused_type:
        types = f"type {part.topic.datatype} in site.yaml and {part.topic.refused_type} at the source"
        return f": its values are refused, as it is of {types}"
    return ", of which nothing ever arrived" if never_came(part) else ""


def topic_share(run: Run, part: TopicJoin, cuts: Spans, host_stale: Spans) -> TopicShare:
    """Integrate over the stale spans of one topic."""
    start_ns = run.window_start_ns(part.first_birth_ns)
    end_ns = max(start_ns, run.window_end_ns)
    stale = clip(
        union(np.vstack([_overdue(part, end_ns), _not_good(run, part, host_stale, end_ns)])), start_ns, end_ns
    )
    total = end_ns - start_ns
    cut = clip(cuts, start_ns, end_ns)
    judged = total - length(cut)
    outside = length(stale) - length(intersection(stale, cut))
    longest = int((stale[:, 1] - stale[:, 0]).max()) if len(stale) else 0
    return TopicShare(
        topic=part.topic.name,
        slo_s=part.topic.slo_s,
        critical=part.topic.critical,
        judged_s=max(0, judged) / S,
        share=1.0 - outside / judged if judged > 0 else 0.0,
        share_with_cuts=1.0 - length(stale) / total if total > 0 else 0.0,
        longest_stale_s=longest / S,
    )


def cut_spans(run: Run) -> Spans:
    """Injected cuts, each until ten seconds after its healing."""
    spans = [(cut.start_ns, cut.end_ns + int(HEALING_S * S)) for cut in run.cuts]
    return union(np.array(spans, dtype=np.int64).reshape(-1, 2))


def _overdue(part: TopicJoin, end_ns: int) -> Spans:
    """Times at which a change older than the SLO had not arrived live.

    Between two arrivals the newest source time held is constant, so the first change behind it and the moment at which
    that one is overdue are known: one subtraction for each piece.
    """
    changes = part.ns[~(part.coalescable & (part.received_ns == NEVER))]
    held_ms = np.maximum.accumulate(part.live_ts_ms) if len(part.live_ts_ms) else part.live_ts_ms
    from_ns = np.concatenate([[0], part.live_ns]).astype(np.int64)
    until_ns = np.concatenate([part.live_ns, [end_ns]]).astype(np.int64)
    behind = np.searchsorted(changes // MS, np.concatenate([[-1], held_ms]), side="right")
    due_ns = np.full(len(behind), NEVER, dtype=np.int64)
    exists = behind < len(changes)
    due_ns[exists] = changes[behind[exists]] + int(part.topic.slo_s * S)
    return _positive(np.maximum(from_ns, due_ns), until_ns)


def _not_good(run: Run, part: TopicJoin, host_stale: Spans, end_ns: int) -> Spans:
    """Times at which the receiver held the topic as STALE or BAD while the source called it Good."""
    held = host_stale
    if len(part.live_ns):
        newest = part.live_ts_ms >= np.maximum.accumulate(
            part.live_ts_ms
        )  # an older row does not replace a newer one
        at_ns, good = part.live_ns[newest], part.live_good[newest]
        until_ns = np.append(at_ns[1:], end_ns)
        held = union(np.vstack([held, _positive(at_ns[~good], until_ns[~good])]))
    if not len(held) or not len(part.ns):
        return held
    source_bad = part.quality != GOOD
    if not source_bad.any():
        return held
    # The source said so itself, and has the SLO to say otherwise.
    until_ns = np.append(part.ns[1:], end_ns)[source_bad] + int(part.topic.slo_s * S)
    excused = union(_positive(part.ns[source_bad], until_ns))
    return difference(held, excused)


def _host_stale(run: Run) -> Spans:
    """Times at which the host held the whole edge node as stale: death, or the broker lost, until the next birth.

    Plain JSON has no births: there it is until the host has the broker again.
    """
    back = "online" if run.bridge.promises.protocol == "sparkplug" else "connected"
    spans, since = [], None
    for ns, kind, details in run.host.events:
        ours = kind == "connected" or details.get("edge") == run.site.edge
        if kind == back and ours and since is not None:
            spans.append((since, ns))
            since = None
        elif since is None and (kind == "disconnected" or (kind == "stale" and ours)):
            since = ns
    if since is not None:
        spans.append((since, run.end_ns))
    return union(np.array(spans, dtype=np.int64).reshape(-1, 2))


def _positive(start: Ints, end: Ints) -> Spans:
    keep = end > start
    return np.stack([start[keep], end[keep]], axis=1)


def length(spans: Spans) -> int:
    """Total length in nanoseconds."""
    return int((spans[:, 1] - spans[:, 0]).sum()) if len(spans) else 0


def union(spans: Spans) -> Spans:
    """The same points of time as disjoint intervals in order."""
    if not len(spans):
        return np.zeros((0, 2), dtype=np.int64)
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    reach = np.maximum.accumulate(spans[:, 1])
    first = np.concatenate([[True], spans[1:, 0] > reach[:-1]])
    last = np.concatenate([first[1:], [True]])
    return np.stack([spans[first, 0], reach[last]], axis=1)


def clip(spans: Spans, start_ns: int, end_ns: int) -> Spans:
    """What of `spans` lies in [start_ns, end_ns)."""
    if not len(spans):
        return spans
    return _positive(np.clip(spans[:, 0], start_ns, end_ns), np.clip(spans[:, 1], start_ns, end_ns))


def difference(spans: Spans, without: Spans) -> Spans:
    """What of `spans` lies in none of `without`."""
    if not len(without):
        return spans
    far = NEVER
    gaps_start = np.concatenate([[-far], without[:, 1]])
    gaps_end = np.concatenate([without[:, 0], [far]])
    return intersection(spans, np.stack([gaps_start, gaps_end], axis=1))


def intersection(a: Spans, b: Spans) -> Spans:
    """What lies in both, each given as disjoint intervals in order."""
    found = []
    i = j = 0
    while i < len(a) and j < len(b):
        start, end = max(a[i, 0], b[j, 0]), min(a[i, 1], b[j, 1])
        if start < end:
            found.append((start, end))
        if a[i, 1] <= b[j, 1]:
            i += 1
        else:
            j += 1
    return np.array(found, dtype=np.int64).reshape(-1, 2)


CRITERION = Criterion(
    name="freshness",
    title="Freshness",
    question="Is what the enterprise sees up to date?",
    threshold=(
        ">= 98 % of critical topics within their SLO for >= 98 % of the time; none stale for more than half of it"
    ),
    judge=judge,
    figures=Figures,
    decisive=True,
    of_samples=True,
)
