"""Alarms that were hidden: by design only in the states that `site.yaml` names, by people only with owner and expiry.

Shelving is commanded with a JSON object of operator, until_ms and reason: by DCMD on `alarm/<name>/shelve`, which the
broker recorded, or over the bridge's HTTP. Either is published as a sample of the same metric. That is the audit entry.
What suppresses is the state that the machine shows: the bridge knows no other.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np

from shakedown.acceptance.alarms.annunciations import MS, Transition
from shakedown.acceptance.derived_rows import rows_of
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.operations_site import AlarmRule
from shakedown.acceptance.physical import S
from shakedown.acceptance.readers import WireMessage
from shakedown.acceptance.run import Run
from shakedown.acceptance.sparkplug import Malformed, decode

EDGE_S = 10.0  # a state may have ended this long before the alarm heard of it, and its off-delay passed
EXPIRY_S = 10.0  # a shelf ends at its expiry, or this much later
Commands = dict[tuple[str, str], list[tuple[int, Any]]]
"""Parsed JSON of what was commanded, with its time, by (device, metric); "" where an alias names the metric."""


class Shelving(msgspec.Struct, frozen=True):
    """One time that an alarm was hidden; `breach` says what was wrong with it, empty if nothing was."""

    alarm: str
    state: str
    ns: int
    breach: str


def shelvings(evidence: Evidence) -> list[Shelving]:
    """Every transition to shelved or suppressed, held against its rule or its command; in order of time."""
    run, moves = evidence.run, evidence.alarms.moves
    is_any = any(move.state == "shelved" for list_ in moves.values() for move in list_)
    commands = _commands(run) if is_any else {}
    found = []
    for rule in run.operations.alarms:
        before = "normal"
        for index, move in enumerate(moves[rule.name]):
            if move.state == "suppressed" and before != "suppressed":
                found.append(Shelving(rule.name, move.state, move.ns, _suppressed(evidence, rule, move)))
            elif move.state == "shelved" and before != "shelved":
                later = (next_.ns for next_ in moves[rule.name][index:] if next_.state != "shelved")
                what = _shelved(run, rule, move, next(later, None), commands)
                found.append(Shelving(rule.name, move.state, move.ns, what))
            before = move.state
    return sorted(found, key=lambda entry: (entry.ns, entry.alarm))


def _suppressed(evidence: Evidence, rule: AlarmRule, move: Transition) -> str:
    """What is wrong with a suppression: no state of its machine allows it at that time."""
    if not rule.suppress_in:
        return "without a rule that allows it"
    held = _states(evidence, rule, move.ns - int(EDGE_S * S), move.ns)
    if held & rule.suppress_in:
        return ""
    shown, allowed = ", ".join(sorted(held)) or "no state", ", ".join(sorted(rule.suppress_in))
    return f"while {rule.device} was in {shown}, which is none of {allowed}"


def _states(evidence: Evidence, rule: AlarmRule, from_ns: int, to_ns: int) -> set[str]:
    """What the machine showed as its state in [from_ns, to_ns], the one in force at its beginning too."""
    name = f"{rule.device}/state"
    part = next((part for part in evidence.joined.topics if part.topic.name == name), None)
    if part is None:
        return set()
    low, high = np.searchsorted(part.ns, [from_ns, to_ns + 1]).tolist()
    return {str(value) for value in part.values[max(0, low - 1) : high] if value is not None}


def _shelved(run: Run, rule: AlarmRule, move: Transition, ended_ns: int | None, commands: Commands) -> str:
    """What is wrong with a shelf: nobody asked for it, it has no owner or no expiry, or outlasts it."""
    names = (f"alarm/{rule.name}/shelve", "")
    given = sorted(
        (entry for name in names for entry in commands.get((rule.device, name), ())),
        key=lambda entry: entry[0],
    )
    before = [entry for ns, entry in given if ns <= move.received_ns]
    if not before:
        return "and nobody had asked for it"
    entry = before[-1]
    if not isinstance(entry, dict) or not entry.get("operator"):
        return "without an owner"
    until_ms = entry.get("until_ms")
    if not isinstance(until_ms, int) or until_ms * MS <= move.ns:
        return "without an expiry"
    until_ns = _until_ns(given, move.received_ns, until_ms * MS)
    if ended_ns is None:  # it may have ended, and there was no time left to tell
        outlasts = int(run.deadlines_ns(np.array([until_ns]))[0]) < run.end_ns
    else:
        outlasts = until_ns + int(EXPIRY_S * S) < ended_ns
    return f"until after its expiry at {until_ns // MS} ms" if outlasts else ""


def _until_ns(given: list[tuple[int, Any]], since_ns: int, until_ns: int) -> int:
    """When a shelf must end: later commands may have moved its end, while it had not come."""
    for ns, entry in given:
        later_ms = entry.get("until_ms") if isinstance(entry, dict) else None
        if since_ns < ns <= until_ns and isinstance(later_ms, int):
            until_ns = max(later_ms * MS, ns)
    return until_ns


def _commands(run: Run) -> Commands:
    """What devices of this edge node were commanded: by DCMD, as the broker has it, or as the bridge published it."""
    topics = [(rule.device, f"alarm/{rule.name}/shelve") for rule in run.operations.alarms]
    found: Commands = {
        topic: [(row.ts_ms * MS, _parsed(row.value)) for row in rows if row.value is not None]
        for topic, rows in rows_of(run, topics).items()
    }
    if run.wire is None:
        return found
    group, _, node = run.site.edge.partition("/")
    prefix = f"spBv1.0/{group}/DCMD/{node}/"
    for message in run.wire.messages():
        if not isinstance(message, WireMessage) or not message.topic.startswith(prefix):
            continue
        try:
            metrics = decode(message.payload).metrics
        except Malformed:
            continue
        for metric in metrics:
            entry = (message.ns, _parsed(metric.value))
            found.setdefault((message.topic.removeprefix(prefix), metric.name or ""), []).append(entry)
    return found


def _parsed(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return None
