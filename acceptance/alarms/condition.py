"""Where the condition of an alarm holds, and where its machine's state suppresses it, by the samples that arrived.

The rules are those of docs/alarms.md. A sample that never reached the enterprise is none that the bridge is known to
have had; where one is missing nothing is said.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shakedown.acceptance.join import NEVER as NEVER_ARRIVED
from shakedown.acceptance.join import TopicJoin
from shakedown.acceptance.operations_site import AlarmRule
from shakedown.acceptance.readers import HostLog
from shakedown.acceptance.spans import MS, NEVER, Delayed, S, Span, delayed, holding, over, union
from shakedown.acceptance.sparkplug import GOOD, Value


@dataclass
class Signal:
    """The samples of one metric that arrived, in order of their times; None is the value of one that is not usable."""

    ns: list[int] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    received_ns: list[int] = field(default_factory=list)  # when the enterprise had it, 0 if as history
    lost_ns: list[int] = field(default_factory=list)  # times of those that did not arrive and should have

    @property
    def unusable(self) -> list[Span]:
        """Where the newest sample is not usable."""
        return holding([(ns, value is None) for ns, value in zip(self.ns, self.values, strict=True)])


def signal_of(part: TopicJoin, host: HostLog) -> Signal:
    """What the enterprise has of one topic."""
    arrived: NDArray[np.bool_] = part.received_ns != NEVER_ARRIVED
    found = Signal(lost_ns=(part.ts_ms[part.lost | part.pending] * MS).tolist())
    for index in np.flatnonzero(arrived).tolist():
        value, row = None, part.row[index]
        if host.quality[row] == GOOD:
            value = host.values[row]
        found.received_ns.append(host.received_ns[row] if host.live[row] else 0)
        found.ns.append(int(part.ts_ms[index]) * MS)
        found.values.append(None if isinstance(value, float) and math.isnan(value) else value)
    return found


@dataclass
class Condition:
    """One alarm's `beyond` with its delays (`active`), and the spans in which its machine's state suppresses it."""

    beyond: list[tuple[int, bool]]  # each decisive sample, and whether it is beyond
    active: Delayed
    suppressed: list[Span]
    on: tuple[int, list[Span]]
    off: tuple[int, list[Span]]


def condition_of(rule: AlarmRule, signal: Signal, state: Signal, late: Callable[[int], int]) -> Condition:
    """The condition of `rule` over the whole of a run; `late` says how long after its time a sample may be known."""
    suppressed = _suppressed(rule, state) if rule.suppress_in else []
    if rule.kind == "bad":
        decisive = [(ns, value is None) for ns, value in zip(signal.ns, signal.values, strict=True)]
        standing: list[Span] = []
    else:
        decisive = [
            (ns, beyond)
            for ns, value in zip(signal.ns, signal.values, strict=True)
            if value is not None and ((beyond := rule.beyond(value)) or rule.back(value))
        ]
        standing = signal.unusable
    on = round(rule.on_delay_s * S), union(standing, suppressed)
    off = round(rule.off_delay_s * S), standing
    return Condition(decisive, delayed(holding(decisive), on, off, late), suppressed, on, off)


def _suppressed(rule: AlarmRule, state: Signal) -> list[Span]:
    """From a state that suppresses to one that does not, or until it has not been usable for `bad_after_s`."""
    edges = []
    unusable = dict(state.unusable)
    for ns, value in zip(state.ns, state.values, strict=True):
        if value is not None:
            edges.append((ns, value in rule.suppress_in))
        elif ns in unusable and (ends := ns + round(rule.bad_after_s * S)) < unusable[ns]:
            edges.append((ends, False))
    return holding(edges)


def settled(condition: Condition, signal: Signal, ns: int) -> int:
    """From when on, not before `ns`, the condition follows from the samples since then; `NEVER` if it does not.

    What holds by a decisive sample, and has for its whole delay after `ns`, holds whatever was before. The newest
    sample of `ns` itself is known; one before it may have come late, and changed nothing.
    """
    edges = condition.beyond
    index = bisect_right(edges, (ns, True)) - 1
    newest = bisect_right(signal.ns, ns) - 1
    while newest >= 0 and signal.values[newest] is None:
        newest -= 1
    if index < 0 or edges[index][0] < signal.ns[newest]:
        index += 1
    while index < len(edges):
        begin, is_beyond = edges[index]
        end_index = index + 1
        while end_index < len(edges) and edges[end_index][1] is is_beyond:
            end_index += 1
        end = edges[end_index][0] if end_index < len(edges) else NEVER
        due = over(max(begin, ns), *(condition.on if is_beyond else condition.off))
        if due <= end and due < NEVER:
            return due
        index = end_index
    return NEVER if edges else ns
