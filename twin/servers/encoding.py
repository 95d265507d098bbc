"""Binary encoding (Part 6, 5.2) of what a Publish response is made of.

A value is encoded once, when it is offered, and shared by every queue, retransmission and history that holds it; a
NotificationMessage is encoded once and republished as the same bytes. asyncua builds and encodes five Python objects
per notification instead. The tests hold every function here to asyncua's own encoder.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

_TICKS_1970 = 116_444_736_000_000_000  # 100 ns intervals from 1601-01-01 to the Unix epoch
_TICKS_MAX = 2**63 - 1

# DataValue encoding mask (Part 6, 5.2.2.17)
_VALUE, _STATUS, _SOURCE_TIME, _SERVER_TIME, _SOURCE_PICO, _SERVER_PICO = 1, 2, 4, 8, 16, 32

INFO_OVERFLOW = 0x0480  # InfoType DataValue + Overflow (Part 4, 7.39.1)

_FORMATS = {
    "Boolean": "?",
    "SByte": "b",
    "Byte": "B",
    "Int16": "h",
    "UInt16": "H",
    "Int32": "i",
    "UInt32": "I",
    "Int64": "q",
    "UInt64": "Q",
    "Float": "f",
    "Double": "d",
}
NUMERIC = frozenset(_FORMATS) - {"Boolean"}
SCALARS = (*_FORMATS, "String")

_u32 = struct.Struct("<I").pack
_i32 = struct.Struct("<i").pack
_null_value = struct.Struct("<BIqq").pack
_string_head = struct.Struct("<BBi").pack
_string_tail = struct.Struct("<Iqq").pack


def ticks(ns: int) -> int:
    """DateTime (Part 6, 5.2.2.5) of a Unix time in ns; what lies before 1601 becomes 0."""
    return min(max(ns // 100 + _TICKS_1970, 0), _TICKS_MAX)


def ns(date_time_ticks: int) -> int:
    """Unix time in ns of a DateTime."""
    return (date_time_ticks - _TICKS_1970) * 100


def data_value_encoder(data_type: str) -> Callable[[Any, int, int, int], bytes]:
    """The encoder `(value, status, source_ticks, server_ticks) -> DataValue` for one built-in scalar type.

    `None` is sent as no value at all. Raises KeyError for a type that no signal may have and struct.error for a value
    that does not fit its declared type.
    """
    type_id = ua.VariantType[data_type].value
    mask = _VALUE | _STATUS | _SOURCE_TIME | _SERVER_TIME
    if data_type == "String":

        def encode_string(value: Any, status: int, source: int, server: int) -> bytes:
            if value is None:
                return _null_value(mask & ~_VALUE, status, source, server)
            text = value.encode()
            return _string_head(mask, type_id, len(text)) + text + _string_tail(status, source, server)

        return encode_string
    pack = struct.Struct(f"<BB{_FORMATS[data_type]}Iqq").pack

    def encode_scalar(value: Any, status: int, source: int, server: int) -> bytes:
        if value is None:
            return _null_value(mask & ~_VALUE, status, source, server)
        return pack(mask, type_id, value, status, source, server)

    return encode_scalar


def data_value(value: ua.DataValue) -> bytes:
    """Any DataValue, with a StatusCode even where it is Good, so that `with_info_bits` finds it."""
    if value.StatusCode is None:
        value = ua.DataValue(
            value.Value,
            ua.StatusCode(),
            value.SourceTimestamp,
            value.ServerTimestamp,
            value.SourcePicoseconds,
            value.ServerPicoseconds,
        )
    return struct_to_binary(value)


def with_info_bits(encoded: bytes, info_bits: int) -> bytes:
    """The same DataValue with bits set in its StatusCode."""
    mask = encoded[0]
    after_status = (
        (8 if mask & _SOURCE_TIME else 0)
        + (2 if mask & _SOURCE_PICO else 0)
        + (8 if mask & _SERVER_TIME else 0)
        + (2 if mask & _SERVER_PICO else 0)
    )
    at = len(encoded) - after_status - 4
    status = int.from_bytes(encoded[at : at + 4], "little") | info_bits
    return encoded[:at] + _u32(status) + encoded[at + 4 :]


def _extension_object(encoding_id: int, body: bytes) -> bytes:
    return struct.pack("<BBHBi", 1, 0, encoding_id, 1, len(body)) + body


def data_change_notification(items: Sequence[bytes], count: int) -> bytes:
    """DataChangeNotification from `count` MonitoredItemNotifications given as parts (client handle, DataValue, ...)."""
    return _extension_object(
        ua.ObjectIds.DataChangeNotification_Encoding_DefaultBinary,
        b"".join((_i32(count), *items, _i32(0))),
    )


def event_notification_list(events: Sequence[ua.EventFieldList]) -> bytes:
    """EventNotificationList."""
    body = struct_to_binary(ua.EventNotificationList(Events=list(events)))
    return _extension_object(ua.ObjectIds.EventNotificationList_Encoding_DefaultBinary, body)


def status_change_notification(status: int) -> bytes:
    """StatusChangeNotification."""
    body = struct_to_binary(ua.StatusChangeNotification(Status=ua.StatusCode(status)))
    return _extension_object(ua.ObjectIds.StatusChangeNotification_Encoding_DefaultBinary, body)


def notification_message(sequence_number: int, publish_ticks: int, data: Sequence[bytes]) -> bytes:
    """NotificationMessage; without data it is a keep-alive."""
    return struct.pack("<Iqi", sequence_number, publish_ticks, len(data)) + b"".join(data)


def history_data(values: Sequence[bytes]) -> ua.ExtensionObject:
    """HistoryData with its DataValues already encoded."""
    return ua.ExtensionObject(
        TypeId=ua.FourByteNodeId(ua.ObjectIds.HistoryData_Encoding_DefaultBinary),
        Body=_i32(len(values)) + b"".join(values),
    )


def _response(encoding_id: int, request_handle: int, now_ticks: int, body: bytes) -> bytes:
    header = struct.pack("<BBHqIIBiBBB", 1, 0, encoding_id, now_ticks, request_handle, 0, 0, 0, 0, 0, 0)
    return header + body


def publish_response(
    request_handle: int,
    now_ticks: int,
    subscription_id: int,
    available: Iterable[int],
    more: bool,
    message: bytes,
    results: Sequence[ua.StatusCode],
) -> bytes:
    """PublishResponse around an encoded NotificationMessage; `results` are those of the request's acknowledgements."""
    numbers = list(available)
    body = b"".join(
        (
            struct.pack(f"<Ii{len(numbers)}I?", subscription_id, len(numbers), *numbers, more),
            message,
            struct.pack(f"<i{len(results)}Ii", len(results), *(r.value for r in results), 0),
        )
    )
    return _response(ua.ObjectIds.PublishResponse_Encoding_DefaultBinary, request_handle, now_ticks, body)


def republish_response(request_handle: int, now_ticks: int, message: bytes) -> bytes:
    """RepublishResponse around an encoded NotificationMessage."""
    return _response(
        ua.ObjectIds.RepublishResponse_Encoding_DefaultBinary, request_handle, now_ticks, message
    )
