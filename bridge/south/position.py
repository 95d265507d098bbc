"""Where the bridge stands in a server's subscription: what it takes to go on after a crash without losing anything.

It is stored in the journal in the transaction of the samples themselves, under two keys: `<south>` changes with each
notification, `<south>/items` only when monitored items do.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, replace

import msgspec

from shakedown.bridge.core.model import Metric

SEQUENCE_MAX = 2**32 - 1  # then 1 follows: 0 is never used (Part 4, 5.13.1.1)

GAP = 1
"""Something may be missing before an item's next value, and that value may be one that is in the journal already."""


def next_sequence(sequence: int) -> int:
    """The sequence number of the NotificationMessage after `sequence`."""
    return sequence + 1 if sequence < SEQUENCE_MAX else 1


@dataclass(frozen=True, slots=True)
class Item:
    """One monitored item; its client handle is its place in `Position.items`."""

    key: str  # `device/metric`: stays what it is when the configuration is re-ordered
    node_id: str  # as configured
    metric_id: int | None = None  # None: no longer configured
    monitored_item_id: int = 0  # 0: the server does not monitor it


@dataclass(slots=True)
class Position:
    """Subscription, last journalled sequence number, and for each client handle the last journalled value's time."""

    subscription_id: int = 0  # 0: none
    sequence: int = 0  # of the last NotificationMessage whose values are in the journal
    items: tuple[Item, ...] = ()
    namespaces: tuple[str, ...] = ()  # NamespaceArray when the node ids of the configuration were first used
    settings: tuple[
        int, ...
    ] = ()  # publishing and sampling interval, queue size: what the items were made with
    ticks: array[int] = None  # type: ignore[assignment]  # source time of the last value, 0: none yet
    same: array[int] = None  # type: ignore[assignment]  # how many values with just that time
    check: array[int] = None  # type: ignore[assignment]  # checksum of its StatusCode and value
    gap: bytearray = None  # type: ignore[assignment]  # GAP, or 0

    def __post_init__(self) -> None:
        n = len(self.items)
        self.ticks = array("q", bytes(8 * n)) if self.ticks is None else self.ticks
        self.same = array("L", [0] * n) if self.same is None else self.same
        self.check = array("L", [0] * n) if self.check is None else self.check
        self.gap = bytearray(n) if self.gap is None else self.gap

    def copy(self) -> Position:
        """A draft: it replaces this one once what it stands for is in the journal."""
        return replace(self, ticks=self.ticks[:], same=self.same[:], check=self.check[:], gap=self.gap[:])

    def extended(self, items: Iterable[Item]) -> Position:
        """The same with more items, of which nothing is known yet."""
        items = tuple(items)
        n = len(items)
        return replace(
            self,
            items=self.items + items,
            ticks=self.ticks + array("q", bytes(8 * n)),
            same=self.same + array("L", [0] * n),
            check=self.check + array("L", [0] * n),
            gap=self.gap + bytearray(n),
        )

    def restarted(self, metrics: Iterable[Metric]) -> Position:
        """For a new subscription: items as configured; before the next value of each a gap is possible."""
        old = {(item.key, item.node_id): handle for handle, item in enumerate(self.items)}
        items = tuple(Item(key_of(metric), metric.node_id, metric.metric_id) for metric in metrics)
        new = Position(items=items, namespaces=self.namespaces)
        for handle, item in enumerate(items):
            known = old.get((item.key, item.node_id))
            if known is not None and self.ticks[known]:
                new.ticks[handle], new.same[handle] = self.ticks[known], self.same[known]
                new.check[handle], new.gap[handle] = self.check[known], GAP
        return new

    def state(self) -> bytes:
        """What changes with each notification."""
        n = len(self.items)
        return struct.pack(
            f"<II{n}q{n}I{n}I{n}s",
            self.subscription_id,
            self.sequence,
            *self.ticks,
            *self.same,
            *self.check,
            bytes(self.gap),
        )

    def structure(self) -> bytes:
        """What changes with the monitored items."""
        items = [(item.key, item.node_id, item.monitored_item_id) for item in self.items]
        return msgspec.msgpack.encode((self.namespaces, self.settings, items))


def key_of(metric: Metric) -> str:
    """The stable name of a metric."""
    return f"{metric.device}/{metric.name}"


def restore(state: bytes | None, structure: bytes | None, metrics: Iterable[Metric]) -> Position:
    """Read a position back, or begin a new one; metrics that are configured no longer have no metric_id."""
    if state is None or structure is None:
        return Position()
    metric_ids = {(key_of(metric), metric.node_id): metric.metric_id for metric in metrics}
    namespaces, settings, entries = msgspec.msgpack.decode(structure)
    items = tuple(
        Item(key, node_id, metric_ids.get((key, node_id)), item_id) for key, node_id, item_id in entries
    )
    n = len(items)
    subscription_id, sequence, *rest = struct.unpack(f"<II{n}q{n}I{n}I{n}s", state)
    return Position(
        subscription_id,
        sequence,
        items,
        tuple(namespaces),
        tuple(settings),
        array("q", rest[:n]),
        array("L", rest[n : 2 * n]),
        array("L", rest[2 * n : 3 * n]),
        bytearray(rest[3 * n]),
    )
