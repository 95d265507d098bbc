"""The OPC UA south: a subscription from which nothing is lost as long as the server keeps it, and more than that.

A NotificationMessage is acknowledged after its values are in the journal, together with the sequence number they
came under. So the server can be asked for whatever was in flight, whether the connection broke or this process was
killed: ActivateSession or TransferSubscriptions, then Republish (Part 4, 6.7). Where the subscription itself is gone
a new one is made, and what happened in between is read from the server's history; what cannot be had is declared.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from asyncua import ua

from shakedown.bridge.core.model import Metric
from shakedown.bridge.south import services
from shakedown.bridge.south.backfill import Backfill
from shakedown.bridge.south.channel import Channel
from shakedown.bridge.south.config import OpcUaConfig
from shakedown.bridge.south.decode import Malformed
from shakedown.bridge.south.gaps import OpenGaps
from shakedown.bridge.south.intake import Intake
from shakedown.bridge.south.items import MonitoredItems
from shakedown.bridge.south.life import Life
from shakedown.bridge.south.position import key_of, restore
from shakedown.bridge.south.south import OnEvent, OnReadings
from shakedown.bridge.south.stream import Stream, SubscriptionLost

SILENT_RESUMES_MAX = 2
"""Connections in a row that bring nothing before the subscription behind them is taken for dead and replaced."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When patience ends. Silence is measured against keep-alives, which come three times within `watchdog_s`."""

    watchdog_s: float = (
        5.0  # silence after which the connection is given up; below 5 s a busy server seems dead
    )
    lost_after_s: float = 10.0  # silence that is reported as on_lost
    reconnect_min_s: float = 1.0
    reconnect_max_s: float = 4.0

    @classmethod
    def of(cls, config: OpcUaConfig) -> Timing:
        """Ten publishing intervals, and never less than 5 s."""
        watchdog_s = max(5.0, config.publishing_interval_ms / 100)
        return cls(watchdog_s, lost_after_s=2 * watchdog_s)


class OpcUaSouth:
    """One OPC UA server as a source of readings (`south.South`)."""

    def __init__(
        self,
        name: str,
        config: OpcUaConfig,
        metrics: Sequence[Metric],
        stored: Callable[[str], bytes | None],
        *,
        on_readings: OnReadings,
        connect_to: Mapping[str, tuple[str, int]] | None = None,
        on_lost: Callable[[str], None] = lambda name: None,
        on_alive: Callable[[str], None] = lambda name: None,
        on_event: OnEvent = lambda kind, details: None,
        timing: Timing | None = None,
    ) -> None:
        self.name = name
        self._config = config
        self._metrics = tuple(metrics)
        self._timing = timing or Timing.of(config)
        self._settings = (config.publishing_interval_ms, config.sampling_interval_ms, config.queue_size)
        self._life = Life(self._timing.lost_after_s, lambda: on_lost(name), lambda: on_alive(name))
        self._channel = Channel(name, config, connect_to, self._life.answered)
        position = restore(name, stored, self._metrics)
        metric_ids = {(key_of(metric), metric.node_id): metric.metric_id for metric in self._metrics}
        gaps = OpenGaps(name, stored, metric_ids.keys())
        self._intake = Intake(name, self._channel, position, gaps, on_readings, on_event)
        self._backfill = Backfill(self._intake, metric_ids)
        self._items = MonitoredItems(self._intake, self._metrics, config)
        self._stream = Stream(
            self._intake, self._items, self._life, self._backfill.live_is_behind, self._timing.watchdog_s
        )

    @property
    def counters(self) -> Counter[str]:
        """What happened so far: readings, notifications, republished, gaps_filled, gaps_declared, malformed, ..."""
        return self._intake.counters

    async def run(self) -> None:
        """Connect, receive, and begin again, until cancelled: the session is closed then, its subscription kept.

        Raises SecurityFileError when a certificate of the configuration cannot be used.
        """
        delay_s = self._timing.reconnect_min_s
        self._life.start()
        backfill = asyncio.create_task(self._backfill.run(), name=f"backfill {self.name}")
        try:
            while not backfill.done():
                try:
                    await self._session()
                except (OSError, ua.UaError, Malformed) as error:  # a TimeoutError is an OSError
                    self._intake.event("south_disconnected", error=f"{type(error).__name__}: {error}")
                    if isinstance(error, SubscriptionLost):
                        self._intake.disown()
                if self._stream.silent_resumes == 0:
                    delay_s = self._timing.reconnect_min_s
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, self._timing.reconnect_max_s)
            backfill.result()  # it ends by a defect alone
        finally:
            self._life.stop()
            backfill.cancel()
            await asyncio.wait([backfill])

    async def _session(self) -> None:
        """Live through one connection; ends with the exception that ended it."""
        intake = self._intake
        renewal: asyncio.Task[None] | None = None
        try:
            reactivated = await self._channel.open()
            intake.counters["connects"] += 1
            renewal = asyncio.create_task(self._channel.renew())
            intake.server = await services.look(self._channel)
            resumed = await self._resume(reactivated)
            if not resumed:
                await self._subscribe()
            await self._items.sync()
            intake.event("south_connected", resumed=resumed, reactivated=reactivated)
            self._backfill.connected(True)
            await self._stream.run(renewal)
        except asyncio.CancelledError:
            await self._channel.close()
            raise
        finally:
            self._backfill.connected(False)
            if renewal is not None:
                renewal.cancel()
            self._channel.abandon()

    async def _resume(self, reactivated: bool) -> bool:
        """Go on with the subscription of before: take it over and ask for what was in flight."""
        intake = self._intake
        position = intake.position
        if not position.subscription_id:
            return False
        hopeless = self._stream.silent_resumes >= SILENT_RESUMES_MAX
        if hopeless or self._items.unsure or position.settings != self._settings:
            await self._discard(position.subscription_id)
            return False
        if not reactivated and not await services.transfer_subscription(
            self._channel, position.subscription_id
        ):
            intake.event("subscription_not_transferred", subscription_id=position.subscription_id)
            return False
        try:
            await self._stream.catch_up()
        except SubscriptionLost as error:
            intake.event("subscription_gone", error=str(error))
            return False
        intake.counters["resumed"] += 1
        return True

    async def _subscribe(self) -> None:
        """Make a new subscription; what was missed since the last journalled values is filled in as values arrive."""
        intake = self._intake
        position = intake.position.restarted(self._metrics)
        position.subscription_id = await services.create_subscription(
            self._channel,
            self._config.publishing_interval_ms,
            self._timing.watchdog_s / 3,
            self._config.session_timeout_s,
        )
        position.settings = self._settings
        position.namespaces = position.namespaces or intake.server.namespaces
        intake.counters["subscriptions"] += 1
        self._items.forget()
        self._stream.forget()
        await intake.store([], position)

    async def _discard(self, subscription_id: int) -> None:
        try:
            await services.delete_subscription(self._channel, subscription_id)
        except ua.UaStatusCodeError as error:
            if error.code in services.CONNECTION_FAULTS:
                raise
