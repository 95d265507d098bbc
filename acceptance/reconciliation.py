"""Whatever two parts of the lab count is compared, both ways: what does not agree is the lab's own fault.

Who counts what, and where it stands, is a table in docs/criteria.md.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from shakedown.acceptance.attribution import DeafTimes
from shakedown.acceptance.files import LogFile, Problem
from shakedown.acceptance.readers import WireLog
from shakedown.acceptance.run import Run
from shakedown.acceptance.session import EDGE_KINDS, Message, Replay
from shakedown.acceptance.spans import S
from shakedown.acceptance.sparkplug import Value

Ints = NDArray[np.int64]
HELD_UP_S = 6.0  # a host may hold a message back this long: it waits 5 s for one that is missing before it
# What passes so shortly before or after a subscriber is away may be in neither log or in both
MARGIN_NS = 2 * S
NOT_KEPT = frozenset({"bdSeq", "Node Control/Rebirth"})  # what a host does not write down of a birth
REMEDY = "a defect of the lab, and no word about the bridge: report it with the run folder"


class Passed:
    """Every sample that passed at the broker, each as one number, to be held against what the host has written down.

    `see` is shown the messages of the run in order. What a reader may take otherwise than the host (a payload that is
    malformed, a metric that no birth names, a message of somebody else) makes the comparison moot.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._deaf = DeafTimes(run)
        self.is_whole = True
        self.ids, self.ns = array("q"), array("q")
        self.in_reach = array("b")

    def see(self, message: Message) -> None:
        """Keep the samples of a message of this edge node."""
        if message.edge != self._run.site.edge or message.kind not in EDGE_KINDS:
            return
        if message.error or message.unknown or (message.payload is None):
            self.is_whole = False
            return
        before_end = message.ns < self._run.end_ns - MARGIN_NS
        reach = before_end and message.in_order and not self._deaf.at(message.ns)
        samples = message.samples
        self.ids.extend(
            [
                _identity(device, metric, ts_ms or 0, value, quality)
                for device, metric, ts_ms, value, quality, _ in samples
            ]
        )
        self.ns.extend([message.ns] * len(samples))
        self.in_reach.extend([reach and sample.metric not in NOT_KEPT for sample in samples])

    def end(self, replay: Replay) -> None:
        """Nothing more follows."""
        self.is_whole &= not (replay.strangers or replay.malformed["values"])

    def is_deaf(self, from_ns: int, until_ns: int) -> bool:
        """Whether the host was out of reach at any of these times."""
        return any(self._deaf.at(ns) for ns in range(from_ns, until_ns + 1, S)) or self._deaf.at(until_ns)


def _identity(device: str, metric: str, ts_ms: int, value: Value, quality: int) -> int:
    """What tells a sample from all others, as one number; NaN is like NaN."""
    return hash((device, metric, ts_ms, value if value == value else "NaN", quality))


def reconcile(run: Run, passed: Passed | None = None) -> list[Problem]:
    """Every pair of counts that does not agree; `passed` is what was seen on the wire, read here if nobody has."""
    problems = [*_ledger(run), *_values(run), *_server(run), *_totals(run), *_orders(run), *_choked(run)]
    if run.wire is not None and run.wire.is_broker and (run.folder / "observer.jsonl").is_file():
        problems += _broker(run, run.wire)
    if run.wire is not None and run.bridge.promises.protocol == "sparkplug":
        problems += _host(run, passed if passed is not None else _read(run, run.wire))
    return problems


def _read(run: Run, wire: WireLog) -> Passed:
    passed, replay = Passed(run), Replay(log=wire)
    for message in replay:
        if isinstance(message, Message):
            passed.see(message)
    passed.end(replay)
    return passed


def _differs(part: str, counted: str, number: int, other: str, others: int, where: str) -> Problem:
    return Problem(f"{part} counts {number:,} {counted}, and {other} {others:,}", where, REMEDY)


def _ledger(run: Run) -> Iterator[Problem]:
    """The samples of each signal: the line wrote so many down, and each server that shows it has had so many."""
    offered, samples = run.server.get("offered"), len(run.ledger.values)
    if isinstance(offered, int) and offered < samples:
        text = f"the OPC UA server offered {offered} of the ledger's {samples} samples"
        yield Problem(text, "server.json, server.offered", REMEDY)
    held = run.counters.get("held")
    if not isinstance(held, dict):
        return
    signals = np.frombuffer(run.ledger.signal, dtype=np.int32)
    written = np.bincount(signals, minlength=len(run.ledger.signals)).tolist()
    by_node = {
        str(signal["node_id"]): count for signal, count in zip(run.ledger.signals, written, strict=True)
    }
    for server, nodes in held.items():
        wrong = [node for node, count in nodes.items() if by_node.get(node, 0) != count]
        for node in wrong[:1]:
            more = f" (and {len(wrong) - 1} nodes more)" if len(wrong) > 1 else ""
            yield _differs(
                f"the server {server}", f"values of {node}", nodes[node], "the ledger", by_node.get(node, 0),
                f"server.json, held, against ledger.jsonl{more}",
            )  # fmt: skip


def _values(run: Run) -> Iterator[Problem]:
    """The values of each signal: what a server remembers of it at the end are the ledger's last samples."""
    remembered, held = run.counters.get("remembered"), run.counters.get("held")
    if not isinstance(remembered, dict) or not isinstance(held, dict):
        return
    signals = np.frombuffer(run.ledger.signal, dtype=np.int32)
    order = np.argsort(signals, kind="stable")
    counts = np.bincount(signals, minlength=len(run.ledger.signals))
    ends = np.cumsum(counts).tolist()
    places = {str(signal["node_id"]): index for index, signal in enumerate(run.ledger.signals)}
    values, status = run.ledger.values, run.ledger.status
    for server, nodes in remembered.items():
        wrong = []
        for node, (length, checksum) in nodes.items():
            place = places.get(node)
            if place is not None and held.get(server, {}).get(node) == counts[place]:
                rows = order[ends[place] - length : ends[place]].tolist()
                if crc32(msgspec.json.encode([(values[row], status[row]) for row in rows])) != checksum:
                    wrong.append(node)
        if wrong:
            more = f" (and {len(wrong) - 1} nodes more)" if len(wrong) > 1 else ""
            text = f"the server {server} remembers other values of {wrong[0]} than the ledger has{more}"
            yield Problem(text, "server.json, remembered, against ledger.jsonl", REMEDY)


def _server(run: Run) -> Iterator[Problem]:
    """Each notification of the OPC UA servers went somewhere."""
    counts = run.server
    if not {"shown", "waiting"} <= counts.keys():
        return
    taken = counts["filtered"] + counts["unsampled"] + counts["queued"]
    if counts["shown"] + counts["repeated"] != taken:
        yield _differs(
            "the OPC UA server", "values that it put before its monitored items",
            counts["shown"] + counts["repeated"], "these took, filtered or passed over", taken, "server.json, server",
        )  # fmt: skip
    gone = counts["overflowed"] + counts["dropped"] + counts["sent"] + counts["waiting"]
    if counts["queued"] != gone:
        yield _differs(
            "the OPC UA server", "notifications queued", counts["queued"],
            "sent, dropped, overflowed or waiting are", gone, "server.json, server",
        )  # fmt: skip


def _totals(run: Run) -> Iterator[Problem]:
    """What happened on the line, what a log says at its end that it holds, and what it holds."""
    events = run.ledger.totals.get("events", run.ledger.events)
    happened = (run.counters.get("line") or {}).get("events", events)
    for part, count in {"the line": happened, "the ledger's last line": events}.items():
        if count != run.ledger.events:
            yield _differs(part, "events", count, "the ledger", run.ledger.events, "ledger.jsonl")
    samples = run.host.totals.get("samples")
    if samples is not None and samples != len(run.host.values):
        yield _differs(
            "the primary host", "samples kept", samples, "its log holds", len(run.host.values), "host.jsonl"
        )


def _orders(run: Run) -> Iterator[Problem]:
    """The work orders: the CMMS has made so many, its export lists so many, and people have worked on some."""
    made = (run.counters.get("cmms") or {}).get("work_orders")
    if made is not None and made != len(run.work_orders):
        yield _differs(
            "the CMMS",
            "work orders",
            made,
            "its export",
            len(run.work_orders),
            "server.json, cmms, against cmms.jsonl",
        )
    if run.operations.work_orders is not None:
        known = {order.id for order in run.work_orders}
        strange = sorted(run.people.repaired - known)
        if strange:
            yield Problem(
                f"people repaired for {len(run.people.repaired)} work orders, and the CMMS's export lacks"
                f" {len(strange)} of them, first {strange[0]}", "people.jsonl against cmms.jsonl", REMEDY,
            )  # fmt: skip


def _broker(run: Run, wire: WireLog) -> Iterator[Problem]:
    """The broker writes each message down that it accepts, the observer each that it is given."""
    accepted: Counter[int] = Counter()
    due: Counter[int] = Counter()
    seen: Counter[int] = Counter()
    retained: Counter[int] = Counter()
    away: list[int] = []  # alternately: it was back, it was gone
    for record in _records(run.folder / "observer.jsonl"):
        if record[0] == "M":
            message = hash((record[2], record[3]))
            seen[message] += 1
            retained[message] += record[5]  # may have passed long ago, before the broker forgot
        elif record[0] == "E" and (record[2] == "connected") == (len(away) % 2 == 0):
            away.append(record[1])
    for record in _records(wire.path):
        if record[0] == "A" and record[3].startswith("spBv1.0/"):
            message = hash((record[3], record[4]))
            accepted[message] += 1
            due[message] += record[1] < run.end_ns - MARGIN_NS and _was_there(away, record[1])
    where = "broker.jsonl against observer.jsonl"
    unaccepted = (seen - retained - accepted).total()
    if unaccepted:
        yield Problem(
            f"the broker wrote down {accepted.total():,} messages, and the observer {unaccepted:,} besides",
            where,
            REMEDY,
        )
    unseen = (due - seen).total()
    dropped = (run.counters.get("broker") or {}).get("dropped") or {}
    if unseen > sum(dropped.values()):
        yield Problem(
            f"the observer lacks {unseen:,} of {due.total():,} messages that the broker took while it listened",
            where, REMEDY,
        )  # fmt: skip


def _records(path: Path) -> Iterator[list[Any]]:
    """The records of a log; what is wrong with it is said by who reads it for the judge."""
    for record in LogFile(path).records():
        if isinstance(record, list) and len(record) >= 3:
            yield record


def _was_there(away: list[int], ns: int) -> bool:
    """Whether the observer was connected at `ns`, and some time before and after."""
    before, after = bisect_right(away, ns - MARGIN_NS), bisect_right(away, ns + MARGIN_NS)
    return before == after and before % 2 == 1


def _choked(run: Run) -> Iterator[Problem]:
    """A Mosquitto writes down for whom it drops messages: for no client of the lab, unless that was struck."""
    struck = [f for f in run.timeline if not f.is_phase and f.affects & {"broker", "host"}]
    dropped = (run.counters.get("broker") or {}).get("dropped_for") or []
    for second, client in dropped:
        is_excused = any(f.start_ns - S <= second * S <= f.end_ns + MARGIN_NS for f in struck)
        if client.startswith(("host-", "shakedown-")) and not is_excused:
            yield Problem(
                f"the broker dropped messages for {client}, which could not take them in as fast as they came",
                "mosquitto.log",
                "a load that the lab cannot carry on this machine, and no word about the bridge: give it a smaller one",
            )
            return


def _host(run: Run, passed: Passed) -> Iterator[Problem]:
    """The host writes each new sample down that passed at the broker, once, and when it passed."""
    if not passed.is_whole or run.wire is None:
        return
    rows, received_ns = _rows(run)
    order = np.argsort(rows, kind="stable")
    rows, received_ns = rows[order], received_ns[order]
    order = np.argsort(np.frombuffer(passed.ids, np.int64), kind="stable")  # they are in order of time
    ids, ns = np.frombuffer(passed.ids, np.int64)[order], np.frombuffer(passed.ns, np.int64)[order]
    first = np.searchsorted(ids, rows, "left")
    passes = np.searchsorted(ids, rows, "right") - first
    nth = np.arange(len(rows)) - np.searchsorted(rows, rows, "left")  # of its kind
    heard = ids[np.frombuffer(passed.in_reach, np.int8)[order] == 1]
    place = np.minimum(np.searchsorted(rows, heard), max(len(rows) - 1, 0))
    found = {
        "never passed": int(np.count_nonzero(passes == 0)),
        "passed less often": int(np.count_nonzero((passes > 0) & (nth >= passes))),
        f"passed at another time, more than {HELD_UP_S:g} s away": _apart(
            passed, received_ns, ns, first, passes
        ),
        "are not there, although it listened": int(np.count_nonzero(rows[place] != heard))
        if len(rows)
        else len(heard),
    }
    for what, count in found.items():
        if count and (run.wire.is_broker or "another time" in what):  # an observer may have been away
            text = f"the primary host wrote down {len(rows):,} samples of {run.site.edge}, the broker passed"
            text += f" {len(ids):,}, and {count:,} {what}"
            yield Problem(text, f"host.jsonl against {run.wire.path.name}", REMEDY)


def _apart(passed: Passed, received_ns: Ints, ns: Ints, first: Ints, passes: Ints) -> int:
    """How many rows were received when no equal sample passed, those held up by the lab's faults left out."""
    near = passes == 0
    for nth in range(int(passes.max(initial=0))):
        open_ = np.flatnonzero(~near & (passes > nth))
        wait_ns = received_ns[open_] - ns[first[open_] + nth]
        near[open_] = (wait_ns > -MARGIN_NS) & (wait_ns <= int(HELD_UP_S * S))
    late = received_ns[~near].tolist()
    return sum(not passed.is_deaf(ns - int(2 * HELD_UP_S * S), ns) for ns in late)


def _rows(run: Run) -> tuple[Ints, Ints]:
    """The host's rows of this edge node, each as one number, and when each was received."""
    host = run.host
    names = [(device, metric) if edge == run.site.edge else None for edge, device, metric in host.edges]
    found = [
        _identity(*name, ts_ms, value, quality)
        for key, ts_ms, value, quality in zip(host.key, host.ts_ms, host.values, host.quality, strict=True)
        if (name := names[key]) is not None
    ]
    is_ours = np.array([name is not None for name in names], np.bool_)[np.frombuffer(host.key, np.int32)]
    return np.array(found, np.int64), np.frombuffer(host.received_ns, np.int64)[is_ours]
