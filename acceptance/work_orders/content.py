"""What a work order says of the machine and the reason, held against the ledger; its signals: order_context.py."""

from __future__ import annotations

import numpy as np

from shakedown.acceptance.alarms.annunciations import Annunciation
from shakedown.acceptance.alarms.view import POLLS, poll_s
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.join import TopicJoin
from shakedown.acceptance.operations_logs import WorkOrder
from shakedown.acceptance.run import Run
from shakedown.acceptance.spans import MS, S


def asset_breach(run: Run, entry: Annunciation, order: WorkOrder) -> str:
    """What is wrong with equipment and physical asset of an order; empty if nothing is."""
    assert run.operations.work_orders is not None
    equipment = run.operations.work_orders.equipment.get(entry.rule.device, "")
    if order.equipment != equipment:
        return f"equipment {order.equipment!r} instead of {equipment!r}"
    machine = str(run.ledger.signals[entry.rule.topic.signal].get("machine"))
    asset = physical_asset(run, (equipment, machine, entry.rule.device), order.raised_ms * MS)
    if asset is not None and order.physical_asset != asset:
        return f"physical asset {order.physical_asset!r} instead of {asset!r}, which stood there at that time"
    return ""


def routing_breach(run: Run, entry: Annunciation, order: WorkOrder) -> str:
    """What is wrong with priority and owner of an order; empty if nothing is, or if the CMMS keeps no owner."""
    site, rule = run.operations.work_orders, entry.rule
    assert site is not None
    if not site.is_embedded:
        return ""
    if order.raw.get("priority") != rule.priority:
        return f"priority {order.raw.get('priority')!r} instead of {rule.priority!r}"
    owner = site.owners.get(rule.device, "")
    if (order.raw.get("owner", owner) or "") != owner:
        return f"owner {order.raw.get('owner')!r} instead of {owner!r}"
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


def _part(evidence: Evidence, name: str) -> TopicJoin:
    return next(part for part in evidence.joined.topics if part.topic.name == name)


def _range(part: TopicJoin, from_ns: int, to_ns: int) -> tuple[int, int]:
    """Indices of the samples in [from_ns, to_ns]."""
    low, high = np.searchsorted(part.ns, [from_ns, to_ns + 1])
    return int(low), int(high)
