"""The journal's file: made whole or not at all, recognised before it is touched, its troubles put into words."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from pathlib import Path
from sqlite3 import Connection, DatabaseError, OperationalError

from shakedown.bridge.journal import salvage, tables
from shakedown.bridge.journal.errors import JournalDamaged, JournalError, JournalFull

MAGIC = b"SQLite format 3\0"
CONSTANTS = b"\1\1\0@  ", b"\2\2\0@  "
"""Bytes 18 to 23 of the header, without and with a write-ahead log; with others SQLite only reads the file."""

log = logging.getLogger("shakedown.bridge.journal")


def open_file(path: Path) -> Connection:
    """Open or create the journal file for this process alone; raises JournalError.

    Of a corrupt one what can be read is saved into a new one, and it is kept beside it.
    """
    try:
        try:
            if path.exists():
                _check_header(path)
            else:
                _set_aside_wal(path)
                _create(path)
            return _open(path)
        except JournalDamaged as damaged:
            _salvage(path, damaged)
            return _open(path)
    except OSError as error:
        raise JournalError(
            f"cannot be opened: {error.strerror}", path, "Check the folder and who may write to it."
        ) from error


def _open(path: Path) -> Connection:
    connection = _connect(path)
    try:
        if (fault := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise JournalDamaged(fault.splitlines()[-1], path)
        tables.take_over(connection)
        tables.read_state(connection)
        tables.read_metrics(connection)
    except DatabaseError as error:
        connection.close()
        raise explain(error, path) from error
    except JournalDamaged:
        connection.close()
        raise
    return connection


def roll_back(connection: Connection) -> None:
    """Undo the open transaction; where the disk is full, let the next one write the log from its start."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    with contextlib.suppress(OperationalError):  # no room for that either: the next transaction tries again
        connection.execute("PRAGMA wal_checkpoint(RESTART)")


def is_full(error: DatabaseError) -> bool:
    """Whether there was no room on the disk."""
    return getattr(error, "sqlite_errorname", "") == "SQLITE_FULL"


def full(path: Path) -> JournalFull:
    """What is said then."""
    return JournalFull("disk is full, nothing was written", path, "Free space; appending then works again.")


def explain(error: DatabaseError, path: Path) -> JournalError | JournalDamaged:
    """Turn SQLite's error into what, where and remedy."""
    name = getattr(error, "sqlite_errorname", "")
    if is_full(error):
        return full(path)
    if _is_busy(error):
        return JournalError(
            "in use by another process", path, "Stop that process, or configure another journal path."
        )
    is_wrong = isinstance(error, tables.WrongChecksum)
    if is_wrong or name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return JournalDamaged(error, path)
    return JournalError(
        f"cannot be read or written ({error})", path, "Check the disk and who may write to the folder."
    )


def _connect(path: Path) -> Connection:
    # The executor has one thread, or none under virtual time: SQLite's own check would be in the way.
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        # Two bridges on one journal: the second is refused.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        # Where it is on every row is written twice more, as zeros
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("BEGIN IMMEDIATE")  # takes the lock now, not at the first append
        connection.execute("COMMIT")
    except DatabaseError as error:
        connection.close()
        raise explain(error, path) from error
    return connection


def _create(path: Path) -> None:
    """Write an empty journal beside `path` and rename it: a half-made one can never be found there."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            tables.create(connection)
    except DatabaseError as error:
        raise explain(error, path) from error
    os.replace(new, path)
    _sync(path.parent)


def _sync(folder_path: Path) -> None:
    folder = os.open(folder_path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check_header(path: Path) -> None:
    """Read the version from the first 100 bytes, there since creation: a foreign file stays untouched."""
    with path.open("rb") as file:
        header = file.read(100)
    magic, expected = header[:16] + header[68:72], MAGIC + tables.APPLICATION_ID.to_bytes(4)
    wrong_bits = (int.from_bytes(magic) ^ int.from_bytes(expected)).bit_count()
    if len(header) == 100 and wrong_bits == 1:
        raise JournalDamaged("one bit of its header has flipped", path)
    if len(header) < 100 or not header.startswith(MAGIC):
        raise JournalError(
            "not a journal, or its header is damaged",
            path,
            "Check the path; a damaged journal must be moved away by hand. The file was left untouched.",
        )
    if not wrong_bits and header[18:24] not in CONSTANTS:
        raise JournalDamaged("its header is damaged", path)
    if wrong_bits:
        raise JournalError("some other SQLite database", path, "Configure a path of its own for the journal.")
    version = int.from_bytes(header[60:64])
    if version not in tables.VERSIONS:
        raise JournalError(
            f"written in format {version}, this bridge reads format {tables.VERSION}",
            path,
            "Drain it with the version that wrote it, or configure a new path; the file was left untouched.",
        )


def _salvage(path: Path, damaged: JournalDamaged) -> None:
    """Put a new journal in the place of a corrupt one, with what can be read of it; interrupted, it begins anew."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    try:
        result = salvage.salvage(path, new)
    except DatabaseError as error:
        new.unlink(missing_ok=True)
        raise JournalFull(
            f"corrupt, and it cannot be saved ({error})", path, "Free space on its disk."
        ) from error
    aside = _aside(path)
    with contextlib.suppress(FileNotFoundError):
        os.replace(f"{path}-wal", f"{aside}-wal")
    try:
        os.link(path, aside)
    except OSError:  # a file system without links, as of memory cards
        os.replace(path, aside)
    os.replace(new, path)
    _sync(path.parent)
    log.error(
        "journal %s: corrupt (%s): %d rows were saved, lost are %s%s; it was moved to %s",
        path, damaged.fault, result.rows, ", ".join(f"{n} for {name}" for name, n in result.lost.items()) or "none",
        "" if result.is_exact else " and perhaps more: how many there were can no longer be read", aside,
    )  # fmt: skip


def _set_aside_wal(path: Path) -> None:
    """A write-ahead log whose journal is gone belongs to no new one."""
    if Path(f"{path}-wal").exists():
        aside = _aside(path)
        os.replace(f"{path}-wal", f"{aside}-wal")
        log.error(
            "journal %s: the file is missing, its write-ahead log was moved to %s-wal and a new journal begins; what "
            "both hold has not been published - if the file comes back, put both in their places before a start",
            path, aside,
        )  # fmt: skip


def _aside(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.corrupt-{number}") for number in range(1, 10_000))
    return next(name for name in names if not name.exists() and not Path(f"{name}-wal").exists())


def _is_busy(error: DatabaseError) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
