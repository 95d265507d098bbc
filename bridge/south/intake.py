"""From notifications to the journal: the position moves with the values; what may be missing before them is noted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from asyncua import ua

from shakedown.bridge.core.model import Reading
from shakedown.bridge.journal.errors import JournalError
from shakedown.bridge.south import services
from shakedown.bridge.south.channel import Channel
from shakedown.bridge.south.decode import TICKS_1970, DataValue, Notification
from shakedown.bridge.south.gaps import Gap, OpenGaps
from shakedown.bridge.south.lag import Lag
from shakedown.bridge.south.position import GAP, Position
from shakedown.bridge.south.readings import take
from shakedown.bridge.south.south import OnEvent, OnReadings

JOURNAL_RETRY_S = 1.0
"""Delay before values that the journal refused (disk full) are offered to it again; nothing is acknowledged."""

NAMES_MAX = 20
"""Names of metrics that one event lists."""

LAG_SAMPLES = 32
"""Values of a message whose age is looked at."""

log = logging.getLogger(__name__)


class Intake:
    """Owns the position in the server's subscription, and is the only one to move it."""

    def __init__(
        self,
        name: str,
        channel: Channel,
        position: Position,
        gaps: OpenGaps,
        on_readings: OnReadings,
        on_event: OnEvent,
    ) -> None:
        self.name = name
        self.channel = channel
        self.position = position
        self.gaps = gaps
        self.on_gaps: Callable[[], None] = lambda: None
        self.server = services.Server((), services.ITEMS_PER_CALL_MAX)
        self.counters: Counter[str] = Counter()
        self._lag = Lag()
        self._on_readings = on_readings
        self._on_event = on_event

    def disown(self) -> None:
        """The subscription is gone at the server; how far its values have come stays known."""
        self.position = replace(self.position, subscription_id=0)

    def event(self, kind: str, **details: Any) -> None:
        """Report what should be on record."""
        log.info("%s: %s %s", self.name, kind, details)
        self._on_event(kind, {"south": self.name, **details})

    async def journal(self, readings: Sequence[Reading], entries: Mapping[str, bytes | None]) -> None:
        """Have both put into the journal in one transaction; returns when they are, however long that takes."""
        while True:
            try:
                await self._on_readings(readings, entries)
                break
            except JournalError as error:
                self.counters["journal_refusals"] += 1
                self.event("journal_refused", error=str(error))
                await asyncio.sleep(JOURNAL_RETRY_S)
        self.counters["readings"] += len(readings)

    async def store(self, readings: Sequence[Reading], position: Position, gaps: Iterable[Gap] = ()) -> None:
        """Journal readings, the position behind them and the gaps before them."""
        entries = position.entries(self.name, self.position)
        opened, hopeless = self.gaps.opened(gaps)
        await self.journal(readings, {**entries, **self.gaps.entries(opened)})
        self.position = position
        self.gaps.take(opened)
        if opened:
            self.on_gaps()
        self.report(0, 0, hopeless)

    def heard(self, notification: Notification) -> None:
        """Note how old it is; what a new subscription begins with may be as old as it likes."""
        now = _now_ticks()
        sources: list[int] = []
        if not notification.keep_alive:
            ticks, gap, values = self.position.ticks, self.position.gap, notification.values
            sources = [
                value.source_ticks
                for value in values[:: 1 + len(values) // LAG_SAMPLES]
                if value.handle < len(ticks) and ticks[value.handle] and not gap[value.handle]
            ]
            if not sources:
                return
        if self._lag.note(now, notification.published, sources):
            kind = "source_behind" if self._lag.is_behind else "source_caught_up"
            self.event(kind, lag_ms=self._lag.ms)
        self.counters["lag_ms"] = self._lag.ms

    async def take(self, notifications: Sequence[Notification]) -> None:
        """Journal notifications that follow each other, in one transaction."""
        await self._take([n.values for n in notifications], notifications[-1].sequence)

    def report(self, recovered: int, filled: int, hopeless: Sequence[Gap]) -> None:
        """Put on record what became of gaps."""
        self.counters["values_recovered"] += recovered
        self.counters["gaps_filled"] += filled
        self.counters["gaps_declared"] += len(hopeless)
        if filled or hopeless:
            self.event(
                "gap",
                recovered=recovered,
                filled=filled,
                declared=len(hopeless),
                open=len(self.gaps),
                reasons=sorted({gap.why for gap in hopeless}),
                metrics=[gap.key for gap in hopeless[:NAMES_MAX]],
            )

    async def declare_break(self, sequence: int) -> None:
        """Messages up to `sequence` are gone for good: before the next value of every item something may be missing."""
        self.counters["messages_lost"] += 1
        self.event("message_lost", sequence=sequence)
        draft = self.position.copy()
        draft.sequence = sequence
        for handle, ticks in enumerate(draft.ticks):
            if ticks:
                draft.gap[handle] = GAP
        await self.store([], draft)

    async def read_suspects(self) -> None:
        """Read what items with a possible gap are now: a quiet one would show an old value while it is quiet."""
        position = self.position
        items = [
            (handle, node_id)
            for handle, item in enumerate(position.items)
            if position.gap[handle]
            and item.monitored_item_id
            and isinstance(
                node_id := services.node_id_of(item.node_id, position.namespaces, self.server), ua.NodeId
            )
        ]
        if items:
            values = await services.read_values(self.channel, self.server, items)
            await self._take([values], self.position.sequence)

    async def _take(self, batches: Sequence[Sequence[DataValue]], sequence: int) -> None:
        draft = self.position.copy()
        readings: list[Reading] = []
        gaps: list[Gap] = []
        now_ticks = _now_ticks()
        for values in batches:
            gaps += take(draft, values, readings, now_ticks=now_ticks, counters=self.counters)
        draft.sequence = sequence
        await self.store(readings, draft, gaps)


def _now_ticks() -> int:
    return time.time_ns() // 100 + TICKS_1970
