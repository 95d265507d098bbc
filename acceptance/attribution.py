"""Whose loss it is: the messages are counted at the source, at the broker's acceptance and at the host.

- Accepted by the broker in good order, at a time when nothing kept the host from hearing: the lab lost it.
- Accepted only while broker or host were disturbed, or as part of a broken session: the bridge had to send it again.
- Never accepted: the bridge never sent it, or sent it where it was lost and did not notice.
- A foreign broker does not say what it accepted: unattributed, unless the observer shows that it had to be repeated.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import msgspec
import numpy as np

from shakedown.acceptance.join import NEVER, Joined, TopicJoin
from shakedown.acceptance.run import KEEP_ALIVE_FACTOR, Run
from shakedown.acceptance.session import EDGE_KINDS, Message, Replay
from shakedown.acceptance.spans import S, span_at, union
from shakedown.acceptance.sparkplug import Value

EXAMPLES_MAX = 10


class LostSample(msgspec.Struct, frozen=True):
    """One sample that was lost, and whose loss it is."""

    topic: str
    ts_ms: int
    owner: str
    because: str


@dataclass
class Attribution:
    """Lost samples by owner ("bridge", "lab", "unattributed"); `owners` by topic name and index of the sample."""

    owners: dict[str, dict[int, str]] = field(default_factory=dict)
    totals: Counter[str] = field(default_factory=Counter)
    examples: list[LostSample] = field(default_factory=list)

    @property
    def lab(self) -> int:
        """Samples that the lab lost: never the bridge's."""
        return self.totals["lab"]

    def counts(self) -> dict[str, int]:
        """How many lost samples each owner has."""
        return {owner: self.totals[owner] for owner in ("bridge", "lab", "unattributed")}


def attribute(run: Run, joined: Joined) -> Attribution:
    """Say of each lost sample whose loss it is. Reads the wire log only when something was lost."""
    wanted: Wanted = {}
    by_values = run.bridge.promises.identity == "values"
    for part in joined.topics:
        for index in np.flatnonzero(part.lost).tolist():
            known_by = part.values[index] if by_values else int(part.ts_ms[index])
            key = (part.topic.device, part.topic.metric, known_by)
            wanted.setdefault(key, []).append((part, index))
    found = Attribution()
    if not wanted:
        return found
    accepted, in_reach = _accepted(run, wanted)
    is_sparkplug = run.bridge.promises.protocol == "sparkplug"
    is_broker = run.wire is not None and run.wire.is_broker
    for (device, metric, _), entries in wanted.items():
        for part, index in entries:
            mark = (device, metric, index)
            owner, why = _REASONS[mark in accepted, mark in in_reach, is_broker] if is_sparkplug else UNREAD
            found.totals[owner] += 1
            found.owners.setdefault(part.topic.name, {})[index] = owner
            if len(found.examples) < EXAMPLES_MAX:
                found.examples.append(LostSample(part.topic.name, int(part.ts_ms[index]), owner, why))
    return found


UNREAD = ("unattributed", "plain JSON is read by the host alone")
_TO_REPEAT = ("bridge", "passed only while host or broker were disturbed: it had to be sent again")
_REASONS: dict[tuple[bool, bool, bool], tuple[str, str]] = {
    # (passed at all, passed while the host could hear, the log is the broker's own)
    (False, False, True): ("bridge", "never accepted by the broker"),
    (True, False, True): _TO_REPEAT,
    (True, True, True): ("lab", "accepted by the broker, and nothing kept the host from hearing it"),
    (False, False, False): ("unattributed", "never seen by the observer; the foreign broker tells nothing"),
    (True, False, False): _TO_REPEAT,
    (True, True, False): ("unattributed", "seen by the observer, not by the host, behind a foreign broker"),
}

Wanted = dict[tuple[str, str, Value], list[tuple[TopicJoin, int]]]
Mark = tuple[str, str, int]


def _accepted(run: Run, wanted: Wanted) -> tuple[set[Mark], set[Mark]]:
    """Which lost samples were accepted at all, and which of them at a time when the host should have heard them."""
    accepted: set[Mark] = set()
    in_reach: set[Mark] = set()
    if run.wire is None:
        return accepted, in_reach
    deaf = DeafTimes(run)
    by_values = run.bridge.promises.identity == "values"
    for message in Replay(log=run.wire):
        if (
            not isinstance(message, Message)
            or message.edge != run.site.edge
            or message.kind not in EDGE_KINDS
        ):
            continue
        for device, metric, ts_ms, value, quality, _ in message.samples:
            for part, index in wanted.get((device, metric, value if by_values else ts_ms or 0), ()):
                if (
                    part.quality[index] == quality
                    and part.topic.same(part.values[index], value, quality)
                    and not _has_an_equal_that_arrived(part, index)
                ):
                    mark = (device, metric, index)
                    accepted.add(mark)
                    if message.in_order and not deaf.at(message.ns):
                        in_reach.add(mark)
    return accepted, in_reach


def _has_an_equal_that_arrived(part: TopicJoin, index: int) -> bool:
    """Whether the source offered the same twice in a millisecond and one arrived: what passed was that one."""
    first, last = np.searchsorted(part.ts_ms, [part.ts_ms[index], part.ts_ms[index] + 1])
    equal = (i for i in range(first, last) if part.quality[i] == part.quality[index])
    return any(
        part.received_ns[i] != NEVER and part.topic.same(part.values[i], part.values[index], part.quality[i])
        for i in equal
    )


class DeafTimes:
    """When the host could not be expected to hear the edge node: faults on it or the broker, and no birth since."""

    def __init__(self, run: Run) -> None:
        spans = [
            (fault.start_ns - S, fault.end_ns)
            for fault in run.timeline
            if not fault.is_phase and fault.affects & {"broker", "host"}
        ]
        unnoticed_ns = int(KEEP_ALIVE_FACTOR * run.site.host_keep_alive_s * S)
        since: int | None = 0
        for ns, kind, details in run.host.events:
            if kind == "online" and details.get("edge") == run.site.edge:
                if since is not None:
                    spans.append((since, ns))
                since = None
            elif since is None and kind in ("disconnected", "started"):
                since = ns - unnoticed_ns
            elif (
                since is None
                and kind in ("stale", "rebirth_requested")
                and details.get("edge") == run.site.edge
            ):
                since = ns
        if since is not None:
            spans.append((since, run.end_ns + unnoticed_ns))
        self._spans = union((start, end + 1) for start, end in spans)  # the moment of the return as well

    def at(self, ns: int) -> bool:
        """Whether the host was out of reach at `ns`."""
        return span_at(self._spans, ns) is not None
