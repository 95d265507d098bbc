"""Why samples did not arrive, where the run shows it: a refused type, a topic never born, a dead bridge, a gap."""

from __future__ import annotations

from collections import Counter

import numpy as np

from shakedown.acceptance.join import NEVER, Joined, TopicJoin
from shakedown.acceptance.run import GRACE_S, Run
from shakedown.acceptance.spans import S
from shakedown.acceptance.wording import clock, counted, number

NAMED_MAX = 3


def causes(run: Run, joined: Joined) -> list[str]:
    """A sentence for each cause, the largest first in its kind; none where nothing is missing, or nothing shows why."""
    missing = [(part, count) for part in joined.topics if (count := int(np.count_nonzero(part.lost)))]
    if not missing:
        return []
    missing.sort(key=lambda entry: (-entry[1], entry[0].topic.name))
    refused = [entry for entry in missing if entry[0].topic.refused_type]
    silent = [entry for entry in missing if not entry[0].topic.refused_type and never_came(entry[0])]
    return [*_refused(refused), *_silent(run, joined, silent), *_ended(run, joined), *_declared(joined)]


def never_came(part: TopicJoin) -> bool:
    """Whether not one row of this topic reached the enterprise, births included."""
    return part.first_birth_ns is None and not part.strays and bool((part.received_ns == NEVER).all())


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
