"""The checks of a Sparkplug session on every edge node of a live broker: no twin, no ledger, no plan of faults.

Fed message by message as they arrive. Everything kept has a bound, whatever is published: `EDGES_MAX` edge nodes
(session.py), the examples of grammar.py, and `EDGE_BYTES_MAX` and `ALL_BYTES_MAX` for what births have named; an edge
node beyond these is no longer followed, which is a finding of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from shakedown.acceptance.grammar import Example, Grammar
from shakedown.acceptance.readers import WireMessage
from shakedown.acceptance.rules import RULES
from shakedown.acceptance.session import BIRTHS, COMMANDS, EDGE_KINDS, Message, Sessions
from shakedown.acceptance.spans import S

KEEP_ALIVE_S = 60.0  # a Will is waited for as long as one of this keep-alive may take
STALE_AFTER_S = 300.0
STORM_BIRTHS, STORM_S = 5, 60.0  # as many NBIRTHs of one edge node within as many seconds are a rebirth storm
EDGE_BYTES_MAX, ALL_BYTES_MAX = 64 << 20, 256 << 20
METRIC_BYTES = 600  # what a metric, an alias or a device takes in memory, beside its name
UNKNOWABLE = frozenset({"rebirth", "rebirth_quiet"})
"""Rules that a disturbed way excuses: a monitor does not know of one, so a breach of them is a note."""

Status = Literal["online", "offline", "birth not seen", "not followed"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong with one edge node. `rule` is of `RULES`, or storm, stale, flood."""

    ns: int
    edge: str
    rule: str
    topic: str
    what: str


class EdgeReport(msgspec.Struct, kw_only=True):
    """What was seen of one edge node (`group/node`); times in seconds, `breaches` and `notes` count by rule."""

    edge: str
    status: Status
    stale: bool
    silent_s: float
    messages: dict[str, int]
    sessions: int
    devices: int
    rebirth_commands: int
    sequence_gaps: int
    rebirth_storms: int
    silences: int
    breaches: dict[str, int]
    notes: dict[str, int]
    examples: list[Finding]

    @property
    def is_clean(self) -> bool:
        """Whether nothing is held against it."""
        return not (self.breaches or self.rebirth_storms or self.stale or self.status == "not followed")


class MonitorReport(msgspec.Struct, kw_only=True):
    """What was seen at one broker. `unfollowed` counts messages of edge nodes beyond the bound on their number."""

    format: int = 1
    verdict: Literal["clean", "breaches", "nothing seen"]
    broker: str
    from_ns: int
    to_ns: int
    messages: int
    connections_lost: int
    malformed: dict[str, int]
    unfollowed: int
    edges: list[EdgeReport]


@dataclass
class _Edge:
    """One edge node as far as it was seen."""

    grammar: Grammar
    heard_ns: int
    is_offline: bool = False
    is_followed: bool = True
    births: deque[int] = field(default_factory=lambda: deque(maxlen=STORM_BIRTHS))
    is_storming: bool = False
    storms: int = 0
    silences: int = 0
    named: int = 0  # metrics, aliases and devices that the births since the NBIRTH have named
    names_bytes: int = 0  # at most what their names take
    weight: int = 0  # bytes in memory of all that
    own: list[Finding] = field(default_factory=list)  # the first storm, silence and flood


@dataclass
class Monitor:
    """Follows every edge node of `broker`; `on_finding` hears of the first of each kind of each edge node."""

    broker: str
    from_ns: int
    stale_after_s: float = STALE_AFTER_S
    on_finding: Callable[[Finding], None] = lambda finding: None
    messages: int = 0
    connections_lost: int = 0
    _sessions: Sessions = field(default_factory=Sessions)
    _edges: dict[str, _Edge] = field(default_factory=dict)
    _weight: int = 0
    _new: list[Finding] = field(default_factory=list)

    def take(self, wire: WireMessage) -> None:
        """Take the next message. Nothing that anybody can publish raises."""
        self.messages += 1
        self._take(wire)
        self._tell()

    def _take(self, wire: WireMessage) -> None:
        name = _edge_of(wire.topic)
        known = self._edges.get(name)
        if known is not None and not known.is_followed:
            known.heard_ns = wire.ns
            return
        message = Message(wire, name, wire.topic.split("/")[2], "") if name and wire.retain else None
        if message is not None and message.kind in EDGE_KINDS:
            self._take_retained(known, message)
            return
        message = self._sessions.take(wire)
        if message is None or (known is None and message.kind not in EDGE_KINDS):
            return
        edge = known or self._new_edge(message)
        self._watched(message.edge, edge, lambda: edge.grammar.see(message))
        if message.kind in EDGE_KINDS:
            self._follow(edge, message)

    def absent(self) -> None:
        """The connection to the broker was lost: births and deaths may pass unseen."""
        self.connections_lost += 1
        self._sessions.absent()
        for edge in self._edges.values():
            edge.grammar.absent()

    def back(self, ns: int) -> None:
        """The connection is there again: silence counts from here."""
        for edge in self._edges.values():
            edge.heard_ns = max(edge.heard_ns, ns)

    def report(self, ns: int) -> MonitorReport:
        """What was seen until `ns`; to be asked for once, at the end."""
        for name, edge in self._edges.items():
            self._watched(name, edge, lambda edge=edge: edge.grammar.finish(ns))  # type: ignore[misc]
            self._check_silence(name, edge, ns)
        self._tell()
        edges = [self._edge_report(name, edge, ns) for name, edge in sorted(self._edges.items())]
        return MonitorReport(
            verdict="nothing seen"
            if not edges
            else "clean"
            if all(e.is_clean for e in edges)
            else "breaches",
            broker=self.broker,
            from_ns=self.from_ns,
            to_ns=ns,
            messages=self.messages,
            connections_lost=self.connections_lost,
            malformed=dict(self._sessions.malformed),
            unfollowed=self._sessions.strangers,
            edges=edges,
        )

    def _take_retained(self, known: _Edge | None, message: Message) -> None:
        """An old message, kept by the broker: it says nothing of the session as it is, and must not be there."""
        if self._sessions.session(message.edge) is None:
            self._sessions.strangers += 1
            return
        edge = known or self._new_edge(message)
        self._watched(message.edge, edge, lambda: edge.grammar.breach("qos_retain", message, "retain true"))

    def _new_edge(self, message: Message) -> _Edge:
        grammar = Grammar(KEEP_ALIVE_S)
        if message.kind != "NBIRTH" or message.wire.retain:
            grammar.absent()  # its birth was before this monitor came
        edge = self._edges[message.edge] = _Edge(grammar, message.ns)
        return edge

    def _watched(self, name: str, edge: _Edge, step: Callable[[], None]) -> None:
        """Do `step`, and say which rules it was the first to breach."""
        before = set(edge.grammar.breaches)
        step()
        for rule in edge.grammar.breaches:
            if rule not in before:
                self._new.append(_finding(name, rule, edge.grammar.examples[rule][0]))

    def _follow(self, edge: _Edge, message: Message) -> None:
        self._check_silence(message.edge, edge, message.ns)
        edge.heard_ns = message.ns
        stays_offline = edge.is_offline and not edge.grammar.birth_unseen  # and publishes in spite of it
        edge.is_offline = not edge.grammar.alive and (message.kind == "NDEATH" or stays_offline)
        if message.kind == "NBIRTH":
            self._count_birth(edge, message)
        if message.kind in BIRTHS:
            self._weigh(edge, message)

    def _check_silence(self, name: str, edge: _Edge, ns: int) -> None:
        silent_s = (ns - edge.heard_ns) / S
        if self._is_stale(edge, silent_s):
            edge.silences += 1
            if edge.silences == 1:
                self._own(edge, Finding(ns, name, "stale", "", f"nothing published for {silent_s:.0f} s"))

    def _is_stale(self, edge: _Edge, silent_s: float) -> bool:
        return not edge.is_offline and 0 < self.stale_after_s < silent_s

    def _count_birth(self, edge: _Edge, message: Message) -> None:
        edge.births.append(message.ns)
        is_dense = len(edge.births) == STORM_BIRTHS and message.ns - edge.births[0] <= STORM_S * S
        if is_dense and not edge.is_storming:
            edge.storms += 1
            if edge.storms == 1:
                what = f"{STORM_BIRTHS} NBIRTHs within {(message.ns - edge.births[0]) / S:.0f} s"
                self._own(edge, Finding(message.ns, message.edge, "storm", message.wire.topic, what))
        edge.is_storming = is_dense

    def _weigh(self, edge: _Edge, message: Message) -> None:
        """Count what the births of an edge node hold in memory, and give it up beyond the bounds."""
        session = self._sessions.session(message.edge)
        named = session.named if session else 0
        self._weight -= edge.weight
        if message.kind == "NBIRTH":
            edge.names_bytes = edge.named = 0
        if named > edge.named:
            edge.names_bytes += len(message.wire.payload) + len(message.wire.topic)
        edge.named = named
        edge.weight = edge.names_bytes + METRIC_BYTES * named
        self._weight += edge.weight
        if edge.weight > EDGE_BYTES_MAX or self._weight > ALL_BYTES_MAX:
            what = (
                f"its births name more than can be kept ({edge.weight >> 20} MB): it is not followed any more"
            )
            self._own(edge, Finding(message.ns, message.edge, "flood", message.wire.topic, what))
            self._weight -= edge.weight
            edge.weight, edge.is_followed = 0, False
            edge.grammar.forget()
            self._sessions.forget(message.edge)

    def _own(self, edge: _Edge, finding: Finding) -> None:
        edge.own.append(finding)
        self._new.append(finding)

    def _tell(self) -> None:
        """Say what is new, when all that goes with it is settled."""
        new, self._new = self._new, []
        for finding in new:
            self.on_finding(finding)

    def _edge_report(self, name: str, edge: _Edge, ns: int) -> EdgeReport:
        grammar = edge.grammar
        silent_s = (ns - edge.heard_ns) / S
        must = {rule: count for rule, count in grammar.breaches.items() if level(rule) == "breach"}
        examples = [
            _finding(name, rule, example) for rule, kept in grammar.examples.items() for example in kept
        ]
        return EdgeReport(
            edge=name,
            status=_status(edge),
            stale=self._is_stale(edge, silent_s),
            silent_s=silent_s,
            messages=dict(sorted(grammar.messages.items())),
            sessions=grammar.sessions,
            devices=grammar.devices,
            rebirth_commands=grammar.rebirth_commands,
            sequence_gaps=grammar.breaches["seq"],
            rebirth_storms=edge.storms,
            silences=edge.silences,
            breaches=must,
            notes={rule: count for rule, count in grammar.breaches.items() if rule not in must},
            examples=[*edge.own, *examples],
        )


def _edge_of(topic: str) -> str:
    """`group/node` of the topic of a message of an edge node, or of a command to it; empty for any other."""
    parts = topic.split("/")
    is_edge = parts[0] == "spBv1.0" and 4 <= len(parts) <= 5 and parts[2] in EDGE_KINDS | COMMANDS
    return f"{parts[1]}/{parts[3]}" if is_edge else ""


def _finding(name: str, rule: str, example: Example) -> Finding:
    return Finding(example.ns, name, rule, example.topic, example.what)


def _status(edge: _Edge) -> Status:
    if not edge.is_followed:
        return "not followed"
    if edge.is_offline:
        return "offline"
    return "online" if edge.grammar.alive else "birth not seen"


def level(rule: str) -> Literal["breach", "note"]:
    """Whether what breaks `rule` is held against an edge node, or only noted."""
    must = RULES[rule][0] == "MUST" if rule in RULES else True
    return "breach" if must and rule not in UNKNOWABLE else "note"
