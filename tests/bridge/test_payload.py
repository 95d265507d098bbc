"""The payload codec against bytes put together by hand from the field numbers, and round trips of every type."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shakedown.bridge.core import datatypes as t
from shakedown.bridge.core import payload
from shakedown.bridge.core.model import BAD, GOOD, STALE, Metric, Sample


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def text(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def double(field: int, value: float) -> bytes:
    return varint(field << 3 | 1) + struct.pack("<d", value)


METRICS = [Metric(i, "d.a", f"m{i}", kind) for i, kind in enumerate(t.NUMBER.values())]
ENCODER = payload.Encoder(METRICS)
BY_TYPE = {metric.datatype: metric for metric in METRICS}


def test_death_is_byte_for_byte_as_the_standard_draws_it() -> None:
    metric = text(1, b"bdSeq") + number(3, 1000) + number(4, 4) + number(11, 200)
    assert payload.death(1000, 200) == number(1, 1000) + text(2, metric)


def test_device_death() -> None:
    assert payload.device_death(1000, 5) == number(1, 1000) + number(3, 5)


def test_data_is_byte_for_byte_alias_timestamp_value() -> None:
    metric_id = BY_TYPE[t.DOUBLE].metric_id
    live = number(2, metric_id) + number(3, 7) + double(13, 1.5)
    history = number(2, metric_id) + number(3, 6) + number(5, 1) + double(13, 0.5)
    data = ENCODER.data(9, 3, [(Sample(metric_id, 7, 1.5), False), (Sample(metric_id, 6, 0.5), True)])
    assert data == number(1, 9) + text(2, live) + text(2, history) + number(3, 3)


def test_quality_is_an_int32_property() -> None:
    metric_id = BY_TYPE[t.INT32].metric_id
    null = number(2, metric_id) + number(3, 7) + number(7, 1)
    properties = text(1, b"Quality") + text(2, number(1, 3) + number(3, STALE))
    data = ENCODER.data(9, 3, [(Sample(metric_id, 7, None, STALE), False)])
    assert data == number(1, 9) + text(2, null + text(9, properties)) + number(3, 3)


def test_good_quality_is_not_sent() -> None:
    assert b"Quality" not in ENCODER.data(9, 3, [(Sample(0, 7, 1, GOOD), False)])


def test_birth_is_byte_for_byte_name_alias_datatype_properties() -> None:
    spec = Metric(0, "d.a", "speed", t.DOUBLE, properties={"engUnit": "MTS", "engLow": 0.25})
    body = text(1, b"speed") + number(2, 0) + number(3, 7) + number(4, 10) + double(13, 2.0)
    properties = (
        text(1, b"engUnit") + text(1, b"engLow")
        + text(2, number(1, 12) + text(8, b"MTS")) + text(2, number(1, 10) + double(6, 0.25))
    )  # fmt: skip
    metric = (
        text(1, b"speed")
        + number(2, 0)
        + number(3, 7)
        + number(4, 10)
        + text(9, properties)
        + double(13, 2.0)
    )
    data = payload.Encoder([spec]).birth(9, 1, [(spec, Sample(0, 7, 2.0))])
    assert data == number(1, 9) + text(2, metric) + number(3, 1)
    assert len(body) < len(metric)


@pytest.mark.parametrize(
    ("kind", "value", "field", "wire"),
    [
        (t.INT8, -23, "int_value", 0xFFFFFFE9),
        (t.INT16, -(1 << 15), "int_value", 0xFFFF8000),
        (t.INT32, -1, "int_value", 0xFFFFFFFF),
        (t.INT64, -(1 << 63), "long_value", 1 << 63),
        (t.INT64, (1 << 63) - 1, "long_value", (1 << 63) - 1),
        (t.UINT8, 255, "int_value", 255),
        (t.UINT32, (1 << 32) - 1, "int_value", (1 << 32) - 1),
        (t.UINT64, (1 << 64) - 1, "long_value", (1 << 64) - 1),
        (t.DATETIME, 1_767_600_000_123, "long_value", 1_767_600_000_123),
        (t.BOOLEAN, False, "boolean_value", False),
        (t.STRING, "", "string_value", ""),
        (t.TEXT, "Füller", "string_value", "Füller"),
        (t.BYTES, b"\x00\xff", "bytes_value", b"\x00\xff"),
    ],
)
def test_types_on_the_wire(kind: int, value: object, field: str, wire: object) -> None:
    message = payload.Payload()
    message.ParseFromString(ENCODER.data(1, 0, [(Sample(BY_TYPE[kind].metric_id, 2, value), False)]))  # type: ignore[arg-type]
    assert message.metrics[0].WhichOneof("value") == field
    assert getattr(message.metrics[0], field) == wire


VALUES = st.one_of(
    *(st.tuples(st.just(kind), st.integers(*bounds)) for kind, bounds in t.INTEGER_RANGE.items()),
    st.tuples(st.just(t.FLOAT), st.floats(width=32, allow_nan=False)),
    st.tuples(st.just(t.DOUBLE), st.floats(allow_nan=False)),
    st.tuples(st.just(t.BOOLEAN), st.booleans()),
    st.tuples(st.just(t.STRING), st.text()),
    st.tuples(st.just(t.BYTES), st.binary()),
)


@given(
    VALUES, st.integers(0, (1 << 63) - 1), st.sampled_from((GOOD, BAD, STALE)), st.integers(0, (1 << 32) - 1)
)
def test_births_come_back_as_they_went(
    typed: tuple[int, object], ts_ms: int, quality: int, status: int
) -> None:
    kind, value = typed
    spec = BY_TYPE[kind]
    sample = Sample(spec.metric_id, ts_ms, value, quality, status)  # type: ignore[arg-type]
    data = ENCODER.birth(1, 2, [(spec, sample)], bd_seq=3)
    (_, _, command) = payload.commands(data)
    assert (command.name, command.alias, command.datatype) == (spec.name, spec.metric_id, kind)
    assert command.value == value


@given(st.binary(max_size=300))
def test_foreign_bytes_are_decoded_or_refused(data: bytes) -> None:
    try:
        found = payload.commands(data)
    except payload.MalformedPayload:
        return
    assert isinstance(found, tuple)


def test_oversized_commands_are_refused() -> None:
    with pytest.raises(payload.MalformedPayload, match="65,536"):
        payload.commands(b"\x12\x00" * 40_000)


def test_unknown_fields_are_skipped() -> None:
    dataset = text(2, text(1, b"x") + text(17, number(1, 5)))
    (command,) = payload.commands(dataset + text(99, b"future"))
    assert (command.name, command.value) == ("x", None)
