"""Why a reported figure differs from what happened: the difference, split by where on its way it arose.

The way of a figure has four stations: what happened, what the line's controller offered of it, what of that the
enterprise received, and what the report says. The same sweep over each station's state changes, and the same count over
its counter, give a figure each; the steps between them add up to the whole difference, exactly.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec

from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.join import NEVER, TopicJoin
from shakedown.acceptance.oee.oracle import BUCKETS, ShiftTruth
from shakedown.acceptance.oee.shift_reports import part_of
from shakedown.acceptance.operations_site import OeeLine
from shakedown.acceptance.spans import S

COUNTER_BITS = (16, 32)


class Steps(msgspec.Struct, frozen=True):
    """What of a difference arose from happened to offered, from offered to received, from received to reported."""

    sampling: float
    transport: float
    calculation: float


def explain(evidence: Evidence, line: OeeLine, truth: ShiftTruth, report: dict[str, Any]) -> dict[str, Steps]:
    """The steps of each time in seconds, and of the parts produced."""
    state, counter = part_of(evidence, line.state), part_of(evidence, line.produced)
    breaks = breaks_of(evidence)
    order = part_of(evidence, line.order) if line.order is not None and truth.delay_ns is not None else None
    offered, received = (
        _buckets_s(state, order, truth, breaks, arrived=arrived) for arrived in (False, True)
    )
    found = {}
    for bucket, of in BUCKETS.items():
        true_s = truth.buckets_ns[bucket] / S
        found[f"{bucket}_s"] = _steps(true_s, offered[of], received[of], report.get(f"{bucket}_s"))
    seen, kept = (_counted(counter, truth, arrived=arrived) for arrived in (False, True))
    found["produced"] = _steps(truth.exact["produced"], seen, kept, report.get("produced"))
    return found


def _steps(true: float, offered: float, received: float, reported: Any) -> Steps:
    end = float(reported) if isinstance(reported, (int, float)) else received
    return Steps(*(round(step, 6) for step in (offered - true, received - offered, end - received)))


def breaks_of(evidence: Evidence) -> list[tuple[int, int]]:
    """(from_ns, to_ns) of each break of the ledger."""
    starts, found = 0, []
    for event in evidence.run.ledger.physical.of("break"):
        if event.data.get("phase") == "start":
            starts = event.ns
        else:
            found.append((starts, event.ns))
    return found


def _samples(part: TopicJoin, *, arrived: bool) -> list[tuple[int, Any]]:
    """(source time in ns, value) of the samples with a value; those that arrived alone if asked for."""
    there = part.received_ns != NEVER
    return [
        (ns, value)
        for ns, value, has in zip(part.ns.tolist(), part.values, there.tolist(), strict=True)
        if value is not None and (has or not arrived)
    ]


def _buckets_s(
    state: TopicJoin,
    order: TopicJoin | None,
    truth: ShiftTruth,
    breaks: list[tuple[int, int]],
    *,
    arrived: bool,
) -> dict[str, float]:
    """Seconds of planned time in each state, by the samples of its topic; idle inside an order goes with the faults."""
    spent = dict.fromkeys(BUCKETS.values(), 0.0)
    samples = [(ns, "state", value) for ns, value in _samples(state, arrived=arrived)]
    if order is not None:
        samples += [(ns, "order", value) for ns, value in _samples(order, arrived=arrived)]
    samples.sort(key=lambda sample: sample[0])
    now = {"state": None, "order": ""}
    for (ns, what, value), (until_ns, _, _) in pairwise([*samples, (truth.to_ns, "", None)]):
        now[what] = value
        begin, end = max(ns, truth.from_ns), min(until_ns, truth.to_ns)
        bucket = BUCKETS["adet"] if now["state"] == BUCKETS["adot"] and now["order"] else now["state"]
        if end > begin and bucket in spent:
            paused = sum(max(0, min(end, to_ns) - max(begin, from_ns)) for from_ns, to_ns in breaks)
            spent[bucket] += (end - begin - paused) / S
    return spent


def _counted(part: TopicJoin, truth: ShiftTruth, *, arrived: bool) -> int:
    """Growth of a counter over the shift; a fall is a roll-over near the end of 16 or 32 bits, else a reset to zero."""
    total, last = 0, None
    for ns, value in _samples(part, arrived=arrived):
        if ns > truth.to_ns or isinstance(value, (bool, str)):
            continue
        if last is not None and ns > truth.from_ns:
            total += growth(last, int(value))
        last = int(value)
    return total


def growth(last: int, now: int) -> int:
    """How far a counter went from `last` to `now`: rollover only if last > .9 max and now < .1 max."""
    if now >= last:
        return now - last
    for bits in COUNTER_BITS:
        if 0.9 * 2**bits < last < 2**bits and now < 0.1 * 2**bits:
            return now + 2**bits - last
    return now
