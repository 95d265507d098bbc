"""What a run shows of a line: its machines in the ledger, and what their controllers offered of state and counts."""

from __future__ import annotations

from typing import Any

from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.join import NEVER, TopicJoin
from shakedown.acceptance.oee.line_truth import Known, LineTruth
from shakedown.acceptance.oee.oracle import COUNTS, Machine
from shakedown.acceptance.oee.shift_reports import part_of
from shakedown.acceptance.operations_site import OeeLine, WorkUnit
from shakedown.acceptance.sparkplug import GOOD


def line_truth(evidence: Evidence, line: OeeLine) -> LineTruth:
    """The truth of a line in a run. Raises KeyError where a work unit has no state or no counter of its parts."""
    return LineTruth(evidence.run.ledger, line, {unit.name: _known(evidence, unit) for unit in line.units})


def _known(evidence: Evidence, unit: WorkUnit) -> Known:
    ledger = evidence.run.ledger
    state, produced = (part_of(evidence, unit.topics[key]) for key in ("state", "produced"))
    signal = ledger.signals[produced.topic.signal]
    born_ns = produced.first_birth_ns or 0
    machine = Machine(ledger, str(signal.get("machine")), int(signal.get("scan_ms") or 1000), born_ns)
    states = good_samples(state)
    reasons = good_samples(part_of(evidence, unit.topics["reason"])) if "reason" in unit.topics else []
    counted = {
        count: [
            (ns, int(value))
            for ns, value in good_samples(part_of(evidence, unit.topics[count]), arrived=True)
        ]
        for count in (*COUNTS, "rework")
        if count in unit.topics
    }
    arrived = good_samples(state, arrived=True)
    return Known(machine, arrived[0][0] if arrived else 0, _together(states, reasons), counted)


def good_samples(part: TopicJoin, *, arrived: bool = False) -> list[tuple[int, Any]]:
    """(source time in ns, value) of the good samples with a value; those that arrived alone if asked for."""
    which = (part.quality == GOOD) & ((part.received_ns != NEVER) | (not arrived))
    rows = zip(part.ns.tolist(), part.values, which.tolist(), strict=True)
    return [(ns, value) for ns, value, has in rows if has and value is not None]


def _together(states: list[tuple[int, Any]], reasons: list[tuple[int, Any]]) -> list[tuple[int, str, Any]]:
    """(ns, state, reason) at each change of one of them; of equal times the later one holds both."""
    found: list[tuple[int, str, Any]] = []
    state, reason = "", None
    changes = [(ns, False, value) for ns, value in reasons] + [(ns, True, value) for ns, value in states]
    changes.sort(key=lambda change: change[:2])
    for ns, is_state, value in changes:
        if is_state:
            state = str(value)
        else:
            reason = value
        if state:
            found.append((ns, state, reason))
    return found
