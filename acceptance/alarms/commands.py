"""What people commanded an alarm to do, and what the bridge says that it was commanded.

A command is a DCMD on `alarm/<name>/<verb>`, which the broker recorded, or comes over the bridge's own HTTP, which
nobody records. What was obeyed is published as a sample of the same metric: that is the record of who has done it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, NamedTuple

import msgspec

from shakedown.acceptance.derived_rows import rows_of
from shakedown.acceptance.operations_site import AlarmRule
from shakedown.acceptance.run import Run
from shakedown.acceptance.spans import MS, Span, holding
from shakedown.acceptance.sparkplug import Malformed, decode

VERBS = ("ack", "reset", "confirm", "shelve", "remove")
LONGEST_S = {"shelve": 12 * 3600, "remove": 30 * 24 * 3600}
"""How long an alarm may be hidden by a command (docs/alarms.md)."""


class Command(NamedTuple):
    """One command: when it was sent, or obeyed, and its text: who, or a JSON object that says who."""

    ns: int
    verb: str
    text: str

    @property
    def operator(self) -> str:
        """Who commands; empty where nobody is named."""
        if self.verb not in LONGEST_S:
            return self.text
        return str(self.content.get("operator") or "")

    @property
    def content(self) -> dict[str, Any]:
        """The JSON object of a command that hides; empty if it is none."""
        try:
            found = json.loads(self.text)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def until_ns(self) -> int:
        """Until when it hides; 0 ends that."""
        until_ms = self.content.get("until_ms")
        return until_ms * MS if type(until_ms) is int else 0


@dataclass
class Commands:
    """The commands to one alarm, each list in order of time."""

    sent: list[Command] = field(default_factory=list)
    obeyed: list[Command] = field(default_factory=list)

    def times(self, verb: str) -> list[int]:
        """When commands of a kind were obeyed."""
        return [command.ns for command in self.obeyed if command.verb == verb]

    def hidden(self, verb: str) -> list[Span]:
        """Where the alarm is hidden by commands of a kind: each until it ends, or a later one says otherwise."""
        given = [command for command in self.obeyed if command.verb == verb]
        edges = []
        for command, later in zip_longest(given, given[1:]):
            edges.append((command.ns, command.until_ns > command.ns))
            if command.until_ns > command.ns and (later is None or command.until_ns < later.ns):
                edges.append((command.until_ns, False))
        return holding(edges)


def commands(run: Run, rules: Iterable[AlarmRule]) -> dict[str, Commands]:
    """What was commanded and obeyed, by the alarm's name."""
    found = {rule.name: Commands() for rule in rules}
    topics = {
        (rule.device, f"alarm/{rule.name}/{verb}"): (rule.name, verb) for rule in rules for verb in VERBS
    }
    for topic, rows in rows_of(run, topics).items():
        name, verb = topics[topic]
        texts = {(row.ts_ms, row.value) for row in rows if isinstance(row.value, str)}
        found[name].obeyed += [Command(ts_ms * MS, verb, str(text)) for ts_ms, text in texts]
    for ns, device, metric, text in _sent(run):
        if (device, metric) in topics:
            name, verb = topics[device, metric]
            found[name].sent.append(Command(ns, verb, text))
    for each in found.values():
        each.sent.sort()
        each.obeyed.sort()
    return found


def _sent(run: Run) -> Iterable[tuple[int, str, str, str]]:
    """(ns, device, metric, text) of each DCMD to the run's edge node; lines that hold none are not even read."""
    if run.wire is None or not run.wire.path.is_file():
        return
    group, _, node = run.site.edge.partition("/")
    prefix = f"spBv1.0/{group}/DCMD/{node}/"
    with run.wire.path.open("rb") as lines:
        for line in lines:
            if b"/DCMD/" not in line:
                continue
            try:
                record = msgspec.json.decode(line)
                topic, payload = (record[3], record[4]) if record[0] == "A" else (record[2], record[3])
                metrics = decode(base64.b64decode(payload)).metrics if topic.startswith(prefix) else ()
            except (
                Malformed,
                ValueError,
                TypeError,
                IndexError,
                KeyError,
                AttributeError,
                msgspec.DecodeError,
            ):
                continue  # what is wrong with the log, or on the wire, is said by who judges that
            for metric in metrics:
                if isinstance(metric.value, str) and metric.name:
                    yield int(record[1]), topic.removeprefix(prefix), metric.name, metric.value
