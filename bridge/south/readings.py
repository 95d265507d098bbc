"""From the values of a notification to readings, and the position behind them. Pure: no I/O, no clock."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from shakedown.bridge.core.model import Reading
from shakedown.bridge.south.decode import TICKS_1970, TICKS_MAX, DataValue, Malformed
from shakedown.bridge.south.gaps import Gap
from shakedown.bridge.south.position import GAP, Item, Position

INFO_OVERFLOW = 0x0480  # InfoType DataValue and Overflow (Part 4, 7.39.1)


def ticks_of(value: DataValue, now_ticks: int, counters: Counter[str]) -> int:
    """Source time of a value; where the source gave none, the server's, and where that is missing too, `now_ticks`.

    A time before 1970 or beyond 9999 is none. A 1970 that a clock without battery gives is kept as it is: what is
    wrong with it is for those to judge who know the plant.
    """
    if TICKS_1970 <= value.source_ticks < TICKS_MAX:
        return value.source_ticks
    counters["no_source_timestamp"] += 1
    if TICKS_1970 <= value.server_ticks < TICKS_MAX:
        return value.server_ticks
    counters["no_timestamp"] += 1
    return now_ticks


def checksum(status: int, value: object) -> int:
    """What tells two values with one time apart."""
    return zlib.crc32(f"{status} {value!r}".encode(errors="replace"))


def take(
    position: Position,
    values: Iterable[DataValue],
    readings: list[Reading],
    *,
    now_ticks: int,
    counters: Counter[str],
) -> list[Gap]:
    """Append the readings of `values` to `readings`, move `position` behind them, return the gaps before them.

    The current value that a new subscription begins with is no reading when the journal has it: same time, status
    and value. Raises Malformed for a client handle that was never given out.
    """
    items, ticks, same, check, gap = (
        position.items,
        position.ticks,
        position.same,
        position.check,
        position.gap,
    )
    gaps: list[Gap] = []
    for data_value in values:
        handle, value, status, source, _ = data_value
        if handle >= len(items):
            raise Malformed(f"notification for client handle {handle} of {len(items)}")
        metric_id = items[handle].metric_id
        if metric_id is None:
            continue  # configured no longer
        if not TICKS_1970 <= source < TICKS_MAX:
            source = ticks_of(data_value, now_ticks, counters)
        if lost := status & INFO_OVERFLOW == INFO_OVERFLOW:
            status &= ~INFO_OVERFLOW
            counters["overflows"] += 1
        digest = zlib.crc32(f"{status} {value!r}".encode(errors="replace"))
        if lost or gap[handle]:
            known = gap[handle] == GAP and ticks[handle] == source and check[handle] == digest
            gap[handle] = 0
            if known:
                counters["already_known"] += 1
                continue
            if lost or ticks[handle]:
                gaps.append(_gap(items[handle], ticks[handle], same[handle], source, digest))
        same[handle] = same[handle] + 1 if ticks[handle] == source else 1
        ticks[handle], check[handle] = source, digest
        readings.append(Reading(metric_id, (source - TICKS_1970) * 100, value, status))
    return gaps


def _gap(item: Item, after: int, same: int, before: int, check: int) -> Gap:
    why = ""
    if not after:
        why = "queue overflow before the first value"
    elif before < after:
        why = "the clock of the source went back"
    return Gap(item.key, item.node_id, after, same, before, check, why=why)


def fill(
    gap: Gap, known: int, metric_id: int, values: Iterable[DataValue], readings: list[Reading]
) -> tuple[Gap, int, bool]:
    """Append what fills a gap of one page of its node's history, oldest first; values outside of it are passed over.

    `known` values with the time `gap.after` are in the journal and still to come. Returns the gap that is left, `known`
    after this page, and whether the page went to the end of the gap: the value behind it came by itself, and with it
    all that history has after it.
    """
    after, same, reaches_back = gap.after, gap.same, gap.reaches_back
    over = False
    for value in values:
        source = value.source_ticks
        if not TICKS_1970 <= source < TICKS_MAX:
            source = ticks_of(value, 0, Counter())
        if source < after:
            continue
        if reaches_back is None:
            reaches_back = source == after
        if source == after and known:
            known -= 1
            continue
        if source > gap.before or (source == gap.before and checksum(value.status, value.value) == gap.check):
            over = True
            break
        same = same + 1 if source == after else 1
        after = source
        readings.append(Reading(metric_id, (source - TICKS_1970) * 100, value.value, value.status))
    return replace(gap, after=after, same=same, reaches_back=reaches_back), known, over
