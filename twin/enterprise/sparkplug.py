"""What a primary host needs of Sparkplug B 3.0 payloads: decode births and data, encode a rebirth command.

Bridge and judge have codecs of their own, on purpose: a mistake in one of them must not hide in the other two.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

_F = descriptor_pb2.FieldDescriptorProto
_ONE, _MANY = _F.LABEL_OPTIONAL, _F.LABEL_REPEATED

_MESSAGES: dict[str, tuple[tuple[str, int, int, int, str], ...]] = {
    "PropertyValue": (("type", 1, _ONE, _F.TYPE_UINT32, ""), ("int_value", 3, _ONE, _F.TYPE_UINT32, "")),
    "PropertySet": (
        ("keys", 1, _MANY, _F.TYPE_STRING, ""),
        ("values", 2, _MANY, _F.TYPE_MESSAGE, "PropertyValue"),
    ),
    "Metric": (
        ("name", 1, _ONE, _F.TYPE_STRING, ""),
        ("alias", 2, _ONE, _F.TYPE_UINT64, ""),
        ("timestamp", 3, _ONE, _F.TYPE_UINT64, ""),
        ("datatype", 4, _ONE, _F.TYPE_UINT32, ""),
        ("is_historical", 5, _ONE, _F.TYPE_BOOL, ""),
        ("is_null", 7, _ONE, _F.TYPE_BOOL, ""),
        ("properties", 9, _ONE, _F.TYPE_MESSAGE, "PropertySet"),
        ("int_value", 10, _ONE, _F.TYPE_UINT32, ""),
        ("long_value", 11, _ONE, _F.TYPE_UINT64, ""),
        ("float_value", 12, _ONE, _F.TYPE_FLOAT, ""),
        ("double_value", 13, _ONE, _F.TYPE_DOUBLE, ""),
        ("boolean_value", 14, _ONE, _F.TYPE_BOOL, ""),
        ("string_value", 15, _ONE, _F.TYPE_STRING, ""),
        ("bytes_value", 16, _ONE, _F.TYPE_BYTES, ""),
    ),
    "Payload": (
        ("timestamp", 1, _ONE, _F.TYPE_UINT64, ""),
        ("metrics", 2, _MANY, _F.TYPE_MESSAGE, "Metric"),
        ("seq", 3, _ONE, _F.TYPE_UINT64, ""),
    ),
}


def _payload_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="host_sparkplug_b.proto", package="shakedown.host", syntax="proto2"
    )
    for name, fields in _MESSAGES.items():
        entry = file.message_type.add(name=name)
        for field, number, label, kind, of in fields:
            added = entry.field.add(name=field, number=number, label=label, type=kind)
            if of:
                added.type_name = f".shakedown.host.{of}"
            if name == "Metric" and field.endswith("_value"):  # `oneof value` (6.4.1)
                added.oneof_index = 0
        if name == "Metric":
            entry.oneof_decl.add(name="value")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shakedown.host.Payload"))


_Payload = _payload_class()
_SIGNED_BITS = {1: 8, 2: 16, 3: 32, 4: 64}
_UNSIGNED_MASK = {5: 0xFF, 6: 0xFFFF, 7: 0xFFFFFFFF, 8: 0xFFFFFFFFFFFFFFFF, 13: 0xFFFFFFFFFFFFFFFF}


class HostMetric(NamedTuple):
    """One metric of a payload; `name` is "" when only the alias is given, `value` as sent (see `typed`)."""

    name: str
    alias: int | None
    ts_ms: int
    datatype: int
    historical: bool
    value: object
    quality: int


class HostPayload(NamedTuple):
    """A decoded payload; `seq` is None when absent (its presence counts, not the default)."""

    ts_ms: int
    seq: int | None
    metrics: tuple[HostMetric, ...]


def typed(value: object, datatype: int) -> object:
    """Bring a raw integer to its declared width and sign (Sparkplug B 3.0, 6.4.16: two's complement)."""
    if type(value) is not int:
        return value
    if bits := _SIGNED_BITS.get(datatype):
        value &= (1 << bits) - 1
        return value - (1 << bits) if value >> (bits - 1) else value
    return value & _UNSIGNED_MASK.get(datatype, -1)


def decode(payload: bytes) -> HostPayload:
    """Decode a Sparkplug B payload. Raises ValueError when it is malformed."""
    try:
        parsed = _Payload.FromString(payload)
    except message.DecodeError as error:
        raise ValueError(f"not a Sparkplug B payload ({len(payload)} bytes): {error}") from None
    metrics = tuple(map(_metric, parsed.metrics))
    return HostPayload(parsed.timestamp, parsed.seq if parsed.HasField("seq") else None, metrics)


def _metric(entry: Any) -> HostMetric:
    field = None if entry.is_null else entry.WhichOneof("value")
    value = getattr(entry, field) if field else None
    quality = 192
    if entry.HasField("properties"):
        keys = entry.properties.keys
        if "Quality" in keys:
            quality = entry.properties.values[list(keys).index("Quality")].int_value
    alias = entry.alias if entry.HasField("alias") else None
    return HostMetric(entry.name, alias, entry.timestamp, entry.datatype, entry.is_historical, value, quality)


def rebirth_command(ts_ms: int) -> bytes:
    """An NCMD payload that writes true to `Node Control/Rebirth`; it has no seq (tck-id-payloads-ncmd-*)."""
    payload = _Payload(timestamp=ts_ms)
    payload.metrics.add(name="Node Control/Rebirth", timestamp=ts_ms, datatype=11, boolean_value=True)
    return bytes(payload.SerializeToString())


def text_command(metric: str, text: str, ts_ms: int) -> bytes:
    """A DCMD payload that writes `text` to a String metric; it has no seq (tck-id-payloads-dcmd-*)."""
    payload = _Payload(timestamp=ts_ms)
    payload.metrics.add(name=metric, timestamp=ts_ms, datatype=12, string_value=text)
    return bytes(payload.SerializeToString())
