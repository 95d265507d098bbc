"""What a line writes, at hand while it runs: the last sample of each signal, the last events of each kind."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from shakedown.twin.ledger import NS_PER_MS, Change, Ledger

EVENTS_MAX = 1_000  # held of each kind; the oldest is forgotten

Event = tuple[int, int, str, str, Mapping[str, Any]]
"""Number (from 1, without gaps over all kinds), ns, kind, machine, data."""


class LiveLedger:
    """A `Chronicle` in memory, of bounded size; with a `file` everything is written there too.

    `latest` holds `(source_ts_ns, value, status)` by signal index; `upsets` when each one in force began, by id.
    """

    def __init__(self, start_ns: int, file: Ledger | None = None) -> None:
        self.start_ns = file.start_ns if file is not None else start_ns // NS_PER_MS * NS_PER_MS
        self.latest: dict[int, tuple[int, Any, int]] = {}
        self.upsets: dict[str, int] = {}
        self.samples_offered = 0
        self.events_counted = 0
        self._file = file
        self._events: dict[str, deque[Event]] = {}

    def header(
        self, plant: str, seed: int, signals: Sequence[Any], more: Mapping[str, Any] | None = None
    ) -> None:
        """The line begins."""
        if self._file is not None:
            self._file.header(plant, seed, signals, more)

    def samples(self, source_ts_ns: int, changes: Iterable[Change]) -> None:
        """One scan."""
        changes = list(changes)
        if self._file is not None:
            self._file.samples(source_ts_ns, changes)
        self.latest |= {index: (source_ts_ns, value, status) for index, value, status in changes}
        self.samples_offered += len(changes)

    def event(self, ns: int, kind: str, machine: str, data: Mapping[str, Any]) -> None:
        """One physical event."""
        if self._file is not None:
            self._file.event(ns, kind, machine, data)
        self.events_counted += 1
        events = self._events.setdefault(kind, deque(maxlen=EVENTS_MAX))
        events.append((self.events_counted, ns, kind, machine, data))
        if kind == "upset":
            if data["phase"] == "start":
                self.upsets.setdefault(data["id"], ns)
            else:
                self.upsets.pop(data["id"], None)

    def tail(self, limit: int, kind: str | None = None, after: int = 0) -> list[Event]:
        """The last `limit` events that are held, of one kind or of all, with a number above `after`; oldest first."""
        kinds = [self._events.get(kind, deque())] if kind is not None else list(self._events.values())
        found: list[Event] = []
        for events in kinds:
            newest = islice(reversed(events), limit)
            found += [event for event in newest if event[0] > after]
        return sorted(found, key=lambda event: event[0])[-limit:]
