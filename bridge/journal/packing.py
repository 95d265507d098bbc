"""A batch of samples as one blob, column by column, with a checksum over the whole: what a row of the file holds.

    byte 0       3: this encoding. A batch of formats 1 and 2 is a MessagePack array and begins with 0x90 or more.
    bytes 1..4   CRC-32 of the first row's number (8 bytes) and of all that follows, little-endian
    then         MessagePack: [count, oldest ts_ms, newest ts_ms, columns, values, unusual]

`columns` are metric keys and milliseconds after the oldest, each as wide as it must be (1, 2, 4 or 8 bytes), deflated
where that makes many of them shorter.
`values` are doubles or singles where all are floats and stay what they are; else a MessagePack array: the slow lane.
`unusual` has [place, quality, status] of every sample that is not plainly GOOD.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Any

import msgspec

from shakedown.bridge.core.model import GOOD, Sample, Value
from shakedown.bridge.journal.columns import narrow, widen

BATCH_MAX = 500
"""Samples in one batch: what a read decodes at least, and what overflow and deletion free at once."""

_HEADER = struct.Struct("<BI")
_MAGIC = 3
_DEFLATE_B = 512  # less is not worth the time
_PROBE = 8  # so many values show cheaply whether singles are worth a try

_sample = partial(tuple.__new__, Sample)  # half of the price of Sample(...)


class Damaged(ValueError):
    """The blob is not what was written."""


def encode(samples: Sequence[Sample], keys: Mapping[int, int]) -> bytes:
    """Encode at least one sample; `keys` gives the file's key of each metric_id.

    Raises KeyError for a metric without a key, ValueError for a value without encoding.
    """
    ids, times, values, qualities, statuses = zip(*samples, strict=True)
    oldest = min(times)
    columns = narrow([keys[metric_id] for metric_id in ids]), narrow([ts_ms - oldest for ts_ms in times])
    unusual: list[tuple[int, int, int]] = []
    if qualities.count(GOOD) + statuses.count(0) != 2 * len(ids):
        rest = enumerate(zip(qualities, statuses, strict=True))
        unusual = [(place, quality, status) for place, (quality, status) in rest if quality != GOOD or status]
    column = columns[0][1] + columns[1][1]
    if len(column) >= _DEFLATE_B:
        column = min(column, zlib.compress(column, 1), key=len)
    try:
        return msgspec.msgpack.encode(
            (len(ids), oldest, max(times), columns[0][0] + columns[1][0], column, *_pack(values), unusual)
        )
    except (OverflowError, UnicodeEncodeError, TypeError) as error:
        raise ValueError(f"a value among {len(ids)} samples has no encoding: {error}") from error


def seal(first: int, body: bytes) -> bytes:
    """The blob of an encoded batch whose first row is `first`."""
    return _HEADER.pack(_MAGIC, _crc(first, body)) + body


def decode(
    first: int, count: int, blob: bytes, metric_ids: Mapping[int, int] | None
) -> list[tuple[int, Sample]]:
    """Rows of a blob; those whose key is not in `metric_ids` are left out (None: the key is the metric_id).

    Raises Damaged.
    """
    with _damage():
        keys, times, values, unusual = _columns(first, count, blob)
        qualities: Iterable[int] = repeat(GOOD, count)
        statuses: Iterable[int] = repeat(0, count)
        if unusual:
            qualities, statuses = [GOOD] * count, [0] * count
            for place, quality, status in unusual:
                qualities[place], statuses[place] = quality, status
        ids = keys if metric_ids is None else [metric_ids.get(key) for key in keys]
        samples = map(_sample, zip(ids, times, values, qualities, statuses, strict=True))
        rows = list(zip(range(first, first + count), samples, strict=True))
    return [row for row in rows if row[1][0] is not None] if None in ids else rows


def time_span(first: int, count: int, blob: bytes) -> tuple[int, int]:
    """Oldest and newest ts_ms of a blob; raises Damaged."""
    with _damage():
        if blob[:1] == b"\x03":
            _, oldest, newest, *_ = _open(first, count, blob)
            return oldest, newest
        times = [fields[1] for fields in msgspec.msgpack.decode(blob)]
        return min(times), max(times)


def keys(first: int, count: int, blob: bytes) -> set[int]:
    """The metric keys in a blob; raises Damaged."""
    with _damage():
        return set(_columns(first, count, blob)[0])


@contextlib.contextmanager
def _damage() -> Iterator[None]:
    """What goes wrong as a blob is read is damage."""
    try:
        yield
    except (ValueError, TypeError, IndexError, struct.error, zlib.error) as error:
        raise Damaged(str(error)) from error


def _columns(
    first: int, count: int, blob: bytes
) -> tuple[Sequence[int], Iterable[int], Sequence[Value], Any]:
    if blob[:1] != b"\x03":  # formats 1 and 2: [[key, ts_ms, value, quality, status], ...]
        old, times, values, *rest = zip(*msgspec.msgpack.decode(blob), strict=True)
        if len(old) != count:
            raise Damaged(f"{len(old)} samples, not {count}")
        return old, times, values, [(place, *pair) for place, pair in enumerate(zip(*rest, strict=True))]
    _, oldest, _, widths, plain, kind, packed, unusual = _open(first, count, blob)
    border, size = (count * sum(array(code).itemsize for code in codes) for codes in (widths[0], widths))
    if len(plain) < size:
        plain = zlib.decompress(plain)
    keys, deltas = widen(widths[0], plain[:border]), widen(widths[1], plain[border:])
    if kind:
        floats: array[float] = array(kind)
        floats.frombytes(packed)
        packed = floats
    return keys, [oldest + delta for delta in deltas], packed, unusual


def _open(first: int, count: int, blob: bytes) -> Any:
    _, crc = _HEADER.unpack_from(blob)
    body = memoryview(blob)[_HEADER.size :]
    if crc != _crc(first, body):
        raise Damaged("the checksum is wrong")
    fields = msgspec.msgpack.decode(body)
    if fields[0] != count:
        raise Damaged(f"{fields[0]} samples, not {count}")
    return fields


def _crc(first: int, body: bytes | memoryview) -> int:
    return zlib.crc32(body, zlib.crc32(first.to_bytes(8, "little")))


def _pack(values: Sequence[Value]) -> tuple[str, bytes | Sequence[Value]]:
    """Letter of the type and the values' bytes; "" and the values themselves for the slow lane."""
    if set(map(type, values)) != {float}:
        return "", values
    doubles: array[float] = array("d", values)  # type: ignore[arg-type]
    if array("d", array("f", doubles[:_PROBE])) == doubles[:_PROBE]:
        singles = array("f", doubles)
        if array("d", singles) == doubles:
            return "f", singles.tobytes()
    return "d", doubles.tobytes()
