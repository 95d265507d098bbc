"""What happened on the floor in a run of a shift: machines, faults, upsets and people, read once from the run's logs.

The ledger is read line by line, and of its lines only those of what physically happened are decoded; a line that is not
what it should be is for the judge to report, and left out here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from shakedown.acceptance.physical import canonical

PHYSICAL = b'["P"'
_ROW = msgspec.json.Decoder(tuple[str, int, str, str, dict[str, Any]])
_ACK = msgspec.json.Decoder(tuple[str, int, str, dict[str, Any]])


@dataclass(frozen=True)
class Span:
    """A stretch of time in seconds since the line began: a state, a shift, a break, a fault or an upset."""

    name: str
    begin_s: float
    end_s: float
    id: str = ""
    machine: str = ""
    critical: bool = False


@dataclass
class Floor:
    """Spans in order of their beginning; `states` by machine, in the order in which the machines began."""

    end_s: float
    states: dict[str, list[Span]] = field(default_factory=dict)
    shifts: list[Span] = field(default_factory=list)
    breaks: list[Span] = field(default_factory=list)
    faults: list[Span] = field(default_factory=list)
    upsets: list[Span] = field(default_factory=list)
    acks_s: list[float] = field(default_factory=list)
    orders_s: list[float] = field(default_factory=list)

    @property
    def machines(self) -> list[str]:
        """Every machine that was in a state, at fault or upset; "" is the line as a whole."""
        found = dict.fromkeys(self.states)
        found |= dict.fromkeys(span.machine for span in [*self.faults, *self.upsets])
        return list(found)


class _Order(msgspec.Struct):
    created_ms: int


def read_floor(folder: Path, start_ns: int, end_ns: int) -> Floor:
    """Read the ledger and what people and the CMMS wrote of the run in `folder`; a log that is absent is empty."""
    floor = Floor((end_ns - start_ns) / 1e9)
    open_spans: dict[tuple[str, str], Span] = {}
    changes: dict[str, list[tuple[float, str]]] = {}
    for _, ns, kind, machine, data in _rows(folder / "ledger.jsonl", PHYSICAL, _ROW):
        at_s = (ns - start_ns) / 1e9
        if kind == "state":
            found = changes.setdefault(machine, [])
            if not found:
                found.append((0.0, _state(data, "from")))
            found.append((at_s, _state(data, "to")))
        elif kind in ("shift", "break", "fault", "upset"):
            _take(floor, open_spans, kind, machine, at_s, data)
    for (kind, _), span in open_spans.items():
        _close(floor, kind, span, floor.end_s)
    for spans in (floor.shifts, floor.breaks, floor.faults, floor.upsets):
        spans.sort(key=lambda span: (span.begin_s, span.id))
    for machine, found in changes.items():
        ends = [at_s for at_s, _ in found[1:]] + [floor.end_s]
        floor.states[machine] = [
            Span(name, at_s, end_s) for (at_s, name), end_s in zip(found, ends, strict=True) if end_s > at_s
        ]
    floor.acks_s = [
        (ns - start_ns) / 1e9
        for _, ns, kind, _ in _rows(folder / "people.jsonl", b'["K"', _ACK)
        if kind == "ack"
    ]
    orders = _rows(folder / "cmms.jsonl", b"{", msgspec.json.Decoder(_Order))
    floor.orders_s = [(order.created_ms * 1_000_000 - start_ns) / 1e9 for order in orders]
    return floor


def _rows(path: Path, prefix: bytes, decoder: msgspec.json.Decoder[Any]) -> Iterator[Any]:
    """The lines of a log that begin with `prefix` and are what they should be."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.startswith(prefix):
                try:
                    yield decoder.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    continue


def _state(data: dict[str, Any], key: str) -> str:
    number, reason = data.get(key), data.get("reason", 0) if key == "to" else 0
    whole = isinstance(number, int) and isinstance(reason, int)
    return canonical(number, reason) if whole else "idle"  # type: ignore[arg-type]


def _take(
    floor: Floor,
    open_spans: dict[tuple[str, str], Span],
    kind: str,
    machine: str,
    at_s: float,
    data: dict[str, Any],
) -> None:
    """Begin or end a span; a fault lasts from its onset until it is repaired."""
    phase, name = data.get("phase"), str(data.get("id") or data.get("name") or kind)
    if phase in ("start", "onset"):
        words = str(data.get({"fault": "mode", "upset": "upset"}.get(kind, "name")) or kind)
        span = Span(words, at_s, at_s, name, machine, data.get("critical") is True)
        open_spans.setdefault((kind, name), span)
    elif phase in ("end", "repaired") and (kind, name) in open_spans:
        _close(floor, kind, open_spans.pop((kind, name)), at_s)


def _close(floor: Floor, kind: str, span: Span, end_s: float) -> None:
    spans = {"shift": floor.shifts, "break": floor.breaks, "fault": floor.faults, "upset": floor.upsets}[kind]
    spans.append(Span(span.name, span.begin_s, end_s, span.id, span.machine, span.critical))
