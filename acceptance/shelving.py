"""Alarms that were hidden: by design only in the states that `site.yaml` names, by people only with owner and expiry.

Shelving is commanded with a DCMD on `alarm/<name>/shelve`, a JSON object with operator, until_ms and reason; that
command, as the broker recorded it, is the audit entry.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from shakedown.acceptance.annunciations import MS, Transition
from shakedown.acceptance.physical import S
from shakedown.acceptance.readers import WireMessage
from shakedown.acceptance.run import Run
from shakedown.acceptance.shift_site import AlarmRule
from shakedown.acceptance.sparkplug import Malformed, decode

EDGE_S = 10.0  # a state may have ended this long before the alarm heard of it, and its off-delay passed


@dataclass(frozen=True)
class Shelving:
    """One time that an alarm was hidden; `breach` says what was wrong with it, empty if nothing was."""

    alarm: str
    state: str
    ns: int
    breach: str

    def row(self) -> dict[str, Any]:
        """As the verdict lists it."""
        return {"alarm": self.alarm, "state": self.state, "ns": self.ns, "breach": self.breach}


def shelvings(run: Run, moves: dict[str, list[Transition]]) -> list[Shelving]:
    """Every transition to shelved or suppressed, held against its rule or its command; in order of time."""
    commands = (
        _commands(run) if any(move.state == "shelved" for list_ in moves.values() for move in list_) else {}
    )
    found = []
    for rule in run.shift.alarms:
        before = "normal"
        for move in moves[rule.name]:
            if move.state == "suppressed" and before != "suppressed":
                found.append(Shelving(rule.name, move.state, move.ns, _suppressed(run, rule, move)))
            elif move.state == "shelved" and before != "shelved":
                found.append(Shelving(rule.name, move.state, move.ns, _shelved(rule, move, commands)))
            before = move.state
    return sorted(found, key=lambda entry: (entry.ns, entry.alarm))


def _suppressed(run: Run, rule: AlarmRule, move: Transition) -> str:
    """What is wrong with a suppression: no state of its machine allows it at that time."""
    if not rule.suppress_in:
        return "without a rule that allows it"
    machine = str(run.ledger.signals[rule.topic.signal].get("machine"))
    state, changes = run.ledger.physical.states_of(machine)
    held = {state}
    for ns, to in changes:
        if ns > move.ns:
            break
        if ns < move.ns - int(EDGE_S * S):
            held.clear()
        held.add(to)
    if held & rule.suppress_in:
        return ""
    return f"while {machine} was in {', '.join(sorted(held))}, which is none of {', '.join(sorted(rule.suppress_in))}"


def _shelved(
    rule: AlarmRule, move: Transition, commands: dict[tuple[str, str], list[tuple[int, Any]]]
) -> str:
    given = [
        entry
        for name in (f"alarm/{rule.name}/shelve", "")
        for ns, entry in commands.get((rule.device, name), ())
        if ns <= move.received_ns
    ]
    if not given:
        return "and nobody had asked for it"
    entry = given[-1]
    if not isinstance(entry, dict) or not entry.get("operator"):
        return "without an owner"
    until_ms = entry.get("until_ms")
    if not isinstance(until_ms, int) or until_ms * MS <= move.ns:
        return "without an expiry"
    return ""


def _commands(run: Run) -> dict[tuple[str, str], list[tuple[int, Any]]]:
    """What devices of this edge node were commanded, as JSON, by (device, metric); "" where an alias names it."""
    found: dict[tuple[str, str], list[tuple[int, Any]]] = {}
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
