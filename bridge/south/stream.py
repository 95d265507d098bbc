"""The stream of notifications: Publish requests kept waiting at the server, sequence numbers, acknowledgements."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from asyncua import ua
from asyncua.common.utils import Buffer

from shakedown.bridge.south import decode, services
from shakedown.bridge.south.decode import Malformed, Notification
from shakedown.bridge.south.intake import Intake
from shakedown.bridge.south.items import MonitoredItems
from shakedown.bridge.south.life import Life
from shakedown.bridge.south.position import next_sequence

PUBLISH_REQUESTS = 4
"""Publish requests that wait at the server: so many notifications can be under way before the first is answered."""

ACKNOWLEDGE_MAX = 1000
"""Acknowledgements in one Publish request; the rest goes with the next."""

REPUBLISH_MAX = 1000
"""Messages that are asked for again at one break in the sequence; a longer break is declared as one."""

SUBSCRIPTION_FAULTS = (ua.StatusCodes.BadSubscriptionIdInvalid, ua.StatusCodes.BadNoSubscription)


class SubscriptionLost(ConnectionError):
    """The server is there, the subscription is not."""


class Stream:
    """Receives one subscription, acknowledging what is in the journal and nothing else."""

    def __init__(
        self,
        intake: Intake,
        items: MonitoredItems,
        life: Life,
        on_behind: Callable[[bool], None],
        watchdog_s: float,
    ) -> None:
        self.silent_resumes = 0  # connections in a row that went through and then brought nothing
        self._intake = intake
        self._items = items
        self._life = life
        self._on_behind = on_behind
        self._watchdog_s = watchdog_s
        self._publish_requests = PUBLISH_REQUESTS
        self._acknowledge: list[int] = []  # bounded: publishing waits until what was received is journalled

    def forget(self) -> None:
        """A new subscription begins."""
        self.silent_resumes = 0
        self._acknowledge.clear()

    async def catch_up(self) -> None:
        """Ask for every message after the last journalled one; raises SubscriptionLost."""
        try:
            while (again := await self._republish(next_sequence(self._intake.position.sequence))) is not None:
                self._life.beat()  # first, so that the north brings its devices back before their data
                await self._deliver([again])
        except ua.UaStatusCodeError as error:
            if error.code in SUBSCRIPTION_FAULTS:
                raise SubscriptionLost(str(error)) from error
            raise

    async def run(self, renewal: asyncio.Task[None]) -> None:
        """Receive until something ends it: TimeoutError after silence, SubscriptionLost, or the connection's error."""
        loop = asyncio.get_running_loop()
        in_flight: list[asyncio.Task[Buffer]] = []
        heard_s = loop.time()
        self.silent_resumes += 1
        try:
            while True:
                in_flight += [self._publish() for _ in range(self._publish_requests - len(in_flight))]
                heard_s = max(heard_s, self._life.last_s)
                patience_s = max(0.0, heard_s + self._watchdog_s - loop.time())
                done, _ = await asyncio.wait(
                    [*in_flight, renewal], timeout=patience_s, return_when=asyncio.FIRST_COMPLETED
                )
                if renewal in done:
                    renewal.result()
                arrived = [task for task in in_flight if task in done]
                in_flight = [task for task in in_flight if task not in done]
                notifications = [n for task in arrived if (n := await self._received(task)) is not None]
                if notifications:
                    self.silent_resumes = 0
                    self._life.beat()
                    self._on_behind(notifications[-1].more)
                    for notification in notifications:
                        self._intake.heard(notification)
                    await self._deliver(notifications)
                    heard_s = loop.time()
                elif loop.time() - max(heard_s, self._life.last_s) >= self._watchdog_s - 0.001:
                    raise TimeoutError(f"neither data nor keep-alive for {self._watchdog_s} s")
                await self._items.retry()
        finally:
            for task in in_flight:
                task.cancel()

    def _publish(self) -> asyncio.Task[Buffer]:
        acknowledge = self._acknowledge[:ACKNOWLEDGE_MAX]
        del self._acknowledge[:ACKNOWLEDGE_MAX]
        request = services.publish_request(self._intake.position.subscription_id, acknowledge)
        task = asyncio.create_task(self._intake.channel.call_raw(request, 0))
        task.add_done_callback(_seen)
        return task

    async def _received(self, task: asyncio.Task[Buffer]) -> Notification | None:
        """Decode the answer to a Publish request; None when it brings nothing for this subscription."""
        intake = self._intake
        if task.cancelled():
            raise ConnectionError("the connection went down")
        try:
            subscription_id, notification = decode.publish_response(task.result())
        except Malformed as error:  # the break in the sequence will show what was in it
            self._note_malformed(error)
            return None
        except ua.UaStatusCodeError as error:
            if error.code == ua.StatusCodes.BadTooManyPublishRequests:
                self._publish_requests = max(1, self._publish_requests - 1)
                return None
            if error.code in SUBSCRIPTION_FAULTS:
                raise SubscriptionLost(str(error)) from error
            if error.code in (ua.StatusCodes.BadTimeout, ua.StatusCodes.BadRequestTimeout):
                return None
            raise
        if subscription_id != intake.position.subscription_id:
            intake.counters["foreign"] += 1
            intake.event("foreign_subscription", subscription_id=subscription_id)
            # Left over from a connection that broke while it was made: with two every value would come twice.
            await services.delete_subscription(intake.channel, subscription_id)
            return None
        return notification

    async def _deliver(self, notifications: Sequence[Notification]) -> None:
        """Bring notifications into sequence, ask again for what is missing, journal them, remember to acknowledge."""
        intake = self._intake
        ready: list[Notification] = []
        sequence = intake.position.sequence
        broken = False
        for notification in sorted(notifications, key=lambda n: (n.sequence - sequence) % 2**32):
            expected = next_sequence(sequence)
            ahead = (notification.sequence - expected) % 2**32
            if ahead >= 2**31:  # behind: in the journal already, or a keep-alive that was overtaken
                self._note_behind(notification)
                continue
            while expected != notification.sequence:
                again = await self._republish(expected) if ahead <= REPUBLISH_MAX else None
                if again is not None:
                    ready.append(again)
                    sequence = expected
                else:
                    await self._take(ready)
                    ready, broken = [], True
                    sequence = expected if ahead <= REPUBLISH_MAX else _before(notification.sequence)
                    self._acknowledge.append(sequence)
                    await intake.declare_break(sequence)
                expected = next_sequence(sequence)
            if notification.keep_alive:
                intake.counters["keep_alives"] += 1
            else:
                ready.append(notification)
                sequence = notification.sequence
        await self._take(ready)
        if broken:
            await intake.read_suspects()

    async def _take(self, notifications: Sequence[Notification]) -> None:
        if not notifications:
            return
        await self._intake.take(notifications)
        self._intake.counters["notifications"] += len(notifications)
        self._acknowledge += [notification.sequence for notification in notifications]
        for notification in notifications:
            status = notification.status_change
            if status is not None:  # its end, or its transfer to somebody else
                raise SubscriptionLost(f"the server ended the subscription: {ua.StatusCode(status).name}")

    def _note_behind(self, notification: Notification) -> None:
        if not notification.keep_alive:
            self._intake.counters["repeated"] += 1
            self._acknowledge.append(notification.sequence)

    async def _republish(self, sequence: int) -> Notification | None:
        intake = self._intake
        try:
            again = await services.republish(intake.channel, intake.position.subscription_id, sequence)
        except Malformed as error:
            self._note_malformed(error)
            return None
        if again is not None:
            intake.counters["republished"] += 1
        return again

    def _note_malformed(self, error: Malformed) -> None:
        self._intake.counters["malformed"] += 1
        self._intake.event("malformed", error=str(error))


def _seen(task: asyncio.Task[Buffer]) -> None:
    """When a connection goes down all its requests fail; the first one says so, the others need not be heard."""
    if not task.cancelled():
        task.exception()


def _before(sequence: int) -> int:
    return sequence - 1 if sequence > 1 else 2**32 - 1
