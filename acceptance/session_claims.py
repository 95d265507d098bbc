"""What births, deaths and payloads claim, held against the run: site.yaml, the faults, the ledger, the primary host.

The grammar (grammar.py) is what messages show by themselves, and all that a monitor can know. Here are the rules that
take a ledger and a timeline; what a fault may have held up or swallowed is not held against the edge node.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from shakedown.acceptance.grammar import BROKER_DEATHS, EFFECT_S, Grammar
from shakedown.acceptance.history_order import HistoryOrder
from shakedown.acceptance.operations_site import sensor_alarms
from shakedown.acceptance.readers import TimelineEntry
from shakedown.acceptance.run import GRACE_S, KEEP_ALIVE_FACTOR, Run
from shakedown.acceptance.session import BIRTHS, DATA, EDGE_KINDS, HostState, Message, bd_seq
from shakedown.acceptance.site import BAD_NO_COMMUNICATION, Topic
from shakedown.acceptance.spans import MS, S
from shakedown.acceptance.sparkplug import DATATYPES, Metric, Payload

CLOCK_S = 1.0  # a payload's timestamp may be ahead of its acceptance by so much
UNDER_WAY_S = 10.0  # and behind, where no fault holds it up
OFFLINE_S = 10.0  # data stop within this time of the host's word that it is offline
DDEATH_S = 30.0  # a device whose source is away for longer than this is reported dead within it
UNNOTICED_FACTOR = 2.0  # a client that pings each keep-alive misses the second answer after so many of them
COMMANDS_MAX = 1_000
SOUTH, NORTH = frozenset({"cell", "plc", "bridge"}), frozenset({"wan", "broker", "host", "bridge"})


@dataclass
class SessionClaims:
    """Follows the edge node of `run` beside `grammar`, which counts what it finds."""

    run: Run
    grammar: Grammar
    _topics: dict[tuple[str, str], Topic] = field(default_factory=dict)
    _unit_shown: bool = False  # in any birth
    _unit_missing: list[tuple[Message, str]] = field(default_factory=list)
    _reasons: deque[int] = field(
        default_factory=deque
    )  # when births were asked for, and have not followed yet
    _bd_seq: int | None = None
    _in_force: bool = False
    _named: set[tuple[str, str]] = field(default_factory=set)  # by all births so far
    _born: set[str] = field(default_factory=set)  # devices
    # A birth that nothing asked for, until it is known to have named nothing new
    _uncaused: Message | None = None
    _last_ns: int = 0  # of the edge node's messages the newest
    _was_absent: bool = False  # the observer, since then
    _host: HostState | None = None  # the last word of the primary host; None if it is not known
    _host_was_offline: bool = False  # since the last NBIRTH
    _deaths: dict[str, list[int]] = field(default_factory=dict)  # DDEATHs of each device
    _since_ns: int = 0  # since when just these devices are born
    _alive: list[tuple[int, int, frozenset[str]]] = field(default_factory=list)  # from, to, devices born

    def __post_init__(self) -> None:
        self._topics = {(topic.device, topic.metric): topic for topic in self.run.topics}
        rules = self.run.operations.alarms
        self._shown = {
            (rule.device, f"alarm/{rule.name}"): rule.shown for rule in (*rules, *sensor_alarms(rules))
        }
        self._faults = [fault for fault in self.run.timeline if not fault.is_phase and fault.affects]
        self._history = HistoryOrder(self._may_be_filled_in)
        self._margin_ns = int((KEEP_ALIVE_FACTOR * self.run.site.keep_alive_s + UNDER_WAY_S) * S)
        asked = ("connected", "rebirth_requested")
        self._host_asked = deque(ns for ns, kind, _ in self.run.host.events if kind in asked)

    # ---- what passes

    def absent(self) -> None:
        """The observer was away: what it missed may be the cause of anything."""
        self._in_force, self._host, self._host_was_offline, self._was_absent = False, None, True, True
        self._history.births(self.run.end_ns, asked_again=True)

    def host_state(self, state: HostState) -> None:
        """STATE of any host; the primary host's alone counts, and what is older than what was said does not."""
        if state.host_id != self.run.site.host_id or state.online is None:
            return
        if self._host is not None and state.ts_ms < self._host.ts_ms:
            return
        self._host = state
        if state.online:
            self._ask(state.ns)
        else:
            self._host_was_offline = True

    def see(self, message: Message) -> None:
        """Take the next message of the edge node, or a command to it; before the grammar does."""
        payload, kind = message.payload, message.kind
        if payload is None:
            return
        if kind == "NCMD":
            if any(m.name == "Node Control/Rebirth" and m.value is True for m in payload.metrics):
                self._ask(message.ns)
            return
        before_ns = self._last_ns
        if kind in EDGE_KINDS:
            self._last_ns = message.ns
        if kind == "NDEATH":
            self._ndeath(message, payload)
            return
        if kind in BIRTHS or kind in DATA or kind == "DDEATH":
            self._check_time(message, payload)
            self._check_host(message)
        if kind in BIRTHS:
            self._birth(message, payload, before_ns)
            return
        if self._uncaused is not None:
            text = f"{self._uncaused.kind} that nothing asked for, and that names nothing new"
            self.grammar.breach("birth_cause", self._uncaused, text)
            self._uncaused = None
        if kind == "DDEATH":
            self._ddeath(message)
        elif kind in DATA:
            self._check_history(message)

    def finish(self) -> None:
        """The recording ends: deaths that are missing, and units that some births show and others do not."""
        for message, text in self._unit_missing if self._unit_shown else ():
            self.grammar.breach("birth_model", message, text)
        for fault in self._faults:
            if (
                fault.cut
                and fault.affects & {"cell", "plc"}
                and fault.end_ns - fault.start_ns >= DDEATH_S * S
            ):
                self._check_devices(fault)

    # ---- births

    def _ask(self, ns: int) -> None:
        """Births are asked for, as the wire shows; the host's own log says the same a moment before."""
        if self._host_asked and abs(self._host_asked[0] - ns) < EFFECT_S * S:
            self._host_asked.popleft()
        if len(self._reasons) < COMMANDS_MAX:
            self._reasons.append(ns)

    def _is_asked(self, ns: int) -> bool:
        """Whether births at `ns` were asked for. They answer all of before but what may still be on its way."""
        while self._host_asked and self._host_asked[0] <= ns:
            self._reasons.append(self._host_asked.popleft())
        is_asked = bool(self._reasons)
        recent_ns = ns - int(EFFECT_S * S)
        one = self._reasons.popleft() if is_asked else 0
        self._reasons = deque(at for at in self._reasons if at > recent_ns or self._disturbed(at, ns))
        return is_asked and (ns - one <= GRACE_S * S or self._disturbed(one, ns))

    def _birth(self, message: Message, payload: Payload, before_ns: int) -> None:
        device = message.device
        names = {(device, metric.name) for metric in payload.metrics if metric.name}
        if names - self._named:
            self._uncaused = None
        if message.kind == "NBIRTH":
            number = bd_seq(payload)
            is_again = self._in_force and number == self._bd_seq and not self._lost_broker(message.ns)
            is_asked = self._is_asked(message.ns)
            if not is_again:
                self._check_connection(message)
            elif not is_asked:
                self._uncaused = message
            self._end_life(message.ns)
            self._bd_seq, self._in_force, self._host_was_offline = number, True, False
            self._born.clear()
            sent_until_ns = message.ns if is_again else self._sent_until(before_ns, message.ns)
            self._history.births(sent_until_ns, asked_again=is_again)
            self._was_absent = False
        elif device in self._born and self._in_force and not names - self._named:
            self._uncaused = self._uncaused or message
        if message.kind == "DBIRTH":
            self._end_life(message.ns)
            self._born.add(device)
        self._named |= names
        for metric in payload.metrics:
            topic = self._topics.get((device, metric.name or ""))
            if topic is not None:
                self._check_model(message, metric, topic)
            said = metric.properties or {}
            for key, value in self._shown.get((device, metric.name or ""), {}).items():
                if said.get(key) != value:
                    text = f"{metric.name}: {key} {said.get(key)!r}, not {value!r}"
                    self.grammar.breach("birth_model", message, text)

    def _check_model(self, message: Message, metric: Metric, topic: Topic) -> None:
        properties = metric.properties or {}
        wrong = []
        if metric.datatype != DATATYPES.get(topic.datatype, metric.datatype):
            wrong.append(f"datatype {metric.datatype}, not {topic.datatype}")
        unit = properties.get("engUnit")
        self._unit_shown |= unit is not None
        if unit is not None and unit != topic.unit:
            wrong.append(f"engUnit {unit!r}, not {topic.unit!r}")
        elif unit is None and topic.unit and len(self._unit_missing) < COMMANDS_MAX:
            self._unit_missing.append((message, f"{metric.name} without its unit {topic.unit}"))
        for name, bound in (("engLow", topic.low), ("engHigh", topic.high)):
            said = properties.get(name)
            if said != bound and (said is not None or unit is not None):
                wrong.append(f"{name} {said!r}, not {bound!r}")
        if wrong:
            self.grammar.breach("birth_model", message, f"{metric.name}: {', '.join(wrong)}")

    # ---- the primary host

    def _is_offline(self, ns: int) -> HostState | None:
        """The host's word that it is offline, if it is in force at `ns`; nobody knows what a broker forgot."""
        host = self._host
        if host is None or host.online is not False or not self.run.bridge.promises.primary_host:
            return None
        return None if self._lost_broker(ns, host.ns) else host

    def _check_connection(self, message: Message) -> None:
        """Births on a new connection: who had subscribed knew of the host."""
        host = self._is_offline(message.ns)
        if host is not None and message.ns - host.ns > EFFECT_S * S:
            away_s = (message.ns - host.ns) / S
            text = f"NBIRTH of a new connection, {away_s:.0f} s after {host.host_id} went offline"
            self.grammar.breach("host_offline", message, text)

    def _check_host(self, message: Message) -> None:
        host = self._is_offline(message.ns)
        if host is None or message.ns - host.ns <= OFFLINE_S * S or self._disturbed(host.ns, message.ns):
            return
        text = f"{message.kind} {(message.ns - host.ns) / S:.0f} s after {host.host_id} went offline"
        self.grammar.breach("host_offline", message, text)

    # ---- deaths

    def _ndeath(self, message: Message, payload: Payload) -> None:
        if bd_seq(payload) != self._bd_seq or not self._in_force:
            return
        is_said = payload.ts_ms is not None and not self.grammar.is_will(payload)
        end = self.run.phase("drain")
        is_over = message.ns >= (end.end_ns if end else self.run.window_end_ns) - S
        if is_said and not (
            self._host_was_offline or is_over or self._near(message.ns, NORTH, after_s=UNDER_WAY_S)
        ):
            text = "said by an edge node that nobody stopped, and whose primary host is online"
            self.grammar.breach("death_cause", message, text)
        self._end_life(message.ns)
        self._in_force = False
        self._born.clear()

    def _ddeath(self, message: Message) -> None:
        self._deaths.setdefault(message.device, []).append(message.ns)
        self._end_life(message.ns)
        self._born.discard(message.device)
        if not (self._near(message.ns, SOUTH) or message.device in set(self._unreachable(message.ns))):
            self.grammar.breach("death_cause", message, f"device {message.device}, whose source is there")

    def _unreachable(self, ns: int) -> Iterator[str]:
        """Devices of which a signal's last sample before `ns` is BadNoCommunication."""
        ledger = self.run.ledger
        stamps = np.frombuffer(ledger.ns, dtype=np.int64)
        status = np.frombuffer(ledger.status, dtype=np.uint64) & np.uint64(0xFFFF0000)
        if not (status == BAD_NO_COMMUNICATION).any():
            return
        signals = np.frombuffer(ledger.signal, dtype=np.int32)
        for topic in self.run.topics:
            mine = np.flatnonzero((signals == topic.signal) & (stamps <= ns))
            if len(mine) and status[mine[-1]] == BAD_NO_COMMUNICATION:
                yield topic.device

    def _check_devices(self, fault: TimelineEntry) -> None:
        """Every device that has lost its only source must have died, unless the node's own way was in trouble."""
        due_ns = fault.start_ns + int(DDEATH_S * S)
        if self._near(due_ns, NORTH, since_ns=fault.start_ns):
            return
        self._end_life(max(self.run.end_ns, due_ns))
        born: frozenset[str] = frozenset()
        for from_ns, to_ns, devices in self._alive:
            if from_ns <= fault.start_ns < to_ns:
                born = devices
        for device in sorted(born & self._fed_by(fault.target)):
            if not any(fault.start_ns <= ns <= due_ns for ns in self._deaths.get(device, ())):
                text = f"no DDEATH of {device} within {DDEATH_S:g} s of {fault.id!r}, which took its source"
                self.grammar.note("ddeath", fault.start_ns, device, text)

    def _fed_by(self, target: str) -> frozenset[str]:
        """Devices all of whose sources are gone with `target`: a server's machine, or a conduit."""
        hosts = {topic.source for topic in self.run.topics}
        lost = {target} if target in hosts else hosts
        living = {topic.device for topic in self.run.topics if topic.source not in lost}
        return frozenset(topic.device for topic in self.run.topics) - living

    def _end_life(self, ns: int) -> None:
        """The devices born change at `ns`."""
        if self._in_force and self._born and len(self._alive) < 100 * COMMANDS_MAX:
            self._alive.append((self._since_ns, ns, frozenset(self._born)))
        self._since_ns = ns

    # ---- times

    def _check_time(self, message: Message, payload: Payload) -> None:
        if payload.ts_ms is None:
            return
        said_ns = payload.ts_ms * MS
        late_s = (message.ns - said_ns) / S
        if late_s < -CLOCK_S:
            self.grammar.breach("payload_time", message, f"{-late_s:.1f} s ahead of its acceptance")
        elif late_s > UNDER_WAY_S and not self._held_up(said_ns, message.ns):
            self.grammar.breach("payload_time", message, f"{late_s:.1f} s before its acceptance")

    def _check_history(self, message: Message) -> None:
        for sample in message.samples:
            if not sample.historical or sample.ts_ms is None:
                continue
            key = (sample.device, sample.metric)
            if key not in self._topics:
                continue
            after_ms = self._history.take(key, sample.ts_ms)
            if after_ms is not None:
                text = f"{sample.metric} of {sample.ts_ms} ms after {after_ms} ms, both as history"
                self.grammar.breach("history_order", message, text)

    def _sent_until(self, before_ns: int, ns: int) -> int:
        """Samples offered up to then may have been sent before the births at `ns`: while the edge node, last seen at
        `before_ns`, could still take its connection for alive. Around a bridge or a broker that died nobody knows."""
        unclear = {"bridge", "broker"} if before_ns else NORTH
        if self._was_absent or self._near(ns, frozenset(unclear), since_ns=before_ns, after_s=0):
            return ns
        starts = [
            fault.start_ns
            for fault in self._faults
            if before_ns < fault.start_ns < ns and fault.affects & NORTH
        ]
        unnoticed_ns = int((UNNOTICED_FACTOR * self.run.site.keep_alive_s + EFFECT_S) * S)
        return min(ns, max([before_ns, *starts]) + unnoticed_ns) if before_ns else 0

    def _may_be_filled_in(self, ns: int) -> bool:
        """Whether a sample offered at `ns` may have come out of the source's history: it fell into a gap."""
        if self.run.server.get("overflowed"):
            return True
        return self._near(ns + int(UNDER_WAY_S * S), SOUTH, since_ns=ns)

    # ---- faults

    def _held_up(self, said_ns: int, accepted_ns: int) -> bool:
        """Whether a fault, or the queue that it left, stood between the making of a payload and its acceptance."""
        near_ns = int(UNDER_WAY_S * S)
        return any(
            fault.start_ns - near_ns <= said_ns <= fault.end_ns + near_ns
            and fault.start_ns <= accepted_ns <= fault.end_ns + self._margin_ns
            for fault in self._faults
        )

    def _disturbed(self, from_ns: int, to_ns: int) -> bool:
        return any(
            fault.start_ns <= to_ns and fault.end_ns + self._margin_ns >= from_ns
            for fault in self._faults
            if fault.affects & NORTH - {"host"}
        )

    def _near(
        self, ns: int, affects: frozenset[str], *, since_ns: int | None = None, after_s: float = GRACE_S
    ) -> bool:
        """Whether a fault of that kind was there at `ns` (from `since_ns` on), or ended at most `after_s` before."""
        from_ns = ns if since_ns is None else since_ns
        return any(
            fault.start_ns <= ns + S and from_ns <= fault.end_ns + int(after_s * S)
            for fault in self._faults
            if fault.affects & affects
        )

    def _lost_broker(self, ns: int, from_ns: int | None = None) -> bool:
        """Whether the broker died between the last birth (or `from_ns`) and `ns`: it forgets sessions and STATE."""
        since_ns = self._since_ns if from_ns is None else from_ns
        return any(
            fault.kind in BROKER_DEATHS
            and "broker" in fault.affects
            and since_ns <= fault.end_ns
            and fault.start_ns <= ns
            for fault in self._faults
        )
