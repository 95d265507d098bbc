"""The signals that a work order carries, sample by sample against the ledger: all of the last minutes, and true.

What must be there is what the bridge had. Of the alarm's metric, of the state of the asset and of what the alarm names
as context, every sample of the window that the enterprise has (the bridge published it, so it had it), unless the
bridge may have got it only after it had written the order:

- a sample of the last `FLIGHT_S` before the alarm may have been on its way;
- one of the time around a fault south of the bridge, or of the bridge itself, may have come late, out of the server's
  queue or its history: from `BEFORE_NS` before the fault until `AFTER_NS` after it;
- one of before the warm-up's end may be of before the bridge.

A sample that never reached the enterprise is a loss, and counted there. The way to the enterprise plays no part: what
is cut there delays the order, and takes nothing from what the bridge knows.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shakedown.acceptance.alarms.annunciations import Annunciation
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.join import NEVER, TopicJoin
from shakedown.acceptance.operations_logs import WorkOrder
from shakedown.acceptance.operations_site import AlarmRule
from shakedown.acceptance.source_faults import away_from_source
from shakedown.acceptance.spans import MS, S
from shakedown.acceptance.sparkplug import GOOD

FLIGHT_S = 2.0  # from the source into the bridge: sampling, publishing, and a second
OUTSIDE_S = 10.0  # a sample may lie outside of the window by this much: the one in force when it begins
Given = dict[int, list[tuple[Any, int]]]
"""(value, quality) of the samples of one signal, by ts_ms."""


def context_breach(evidence: Evidence, entry: Annunciation, order: WorkOrder) -> str:
    """What is wrong with the signals of an order: one is missing, has a gap, or a value that the source never had."""
    run, rule = evidence.run, entry.rule
    assert run.operations.work_orders is not None
    context = order.raw.get("context")
    if not isinstance(context, list) or not all(isinstance(signal, dict) for signal in context):
        return "there is none"
    by_name = {_full(rule, signal.get("metric")): signal for signal in context}
    parts = {part.topic.name: part for part in evidence.joined.topics}
    for name in sorted(_wanted(rule, parts) - by_name.keys()):
        return f"{name} is missing"
    window = entry.ns - int(run.operations.work_orders.context_s * S), entry.ns
    away = away_from_source(run, window[0], max(order.created_ms * MS, entry.ns))
    for name, signal in by_name.items():
        if name not in parts:
            return f"{name} is not a metric of site.yaml"
        if (signal.get("unit") or "") != run.operations.units.get(name, ""):
            return f"{name} in {signal.get('unit')!r} instead of {run.operations.units.get(name, '')!r}"
        given = _given(signal)
        if given is None:
            return f"the samples of {name} are no list of [ts_ms, value, quality]"
        what = _untrue(parts[name], given, window) or _gap(evidence, parts[name], given, window, away)
        if what:
            return what
    return ""


def _wanted(rule: AlarmRule, parts: dict[str, TopicJoin]) -> set[str]:
    """Names of the metrics that an order of this alarm must carry."""
    state = f"{rule.device}/state"
    return {rule.metric, *rule.context} | ({state} & parts.keys())


def _full(rule: AlarmRule, metric: Any) -> str:
    """`device/metric`, where a bare metric is one of the alarm's own device."""
    return str(metric) if "/" in str(metric) else f"{rule.device}/{metric}"


def _given(signal: dict[str, Any]) -> Given | None:
    """The samples of one signal; None if they are no samples."""
    samples, given = signal.get("samples"), defaultdict(list)
    if not isinstance(samples, list):
        return None
    for sample in samples:
        if not isinstance(sample, list) or len(sample) != 3 or type(sample[0]) is not int:
            return None
        given[sample[0]].append((sample[1], sample[2]))
    return given


def _untrue(part: TopicJoin, given: Given, window: tuple[int, int]) -> str:
    """The first sample that is not of the window, or that the source never offered; empty if there is none."""
    name, slack_ns = part.topic.name, int(OUTSIDE_S * S)
    for ts_ms, samples in given.items():
        if not window[0] - slack_ns <= ts_ms * MS <= window[1] + slack_ns:
            return f"{name} at {ts_ms} ms is not of the time before the alarm of {window[1] // MS} ms"
        low, high = np.searchsorted(part.ts_ms, [ts_ms, ts_ms + 1]).tolist()
        for value, quality in samples:
            if any(_is(part, i, value, quality) for i in range(low, high)):
                continue
            if (
                quality == GOOD or ts_ms not in part.withdrawn_ts_ms
            ):  # "not Good" the bridge may say of itself
                return f"{name} at {ts_ms} ms was not {value!r} with quality {quality!r}"
    return ""


def _is(part: TopicJoin, index: int, value: Any, quality: Any) -> bool:
    return part.topic.answers(part.values[index], int(part.quality[index]), value, quality)


def _gap(
    evidence: Evidence, part: TopicJoin, given: Given, window: tuple[int, int], away: list[tuple[int, int]]
) -> str:
    """What of the window is missing although the bridge had it; empty if nothing is."""
    low, high = np.searchsorted(part.ns, [window[0], window[1] - int(FLIGHT_S * S) + 1]).tolist()
    had = _had(evidence, part, slice(low, high), away)
    missing = [
        index
        for index in (np.flatnonzero(had) + low).tolist()
        if not any(_is(part, index, *sample) for sample in given.get(int(part.ts_ms[index]), ()))
    ]
    if not missing:
        return ""
    first_ms = int(part.ts_ms[missing[0]])
    return f"{part.topic.name} lacks {len(missing)} of {np.count_nonzero(had)} samples, the first of {first_ms} ms"


def _had(evidence: Evidence, part: TopicJoin, which: slice, away: list[tuple[int, int]]) -> NDArray[np.bool_]:
    """Which samples the bridge had for certain when it wrote the order."""
    ns = part.ns[which]
    had: NDArray[np.bool_] = (part.received_ns[which] != NEVER) & (ns >= evidence.alarms.from_ns)
    for from_ns, to_ns in away:
        had &= (ns < from_ns) | (ns > to_ns)
    return had
