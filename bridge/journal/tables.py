"""The tables of the journal's file, format 3: each row with a checksum of its own, and what formats 1 and 2 become.

`held` are the rows that are there and still count, `settled` those that arrived beyond the cursor, `gone` those that
were dropped at the bound and are not declared lost yet: spans of row numbers.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from sqlite3 import Connection, DatabaseError
from typing import Any, Self

import msgspec

from shakedown.bridge.core import spans
from shakedown.bridge.core.spans import Rows

APPLICATION_ID = 0x5344_4A4C  # "SDJL", in the header of the file (SQLite file format, 1.3)
VERSION = 3
VERSIONS = (1, 2, VERSION)  # those that are taken over

OWN = "bridge/"
"""What the names of the bridge's own targets begin with: they hold rows back, but none is lost for them."""

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


class WrongChecksum(DatabaseError):
    """A row is not what was written."""


@dataclass(frozen=True, slots=True)
class Target:
    """How far one target is."""

    cursor: int
    bd_seq: int = 0  # the number it takes next
    declared: int = 0  # rows that were declared lost for it, ever
    settled: Rows = ()
    gone: Rows = ()

    @property
    def arrived(self) -> Rows:
        """All that it has."""
        return spans.add(self.settled, 0, self.cursor)


@dataclass(slots=True)
class State:
    """What a transaction changes as a whole."""

    last_row: int = 0  # newest durable row, 0 when there never was one
    dropped: int = 0  # rows declared lost, ever, summed over the targets
    held: Rows = ()
    targets: dict[str, Target] = field(default_factory=dict)

    def copy(self) -> Self:
        """A draft."""
        return type(self)(self.last_row, self.dropped, self.held, dict(self.targets))


def create(connection: Connection) -> None:
    """Make the tables of an empty journal."""
    connection.execute("PRAGMA page_size = 4096")
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
    if _is_current(connection):
        if version != VERSION:
            raise WrongChecksum(f"its version says {version}, its tables are those of format {VERSION}")
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
        held: Rows = ()
        for first, count in connection.execute("SELECT first, count FROM batch ORDER BY first"):
            held = spans.add(held, max(first, floor), first + count - 1)
        write_state(connection, State(last_row, dropped, held))
        write_targets(connection, _targets(old["target"]).items())
        write_metrics(connection, old["metric"])
        write_entries(connection, old["entry"])
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # brings the version into the file's header


def read_state(connection: Connection) -> State:
    """State with all targets; raises WrongChecksum."""
    [(last_row, dropped, held)] = _checked(connection, "state")
    return State(last_row, dropped, _spans(held), _targets(_checked(connection, "target")))


def read_metrics(connection: Connection) -> dict[str, int]:
    """The file's key of each name; raises WrongChecksum."""
    return {name: key for key, name in _checked(connection, "metric")}


def readable(connection: Connection, table: str) -> tuple[list[Any], bool]:
    """The rows of a table whose checksums are right, of any format, and whether these are all."""
    rows: list[Any] = []
    is_whole = True
    try:
        is_current = _is_current(connection)
        for row in connection.execute(f"SELECT * FROM {table}"):
            if not is_current:
                rows.append(row)
            elif row[-1] == _crc(row[:-1]):
                rows.append(row[:-1])
            else:
                is_whole = False
    except DatabaseError:
        is_whole = False
    return rows, is_whole


def readable_state(connection: Connection) -> State | None:
    """The state without targets, if it can be read."""
    rows, _ = readable(connection, "state")
    if not rows:
        return None
    last_row, dropped, held = rows[0]
    if isinstance(held, int):  # formats 1 and 2 had the oldest row that counts
        return State(last_row, dropped, spans.add((), held, last_row))
    return State(last_row, dropped, _spans(held))


def readable_targets(connection: Connection) -> dict[str, Target]:
    """Those targets that can be read."""
    return _targets(readable(connection, "target")[0])


def write_state(connection: Connection, state: State) -> None:
    """Write what is not the targets'."""
    row = (state.last_row, state.dropped, _blob(state.held))
    if not connection.execute(
        "UPDATE state SET last_row = ?, dropped = ?, held = ?, crc = ?", (*row, _crc(row))
    ).rowcount:
        _write(connection, "state", [row])


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


def _is_current(connection: Connection) -> bool:
    """Whether the tables are of this format, whatever the number in the header says."""
    return "crc" in [column[1] for column in connection.execute("PRAGMA table_info(target)")]


def _write(connection: Connection, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        marks = ", ".join("?" * (len(rows[0]) + 1))
        connection.executemany(
            f"INSERT OR REPLACE INTO {table} VALUES ({marks})", [(*r, _crc(r)) for r in rows]
        )


def _checked(connection: Connection, table: str) -> list[Any]:
    try:
        rows = connection.execute(f"SELECT * FROM {table}").fetchall()
    except DatabaseError as error:
        if hasattr(error, "sqlite_errorname"):
            raise
        raise WrongChecksum(f"table {table}: {error}") from error  # text that is not UTF-8
    if any(row[-1] != _crc(row[:-1]) for row in rows) or (table == "state" and len(rows) != 1):
        raise WrongChecksum(f"a checksum is wrong in table {table}")
    return [row[:-1] for row in rows]


def _targets(rows: Iterable[Any]) -> dict[str, Target]:
    return {
        name: Target(cursor, bd_seq, *((rest[0], _spans(rest[1]), _spans(rest[2])) if rest else ()))
        for name, cursor, bd_seq, *rest in rows
    }


def _crc(row: tuple[Any, ...]) -> int:
    return zlib.crc32(msgspec.msgpack.encode(row))


def _blob(rows: Rows) -> bytes:
    return msgspec.msgpack.encode(rows)


def _spans(blob: bytes) -> Rows:
    return msgspec.msgpack.decode(blob, type=Rows)


def _run(connection: Connection, statements: str) -> None:
    """Unlike `executescript` this leaves the transaction open."""
    for statement in statements.split(";\n"):
        connection.execute(statement)
