"""From notifications to the journal: the position moves with the values, and gaps are filled from history first."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from asyncua import ua

from shakedown.bridge.core.model import Reading
from shakedown.bridge.journal_file import JournalError
from shakedown.bridge.south import services
from shakedown.bridge.south.channel import Channel
from shakedown.bridge.south.decode import TICKS_1970, DataValue, HistoryPage, Notification
from shakedown.bridge.south.position import GAP, Position
from shakedown.bridge.south.readings import checksum, overflowed, take, ticks_of
from shakedown.bridge.south.south import OnEvent, OnReadings

JOURNAL_RETRY_S = 1.0
"""Delay before values that the journal refused (disk full) are offered to it again; nothing is acknowledged."""

NAMES_MAX = 20
"""Names of metrics that one event lists."""

NOTHING_MISSING, FILLED = "nothing missing", "filled"
"""What may become of a gap; any other text is the reason why something stays missing."""

log = logging.getLogger(__name__)


class Intake:
    """Owns the position in the server's subscription, and is the only one to move it."""

    def __init__(
        self, name: str, channel: Channel, position: Position, on_readings: OnReadings, on_event: OnEvent
    ) -> None:
        self.name = name
        self.channel = channel
        self.position = position
        self.server = services.Server((), services.ITEMS_PER_CALL_MAX)
        self.counters: Counter[str] = Counter()
        self._on_readings = on_readings
        self._on_event = on_event

    def disown(self) -> None:
        """The subscription is gone at the server; how far its values have come stays known."""
        self.position = replace(self.position, subscription_id=0)

    def event(self, kind: str, **details: Any) -> None:
        """Report what should be on record."""
        log.info("%s: %s %s", self.name, kind, details)
        self._on_event(kind, {"south": self.name, **details})

    async def store(self, readings: Sequence[Reading], position: Position) -> None:
        """Have readings and position put into the journal; returns when they are, however long that takes."""
        entries = position.entries(self.name, self.position)
        while True:
            try:
                await self._on_readings(readings, entries)
                break
            except JournalError as error:
                self.counters["journal_refusals"] += 1
                self.event("journal_refused", error=str(error))
                await asyncio.sleep(JOURNAL_RETRY_S)
        self.counters["readings"] += len(readings)
        self.position = position

    async def take(self, notifications: Sequence[Notification]) -> None:
        """Journal notifications that follow each other; in one transaction where nothing has to be filled in."""
        suspicious = any(self.position.gap) or any(
            overflowed(value.status) for n in notifications for value in n.values if value.status
        )
        if not suspicious:
            await self._store_values([n.values for n in notifications], notifications[-1].sequence)
            return
        for notification in notifications:
            await self.take_values(notification.values, notification.sequence)

    async def take_values(self, values: Sequence[DataValue], sequence: int) -> None:
        """Journal values after what is missing before them."""
        await self._fill(values)
        await self._store_values([values], sequence)

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
            await self.take_values(values, self.position.sequence)

    async def _store_values(self, batches: Sequence[Sequence[DataValue]], sequence: int) -> None:
        draft = self.position.copy()
        readings: list[Reading] = []
        now_ticks = _now_ticks()
        for values in batches:
            take(draft, values, readings, now_ticks=now_ticks, counters=self.counters)
        draft.sequence = sequence
        await self.store(readings, draft)

    # -- gaps -------------------------------------------------------------------------------------------------

    async def _fill(self, values: Sequence[DataValue]) -> None:
        """Fill from history what may be missing before the first value of each item; declare what stays missing."""
        recovered_before = self.counters["values_recovered"]
        seen: set[int] = set()
        filled = 0
        declared: dict[str, str] = {}
        for value in values:
            handle = value.handle
            lost = overflowed(value.status)
            if handle >= len(self.position.items) or self.position.items[handle].metric_id is None:
                continue
            if not lost and (handle in seen or not self.position.gap[handle]):
                continue
            key = self.position.items[handle].key
            if handle in seen:
                outcome = "queue overflow within one message"
            else:
                seen.add(handle)
                outcome = await self._fill_one(handle, value, lost)
            if lost:
                self.counters["overflows"] += 1
            if outcome == FILLED:
                filled += 1
            elif outcome != NOTHING_MISSING:
                declared[key] = outcome
        self.counters["gaps_filled"] += filled
        self.counters["gaps_declared"] += len(declared)
        if filled or declared:
            self.event(
                "gap",
                recovered=self.counters["values_recovered"] - recovered_before,
                filled=filled,
                declared=len(declared),
                reasons=sorted(set(declared.values())),
                metrics=list(declared)[:NAMES_MAX],
            )

    async def _fill_one(self, handle: int, value: DataValue, lost: bool) -> str:
        """Journal what history has before `value`; return NOTHING_MISSING, FILLED, or why something stays missing.

        The gap is closed at the end: who is interrupted finds it open, in the journal too, and goes on from there.
        """
        after = self.position.ticks[handle]
        before = ticks_of(value, _now_ticks(), Counter())
        if (
            self.position.gap[handle] == GAP
            and before == after
            and checksum(value.status, value.value) == self.position.check[handle]
        ):
            return NOTHING_MISSING  # the server still has the value that we have: `take` will drop it
        recovered_before = self.counters["values_recovered"]
        outcome = await self._read_back(handle, lost, after, before)
        recovered = self.counters["values_recovered"] > recovered_before
        # Where history had this value too, the gap stays for `take` to drop the value if it is the same.
        has_value = recovered and self.position.ticks[handle] == before
        self.position.gap[handle] = GAP if has_value else 0
        return outcome

    async def _read_back(self, handle: int, lost: bool, after: int, before: int) -> str:
        if not after:
            return "queue overflow before the first value" if lost else NOTHING_MISSING
        if before < after:
            return "the clock of the source went back"
        node_id = services.node_id_of(
            self.position.items[handle].node_id, self.position.namespaces, self.server
        )
        if not isinstance(node_id, ua.NodeId):
            return "the node is gone"
        self.counters["history_reads"] += 1
        reached_back, page, pages = False, HistoryPage(0, [], None), 0
        while pages == 0 or page.continuation_point:
            if pages == services.HISTORY_PAGES_MAX:
                return f"history takes more than {pages} pages"
            page = await services.history_page(self.channel, node_id, after, before, page.continuation_point)
            if page.status >= 0x4000_0000:
                return f"no history: {ua.StatusCode(page.status).name}"
            pages += 1
            reached_back |= await self._store_page(handle, page.values, after, before)
        return FILLED if reached_back else "history does not reach back far enough"

    async def _store_page(self, handle: int, page: Sequence[DataValue], after: int, before: int) -> bool:
        """Journal the values of one page that are new; return whether it holds the last value we had before."""
        draft = self.position.copy()
        last = draft.ticks[handle]
        known = draft.same[handle]  # so many values with just that time are in the journal
        fresh: list[DataValue] = []
        reached_back = False
        for value in page:
            ticks = ticks_of(value, 0, Counter())
            reached_back |= ticks == after
            if ticks == last and known:
                known -= 1
            elif last <= ticks <= before:
                fresh.append(value._replace(handle=handle))
        if fresh:
            readings: list[Reading] = []
            draft.gap[handle] = 0
            take(draft, fresh, readings, now_ticks=0, counters=self.counters)
            draft.gap[handle] = GAP
            self.counters["values_recovered"] += len(readings)
            await self.store(readings, draft)
        return reached_back


def _now_ticks() -> int:
    return time.time_ns() // 100 + TICKS_1970
