"""What a report draws of a run, down-sampled to at most `POINTS_MAX` points a series."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shakedown.acceptance.join import MS, NEVER, Ints, Joined, TopicJoin
from shakedown.acceptance.run import Run, S

POINTS_MAX = 2_000
WORST_TOPICS = 5


def series(run: Run, joined: Joined) -> dict[str, Any]:
    """Offered and received per second, backlog, age of the worst topics, and the outages behind them.

    `start_ns` and `step_s` place the points: point i covers [start + i * step, start + (i + 1) * step).
    """
    start_ns = run.ledger.start_ns
    seconds = max(1.0, (max(run.end_ns, run.ledger.end_ns) - start_ns) / S)
    step_s = max(1, math.ceil(seconds / POINTS_MAX))
    count = math.ceil(seconds / step_s)
    edges = start_ns + np.arange(count + 1, dtype=np.int64) * step_s * S
    offered, received, live = _rates(joined, edges)
    ages = sorted(
        ((_age_ms(part, edges[1:]), part) for part in joined.topics),
        key=lambda entry: (-np.nanmax(entry[0], initial=0.0), entry[1].topic.name),
    )
    backlog = np.cumsum(offered - received)
    return {
        "start_ns": start_ns,
        "step_s": step_s,
        "offered_per_s": _rounded(offered / step_s),
        "received_per_s": _rounded(received / step_s),
        "live_per_s": _rounded(live / step_s),
        "backlog": backlog.tolist(),
        "age_ms": {part.topic.name: _whole(age) for age, part in ages[:WORST_TOPICS]},
        "outages": [
            {
                "id": fault.id,
                "kind": fault.kind,
                "affects": sorted(fault.affects),
                "start_ns": fault.start_ns,
                "end_ns": fault.end_ns,
                "cut": fault.cut,
            }
            for fault in run.timeline
            if not fault.is_phase
        ],
        "phases": [[phase.id, phase.start_ns, phase.end_ns] for phase in run.timeline if phase.is_phase],
    }  # fmt: skip


def _rates(joined: Joined, edges: Ints) -> tuple[Ints, Ints, Ints]:
    """Samples offered, first arrivals, and live arrivals in each step; only what can arrive counts as offered."""
    offered = np.zeros(len(edges) - 1, dtype=np.int64)
    received, live = offered.copy(), offered.copy()
    for part in joined.topics:
        arrived = part.received_ns != NEVER
        offered += _histogram(part.ns[arrived | part.eligible], edges)
        received += _histogram(np.sort(part.received_ns[arrived]), edges)
        live += _histogram(part.live_ns, edges)
    return offered, received, live


def _histogram(ns: Ints, edges: Ints) -> Ints:
    return np.diff(np.searchsorted(ns, edges))


def _age_ms(part: TopicJoin, at_ns: Ints) -> NDArray[np.float64]:
    """How long, at each moment, the oldest change not yet arrived live is waited for; NaN before the first arrival."""
    if not len(part.live_ns):
        return np.full(len(at_ns), np.nan)
    held_ms = np.maximum.accumulate(part.live_ts_ms)
    arrived = np.searchsorted(part.live_ns, at_ns, side="right") - 1
    oldest = np.searchsorted(part.ts_ms, held_ms[np.maximum(arrived, 0)], side="right")
    offered = np.searchsorted(part.ns, at_ns, side="left")  # not what changes at this very moment
    waited_ms = (at_ns - part.ns[np.minimum(oldest, len(part.ns) - 1)]) / MS if len(part.ns) else 0.0
    age = np.where(oldest < offered, waited_ms, 0.0)
    return np.where(arrived < 0, np.nan, age)


def _whole(values: NDArray[np.float64]) -> list[int | None]:
    return [None if math.isnan(value) else int(value) for value in values]


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return np.round(values, 3).tolist()
