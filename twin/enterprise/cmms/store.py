"""The CMMS's memory: SQLite, one transaction a request, called inline from the event loop."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from shakedown.twin.enterprise.cmms.model import TRANSITIONS, Asset, NewAssignment, NewComment, NewWorkOrder
from shakedown.twin.enterprise.errors import LabServiceError

ASSETS_MAX = 10_000
ASSIGNMENTS_MAX = 100_000
WORK_ORDERS_MAX = 100_000
COMMENTS_MAX = 1_000  # of one work order
ATTACHMENTS_MAX = 20  # of one work order
IDEMPOTENCY_KEYS_MAX = 100_000  # beyond it the oldest is forgotten

_SCHEMA = """
CREATE TABLE IF NOT EXISTS assets (id TEXT PRIMARY KEY, description TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS assignments (
    id INTEGER PRIMARY KEY, equipment TEXT NOT NULL, physical_asset TEXT NOT NULL REFERENCES assets (id),
    from_ms INTEGER NOT NULL, to_ms INTEGER);
CREATE INDEX IF NOT EXISTS assignments_by_equipment ON assignments (equipment, from_ms);
CREATE TABLE IF NOT EXISTS work_orders (
    number INTEGER PRIMARY KEY, state TEXT NOT NULL, equipment TEXT NOT NULL, physical_asset TEXT, alarm TEXT NOT NULL,
    device TEXT NOT NULL, occurrence INTEGER NOT NULL, priority TEXT NOT NULL, raised_ms INTEGER NOT NULL,
    created_ms INTEGER NOT NULL, owner TEXT NOT NULL, assigned_to TEXT NOT NULL, reason BLOB NOT NULL,
    context BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS work_orders_by_state ON work_orders (state, number);
CREATE TABLE IF NOT EXISTS history (
    id INTEGER PRIMARY KEY, number INTEGER NOT NULL REFERENCES work_orders (number), ms INTEGER NOT NULL,
    state TEXT NOT NULL, by TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS history_by_number ON history (number);
CREATE TABLE IF NOT EXISTS comments (
    id INTEGER PRIMARY KEY, number INTEGER NOT NULL REFERENCES work_orders (number), ms INTEGER NOT NULL,
    by TEXT NOT NULL, text TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS comments_by_number ON comments (number);
CREATE TABLE IF NOT EXISTS attachments (
    id INTEGER PRIMARY KEY, number INTEGER NOT NULL REFERENCES work_orders (number), ordinal INTEGER NOT NULL,
    ms INTEGER NOT NULL, name TEXT NOT NULL, media_type TEXT NOT NULL, content BLOB NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS attachments_by_number ON attachments (number, ordinal);
CREATE TABLE IF NOT EXISTS idempotency (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, fingerprint BLOB NOT NULL, status INTEGER NOT NULL,
    answer BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS webhooks (
    id INTEGER PRIMARY KEY, url TEXT NOT NULL, created_ms INTEGER NOT NULL, delivered INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, webhook INTEGER NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event TEXT NOT NULL, ms INTEGER NOT NULL, work_order BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS deliveries_by_webhook ON deliveries (webhook, id);
"""


class Refused(Exception):
    """A request that cannot be done: HTTP status, what is wrong and the remedy, perhaps several errors at once."""

    def __init__(self, status: int, detail: str, errors: tuple[str, ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors


Row = dict[str, Any]


def now_ms() -> int:
    """Milliseconds since the Unix epoch, as every time in the CMMS."""
    return time.time_ns() // 1_000_000


def order_id(number: int) -> str:
    """The name of a work order that people use."""
    return f"WO-{number:06d}"


def order_number(order: str) -> int:
    """The number in a work order's name. Raises Refused (404) when it is none."""
    digits = order.removeprefix("WO-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 12) or order != order_id(int(digits)):
        raise Refused(404, f"there is no work order {order[:40]!r}; names look like WO-000001")
    return int(digits)


class Store:
    """Everything that the CMMS knows, in the SQLite file `path`; methods raise Refused for what cannot be.

    Raises LabServiceError for a file that cannot be used.
    """

    def __init__(self, path: Path) -> None:
        with ExitStack() as opened:
            try:
                self._db = sqlite3.connect(path, isolation_level=None)
                opened.callback(self._db.close)
                self._db.row_factory = sqlite3.Row
                # No fsync for every order: what this service may lose with the machine's power is of no interest.
                self._db.executescript(
                    "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;"
                    + _SCHEMA
                )
            except sqlite3.Error as error:
                remedy = "Name a database of a CMMS, or a new file in a folder that is yours."
                raise LabServiceError(
                    f"the CMMS cannot use the database {path}: {error}. {remedy}"
                ) from error
            opened.pop_all()

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what is done within."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _rows(self, sql: str, *values: object) -> list[Row]:
        return [dict(row) for row in self._db.execute(sql, values)]

    def _count(self, sql: str, *values: object) -> int:
        return int(self._db.execute(f"SELECT count(*) FROM {sql}", values).fetchone()[0])

    # -- assets and assignments ----------------------------------------------------------------------------------------

    def assets(self) -> list[Row]:
        """All assets in order of id."""
        return self._rows("SELECT * FROM assets ORDER BY id")

    def add_asset(self, asset: Asset) -> Row:
        """Enter an asset; 409 when its id is taken."""
        if self._count("assets WHERE id = ?", asset.id):
            raise Refused(409, f"asset {asset.id!r} is there already")
        _within(self._count("assets"), ASSETS_MAX, "assets")
        self._db.execute("INSERT INTO assets VALUES (?, ?)", (asset.id, asset.description))
        return asset.model_dump()

    def assignments(self, equipment: str | None = None, at_ms: int | None = None) -> list[Row]:
        """Assignments in order of begin, of one equipment, of one moment, or all."""
        return self._rows(
            "SELECT * FROM assignments WHERE (?1 IS NULL OR equipment = ?1)"
            " AND (?2 IS NULL OR (from_ms <= ?2 AND (to_ms IS NULL OR to_ms > ?2))) ORDER BY from_ms, id",
            equipment,
            at_ms,
        )

    def add_assignment(self, new: NewAssignment) -> Row:
        """Enter an assignment; it ends the open one of the same equipment, as a swap does. 409 where two overlap."""
        self._known_asset(new.physical_asset)
        _within(self._count("assignments"), ASSIGNMENTS_MAX, "assignments")
        self._db.execute(
            "UPDATE assignments SET to_ms = ?1 WHERE equipment = ?2 AND to_ms IS NULL AND from_ms < ?1",
            (new.from_ms, new.equipment),
        )
        overlap = self._rows(
            "SELECT * FROM assignments WHERE (equipment = ?1 OR physical_asset = ?2)"
            " AND (?4 IS NULL OR from_ms < ?4) AND (to_ms IS NULL OR to_ms > ?3)",
            new.equipment,
            new.physical_asset,
            new.from_ms,
            new.to_ms,
        )
        if overlap:
            other = overlap[0]
            where = f"{other['physical_asset']!r} at {other['equipment']!r}"
            when = f"from {other['from_ms']} to {other['to_ms']}"
            raise Refused(
                409, f"assignment {other['id']} has {where} {when}; nothing is in two places at once"
            )
        cursor = self._db.execute(
            "INSERT INTO assignments (equipment, physical_asset, from_ms, to_ms) VALUES (?, ?, ?, ?)",
            (new.equipment, new.physical_asset, new.from_ms, new.to_ms),
        )
        return {"id": cursor.lastrowid, **new.model_dump()}

    def _known_asset(self, asset: str) -> None:
        if not self._count("assets WHERE id = ?", asset):
            raise Refused(422, f"physical_asset {asset!r} is unknown; enter it with POST /assets first")

    # -- work orders ---------------------------------------------------------------------------------------------------

    def add_order(self, new: NewWorkOrder) -> Row:
        """Enter a work order; its state is `open`."""
        _within(self._count("work_orders"), WORK_ORDERS_MAX, "work orders")
        asset = new.physical_asset
        if asset is None:
            assigned = self.assignments(new.equipment, new.raised_ms)
            asset = assigned[0]["physical_asset"] if assigned else None
        else:
            self._known_asset(asset)
        ms = now_ms()
        cursor = self._db.execute(
            "INSERT INTO work_orders (state, equipment, physical_asset, alarm, device, occurrence, priority, raised_ms,"
            " created_ms, owner, assigned_to, reason, context) VALUES ('open', ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?)",
            (new.equipment, asset, new.alarm, new.device, new.occurrence, new.priority, new.raised_ms, ms, new.owner,
             _json(new.reason.model_dump()), _json([signal.model_dump() for signal in new.context])),
        )  # fmt: skip
        number = cursor.lastrowid or 0
        self._note(number, ms, "open", new.by)
        return self.order(number)

    def orders(self, filters: dict[str, str], after: int, limit: int) -> list[Row]:
        """Work orders with a number above `after`, `limit` at most; `filters` holds columns and their values."""
        where = "".join(f" AND {column} = ?" for column in filters)
        rows = self._rows(
            f"SELECT number FROM work_orders WHERE number > ?{where} ORDER BY number LIMIT ?",
            after,
            *filters.values(),
            limit,
        )
        return [self.order(row["number"]) for row in rows]

    def last_order_number(self) -> int:
        """Number of the latest work order, 0 without any: none is ever removed."""
        return int(self._db.execute("SELECT coalesce(max(number), 0) FROM work_orders").fetchone()[0])

    def order(self, number: int) -> Row:
        """One work order with everything that belongs to it; 404 when there is none."""
        rows = self._rows("SELECT * FROM work_orders WHERE number = ?", number)
        if not rows:
            raise Refused(404, f"there is no work order {order_id(number)}")
        row = rows[0]
        row = {"id": order_id(row.pop("number")), **row}
        row["reason"], row["context"] = msgspec.Raw(row["reason"]), msgspec.Raw(row["context"])
        history = self._db.execute(
            "SELECT ms, state, by FROM history WHERE number = ? ORDER BY id", (number,)
        )
        row["history"] = [list(entry) for entry in history]
        row["comments"] = self._rows("SELECT by, text, ms FROM comments WHERE number = ? ORDER BY id", number)
        row["attachments"] = self._rows(
            "SELECT ordinal AS number, name, media_type, length(content) AS size, ms FROM attachments"
            " WHERE number = ? ORDER BY ordinal",
            number,
        )
        return row

    def change_order(self, number: int, state: str, by: str, assigned_to: str | None) -> tuple[Row, bool]:
        """Bring a work order into `state`; whether anything changed. 409 where the present state does not allow it."""
        before = self.order(number)
        if assigned_to is None:
            assigned_to = before["assigned_to"]
        if (before["state"], before["assigned_to"]) == (state, assigned_to):
            return before, False
        if state != before["state"]:
            allowed = TRANSITIONS[before["state"]]
            if state not in allowed:
                raise Refused(409, f"{order_id(number)} is {before['state']}; from there it may become "
                                   f"{', '.join(allowed) or 'nothing else'}, not {state}")  # fmt: skip
            self._note(number, now_ms(), state, by)
        self._db.execute(
            "UPDATE work_orders SET state = ?, assigned_to = ? WHERE number = ?", (state, assigned_to, number)
        )
        return self.order(number), True

    def _note(self, number: int, ms: int, state: str, by: str) -> None:
        self._db.execute(
            "INSERT INTO history (number, ms, state, by) VALUES (?, ?, ?, ?)", (number, ms, state, by)
        )

    def add_comment(self, number: int, comment: NewComment) -> Row:
        """Append a comment to a work order."""
        self.order(number)
        _within(self._count("comments WHERE number = ?", number), COMMENTS_MAX, "comments on one work order")
        ms = now_ms()
        self._db.execute(
            "INSERT INTO comments (number, ms, by, text) VALUES (?, ?, ?, ?)",
            (number, ms, comment.by, comment.text),
        )
        return {**comment.model_dump(), "ms": ms}

    def add_attachment(self, number: int, name: str, media_type: str, content: bytes) -> Row:
        """Append a file to a work order."""
        there = len(self.order(number)["attachments"])
        _within(there, ATTACHMENTS_MAX, "attachments on one work order")
        ms = now_ms()
        self._db.execute(
            "INSERT INTO attachments (number, ordinal, ms, name, media_type, content) VALUES (?, ?, ?, ?, ?, ?)",
            (number, there + 1, ms, name, media_type, content),
        )
        return {"number": there + 1, "name": name, "media_type": media_type, "size": len(content), "ms": ms}

    def attachment(self, number: int, ordinal: int) -> Row:
        """One attachment with its content; 404 when there is none."""
        rows = self._rows("SELECT * FROM attachments WHERE number = ? AND ordinal = ?", number, ordinal)
        if not rows:
            raise Refused(404, f"{order_id(number)} has no attachment {ordinal}")
        return rows[0]

    # -- idempotency keys ----------------------------------------------------------------------------------------------

    def answered(self, key: str, fingerprint: bytes) -> tuple[int, bytes] | None:
        """The answer given under this key; 409 when it belongs to another request."""
        rows = self._rows("SELECT * FROM idempotency WHERE key = ?", key)
        if not rows:
            return None
        if rows[0]["fingerprint"] != fingerprint:
            raise Refused(
                409, f"Idempotency-Key {key[:80]!r} was used for another request; use a new key for a new one"
            )
        return rows[0]["status"], rows[0]["answer"]

    def remember(self, key: str, fingerprint: bytes, status: int, answer: bytes) -> None:
        """Keep an answer under its key; the oldest key goes when there are too many."""
        cursor = self._db.execute(
            "INSERT INTO idempotency (key, fingerprint, status, answer) VALUES (?, ?, ?, ?)",
            (key, fingerprint, status, answer),
        )
        oldest = (cursor.lastrowid or 0) - IDEMPOTENCY_KEYS_MAX
        self._db.execute("DELETE FROM idempotency WHERE id <= ?", (oldest,))

    # -- webhooks ------------------------------------------------------------------------------------------------------

    def webhooks(self) -> list[Row]:
        """All webhooks in the order of their making."""
        return self._rows(
            "SELECT id, url, created_ms, delivered, dropped,"
            " (SELECT count(*) FROM deliveries WHERE webhook = webhooks.id) AS waiting FROM webhooks ORDER BY id"
        )

    def add_webhook(self, url: str, most: int) -> Row:
        """Enter a webhook; `most` of them at a time."""
        _within(self._count("webhooks"), most, "webhooks")
        cursor = self._db.execute("INSERT INTO webhooks (url, created_ms) VALUES (?, ?)", (url, now_ms()))
        return next(hook for hook in self.webhooks() if hook["id"] == cursor.lastrowid)

    def remove_webhook(self, hook: int) -> None:
        """Remove a webhook and what waits for it; 404 when there is none."""
        if not self._db.execute("DELETE FROM webhooks WHERE id = ?", (hook,)).rowcount:
            raise Refused(404, f"there is no webhook {hook}")

    def announce(self, event: str, order: Row, waiting_max: int) -> None:
        """Queue a delivery for each webhook; where `waiting_max` wait already it is dropped and counted."""
        hooks = self.webhooks()
        content = _json(order) if hooks else b""
        for hook in hooks:
            if hook["waiting"] >= waiting_max:
                self._db.execute("UPDATE webhooks SET dropped = dropped + 1 WHERE id = ?", (hook["id"],))
                continue
            self._db.execute(
                "INSERT INTO deliveries (webhook, event, ms, work_order) VALUES (?, ?, ?, ?)",
                (hook["id"], event, now_ms(), content),
            )

    def next_delivery(self, hook: int) -> Row | None:
        """The oldest delivery that waits for this webhook."""
        rows = self._rows("SELECT * FROM deliveries WHERE webhook = ? ORDER BY id LIMIT 1", hook)
        return rows[0] if rows else None

    def end_delivery(self, delivery: Row, *, delivered: bool) -> None:
        """Take a delivery off the queue, delivered or given up."""
        column = "delivered" if delivered else "dropped"
        self._db.execute("DELETE FROM deliveries WHERE id = ?", (delivery["id"],))
        self._db.execute(f"UPDATE webhooks SET {column} = {column} + 1 WHERE id = ?", (delivery["webhook"],))


def _within(there: int, most: int, what: str) -> None:
    if there >= most:
        raise Refused(507, f"no more than {most} {what} fit in")


_json = msgspec.json.Encoder().encode
