"""Work orders on their way: takes what is due from the outbox, asks the CMMS, writes down what it said."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from shakedown.bridge.core.work_orders import WorkOrder
from shakedown.bridge.journal.errors import JournalError
from shakedown.bridge.north.cmms import Adapter, CmmsRefused, CmmsUnavailable
from shakedown.bridge.operations import Operations

PAUSE_S = 1.0
"""How often the outbox is looked at; more hints than that change nothing."""

TOGETHER = 4
"""Orders on their way at the same time."""


class Outbox:
    """Sends and follows the work orders of `operations`; `flush` makes durable what has changed."""

    def __init__(
        self,
        operations: Operations,
        adapter: Adapter,
        flush: Callable[[], Awaitable[None]],
        log: logging.Logger,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._operations = operations
        self._adapter = adapter
        self._flush = flush
        self._log = log
        self._is_hinted = False

    def hint(self) -> None:
        """Something may have changed at the CMMS: ask for every open order at the next look, not every 10 s."""
        self._is_hinted = True

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                if self._is_hinted:
                    self._is_hinted = False
                    self._operations.work_orders.hint(time.time_ns())
                now_ns = time.time_ns()
                await self._freeze(now_ns)
                due = self._operations.work_orders.due(now_ns)
                for at in range(0, len(due), TOGETHER):
                    await asyncio.gather(*(self._work(order) for order in due[at : at + TOGETHER]))
                await asyncio.sleep(PAUSE_S)
        finally:
            await self._adapter.close()

    async def _freeze(self, now_ns: int) -> None:
        """Keep the context of new orders before the signals are forgotten, whether the CMMS answers or not."""
        orders = self._operations.work_orders
        if fresh := orders.to_freeze(now_ns):
            for order in fresh:
                orders.froze(order, self._operations.context_of(order))
            with contextlib.suppress(JournalError):  # told by who writes; it is written with the next change
                await self._flush()

    async def _work(self, order: WorkOrder) -> None:
        with contextlib.suppress(JournalError):  # told by who writes; nothing was sent that is not on disk
            await self._ask(order)

    async def _ask(self, order: WorkOrder) -> None:
        orders = self._operations.work_orders
        try:
            if order.id:
                answer = await self._adapter.follow(order)
            else:
                if not order.is_complete:
                    asset = await self._adapter.asset(order)
                    order = orders.completed(self._now(order), asset)
                    await self._flush()  # what is sent is on disk: another attempt sends the same
                self.counters["attempts"] += 1
                answer = await self._adapter.create(order)
        except CmmsUnavailable as error:
            self.counters["unavailable"] += 1
            self._log.warning("work order %s: %s", order.key, error)
            orders.failed(self._now(order), time.time_ns())
        except CmmsRefused as error:
            self.counters["refused"] += 1
            self._log.error("work order %s is refused: %s - mend the mapping in site.yaml", order.key, error)
            orders.refused(self._now(order), time.time_ns())
        else:
            self.counters["created"] += not order.id
            orders.told(self._now(order), answer.id, answer.state, answer.ended_ms, time.time_ns())
        await self._flush()

    def _now(self, order: WorkOrder) -> WorkOrder:
        """The order as it is after an await: an alarm may have come to wait behind it."""
        return self._operations.work_orders.by_place[order.place]
