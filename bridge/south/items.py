"""The monitored items of a subscription: what is configured, what the server refuses, and when it is asked again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from asyncua import ua

from shakedown.bridge.core.model import Metric, Reading
from shakedown.bridge.south import services
from shakedown.bridge.south.config import OpcUaConfig
from shakedown.bridge.south.intake import Intake
from shakedown.bridge.south.position import Item, Position, key_of

RETRY_S = (10.0, 300.0)
"""Delay before items that the server refused are tried again: doubles from the first to the second."""


class MonitoredItems:
    """Keeps the server's monitored items those of the configuration; one that is refused takes no other down."""

    def __init__(self, intake: Intake, metrics: Sequence[Metric], config: OpcUaConfig) -> None:
        self.unsure = (
            False  # a CreateMonitoredItems may have worked without our knowing: all would come twice
        )
        self._intake = intake
        self._metrics = metrics
        self._config = config
        self._refused: dict[int, int] = {}  # client handle -> StatusCode
        self._retry_at_s = 0.0
        self._retry_delay_s = RETRY_S[0]

    def forget(self) -> None:
        """A new subscription begins: nothing is created and nothing refused."""
        self.unsure = False
        self._refused.clear()

    async def sync(self) -> None:
        """Create what is configured and not monitored, delete what is monitored and no longer configured."""
        intake = self._intake
        position = intake.position
        known = {(item.key, item.node_id) for item in position.items if item.metric_id is not None}
        position = position.extended(
            Item(key_of(metric), metric.node_id, metric.metric_id)
            for metric in self._metrics
            if (key_of(metric), metric.node_id) not in known
        )
        gone = [i.monitored_item_id for i in position.items if i.metric_id is None and i.monitored_item_id]
        if gone:
            await services.delete_items(intake.channel, intake.server, position.subscription_id, gone)
            position.items = tuple(
                item if item.metric_id is not None else replace(item, monitored_item_id=0)
                for item in position.items
            )
        self._retry_delay_s = RETRY_S[0]
        await self._create(position)

    async def retry(self) -> None:
        """Try refused items again, when it is time."""
        if self._refused and asyncio.get_running_loop().time() >= self._retry_at_s:
            await self._create(self._intake.position.copy())

    async def _create(self, position: Position) -> None:
        intake = self._intake
        results: dict[int, tuple[int, int]] = {}  # client handle -> StatusCode, monitored item id
        asked: list[tuple[int, ua.NodeId]] = []
        for handle, item in enumerate(position.items):
            if item.metric_id is None or item.monitored_item_id:
                continue
            node_id = services.node_id_of(item.node_id, position.namespaces, intake.server)
            if isinstance(node_id, ua.NodeId):
                asked.append((handle, node_id))
            else:
                results[handle] = (node_id, 0)
        if asked:
            self.unsure = True
            answers = await services.create_items(
                intake.channel,
                intake.server,
                position.subscription_id,
                asked,
                sampling_interval_ms=self._config.sampling_interval_ms,
                queue_size=self._config.queue_size,
            )
            results |= {handle: answer for (handle, _), answer in zip(asked, answers, strict=True)}
        if results:
            await intake.store(self._note(position, results), position)
        elif position.items is not intake.position.items:
            await intake.store([], position)
        self.unsure = False
        self._retry_at_s = asyncio.get_running_loop().time() + self._retry_delay_s
        self._retry_delay_s = min(2 * self._retry_delay_s, RETRY_S[1])

    def _note(self, position: Position, results: Mapping[int, tuple[int, int]]) -> list[Reading]:
        """Note which items exist now; return a Bad reading for each that is refused for the first time or anew."""
        items = list(position.items)
        refused: dict[int, int] = {}
        readings = []
        for handle, (status, monitored_item_id) in sorted(results.items()):
            item = items[handle]
            if status < 0x4000_0000:
                items[handle] = replace(item, monitored_item_id=monitored_item_id)
                continue
            refused[handle] = status
            if self._refused.get(handle) != status and item.metric_id is not None:
                self._intake.counters["items_refused"] += 1
                self._intake.event("item_refused", metric=item.key, status=ua.StatusCode(status).name)
                readings.append(Reading(item.metric_id, time.time_ns(), None, status))
        position.items = tuple(items)
        self._refused = refused
        return readings
