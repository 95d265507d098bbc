"""What a work order says, value by value against the ledger: the machine, the reason, and the signals before it."""

from __future__ import annotations

from typing import Any

import numpy as np

from shakedown.acceptance.alarm_view import POLLS, poll_s
from shakedown.acceptance.annunciations import Annunciation
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.join import TopicJoin
from shakedown.acceptance.run import Run
from shakedown.acceptance.shift_logs import WorkOrder
from shakedown.acceptance.shift_site import AlarmRule

S, MS = 1_000_000_000, 1_000_000
COVER_S = 10.0  # the first and the last sample of the window may be missing by this much


def asset_breach(run: Run, entry: Annunciation, order: WorkOrder) -> str:
    """What is wrong with equipment and physical asset of an order; empty if nothing is."""
    assert run.shift.work_orders is not None
    equipment = run.shift.work_orders.equipment.get(entry.rule.device, "")
    if order.equipment != equipment:
        return f"equipment {order.equipment!r} instead of {equipment!r}"
    machine = str(run.ledger.signals[entry.rule.topic.signal].get("machine"))
    asset = physical_asset(run, (equipment, machine, entry.rule.device), order.raised_ms * MS)
    if asset is not None and order.physical_asset != asset:
        return f"physical asset {order.physical_asset!r} instead of {asset!r}, which stood there at that time"
    return ""


def physical_asset(run: Run, names: tuple[str, ...], ns: int) -> str | None:
    """What stood in the place of an equipment at `ns`, by the header's assignments and the swaps; None if unknown."""
    found: list[tuple[int, str]] = []
    for equipment, asset, from_ns, to_ns in run.ledger.header.get("assets") or ():
        if equipment in names and (to_ns is None or ns < to_ns):
            found.append((from_ns, asset))
    for event in run.ledger.physical.of("swap"):
        if event.data.get("equipment") in names:
            found.append((event.ns, str(event.data.get("physical_asset"))))
    past = [row for row in found if row[0] <= ns]
    return max(past, key=lambda row: row[0])[1] if past else None


def reason_breach(evidence: Evidence, entry: Annunciation, order: WorkOrder) -> str:
    """What is wrong with the reason of an order: metric, limit, unit, text, or a value that the source never had."""
    rule, reason = entry.rule, order.raw.get("reason")
    if not isinstance(reason, dict):
        return "there is none"
    if abs(order.raised_ms * MS - entry.ns) > S:
        return f"raised at {order.raised_ms} ms instead of {entry.ns // MS} ms"
    if reason.get("metric") not in (rule.metric, rule.topic.metric):
        return f"metric {reason.get('metric')!r} instead of {rule.metric!r}"
    if reason.get("limit") != rule.limit:
        return f"limit {reason.get('limit')!r} instead of {rule.limit!r}"
    if (reason.get("unit") or "") != rule.unit:
        return f"unit {reason.get('unit')!r} instead of {rule.unit!r}"
    if rule.text and reason.get("text") != rule.text:
        return f"text {reason.get('text')!r} instead of {rule.text!r}"
    value = reason.get("value")
    if not rule.beyond(value):
        return f"value {value!r}, which is not beyond {rule.limit!r}"
    part = _part(evidence, rule.metric)
    span_ns = int((rule.on_delay_s + POLLS * poll_s(evidence.run, rule)) * S)
    low, high = _range(part, entry.ns - span_ns, entry.ns)
    near = range(max(0, low - 1), high)  # the one in force when the span began, too
    if not any(rule.topic.same(part.values[i], value, int(part.quality[i])) for i in near):
        return f"value {value!r}, which {rule.metric} did not have then"
    return ""


def context_breach(evidence: Evidence, entry: Annunciation, order: WorkOrder) -> str:
    """What is wrong with the signals of an order: their window, or any value that the source did not offer."""
    run = evidence.run
    assert run.shift.work_orders is not None
    context = order.raw.get("context")
    if not isinstance(context, list) or not all(isinstance(signal, dict) for signal in context):
        return "there is none"
    names = {_full(entry.rule, signal.get("metric")) for signal in context}
    if entry.rule.metric not in names:
        return f"the alarm's own metric {entry.rule.metric} is missing"
    state = f"{entry.rule.device}/state"
    if state not in names and any(topic.name == state for topic in run.topics):
        return f"the state of the machine, {state}, is missing"
    from_ns = entry.ns - int(run.shift.work_orders.context_s * S)
    for signal in context:
        what = _signal_breach(evidence, _full(entry.rule, signal.get("metric")), signal, from_ns, entry)
        if what:
            return what
    return ""


def _full(rule: AlarmRule, metric: Any) -> str:
    """`device/metric`, where a bare metric is one of the alarm's own device."""
    return str(metric) if "/" in str(metric) else f"{rule.device}/{metric}"


def _part(evidence: Evidence, name: str) -> TopicJoin:
    return next(part for part in evidence.joined.topics if part.topic.name == name)


def _range(part: TopicJoin, from_ns: int, to_ns: int) -> tuple[int, int]:
    """Indices of the samples in [from_ns, to_ns]."""
    low, high = np.searchsorted(part.ns, [from_ns, to_ns + 1])
    return int(low), int(high)


def _signal_breach(
    evidence: Evidence, name: str, signal: dict[str, Any], from_ns: int, entry: Annunciation
) -> str:
    part = next((part for part in evidence.joined.topics if part.topic.name == name), None)
    samples = signal.get("samples")
    if part is None:
        return f"{name} is no metric of site.yaml"
    if not isinstance(samples, list) or not all(isinstance(row, list) and len(row) == 3 for row in samples):
        return f"the samples of {name} are no list of [ts_ms, value, quality]"
    slack_ns = int(COVER_S * S)
    for ts_ms, value, quality in samples:
        if not isinstance(ts_ms, int) or not from_ns - slack_ns <= ts_ms * MS <= entry.ns + slack_ns:
            return f"{name} at {ts_ms!r} ms is not of the time before the alarm of {entry.ns // MS} ms"
        low, high = _range(part, ts_ms * MS, ts_ms * MS + MS - 1)
        if not any(
            part.quality[i] == quality and part.topic.same(part.values[i], value, quality)
            for i in range(low, high)
        ):
            return f"{name} at {ts_ms} ms was not {value!r} with quality {quality!r}"
    return _cover_breach(evidence, part, samples, from_ns, entry.ns)


def _cover_breach(evidence: Evidence, part: TopicJoin, samples: list[Any], from_ns: int, to_ns: int) -> str:
    """Whether the samples reach over the window: from its first to its last that the bridge could have."""
    slack_ns = int(COVER_S * S)
    from_ns = max(from_ns, evidence.alarms.from_ns)
    if any(
        "cell" in fault.affects and fault.start_ns < to_ns and fault.end_ns > from_ns
        for fault in evidence.run.timeline
    ):
        return ""
    low, high = _range(part, from_ns, to_ns)
    if low == high:
        return ""
    first_ns, last_ns = int(part.ns[low]), int(part.ns[high - 1])
    stamps = [row[0] * MS for row in samples]
    if not stamps or min(stamps) > first_ns + slack_ns:
        return f"{part.topic.name} begins too late: the source had samples from {first_ns // MS} ms on"
    if max(stamps) < last_ns // MS * MS - slack_ns:
        return f"{part.topic.name} ends too early: the source had samples until {last_ns // MS} ms"
    return ""
