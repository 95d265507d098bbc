"""The tables of the journal's file, format 3: each row with a checksum of its own, and what formats 1 and 2 become.

`held` are the rows that are there and still count, `settled` those that arrived beyond the cursor, `gone` those that
were dropped at the bound and are not declared lost yet: spans of row numbers.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from sqlite3 import Connection, DatabaseError
from typing import Any, Self

import msgspec

from shakedown.bridge import journal_spans as spans
from shakedown.bridge.journal_spans import Spans

APPLICATION_ID = 0x5344_4A4C  # "SDJL", in the header of the file (SQLite file format, 1.3)
VERSION = 3
VERSIONS = (1, 2, VERSION)  # those that are taken over

_TABLES = """
CREATE TABLE state (last_row INTEGER, dropped INTEGER, held BLOB, crc INTEGER);
CREATE TABLE target (name TEXT PRIMARY KEY, cursor INTEGER, bd_seq INTEGER, declared INTEGER, settled BLOB, gone BLOB,
  crc INTEGER) WITHOUT ROWID;
CREATE TABLE metric (key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, crc INTEGER);
CREATE TABLE entry (key TEXT PRIMARY KEY, value BLOB NOT NULL, crc INTEGER) WITHOUT ROWID;
CREATE TABLE poisoned (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, samples BLOB NOT NULL)
"""
_BATCHES = "CREATE TABLE batch (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, samples BLOB NOT NULL)"

_FROM_1 = """
CREATE TABLE IF NOT EXISTS outbox (key TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
ALTER TABLE position RENAME TO entry;
INSERT INTO entry SELECT 'bridge/' || key, body FROM outbox;
DROP TABLE outbox;
UPDATE target SET name = 'bridge/operations' WHERE name = 'derived'
"""
"""Format 1 had work orders apart from the other entries."""


@dataclass(frozen=True, slots=True)
class Target:
    """How far one target is."""

    cursor: int
    bd_seq: int = 0  # the number it takes next
    declared: int = 0  # rows that were declared lost for it, ever
    settled: Spans = ()
    gone: Spans = ()


@dataclass(slots=True)
class State:
    """What a transaction changes as a whole."""

    last_row: int = 0  # newest durable row, 0 when there never was one
    dropped: int = 0  # rows declared lost, ever, summed over the targets
    held: Spans = ()
    targets: dict[str, Target] = field(default_factory=dict)

    def copy(self) -> Self:
        """A draft."""
        return replace(self, targets=dict(self.targets))


def create(connection: Connection) -> None:
    """Make the tables of an empty journal."""
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("BEGIN")
    _run(connection, _TABLES)
    connection.execute(_BATCHES)
    write_state(connection, State())
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def take_over(connection: Connection) -> None:
    """Bring a journal of format 1 or 2 to this one in one transaction; its batches are read as they are."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if version == 1:
            _run(connection, _FROM_1)
        old = {
            table: connection.execute(f"SELECT * FROM {table}").fetchall()
            for table in ("state", "target", "metric", "entry")
        }
        for table in old:
            connection.execute(f"DROP TABLE {table}")
        _run(connection, _TABLES)
        [(last_row, dropped, floor)] = old["state"]
        held: Spans = ()
        for first, count in connection.execute("SELECT first, count FROM batch ORDER BY first"):
            held = spans.add(held, max(first, floor), first + count - 1)
        targets = {name: Target(cursor, bd_seq) for name, cursor, bd_seq in old["target"]}
        write_state(connection, State(last_row, dropped, held))
        write_targets(connection, targets.items())
        write_metrics(connection, old["metric"])
        write_entries(connection, old["entry"])
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # brings the version into the file's header


def read_state(connection: Connection) -> State:
    """State with all targets; raises DatabaseError where a checksum is wrong."""
    (last_row, dropped, held), *_ = _checked(connection, "state")
    targets = {
        name: Target(cursor, bd_seq, declared, _spans(settled), _spans(gone))
        for name, cursor, bd_seq, declared, settled, gone in _checked(connection, "target")
    }
    return State(last_row, dropped, _spans(held), targets)


def read_metrics(connection: Connection) -> dict[str, int]:
    """The file's key of each name; raises DatabaseError where a checksum is wrong."""
    return {name: key for key, name in _checked(connection, "metric")}


def read_entries(connection: Connection) -> tuple[dict[str, bytes], list[str]]:
    """The entries, and the keys of those whose checksum is wrong."""
    entries, damaged = {}, []
    for key, value, crc in connection.execute("SELECT * FROM entry"):
        if crc == _crc((key, value)):
            entries[key] = value
        else:
            damaged.append(key)
    return entries, damaged


def write_state(connection: Connection, state: State) -> None:
    """Write what is not the targets'."""
    connection.execute("DELETE FROM state")
    _write(connection, "state", [(state.last_row, state.dropped, _blob(state.held))])


def write_targets(connection: Connection, targets: Iterable[tuple[str, Target]]) -> None:
    """Write targets."""
    rows = [(n, t.cursor, t.bd_seq, t.declared, _blob(t.settled), _blob(t.gone)) for n, t in targets]
    _write(connection, "target", rows)


def write_metrics(connection: Connection, keys: Iterable[tuple[int, str]]) -> None:
    """Write names under their keys."""
    _write(connection, "metric", list(keys))


def write_entries(connection: Connection, entries: Iterable[tuple[str, bytes]]) -> None:
    """Write entries."""
    _write(connection, "entry", list(entries))


def _write(connection: Connection, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        marks = ", ".join("?" * (len(rows[0]) + 1))
        connection.executemany(
            f"INSERT OR REPLACE INTO {table} VALUES ({marks})", [(*r, _crc(r)) for r in rows]
        )


def _checked(connection: Connection, table: str) -> list[tuple[Any, ...]]:
    rows = connection.execute(f"SELECT * FROM {table}").fetchall()
    if any(crc != _crc(tuple(row)) for *row, crc in rows) or (table == "state" and len(rows) != 1):
        raise DatabaseError(f"a checksum is wrong in table {table}")
    return [tuple(row) for *row, _ in rows]


def _crc(row: tuple[Any, ...]) -> int:
    return zlib.crc32(msgspec.msgpack.encode(row))


def _blob(rows: Spans) -> bytes:
    return msgspec.msgpack.encode(rows)


def _spans(blob: bytes) -> Spans:
    return msgspec.msgpack.decode(blob, type=Spans)


def _run(connection: Connection, statements: str) -> None:
    """Unlike `executescript` this leaves the transaction open."""
    for statement in statements.split(";\n"):
        connection.execute(statement)
