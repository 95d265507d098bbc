"""The judge's own Sparkplug B payload decoder: a protobuf wire reader, written by hand and on purpose.

It shares nothing with the codecs of the bridge and of the primary host, nor with the protobuf library, so a mistake in
one of them cannot hide here. Field numbers, datatypes and quality codes: Sparkplug B 3.0, chapter 6.

The input is hostile: size, number of metrics and properties, and nesting are bounded, and whatever is not a payload
raises `Malformed`, never anything else. DataSets, Templates and nested property sets are carried as opaque bytes.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

PAYLOAD_BYTES_MAX = 4 << 20
METRICS_MAX = 100_000
PROPERTIES_MAX = 256
NAME_BYTES_MAX = 4096

GOOD, BAD, STALE = 192, 0, 500
INT8, INT16, INT32, INT64 = 1, 2, 3, 4
UINT8, UINT16, UINT32, UINT64 = 5, 6, 7, 8
FLOAT, DOUBLE, BOOLEAN, STRING, DATETIME, TEXT = 9, 10, 11, 12, 13, 14
DATATYPES = {
    "Int8": INT8,
    "Int16": INT16,
    "Int32": INT32,
    "Int64": INT64,
    "UInt8": UINT8,
    "UInt16": UINT16,
    "UInt32": UINT32,
    "UInt64": UINT64,
    "Float": FLOAT,
    "Double": DOUBLE,
    "Boolean": BOOLEAN,
    "String": STRING,
    "DateTime": DATETIME,
    "Text": TEXT,
}

Value = bool | int | float | str | bytes | None


class Malformed(ValueError):
    """Bytes that are no Sparkplug B payload, or one beyond the stated bounds."""


class Metric(NamedTuple):
    """One metric as it stood on the wire; None is absent. `value` is raw: `typed` gives it its declared type."""

    name: str | None
    alias: int | None
    ts_ms: int | None
    datatype: int | None
    historical: bool
    is_null: bool
    value: Value
    quality: int
    properties: dict[str, Value] | None = None  # those of basic types


class Payload(NamedTuple):
    """One payload; None is absent (proto defaults are never assumed)."""

    ts_ms: int | None
    seq: int | None
    metrics: list[Metric]


_F32 = Struct("<f").unpack_from
_F64 = Struct("<d").unpack_from


def decode(data: bytes) -> Payload:
    """Decode one payload. Raises `Malformed`, and nothing else, for whatever is not one."""
    if len(data) > PAYLOAD_BYTES_MAX:
        raise Malformed(f"payload of {len(data)} bytes, more than {PAYLOAD_BYTES_MAX}")
    try:
        return _payload(data)
    except IndexError:
        raise Malformed("payload ends in the middle of a field") from None
    except UnicodeDecodeError:
        raise Malformed("a string is not UTF-8") from None


def typed(value: Value, datatype: int | None) -> Value:
    """A raw metric value as its declared datatype has it; integers are masked to the declared width.

    Raises `Malformed` when the value field cannot carry that datatype.
    """
    if value is None or datatype is None:
        return value
    if datatype in _BITS:
        if type(value) is not int:
            raise Malformed(f"datatype {datatype} carried by a {type(value).__name__}")
        bits, signed = _BITS[datatype]
        value &= (1 << bits) - 1
        return value - (1 << bits) if signed and value >> (bits - 1) else value
    expected = _TYPES.get(datatype)
    if expected is not None and type(value) is not expected:
        raise Malformed(f"datatype {datatype} carried by a {type(value).__name__}")
    return value


_BITS = {
    INT8: (8, True),
    INT16: (16, True),
    INT32: (32, True),
    INT64: (64, True),
    UINT8: (8, False),
    UINT16: (16, False),
    UINT32: (32, False),
    UINT64: (64, False),
    DATETIME: (64, False),
}
_TYPES = {FLOAT: float, DOUBLE: float, BOOLEAN: bool, STRING: str, TEXT: str}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The base-128 integer at `at` (at most 64 bit) and the offset behind it."""
    byte = data[at]
    if byte < 128:
        return byte, at + 1
    value, shift = byte & 127, 7
    while True:
        at += 1
        byte = data[at]
        if byte < 128:
            value |= byte << shift
            if value >> 64:
                raise Malformed("a varint has more than 64 bits")
            return value, at + 1
        value |= (byte & 127) << shift
        shift += 7
        if shift > 63:
            raise Malformed("a varint has more than ten bytes")


def _span(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Start and end of the length-delimited field whose length stands at `at`."""
    size, start = _varint(data, at)
    if start + size > end:
        raise Malformed(f"a field of {size} bytes where {max(0, end - start)} are left")
    return start, start + size


def _fixed(at: int, size: int, end: int) -> int:
    if at + size > end:
        raise Malformed("payload ends in the middle of a field")
    return at + size


def _skip(data: bytes, tag: int, at: int, end: int) -> int:
    """The offset behind an unknown field."""
    if tag < 8:
        raise Malformed("a field with number 0")
    wire = tag & 7
    if wire == 0:
        return _varint(data, at)[1]
    if wire == 2:
        return _span(data, at, end)[1]
    if wire == 1:
        return _fixed(at, 8, end)
    if wire == 5:
        return _fixed(at, 4, end)
    raise Malformed(f"wire type {wire}, which Sparkplug does not use")


def _known(tag: int, expected: dict[int, int]) -> None:
    """Refuse a field that Sparkplug knows under another wire type: skipping it would hide a broken encoder."""
    if tag >> 3 in expected:
        raise Malformed(f"field {tag >> 3} with wire type {tag & 7} instead of {expected[tag >> 3]}")


_PAYLOAD_FIELDS = {1: 0, 2: 2, 3: 0}
_METRIC_FIELDS = {
    1: 2, 2: 0, 3: 0, 4: 0, 5: 0, 6: 0, 7: 0, 8: 2, 9: 2, 10: 0, 11: 0, 12: 5, 13: 1, 14: 0, 15: 2, 16: 2, 17: 2, 18: 2,
}  # fmt: skip
_PROPERTY_FIELDS = {1: 0, 2: 0, 3: 0, 4: 0, 5: 5, 6: 1, 7: 0, 8: 2}


def _payload(data: bytes) -> Payload:
    ts_ms = seq = None
    metrics: list[Metric] = []
    times: dict[bytes, int] = {}
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        if tag == 0x12:
            start, at = _span(data, at, end)
            if len(metrics) >= METRICS_MAX:
                raise Malformed(f"more than {METRICS_MAX} metrics")
            metrics.append(_metric(data, start, at, times))
        elif tag == 0x08:
            ts_ms, at = _varint(data, at)
        elif tag == 0x18:
            seq, at = _varint(data, at)
        else:
            _known(tag, _PAYLOAD_FIELDS)
            at = _skip(data, tag, at, end)
    if at != end:
        raise Malformed("payload ends in the middle of a field")
    return Payload(ts_ms, seq, metrics)


def _metric(data: bytes, at: int, end: int, times: dict[bytes, int]) -> Metric:
    """One metric; the branches stand in the order of how often their fields occur in data.

    Metrics of a payload share their timestamps, six bytes each until the year 2109: `times` holds those read before.
    """
    name = alias = ts_ms = datatype = None
    historical = is_null = False
    value: Value = None
    quality, properties = GOOD, None
    while at < end:
        tag = data[at]
        at += 1
        if tag == 0x10:
            alias, at = _varint(data, at)
        elif tag == 0x18:
            ts_ms = times.get(data[at : at + 6])
            if ts_ms is not None:
                at += 6
                continue
            start = at
            ts_ms, at = _varint(data, at)
            if at - start == 6:
                times[data[start:at]] = ts_ms
        elif tag == 0x69:
            value, at = _F64(data, at)[0] if at + 8 <= end else None, _fixed(at, 8, end)
        elif tag == 0x28:
            flag, at = _varint(data, at)
            historical = flag != 0
        elif tag == 0x50 or tag == 0x58:
            value, at = _varint(data, at)
            if tag == 0x50:
                value &= 0xFFFFFFFF
        elif tag == 0x7A:
            start, at = _span(data, at, end)
            value = data[start:at].decode()
        elif tag == 0x70:
            flag, at = _varint(data, at)
            value = flag != 0
        elif tag == 0x65:
            value, at = _F32(data, at)[0] if at + 4 <= end else None, _fixed(at, 4, end)
        elif tag == 0x4A:
            start, at = _span(data, at, end)
            quality, properties = _property_set(data, start, at)
        elif tag == 0x0A:
            start, at = _span(data, at, end)
            if at - start > NAME_BYTES_MAX:
                raise Malformed(f"a metric name of {at - start} bytes, more than {NAME_BYTES_MAX}")
            name = data[start:at].decode()
        elif tag == 0x20:
            datatype, at = _varint(data, at)
        elif tag == 0x38:
            flag, at = _varint(data, at)
            is_null = flag != 0
        else:
            value, at = _rare(data, tag, at, end, value)
    if at != end:
        raise Malformed("a metric reaches beyond its own length")
    if is_null:
        value = None
    return Metric(name, alias, ts_ms, datatype, historical, is_null, value, quality, properties)


def _rare(data: bytes, tag: int, at: int, end: int, value: Value) -> tuple[Value, int]:
    """Fields that plant data seldom has: bytes, DataSet, Template, metadata, is_transient, and the unknown."""
    if tag >= 128:
        tag, at = _varint(data, at - 1)
        if tag in (0x82, 0x8A, 0x92):  # bytes, DataSet, Template: carried, not looked into
            start, at = _span(data, at, end)
            return data[start:at], at
    if tag not in (0x30, 0x42):  # is_transient, metadata
        _known(tag, _METRIC_FIELDS)
    return value, _skip(data, tag, at, end)


def _property_set(data: bytes, at: int, end: int) -> tuple[int, dict[str, Value]]:
    """The `Quality` of a property set, GOOD when it has none, and all of its properties.

    Keys and values stand in two parallel lists.
    """
    keys: list[str] = []
    values: list[Value] = []
    while at < end:
        tag, at = _varint(data, at)
        if tag == 0x0A:
            start, at = _span(data, at, end)
            keys.append(data[start:at].decode())
        elif tag == 0x12:
            start, at = _span(data, at, end)
            values.append(_property(data, start, at))
        else:
            _known(tag, {1: 2, 2: 2})
            at = _skip(data, tag, at, end)
        if len(keys) > PROPERTIES_MAX or len(values) > PROPERTIES_MAX:
            raise Malformed(f"more than {PROPERTIES_MAX} properties")
    if at != end:
        raise Malformed("a property set reaches beyond its own length")
    if len(keys) != len(values):
        raise Malformed(f"a property set of {len(keys)} keys and {len(values)} values")
    properties = dict(zip(keys, values, strict=True))
    quality = properties.get("Quality", GOOD)
    if type(quality) is not int:
        raise Malformed("property Quality is not an integer")
    return quality, properties


def _property(data: bytes, at: int, end: int) -> Value:
    """The value of one PropertyValue; None if it carries something else than a basic type."""
    value: Value = None
    while at < end:
        tag, at = _varint(data, at)
        if tag in (0x18, 0x20):
            value, at = _varint(data, at)
        elif tag in (0x08, 0x10):
            _, at = _varint(data, at)
        elif tag == 0x2D:
            value, at = _F32(data, at)[0] if at + 4 <= end else None, _fixed(at, 4, end)
        elif tag == 0x31:
            value, at = _F64(data, at)[0] if at + 8 <= end else None, _fixed(at, 8, end)
        elif tag == 0x38:
            flag, at = _varint(data, at)
            value = flag != 0
        elif tag == 0x42:
            start, at = _span(data, at, end)
            value = data[start:at].decode()
        else:
            _known(tag, _PROPERTY_FIELDS)
            at = _skip(data, tag, at, end)
    if at != end:
        raise Malformed("a property reaches beyond its own length")
    return value
