"""A small generator of run folders: a plant of eight signals, a bridge that does everything right, and a host that
dedupes. Tests break what it has planned before it is written."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from shakedown.acceptance.criteria import acknowledgement
from shakedown.acceptance.oee import open_reports
from tests.acceptance.json_lines import write_lines
from tests.acceptance.operations_day import Day
from tests.acceptance.operations_verdicts import fresh_day, replay_once

S, MS = 1_000_000_000, 1_000_000
START_NS = 1_767_592_800 * S
EDGE, GROUP, NODE = "hamburg.filling/line1", "hamburg.filling", "line1"
STATES = {6: "run", 4: "idle", 9: "fault"}
GOOD, BAD, STALE = 192, 0, 500
MANIFEST = {"scenario": "wan_outage", "seed": 7, "status": "complete"}


def _payload_class() -> Any:
    """A Sparkplug payload in the protobuf library: another implementation than the judge's own reader."""
    kinds = descriptor_pb2.FieldDescriptorProto
    u32, u64, text, flag = kinds.TYPE_UINT32, kinds.TYPE_UINT64, kinds.TYPE_STRING, kinds.TYPE_BOOL
    message = kinds.TYPE_MESSAGE
    shapes: dict[str, list[tuple[str, int, int, bool, str]]] = {
        "PropertyValue": [("type", 1, u32, False, ""), ("int_value", 3, u32, False, ""),
                          ("string_value", 8, text, False, "")],
        "PropertySet": [("keys", 1, text, True, ""), ("values", 2, message, True, "PropertyValue")],
        "Metric": [
            ("name", 1, text, False, ""), ("alias", 2, u64, False, ""), ("timestamp", 3, u64, False, ""),
            ("datatype", 4, u32, False, ""), ("is_historical", 5, flag, False, ""),
            ("is_transient", 6, flag, False, ""), ("is_null", 7, flag, False, ""),
            ("properties", 9, message, False, "PropertySet"), ("int_value", 10, u32, False, ""),
            ("long_value", 11, u64, False, ""), ("float_value", 12, kinds.TYPE_FLOAT, False, ""),
            ("double_value", 13, kinds.TYPE_DOUBLE, False, ""), ("boolean_value", 14, flag, False, ""),
            ("string_value", 15, text, False, ""), ("bytes_value", 16, kinds.TYPE_BYTES, False, ""),
        ],
        "Payload": [
            ("timestamp", 1, u64, False, ""), ("metrics", 2, message, True, "Metric"), ("seq", 3, u64, False, ""),
            ("uuid", 4, text, False, ""), ("body", 5, kinds.TYPE_BYTES, False, ""),
        ],
    }  # fmt: skip
    file = descriptor_pb2.FileDescriptorProto(name="oracle.proto", package="oracle", syntax="proto2")
    for name, fields in shapes.items():
        entry = file.message_type.add(name=name)
        for field_name, number, kind, many, of in fields:
            label = kinds.LABEL_REPEATED if many else kinds.LABEL_OPTIONAL
            added = entry.field.add(name=field_name, number=number, type=kind, label=label)
            if of:
                added.type_name = f".oracle.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("oracle.Payload"))


OraclePayload = _payload_class()


@dataclass
class Topic:
    device: str
    metric: str
    node: str
    datatype: str
    number: int  # Sparkplug datatype
    convert: Callable[[Any], Any]
    raw: Callable[[int], Any]
    site: str  # the rest of its line in site.yaml
    vendor_type: str = "Double"
    vendor_unit: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.device, self.metric


def _same(value: Any) -> Any:
    return value


TOPICS = [
    Topic("filler.filler_1", "bowl_temperature", "F.TT", "Double", 10, lambda f: (f - 32) * 5 / 9,
          lambda t: 70.0 + t % 97 * 0.25, "from: FAH, unit: CEL, class: process", vendor_unit="FAH"),
    Topic("filler.filler_1", "state", "F.ST", "String", 12, STATES.get, lambda t: (6, 4, 9)[t % 3],
          "class: state, states: {6: run, 4: idle, 9: fault}", "Int32"),
    Topic("filler.filler_1", "heartbeat", "F.HB", "UInt32", 7, _same, lambda t: t, "class: heartbeat", "UInt32"),
    Topic("filler.filler_1", "count", "F.CN", "UInt32", 7, _same, lambda t: 5 * t, "class: count", "UInt32"),
    Topic("capper.capper_1", "torque", "C.TQ", "Float", 9, _same, lambda t: 2.5 + t % 64 / 32,
          "unit: NU, class: process", "Float", "NU"),
    Topic("capper.capper_1", "running", "C.RU", "Boolean", 11, _same, lambda t: t % 2 == 0, "class: state", "Boolean"),
    Topic("capper.capper_1", "heartbeat", "C.HB", "UInt32", 7, _same, lambda t: t, "class: heartbeat", "UInt32"),
    Topic("capper.capper_1", "pressure", "C.PR", "Double", 10, lambda p: p * 0.06894757293168361,
          lambda t: 60.0 + t % 41 * 0.5, "from: PS, unit: BAR, class: process", vendor_unit="PS"),
]  # fmt: skip
DEVICES = ["filler.filler_1", "capper.capper_1"]
ALIASES = {topic.key: index for index, topic in enumerate(TOPICS)}
NUMBERS = {topic.key: topic.number for topic in TOPICS}


@dataclass
class Sample:
    device: str
    metric: str
    ts_ms: int
    value: Any
    quality: int = GOOD
    historical: bool = False
    unit: str = ""  # engUnit, in a birth


@dataclass
class Message:
    """One message as the bridge sends it; `seq` is counted unless given, `bd_seq` belongs to NBIRTH and NDEATH."""

    ns: int
    kind: str
    device: str = ""
    samples: list[Sample] = field(default_factory=list)
    bd_seq: int = 0
    seq: int | None = None
    accepted: bool = True  # by the broker
    heard: bool = True  # by the host
    qos: int = 0
    retain: bool = False
    named: bool = False  # data by name instead of alias
    payload: bytes | None = None  # overrides everything
    rebirth: bool = True  # NCMD: the value of Node Control/Rebirth
    host: str = ""  # STATE: whose; `payload` says what
    early_s: float = 0.0  # how far before it is sent its own timestamp lies

    @property
    def topic(self) -> str:
        if self.host:
            return f"spBv1.0/STATE/{self.host}"
        kind = f"spBv1.0/{GROUP}/{self.kind}/{NODE}"
        return f"{kind}/{self.device}" if self.device else kind


@dataclass
class OperationsModel:
    """A run before it is written; tests change it at will. Times in seconds are those since `START_NS`."""

    seconds: int
    ledger: list[list[Any]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    timeline: list[dict[str, Any]] = field(default_factory=list)
    host_events: list[list[Any]] = field(default_factory=list)
    host_rows: list[list[Any]] = field(default_factory=list)  # appended to what the host keeps
    manifest: dict[str, Any] = field(default_factory=lambda: dict(MANIFEST))
    site_text: str = ""
    server: dict[str, Any] | None = None
    broker_log: bool = True
    dedupe: bool = True
    client_id: str = "edge"

    @property
    def data(self) -> list[Message]:
        return [message for message in self.messages if message.kind == "DDATA"]

    def samples(self, metric: str = "", *, live: bool = False) -> list[Sample]:
        """Samples of all data messages, of one metric if given."""
        found = [sample for message in self.data for sample in message.samples]
        found = [sample for sample in found if metric in ("", sample.metric)]
        return [sample for sample in found if not (live and sample.historical)]

    def drop(self, unwanted: Callable[[Sample], bool]) -> None:
        """The bridge never sends these."""
        for message in self.messages:
            message.samples = [sample for sample in message.samples if not unwanted(sample)]

    def write(self, folder: Path) -> Path:
        """Write the run folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.messages.sort(key=lambda message: message.ns)
        self._write_ledger(folder)
        payloads = self._payloads()
        accepted = [(m, p) for m, p in zip(self.messages, payloads, strict=True) if m.accepted]
        if self.broker_log:
            lines = [["A", m.ns, self.client_id, m.topic, _b64(p), m.qos, m.retain] for m, p in accepted]
            write_lines(folder / "broker.jsonl", [*lines, ["Z", self.end_ns, {"messages": len(lines)}]])
        lines = [["M", m.ns + 100_000, m.topic, _b64(p), m.qos, m.retain] for m, p in accepted]
        first = ["E", START_NS, "connected", {}]
        write_lines(folder / "observer.jsonl", [first, *lines, ["Z", self.end_ns, {"messages": len(lines)}]])
        self._write_host(folder, [m for m, _ in accepted])
        write_lines(folder / "timeline.jsonl", self.timeline)
        (folder / "site.yaml").write_text(self.site_text or site_yaml())
        (folder / "manifest.json").write_text(json.dumps(self.manifest))
        if self.server is not None:
            (folder / "server.json").write_text(json.dumps(self.server))
        return folder

    @property
    def end_ns(self) -> int:
        return START_NS + self.seconds * S

    def _write_ledger(self, folder: Path) -> None:
        signals = [
            {"tag": t.node, "node_id": f"ns=2;s={t.node}", "machine": t.device, "data_type": t.vendor_type,
             "unit": t.vendor_unit, "eu_low": 0, "eu_high": 100, "scan_ms": 1000}
            for t in TOPICS
        ]  # fmt: skip
        header = {
            "kind": "header",
            "format": 1,
            "plant": "test",
            "seed": 7,
            "start_ns": START_NS,
            "signals": signals,
        }
        totals = {"samples": len(self.ledger), "events": 0}
        write_lines(folder / "ledger.jsonl", [header, *self.ledger, ["Z", self.end_ns, totals]])

    def _payloads(self) -> list[bytes]:
        """Encode the messages; seq is counted from each NBIRTH on."""
        seq, found = -1, []
        for message in self.messages:
            if message.kind == "NBIRTH":
                seq = 0
            elif message.kind not in ("NDEATH", "NCMD", "STATE"):
                seq = (seq + 1) % 256
            found.append(message.payload if message.payload is not None else encode(message, seq))
        return found

    def _write_host(self, folder: Path, accepted: list[Message]) -> None:
        held: set[tuple[Any, ...]] = set()
        rows: list[list[Any]] = list(self.host_events)
        for message in accepted:
            if not message.heard or message.payload is not None:
                continue
            if message.kind == "NBIRTH":
                rows.append(["E", message.ns + MS, "online", {"edge": EDGE}])
            elif message.kind == "NDEATH":
                rows.append(["E", message.ns + MS, "stale", {"edge": EDGE, "because": "NDEATH"}])
            birth = message.kind == "DBIRTH"
            for sample in message.samples:
                identity = (sample.device, sample.metric, sample.ts_ms, sample.value, sample.quality)
                if identity in held and (birth or self.dedupe):
                    continue
                held.add(identity)
                rows.append(
                    ["H", message.ns + MS, EDGE, sample.device, sample.metric, sample.ts_ms, sample.value,
                     sample.quality, sample.historical and not birth, "birth" if birth else "data"]
                )  # fmt: skip
        rows += self.host_rows
        rows.sort(key=lambda row: row[1])
        samples = sum(1 for row in rows if row[0] == "H")
        write_lines(folder / "host.jsonl", [*rows, ["Z", self.end_ns, {"samples": samples, "duplicates": 0}]])


def _b64(payload: bytes) -> str:
    return base64.b64encode(payload).decode()


def encode(message: Message, seq: int) -> bytes:
    """A message through the protobuf library."""
    payload = OraclePayload()
    now_ms = message.ns // MS - round(message.early_s * 1000)
    if message.kind == "NDEATH":
        if message.early_s:
            payload.timestamp = now_ms
        _int_metric(payload, "bdSeq", now_ms, 4, message.bd_seq)
        return bytes(payload.SerializeToString())
    payload.timestamp = now_ms
    if message.kind != "NCMD":
        payload.seq = seq if message.seq is None else message.seq
    if message.kind in ("NBIRTH", "NCMD"):
        if message.kind == "NBIRTH":
            _int_metric(payload, "bdSeq", now_ms, 4, message.bd_seq)
        metric = payload.metrics.add()
        metric.name, metric.timestamp, metric.datatype = "Node Control/Rebirth", now_ms, 11
        metric.boolean_value = message.kind == "NCMD" and message.rebirth
    for sample in message.samples:
        _metric(payload.metrics.add(), sample, birth=message.kind == "DBIRTH", named=message.named)
    return bytes(payload.SerializeToString())


def _int_metric(payload: Any, name: str, ts_ms: int, datatype: int, value: int) -> None:
    metric = payload.metrics.add()
    metric.name, metric.timestamp, metric.datatype, metric.long_value = name, ts_ms, datatype, value


def _metric(metric: Any, sample: Sample, *, birth: bool, named: bool) -> None:
    key = sample.device, sample.metric
    datatype = NUMBERS.get(key, 10)
    if birth:
        metric.name, metric.datatype = sample.metric, datatype
    if named or key not in ALIASES:
        metric.name = sample.metric
    if key in ALIASES and not named:
        metric.alias = ALIASES[key]
    if sample.unit:
        metric.properties.keys.append("engUnit")
        value = metric.properties.values.add()
        value.type, value.string_value = 12, sample.unit
    metric.timestamp = sample.ts_ms
    if sample.historical and not birth:
        metric.is_historical = True
    if sample.quality != GOOD:
        metric.properties.keys.append("Quality")
        value = metric.properties.values.add()
        value.type, value.int_value = 3, sample.quality
    if sample.value is None:
        metric.is_null = True
    elif datatype == 12:
        metric.string_value = sample.value
    elif datatype == 11:
        metric.boolean_value = sample.value
    elif datatype == 9:
        metric.float_value = sample.value
    elif datatype == 10:
        metric.double_value = sample.value
    else:
        metric.int_value = sample.value & 0xFFFFFFFF


def site_yaml() -> str:
    """The equipment model of the test plant."""
    lines = [
        "format: 1", "enterprise: acme", "site: hamburg", "area: filling", "line: line1", "south:",
        "  plc1: {endpoint: opc.tcp://plc1:4840, sampling_interval_ms: 100}", "north:",
        "  enterprise: {broker: mqtt://broker:1883, keep_alive_s: 30, primary_host: scada, host_keep_alive_s: 30,"
        " replay_per_s: 5000}", "cells:",
    ]  # fmt: skip
    for device in DEVICES:
        cell, asset = device.split(".")
        lines += [f"  {cell}:", f"    {asset}:", "      metrics:"]
        for topic in TOPICS:
            if topic.device == device:
                entry = f'south: plc1, node: "ns=2;s={topic.node}", type: {topic.datatype}, {topic.site}'
                lines.append(f"        {topic.metric}: {{{entry}}}")
    lines.append("classes: {alarm: 2, state: 2, heartbeat: 1, process: 5, count: 5, slow: 30}")
    return "\n".join(lines) + "\n"


def _at(second: float) -> int:
    return START_NS + round(second * S)


class _Bridge:
    """Plans what a bridge without fault sends: births, live data, history after an outage."""

    def __init__(self, plan: OperationsModel) -> None:
        self.plan = plan
        self.bd_seq = 0
        self.sent: list[tuple[int, Sample]] = []  # (second, sample), for the history

    def births(self, second: float, current: int) -> None:
        """NBIRTH and DBIRTHs with the values of second `current`."""
        self.plan.messages.append(Message(_at(second), "NBIRTH", bd_seq=self.bd_seq))
        for index, device in enumerate(DEVICES):
            samples = [sample_of(topic, current) for topic in TOPICS if topic.device == device]
            self.plan.messages.append(Message(_at(second + 0.01 * (index + 1)), "DBIRTH", device, samples))

    def live(self, second: int, *, accepted: bool, heard: bool) -> None:
        for index, device in enumerate(DEVICES):
            samples = [sample_of(topic, second) for topic in TOPICS if topic.device == device]
            self.sent += [(second, sample) for sample in samples]
            ns = _at(second + 0.3 + 0.01 * index)
            self.plan.messages.append(Message(ns, "DDATA", device, samples, accepted=accepted, heard=heard))

    def history(self, at_second: float, from_second: int) -> None:
        for index, device in enumerate(DEVICES):
            old = [s for second, s in self.sent if second >= from_second and s.device == device]
            samples = [Sample(s.device, s.metric, s.ts_ms, s.value, s.quality, True) for s in old]
            self.plan.messages.append(Message(_at(at_second + 0.01 * index), "DDATA", device, samples))


def sample_of(topic: Topic, second: int) -> Sample:
    """What the enterprise must see of a topic's change at that second."""
    return Sample(topic.device, topic.metric, _at(second) // MS, topic.convert(topic.raw(second)))


def healthy(
    seconds: int = 800, *, wan: tuple[int, int] = (100, 160), host: tuple[int, int] = (250, 290)
) -> OperationsModel:
    """A run without fault of the bridge: a WAN cut, a deaf host, everything sent again as history."""
    plan = OperationsModel(seconds)
    plan.timeline = [
        {"id": "warm_up", "kind": "phase", "start_ns": START_NS, "end_ns": _at(20)},
        fault("wan_1", "blackhole", "wan", wan, ["wan"]),
        fault("host_1", "unplug", "host", host, ["host"]),
        {"id": "drain", "kind": "phase", "start_ns": _at(seconds - 20), "end_ns": _at(seconds)},
    ]
    plan.host_events = [
        ["E", START_NS, "started", {"host_id": "scada"}],
        ["E", START_NS + MS, "connected", {}],
        ["E", _at(host[1] + 1), "disconnected", {"reason": "keep-alive"}],
        ["E", _at(host[1] + 2), "connected", {}],
    ]
    bridge = _Bridge(plan)
    bridge.births(4.5, 4)
    for second in range(seconds):
        plan.ledger += [["S", _at(second), i, topic.raw(second), 0] for i, topic in enumerate(TOPICS)]
        if second == wan[1] + 5:
            bridge.bd_seq += 1
            bridge.births(second, second - 1)
            bridge.history(second + 0.1, wan[0] - 10)
        if second == host[1] + 3:
            bridge.births(second, second - 1)
            bridge.history(second + 0.1, host[0] - 10)
        if second >= 5:
            cut = wan[0] <= second < wan[1] + 5
            deaf = host[0] <= second < host[1] + 3
            bridge.live(second, accepted=not cut, heard=not deaf)
    plan.messages.append(Message(_at(wan[0] + 45), "NDEATH", bd_seq=0, qos=1))
    return plan


def fault(
    name: str, kind: str, target: str, span: tuple[float, float], affects: list[str], **more: Any
) -> dict[str, Any]:
    """One line of timeline.jsonl."""
    entry = {"id": name, "kind": kind, "target": target, "start_ns": _at(span[0]), "end_ns": _at(span[1])}
    return entry | {"cut": True, "affects": affects, "asked": {}, "verified": True, "evidence": {}} | more


class Lab:
    """What tests use of this file (they cannot import it)."""

    Message, Sample, Payload = Message, Sample, OraclePayload
    START_NS, S, MS, EDGE = START_NS, S, MS, EDGE
    TOPICS, DEVICES = TOPICS, DEVICES
    at, healthy, fault = staticmethod(_at), staticmethod(healthy), staticmethod(fault)
    site_yaml, encode, sample_of = staticmethod(site_yaml), staticmethod(encode), staticmethod(sample_of)


@pytest.fixture(scope="session")
def lab() -> type[Lab]:
    return Lab


@pytest.fixture
def plan() -> OperationsModel:
    """A healthy run of 800 seconds, to be broken."""
    return healthy()


@pytest.fixture
def day(monkeypatch: pytest.MonkeyPatch) -> Day:
    """A shift without fault, to be broken; open shifts have no reports, which a test of its own looks at."""
    monkeypatch.setattr(acknowledgement, "replay", replay_once)
    monkeypatch.setattr(open_reports, "MINUTE_NS", 86_400 * 10**9)
    return fresh_day()
