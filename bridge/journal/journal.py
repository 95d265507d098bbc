"""The journal: a sample is on disk here before it is published, and stays until it is known to have arrived.

A SQLite file in WAL mode with `synchronous=FULL`, written in group commits by one executor thread. Samples have
row ids that count up by one; each north target has a cursor. A SQL row holds up to `BATCH_MAX` samples, column by
column (`packing`); callers see single rows only.
Beside the rows stands a key-value store, the entries: whatever must be true together with samples is written with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from sqlite3 import Connection, DatabaseError
from typing import Any, Self, TypeVar

from shakedown.bridge.core.model import Metric, Sample
from shakedown.bridge.core.spans import Rows, Span
from shakedown.bridge.journal import opening
from shakedown.bridge.journal.errors import JournalError, JournalFull
from shakedown.bridge.journal.store import Store, Work

SMALL_B = 16_384
"""Entries up to this size are written on a full disk too, without samples: a session needs them to go on."""

T = TypeVar("T")

OnDropped = Callable[[str, int, int, int, int], None]


class Journal:
    """Durable, bounded queue of samples with one cursor per north target, made by `await Journal.open(...)`.

    Calls may overlap: whatever waits while a transaction runs goes into the next one together. Nothing is
    queued beyond the calls that wait themselves, so what is outstanding is bounded by the number of callers.

    At `rows_max` whole batches go: those that every target has, then those that it would rather lose (`spare`), then
    the oldest. They are declared lost at once, unless somebody listens (`on_dropped`): then by `declare`.
    """

    def __init__(
        self, connection: Connection, executor: ThreadPoolExecutor, path: Path, rows_max: int
    ) -> None:
        self.path = path
        self.rows_max = rows_max
        self._connection = connection
        self._executor = executor
        self._store = Store(connection, path, rows_max)
        self._on_dropped: OnDropped | None = None
        self._waiting: list[tuple[Work, asyncio.Future[Any]]] = []
        self._committer: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    async def open(
        cls, path: str | Path, *, targets: Sequence[str], rows_max: int, metrics: Sequence[Metric] = ()
    ) -> Self:
        """Open the journal at `path`, or create it, for the north `targets`.

        Rows are kept under `device/metric`, so pass the configured `metrics`: a journal that was written
        under another order of the configuration then replays to the right ones, and rows of metrics that are
        gone are skipped (logged). Without `metrics` a metric is known by its number alone. A target whose name begins
        with `bridge/` holds rows back like any other, but nothing is ever lost for it.

        Raises JournalError (what, where, remedy): another version, corrupt, in use, no access.
        """
        if rows_max < 1:
            raise ValueError(f"journal {path}: rows_max is {rows_max}, it must be at least 1")
        path = Path(path)
        executor = ThreadPoolExecutor(1, thread_name_prefix="journal")
        loop = asyncio.get_running_loop()
        try:
            connection = await loop.run_in_executor(executor, opening.open_file, path)
            journal = cls(connection, executor, path, rows_max)
            try:
                await journal._run(lambda: journal._store.load(targets, metrics))
            except BaseException:
                await loop.run_in_executor(executor, connection.close)
                raise
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return journal

    # -- samples and entries -------------------------------------------------------------------------------

    async def append(
        self, samples: Sequence[Sample], entries: Mapping[str, bytes | None] | None = None
    ) -> range:
        """Write samples and return their rows; they are on disk when it returns, or it raises and none is.

        `entries` go into the key-value store in the same transaction; None removes a key. Raises JournalError when
        the disk is full or fails, ValueError for a value without encoding (integer outside -2^63..2^64-1, lone
        surrogate).
        """
        packed = self._store.codec.pack(samples)
        size_b = sum(len(value or b"") for value in (entries or {}).values())
        room_b = sum(len(body) for _, body in packed) + (size_b if size_b > SMALL_B else 0)
        return await self._commit(lambda: self._store.append(packed, entries or {}), room_b)

    async def read(self, target: str, after_row: int, limit: int) -> list[tuple[int, Sample]]:
        """Return at most `limit` rows after `after_row`, oldest first; [] at the end. Skips what is gone.

        A batch whose checksum is wrong is set aside, and its rows are lost.
        """
        self._check_target(target)
        return await self._run(lambda: self._store.read(after_row, limit))

    def get(self, key: str) -> bytes | None:
        """Return the entry of a key, or None."""
        return self._store.entries.get(key)

    def entries(self, prefix: str) -> dict[str, bytes]:
        """Return the entries whose keys begin with `prefix`, in the order of their keys."""
        entries = self._store.entries
        return {key: entries[key] for key in sorted(entries) if key.startswith(prefix)}

    def encoded(self, samples: Sequence[Sample]) -> bytes:
        """Samples as they can stand in an entry: like rows, under the names of their metrics. Raises ValueError."""
        return self._store.codec.encoded(samples)

    def decoded(self, blob: bytes) -> list[Sample]:
        """Those samples again, less those of metrics no longer configured."""
        return self._store.codec.decoded(blob)

    @property
    def last_row(self) -> int:
        """Newest durable row, 0 when there never was one."""
        return self._store.durable.last_row

    # -- what has arrived ----------------------------------------------------------------------------------

    def watermark(self, target: str) -> int:
        """Return the cursor of a target: every row up to it is known to have arrived."""
        self._check_target(target)
        return self._store.durable.targets[target].cursor

    async def confirm(self, target: str, row: int) -> None:
        """Move the cursor of a target forward to `row` (never back); rows that no target needs are freed."""
        self._check_target(target)
        self._check_row(target, row)
        if row > self.watermark(target):
            await self._commit(lambda: self._store.confirm(target, row))

    async def settle(self, target: str, spans: Sequence[Span]) -> None:
        """Rows beyond the cursor are known to have arrived; batches wholly inside that no target needs are freed."""
        self._check_target(target)
        for _, last in spans:
            self._check_row(target, last)
        await self._commit(lambda: self._store.settle(target, spans))

    def settled(self, target: str) -> Rows:
        """Return the rows beyond the cursor that are known to have arrived."""
        self._check_target(target)
        return self._store.durable.targets[target].settled

    # -- what is lost --------------------------------------------------------------------------------------

    @property
    def dropped(self) -> int:
        """Rows declared lost, ever, summed over the targets."""
        return self._store.durable.dropped

    def declared(self, target: str) -> int:
        """Rows declared lost for one target, ever."""
        self._check_target(target)
        return self._store.durable.targets[target].declared

    def spare(self, target: str, spans: Sequence[Span]) -> None:
        """Say which rows this target would rather lose than others at the bound, best first; replaces what was said."""
        self._check_target(target)
        self._store.spare[target] = tuple(spans)

    @property
    def on_dropped(self) -> OnDropped | None:
        """Called on the loop with (target, first, last, from_ts_ms, to_ts_ms) after rows were dropped unconfirmed.

        They count as lost once `declare` says so; both times are 0 where the batch was damaged. A span may hold rows
        that were dropped before. What was neither confirmed nor declared stands in `gone`, also after a restart.
        """
        return self._on_dropped

    @on_dropped.setter
    def on_dropped(self, callback: OnDropped | None) -> None:
        self._on_dropped = callback
        self._store.reports = callback is not None

    def gone(self, target: str) -> Rows:
        """Return the rows that were dropped, neither confirmed nor declared yet; beyond 256 spans the oldest is."""
        self._check_target(target)
        return self._store.durable.targets[target].gone

    async def declare(self, target: str, spans: Sequence[Span]) -> int:
        """Declare lost what of `spans` is in `gone`; return how many rows that are."""
        self._check_target(target)
        return await self._commit(lambda: self._store.declare(target, spans))

    # -- the session ---------------------------------------------------------------------------------------

    async def next_bd_seq(self, target: str) -> int:
        """Return the next bdSeq of a target, 0 to 255 and round again; on disk as used when it returns."""
        self._check_target(target)
        return await self._commit(lambda: self._store.next_bd_seq(target))

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

    async def _commit(self, run: Callable[[], T], room_b: int = 0) -> T:
        """Run it in the next transaction; return its result once that is on disk."""
        if self._closed:
            raise JournalError("journal is closed", self.path, "this is a defect of the caller")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((Work(run, room_b), future))
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_waiting(), name="journal commit")
        return await future

    async def _commit_waiting(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                try:
                    results = await self._run(partial(self._store.commit, [work for work, _ in group]))
                except Exception as error:  # whatever it is, it belongs to those who wait
                    for _, future in group:
                        if not future.done():
                            future.set_exception(error)
                else:
                    for (_, future), result in zip(group, results, strict=True):
                        if future.done():
                            continue  # its caller was cancelled: what it wrote stays written
                        if isinstance(result, JournalFull):
                            future.set_exception(result)
                        else:
                            future.set_result(result)
        finally:
            self._committer = None

    async def _run(self, work: Callable[[], T]) -> T:
        """Run `work` on the journal's thread, then report what was lost there."""

        def guarded() -> tuple[T, list[Any]]:
            try:
                return work(), self._store.take_losses()
            except DatabaseError as error:
                raise opening.explain(error, self.path) from error

        result, losses = await asyncio.get_running_loop().run_in_executor(self._executor, guarded)
        if self._on_dropped is not None:
            for loss in losses:
                self._on_dropped(*loss)
        return result

    def _check_target(self, target: str) -> None:
        targets = self._store.durable.targets
        if target not in targets:
            raise ValueError(
                f"journal {self.path}: unknown target {target!r}, it was opened for {list(targets)}"
            )

    def _check_row(self, target: str, row: int) -> None:
        if row > self.last_row:
            raise ValueError(
                f"journal {self.path}: {target} confirms row {row}, the last one is {self.last_row}"
            )
