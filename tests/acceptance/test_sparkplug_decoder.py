"""The judge's own decoder against two other implementations, the protobuf library, and hostile bytes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shakedown.acceptance import sparkplug
from shakedown.acceptance.sparkplug import Malformed, decode, typed

RECORDED = json.loads((Path(__file__).parent / "recorded" / "payloads.json").read_text())
T = 1767592800123
BIRTH = {
    "i8": (1, -23), "i16": (2, -12345), "i32": (3, -2147483648), "u8": (5, 250), "u32": (7, 4294967295),
    "f": (9, 1.5), "d": (10, -1.1e-300), "b": (11, True), "s": (12, "Füllung läuft"), "n": (14, None),
}  # fmt: skip


@pytest.mark.parametrize("origin", ["sparkplug-payload", "pysparkplug"])
def test_decodes_births_of_other_implementations(origin: str) -> None:
    payload = decode(bytes.fromhex(RECORDED[origin]["dbirth"]))
    assert (payload.ts_ms, payload.seq) == (T, 1)
    found = {metric.name: metric for metric in payload.metrics}
    for name, (alias, value) in BIRTH.items():
        metric = found[name]
        assert (metric.alias, metric.ts_ms, typed(metric.value, metric.datatype)) == (alias, T, value), name
    assert found["n"].is_null
    expected = -9007199254740991 if origin == "sparkplug-payload" else -9223372036854775808
    assert typed(found["i64"].value, found["i64"].datatype) == expected


@pytest.mark.parametrize("origin", ["sparkplug-payload", "pysparkplug"])
def test_decodes_data_of_other_implementations(origin: str) -> None:
    payload = decode(bytes.fromhex(RECORDED[origin]["ddata"]))
    first, *_, last = payload.metrics
    assert (payload.seq, first.alias, first.ts_ms, first.value, first.historical) == (
        2,
        10,
        T + 900,
        3.25,
        True,
    )
    assert (last.alias, typed(last.value, sparkplug.INT32), last.historical) == (300, -1, False)


def test_decodes_quality_and_carries_datasets_opaquely() -> None:
    birth = decode(bytes.fromhex(RECORDED["sparkplug-payload"]["dbirth"]))
    quality = {metric.name: metric.quality for metric in birth.metrics}
    assert (quality["q"], quality["d"]) == (sparkplug.STALE, sparkplug.GOOD)
    dataset, after = decode(bytes.fromhex(RECORDED["sparkplug-payload"]["dataset"])).metrics
    assert isinstance(dataset.value, bytes)
    assert (after.name, after.value) == ("after", 9.5)


def test_decodes_node_messages_of_other_implementations() -> None:
    bd_seq, rebirth = decode(bytes.fromhex(RECORDED["sparkplug-payload"]["nbirth"])).metrics
    assert (bd_seq.name, bd_seq.value, rebirth.value) == ("bdSeq", 7, False)
    death = decode(bytes.fromhex(RECORDED["pysparkplug"]["ndeath"]))
    assert (death.seq, death.metrics[0].name, death.metrics[0].value) == (None, "bdSeq", 7)


METRIC = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(max_size=40),
        "alias": st.integers(0, 2**64 - 1),
        "timestamp": st.integers(0, 2**64 - 1),
        "datatype": st.integers(0, 2**32 - 1),
        "is_historical": st.booleans(),
        "is_null": st.booleans(),
    },
)
VALUE = st.one_of(
    st.tuples(st.just("int_value"), st.integers(0, 2**32 - 1)),
    st.tuples(st.just("long_value"), st.integers(0, 2**64 - 1)),
    st.tuples(st.just("float_value"), st.floats(width=32)),
    st.tuples(st.just("double_value"), st.floats()),
    st.tuples(st.just("boolean_value"), st.booleans()),
    st.tuples(st.just("string_value"), st.text(max_size=60)),
    st.tuples(st.just("bytes_value"), st.binary(max_size=60)),
    st.none(),
)


@settings(max_examples=150, deadline=None)
@given(
    metrics=st.lists(st.tuples(METRIC, VALUE, st.one_of(st.none(), st.integers(0, 2**32 - 1))), max_size=6),
    seq=st.one_of(st.none(), st.integers(0, 255)),
)
def test_agrees_with_the_protobuf_library(lab, metrics, seq) -> None:
    oracle = lab.Payload()
    if seq is not None:
        oracle.seq = seq
    for fields, value, quality in metrics:
        metric = oracle.metrics.add()
        for name, content in fields.items():
            setattr(metric, name, content)
        if value is not None:
            setattr(metric, *value)
        if quality is not None:
            metric.properties.keys.extend(["engUnit", "Quality"])
            metric.properties.values.add().type = 12
            last = metric.properties.values.add()
            last.type, last.int_value = 3, quality
    payload = decode(oracle.SerializeToString())
    assert payload.seq == seq
    assert len(payload.metrics) == len(metrics)
    for decoded, (fields, value, quality) in zip(payload.metrics, metrics, strict=True):
        assert decoded.name == fields.get("name")
        assert decoded.alias == fields.get("alias")
        assert decoded.ts_ms == fields.get("timestamp")
        assert decoded.datatype == fields.get("datatype")
        assert decoded.historical == fields.get("is_historical", False)
        assert decoded.quality == (sparkplug.GOOD if quality is None else quality)
        expected = None if value is None or fields.get("is_null") else value[1]
        if isinstance(expected, float) and math.isnan(expected):
            assert math.isnan(decoded.value)
        else:
            assert decoded.value == expected
            assert type(decoded.value) is type(expected)


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_a_payload_or_malformed_and_nothing_else(data: bytes) -> None:
    try:
        payload = decode(data)
    except Malformed:
        return
    assert len(payload.metrics) <= len(data)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_payload_is_a_payload_or_malformed_and_nothing_else(data) -> None:
    whole = bytes.fromhex(RECORDED["sparkplug-payload"]["dbirth"])
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole[: data.draw(st.integers(at, len(whole)))])
    if at < len(damaged):
        damaged[at] = data.draw(st.integers(0, 255))
    try:
        payload = decode(bytes(damaged))
    except Malformed:
        return
    for metric in payload.metrics:
        assert metric.name is None or isinstance(metric.name, str)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x12\xff\xff\xff\xff\x0f", "bytes where"),
        (b"\x08", "in the middle"),
        (b"\x08" + b"\xff" * 11, "varint"),
        (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "64 bits"),
        (b"\x0a\x01a", "wire type 2 instead of 0"),
        (b"\x1b", "wire type"),
        (b"\x33", "wire type 3"),
        (b"\x00\x00", "number 0"),
        (b"\x12\x02\x0a\x05", "bytes where"),
        (b"\x12\x04\x0a\x02\xff\xfe", "UTF-8"),
        (b"\x12\x03\x69\x00\x00", "in the middle"),
        (b"\x12\x04\x4a\x02\x0a\x00", "1 keys and 0 values"),
    ],
)
def test_malformed_payloads_say_what_is_wrong(data: bytes, what: str) -> None:
    with pytest.raises(Malformed, match=what):
        decode(data)


def test_bounds_on_size_count_names_and_properties() -> None:
    with pytest.raises(Malformed, match="more than 4194304"):
        decode(bytes(sparkplug.PAYLOAD_BYTES_MAX + 1))
    with pytest.raises(Malformed, match="100000 metrics"):
        decode(b"\x12\x00" * (sparkplug.METRICS_MAX + 1))
    with pytest.raises(Malformed, match="metric name"):
        decode(_field(0x12, _field(0x0A, b"n" * 5000)))
    with pytest.raises(Malformed, match="256 properties"):
        decode(_field(0x12, _field(0x4A, b"\x0a\x00" * 300)))


def test_nested_property_sets_are_skipped_not_descended() -> None:
    nested = b""
    for _ in range(5_000):
        nested = _field(0x12, _field(0x4A, nested)) if len(nested) < 1_000_000 else nested
    with pytest.raises(Malformed, match="0 keys and 1 values"):
        decode(_field(0x12, _field(0x4A, nested)))


def test_a_quality_must_be_an_integer() -> None:
    properties = _field(0x0A, b"Quality") + _field(0x12, b"\x08\x0c" + _field(0x42, b"bad"))
    with pytest.raises(Malformed, match="Quality"):
        decode(_field(0x12, _field(0x4A, properties)))


def test_an_empty_payload_has_nothing() -> None:
    assert decode(b"") == (None, None, [])


@pytest.mark.parametrize(
    ("value", "datatype", "expected"),
    [
        (0xEF, sparkplug.INT8, -17),
        (0xFFFFFFE9, sparkplug.INT8, -23),
        (2**64 - 1, sparkplug.INT64, -1),
        (2**64 - 1, sparkplug.UINT64, 2**64 - 1),
        (0xFFFFFFFF, sparkplug.INT32, -1),
        (0x1FF, sparkplug.UINT8, 0xFF),
        (T, sparkplug.DATETIME, T),
        (None, sparkplug.INT8, None),
    ],
)
def test_integers_are_masked_to_the_declared_width(value, datatype, expected) -> None:
    assert typed(value, datatype) == expected


@pytest.mark.parametrize(
    ("value", "datatype"),
    [
        ("7", sparkplug.INT32),
        (True, sparkplug.INT32),
        (1.0, sparkplug.UINT8),
        (1, sparkplug.DOUBLE),
        (1, sparkplug.BOOLEAN),
    ],
)
def test_a_value_of_another_type_than_declared_is_malformed(value, datatype) -> None:
    with pytest.raises(Malformed, match="carried by"):
        typed(value, datatype)


def _varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def _field(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + _varint(len(content)) + content
