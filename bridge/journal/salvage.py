"""Saves what can be read of a corrupt journal into a new one; what cannot is declared lost, to the row."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from sqlite3 import Connection, DatabaseError
from typing import Any

from shakedown.bridge.core import spans
from shakedown.bridge.core.spans import Rows
from shakedown.bridge.journal import packing, tables
from shakedown.bridge.journal.packing import Damaged
from shakedown.bridge.journal.tables import OWN, State

ROW_MAX = 2**62  # beyond any row number

PAGE_B = 4096


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What became of a corrupt journal."""

    rows: int  # saved
    lost: dict[str, int]  # rows lost for each target
    is_exact: bool  # False: it cannot be known how many rows there were, there may have been more


def salvage(corrupt: Path, new: Path) -> Salvaged:
    """Write the journal `new` (which is not there) from what `corrupt` still has; raises DatabaseError, OSError."""
    mended = new.with_name(new.name + ".mended")
    try:
        with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            tables.create(connection)
            source = corrupt if _has_tables(corrupt) else _mend(corrupt, new, mended)
            with contextlib.closing(_connect(source)) as reading:
                connection.execute("BEGIN")
                result = _copy(reading, connection)
                connection.execute("COMMIT")
    finally:
        for suffix in ("", "-wal"):
            Path(f"{mended}{suffix}").unlink(missing_ok=True)
    return result


def _connect(path: Path) -> Connection:
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    return connection


def _has_tables(path: Path) -> bool:
    try:
        with contextlib.closing(_connect(path)) as connection:
            return (
                connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'batch'").fetchone()[0]
                > 0
            )
    except DatabaseError:
        return False


def _mend(corrupt: Path, new: Path, mended: Path) -> Path:
    """A copy with the first page of `new`: any journal that began in this format has its tables in the same places."""
    shutil.copyfile(corrupt, mended)
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(f"{corrupt}-wal", f"{mended}-wal")
    with new.open("rb") as whole, mended.open("r+b") as file:
        page = bytearray(whole.read(PAGE_B))
        page[28:40] = (mended.stat().st_size // PAGE_B).to_bytes(4) + bytes(8)  # size in pages, no free pages
        if Path(f"{mended}-wal").exists():
            page[18:20] = b"\2\2"  # its log is to be read
        file.write(page)
    return mended


def _copy(source: Connection, new: Connection) -> Salvaged:
    names, are_names_whole = tables.readable(source, "metric")
    entries, _ = tables.readable(source, "entry")
    state = tables.readable_state(source)
    # The newest values are encoded like rows: a key without its name may be given out again. So may the numbers of
    # rows that nobody knows of, and what a target knows of those must not be taken for them.
    void = [] if are_names_whole else ["bridge/image"]
    void += [] if state is not None else ["bridge/forwarding/"]
    tables.write_metrics(new, names)
    tables.write_entries(new, [entry for entry in entries if not entry[0].startswith(tuple(void))])
    held = _copy_batches(source, new, state, None if are_names_whole else {key for key, _ in names})
    there = State(held[-1][1] if held else 0, 0, held) if state is None else state
    targets, lost, dropped = {}, {}, there.dropped
    for name, target in tables.readable_targets(source).items():
        missing = () if name.startswith(OWN) else spans.less(there.held, (*target.arrived, *held))
        lost[name] = spans.count(missing)
        dropped += lost[name]
        targets[name] = replace(target, declared=target.declared + lost[name])
    last_row = max([there.last_row, *(target.cursor for target in targets.values())])
    both = spans.common(held, there.held)
    tables.write_state(new, State(last_row, dropped, both))
    tables.write_targets(new, targets.items())
    return Salvaged(
        spans.count(both), {n: k for n, k in lost.items() if k}, state is not None and bool(targets)
    )


def _copy_batches(source: Connection, new: Connection, state: State | None, known: set[int] | None) -> Rows:
    """Copy the batches that can be read and still count; the rows copied. `known`: keys, if some may be missing."""
    held: Rows = ()
    for first, count, blob in _batches(source):
        last = first + count - 1
        if held and first <= held[-1][1]:
            continue  # out of order: what it says of itself is wrong
        if state is not None and not spans.within(state.held, first, last):
            continue  # was free already
        try:
            keys = packing.keys(first, count, blob)
        except Damaged:
            continue
        if known is not None and not keys <= known:
            continue  # nobody knows any more whose values they are
        new.execute("INSERT INTO batch VALUES (?, ?, ?)", (first, count, blob))
        held = spans.add(held, first, last)
    return held


def _batches(source: Connection) -> Iterator[tuple[int, int, bytes]]:
    """Every batch that can be read, oldest first: where a page is corrupt the next readable row is looked for."""
    after = -1
    while after < ROW_MAX:
        try:
            rows = source.execute(
                "SELECT first, count, samples FROM batch WHERE first > ? ORDER BY first", (after,)
            )
            for first, count, blob in rows:
                if isinstance(count, int) and isinstance(blob, bytes) and 0 < count < ROW_MAX:
                    yield first, count, blob
                after = first
            return
        except DatabaseError:
            after = _beyond(source, after)


def _beyond(source: Connection, after: int) -> int:
    """The lowest number found after which a row can be read again (ROW_MAX: none)."""

    def first_after(row: int) -> Any:
        return source.execute("SELECT min(first) FROM batch WHERE first > ?", (row,)).fetchone()[0]

    try:  # only what the row holds is gone
        return ROW_MAX if (first := first_after(after)) is None else first
    except DatabaseError:
        pass
    step = 1
    while not _works(first_after, after + step):
        step *= 2
        if after + step >= ROW_MAX:
            return ROW_MAX
    low, high = step // 2, step  # after + low fails, after + high works
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _works(first_after, after + middle) else (middle, high)
    return after + high


def _works(look: Callable[[int], Any], row: int) -> bool:
    try:
        look(row)
    except DatabaseError:
        return False
    return True
