"""One Subscription: publishing, keep-alive, lifetime and the retransmission queue (Part 4, 5.14.1).

Takes the place of asyncua's InternalSubscription, which ties a subscription to the connection that created it, ignores
maxNotificationsPerPublish, and forgets a message as soon as it was republished.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple, Protocol

from asyncua import ua
from asyncua.server.address_space import AddressSpace
from asyncua.server.uaprocessor import PublishRequestData

from shakedown.twin.servers import encoding
from shakedown.twin.servers.limits import OpcUaCounters, OpcUaLimits
from shakedown.twin.servers.monitored_item import MonitoredItem
from shakedown.twin.servers.monitored_item_service import MonitoredItemService


class SentMessage(NamedTuple):
    """A NotificationMessage kept until it is acknowledged (5.14.1.1)."""

    encoded: bytes
    notifications: int


class Owner(Protocol):
    """The session that a subscription belongs to at present."""

    session_id: ua.NodeId
    application_uri: str
    identity: tuple[Any, ...]
    certificate: bytes | None
    subscriptions: dict[int, Subscription]
    late: dict[Subscription, None]

    def take_publish_request(self) -> PublishRequestData | None: ...
    def respond(
        self, request: PublishRequestData, subscription: Subscription, message: bytes, more: bool
    ) -> None: ...
    def notify(self, subscription_id: int, message: bytes) -> None: ...


class Service(Protocol):
    """What keeps the subscriptions of a server."""

    limits: OpcUaLimits
    counters: OpcUaCounters

    async def expire(self, subscription: Subscription) -> None: ...


class Subscription:
    """A subscription, owned by a session that may change (5.14.7) and may be without a connection (6.7)."""

    def __init__(
        self,
        service: Service,
        session: Owner,
        address_space: AddressSpace,
        subscription_id: int,
        params: ua.CreateSubscriptionParameters,
    ) -> None:
        self.service = service
        self.session = session
        self.limits = service.limits
        self.counters = service.counters
        self.data = ua.CreateSubscriptionResult(SubscriptionId=subscription_id)
        self.revise(
            params.RequestedPublishingInterval,
            params.RequestedLifetimeCount,
            params.RequestedMaxKeepAliveCount,
            params.MaxNotificationsPerPublish,
        )
        self.publishing_enabled = params.PublishingEnabled
        self.ready: dict[
            MonitoredItem, None
        ] = {}  # reporting items with something queued, in order of arrival
        self.pending: dict[MonitoredItem, None] = {}  # items with a value that waits for its sampling instant
        self.retransmission: dict[int, SentMessage] = {}
        self.monitored_item_srv = MonitoredItemService(self, address_space)
        self._events: list[tuple[int, ua.EventFieldList]] = []
        self._events_queued: dict[int, int] = {}
        self._sequence_number = 1
        self._message_sent = False
        self._keep_alive_counter = 0
        self._lifetime_counter = 0
        self._next_cycle_s = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def subscription_id(self) -> int:
        """The SubscriptionId."""
        return self.data.SubscriptionId

    @property
    def session_id(self) -> ua.NodeId:
        """The owner's SessionId, under the name asyncua asks for it."""
        return self.session.session_id

    @property
    def available_sequence_numbers(self) -> list[int]:
        """Sequence numbers that Republish can still answer, oldest first."""
        return list(self.retransmission)

    @staticmethod
    def now_ns() -> int:
        """The server's clock."""
        return time.time_ns()

    def revise(
        self, interval_ms: float, lifetime_count: int, keep_alive_count: int, per_publish: int
    ) -> None:
        """Negotiate as 5.14.2 says: the lifetime is at least three keep-alives, everything within the limits."""
        limits = self.limits
        interval_ms = min(
            max(interval_ms, limits.publishing_interval_ms_min)
            if interval_ms > 0
            else limits.publishing_interval_ms_min,
            limits.publishing_interval_ms_max,
        )
        lifetime_cap = max(int(limits.subscription_lifetime_s_max * 1000 / interval_ms), 3)
        keep_alive = min(max(keep_alive_count, 1), limits.keep_alive_count_max, lifetime_cap // 3)
        self.data.RevisedPublishingInterval = interval_ms
        self.data.RevisedMaxKeepAliveCount = keep_alive
        self.data.RevisedLifetimeCount = min(max(lifetime_count, 3 * keep_alive), lifetime_cap)
        cap = limits.notifications_per_publish
        self._per_publish = min(per_publish, cap) if per_publish > 0 else cap

    # -- publishing cycle -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the publishing timer."""
        self._task = asyncio.create_task(self._run(), name=f"opcua subscription {self.subscription_id}")

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        self._next_cycle_s = loop.time()
        while self._cycle():
            interval_s = self.data.RevisedPublishingInterval / 1000
            # After a stall of the process the missed cycles are left out, not caught up.
            self._next_cycle_s = max(self._next_cycle_s + interval_s, loop.time())
            await asyncio.sleep(self._next_cycle_s - loop.time())
        await self.service.expire(self)

    def _cycle(self) -> bool:
        """One publishing interval; False when the lifetime is over (5.14.1.2, state table row 27)."""
        if self.pending:
            now_ns = self.now_ns()
            for item in list(self.pending):
                item.take_pending(now_ns)
        if self._lifetime_counter >= self.data.RevisedLifetimeCount:
            return False
        if self._has_notifications() or not self._message_sent:
            self.publish()
        else:
            self._keep_alive_counter += 1
            if self._keep_alive_counter >= self.data.RevisedMaxKeepAliveCount:
                self.publish()
        if self in self.session.late:
            self._lifetime_counter += 1
        return True

    def _has_notifications(self) -> bool:
        return self.publishing_enabled and bool(self.ready or self._events)

    def publish(self) -> None:
        """Send what is queued, or else a keep-alive, with the publish requests at hand; with none, be late."""
        while True:
            request = self.session.take_publish_request()
            if request is None:
                self.session.late[self] = None
                return
            self.session.late.pop(self, None)
            data, count = self._drain() if self.publishing_enabled else ([], 0)
            more = self._has_notifications()
            message = self._number(data, count)
            self.session.respond(request, self, message, more)
            self.reset_lifetime()
            self._keep_alive_counter = 0
            self._message_sent = True
            if not more:
                return

    def _drain(self) -> tuple[list[bytes], int]:
        """Take at most maxNotificationsPerPublish notifications out of the queues, encoded."""
        room = self._per_publish
        parts: list[bytes] = []
        count = 0
        while self.ready and count < room:
            item = next(iter(self.ready))
            queue, handle = item.queue, item.handle
            taken = min(len(queue), room - count)
            for _ in range(taken):
                parts += (handle, queue.popleft().encoded)
            count += taken
            if not queue:
                del self.ready[item]
        data = [encoding.data_change_notification(parts, count)] if count else []
        events = self._events[: room - count]
        if events:
            del self._events[: len(events)]
            for item_id, _ in events:
                self._events_queued[item_id] -= 1
            data.append(encoding.event_notification_list([event for _, event in events]))
        return data, count + len(events)

    def _number(self, data: list[bytes], notifications: int) -> bytes:
        """A NotificationMessage; only one with data uses up a sequence number and is kept (5.14.1.1)."""
        message = encoding.notification_message(self._sequence_number, encoding.ticks(self.now_ns()), data)
        if not data:
            return message
        self.counters.sent += notifications
        self.retransmission[self._sequence_number] = SentMessage(message, notifications)
        if len(self.retransmission) > self.limits.retransmission_messages:
            oldest = next(iter(self.retransmission))
            self.counters.unacknowledged += self.retransmission.pop(oldest).notifications
        self._sequence_number = self._sequence_number % 0xFFFF_FFFF + 1  # 0 is never used
        return message

    def status_change(self, status: int) -> bytes:
        """The last NotificationMessage of this subscription to a session: a StatusChangeNotification."""
        data = [encoding.status_change_notification(status)]
        return encoding.notification_message(self._sequence_number, encoding.ticks(self.now_ns()), data)

    # -- services -------------------------------------------------------------------------------------------------

    def acknowledge(self, sequence_number: int) -> int:
        """Acknowledge a message; the StatusCode for Publish (5.14.5)."""
        sent = self.retransmission.pop(sequence_number, None)
        if sent is None:
            return ua.StatusCodes.BadSequenceNumberUnknown
        self.counters.acknowledged += sent.notifications
        return ua.StatusCodes.Good

    def republish(self, sequence_number: int) -> SentMessage | None:
        """The message for Republish (5.14.6); it stays until it is acknowledged."""
        self.reset_lifetime()
        sent = self.retransmission.get(sequence_number)
        if sent is not None:
            self.counters.republished += sent.notifications
        return sent

    def reset_lifetime(self) -> None:
        """The client showed that it is there."""
        self._lifetime_counter = 0

    def set_publishing(self, enabled: bool) -> None:
        """SetPublishingMode (5.14.4)."""
        self.publishing_enabled = enabled
        self.reset_lifetime()

    def close(self) -> None:
        """End without a word: timer, items and everything queued."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self._task = None
        self.monitored_item_srv.delete_all_monitored_items()
        for sent in self.retransmission.values():
            self.counters.unacknowledged += sent.notifications
        self.retransmission.clear()
        self.counters.dropped += len(self._events)
        self._events.clear()

    @property
    def waiting(self) -> int:
        """Notifications that are in a queue."""
        return len(self._events) + sum(len(item.queue) for item in self.monitored_item_srv.items.values())

    # -- what asyncua's event items call --------------------------------------------------------------------------

    async def enqueue_event(self, item_id: int, event: ua.EventFieldList, queue_size: int) -> None:
        """Queue an event notification; the oldest of its item goes when the queue is full."""
        self.counters.queued += 1
        queued = self._events_queued.get(item_id, 0)
        if queued >= queue_size:
            oldest = next(i for i, (owner, _) in enumerate(self._events) if owner == item_id)
            del self._events[oldest]
            queued -= 1
            self.counters.overflowed += 1
        self._events.append((item_id, event))
        self._events_queued[item_id] = queued + 1

    @property
    def max_queue_size(self) -> int:
        """Queue bound of event items."""
        return self.limits.queue_size_max
