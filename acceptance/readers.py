"""Readers of the logs of a run: each turns one file into plain columns, and tells what is wrong with it."""

from __future__ import annotations

import binascii
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from shakedown.acceptance.files import RERUN, LogFile, Problem
from shakedown.acceptance.physical import Physical
from shakedown.acceptance.sparkplug import Value


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


def read_ledger(path: Path, problems: list[Problem]) -> Ledger | None:
    """The samples of `ledger.jsonl`; None, with problems told, without a usable header."""
    log = LogFile(path)
    records = log.records()
    ledger = _ledger_of(next(records, None))
    if ledger is None:
        what = "ledger.jsonl is missing, or begins with no header of format 1"
        problems.append(Problem(what, "ledger.jsonl, line 1", RERUN))
        return None
    signals = len(ledger.signals)
    physical = ledger.physical
    ns, signal, status, values = ledger.ns, ledger.signal, ledger.status, ledger.values
    for record in records:
        try:
            if record[0] == "S":
                _, at_ns, index, value, code = record
                if not 0 <= index < signals:
                    raise ValueError("signal index")
                ns.append(at_ns)
                signal.append(index)
                status.append(code)
                values.append(value)
            elif record[0] == "P":
                ledger.events += 1
                physical.add(record)
            elif record[0] != "N":
                raise ValueError("kind")
        except (ValueError, TypeError, KeyError, IndexError, OverflowError):
            log.malformed_record(record)
            _even(ns, signal, status, values)
    ledger.totals = log.totals
    ledger.end_ns = log.end_ns or (ns[-1] if ns else ledger.start_ns)
    if log.complete and log.totals.get("samples") != len(values):
        what = f"ledger.jsonl says {log.totals.get('samples')} samples and holds {len(values)}"
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


def _even(*columns: Any) -> None:
    """Cut columns back to the shortest: a record that failed half way leaves no trace."""
    length = min(map(len, columns))
    for column in columns:
        del column[length:]


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


EVENTS_MAX = 1_000_000


def read_host(path: Path, problems: list[Problem]) -> HostLog:
    """The samples and events of `host.jsonl` (empty, with problems told, when it cannot be read)."""
    log = LogFile(path, torn_before=("E", "started"))
    host = HostLog()
    keys: dict[tuple[str, str, str], int] = {}
    for record in log.records():
        try:
            if record[0] == "H":
                _, received_ns, edge, device, metric, ts_ms, value, quality, historical, origin = record
                topic = (edge, device, metric)
                key = keys.get(topic)
                if key is None:
                    key = keys[topic] = len(keys)
                    host.edges.append(topic)
                host.key.append(key)
                host.received_ns.append(received_ns)
                host.ts_ms.append(ts_ms)
                host.quality.append(quality)
                host.live.append(not historical)
                host.birth.append(origin == "birth")
                host.values.append(value)
            elif record[0] == "E" and len(host.events) < EVENTS_MAX:
                _, at_ns, kind, details = record
                host.events.append((int(at_ns), str(kind), dict(details)))
            else:
                raise ValueError("kind, or more events than EVENTS_MAX")
        except (ValueError, TypeError, KeyError, IndexError, OverflowError):
            log.malformed_record(record)
            _even(host.key, host.received_ns, host.ts_ms, host.quality, host.live, host.birth, host.values)
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
