"""The Sparkplug session of an edge node as it shows at the enterprise broker, message by message.

`Sessions` decodes each message once and names its metrics by the birth in force; the grammar itself is judged elsewhere
(grammar.py), here only what is needed to read the stream is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from shakedown.acceptance.readers import WireLog, WireMessage
from shakedown.acceptance.sparkplug import Malformed, Metric, Payload, Value, decode, typed

BIRTHS = frozenset({"NBIRTH", "DBIRTH"})
DATA = frozenset({"NDATA", "DDATA"})
EDGE_KINDS = BIRTHS | DATA | {"NDEATH", "DDEATH"}
COMMANDS = frozenset({"NCMD", "DCMD"})
STATE = "spBv1.0/STATE/"
EDGES_MAX = 1_000  # descriptors beyond this many are a flood, not a plant: strangers


class Sample(NamedTuple):
    """One metric with its name: what a host could read of it."""

    device: str
    metric: str
    ts_ms: int | None
    value: Value
    quality: int
    historical: bool


@dataclass
class EdgeSession:
    """What a subscriber knows of one edge node since its last NBIRTH."""

    born: bool = False
    seq: int | None = None  # of the last message; None if unknown
    in_order: bool = True  # no seq was skipped or repeated since the NBIRTH
    devices: set[str] = field(default_factory=set)
    aliases: dict[int, tuple[str, str, int | None]] = field(default_factory=dict)
    types: dict[tuple[str, str], int | None] = field(default_factory=dict)
    clients: set[str] = field(default_factory=set)  # who has published its births, as far as the log says

    @property
    def named(self) -> int:
        """How many metrics, aliases and devices its births have named since the NBIRTH."""
        return len(self.types) + len(self.aliases) + len(self.devices)


@dataclass(slots=True)
class Message:
    """One Sparkplug message. `unknown` metrics have no birth; `error` is set when the payload is no payload."""

    wire: WireMessage
    edge: str
    kind: str
    device: str
    payload: Payload | None = None
    samples: list[Sample] = field(default_factory=list)
    unknown: list[Metric] = field(default_factory=list)
    expected_seq: int | None = None
    in_order: bool = True
    error: str = ""

    @property
    def ns(self) -> int:
        return self.wire.ns


@dataclass(slots=True)
class Absence:
    """The observer itself lost the broker: what passed meanwhile is not known."""

    ns: int


class HostState(NamedTuple):
    """STATE of a host application; `online` None where it could not be read, or was deleted."""

    ns: int
    host_id: str
    online: bool | None
    ts_ms: int


@dataclass
class Sessions:
    """The sessions of all edge nodes at a broker; `malformed` counts what could not be read: `payloads` and `values`.

    Where the client is named (the embedded broker's log does), messages under the name of an edge node by others than
    the clients that published its births are `strangers`: counted, and not held against the edge node.
    """

    malformed: Counter[str] = field(default_factory=Counter)
    strangers: int = 0
    foreign: int = 0  # messages on topics that are not Sparkplug's, and the first of their topics
    first_foreign: str = ""
    _edges: dict[str, EdgeSession] = field(default_factory=dict)

    def absent(self) -> None:
        """The observer lost the broker: which seq comes next is not known."""
        for session in self._edges.values():
            session.seq = None

    def forget(self, edge: str) -> None:
        """Drop what births of `edge` have named; it is followed again from its next message on."""
        self._edges.pop(edge, None)

    def take(self, wire: WireMessage) -> Message | None:
        """The next message as Sparkplug; None for what is none, or is held against nobody."""
        parts = wire.topic.split("/")
        if parts[0] != "spBv1.0":
            self.foreign += 1
            self.first_foreign = self.first_foreign or wire.topic[:200]
            return None
        if not 4 <= len(parts) <= 5 or parts[1] == "STATE":
            return None
        edge, kind, device = f"{parts[1]}/{parts[3]}", parts[2], parts[4] if len(parts) == 5 else ""
        if kind not in EDGE_KINDS and kind not in COMMANDS:
            self.malformed["payloads"] += 1
            return None
        message = Message(wire, edge, kind, device)
        try:
            message.payload = decode(wire.payload)
        except Malformed as error:
            self.malformed["payloads"] += 1
            message.error = str(error)
        if kind in COMMANDS:
            return message
        session = self.session(edge)
        if session is None or self._is_stranger(session, message):
            self.strangers += 1
            return None
        if message.payload is None:
            session.seq, session.in_order = None, False
        else:
            self._advance(session, message, message.payload)
        return message

    def session(self, edge: str) -> EdgeSession | None:
        """What is known of `edge`; None beyond `EDGES_MAX` of them."""
        if edge not in self._edges and len(self._edges) >= EDGES_MAX:
            return None
        return self._edges.setdefault(edge, EdgeSession())

    @staticmethod
    def _is_stranger(session: EdgeSession, message: Message) -> bool:
        client_id = message.wire.client_id
        if client_id is None:
            return False
        if message.kind == "NBIRTH" and message.payload is not None:
            session.clients.add(client_id)
        return bool(session.clients) and client_id not in session.clients

    def _advance(self, session: EdgeSession, message: Message, payload: Payload) -> None:
        kind = message.kind
        if kind == "NDEATH":
            return  # whether it counts is for the criterion to say; a later NBIRTH starts anew in any case
        if kind == "NBIRTH":
            session.born, session.in_order = True, True
            session.devices = {""}
            session.aliases.clear()
            session.types.clear()
        else:
            message.expected_seq = None if session.seq is None else (session.seq + 1) % 256
            if message.expected_seq is not None and payload.seq != message.expected_seq:
                session.in_order = False
        session.seq = payload.seq
        message.in_order = session.in_order and session.born
        if kind == "DBIRTH":
            session.devices.add(message.device)
        elif kind == "DDEATH":
            session.devices.discard(message.device)
            return
        if kind in BIRTHS:
            self._birth(session, message, payload)
        else:
            self._data(session, message, payload)

    def _birth(self, session: EdgeSession, message: Message, payload: Payload) -> None:
        for metric in payload.metrics:
            if not metric.name:
                message.unknown.append(metric)
                continue
            if metric.alias is not None:
                session.aliases.setdefault(metric.alias, (message.device, metric.name, metric.datatype))
            session.types[message.device, metric.name] = metric.datatype
            self._sample(message, metric, metric.name, metric.datatype)

    def _data(self, session: EdgeSession, message: Message, payload: Payload) -> None:
        device, aliases = message.device, session.aliases
        for metric in payload.metrics:
            if metric.name:
                if (device, metric.name) not in session.types:
                    message.unknown.append(metric)
                    continue
                self._sample(message, metric, metric.name, session.types[device, metric.name])
                continue
            known = aliases.get(-1 if metric.alias is None else metric.alias)
            if known is None or known[0] != device:
                message.unknown.append(metric)
            else:
                self._sample(message, metric, known[1], known[2])

    def _sample(self, message: Message, metric: Metric, name: str, datatype: int | None) -> None:
        _, _, ts_ms, _, historical, _, raw, quality, _ = metric
        try:
            value = typed(raw, datatype)
        except Malformed:
            self.malformed["values"] += 1
            return
        message.samples.append(Sample(message.device, name, ts_ms, value, quality, historical))


@dataclass
class Replay(Sessions):
    """Replays one wire log."""

    log: WireLog = field(kw_only=True)

    def __iter__(self) -> Iterator[Message | HostState | Absence]:
        for entry in self.log.messages():
            if isinstance(entry, WireMessage):
                if entry.topic.startswith(STATE):
                    yield _host_state(entry)
                    continue
                message = self.take(entry)
                if message is not None:
                    yield message
            elif entry[1] == "disconnected":
                self.absent()
                yield Absence(entry[0])


def _host_state(wire: WireMessage) -> HostState:
    try:
        said = msgspec.json.decode(wire.payload, type=_State)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return HostState(wire.ns, wire.topic[len(STATE) :], None, 0)
    return HostState(wire.ns, wire.topic[len(STATE) :], said.online, said.timestamp)


class _State(msgspec.Struct):
    online: bool
    timestamp: int


def bd_seq(payload: Payload) -> int | None:
    """The `bdSeq` of a birth or death; None if it has none."""
    for metric in payload.metrics:
        if metric.name == "bdSeq" and type(metric.value) is int:
            return metric.value
    return None


def device_deaths(wire: WireLog, edge: str, end_ns: int) -> dict[str, list[tuple[int, int]]]:
    """When each device of `edge` was dead: from a DDEATH to its next DBIRTH, or to `end_ns`. Reads topics alone."""
    group, _, node = edge.partition("/")
    since: dict[str, int] = {}
    found: dict[str, list[tuple[int, int]]] = {}
    for entry in wire.messages():
        if not isinstance(entry, WireMessage):
            continue
        match entry.topic.split("/"):
            case [_, of, "DDEATH", by, device] if (of, by) == (group, node):
                since.setdefault(device, entry.ns)
            case [_, of, "DBIRTH", by, device] if (of, by) == (group, node) and device in since:
                found.setdefault(device, []).append((since.pop(device), entry.ns))
    for device, from_ns in since.items():
        found.setdefault(device, []).append((from_ns, end_ns))
    return found
