"""Decoding of what a subscription delivers: Publish, Republish and HistoryRead responses (OPC UA Part 6, 5.2).

asyncua builds five objects and a datetime for each value, which costs several times what all the rest of the bridge
does with it; here a value is a tuple and a time stamp is the integer that was on the wire, exact to 100 ns. Only
what is common is decoded here: everything else is left to asyncua's decoder. Input is hostile: whatever is wrong with
it ends in `Malformed`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, variant_from_binary

from shakedown.bridge.core.model import Value

TICKS_1970 = 116_444_736_000_000_000  # 100 ns intervals from 1601-01-01 to the Unix epoch (Part 6, 5.2.2.5)
TICKS_MAX = 2_650_467_743_990_000_000  # 9999-12-31T23:59:59: from here on a DateTime means "no time"

TEXT_MAX = 65_536
"""Longest text or byte string that is carried, in bytes; a longer one becomes null with BadEncodingLimitsExceeded."""

BAD_TYPE_MISMATCH = ua.StatusCodes.BadTypeMismatch
BAD_TOO_LONG = ua.StatusCodes.BadEncodingLimitsExceeded

_VALUE, _STATUS, _SOURCE_TIME, _SERVER_TIME, _SOURCE_PICO, _SERVER_PICO = 1, 2, 4, 8, 16, 32

_SCALARS: list[struct.Struct | None] = [None] * 64
for _type_id, _format in enumerate("?bBhHiIqQfd", 1):  # Boolean to Double, built-in types 1 to 11
    _SCALARS[_type_id] = struct.Struct("<" + _format)
_STRING, _DATE_TIME, _GUID, _BYTE_STRING, _XML_ELEMENT = 12, 13, 14, 15, 16

_u32 = struct.Struct("<I").unpack_from
_i32 = struct.Struct("<i").unpack_from
_i64 = struct.Struct("<q").unpack_from
_head = struct.Struct("<IBB").unpack_from  # client handle, encoding mask of the DataValue, of its Variant

_DATA_CHANGE = ua.ObjectIds.DataChangeNotification_Encoding_DefaultBinary
_STATUS_CHANGE = ua.ObjectIds.StatusChangeNotification_Encoding_DefaultBinary
_HISTORY_DATA = ua.ObjectIds.HistoryData_Encoding_DefaultBinary


class Malformed(ValueError):
    """The server sent what cannot be decoded."""


class DataValue(NamedTuple):
    """One notification: times in ticks of 100 ns since 1601, 0 where the server sent none."""

    handle: int
    value: Value
    status: int
    source_ticks: int
    server_ticks: int


@dataclass(slots=True)
class Notification:
    """A NotificationMessage (Part 4, 7.26); without values and status change it is a keep-alive."""

    sequence: int
    values: list[DataValue] = field(default_factory=list)
    status_change: int | None = None
    keep_alive: bool = True
    more: bool = False  # the server has more to send than this
    published: int = 0  # PublishTime in ticks


@dataclass(slots=True)
class HistoryPage:
    """The result for one node of a HistoryRead: `status` of the operation, values oldest first as the server sent."""

    status: int
    values: list[DataValue]
    continuation_point: bytes | None


def publish_response(buffer: Buffer) -> tuple[int, Notification]:
    """Return subscription id and notification; raises Malformed, and UaStatusCodeError for a bad ServiceResult."""
    data, at = _response(buffer)
    try:
        subscription_id = _u32(data, at)[0]
        at = _skip_array(data, at + 4, 4)  # AvailableSequenceNumbers
        notification = _notification(data, at + 1)
        notification.more = bool(data[at])
        return subscription_id, notification
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise Malformed(f"PublishResponse: {error}") from error


def republish_response(buffer: Buffer) -> Notification:
    """Return the notification of a RepublishResponse; raises as `publish_response` does."""
    data, at = _response(buffer)
    try:
        return _notification(data, at)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise Malformed(f"RepublishResponse: {error}") from error


def read_response(buffer: Buffer) -> list[DataValue]:
    """Return the values of a ReadResponse, without a handle; raises as `publish_response` does."""
    data, at = _response(buffer)
    try:
        return _plain_values(data, at)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise Malformed(f"ReadResponse: {error}") from error


def history_response(buffer: Buffer) -> list[HistoryPage]:
    """Return one page a node; raises as `publish_response` does."""
    data, at = _response(buffer)
    try:
        pages, count, at = [], *_count(data, at)
        for _ in range(count):
            status = _u32(data, at)[0]
            continuation_point, at = _bytes(data, at + 4)
            type_id, body, end = _extension_object(data, at)
            values = _plain_values(data, body) if type_id == _HISTORY_DATA else []
            pages.append(HistoryPage(status, values, continuation_point or None))
            at = end
        return pages
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise Malformed(f"HistoryReadResponse: {error}") from error


def _response(buffer: Buffer) -> tuple[bytes, int]:
    """Check the header of a response; return its bytes and where its parameters begin."""
    data = buffer.read(len(buffer))
    rest = Buffer(data)
    try:
        nodeid_from_binary(rest)
        header = struct_from_binary(ua.ResponseHeader, rest)
    except Exception as error:  # asyncua's decoders raise whatever the bytes make them stumble over
        raise Malformed(f"ResponseHeader: {error!r}") from error
    header.ServiceResult.check()
    return data, rest.cur_pos


def _notification(data: bytes, at: int) -> Notification:
    notification = Notification(_u32(data, at)[0], published=_i64(data, at + 4)[0])
    count, at = _count(data, at + 12)  # sequence number and PublishTime
    for _ in range(count):
        type_id, body, at = _extension_object(data, at)
        notification.keep_alive = False
        if type_id == _DATA_CHANGE:
            _monitored_items(data, body, notification.values)
        elif type_id == _STATUS_CHANGE:
            notification.status_change = _u32(data, body)[0]
    return notification


def _monitored_items(data: bytes, at: int, values: list[DataValue]) -> None:
    count, at = _count(data, at)
    for _ in range(count):
        value, at = _data_value(data, at)
        values.append(value)


def _plain_values(data: bytes, at: int) -> list[DataValue]:
    """An array of DataValues; they have no client handle, so 0 stands in its place."""
    count, at = _count(data, at)
    values = []
    for _ in range(count):
        # A DataValue begins 4 bytes into a notification. These 4 belong to what stands before: they are not read.
        value, at = _data_value(data, at - 4)
        values.append(value._replace(handle=0))
    return values


def _data_value(data: bytes, at: int) -> tuple[DataValue, int]:
    """Decode a client handle and the DataValue behind it (Part 6, 5.2.2.17)."""
    handle, mask, variant = _head(data, at)
    status = 0
    value: Value = None
    if mask & _VALUE:
        scalar = _SCALARS[variant] if variant < 64 else None
        if scalar is not None:
            value = scalar.unpack_from(data, at + 6)[0]
            at += 6 + scalar.size
        else:
            value, status, at = _other_value(data, at + 5)
    else:
        at += 5
    if mask & _STATUS:
        status = _u32(data, at)[0] or status
        at += 4
    source = server = 0
    if mask & _SOURCE_TIME:
        source = _i64(data, at)[0]
        at += 8
    if mask & _SOURCE_PICO:
        at += 2
    if mask & _SERVER_TIME:
        server = _i64(data, at)[0]
        at += 8
    if mask & _SERVER_PICO:
        at += 2
    return DataValue(handle, value, status, source, server), at


def _other_value(data: bytes, at: int) -> tuple[Value, int, int]:
    """Decode a Variant that is no number; return value, the status of its refusal (or 0), and where it ends."""
    variant = data[at]
    if variant in (_STRING, _BYTE_STRING, _XML_ELEMENT):
        raw, at = _bytes(data, at + 1)
        if raw is not None and len(raw) > TEXT_MAX:
            return None, BAD_TOO_LONG, at
        return (raw if variant == _BYTE_STRING or raw is None else raw.decode("utf-8", "replace")), 0, at
    if variant == _DATE_TIME:
        return (_i64(data, at + 1)[0] - TICKS_1970) // 10_000, 0, at + 9
    rest = Buffer(data, at)
    try:
        value = variant_from_binary(rest).Value
    except Exception as error:  # asyncua's decoders raise whatever the bytes make them stumble over
        raise Malformed(f"Variant: {error!r}") from error
    return *_plain(value), rest.cur_pos


def _plain(value: object) -> tuple[Value, int]:
    """Reduce asyncua's objects to what a metric can carry; arrays and structures cannot be carried."""
    if value is None:
        return None, 0
    if isinstance(value, ua.LocalizedText):
        return (value.Text, 0) if value.Text is None or len(value.Text) <= TEXT_MAX else (None, BAD_TOO_LONG)
    if isinstance(value, ua.QualifiedName):
        return (value.Name, 0) if value.Name is None or len(value.Name) <= TEXT_MAX else (None, BAD_TOO_LONG)
    if isinstance(value, ua.StatusCode):
        return value.value, 0
    if isinstance(value, ua.NodeId):
        return value.to_string(), 0
    if isinstance(value, UUID):
        return str(value), 0
    return None, BAD_TYPE_MISMATCH


def _count(data: bytes, at: int) -> tuple[int, int]:
    """Length of an array, 0 for a null one, and where its elements begin; no longer than the bytes there are."""
    count = _i32(data, at)[0]
    if count > len(data) - at:
        raise Malformed(f"array of {count} elements in {len(data) - at} bytes")
    return max(count, 0), at + 4


def _skip_array(data: bytes, at: int, size: int) -> int:
    count, at = _count(data, at)
    return at + count * size


def _bytes(data: bytes, at: int) -> tuple[bytes | None, int]:
    length = _i32(data, at)[0]
    at += 4
    if length < 0:
        return None, at
    if length > len(data) - at:
        raise Malformed(f"string of {length} bytes in {len(data) - at} bytes")
    return data[at : at + length], at + length


def _extension_object(data: bytes, at: int) -> tuple[int, int, int]:
    """Return numeric type id, where the body begins, and where the next element begins (Part 6, 5.2.2.15)."""
    rest = Buffer(data, at)
    try:
        type_id = nodeid_from_binary(rest)
    except Exception as error:  # as above
        raise Malformed(f"ExtensionObject: {error!r}") from error
    at = rest.cur_pos
    if not data[at] & 1:
        return 0, at + 1, at + 1
    length = max(_i32(data, at + 1)[0], 0)
    if length > len(data) - at - 5:
        raise Malformed(f"ExtensionObject of {length} bytes in {len(data) - at - 5} bytes")
    identifier = type_id.Identifier if isinstance(type_id.Identifier, int) else 0
    return identifier, at + 5, at + 5 + length
