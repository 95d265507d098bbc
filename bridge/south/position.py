"""Where the bridge stands in a server's subscription: what it takes to go on after a crash without losing anything.

It is stored in the journal in the transaction of the samples themselves. `<south>/items` changes only when monitored
items do; `<south>` is a log of what changed (`entry_log`), for most nodes do not change with each notification.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter

import msgspec

from shakedown.bridge.core.model import Metric
from shakedown.bridge.journal import entry_log
from shakedown.bridge.journal.columns import narrow, widen
from shakedown.bridge.journal.entry_log import EntryLog

SEQUENCE_MAX = 2**32 - 1  # then 1 follows: 0 is never used (Part 4, 5.13.1.1)

GAP = 1
"""Something may be missing before an item's next value, and that value may be one that is in the journal already."""

_HEADER = struct.Struct("<II")  # subscription, sequence number

_CHUNK = 32  # so many items are compared at once


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
    log: EntryLog = field(default=EntryLog(), compare=False)  # how it stands in the journal

    def __post_init__(self) -> None:
        n = len(self.items)
        self.ticks = array("q", bytes(8 * n)) if self.ticks is None else self.ticks
        self.same = array("I", [0] * n) if self.same is None else self.same
        self.check = array("I", [0] * n) if self.check is None else self.check
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
            same=self.same + array("I", [0] * n),
            check=self.check + array("I", [0] * n),
            gap=self.gap + bytearray(n),
        )

    def restarted(self, metrics: Iterable[Metric]) -> Position:
        """For a new subscription: items as configured; before the next value of each a gap is possible."""
        old = {(item.key, item.node_id): handle for handle, item in enumerate(self.items)}
        items = tuple(Item(key_of(metric), metric.node_id, metric.metric_id) for metric in metrics)
        new = Position(items=items, namespaces=self.namespaces, log=self.log)
        for handle, item in enumerate(items):
            known = old.get((item.key, item.node_id))
            if known is not None and self.ticks[known]:
                new.ticks[handle], new.same[handle] = self.ticks[known], self.same[known]
                new.check[handle], new.gap[handle] = self.check[known], GAP
        return new

    def entries(self, name: str, before: Position) -> dict[str, bytes]:
        """What is to be stored where `before` is what is stored."""
        is_new = (
            self.items is not before.items or self.settings is not before.settings or not before.log.whole_b
        )
        self.log, entries = before.log.next(name, self._whole, None if is_new else self._change(before))
        # Whoever goes on from there cannot know whether this was stored.
        before.log = replace(self.log, whole_b=0)
        if is_new:
            entries[f"{name}/items"] = self.structure()
        return entries

    def _whole(self) -> bytes:
        columns = (self.ticks.tobytes(), self.same.tobytes(), self.check.tobytes(), bytes(self.gap))
        return _HEADER.pack(self.subscription_id, self.sequence) + b"".join(columns)

    def _change(self, before: Position) -> bytes:
        """Of every item that is not as it was: handle (less that before it), time (before the newest), count, ..."""
        header = _HEADER.pack(self.subscription_id, self.sequence)
        handles = self._differing(before)
        if not handles:
            return header
        pick = itemgetter(*handles) if len(handles) > 1 else lambda column: (column[handles[0]],)
        newest = max(pick(self.ticks))
        ages = [newest - ticks for ticks in pick(self.ticks)]
        unit = math.gcd(*ages) or 1  # clocks of controllers count milliseconds
        columns = (
            *narrow([b - a for a, b in zip((0, *handles), handles, strict=False)]),
            newest,
            unit,
            *narrow([age // unit for age in ages]),
            *narrow(pick(self.same)),
            *narrow(pick(self.check)),
            bytes(pick(self.gap)).rstrip(b"\0"),
        )
        return header + msgspec.msgpack.encode(columns)

    def _differing(self, before: Position) -> list[int]:
        """Handles of what is not as it was; most parts are, and show it as a whole."""
        found: list[int] = []
        pairs = (
            (self.ticks, before.ticks),
            (self.same, before.same),
            (self.check, before.check),
            (self.gap, before.gap),
        )
        if not (different := [(now, then) for now, then in pairs if now != then]):
            return found
        new, old = zip(*different, strict=True)
        for start in range(0, len(self.items), _CHUNK):
            part = slice(start, start + _CHUNK)
            is_now, was = [column[part] for column in new], [column[part] for column in old]
            if is_now != was:
                rows = enumerate(zip(zip(*is_now, strict=True), zip(*was, strict=True), strict=True), start)
                found += [handle for handle, (now, then) in rows if now != then]
        return found

    def _apply(self, change: bytes) -> None:
        self.subscription_id, self.sequence = _HEADER.unpack_from(change)
        if len(change) == _HEADER.size:
            return
        steps_code, steps, newest, unit, ages_code, ages, same_code, same, check_code, check, gap = (
            msgspec.msgpack.decode(change[_HEADER.size :])
        )
        columns = zip(
            widen(steps_code, steps),
            widen(ages_code, ages),
            widen(same_code, same),
            widen(check_code, check),
            gap.ljust(len(steps), b"\0"),
            strict=False,
        )
        handle = 0
        for step, age, count, digest, flag in columns:
            handle += step
            self.ticks[handle] = newest - age * unit
            self.same[handle], self.check[handle], self.gap[handle] = count, digest, flag

    def structure(self) -> bytes:
        """What changes with the monitored items."""
        items = [(item.key, item.node_id, item.monitored_item_id) for item in self.items]
        return msgspec.msgpack.encode((self.namespaces, self.settings, items))


def key_of(metric: Metric) -> str:
    """The stable name of a metric."""
    return f"{metric.device}/{metric.name}"


def restore(name: str, stored: Callable[[str], bytes | None], metrics: Iterable[Metric]) -> Position:
    """Read a position back, or begin a new one; metrics that are configured no longer have no metric_id."""
    structure = stored(f"{name}/items")
    log, whole, changes = entry_log.read(name, stored)
    if whole is None or structure is None:
        return Position(log=log)
    metric_ids = {(key_of(metric), metric.node_id): metric.metric_id for metric in metrics}
    namespaces, settings, entries = msgspec.msgpack.decode(structure)
    items = tuple(
        Item(key, node_id, metric_ids.get((key, node_id)), item_id) for key, node_id, item_id in entries
    )
    subscription_id, sequence = _HEADER.unpack_from(whole)
    ticks, same, check, gap = _split(whole[_HEADER.size :], len(items))
    position = Position(
        subscription_id,
        sequence,
        items,
        tuple(namespaces),
        tuple(settings),
        widen("q", ticks),
        widen("I", same),
        widen("I", check),
        bytearray(gap),
        log,
    )
    for change in changes:
        position._apply(change)
    return position


def _split(columns: bytes, n: int) -> Sequence[bytes]:
    return columns[: 8 * n], columns[8 * n : 12 * n], columns[12 * n : 16 * n], columns[16 * n : 17 * n]
