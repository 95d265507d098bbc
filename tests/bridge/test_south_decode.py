"""The decoder against asyncua's own encoder, and against bytes that nobody should send."""

from __future__ import annotations

import math
import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import given, settings
from hypothesis import strategies as st

from shakedown.bridge.south import decode
from shakedown.bridge.south.decode import DataValue, Malformed

STAMP = datetime(2026, 1, 5, 6, 0, 0, 123456, tzinfo=UTC)
TICKS = 134_120_664_001_234_560


def publish_bytes(values: list[tuple[int, ua.DataValue]], *, sequence: int = 7, header: Any = None) -> bytes:
    response = ua.PublishResponse()
    response.ResponseHeader = header or ua.ResponseHeader()
    result = response.Parameters
    result.SubscriptionId = 42
    result.AvailableSequenceNumbers = [5, 6, 7]
    result.MoreNotifications = True
    result.NotificationMessage.SequenceNumber = sequence
    if values:
        notification = ua.DataChangeNotification()
        notification.MonitoredItems = [
            ua.MonitoredItemNotification(handle, value) for handle, value in values
        ]
        result.NotificationMessage.NotificationData = [notification]
    return struct_to_binary(response)


def values_of(*values: ua.DataValue) -> list[DataValue]:
    subscription_id, notification = decode.publish_response(Buffer(publish_bytes(list(enumerate(values)))))
    assert (subscription_id, notification.sequence, notification.keep_alive) == (42, 7, False)
    assert [value.handle for value in notification.values] == list(range(len(values)))
    return notification.values


def variant(value: Any, kind: str) -> ua.DataValue:
    return ua.DataValue(ua.Variant(value, ua.VariantType[kind]), SourceTimestamp=STAMP, ServerTimestamp=STAMP)


GUID = uuid.UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("kind", "sent", "got"),
    [
        ("Boolean", True, True),
        ("SByte", -128, -128),
        ("Byte", 255, 255),
        ("Int16", -(2**15), -(2**15)),
        ("UInt16", 2**16 - 1, 2**16 - 1),
        ("Int32", -(2**31), -(2**31)),
        ("UInt32", 2**32 - 1, 2**32 - 1),
        ("Int64", -(2**63), -(2**63)),
        ("UInt64", 2**64 - 1, 2**64 - 1),
        ("Float", 0.5, 0.5),
        ("Double", math.pi, math.pi),
        ("Double", math.inf, math.inf),
        ("String", "größer", "größer"),
        ("String", "", ""),
        ("String", None, None),
        ("ByteString", b"\0\xff", b"\0\xff"),
        ("XmlElement", ua.XmlElement("<a/>"), "<a/>"),
        ("DateTime", STAMP, 1_767_592_800_123),
        ("Guid", GUID, str(GUID)),
        ("LocalizedText", ua.LocalizedText("hot", "en"), "hot"),
        ("QualifiedName", ua.QualifiedName("name", 2), "name"),
        ("StatusCode", ua.StatusCode(0x8034_0000), 0x8034_0000),
        ("NodeId", ua.NodeId("a", 2), "ns=2;s=a"),
        ("Null", None, None),
    ],
)
def test_values_are_those_of_asyncua(kind: str, sent: Any, got: Any) -> None:
    after = variant(1.5, "Double")  # what follows is found only if the length before it is right
    value, next_value = values_of(variant(sent, kind), after)
    assert value == DataValue(0, got, 0, TICKS, TICKS)
    assert type(value.value) is type(got)
    assert next_value == DataValue(1, 1.5, 0, TICKS, TICKS)


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("Double", [1.0, 2.0]),
        ("String", ["a", "b"]),
        ("Double", [[1.0, 2.0], [3.0, 4.0]]),
        ("ExtensionObject", ua.Range(0, 1)),
    ],
)
def test_what_a_metric_cannot_carry_is_a_type_mismatch(kind: str, sent: Any) -> None:
    value, after = values_of(variant(sent, kind), variant(1.5, "Double"))
    assert (value.value, value.status) == (None, ua.StatusCodes.BadTypeMismatch)
    assert after.value == 1.5


@pytest.mark.parametrize(("kind", "unit"), [("String", "x"), ("ByteString", b"x"), ("LocalizedText", "x")])
def test_oversized_texts_are_refused(kind: str, unit: Any) -> None:
    def sized(n: int) -> Any:
        return ua.LocalizedText(unit * n) if kind == "LocalizedText" else unit * n

    longest, too_long = values_of(
        variant(sized(decode.TEXT_MAX), kind), variant(sized(decode.TEXT_MAX + 1), kind)
    )
    assert longest.value == unit * decode.TEXT_MAX
    assert (too_long.value, too_long.status) == (None, ua.StatusCodes.BadEncodingLimitsExceeded)


def test_text_that_is_no_utf8_is_shown_as_such() -> None:
    raw = publish_bytes([(0, variant("abcd", "String"))]).replace(b"abcd", b"a\xff\xfed")
    _, notification = decode.publish_response(Buffer(raw))
    assert notification.values[0].value == "a\ufffd\ufffdd"


def test_not_a_number_is_a_value() -> None:
    assert math.isnan(values_of(variant(math.nan, "Double"))[0].value)


def test_missing_parts_of_a_data_value() -> None:
    status = ua.StatusCode(0x8031_0000)
    assert values_of(
        ua.DataValue(ua.Variant(1.0), None),
        ua.DataValue(None, status, SourceTimestamp=STAMP),
        ua.DataValue(ua.Variant(2.0), None, ServerTimestamp=STAMP),
    ) == [
        DataValue(0, 1.0, 0, 0, 0),
        DataValue(1, None, 0x8031_0000, TICKS, 0),
        DataValue(2, 2.0, 0, 0, TICKS),
    ]


def test_time_is_exact_to_100_ns() -> None:
    stamp = datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=TICKS // 10)
    raw = publish_bytes([(0, ua.DataValue(ua.Variant(1.0), None, SourceTimestamp=stamp))])
    raw = raw.replace(TICKS.to_bytes(8, "little"), (TICKS + 7).to_bytes(8, "little"))
    _, notification = decode.publish_response(Buffer(raw))
    assert notification.values[0].source_ticks == TICKS + 7


def test_picoseconds_stand_behind_their_timestamp() -> None:
    """Part 6, 5.2.2.17: Value, Status, SourceTimestamp, SourcePicoseconds, ServerTimestamp, ServerPicoseconds."""
    plain = publish_bytes([(3, variant(1.5, "Double"))])
    ticks = TICKS.to_bytes(8, "little")
    at = plain.index(ticks)
    mask = plain.index(b"\x03\0\0\0\x0f\x0b") + 4
    body = plain[:at] + ticks + b"\x01\x02" + ticks + b"\x03\x04" + plain[at + 16 :]
    body = body[:mask] + b"\x3f" + body[mask + 1 :]
    length_at = plain.index(b"\x01", plain.index((811).to_bytes(2, "little"))) + 1
    length = int.from_bytes(plain[length_at : length_at + 4], "little") + 4
    body = body[:length_at] + length.to_bytes(4, "little") + body[length_at + 4 :]
    _, notification = decode.publish_response(Buffer(body))
    assert notification.values == [DataValue(3, 1.5, 0, TICKS, TICKS)]


def test_keep_alive_and_status_change() -> None:
    _, keep_alive = decode.publish_response(Buffer(publish_bytes([], sequence=9)))
    assert (keep_alive.sequence, keep_alive.keep_alive, keep_alive.values) == (9, True, [])
    response = ua.PublishResponse()
    change = ua.StatusChangeNotification(ua.StatusCode(ua.StatusCodes.BadTimeout))
    response.Parameters.NotificationMessage.NotificationData = [change]
    _, ended = decode.publish_response(Buffer(struct_to_binary(response)))
    assert (ended.keep_alive, ended.status_change) == (False, ua.StatusCodes.BadTimeout)


def test_a_bad_service_result_is_raised() -> None:
    header = ua.ResponseHeader(ServiceResult=ua.StatusCode(ua.StatusCodes.BadNoSubscription))
    with pytest.raises(ua.uaerrors.BadNoSubscription):
        decode.publish_response(Buffer(publish_bytes([], header=header)))


def test_history_pages() -> None:
    response = ua.HistoryReadResponse()
    response.Results = [
        ua.HistoryReadResult(
            ContinuationPoint=b"more",
            HistoryData=ua.HistoryData([variant(1.0, "Double"), variant("x", "String")]),
        ),
        ua.HistoryReadResult(StatusCode=ua.StatusCode(ua.StatusCodes.BadHistoryOperationUnsupported)),
    ]
    first, second = decode.history_response(Buffer(struct_to_binary(response)))
    assert first.values == [DataValue(0, 1.0, 0, TICKS, TICKS), DataValue(0, "x", 0, TICKS, TICKS)]
    assert (first.status, first.continuation_point) == (0, b"more")
    assert (second.status, second.values) == (ua.StatusCodes.BadHistoryOperationUnsupported, [])


def test_read_values() -> None:
    response = ua.ReadResponse(Results=[variant(1.0, "Double"), variant(True, "Boolean")])
    values = decode.read_response(Buffer(struct_to_binary(response)))
    assert [value.value for value in values] == [1.0, True]


WHOLE = publish_bytes(
    [(0, variant(1.5, "Double")), (1, variant("text", "String")), (2, variant([1, 2], "Int32"))]
)


def decode_whatever(raw: bytes) -> None:
    """Anything may come out except an exception that is not declared."""
    for function in (decode.publish_response, decode.republish_response, decode.history_response):
        try:
            function(Buffer(raw))
        except (Malformed, ua.UaStatusCodeError):
            continue


def test_every_truncation_is_malformed_or_harmless() -> None:
    for length in range(len(WHOLE)):
        decode_whatever(WHOLE[:length])


def test_every_flipped_byte_is_malformed_or_harmless() -> None:
    flips = random.Random(0)
    for at in range(len(WHOLE)):
        for _ in range(4):
            decode_whatever(WHOLE[:at] + bytes([flips.randrange(256)]) + WHOLE[at + 1 :])


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_arbitrary_bytes_are_malformed_or_harmless(raw: bytes) -> None:
    decode_whatever(raw)
    head = WHOLE[: WHOLE.index((811).to_bytes(2, "little")) - 2]
    decode_whatever(head + raw)
