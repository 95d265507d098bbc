"""The grammar of a Sparkplug B 3.0 edge node, as it shows at the enterprise broker.

The rules stand in rules.py. What only the CONNECT packets could show (a bdSeq skipped by connections that never
came about) is not held against the edge node. The criterion (criteria/sparkplug_session.py) follows the edge node of a
run with it, the monitor (monitor.py) every edge node of a live broker.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from shakedown.acceptance.readers import TimelineEntry
from shakedown.acceptance.session import DATA, EDGE_KINDS, Message, bd_seq
from shakedown.acceptance.spans import S
from shakedown.acceptance.sparkplug import BOOLEAN, GOOD, Payload

REBIRTH_BOUND_S = 10.0  # births follow a rebirth command within this time, unless a fault is in the way
EFFECT_S = 2.0  # data accepted later than this after a rebirth command was sent in spite of it
EXAMPLES_MAX = 5
TEXT_MAX = 300  # characters of an example: names on the wire may have thousands
LIVE_MAX = (
    200_000  # metrics whose newest time is known; beyond it all are forgotten, and `historical` starts anew
)
BD_SEQS = 256
# Kinds of fault that end every connection without a Will
BROKER_DEATHS = "crash", "restart", "broker_restart"


class Example(msgspec.Struct, frozen=True):
    """One message that breaks a rule."""

    ns: int
    topic: str
    what: str


@dataclass
class Grammar:
    """Follows one edge node; `breaches` counts each rule, `examples` keeps the first of each.

    `faults` are those that were done to the way between edge node and broker, with the phases of the run or without.
    What is kept has a bound, whatever the edge node sends, but for what its births have named: that is the caller's.
    """

    keep_alive_s: float
    reconnect_min_s: float = 1.0
    faults: Sequence[TimelineEntry] = ()
    breaches: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Example]] = field(default_factory=dict)
    messages: Counter[str] = field(default_factory=Counter)
    sessions: int = 0
    rebirth_commands: int = 0
    historical: int = 0
    strangers: int = 0  # messages under the name of the edge node by somebody else
    _alive: bool = False
    _devices: set[str] = field(default_factory=set)
    _bd_seq: int | None = None
    _born_ns: int = 0
    _born_ms: int = 0  # the payload's own timestamp
    _heard_ns: int = 0  # when the last message before this one was accepted
    _bd_seqs_dead: set[int] = field(default_factory=set)  # seen in an NDEATH within the last 128 sessions
    _deaths: list[int] = field(default_factory=list)  # bdSeq of the NDEATHs of this session and since
    _unsaid: dict[int, tuple[int, str]] = field(
        default_factory=dict
    )  # bdSeq of sessions without NDEATH: NBIRTH after
    _must_renew: bool = False  # a session has ended since the last NBIRTH: the next one needs a new bdSeq
    _absent: bool = False  # the observer may have missed births
    _aliases: dict[int, tuple[str, str]] = field(default_factory=dict)
    _aliased: set[tuple[str, str]] = field(default_factory=set)
    _live_ts_ms: dict[tuple[str, str], int] = field(default_factory=dict)
    _command_ns: int | None = None

    @property
    def alive(self) -> bool:
        """Whether its last birth is in force."""
        return self._alive

    @property
    def birth_unseen(self) -> bool:
        """Whether births may have passed unseen since the last one."""
        return self._absent

    @property
    def devices(self) -> int:
        """How many of its devices are born."""
        return len(self._devices - {""})

    def forget(self) -> None:
        """Drop what its births have named; what was counted stays."""
        self._devices.clear()
        self._aliases.clear()
        self._aliased.clear()
        self._live_ts_ms.clear()

    def breach(self, rule: str, message: Message, text: str) -> None:
        """Count one breach of `rule`."""
        self.note(rule, message.ns, message.wire.topic, text)

    def note(self, rule: str, ns: int, topic: str, text: str) -> None:
        """Count one breach of `rule` at `ns`, which no message of the edge node shows by itself."""
        self.breaches[rule] += 1
        kept = self.examples.setdefault(rule, [])
        if len(kept) < EXAMPLES_MAX:
            kept.append(Example(ns, topic[:TEXT_MAX], text[:TEXT_MAX]))

    def absent(self) -> None:
        """The observer was away: births and deaths may have passed unseen."""
        self._absent = self._must_renew = True

    def see(self, message: Message) -> None:
        """Take the next message of the edge node, or a command to it."""
        kind, payload = message.kind, message.payload
        if kind in EDGE_KINDS:
            self.messages[kind] += 1
            self._check_overdue(message)
        self._take(message, kind, payload)
        if kind in EDGE_KINDS:
            self._heard_ns = message.ns

    def _take(self, message: Message, kind: str, payload: Payload | None) -> None:
        if payload is None:
            if kind in EDGE_KINDS:
                self.breach("payload", message, message.error)
            return
        if kind == "NCMD":
            self._command(message, payload)
        elif kind == "NDEATH":
            self._death(message, payload)
        elif kind in EDGE_KINDS:
            if message.wire.retain or message.wire.qos != 0:
                text = f"QoS {message.wire.qos}, retain {message.wire.retain}"
                self.breach("qos_retain", message, text)
            if kind == "NBIRTH":
                self._nbirth(message, payload)
            else:
                self._follow_up(message, payload)

    def _command(self, message: Message, payload: Payload) -> None:
        for metric in payload.metrics:
            if metric.name == "Node Control/Rebirth" and metric.value is True:
                self.rebirth_commands += 1
                if self._alive and self._command_ns is None:
                    self._command_ns = message.ns

    def _check_overdue(self, message: Message) -> None:
        """A rebirth command counts until births, death, or a fault that may have swallowed it."""
        since = self._command_ns
        if since is None or message.kind in ("NBIRTH", "NDEATH"):
            return
        if self._disturbed(since, message.ns):
            self._command_ns = None
        elif message.ns - since > REBIRTH_BOUND_S * S:
            self._command_ns = None
            self.breach("rebirth", message, f"no NBIRTH within {REBIRTH_BOUND_S:g} s of the command")
        elif message.ns - since > EFFECT_S * S and message.kind in DATA:
            waited_s = (message.ns - since) / S
            self.breach(
                "rebirth_quiet",
                message,
                f"{message.kind} {waited_s:.1f} s after the command, before the births",
            )

    def _disturbed(self, from_ns: int, to_ns: int) -> bool:
        margin_ns = int(1.5 * self.keep_alive_s * S)
        return any(
            fault.start_ns <= to_ns and fault.end_ns + margin_ns >= from_ns
            for fault in self.faults
            if not fault.is_phase and fault.affects
        )

    def _death(self, message: Message, payload: Payload) -> None:
        if message.wire.retain or message.wire.qos > 1:
            self.breach("qos_retain", message, f"QoS {message.wire.qos}, retain {message.wire.retain}")
        elif message.wire.qos == 0 and self.is_will(payload):
            self.breach("qos_retain", message, "a Will of QoS 0")
        if payload.seq is not None or len(payload.metrics) != 1:
            self.breach("death_metrics", message, f"{len(payload.metrics)} metrics, seq {payload.seq}")
        number = bd_seq(payload)
        if number is None:
            self.breach("bdseq", message, "NDEATH without bdSeq")
            return
        number = self._in_range(message, number)
        if number == self._bd_seq:
            self._end_session()
        elif number in self._bd_seqs_dead:
            text = (
                f"NDEATH repeats bdSeq {number}, whose session had ended, while {self._bd_seq} was in force"
            )
            self.breach("bdseq", message, text)
            self._end_session()
        # Any other is a late Will of a session before this one, or that of a CONNECT which never came to a birth.
        self._bd_seqs_dead.add(number)
        if number not in self._deaths:
            self._deaths.append(number)
        self._unsaid.pop(number, None)

    def is_will(self, payload: Payload) -> bool:
        """Whether an NDEATH of the session in force is its Will, for it was made before the birth."""
        made_ms, is_its = payload.ts_ms, bd_seq(payload) == self._bd_seq
        return self._alive and is_its and made_ms is not None and made_ms <= self._born_ms

    def _in_range(self, message: Message, number: int) -> int:
        """A bdSeq as one of the 256 that there are."""
        if not 0 <= number < BD_SEQS:
            self.breach("bdseq", message, f"bdSeq {number} is not 0 to {BD_SEQS - 1}")
        return number % BD_SEQS

    def _end_session(self) -> None:
        self._alive, self._must_renew, self._command_ns = False, True, None
        self._devices.clear()

    def _nbirth(self, message: Message, payload: Payload) -> None:
        number = bd_seq(payload)
        rebirth = [metric for metric in payload.metrics if metric.name == "Node Control/Rebirth"]
        missing = [
            name
            for name, there in (
                ("timestamp", payload.ts_ms is not None),
                ("seq", payload.seq is not None),
                ("bdSeq", number is not None),
                ("Node Control/Rebirth = false", bool(rebirth) and rebirth[0].value is False),
            )
            if not there
        ]
        if missing:
            self.breach("nbirth_content", message, "without " + ", ".join(missing))
        if rebirth and (rebirth[0].alias is not None or rebirth[0].datatype != BOOLEAN):
            self.breach("rebirth_alias", message, f"alias {rebirth[0].alias}, datatype {rebirth[0].datatype}")
        if payload.seq not in (0, None):
            self.breach("nbirth_seq_zero", message, f"seq {payload.seq}")
        born = self._bd_seq if self._alive else None
        if number is not None:
            self._new_bd_seq(message, self._in_range(message, number))
        self._alive, self._must_renew, self._absent, self._command_ns = True, False, False, None
        if number != born:  # a rebirth keeps the Will
            self._born_ms = payload.ts_ms or 0
        self._devices = {""}
        self._aliases.clear()
        self._aliased.clear()
        self._birth(message, payload)

    def _new_bd_seq(self, message: Message, number: int) -> None:
        before, self._bd_seq = self._bd_seq, number
        broker_fell = self._broker_fell(self._born_ns, message.ns)
        self._must_renew |= broker_fell
        self._born_ns = message.ns
        if before is None:
            self.sessions += 1
            return
        ahead = (number - before) % 256
        if ahead == 0 and not self._must_renew:
            return  # a rebirth on the same connection keeps it
        self.sessions += 1
        wills = [death for death in self._deaths if 0 < (death - before) % 256 <= 128]
        if wills and before not in self._deaths and not self._absent and not broker_fell:
            text = f"the session of bdSeq {before} had a Will with bdSeq {wills[0]}"
            self.breach("bdseq", message, text)
        if ahead and before not in self._deaths and not self._absent and not broker_fell:
            self._unsaid[before] = message.ns, message.wire.topic
        self._deaths.clear()
        if ahead == 0:
            if not self._was_absent_only():
                self.breach("bdseq", message, f"bdSeq {number} used again after its session had ended")
        elif ahead > 128 and not self._may_have_wrapped(message.ns):
            self.breach("bdseq", message, f"bdSeq {number} after {before}: it must rise with every CONNECT")
        elif number in self._bd_seqs_dead:
            self.breach("bdseq", message, f"bdSeq {number} of an earlier session used again")
        self._bd_seqs_dead -= {(number + step) % 256 for step in range(1, 128)}

    def _broker_fell(self, from_ns: int, to_ns: int) -> bool:
        """Whether the broker died in between: nobody publishes a Will then, but every connection has ended."""
        return any(
            fault.cut
            and "broker" in fault.affects
            and fault.kind in BROKER_DEATHS
            and from_ns <= fault.start_ns < to_ns
            for fault in self.faults
        )

    def finish(self, end_ns: int) -> None:
        """The recording ends: a Will that is due has been published by now."""
        for number, (ns, topic) in self._unsaid.items():
            if end_ns - ns > 1.5 * self.keep_alive_s * S:
                self.note("ndeath", ns, topic, f"no NDEATH of the session before it, bdSeq {number}")

    def _may_have_wrapped(self, ns: int) -> bool:
        """Whether so many connections may have failed in the silence that modulo 256 up and down look alike."""
        return ns - self._heard_ns >= 128 * self.reconnect_min_s * S

    def _was_absent_only(self) -> bool:
        """Whether the end of the session is a guess, made because the observer was away."""
        return self._absent and self._bd_seq not in self._bd_seqs_dead

    def _follow_up(self, message: Message, payload: Payload) -> None:
        if not self._alive and not self._absent:
            self.breach("nbirth_first", message, f"{message.kind} before NBIRTH")
            return
        if payload.seq is None:
            self.breach("seq", message, "no seq")
        elif message.expected_seq is not None and payload.seq != message.expected_seq:
            self.breach("seq", message, f"seq {payload.seq} instead of {message.expected_seq}")
        if payload.ts_ms is None:
            self.breach("timestamps", message, f"{message.kind} without timestamp")
        if message.kind == "DBIRTH":
            self._devices.add(message.device)
            self._birth(message, payload)
        elif message.kind == "DDEATH":
            self._devices.discard(message.device)
        else:
            if message.device not in self._devices and not self._absent:
                self.breach("dbirth_first", message, f"{message.kind} of a device that is not born")
            self._data(message, payload)

    def _birth(self, message: Message, payload: Payload) -> None:
        for metric in payload.metrics:
            if not metric.name or metric.datatype is None:
                self.breach("birth_types", message, f"metric {metric.name!r}, datatype {metric.datatype}")
                continue
            if metric.alias is not None:
                owner = (message.device, metric.name)
                if self._aliases.setdefault(metric.alias, owner) != owner:
                    text = f"alias {metric.alias} is that of {self._aliases[metric.alias]} and of {owner}"
                    self.breach("alias_unique", message, text)
                self._aliased.add(owner)
        for sample in message.samples:
            if sample.ts_ms is not None and sample.quality == GOOD and sample.value is not None:
                key = (sample.device, sample.metric)
                newest_ms = self._live_ts_ms.get(key, 0)
                if sample.ts_ms < newest_ms:
                    text = (
                        f"{sample.metric} of {sample.ts_ms} ms, although {newest_ms} ms was sent live before"
                    )
                    self.breach("birth_current", message, text)
                self._sent_live(key, max(sample.ts_ms, newest_ms))

    def _data(self, message: Message, payload: Payload) -> None:
        if message.unknown and not self._absent:
            metric = message.unknown[0]
            text = f"{len(message.unknown)} metrics without a birth, first name {metric.name!r} alias {metric.alias}"
            self.breach("birth_metrics", message, text)
        if any(metric.name and (message.device, metric.name) in self._aliased for metric in payload.metrics):
            self.breach("alias_only", message, "a metric by its name that has an alias")
        if any(metric.datatype is not None for metric in payload.metrics):
            self.breach("data_datatype", message, "a metric with a datatype")
        for device, metric_name, ts_ms, _, quality, historical in message.samples:
            if ts_ms is None:
                self.breach("timestamps", message, f"metric {metric_name} without timestamp")
            elif historical:
                self.historical += 1
            elif quality == GOOD:
                key = (device, metric_name)
                newest = self._live_ts_ms.get(key, 0)
                if ts_ms < newest:
                    text = f"{metric_name} of {ts_ms} ms unflagged after {newest} ms was sent"
                    self.breach("historical", message, text)
                else:
                    self._sent_live(key, ts_ms)

    def _sent_live(self, key: tuple[str, str], ts_ms: int) -> None:
        if len(self._live_ts_ms) >= LIVE_MAX and key not in self._live_ts_ms:
            self._live_ts_ms.clear()
        self._live_ts_ms[key] = ts_ms
