"""The journal's file: made whole or not at all, recognised before it is touched, its troubles put into words."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from sqlite3 import Connection, DatabaseError, OperationalError

from shakedown.bridge import journal_tables


class JournalError(Exception):
    """The journal cannot be used: `what` is wrong, `where`, and the `remedy`."""

    def __init__(self, what: str, where: Path, remedy: str) -> None:
        super().__init__(f"journal {where}: {what}. {remedy}")
        self.what, self.where, self.remedy = what, where, remedy


class JournalFull(JournalError):
    """There is no room on the disk; what was durable still is, and appending works again once there is."""


def open_file(path: Path) -> Connection:
    """Open or create the journal file for this process alone; raises JournalError."""
    try:
        if path.exists():
            _check_header(path)
        else:
            _create(path)
        connection = _connect(path)
    except OSError as error:
        raise JournalError(
            f"cannot be opened: {error.strerror}", path, "Check the folder and who may write to it."
        ) from error
    try:
        if (fault := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise DatabaseError(fault.splitlines()[-1])
        journal_tables.take_over(connection)
        journal_tables.read_state(connection)
        journal_tables.read_metrics(connection)
    except DatabaseError as error:
        connection.close()
        if _is_busy(error):
            raise explain(error, path) from error
        raise _set_aside(path, str(error)) from error
    return connection


def roll_back(connection: Connection) -> None:
    """Undo the open transaction; where the disk is full, let the next one write the log from its start."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    with contextlib.suppress(OperationalError):  # no room for that either: the next transaction tries again
        connection.execute("PRAGMA wal_checkpoint(RESTART)")


def explain(error: DatabaseError, path: Path) -> JournalError:
    """Turn SQLite's error into what, where and remedy."""
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_FULL":
        return JournalFull(
            "disk is full, nothing was written", path, "Free space; appending then works again."
        )
    if _is_busy(error):
        return JournalError(
            "in use by another process", path, "Stop that process, or configure another journal path."
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return JournalError(
            f"corrupt ({error})", path, "Stop the bridge; the next start moves the file aside."
        )
    return JournalError(
        f"cannot be read or written ({error})", path, "Check the disk and who may write to the folder."
    )


def _connect(path: Path) -> Connection:
    # The executor has one thread, or none under virtual time: SQLite's own check would be in the way.
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(
            "PRAGMA locking_mode = EXCLUSIVE"
        )  # two bridges on one journal: the second is refused
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")  # takes the lock now, not at the first append
        connection.execute("COMMIT")
    except DatabaseError as error:
        connection.close()
        if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise _set_aside(path, str(error)) from error
        raise explain(error, path) from error
    return connection


def _create(path: Path) -> None:
    """Write an empty journal beside `path` and rename it: a half-made one can never be found there."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            journal_tables.create(connection)
    except DatabaseError as error:
        raise explain(error, path) from error
    os.replace(new, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check_header(path: Path) -> None:
    """Read the version from the first 100 bytes, there since creation: a foreign file stays untouched."""
    with path.open("rb") as file:
        header = file.read(100)
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        raise JournalError(
            "not a journal, or its header is damaged",
            path,
            "Check the path; a damaged journal must be moved away by hand. The file was left untouched.",
        )
    application_id, version = int.from_bytes(header[68:72]), int.from_bytes(header[60:64])
    if application_id != journal_tables.APPLICATION_ID:
        raise JournalError("some other SQLite database", path, "Configure a path of its own for the journal.")
    if version not in journal_tables.VERSIONS:
        raise JournalError(
            f"written in format {version}, this bridge reads format {journal_tables.VERSION}",
            path,
            "Drain it with the version that wrote it, or configure a new path; the file was left untouched.",
        )


def _set_aside(path: Path, fault: str) -> JournalError:
    number = next(n for n in range(1, 10_000) if not path.with_name(f"{path.name}.corrupt-{n}").exists())
    aside = path.with_name(f"{path.name}.corrupt-{number}")
    for suffix in ("-wal", ""):
        with contextlib.suppress(FileNotFoundError):
            os.replace(f"{path}{suffix}", f"{aside}{suffix}")
    return JournalError(
        f"corrupt ({fault})",
        path,
        f"It was moved to {aside}; keep it for salvage. The next start begins an empty journal: "
        "what the old one still held has not been published.",
    )


def _is_busy(error: DatabaseError) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
