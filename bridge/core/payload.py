"""Sparkplug B payloads: the protobuf messages, and how samples become metrics of one.

The messages are described here from the public field numbers (Sparkplug B 3.0, 6.4.1), by name and number only; groups
that an edge node neither sends nor obeys (datasets, templates, metadata) stay unknown fields and are carried unread.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from shakedown.bridge.core import datatypes
from shakedown.bridge.core.model import GOOD, Metric, Sample, Value

PAYLOAD_BYTES_MAX = 1 << 16
"""Largest command payload that is decoded; a larger one is malformed."""

STATE_BYTES_MAX = 1024

_PACKAGE = "shakedown.bridge.sparkplug"
_FIELDS = {
    "Payload": [
        ("timestamp", 1, "uint64"),
        ("metrics", 2, "[Metric]"),
        ("seq", 3, "uint64"),
        ("uuid", 4, "string"),
        ("body", 5, "bytes"),
    ],
    "Metric": [
        ("name", 1, "string"),
        ("alias", 2, "uint64"),
        ("timestamp", 3, "uint64"),
        ("datatype", 4, "uint32"),
        ("is_historical", 5, "bool"),
        ("is_transient", 6, "bool"),
        ("is_null", 7, "bool"),
        ("properties", 9, "PropertySet"),
        ("int_value", 10, "uint32"),
        ("long_value", 11, "uint64"),
        ("float_value", 12, "float"),
        ("double_value", 13, "double"),
        ("boolean_value", 14, "bool"),
        ("string_value", 15, "string"),
        ("bytes_value", 16, "bytes"),
    ],
    "PropertySet": [("keys", 1, "[string]"), ("values", 2, "[PropertyValue]")],
    "PropertyValue": [
        ("type", 1, "uint32"),
        ("is_null", 2, "bool"),
        ("int_value", 3, "uint32"),
        ("long_value", 4, "uint64"),
        ("float_value", 5, "float"),
        ("double_value", 6, "double"),
        ("boolean_value", 7, "bool"),
        ("string_value", 8, "string"),
    ],
}
_VALUES = (
    "int_value",
    "long_value",
    "float_value",
    "double_value",
    "boolean_value",
    "string_value",
    "bytes_value",
)


def _messages() -> dict[str, Any]:
    """Build the protobuf message classes (proto2: the presence of a field can be asked for)."""
    file = descriptor_pb2.FileDescriptorProto(
        name="sparkplug_b_edge.proto", package=_PACKAGE, syntax="proto2"
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind in fields:
            field = message.field.add(name=field_name, number=number)
            field.label = kinds.LABEL_REPEATED if kind.startswith("[") else kinds.LABEL_OPTIONAL
            kind = kind.strip("[]")
            if kind in _FIELDS:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                field.type = getattr(kinds, f"TYPE_{kind.upper()}")
            if field_name in _VALUES:
                field.oneof_index = 0
        if name in ("Metric", "PropertyValue"):
            message.oneof_decl.add(name="value")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _FIELDS
    }


_CLASSES = _messages()
Payload = _CLASSES["Payload"]

_VALUE_FIELD = {
    datatypes.FLOAT: "float_value",
    datatypes.DOUBLE: "double_value",
    datatypes.BOOLEAN: "boolean_value",
    datatypes.STRING: "string_value",
    datatypes.TEXT: "string_value",
    datatypes.BYTES: "bytes_value",
    datatypes.INT64: "long_value",
    datatypes.UINT64: "long_value",
    datatypes.DATETIME: "long_value",
    **{number: "int_value" for number, bits in datatypes.BITS.items() if bits <= 32},
}
_MASK = {number: (1 << (64 if bits == 64 else 32)) - 1 for number, bits in datatypes.BITS.items()}


class MalformedPayload(ValueError):
    """Bytes from the network are no Sparkplug payload."""


@dataclass(frozen=True, slots=True)
class Command:
    """One metric of an NCMD or DCMD: by name or by alias, and what it asks for."""

    name: str | None
    alias: int | None
    datatype: int | None
    value: Value


class Encoder:
    """Writes payloads for one set of metrics; `metrics` are indexed by metric_id."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = tuple(metrics)
        self._fields = [(_VALUE_FIELD[m.datatype], _MASK.get(m.datatype)) for m in self._metrics]

    def data(self, ts_ms: int, seq: int, samples: Iterable[tuple[Sample, bool]]) -> bytes:
        """NDATA or DDATA of (sample, is_historical): alias, timestamp and value, quality where it is not good."""
        payload = Payload()
        payload.timestamp = ts_ms
        payload.seq = seq
        add = payload.metrics.add
        fields = self._fields
        for (metric_id, sample_ts_ms, value, quality, status), historical in samples:
            metric = add()
            metric.alias = metric_id
            metric.timestamp = sample_ts_ms
            if historical:
                metric.is_historical = True
            if value is None:
                metric.is_null = True
            else:
                field, mask = fields[metric_id]
                setattr(metric, field, value if mask is None else value & mask)  # type: ignore[operator]
            if quality != GOOD or status:
                _add_quality(metric.properties, quality, status)
        return payload.SerializeToString()

    def birth(
        self, ts_ms: int, seq: int, samples: Iterable[tuple[Metric, Sample]], *, bd_seq: int | None = None
    ) -> bytes:
        """NBIRTH (with `bd_seq`) or DBIRTH: every metric with name, alias, datatype, value or null, properties."""
        payload = Payload()
        payload.timestamp = ts_ms
        payload.seq = seq
        if bd_seq is not None:
            _add_bd_seq(payload, ts_ms, bd_seq)
            _add_rebirth_control(payload, ts_ms)
        for spec, sample in samples:
            metric = payload.metrics.add()
            metric.name = spec.name
            metric.alias = spec.metric_id
            metric.timestamp = sample.ts_ms
            metric.datatype = spec.datatype
            if sample.value is None:
                metric.is_null = True
            else:
                field, mask = self._fields[spec.metric_id]
                value = sample.value if mask is None else sample.value & mask  # type: ignore[operator]
                setattr(metric, field, value)
            for key, content in spec.properties.items():
                _add_property(metric.properties, key, content)
            if sample.quality != GOOD or sample.status:
                _add_quality(metric.properties, sample.quality, sample.status)
        return payload.SerializeToString()


def death(ts_ms: int, bd_seq: int) -> bytes:
    """NDEATH, as Will or published: bdSeq and nothing else, no seq (tck-id-payloads-ndeath-*)."""
    payload = Payload()
    payload.timestamp = ts_ms
    _add_bd_seq(payload, ts_ms, bd_seq)
    return payload.SerializeToString()


def device_death(ts_ms: int, seq: int) -> bytes:
    """DDEATH: a timestamp and the seq (tck-id-payloads-ddeath-*)."""
    payload = Payload()
    payload.timestamp = ts_ms
    payload.seq = seq
    return payload.SerializeToString()


def commands(data: bytes) -> tuple[Command, ...]:
    """Decode an NCMD or DCMD; raises MalformedPayload."""
    if len(data) > PAYLOAD_BYTES_MAX:
        raise MalformedPayload(f"{len(data):,} bytes, at most {PAYLOAD_BYTES_MAX:,} are read")
    payload = Payload()
    try:
        payload.ParseFromString(data)
    except DecodeError as error:
        raise MalformedPayload(str(error)) from None
    return tuple(
        Command(
            metric.name if metric.HasField("name") else None,
            metric.alias if metric.HasField("alias") else None,
            metric.datatype if metric.HasField("datatype") else None,
            _value_of(metric),
        )
        for metric in payload.metrics
    )


def _value_of(metric: Any) -> Value:
    """Value of a received metric, integers by their declared width (tck-id-payloads-metric-datatype-*)."""
    field = metric.WhichOneof("value")
    if field is None or metric.is_null:
        return None
    value = getattr(metric, field)
    if field in ("int_value", "long_value"):
        bits = datatypes.BITS.get(metric.datatype, 64)
        number = int(value) & ((1 << bits) - 1)
        return (
            number - (1 << bits) if metric.datatype in datatypes.SIGNED and number >> (bits - 1) else number
        )
    return value


def _add_bd_seq(payload: Any, ts_ms: int, bd_seq: int) -> None:
    metric = payload.metrics.add()
    metric.name = "bdSeq"
    metric.timestamp = ts_ms
    metric.datatype = datatypes.INT64
    metric.long_value = bd_seq


def _add_rebirth_control(payload: Any, ts_ms: int) -> None:
    """Without alias: tck-id-operational-behavior-data-commands-rebirth-name-aliases."""
    metric = payload.metrics.add()
    metric.name = "Node Control/Rebirth"
    metric.timestamp = ts_ms
    metric.datatype = datatypes.BOOLEAN
    metric.boolean_value = False


def _add_quality(properties: Any, quality: int, status: int) -> None:
    if quality != GOOD:
        properties.keys.append("Quality")
        value = properties.values.add()
        value.type = datatypes.INT32
        value.int_value = quality
    if status:
        properties.keys.append("opcua_status")
        value = properties.values.add()
        value.type = datatypes.UINT32
        value.int_value = status & 0xFFFFFFFF


def _add_property(properties: Any, key: str, content: Value) -> None:
    properties.keys.append(key)
    value = properties.values.add()
    if content is None:
        value.type, value.is_null = datatypes.STRING, True
    elif isinstance(content, bool):
        value.type, value.boolean_value = datatypes.BOOLEAN, content
    elif isinstance(content, int):
        value.type, value.long_value = datatypes.INT64, content & 0xFFFFFFFFFFFFFFFF
    elif isinstance(content, float):
        value.type, value.double_value = datatypes.DOUBLE, content
    else:
        value.type, value.string_value = datatypes.STRING, str(content)


def host_state(data: bytes) -> tuple[bool, int] | None:
    """`online` and `timestamp` of a STATE payload, None if it is none."""
    if len(data) > STATE_BYTES_MAX:
        return None
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict):
        return None
    online, ts = parsed.get("online"), parsed.get("timestamp")
    if not isinstance(online, bool) or type(ts) is not int or not 0 <= ts < 1 << 63:
        return None
    return online, ts
