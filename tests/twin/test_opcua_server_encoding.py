"""What the server encodes itself is, byte for byte, what asyncua's own encoder makes of the same objects."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import extensionobject_to_binary, struct_from_binary, struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from shakedown.twin.servers import encoding

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WHEN_NS = 1_767_592_800_123_456_000
WHEN = EPOCH + timedelta(microseconds=WHEN_NS // 1000)

INTEGERS = {
    "SByte": 8,
    "Byte": 8,
    "Int16": 16,
    "UInt16": 16,
    "Int32": 32,
    "UInt32": 32,
    "Int64": 64,
    "UInt64": 64,
}


def values(data_type: str) -> st.SearchStrategy:
    if data_type == "Boolean":
        return st.booleans()
    if data_type == "String":
        return st.text()
    if data_type in ("Float", "Double"):
        return st.floats(width=32 if data_type == "Float" else 64, allow_nan=False)
    bits = INTEGERS[data_type]
    low = 0 if data_type.startswith(("U", "Byte")) else -(2 ** (bits - 1))
    return st.integers(low, low + 2**bits - 1)


@given(
    st.sampled_from(encoding.SCALARS).flatmap(lambda t: st.tuples(st.just(t), values(t))),
    st.integers(0, 2**32 - 1),
)
def test_data_value(typed: tuple[str, object], status: int) -> None:
    data_type, value = typed
    ticks = encoding.ticks(WHEN_NS)
    ours = encoding.data_value_encoder(data_type)(value, status, ticks, ticks)
    theirs = ua.DataValue(ua.Variant(value, ua.VariantType[data_type]), ua.StatusCode(status), WHEN, WHEN)
    assert ours == struct_to_binary(theirs)


@pytest.mark.parametrize("data_type", encoding.SCALARS)
def test_no_value_is_sent_as_none(data_type: str) -> None:
    ours = encoding.data_value_encoder(data_type)(None, 0x8000_0000, 5, 6)
    decoded = struct_from_binary(ua.DataValue, Buffer(ours))
    assert decoded.Value is None or decoded.Value.Value is None
    assert decoded.StatusCode.value == 0x8000_0000


@pytest.mark.parametrize(
    "value",
    [
        ua.DataValue(ua.Variant(1.5), ua.StatusCode(0), WHEN, WHEN),
        ua.DataValue(ua.Variant("text"), ua.StatusCode(0x4000_0000), WHEN),
        ua.DataValue(ua.Variant([1, 2, 3], ua.VariantType.Int16), ua.StatusCode(0)),
        ua.DataValue(ua.Variant(math.pi), ua.StatusCode(0), None, WHEN, None, 7),
        ua.DataValue(ua.Variant(1), ua.StatusCode(0), WHEN, WHEN, 3, 7),
        ua.DataValue(None, None),
    ],
)
def test_overflow_bit_is_set_wherever_the_status_lies(value: ua.DataValue) -> None:
    flagged = encoding.with_info_bits(encoding.data_value(value), encoding.INFO_OVERFLOW)
    before = struct_from_binary(ua.DataValue, Buffer(encoding.data_value(value)))
    after = struct_from_binary(ua.DataValue, Buffer(flagged))
    assert after.StatusCode.value == before.StatusCode.value | 0x0480
    after.StatusCode = before.StatusCode
    assert after == before


def test_publish_response() -> None:
    ticks = encoding.ticks(WHEN_NS)
    items = [
        ua.MonitoredItemNotification(handle, ua.DataValue(ua.Variant(1.5), ua.StatusCode(0), WHEN, WHEN))
        for handle in (1, 70_000)
    ]
    parts = [
        part
        for item in items
        for part in (item.ClientHandle.to_bytes(4, "little"), struct_to_binary(item.Value))
    ]
    event = ua.EventFieldList(3, [ua.Variant("e")])
    ours = encoding.publish_response(
        42,
        ticks,
        77,
        [5, 6],
        True,
        encoding.notification_message(
            6,
            ticks,
            [
                encoding.data_change_notification(parts, 2),
                encoding.event_notification_list([event]),
                encoding.status_change_notification(ua.StatusCodes.BadTimeout),
            ],
        ),
        [ua.StatusCode(0), ua.StatusCode(ua.StatusCodes.BadSequenceNumberUnknown)],
    )
    status = ua.StatusChangeNotification(ua.StatusCode(ua.StatusCodes.BadTimeout))
    theirs = ua.PublishResponse()
    theirs.ResponseHeader.Timestamp = WHEN
    theirs.ResponseHeader.RequestHandle = 42
    theirs.Parameters = ua.PublishResult(
        77,
        [5, 6],
        True,
        ua.NotificationMessage(
            6, WHEN, [ua.DataChangeNotification(items, []), ua.EventNotificationList([event]), status]
        ),
        [ua.StatusCode(0), ua.StatusCode(ua.StatusCodes.BadSequenceNumberUnknown)],
        [],
    )
    assert ours == struct_to_binary(theirs)


def test_republish_response() -> None:
    ticks = encoding.ticks(WHEN_NS)
    ours = encoding.republish_response(9, ticks, encoding.notification_message(3, ticks, []))
    theirs = ua.RepublishResponse()
    theirs.ResponseHeader.Timestamp = WHEN
    theirs.ResponseHeader.RequestHandle = 9
    theirs.NotificationMessage = ua.NotificationMessage(3, WHEN, [])
    assert ours == struct_to_binary(theirs)


def test_history_data() -> None:
    values = [ua.DataValue(ua.Variant(float(n)), ua.StatusCode(0), WHEN, WHEN) for n in range(3)]
    ours = encoding.history_data([struct_to_binary(value) for value in values])
    theirs = extensionobject_to_binary(ua.HistoryData(values))
    assert extensionobject_to_binary(ours).endswith(theirs[-40:])
    assert struct_from_binary(ua.HistoryData, Buffer(ours.Body)).DataValues == values


@given(st.integers(-(10**19), 10**19))
def test_ticks_are_bounded(unix_ns: int) -> None:
    assert 0 <= encoding.ticks(unix_ns) < 2**63
