"""The join of what was offered with what the enterprise has, sample by sample: the ground of every criterion.

A sample is the same on both sides when device, metric, source timestamp (ms), value and quality agree; of several
equal ones the k-th received is the k-th offered. A value repeated in a birth is never a duplicate.

Of a bridge that promises identity by values alone, a sample is known by a value that no other of its signal has, and
its rows take the source's time. A topic in which values do not identify is left out, and named in `unidentified`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shakedown.acceptance.mistakes import why_unexpected, why_wrong
from shakedown.acceptance.run import Run
from shakedown.acceptance.session import device_deaths
from shakedown.acceptance.site import BAD_NO_COMMUNICATION, Topic
from shakedown.acceptance.spans import MS
from shakedown.acceptance.sparkplug import GOOD, Value
from shakedown.acceptance.withdrawals import GAPS, Claims, Gaps

NEVER = np.iinfo(np.int64).max
EXAMPLES_MAX = 10
EARLY_NS = 10 * MS  # a row this long before its sample was not read, but guessed
DERIVED = ("alarm/", "work_order/")
"""Beginnings of the names of metrics that a bridge derives itself (docs/operations.md)."""

DEATH_WAIT_NS = 60_000 * MS  # a DDEATH may follow so long after what it stands for
Ints = NDArray[np.int64]
Marks = NDArray[np.bool_]


def _no_times() -> Ints:
    return np.zeros(0, np.int64)


def _no_marks() -> Marks:
    return np.zeros(0, np.bool_)


@dataclass
class TopicJoin:
    """One topic: offered samples in source order, what became of each, and the rows that arrived."""

    topic: Topic
    ns: Ints
    ts_ms: Ints
    values: list[Value]
    quality: Ints
    doubted: Marks  # the source itself did not call it Good
    unreachable: Marks  # ... but BadNoCommunication
    coalescable: Marks  # the contract lets the source or the bridge leave this one out
    received_ns: Ints  # first arrival, NEVER if none
    row: list[int]  # of the host's, the one that arrived first; -1 if none
    strays: list[tuple[int, str]] = field(default_factory=list)  # rows that brought no sample: when, what
    identified: bool = True  # what tells one sample from another is there
    first_birth_ns: int | None = None
    live_ns: Ints = field(default_factory=_no_times)  # arrivals that may advance freshness
    live_ts_ms: Ints = field(default_factory=_no_times)
    live_good: Marks = field(default_factory=_no_marks)
    withdrawn_ts_ms: list[int] = field(default_factory=list)  # called not Good by the bridge, with a cause
    eligible: Marks = field(default_factory=_no_marks)
    lost: Marks = field(default_factory=_no_marks)  # eligible, never arrived
    late: Marks = field(default_factory=_no_marks)  # eligible, after its deadline
    pending: Marks = field(default_factory=_no_marks)  # eligible, not arrived, and it still had time

    def take(self, arrived: list[int], live: list[tuple[int, int, bool]]) -> None:
        """What became of the samples, and the rows that may advance freshness: (received ns, source ms, is Good)."""
        self.received_ns = np.array(arrived, dtype=np.int64)
        self.live_ns = np.array([entry[0] for entry in live], dtype=np.int64)
        self.live_ts_ms = np.array([entry[1] for entry in live], dtype=np.int64)
        self.live_good = np.array([entry[2] for entry in live], dtype=np.bool_)


class Example(msgspec.Struct, kw_only=True, frozen=True):
    """One row that is wrong: what came when, what should have, and what mistake it looks like."""

    topic: str
    ts_ms: int
    value: Any = None
    expected: Any = None
    quality: int = GOOD
    expected_quality: int = GOOD
    received_ns: int | None = None
    looks_like: str = ""


@dataclass
class Joined:
    """All topics, and every row that has no business at the enterprise, counted by kind with its first examples."""

    topics: list[TopicJoin] = field(default_factory=list)
    breaches: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Example]] = field(default_factory=dict)
    undeclared: Counter[str] = field(default_factory=Counter)  # metrics that site.yaml does not name
    rows: int = 0  # of the topics that are judged
    withdrawn: int = 0
    earlier: int = 0  # births of what the source had before the ledger began
    declared_lost: int = 0
    declared: int = 0  # gaps too
    gaps: Gaps = field(default_factory=Gaps)
    unidentified: list[str] = field(default_factory=list)

    def count(self, mark: str) -> int:
        """How many samples carry `mark` ("eligible", "lost", "late" or "pending")."""
        return sum(int(np.count_nonzero(getattr(part, mark))) for part in self.topics)

    def breach(self, kind: str, topic: Topic, **facts: Any) -> None:
        """Count one row that is wrong, and keep it if it is among the first of its kind."""
        self.breaches[kind] += 1
        kept = self.examples.setdefault(kind, [])
        if len(kept) < EXAMPLES_MAX:
            kept.append(Example(topic=topic.name, **facts))


def join(run: Run) -> Joined:
    """Join ledger and host log of `run`, topic by topic."""
    joined = Joined()
    rows_of = _rows_by_topic(run, joined)
    samples_of = _samples_by_signal(run)
    for topic in run.topics:
        joined.topics.append(_offered(run, topic, samples_of.get(topic.signal, np.zeros(0, np.int64))))
    siblings: dict[str, list[TopicJoin]] = {}
    for part in joined.topics:
        siblings.setdefault(part.topic.device, []).append(part)
    for part in joined.topics:
        rows = rows_of.get((part.topic.device, part.topic.metric), np.zeros(0, np.int64))
        joined.rows += len(rows)
        if run.bridge.promises.identity == "values":
            _match_values(run, joined, part, rows)
        elif len(rows):
            _match(run, joined, part, rows, siblings[part.topic.device])
    _excuse_the_dead(run, joined)
    _judge_window(run, joined, siblings)
    return joined


def _rows_by_topic(run: Run, joined: Joined) -> dict[tuple[str, str], Ints]:
    """Indices of the host's rows of each topic of this edge node, in order of arrival."""
    known = {(topic.device, topic.metric) for topic in run.topics}
    keys = np.frombuffer(run.host.key, dtype=np.int32)
    order = np.argsort(keys, kind="stable")
    bounds = np.searchsorted(keys[order], np.arange(len(run.host.edges) + 1))
    found: dict[tuple[str, str], Ints] = {}
    for key, (edge, device, metric) in enumerate(run.host.edges):
        rows = order[bounds[key] : bounds[key + 1]]
        if edge in run.neighbours:
            continue  # another bridge of the same lab, judged by itself
        if edge != run.site.edge:
            joined.undeclared[f"{edge}/{device}/{metric}"] += len(rows)
        elif (device, metric) in known:
            found[device, metric] = rows
        elif metric.startswith(DERIVED) and (run.operations.alarms or run.operations.work_orders):
            continue  # the bridge's own word, for the criteria of the shift
        elif device:
            joined.undeclared[f"{device}/{metric}"] += len(rows)
        elif metric.endswith(GAPS):
            counts = (run.host.values[row] for row in rows)
            most = max((count for count in counts if type(count) is int), default=0)
            joined.declared += most
            if metric.endswith("declared_lost"):
                joined.declared_lost = most
    joined.gaps = Gaps.of(run, joined.declared)
    return found


def _samples_by_signal(run: Run) -> dict[int, Ints]:
    signals = np.frombuffer(run.ledger.signal, dtype=np.int32)
    order = np.argsort(signals, kind="stable")
    bounds = np.searchsorted(signals[order], np.arange(len(run.ledger.signals) + 1))
    return {index: order[bounds[index] : bounds[index + 1]] for index in range(len(run.ledger.signals))}


def _offered(run: Run, topic: Topic, samples: Ints) -> TopicJoin:
    """What the enterprise must see of one signal, and which of it the contract lets fall."""
    ns = np.frombuffer(run.ledger.ns, dtype=np.int64)[samples]
    status = np.frombuffer(run.ledger.status, dtype=np.uint64)[samples]
    raw = run.ledger.values
    expected = [topic.expect(raw[i], code) for i, code in zip(samples.tolist(), status.tolist(), strict=True)]
    values = [value for value, _ in expected]
    quality = np.array([quality for _, quality in expected], dtype=np.int64)
    coalescable = np.zeros(len(ns), np.bool_)
    if len(ns):
        # Faster than the sampling interval: the source itself may report only the last of them.
        coalescable[:-1] = np.diff(ns) < topic.sampling_interval_ms * MS
        # Equal after mapping (two vendor states, one canonical): report by exception need not repeat it.
        coalescable[1:] |= np.array([before == now for before, now in pairwise(expected)], dtype=bool)
    never = np.full(len(ns), NEVER, np.int64)
    doubted = status >> np.uint64(30) != 0
    gone = (status & np.uint64(0xFFFF0000)) == BAD_NO_COMMUNICATION
    return TopicJoin(topic, ns, ns // MS, values, quality, doubted, gone, coalescable, never, [-1] * len(ns))


def _match(run: Run, joined: Joined, part: TopicJoin, rows: Ints, siblings: list[TopicJoin]) -> None:
    """Give each row of one topic its sample, or its breach."""
    host, topic = run.host, part.topic
    at: dict[int, list[int]] = {}
    for index, ts_ms in enumerate(part.ts_ms.tolist()):
        at.setdefault(ts_ms, []).append(index)
    joined.breaches["out_of_order"] += _out_of_order(run, rows)
    first_ts_ms = int(part.ts_ms[0]) if len(part.ts_ms) else NEVER
    arrived, offered_ns = part.received_ns.tolist(), part.ns.tolist()
    by_data = bytearray(len(arrived))  # 1: a data message has brought it
    live: list[tuple[int, int, bool]] = []
    before: tuple[int, Value] | None = None  # what is shown of the time before the ledger began
    claims: list[int] = []
    is_json = run.bridge.promises.protocol == "json"
    values, quality = part.values, part.quality.tolist()
    columns = (np.frombuffer(column, column.typecode)[rows].tolist() for column in host.columns)
    for row, ts_ms, seen_quality, received_ns, birth, is_live in zip(rows.tolist(), *columns, strict=True):
        value = host.values[row]
        if birth and part.first_birth_ns is None:
            part.first_birth_ns = received_ns
        candidates = at.get(ts_ms, ())
        equal = [i for i in candidates if topic.answers(values[i], quality[i], value, seen_quality)]
        if equal:
            index = equal[0] if len(equal) == 1 else _first_open(equal, arrived, by_data)
            if received_ns + EARLY_NS < offered_ns[index]:
                _early(joined, part, index, value, received_ns)
            if arrived[index] == NEVER:
                arrived[index], part.row[index] = received_ns, row
            elif not birth and by_data[index]:
                part.strays.append((row, "duplicated"))
                joined.breach("duplicated", topic, ts_ms=ts_ms, value=value, received_ns=received_ns)
            if not birth:
                by_data[index] = 1
            if is_live:  # null is as good an answer to what cannot be carried as there is
                live.append((received_ns, ts_ms, GOOD in (seen_quality, quality[index])))
        elif seen_quality != GOOD:
            claims.append(row)
            if is_live:
                live.append((received_ns, ts_ms, False))
        elif candidates:
            part.strays.append((row, "wrong" if quality[candidates[0]] == GOOD else "wrong_quality"))
            _wrong(joined, part, candidates[0], value, ts_ms, siblings)
        elif (birth or is_json) and ts_ms < first_ts_ms and before in (None, (ts_ms, value)):
            before = (ts_ms, value)  # one value, for the source had one when the ledger began
            joined.earlier += 1
        else:
            part.strays.append((row, "unexpected"))
            why = why_unexpected((topic, part.ts_ms, values), value, ts_ms, received_ns // MS)
            facts = {"ts_ms": ts_ms, "value": value, "received_ns": received_ns}
            joined.breach("unexpected", topic, looks_like=why, **facts)
    part.take(arrived, live)
    _hold_claims(run, joined, part, claims)


def _hold_claims(run: Run, joined: Joined, part: TopicJoin, rows: list[int]) -> None:
    """Rows that are not Good and answer no sample: each needs a cause, or it was invented."""
    if not rows:
        return
    host, by_values = run.host, run.bridge.promises.identity == "values"
    claims = Claims.of(
        run, part.ns, part.doubted | bool(part.topic.refused_type), part.received_ns, joined.gaps, NEVER
    )
    for row in rows:
        value, received_ms = host.values[row], host.received_ns[row] // MS
        ts_ms = received_ms if by_values else host.ts_ms[row]
        if claims.has_cause(ts_ms, received_ms, value, host.quality[row], birth=bool(host.birth[row])):
            joined.withdrawn += 1
            part.strays.append((row, "withdrawn"))
            part.withdrawn_ts_ms.append(host.ts_ms[row])
            continue
        part.strays.append((row, "invented"))
        facts = {"ts_ms": host.ts_ms[row], "value": value, "quality": host.quality[row]}
        joined.breach("invented", part.topic, received_ns=host.received_ns[row], **facts)


def _out_of_order(run: Run, rows: Ints) -> int:
    """Rows of data that came live after a newer one of their topic."""
    host = run.host
    live = np.frombuffer(host.live, np.int8)[rows] & ~np.frombuffer(host.birth, np.int8)[rows]
    ts_ms = np.frombuffer(host.ts_ms, np.int64)[rows[live == 1]]
    return int(np.count_nonzero(ts_ms[1:] < np.maximum.accumulate(ts_ms)[:-1])) if len(ts_ms) else 0


def _match_values(run: Run, joined: Joined, part: TopicJoin, rows: Ints) -> None:
    """Give each row of one topic the sample of its value, or its breach: order is one too, for no timestamp tells it.

    A value below all that were offered is one of before the ledger began, and no breach, in a birth or until one that
    was offered has arrived. A sample without a value (a source that was lost) is told by nothing: it need not arrive.
    """
    numbers = [_number(value) for value in part.values]
    nothing = np.isnan(np.array(numbers, np.float64))
    part.coalescable |= nothing
    order = sorted(np.flatnonzero(~nothing).tolist(), key=numbers.__getitem__)
    ascending = [numbers[index] for index in order]
    is_named = bool(order) or not numbers
    if not is_named or any(before == now for before, now in pairwise(ascending)):
        part.identified = False
        joined.unidentified.append(part.topic.name)
        return
    host, quality, at = run.host, part.quality.tolist(), dict(zip(ascending, order, strict=True))
    arrived, by_data = part.received_ns.tolist(), bytearray(len(numbers))
    live: list[tuple[int, int, bool]] = []
    claims: list[int] = []
    newest = -1
    for row in rows.tolist():
        value, received_ns, birth = host.values[row], host.received_ns[row], host.birth[row]
        if birth and part.first_birth_ns is None:
            part.first_birth_ns = received_ns
        number = _number(value)
        place = bisect_left(ascending, number)
        near = [at[number]] if number in at else order[max(0, place - 1) : place + 1]
        same = (i for i in near if part.topic.same(part.values[i], value, quality[i]))
        index = next(same, None)
        if index is None:
            if host.quality[row] != GOOD:
                claims.append(row)
            elif value is None and nothing.any():
                continue
            elif place or (newest >= 0 and not birth):
                part.strays.append((row, "unexpected"))
                ts_ms = host.ts_ms[row]
                joined.breach("unexpected", part.topic, ts_ms=ts_ms, value=value, received_ns=received_ns)
            continue
        if received_ns + EARLY_NS < part.ns[index]:
            _early(joined, part, index, value, received_ns)
        if quality[index] != GOOD and host.quality[row] == GOOD:
            part.strays.append((row, "wrong_quality"))
            _wrong(joined, part, index, value, int(part.ts_ms[index]), [])
        if not birth:
            facts = {"ts_ms": int(part.ts_ms[index]), "value": value, "received_ns": received_ns}
            if by_data[index]:
                part.strays.append((row, "duplicated"))
                joined.breach("duplicated", part.topic, **facts)
            elif index < newest:
                joined.breach("out_of_order", part.topic, **facts)
            by_data[index], newest = 1, max(newest, index)
        if arrived[index] == NEVER:
            arrived[index], part.row[index] = received_ns, row
        if host.live[row]:
            live.append((received_ns, int(part.ts_ms[index]), host.quality[row] == GOOD))
    part.take(arrived, live)
    _hold_claims(run, joined, part, claims)


def _early(joined: Joined, part: TopicJoin, index: int, value: Value, received_ns: int) -> None:
    """A row before its sample was there is no reading of it, however right."""
    joined.breach("early", part.topic, ts_ms=int(part.ts_ms[index]), value=value, received_ns=received_ns)


def _number(value: Value) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan


def _first_open(equal: list[int], arrived: list[int], by_data: bytearray) -> int:
    """Of equal samples, the first that nothing has brought yet, else that no data message has; else the last."""
    free = (i for i in equal if not by_data[i])
    return next((i for i in equal if arrived[i] == NEVER), next(free, equal[-1]))


def _wrong(
    joined: Joined, part: TopicJoin, index: int, value: Value, ts_ms: int, siblings: list[TopicJoin]
) -> None:
    """A row at a timestamp that the ledger knows, with a value or a quality that it does not."""
    expected, quality = part.values[index], int(part.quality[index])
    if quality != GOOD:
        joined.breach("wrong_quality", part.topic, ts_ms=ts_ms, value=value, expected_quality=quality)
        return
    why = ""
    if joined.breaches["wrong"] < EXAMPLES_MAX:  # the search for a reason is for those that are shown
        others = ((other.topic, other.ts_ms, other.values) for other in siblings if other is not part)
        why = why_wrong(expected, value, ts_ms, others)
    joined.breach("wrong", part.topic, ts_ms=ts_ms, value=value, expected=expected, looks_like=why)


def _excuse_the_dead(run: Run, joined: Joined) -> None:
    """BadNoCommunication that did not come: the bridge says so for the whole device with a DDEATH, or must send it."""
    dead: dict[str, list[tuple[int, int]]] | None = None
    for part in joined.topics:
        missing = part.unreachable & (part.received_ns == NEVER)
        if not missing.any():
            continue
        if run.bridge.promises.protocol == "json" or run.wire is None:
            part.coalescable |= missing
            continue
        dead = device_deaths(run.wire, run.site.edge, run.end_ns) if dead is None else dead
        for from_ns, to_ns in dead.get(part.topic.device, ()):
            part.coalescable |= missing & (part.ns >= from_ns - DEATH_WAIT_NS) & (part.ns < to_ns)


def _judge_window(run: Run, joined: Joined, siblings: dict[str, list[TopicJoin]]) -> None:
    """Mark the samples that this run is judged by."""
    for parts in siblings.values():
        births = [part.first_birth_ns for part in parts if part.first_birth_ns is not None]
        start_ns = run.window_start_ns(min(births, default=None))
        for part in parts:
            inside = (part.ns >= start_ns) & (part.ns < run.window_end_ns)
            missing = part.received_ns == NEVER
            deadline_ns = run.deadlines_ns(part.ns)
            part.eligible = inside & ~(part.coalescable & missing) & part.identified
            had_time = (deadline_ns > run.end_ns) & (not part.topic.refused_type)  # it came, as null
            part.pending = part.eligible & missing & had_time
            part.lost = part.eligible & missing & ~part.pending
            part.late = part.eligible & ~missing & (part.received_ns > deadline_ns)
