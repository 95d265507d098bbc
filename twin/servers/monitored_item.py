"""One MonitoredItem for data changes: sampling, filter and queue (Part 4, 5.13.1).

Replaces what asyncua 2.1 has in its place: samplingInterval, discardOldest and the Overflow bit are ignored there, the
deadband is taken from the last written value, and every change is deep-copied for every item.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from asyncua import ua

from shakedown.twin.servers import encoding
from shakedown.twin.servers.limits import OpcUaCounters

_MS = 1_000_000


class Sample:
    """One value of a node, encoded once and shared by every queue, retransmission and history that holds it."""

    __slots__ = ("encoded", "source_ticks", "status", "value")

    def __init__(self, value: Any, status: int, source_ticks: int, encoded: bytes) -> None:
        self.value = value
        self.status = status
        self.source_ticks = source_ticks
        self.encoded = encoded

    @classmethod
    def of(cls, data_value: ua.DataValue) -> Sample:
        """The sample of any node's DataValue."""
        status = data_value.StatusCode.value if data_value.StatusCode is not None else 0
        stamp = data_value.SourceTimestamp
        value = data_value.Value.Value if data_value.Value is not None else None
        source_ticks = ua.datetime_to_win_epoch(stamp) if stamp is not None else 0
        return cls(value, status, source_ticks, encoding.data_value(data_value))

    def overflowed(self) -> Sample:
        """The same sample with the Overflow InfoBit set."""
        encoded = encoding.with_info_bits(self.encoded, encoding.INFO_OVERFLOW)
        return Sample(self.value, self.status | encoding.INFO_OVERFLOW, self.source_ticks, encoded)


Changed = Callable[[Sample, Sample], bool]


def status_changed(last: Sample, now: Sample) -> bool:
    """DataChangeTrigger Status."""
    return last.status != now.status


def status_or_value_changed(last: Sample, now: Sample) -> bool:
    """DataChangeTrigger StatusValue, the default; NaN after NaN is no change."""
    if last.status != now.status:
        return True
    before, after = last.value, now.value
    return before != after and (before == before or after == after)


def status_value_or_timestamp_changed(last: Sample, now: Sample) -> bool:
    """DataChangeTrigger StatusValueTimestamp."""
    return last.source_ticks != now.source_ticks or status_or_value_changed(last, now)


def deadband_exceeded(band: float) -> Changed:
    """Deadband of Part 4, 7.22.2, against the last *reported* value; to and from NaN always counts as exceeded."""

    def changed(last: Sample, now: Sample) -> bool:
        if last.status != now.status:
            return True
        before, after = last.value, now.value
        if before is None or after is None:
            return before is not after
        distance = abs(after - before)
        return distance > band or (before != before) != (after != after)

    return changed


class _Done:
    """An awaitable that is already done: asyncua awaits the callbacks of a written node, but not of a deleted one."""

    def __await__(self) -> Iterator[None]:
        return iter(())


_DONE = _Done()


class Reporting(Protocol):
    """The subscription that reports an item."""

    counters: OpcUaCounters
    pending: dict[MonitoredItem, None]
    ready: dict[MonitoredItem, None]

    def now_ns(self) -> int: ...


class MonitoredItem:
    """A data-change MonitoredItem; it is itself the callback that asyncua's address space calls on a write.

    `queue_size`, `discard_oldest`, `changed` and `client_handle` may be set anew (ModifyMonitoredItems).
    """

    def __init__(
        self, subscription: Reporting, monitored_item_id: int, node_id: ua.NodeId, attribute: int
    ) -> None:
        self.subscription = subscription
        self.counters = subscription.counters
        self.monitored_item_id = monitored_item_id
        self.node_id = node_id
        self.attribute = attribute
        self.callback_handle = 0
        self.queue: deque[Sample] = deque()
        self.queue_size = 1
        self.discard_oldest = True
        self.changed: Changed = status_or_value_changed
        self.mode = ua.MonitoringMode.Disabled
        self.handle = b""
        self._last: Sample | None = None
        self._sampling_ns = 0
        self._tolerance_ns = 0
        self._due_ns = 0
        self._pending: Sample | None = None

    @property
    def client_handle(self) -> int:
        """The client's handle; kept encoded, as the notification needs it."""
        return struct.unpack("<I", self.handle)[0]

    @client_handle.setter
    def client_handle(self, value: int) -> None:
        self.handle = struct.pack("<I", value)

    def sample_every(self, interval_ms: float, scan_ms: float, now_ns: int) -> None:
        """Sample no more often than `interval_ms`; every change is taken where the node's own scan is no faster.

        Between two scans nothing changes, so a sample is due at the scan nearest to its time: jitter of the scan
        neither loses nor doubles one.
        """
        coarse = interval_ms > scan_ms
        self._sampling_ns = round(interval_ms * _MS) if coarse else 0
        self._tolerance_ns = round(scan_ms * _MS) // 2
        self._due_ns = now_ns + self._sampling_ns

    def __call__(self, handle: int, value: ua.DataValue | None, error: ua.StatusCode | None = None) -> _Done:
        """What the address space calls when the attribute was written, or the node deleted (`error`)."""
        if error is not None:
            value = ua.DataValue(None, error)
        if value is not None:
            self.counters.shown += 1
            self.offer(Sample.of(value), self.subscription.now_ns())
        return _DONE

    def offer(self, sample: Sample, now_ns: int) -> None:
        """A change of the node: take it now, at the next sampling instant, or never."""
        if not self._sampling_ns:
            self.take(sample)
            return
        if self._pending is not None and now_ns >= self._due_ns + self._tolerance_ns:
            self.take_pending(now_ns)
        if now_ns >= self._due_ns - self._tolerance_ns:
            self._pending = None
            self.subscription.pending.pop(self, None)
            self._advance(now_ns)
            self.take(sample)
            return
        self.counters.unsampled += 1
        if self.mode != ua.MonitoringMode.Disabled:
            self._pending = sample
            self.subscription.pending[self] = None

    def take_pending(self, now_ns: int) -> None:
        """Take the value that stood at the last sampling instant, if that is over."""
        if self._pending is None or now_ns < self._due_ns + self._tolerance_ns:
            return
        sample, self._pending = self._pending, None
        self.counters.unsampled -= 1
        self.subscription.pending.pop(self, None)
        self._advance(now_ns)
        self.take(sample)

    def _advance(self, now_ns: int) -> None:
        """The next sampling instant after now, on the grid of the ones before."""
        behind = max(now_ns + self._tolerance_ns - self._due_ns, 0)
        self._due_ns += (behind // self._sampling_ns + 1) * self._sampling_ns

    def take(self, sample: Sample) -> None:
        """Queue the sample if the filter lets it pass."""
        last = self._last
        if self.mode == ua.MonitoringMode.Disabled or (last is not None and not self.changed(last, sample)):
            self.counters.filtered += 1
            return
        self._last = sample
        self.counters.queued += 1
        if len(self.queue) < self.queue_size:
            self.queue.append(sample)
        else:
            self._overflow(sample)
        if self.mode == ua.MonitoringMode.Reporting:
            self.subscription.ready[self] = None

    def _overflow(self, sample: Sample) -> None:
        """Queue overflow of 5.13.1.5: no Overflow bit for a queue of one."""
        queue = self.queue
        self.counters.overflowed += 1
        if self.queue_size == 1:
            queue[0] = sample
        elif self.discard_oldest:
            queue.popleft()
            queue[0] = queue[0].overflowed()
            queue.append(sample)
        else:
            queue[-1] = sample.overflowed()

    def resize(self, queue_size: int, discard_oldest: bool) -> None:
        """New queue parameters; what no longer fits is discarded by the new policy, with the Overflow bit."""
        self.queue_size, self.discard_oldest = queue_size, discard_oldest
        queue = self.queue
        excess = len(queue) - queue_size
        if excess <= 0:
            return
        self.counters.overflowed += excess
        for _ in range(excess):
            if discard_oldest or queue_size == 1:
                queue.popleft()
            else:
                del queue[-2]
        if queue_size > 1:
            at = 0 if discard_oldest else -1
            queue[at] = queue[at].overflowed()

    def set_mode(self, mode: ua.MonitoringMode) -> None:
        """SetMonitoringMode (5.13.4): Disabled empties the queue, Sampling keeps it unreported."""
        self.mode = mode
        if mode == ua.MonitoringMode.Disabled:
            self.clear()
            self._last = None
        elif mode == ua.MonitoringMode.Sampling:
            self.subscription.ready.pop(self, None)
        elif self.queue:
            self.subscription.ready[self] = None

    def restart(self, sample: Sample) -> None:
        """Queue the current value whatever was reported before (first value; SendInitialValues of a transfer)."""
        self._last = None
        self.counters.repeated += 1
        self.take(sample)

    def clear(self) -> None:
        """Throw away what is queued or pending."""
        self.counters.dropped += len(self.queue)
        self.queue.clear()
        self._pending = None
        self.subscription.ready.pop(self, None)
        self.subscription.pending.pop(self, None)
