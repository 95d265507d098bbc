"""Readers of the logs of a run: each turns one file into plain columns, and tells what is wrong with it."""

from __future__ import annotations

import binascii
import itertools
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import not_
from pathlib import Path
from typing import Any, NamedTuple

from shakedown.acceptance.files import RERUN, LogFile, Problem
from shakedown.acceptance.physical import Physical
from shakedown.acceptance.sparkplug import Value

Column = tuple[Any, ...]
"""One field of many records."""

_MALFORMED = (ValueError, TypeError, KeyError, IndexError, OverflowError)


@dataclass
class Ledger:
    """What the source offered: parallel columns over the samples, in the order of the file."""

    signals: list[dict[str, Any]]
    start_ns: int
    end_ns: int = 0
    ns: array[int] = field(default_factory=lambda: array("q"))
    signal: array[int] = field(default_factory=lambda: array("i"))
    status: array[int] = field(default_factory=lambda: array("Q"))
    values: list[Value] = field(default_factory=list)
    header: dict[str, Any] = field(default_factory=dict)
    physical: Physical = field(default_factory=Physical)
    events: int = 0
    totals: dict[str, Any] = field(default_factory=dict)

    def take(self, _kinds: Column, ns: Column, indices: Column, values: Column, codes: Column) -> None:
        """Samples, as columns. Raises before it takes one of them, if any is of no known shape."""
        new = array("q", ns), array("i", indices), array("Q", codes)
        if not 0 <= min(new[1]) <= max(new[1]) < len(self.signals):
            raise ValueError("signal index")
        self.ns += new[0]
        self.signal += new[1]
        self.status += new[2]
        self.values += values

    def note(self, record: Any) -> None:
        """What is not a sample. Raises as `take` does."""
        if record[0] == "P":
            self.events += 1
            self.physical.add(record)
        elif record[0] != "N":
            raise ValueError("kind")


def read_ledger(path: Path, problems: list[Problem]) -> Ledger | None:
    """The samples of `ledger.jsonl`; None, with problems told, without a usable header."""
    log = LogFile(path)
    blocks = log.blocks()
    first = next(blocks, [None])
    ledger = _ledger_of(first[0])
    if ledger is None:
        what = "ledger.jsonl is missing, or begins with no header of format 1"
        problems.append(Problem(what, "ledger.jsonl, line 1", RERUN))
        return None
    for block in itertools.chain([first[1:]], blocks):
        _by_columns(log, block, "S", ledger.take, ledger.note)
    ledger.totals = log.totals
    ledger.end_ns = log.end_ns or (ledger.ns[-1] if ledger.ns else ledger.start_ns)
    if log.complete and log.totals.get("samples") != len(ledger.values):
        what = f"ledger.jsonl says {log.totals.get('samples')} samples and holds {len(ledger.values)}"
        problems.append(Problem(what, "ledger.jsonl, last line", RERUN))
    problems += log.problems
    return ledger


def _ledger_of(header: Any) -> Ledger | None:
    if not isinstance(header, dict) or header.get("kind") != "header" or header.get("format") != 1:
        return None
    signals, start_ns = header.get("signals"), header.get("start_ns")
    if not isinstance(signals, list) or type(start_ns) is not int:
        return None
    if not all(isinstance(signal, dict) and isinstance(signal.get("node_id"), str) for signal in signals):
        return None
    return Ledger(signals, start_ns, header=header)


def _by_columns(
    log: LogFile, block: list[Any], kind: str, take: Callable[..., None], note: Callable[[Any], None]
) -> None:
    """Give the records of `kind` in a block to `take`, as columns, and the others to `note`, one by one.

    Where anything in the block is of no known shape, each record goes by itself, and the malformed are reported.
    """
    try:
        samples = [record for record in block if record[0] == kind]
        if samples:
            take(*zip(*samples, strict=True))
        others = [record for record in block if record[0] != kind] if len(samples) < len(block) else []
    except _MALFORMED:
        if len(block) == 1:
            log.malformed_record(block[0])
            return
        for record in block:
            _by_columns(log, [record], kind, take, note)
        return
    for record in others:
        try:
            note(record)
        except _MALFORMED:
            log.malformed_record(record)


@dataclass
class HostLog:
    """What the enterprise has: parallel columns over the samples kept, and the host's own events."""

    edges: list[tuple[str, str, str]] = field(default_factory=list)  # (edge, device, metric) by `key`
    key: array[int] = field(default_factory=lambda: array("i"))
    received_ns: array[int] = field(default_factory=lambda: array("q"))
    ts_ms: array[int] = field(default_factory=lambda: array("q"))
    quality: array[int] = field(default_factory=lambda: array("i"))
    live: array[int] = field(default_factory=lambda: array("b"))  # 1: not historical
    birth: array[int] = field(default_factory=lambda: array("b"))  # 1: origin is a birth
    values: list[Value] = field(default_factory=list)
    events: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    end_ns: int = 0
    totals: dict[str, Any] = field(default_factory=dict)
    _keys: dict[tuple[str, str, str], int] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[array[int], ...]:
        """`ts_ms`, `quality`, `received_ns`, `birth` and `live`."""
        return self.ts_ms, self.quality, self.received_ns, self.birth, self.live

    def take(
        self, _kinds: Column, received_ns: Column, edges: Column, devices: Column, metrics: Column, ts_ms: Column,
        values: Column, quality: Column, historical: Column, origin: Column,
    ) -> None:  # fmt: skip
        """Samples, as columns. Raises before it takes one of them, if any is of no known shape."""
        new = array("q", received_ns), array("q", ts_ms), array("i", quality)
        topics = list(zip(edges, devices, metrics, strict=True))
        for topic in dict.fromkeys(topics):
            if topic not in self._keys:
                self._keys[topic] = len(self._keys)
                self.edges.append(topic)
        self.key.extend(map(self._keys.__getitem__, topics))
        self.received_ns += new[0]
        self.ts_ms += new[1]
        self.quality += new[2]
        self.live.extend(map(not_, historical))
        self.birth.extend([one == "birth" for one in origin])
        self.values += values

    def note(self, record: Any) -> None:
        """The host's own events. Raises as `take` does."""
        if record[0] != "E" or len(self.events) >= EVENTS_MAX:
            raise ValueError("kind, or more events than EVENTS_MAX")
        _, at_ns, kind, details = record
        self.events.append((int(at_ns), str(kind), dict(details)))


EVENTS_MAX = 1_000_000


def read_host(path: Path, problems: list[Problem]) -> HostLog:
    """The samples and events of `host.jsonl` (empty, with problems told, when it cannot be read)."""
    log = LogFile(path, torn_before=("E", "started"))
    host = HostLog()
    for block in log.blocks():
        _by_columns(log, block, "H", host.take, host.note)
    host.totals = log.totals
    host.end_ns = log.end_ns or (host.received_ns[-1] if host.received_ns else 0)
    problems += log.problems
    return host


class WireMessage(NamedTuple):
    """One message at the enterprise broker; `client_id` is None where a passive observer saw it."""

    ns: int
    client_id: str | None
    topic: str
    payload: bytes
    qos: int
    retain: bool


@dataclass
class WireLog:
    """`broker.jsonl` (acceptance, in order, wills included) or `observer.jsonl` (what a subscriber saw)."""

    path: Path
    problems: list[Problem] = field(default_factory=list)
    end_ns: int = 0

    @property
    def is_broker(self) -> bool:
        """Whether it is the broker's own count; an observer may have been away for a while."""
        return self.path.name == "broker.jsonl"

    def messages(self) -> Iterator[WireMessage | tuple[int, str]]:
        """Messages in order, and (ns, "connected" | "disconnected") of the observer. Problems are told once."""
        log = LogFile(self.path, torn_before=("E", "connected"))
        for record in log.records():
            try:
                kind = record[0]
                if kind == "A":
                    _, ns, client_id, topic, payload, qos, retain = record
                    yield WireMessage(
                        int(ns), client_id, str(topic), binascii.a2b_base64(payload), qos, bool(retain)
                    )
                elif kind == "M":
                    _, ns, topic, payload, qos, retain = record
                    yield WireMessage(
                        int(ns), None, str(topic), binascii.a2b_base64(payload), qos, bool(retain)
                    )
                elif kind == "E":
                    yield int(record[1]), str(record[2])
                elif kind != "R":  # somebody was refused
                    raise ValueError("kind")
            except (ValueError, TypeError, KeyError, IndexError):
                log.malformed_record(record)
        self.end_ns = log.end_ns
        self.problems = log.problems


@dataclass(frozen=True)
class TimelineEntry:
    """One fault that was done to the lab, or one phase of the run."""

    id: str
    kind: str
    target: str
    start_ns: int
    end_ns: int
    cut: bool
    affects: frozenset[str]
    verified: bool
    evidence: Any = None

    @property
    def is_phase(self) -> bool:
        return self.kind == "phase"


def read_timeline(path: Path, problems: list[Problem]) -> list[TimelineEntry]:
    """Faults and phases of `timeline.jsonl`, by start. It has no `Z` line: the manifest says whether a run is whole."""
    log = LogFile(path, has_end=False)
    faults = []
    for record in log.records():
        try:
            faults.append(
                TimelineEntry(
                    id=str(record["id"]),
                    kind=str(record["kind"]),
                    target=str(record.get("target", "")),
                    start_ns=int(record["start_ns"]),
                    end_ns=int(record["end_ns"]),
                    cut=bool(record.get("cut", False)),
                    affects=frozenset(record.get("affects", ())),
                    verified=record.get("verified", record["kind"] == "phase") is True,
                    evidence=record.get("evidence"),
                )
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            log.malformed_record(record)
    problems += log.problems
    for fault in faults:
        if not fault.verified:
            what = f"fault {fault.id!r} ({fault.kind} on {fault.target}) was not seen to take effect"
            remedy = (
                "the run shows nothing about this fault: repair the lab, or the scenario, and run it again"
            )
            problems.append(Problem(what, f"timeline.jsonl, id {fault.id}", remedy))
        if fault.end_ns < fault.start_ns:
            problems.append(Problem(f"fault {fault.id!r} ends before it starts", "timeline.jsonl", RERUN))
    return sorted(faults, key=lambda fault: (fault.start_ns, fault.end_ns, fault.id))
