"""Why samples do not arrive, where the run shows it: a type refused, a topic never born, a dead or slow bridge."""

from __future__ import annotations

from collections import Counter

import numpy as np

from shakedown.acceptance.join import NEVER, Joined, TopicJoin
from shakedown.acceptance.run import GRACE_S, Run
from shakedown.acceptance.spans import S, union
from shakedown.acceptance.wording import clock, counted, number

NAMED_MAX = 3
SLOW_SHARE = 0.98  # of what the line offers: who brings less, in time that is not cut, falls behind ...
OLD_S = 10.0  # ... if half of what comes in the later half of that time is older than this


def causes(run: Run, joined: Joined, slow: tuple[float, float] | None) -> list[str]:
    """A sentence for each cause, the largest first in its kind; none where nothing is missing, or nothing shows why.

    `slow` is what `too_slow` has found.
    """
    said = [] if slow is None else [
        f"The bridge brings {number(slow[0], 1)} samples a second in the time that is not cut, and the line offers"
        f" {number(slow[1], 1)}: it is too slow for this line, whatever is cut."
    ]  # fmt: skip
    missing = [(part, count) for part in joined.topics if (count := int(np.count_nonzero(part.lost)))]
    if not missing:
        return said
    missing.sort(key=lambda entry: (-entry[1], entry[0].topic.name))
    refused = [entry for entry in missing if entry[0].topic.refused_type]
    silent = [entry for entry in missing if not entry[0].topic.refused_type and never_came(entry[0])]
    return [
        *said,
        *_refused(refused),
        *_silent(run, joined, silent),
        *_ended(run, joined),
        *_declared(joined),
    ]


def never_came(part: TopicJoin) -> bool:
    """Whether not one row of this topic reached the enterprise, births included."""
    return part.first_birth_ns is None and not part.strays and bool((part.received_ns == NEVER).all())


def too_slow(run: Run, joined: Joined) -> tuple[float, float] | None:
    """How many samples a second the bridge brings and the line offers, where it is too slow and nothing else is amiss.

    It brings less than is offered in the time that is not cut, and what it brings is old: it falls further and further
    behind. Who loses some and brings the rest in time is not slow.
    """
    parts = [part for part in joined.topics if not (part.topic.refused_type or never_came(part))]
    if not any((part.lost | part.late | part.pending).any() for part in parts):
        return None
    offered_ns = np.concatenate([part.ns[part.eligible] for part in parts])
    came_ns = np.concatenate([part.received_ns[part.eligible] for part in parts])
    age_ns = came_ns - offered_ns
    from_ns, until_ns = int(came_ns.min()), run.window_end_ns
    cuts = union((max(cut.start_ns, from_ns), min(cut.end_ns, until_ns)) for cut in run.cuts)
    free = (came_ns >= from_ns) & (came_ns < until_ns)
    for start_ns, end_ns in cuts:
        free &= (came_ns < start_ns) | (came_ns >= end_ns)
    free_s = (until_ns - from_ns - sum(end - start for start, end in cuts)) / S
    later = free & (came_ns >= (from_ns + until_ns) // 2)
    if free_s <= 0 or not later.any() or np.median(age_ns[later]) < OLD_S * S:
        return None
    brought = float(np.count_nonzero(free)) / free_s
    offered = float(np.count_nonzero(offered_ns >= from_ns)) / ((until_ns - from_ns) / S)
    return (brought, offered) if brought < SLOW_SHARE * offered else None


def _refused(parts: list[tuple[TopicJoin, int]]) -> list[str]:
    said = [
        f"{number(count)} are of {part.topic.name}, whose type in site.yaml is {part.topic.datatype} and whose source"
        f" is a {part.topic.refused_type}: the type is refused; correct it."
        for part, count in parts[:NAMED_MAX]
    ]
    more = parts[NAMED_MAX:]
    if more:
        said.append(
            f"So are {number(sum(count for _, count in more))} of {counted(len(more), 'more topic')}."
        )
    return said


def _silent(run: Run, joined: Joined, parts: list[tuple[TopicJoin, int]]) -> list[str]:
    """Topics of which nothing came; where they are all of a device, the device."""
    was = "born" if run.bridge.promises.protocol == "sparkplug" else "published"
    of_device = Counter(part.topic.device for part in joined.topics)
    mute = Counter(part.topic.device for part, _ in parts)
    counts: Counter[str] = Counter()
    for part, count in parts:
        device = part.topic.device
        counts[f"device {device}" if mute[device] == of_device[device] else part.topic.name] += count
    named = counts.most_common(NAMED_MAX)
    said = [f"{number(count)} are of {name}, which was never {was}." for name, count in named]
    if len(counts) > NAMED_MAX:
        rest = sum(counts.values()) - sum(count for _, count in named)
        said.append(f"{number(rest)} are of {number(len(counts) - NAMED_MAX)} more that were never {was}.")
    return said


def _ended(run: Run, joined: Joined) -> list[str]:
    """A bridge whose process ended, or after whose last row the line went on for long and no cut is to blame."""
    last_ns = max(
        (int(part.received_ns[part.received_ns != NEVER].max(initial=0)) for part in joined.topics), default=0
    )
    ended = run.manifest.get("bridge_ended")
    if ended:
        return [f"The bridge failed as a process: {str(ended).rstrip('.')}."]
    cut = any(fault.end_ns >= last_ns for fault in run.cuts)
    if 0 < last_ns < run.window_end_ns - int(GRACE_S * S) and not cut:
        return [f"Nothing at all arrived after {clock((last_ns - run.ledger.start_ns) / S)}."]
    return []


def _declared(joined: Joined) -> list[str]:
    if not joined.declared:
        return []
    return [f"The bridge itself declares {counted(joined.declared, 'gap or loss', 'gaps and losses')}."]
