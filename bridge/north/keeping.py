"""Between one target's forwarding, which decides, and the journal, which keeps: each learns what the other knows."""

from __future__ import annotations

import logging
import time
from collections import deque
from datetime import UTC, datetime

from shakedown.bridge.core.forwarding import Forwarding, ForwardingConfig
from shakedown.bridge.core.memory import Memory
from shakedown.bridge.core.spans import Spans
from shakedown.bridge.journal.errors import JournalError
from shakedown.bridge.journal.journal import Journal

SAVE_S = 5.0
"""How old what the journal knows of the forwarding may be: a SIGKILL costs sending so much again."""

RETRY_S = 1.0
"""Pause after what could not be written."""

DROPS_MAX = 256
"""Dropped spans whose time is remembered for the log."""


class Keeper:
    """`keep` is called about once a second and more often; `entries` goes with the rows that are written anyway."""

    def __init__(
        self,
        name: str,
        policy: ForwardingConfig,
        journal: Journal,
        make: type[Forwarding],
        log: logging.Logger,
    ) -> None:
        self._name = name
        self._journal = journal
        self._log = log
        self._key = f"bridge/forwarding/{name}"
        self._saved_s = self._retry_s = 0.0
        self._drops: deque[tuple[int, int, int, int]] = deque(maxlen=DROPS_MAX)
        self.forwarding = make(
            policy,
            journal.watermark(name),
            journal.last_row,
            self._memory(),
            settled=journal.settled(name),
            gone=journal.gone(name),
        )

    def entries(self) -> dict[str, bytes]:
        """How far the forwarding is, every `SAVE_S`."""
        now_s = time.monotonic()
        if now_s - self._saved_s < SAVE_S:
            return {}
        self._saved_s = now_s
        return {self._key: self.forwarding.memory().encode()}

    def dropped(self, first_row: int, last_row: int, from_ts_ms: int, to_ts_ms: int) -> None:
        """The journal has dropped rows at its bound, or found them damaged."""
        self._drops.append((first_row, last_row, from_ts_ms, to_ts_ms))
        self.forwarding.dropped(first_row, last_row)

    async def keep(self) -> None:
        """Do what is due, if the journal can be written: again after `RETRY_S` if it cannot."""
        if time.monotonic() < self._retry_s:
            return
        try:
            await self._keep()
        except JournalError as error:
            self._retry_s = time.monotonic() + RETRY_S
            self._log.error("north %s: %s", self._name, error)

    async def _keep(self) -> None:
        """Declare, confirm and settle, write down what was doubted, and say what may be dropped first."""
        forwarding, journal, name = self.forwarding, self._journal, self._name
        if forwarding.lost:  # before the cursor passes them
            await self._declare(Spans(forwarding.lost))
        if (row := forwarding.confirmable()) is not None:
            await journal.confirm(name, row)
            forwarding.confirmed(row)
        if forwarding.arrived:
            rows = Spans(forwarding.arrived)
            await journal.settle(name, tuple(rows))
            forwarding.settled(rows)
        if forwarding.is_unsaved:
            await self.save()
        journal.spare(name, forwarding.spare())

    async def save(self) -> None:
        """Write down what the forwarding knows. Until that succeeds barriers are not retained. Raises JournalError."""
        forwarding = self.forwarding
        forwarding.is_unsaved, self._saved_s = False, time.monotonic()
        try:
            await self._journal.append([], {self._key: forwarding.memory().encode()})
        except JournalError:
            forwarding.is_unsaved = True
            raise

    async def _declare(self, rows: Spans) -> None:
        number = await self._journal.declare(self._name, tuple(rows))
        self.forwarding.declared(rows)
        times = [
            ts_ms
            for first, last, *span in self._drops
            if span[1] and rows.within([(first, last)])
            for ts_ms in span
        ]
        self._log.error(
            "north %s: %d rows are lost (%s): the journal was full, or damaged",
            self._name, number, f"{_time(min(times))} to {_time(max(times))}" if times else "time not known",
        )  # fmt: skip

    def _memory(self) -> Memory:
        """What the process before has left; a new journal has a name of its own in the barriers."""
        stored = self._journal.get(self._key)
        try:
            return Memory.decode(stored) if stored else Memory(run=f"{time.time_ns():x}")
        except ValueError as error:
            self._log.error("north %s: journal entry %s %s", self._name, self._key, error)
            return Memory(run=f"{time.time_ns():x}")


def _time(ts_ms: int) -> str:
    return datetime.fromtimestamp(ts_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
