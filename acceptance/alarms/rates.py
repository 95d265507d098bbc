"""What the edge node says of all its alarms: calls in ten minutes, flood, chattering; held against the calls.

The calls are those that the enterprise has, so that this asks for the figures alone: whatever is said must have been
true within the last minute, when it is said and until something else is (docs/operations.md).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from shakedown.acceptance.alarms.labels import CHATTER_COUNT, CHATTER_S, FLOOD_BEGINS, FLOOD_ENDS, FLOOD_S
from shakedown.acceptance.derived_rows import rows_of
from shakedown.acceptance.run import Run
from shakedown.acceptance.spans import MS, S, Span, span_at

LAG_NS = 60 * S  # half a minute between two words, and as much for what comes in between
AHEAD_NS = 5 * S  # a call is known so much after its own time
WINDOW_NS = FLOOD_S * S
Steps = list[tuple[int, Any]]
"""A value and from when on it holds, in order of time."""


def untrue_rates(
    run: Run, calls: Sequence[tuple[int, str]], window: Span, excused: Sequence[Span]
) -> Iterator[tuple[str, int, str]]:
    """(metric, ns, what is wrong) of the figures of all alarms; `calls` are (ns, device/alarm) in order of time."""
    truths = {
        "alarms/in_10_min": _in_window(calls),
        "alarms/flood": _floods(calls),
        "alarms/chattering": _chattering(calls),
    }
    for (_, metric), rows in rows_of(run, [("", metric) for metric in truths]).items():
        truth = truths[metric]
        told = sorted({(row.ts_ms * MS, row.value) for row in rows}, key=lambda step: step[0])
        for ns, value in told:
            if window[0] <= ns < window[1] and not span_at(excused, ns):
                true = _within(truth, ns - LAG_NS, ns + AHEAD_NS)
                if value not in true:
                    yield metric, ns, f"says {value!r}, which was {_either(true)} then"
        for ns, _ in truth:
            due_ns = ns + LAG_NS
            if not window[0] <= ns < due_ns < window[1] or _is_excused(excused, ns, due_ns):
                continue
            shown, true = _within(told, due_ns, due_ns), _within(truth, ns, due_ns + AHEAD_NS)
            if not set(shown) & set(true) and int(run.deadlines_ns(np.array([due_ns]))[0]) <= run.end_ns:
                yield metric, due_ns, f"says {_either(shown)}, which has been {_either(true)} for a minute"


def _in_window(calls: Sequence[tuple[int, str]]) -> Steps:
    """How many calls there were in the ten minutes before."""
    edges = sorted([(ns, 1) for ns, _ in calls] + [(ns + WINDOW_NS, -1) for ns, _ in calls])
    found: Steps = []
    count = 0
    for ns, step in edges:
        count += step
        found.append((ns, count))
    return found


def _floods(calls: Sequence[tuple[int, str]]) -> Steps:
    """Whether people are in a flood: it begins above ten calls in ten minutes, and ends below five."""
    found: Steps = []
    is_flood = False
    for ns, count in _in_window(calls):
        is_flood = count > FLOOD_BEGINS or (is_flood and count >= FLOOD_ENDS)
        if not found or found[-1][1] is not is_flood:
            found.append((ns, is_flood))
    return found


def _chattering(calls: Sequence[tuple[int, str]]) -> Steps:
    """Which alarms called three times within a minute, the newest call of them in the last ten minutes."""
    of_alarm: dict[str, list[int]] = defaultdict(list)
    for ns, alarm in calls:
        of_alarm[alarm].append(ns)
    moments = sorted({ns + late for ns, _ in calls for late in (0, WINDOW_NS)})
    found: Steps = []
    for ns in moments:
        names = [alarm for alarm, times in of_alarm.items() if _chatters(times, ns)]
        if not found or found[-1][1] != ", ".join(sorted(names)):
            found.append((ns, ", ".join(sorted(names))))
    return found


def _chatters(times: list[int], ns: int) -> bool:
    last = bisect_right(times, ns) - 1
    first = last - CHATTER_COUNT + 1
    return first >= 0 and times[last] - times[first] <= CHATTER_S * S and times[last] > ns - WINDOW_NS


def _within(steps: Steps, from_ns: int, to_ns: int) -> list[Any]:
    """The values that hold at some time in [from, to]."""
    times = [ns for ns, _ in steps]
    first = max(0, bisect_right(times, from_ns) - 1)
    return [value for _, value in steps[first : bisect_right(times, to_ns)]]


def _either(values: list[Any]) -> str:
    return " or ".join(dict.fromkeys(repr(value) for value in values)) or "nothing"


def _is_excused(excused: Sequence[Span], from_ns: int, to_ns: int) -> bool:
    return any(start <= to_ns and from_ns < end for start, end in excused)
