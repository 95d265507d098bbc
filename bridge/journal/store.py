"""The journal between two transactions: rows, cursors and entries in the file. One thread at a time may call it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from sqlite3 import Connection, DatabaseError
from typing import Any, NamedTuple

from shakedown.bridge.core import spans
from shakedown.bridge.core.model import Metric, Sample
from shakedown.bridge.core.spans import Rows, Span
from shakedown.bridge.journal import opening, packing, tables
from shakedown.bridge.journal.codec import Codec, Packed
from shakedown.bridge.journal.packing import Damaged
from shakedown.bridge.journal.reserve import Reserve
from shakedown.bridge.journal.tables import OWN, State, Target

DELETE_MAX = 64
"""Batches a transaction deletes beyond those it inserts: clearing a backlog never stalls an append."""

GONE_MAX = 256
"""Spans of dropped rows that may yet turn out to have arrived; beyond it the oldest is declared lost."""

POISONED_MAX = 64
"""Damaged batches that are kept for somebody to look at; beyond it the oldest is deleted."""

PAGE_B, FREE_PAGES_MIN = 4096, 4
"""On a full disk what fits into the unused pages of the file is written, as long as so many more are left."""

log = logging.getLogger("shakedown.bridge.journal")


class Work(NamedTuple):
    """What is to be done in a transaction."""

    run: Callable[[], Any]
    room_b: int = 0  # what needs so much new room has to wait on a full disk: a session goes on without it


class Loss(NamedTuple):
    """Rows that a target has not confirmed and that are not in the journal any more."""

    target: str
    first: int
    last: int
    from_ts_ms: int  # 0 for both where the batch is damaged
    to_ts_ms: int


class _Poisoned(Exception):
    def __init__(self, first: int, count: int, fault: Damaged) -> None:
        super().__init__(str(fault))
        self.first, self.count = first, count


class Store:
    """Everything that is durable; `durable` is what the last transaction left, `entries` what is stored beside it."""

    def __init__(self, connection: Connection, path: Path, rows_max: int) -> None:
        self.durable = State()
        self.entries: dict[str, bytes] = {}
        self.spare: dict[str, tuple[Span, ...]] = {}  # rows that a target would rather lose, best first
        self.reports = False  # whether somebody decides what of the rows dropped is declared, and when
        self.codec = Codec(path, rows_max)
        self._connection = connection
        self._path = path
        self._rows_max = rows_max
        self._state = State()  # the draft of the transaction that runs
        self._replaced: dict[str, bytes | None] = {}  # entries as they were before it
        self._budget = 0  # batches that it may still delete
        self._new_losses: list[Loss] = []  # its own
        self._losses: list[Loss] = []  # those of the transactions before
        self._reserve = Reserve(path)
        self._is_loaded = False
        self._freed = 0  # every batch wholly before this row was deleted
        self._is_settled = False  # whether batches beyond the lowest cursor may be free

    def load(self, targets: Sequence[str], metrics: Sequence[Metric]) -> None:
        """Read what is there, and begin what is new. Raises DatabaseError."""
        state = tables.read_state(self._connection)
        start = (state.held[0][0] if state.held else state.last_row + 1) - 1
        # One that is no longer configured keeps its bdSeq, and holds nothing back.
        state.targets = {name: state.targets[name] for name in targets if name in state.targets}
        self.durable = state
        self.commit([Work(lambda: self._begin({name: Target(start) for name in targets}, metrics))])
        self._is_loaded = True
        entries, is_whole = tables.readable(self._connection, "entry")
        self.entries = dict(entries)
        if not is_whole:
            log.error("journal %s: some entries are damaged: what they were for begins anew", self._path)

    def _begin(self, targets: dict[str, Target], metrics: Sequence[Metric]) -> None:
        self._state.targets = {name: self._state.targets.get(name, new) for name, new in targets.items()}
        self.codec.load(self._connection, metrics)

    def commit(self, works: Sequence[Work]) -> list[Any]:
        """Run works in one transaction and return what they return; raises DatabaseError, then none is done.

        On a full disk a JournalFull stands in the place of what needs new room, and the rest is done: the reserve
        is given up for it, and what needs room waits until it can be had again or the file has enough within it.
        """
        if not self._reserve.is_spent or self._has_room(sum(work.room_b for work in works)):
            try:
                return self.transact([work.run for work in works])
            except DatabaseError as error:
                if not opening.is_full(error):
                    raise
                self._reserve.spend()
                opening.roll_back(self._connection)
        rest = [work.run for work in works if not work.room_b]
        done = iter(self.transact(rest) if rest else [])
        return [opening.full(self._path) if work.room_b else next(done) for work in works]

    def _has_room(self, room_b: int) -> bool:
        if not room_b or self._reserve.regain():
            return True
        free = self._connection.execute("PRAGMA freelist_count").fetchone()[0]
        return room_b // PAGE_B + FREE_PAGES_MIN <= free

    def transact(self, works: Sequence[Callable[[], Any]]) -> list[Any]:
        """Run `works`, then drop and free what is due, in one transaction: all of it is on disk, or nothing."""
        self._state, self._replaced, self._new_losses = self.durable.copy(), {}, []
        self._budget = DELETE_MAX + len(works)
        try:
            self._connection.execute("BEGIN")
            results = [work() for work in works]
            self._free()
            self._drop()
            self._save()
            self._connection.execute("COMMIT")
        except BaseException:
            self._freed = 0
            self._restore_entries()
            opening.roll_back(self._connection)
            raise
        self.durable = self._state
        self._losses += self._new_losses
        return results

    def take_losses(self) -> list[Loss]:
        """What the transactions since the last call have lost."""
        losses, self._losses = self._losses, []
        return losses

    # -- what happens inside a transaction -----------------------------------------------------------------

    def append(self, packed: Sequence[Packed], entries: Mapping[str, bytes | None]) -> range:
        """Write batches and entries; return the rows."""
        state = self._state
        first = state.last_row + 1
        for count, body in packed:
            blob = packing.seal(state.last_row + 1, body)
            self._connection.execute("INSERT INTO batch VALUES (?, ?, ?)", (state.last_row + 1, count, blob))
            state.last_row += count
        state.held = spans.add(state.held, first, state.last_row)
        self._budget += len(packed)
        self._put(entries)
        return range(first, state.last_row + 1)

    def confirm(self, name: str, row: int) -> None:
        """Move a cursor forward."""
        state, target = self._state, self._state.targets[name]
        row = max(row, target.cursor)
        settled, gone = spans.without(target.settled, 0, row), spans.without(target.gone, 0, row)
        state.targets[name] = replace(target, cursor=row, settled=settled, gone=gone)
        state.held = spans.without(state.held, 0, min(target.cursor for target in state.targets.values()))
        self._is_settled = any(target.settled for target in state.targets.values())

    def settle(self, name: str, rows: Sequence[Span]) -> None:
        """Rows beyond the cursor have arrived."""
        target = self._state.targets[name]
        settled = spans.without(spans.union(target.settled, rows), 0, target.cursor)
        self._state.targets[name] = replace(target, settled=settled, gone=spans.less(target.gone, rows))
        self._is_settled = True

    def declare(self, name: str, rows: Sequence[Span]) -> int:
        """What of `rows` was dropped is lost; return how many that are."""
        target = self._state.targets[name]
        gone = spans.less(target.gone, rows)
        number = spans.count(target.gone) - spans.count(gone)
        self._state.targets[name] = replace(target, gone=gone, declared=target.declared + number)
        self._state.dropped += number
        return number

    def next_bd_seq(self, name: str) -> int:
        """Take a number."""
        target = self._state.targets[name]
        self._state.targets[name] = replace(target, bd_seq=(target.bd_seq + 1) % 256)
        return target.bd_seq

    def _put(self, entries: Mapping[str, bytes | None]) -> None:
        for key, value in entries.items():
            self._replaced.setdefault(key, self.entries.get(key))
            if value is None:
                self._connection.execute("DELETE FROM entry WHERE key = ?", (key,))
                self.entries.pop(key, None)
        kept = {key: value for key, value in entries.items() if value is not None}
        tables.write_entries(self._connection, kept.items())
        self.entries.update(kept)

    def _restore_entries(self) -> None:
        for key, value in self._replaced.items():
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = value

    def _save(self) -> None:
        state, before = self._state, self.durable
        if (state.last_row, state.dropped, state.held) != (before.last_row, before.dropped, before.held):
            tables.write_state(self._connection, state)
        changed = [(n, target) for n, target in state.targets.items() if target != before.targets.get(n)]
        tables.write_targets(self._connection, changed)

    # -- room ----------------------------------------------------------------------------------------------

    def _free(self) -> None:
        state = self._state
        start = state.held[0][0] if state.held else state.last_row + 1
        if start != self._freed:
            done = self._connection.execute(
                "DELETE FROM batch WHERE first IN"
                " (SELECT first FROM batch WHERE first < ?1 AND first + count <= ?1 ORDER BY first LIMIT ?2)",
                (start, self._budget),
            )
            self._freed = start if done.rowcount < self._budget else 0
        if not self._is_settled:
            return
        for first, last in self._arrived(state.targets):
            for start, count, _ in self._batches(first, last):
                self._delete(start, count)
        self._is_settled = self._budget <= 0

    def _drop(self) -> None:
        """At the bound: batches that all targets have, then those that they would rather lose, then the oldest."""
        excess = spans.count(self._state.held) - self._rows_max
        if excess <= 0 or not self._is_loaded:  # before, nobody can have said what it would rather lose
            return
        for first, last in self._ranked():
            for start, count, blob in self._batches(first, last):
                here = spans.within(self._state.held, start, start + count - 1)
                try:
                    times = packing.time_span(start, count, blob)
                except Damaged:
                    times = (0, 0)
                self._delete(start, count)
                self._lose(here, times)
                excess -= spans.count(here)
                if excess <= 0:
                    return

    def _ranked(self) -> Iterator[Span]:
        norths = [name for name in self._state.targets if not name.startswith(OWN)]
        yield from self._arrived(norths)
        for name in norths:
            for span in self.spare.get(name, ()):
                agreed: Rows = (span,)
                for other in norths:
                    if other != name:
                        agreed = spans.common(agreed, self._willing(other))
                yield from agreed
        willing: Rows = ((0, self._state.last_row),)
        for name in norths:  # batches of which each row is spare, for one reason or another
            willing = spans.common(willing, self._willing(name))
        yield from willing
        yield 0, self._state.last_row

    def _arrived(self, names: Any) -> Rows:
        """Rows that all of these targets have."""
        rows: Rows = ((0, self._state.last_row),)
        for name in names:
            rows = spans.common(rows, self._state.targets[name].arrived)
        return rows

    def _willing(self, name: str) -> Rows:
        return spans.union(self._state.targets[name].arrived, self.spare.get(name, ()))

    def _lose(self, rows: Rows, times: tuple[int, int]) -> None:
        for name, target in list(self._state.targets.items()):
            if name.startswith(OWN):
                continue
            lost = spans.less(rows, target.arrived)
            for first, last in lost:
                self._report(Loss(name, first, last, *times))
            gone = spans.union(target.gone, lost)
            self._state.targets[name] = replace(target, gone=gone)
            if undecidable := gone[:-GONE_MAX] if self.reports else gone:
                self.declare(name, undecidable)

    def _report(self, loss: Loss) -> None:
        """Losses that follow each other are one."""
        losses = self._new_losses
        place = next((n for n in range(len(losses) - 1, -1, -1) if losses[n].target == loss.target), None)
        if place is not None and (before := losses[place]).last + 1 == loss.first and before.to_ts_ms:
            oldest, newest = min(before.from_ts_ms, loss.from_ts_ms), max(before.to_ts_ms, loss.to_ts_ms)
            losses[place] = Loss(loss.target, before.first, loss.last, oldest, newest)
        else:
            losses.append(loss)

    def _batches(self, first: int, last: int) -> list[tuple[int, int, bytes]]:
        """Batches that lie wholly in first..last, oldest first."""
        return self._connection.execute(
            "SELECT first, count, samples FROM batch"
            " WHERE first BETWEEN ?1 AND ?2 AND first + count <= ?2 + 1 ORDER BY first LIMIT ?3",
            (first, last, max(0, self._budget)),
        ).fetchall()

    def _delete(self, first: int, count: int) -> None:
        self._connection.execute("DELETE FROM batch WHERE first = ?", (first,))
        self._state.held = spans.without(self._state.held, first, first + count - 1)
        self._budget -= 1

    # -- rows ----------------------------------------------------------------------------------------------

    def read(self, after_row: int, limit: int) -> list[tuple[int, Sample]]:
        """At most `limit` rows after `after_row`; a batch that is damaged is set aside on the way."""
        while True:
            try:
                return self._read(after_row, limit)
            except _Poisoned as poisoned:
                self._set_aside(poisoned)

    def _read(self, after_row: int, limit: int) -> list[tuple[int, Sample]]:
        held = self.durable.held
        start = max(after_row + 1, held[0][0] if held else self.durable.last_row + 1)
        rows: list[tuple[int, Sample]] = []
        batches = self._connection.execute(
            "SELECT first, count, samples FROM batch"
            " WHERE first >= coalesce((SELECT max(first) FROM batch WHERE first <= ?), 0) ORDER BY first",
            (start,),
        )
        while len(rows) < limit and (batch := batches.fetchone()) is not None:
            first, count, blob = batch
            try:
                found = self.codec.rows(first, count, blob)
            except Damaged as error:
                batches.close()
                raise _Poisoned(first, count, error) from error
            rows += found if first >= start else [row for row in found if row[0] >= start]
        batches.close()  # a statement that is not at its end would hold back the next checkpoint
        return rows[:limit] if limit > 0 else []

    def _set_aside(self, poisoned: _Poisoned) -> None:
        first, last = poisoned.first, poisoned.first + poisoned.count - 1
        self.commit([Work(lambda: self._poison(first, poisoned.count))])
        log.error(
            "journal %s: rows %d to %d are damaged (%s); they were moved to table `poisoned` and are lost",
            self._path, first, last, poisoned,
        )  # fmt: skip

    def _poison(self, first: int, count: int) -> None:
        here = spans.within(self._state.held, first, first + count - 1)
        execute = self._connection.execute
        execute("INSERT OR REPLACE INTO poisoned SELECT * FROM batch WHERE first = ?", (first,))
        execute(
            "DELETE FROM poisoned WHERE first NOT IN (SELECT first FROM poisoned ORDER BY first DESC LIMIT ?)",
            (POISONED_MAX,),
        )
        self._delete(first, count)
        self._lose(here, (0, 0))
