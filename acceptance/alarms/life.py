"""What an alarm must show at each moment: a function of what holds then, evaluated where something changes.

Shown is the strongest reason to hide the alarm, or what is beneath: whether it is active, whether the newest call came
after the newest acknowledgement, whether a latch came after the newest reset (docs/alarms.md). No state is stepped from
one to the next.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from shakedown.acceptance.operations_site import AlarmRule
from shakedown.acceptance.spans import NEVER, S, Span, span_at, union

BENEATH = {
    (False, True, False): "normal",
    (True, False, False): "unacked",
    (True, True, False): "acked",
    (False, False, False): "rtn_unacked",
    (False, False, True): "latched_unacked",
    (False, True, True): "latched_acked",
    (True, False, True): "unacked",
    (True, True, True): "acked",
}
"""By active, acked, latched: a latch does not show while the condition lasts."""
ANSWERABLE = {
    "ack": frozenset({"unacked", "rtn_unacked", "latched_unacked"}),
    "reset": frozenset({"latched_unacked", "latched_acked"}),
}


class Shown(NamedTuple):
    """A moment at which an alarm changes what it shows, or calls."""

    ns: int
    state: str
    calls: bool = False


@dataclass(frozen=True)
class Facts:
    """All that decides what an alarm shows."""

    rule: AlarmRule
    active: Sequence[Span]
    hidden: Sequence[tuple[str, Sequence[Span]]]  # the strongest reason first
    acks: Sequence[int]
    resets: Sequence[int]


@dataclass(frozen=True)
class Start:
    """What is known of the past at the moment from which a life is told."""

    ns: int
    acked: bool = True
    latched: bool = False


def life(facts: Facts, start: Start, until_ns: int) -> list[Shown]:
    """What the alarm shows first, and each change of it in (start, until)."""
    latching = facts.rule.latching
    hidden = union(*(spans for _, spans in facts.hidden))
    returns = [end for _, end in union(*(spans for reason, spans in facts.hidden if reason != "suppressed"))]
    active = [span for span in facts.active if span[1] > start.ns]
    calls: list[int] = []  # when the state beneath begins to wait for somebody
    called: set[int] = set()  # when somebody is called
    latches = []
    for begin, end in active:
        for ns in _calls_of(facts, begin, end, returns):
            if ns <= start.ns:
                continue
            cover = span_at(hidden, ns)
            if cover is None or cover[1] < end:
                calls.append(ns)
                called.add(ns if cover is None else cover[1])
            elif latching:
                calls.append(ns)
        if latching and end < NEVER:
            latches.append(end)
    acks = [ns for ns in facts.acks if ns > start.ns]
    resets = [ns for ns in facts.resets if ns > start.ns]

    def shown(ns: int) -> str:
        for reason, spans in facts.hidden:
            if span_at(spans, ns):
                return reason
        return BENEATH[
            span_at(active, ns) is not None,
            _newest(acks, ns, start.ns if start.acked else -NEVER)
            >= _newest(calls, ns, -NEVER if start.acked else start.ns),
            _newest(latches, ns, start.ns if start.latched else -NEVER) > _newest(resets, ns, start.ns - 1),
        ]

    edges = {ns for span in (*active, *(span for _, spans in facts.hidden for span in spans)) for ns in span}
    moments = sorted(ns for ns in {*edges, *calls, *called, *acks, *resets} if start.ns < ns < until_ns)
    found = [Shown(start.ns, shown(start.ns))]
    for ns in moments:
        state = shown(ns)
        if state != found[-1].state or ns in called:
            found.append(Shown(ns, state, ns in called))
    return found


def _calls_of(facts: Facts, begin: int, end: int, returns: Sequence[int]) -> list[int]:
    """When an active span waits for somebody: as it begins, as a shelf ends, and so long after each acknowledgement."""
    found = [begin, *(ns for ns in returns if begin < ns < end)]
    again_ns, asked = round(facts.rule.re_alarm_s * S), begin
    while again_ns:
        ack = next((ns for ns in facts.acks if asked <= ns < end), None)
        if ack is None:
            break
        anew = next((ns for ns in returns if ack < ns <= ack + again_ns), None)
        asked = ack + again_ns if anew is None else anew
        if asked >= end:
            break
        found.append(asked)
    return sorted(set(found))


def _newest(times: Sequence[int], ns: int, before: int) -> int:
    """The newest of the times up to `ns`; `before` where there is none."""
    index = bisect_right(times, ns) - 1
    return times[index] if index >= 0 else before
