"""The journal: a sample is on disk here before it is published, and stays until it is known to have arrived.

A SQLite file in WAL mode with `synchronous=FULL`, written in group commits by one executor thread. Samples have
row ids that count up by one; each north target has a cursor. A SQL row holds up to `BATCH_MAX` samples as one
MessagePack blob, which is what makes 100,000 samples a second affordable; callers see single rows only.
Beside the rows stands a key-value store, the entries: whatever must be true together with samples is written with them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from sqlite3 import Connection, DatabaseError
from typing import Any, Self, TypeVar

import msgspec

from shakedown.bridge import journal_file
from shakedown.bridge.core.model import Metric, Sample
from shakedown.bridge.journal_file import JournalError

BATCH_MAX = 500
"""Samples in one SQL row: what a read decodes at least, and what overflow and deletion free at once."""

DELETE_MAX = 64
"""SQL rows a transaction deletes beyond those it inserts: clearing a backlog never stalls an append."""

log = logging.getLogger(__name__)
T = TypeVar("T")

_Packed = tuple[int, bytes]  # number of samples, their encoding


class Journal:
    """Durable, bounded queue of samples with one cursor per north target, made by `await Journal.open(...)`.

    Calls may overlap: whatever waits while a transaction runs goes into the next one together. Nothing is
    queued beyond the calls that wait themselves, so what is outstanding is bounded by the number of callers.
    """

    def __init__(
        self, connection: Connection, executor: ThreadPoolExecutor, path: Path, rows_max: int
    ) -> None:
        self.path = path
        self.rows_max = rows_max
        self.last_row = 0  # newest durable row, 0 when there never was one
        self.dropped = 0  # rows lost to overflow before every target had them, ever: the declared loss
        self._floor = 1  # oldest row that still counts
        self._cursors: dict[str, int] = {}
        self._bd_seqs: dict[str, int] = {}  # the number each target takes next
        self._entries: dict[str, bytes] = {}
        self._keys: dict[int, int] = {}  # metric_id in this configuration -> key in the file
        self._metric_ids: dict[int, int] = {}  # the other way round
        self._names: dict[int, str] = {}
        self._connection = connection
        self._executor = executor
        self._waiting: list[tuple[Callable[[], object], asyncio.Future[Any]]] = []
        self._committer: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    async def open(
        cls, path: str | Path, *, targets: Sequence[str], rows_max: int, metrics: Sequence[Metric] = ()
    ) -> Self:
        """Open the journal at `path`, or create it, for the north `targets`.

        Rows are kept under `device/metric`, so pass the configured `metrics`: a journal that was written
        under another order of the configuration then replays to the right ones, and rows of metrics that are
        gone are skipped (logged). Without `metrics` a metric is known by its number alone.

        Raises JournalError (what, where, remedy): another version, corrupt, in use, no access.
        """
        if rows_max < 1:
            raise ValueError(f"journal {path}: rows_max is {rows_max}, it must be at least 1")
        path = Path(path)
        executor = ThreadPoolExecutor(1, thread_name_prefix="journal")
        loop = asyncio.get_running_loop()
        try:
            connection = await loop.run_in_executor(executor, journal_file.open_file, path)
            journal = cls(connection, executor, path, rows_max)
            try:
                await loop.run_in_executor(executor, journal._load, targets, metrics)
            except BaseException:
                await loop.run_in_executor(executor, connection.close)
                raise
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return journal

    async def append(
        self, samples: Sequence[Sample], entries: Mapping[str, bytes | None] | None = None
    ) -> range:
        """Write samples and return their rows; they are on disk when it returns, or it raises and none is.

        `entries` go into the key-value store in the same transaction; None removes a key. Raises JournalError when
        the disk is full or fails, ValueError for a value without encoding (integer outside -2^63..2^64-1, lone
        surrogate).
        """
        packed = self._pack(samples)
        return await self._commit(lambda: self._append(packed, entries or {}))

    async def read(self, target: str, after_row: int, limit: int) -> list[tuple[int, Sample]]:
        """Return at most `limit` rows after `after_row`, oldest first; [] at the end. Skips freed rows."""
        self._check_target(target)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._guarded, lambda: self._read(after_row, limit))

    def watermark(self, target: str) -> int:
        """Return the cursor of a target: every row up to it is known to have arrived."""
        self._check_target(target)
        return self._cursors[target]

    def get(self, key: str) -> bytes | None:
        """Return the entry of a key, or None."""
        return self._entries.get(key)

    def entries(self, prefix: str) -> dict[str, bytes]:
        """Return the entries whose keys begin with `prefix`, in the order of their keys."""
        return {key: self._entries[key] for key in sorted(self._entries) if key.startswith(prefix)}

    async def confirm(self, target: str, row: int) -> None:
        """Move the cursor of a target forward to `row` (never back); rows that no target needs are freed."""
        self._check_target(target)
        if row > self.last_row:
            raise ValueError(
                f"journal {self.path}: {target} confirms row {row}, the last one is {self.last_row}"
            )
        if row > self._cursors[target]:
            await self._commit(lambda: self._confirm(target, row))

    async def next_bd_seq(self, target: str) -> int:
        """Return the next bdSeq of a target, 0 to 255 and round again; on disk as used when it returns."""
        self._check_target(target)
        return await self._commit(lambda: self._next_bd_seq(target))

    async def close(self) -> None:
        """Finish what is waiting and close the file. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._committer is not None:
            await asyncio.wait([self._committer])
        await asyncio.get_running_loop().run_in_executor(self._executor, self._connection.close)
        self._executor.shutdown(wait=False)

    # -- group commit --------------------------------------------------------------------------------------

    async def _commit(self, work: Callable[[], T]) -> T:
        """Run `work` in the next transaction; return its result once that is on disk."""
        if self._closed:
            raise JournalError("journal is closed", self.path, "this is a defect of the caller")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_waiting(), name="journal commit")
        return await future

    async def _commit_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                works = [work for work, _ in group]
                try:
                    results = await loop.run_in_executor(
                        self._executor, self._guarded, lambda w=works: self._transact(w)
                    )
                except Exception as error:  # whatever it is, it belongs to those who wait
                    for _, future in group:
                        if not future.done():
                            future.set_exception(error)
                else:
                    for (_, future), result in zip(group, results, strict=True):
                        if not future.done():  # its caller was cancelled: what it wrote stays written
                            future.set_result(result)
        finally:
            self._committer = None

    def _guarded(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except DatabaseError as error:
            raise journal_file.explain(error, self.path) from error

    def _transact(self, works: list[Callable[[], object]]) -> list[object]:
        before = (self.last_row, self.dropped, self._floor, dict(self._cursors), dict(self._bd_seqs))
        entries = dict(self._entries)
        execute = self._connection.execute
        try:
            execute("BEGIN")
            results = [work() for work in works]
            self._free(DELETE_MAX + len(works))
            execute(
                "UPDATE state SET last_row = ?, dropped = ?, floor = ?",
                (self.last_row, self.dropped, self._floor),
            )
            execute("COMMIT")
        except BaseException:
            self.last_row, self.dropped, self._floor, self._cursors, self._bd_seqs = before
            self._entries = entries
            journal_file.roll_back(self._connection)
            raise
        return results

    # -- what happens inside a transaction -----------------------------------------------------------------

    def _append(self, packed: list[_Packed], entries: Mapping[str, bytes | None]) -> range:
        first = self.last_row + 1
        for count, blob in packed:
            self._connection.execute("INSERT INTO batch VALUES (?, ?, ?)", (self.last_row + 1, count, blob))
            self.last_row += count
        for key in [key for key, value in entries.items() if value is None]:
            self._connection.execute("DELETE FROM entry WHERE key = ?", (key,))
            self._entries.pop(key, None)
        if kept := {key: value for key, value in entries.items() if value is not None}:
            self._connection.executemany("INSERT OR REPLACE INTO entry VALUES (?, ?)", kept.items())
            self._entries.update(kept)
        overflow = self.last_row - self._floor + 1 - self.rows_max
        if overflow > 0:
            self.dropped += overflow
            self._floor += overflow
        return range(first, self.last_row + 1)

    def _confirm(self, target: str, row: int) -> None:
        self._cursors[target] = max(row, self._cursors[target])
        self._connection.execute(
            "UPDATE target SET cursor = ? WHERE name = ?", (self._cursors[target], target)
        )
        self._floor = max(self._floor, min(self._cursors.values()) + 1)

    def _next_bd_seq(self, target: str) -> int:
        bd_seq = self._bd_seqs[target]
        self._bd_seqs[target] = (bd_seq + 1) % 256
        self._connection.execute(
            "UPDATE target SET bd_seq = ? WHERE name = ?", (self._bd_seqs[target], target)
        )
        return bd_seq

    def _free(self, batches_max: int) -> None:
        self._connection.execute(
            "DELETE FROM batch WHERE first IN"
            " (SELECT first FROM batch WHERE first < ?1 AND first + count <= ?1 ORDER BY first LIMIT ?2)",
            (self._floor, batches_max),
        )

    # -- rows ----------------------------------------------------------------------------------------------

    def _pack(self, samples: Sequence[Sample]) -> list[_Packed]:
        keys = self._keys
        try:
            rows = [(keys[s.metric_id], s.ts_ms, s.value, s.quality, s.status) for s in samples]
        except KeyError:
            return self._pack_unknown(samples)
        batches = [rows[start : start + BATCH_MAX] for start in range(0, len(rows), BATCH_MAX)]
        try:
            return [(len(batch), msgspec.msgpack.encode(batch)) for batch in batches]
        except (OverflowError, UnicodeEncodeError, TypeError) as error:
            raise ValueError(
                f"journal {self.path}: a value among {len(rows)} samples has no encoding: {error}"
            ) from error

    def _pack_unknown(self, samples: Sequence[Sample]) -> list[_Packed]:
        """Metrics are known by number alone when no configuration was given: the number is the key."""
        if self._names:
            unknown = sorted({s.metric_id for s in samples} - self._keys.keys())
            raise ValueError(f"journal {self.path}: metric_id {unknown[:5]} is not in the configuration")
        for sample in samples:
            self._keys[sample.metric_id] = self._metric_ids[sample.metric_id] = sample.metric_id
        return self._pack(samples)

    def _read(self, after_row: int, limit: int) -> list[tuple[int, Sample]]:
        rows: list[tuple[int, Sample]] = []
        if limit > 0:
            for row, sample in self._rows(max(after_row + 1, self._floor)):
                rows.append((row, sample))
                if len(rows) == limit:
                    break
        return rows

    def _rows(self, start: int) -> Iterator[tuple[int, Sample]]:
        batches = self._connection.execute(
            "SELECT first, samples FROM batch"
            " WHERE first >= (SELECT max(first) FROM batch WHERE first <= ?) ORDER BY first",
            (start,),
        )
        metric_ids = self._metric_ids
        for first, blob in batches:
            for row, (key, *fields) in enumerate(msgspec.msgpack.decode(blob), first):
                if row >= start:
                    metric_id = metric_ids.get(key)
                    if metric_id is not None:
                        yield row, Sample(metric_id, *fields)
                    elif not self._names:
                        yield row, Sample(key, *fields)

    # -- opening -------------------------------------------------------------------------------------------

    def _load(self, targets: Sequence[str], metrics: Sequence[Metric]) -> None:
        self._guarded(lambda: self._load_state(targets, metrics))

    def _load_state(self, targets: Sequence[str], metrics: Sequence[Metric]) -> None:
        journal_file.upgrade(self._connection)
        execute = self._connection.execute
        execute("BEGIN")
        self.last_row, self.dropped, self._floor = execute(
            "SELECT last_row, dropped, floor FROM state"
        ).fetchone()
        for target in targets:
            execute("INSERT OR IGNORE INTO target VALUES (?, ?, 0)", (target, self._floor - 1))
        for name, cursor, bd_seq in execute("SELECT name, cursor, bd_seq FROM target").fetchall():
            if name in targets:  # one that is no longer configured keeps its bdSeq, and holds nothing back
                self._cursors[name], self._bd_seqs[name] = cursor, bd_seq
        self._entries = dict(execute("SELECT key, value FROM entry"))
        self._load_names(metrics)
        execute("COMMIT")

    def _load_names(self, metrics: Sequence[Metric]) -> None:
        self._names = {metric.metric_id: f"{metric.device}/{metric.name}" for metric in metrics}
        self._connection.executemany(
            "INSERT OR IGNORE INTO metric (name) VALUES (?)", [(name,) for name in self._names.values()]
        )
        keys = {name: key for key, name in self._connection.execute("SELECT key, name FROM metric")}
        self._keys = {metric_id: keys[name] for metric_id, name in self._names.items()}
        self._metric_ids = {key: metric_id for metric_id, key in self._keys.items()}
        retired = sorted(keys.keys() - set(self._names.values())) if metrics else []
        if retired:
            log.warning(
                "journal %s: rows of %d metrics no longer configured are skipped: %s",
                self.path,
                len(retired),
                retired[:5],
            )

    def _check_target(self, target: str) -> None:
        if target not in self._cursors:
            raise ValueError(
                f"journal {self.path}: unknown target {target!r}, it was opened for {list(self._cursors)}"
            )
