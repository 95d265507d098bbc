"""The session of a Sparkplug edge node: a state machine without any I/O (Sparkplug B 3.0, chapters 5 and 6).

`transitions.TABLE` says what happens to each event in each state, and which state is next. A handler appends effects,
and returns an outcome where the table asks for one; the time is an argument. One session outlives many connections.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from shakedown.bridge.core import events as ev
from shakedown.bridge.core import naming, payload
from shakedown.bridge.core.events import Effect, Event, Timer
from shakedown.bridge.core.image import Image
from shakedown.bridge.core.model import Model, Sample
from shakedown.bridge.core.transitions import TABLE, Outcome, State

HANDSHAKE_S = 10.0
"""CONNACK, SUBACK and the end of a polite disconnect are each due within this time."""

BIRTHS_MIN_S = 1.0
"""Births are at least this far apart, so that a storm of rebirth commands cannot fill the line with births."""

COMMANDS_MAX = 100
"""Metrics of one DCMD that are obeyed."""


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """What a session needs to know beside the model; `primary_host` "" means that it waits for nobody."""

    primary_host: str = ""
    reconnect_min_s: float = 1.0
    reconnect_max_s: float = 15.0
    payload_metrics_max: int = 500
    payload_bytes_max: int = 64 * 1024


class Session:
    """Sparkplug edge-node session; feed it with `step`, and carry out the effects in their order."""

    def __init__(self, model: Model, config: SessionConfig) -> None:
        self.state = State.OFFLINE
        self.counters: Counter[str] = Counter()
        self.image = Image(model)
        self.bd_seq = 0
        self._config = config
        self._encoder = payload.Encoder(model.metrics)
        self._model = model
        self._ncmd = naming.topic(model.group_id, "NCMD", model.edge_node_id)
        self._dcmds = {naming.topic(model.group_id, "DCMD", model.edge_node_id, d): d for d in model.devices}
        self._state_topic = naming.state_topic(config.primary_host) if config.primary_host else ""
        self._seq = 0
        self._attempts = 0
        self._host_online = False
        self._host_ts = -1  # newest STATE timestamp that was obeyed
        self._births_ns = -(10**18)
        self._born: set[str] = set()  # devices with a DBIRTH on this connection
        self._replaying = False
        # Published before their turn; bounded by the history that brings them again
        self._ahead: set[Sample] = set()
        self._effects: list[Effect] = []

    def step(self, event: Event, now_ns: int) -> list[Effect]:
        """Take one event; returns the effects, to be carried out in order before the next event."""
        row = TABLE[self.state, event.timer if type(event) is ev.TimerFired else type(event)]
        effects: list[Effect] = []
        self._effects = effects
        outcome = getattr(self, row.handler)(event, now_ns)
        self.state = row.by[outcome] if outcome is not None else row.then or self.state
        return effects

    @property
    def is_online(self) -> bool:
        """Whether DATA may be published."""
        return self.state is State.ONLINE

    # ---- connecting

    def _ignore(self, event: Event, now_ns: int) -> None:
        pass

    def _connect(self, event: Event, now_ns: int) -> None:
        self._effects += (ev.TakeBdSeq(), ev.Schedule(Timer.HANDSHAKE, HANDSHAKE_S))

    def _send_connect(self, event: ev.BdSeqTaken, now_ns: int) -> None:
        self.bd_seq = event.bd_seq
        self._effects.append(ev.Connect(self._death(now_ns)))

    def _subscribe(self, event: ev.Connected, now_ns: int) -> None:
        self._host_online = False
        self._born.clear()
        filters = [(self._ncmd, 1), *((topic, 1) for topic in sorted(self._dcmds))]
        if self._state_topic:
            filters.append((self._state_topic, 1))
        self._effects += (ev.Subscribe(tuple(filters)), ev.Schedule(Timer.HANDSHAKE, HANDSHAKE_S))

    def _subscribed(self, event: ev.Subscribed, now_ns: int) -> Outcome:
        if any(qos > 2 for qos in event.granted):
            self._note("the broker refuses a subscription - grant NCMD, DCMD and STATE to this edge node")
            self._effects.append(ev.Abort())
            self._reconnect_later()
            return Outcome.REFUSED
        if self._state_topic and not self._host_online:
            return Outcome.WAITS
        return self._births(now_ns)

    def _give_up(self, event: ev.TimerFired, now_ns: int) -> None:
        self._note(f"no answer from the broker within {HANDSHAKE_S:g} s ({self.state.value})")
        self._effects.append(ev.Abort())

    def _overdue(self, event: ev.TimerFired, now_ns: int) -> None:
        self._give_up(event, now_ns)
        self._reconnect_later()

    def _lost(self, event: ev.ConnectionLost, now_ns: int) -> None:
        self._note(f"connection lost ({self.state.value}): {event.reason}")
        self.counters["connections_lost"] += 1
        self._reconnect_later()

    def _left(self, event: ev.ConnectionLost, now_ns: int) -> None:
        self._reconnect_later()

    def _reconnect_later(self) -> None:
        """Back off from `min` to `max` by doubling; no jitter, so that a run can be repeated."""
        config = self._config
        delay_s = min(config.reconnect_min_s * 2 ** min(self._attempts, 16), config.reconnect_max_s)
        self._attempts += 1
        self._effects.append(ev.Schedule(Timer.CONNECT, delay_s))

    # ---- the primary host and its commands

    def _message(self, event: ev.Message, now_ns: int) -> Outcome | None:
        if event.topic == self._state_topic:
            return self._host_state(event, now_ns)
        if event.topic == self._ncmd:
            return self._command(event.payload, now_ns)
        if event.topic in self._dcmds:
            self._device_command(self._dcmds[event.topic], event.payload)
        else:
            self.counters["messages_unknown"] += 1
        return None

    def _host_state(self, event: ev.Message, now_ns: int) -> Outcome | None:
        """STATE of the primary host; what is older than what was obeyed is ignored (tck-id-message-flow-*-phid-*)."""
        parsed = payload.host_state(event.payload)
        if parsed is None:
            self.counters["state_malformed"] += 1
            return None
        online, ts = parsed
        if ts < self._host_ts:
            self.counters["state_older_ignored"] += 1
            return None
        is_live = not event.is_retained
        is_new = is_live or ts > self._host_ts or not self._host_online
        self._host_ts, self._host_online = ts, online
        self._effects.append(ev.HostOnline(ts, is_live) if online else ev.HostOffline())
        if not online:
            return self._host_gone(now_ns)
        if self.state is State.WAITING or (self.state is State.ONLINE and is_new):
            return self._births(now_ns)
        return None

    def _host_gone(self, now_ns: int) -> Outcome | None:
        if self.state not in (State.ONLINE, State.BIRTHING):
            return None
        self._note("primary host is offline: leaving")
        self._attempts = 0
        self._leave(now_ns)
        return Outcome.HOST_GONE

    def _command(self, data: bytes, now_ns: int) -> Outcome | None:
        try:
            found = payload.commands(data)
        except payload.MalformedPayload:
            self.counters["commands_malformed"] += 1
            return None
        if not any(c.name == "Node Control/Rebirth" and c.value is True for c in found):
            self.counters["commands_ignored"] += 1
            return None
        self.counters["rebirths_requested"] += 1
        return self._births(now_ns) if self.state is State.ONLINE else None

    def _device_command(self, device: str, data: bytes) -> None:
        """Values for metrics of the device that take commands, by alias or by name; the rest is ignored."""
        try:
            found = payload.commands(data)
        except payload.MalformedPayload:
            self.counters["commands_malformed"] += 1
            return
        known = {m.name: m.metric_id for m in self._model.of_device(device) if m.is_command}
        for command in found[:COMMANDS_MAX]:
            metric_id = known.get(command.name) if command.name is not None else command.alias
            if metric_id is not None and metric_id in known.values():
                self._effects.append(ev.Command(metric_id, command.value))
            else:
                self.counters["commands_ignored"] += 1

    # ---- births

    def _births_due(self, event: ev.TimerFired, now_ns: int) -> Outcome:
        return self._births(now_ns)

    def _births(self, now_ns: int) -> Outcome:
        """All births, now or as soon as they may follow the last ones; until then DATA stands still."""
        wait_s = BIRTHS_MIN_S - (now_ns - self._births_ns) / 1e9
        if 0 < wait_s <= BIRTHS_MIN_S:
            self._effects.append(ev.Schedule(Timer.BIRTHS, wait_s))
            return Outcome.TOO_SOON
        self._births_ns = now_ns
        self._attempts = 0
        self._seq = 0
        self._born.clear()
        self._replaying = True
        self._node_birth(now_ns)
        for device in self._model.devices:
            if self.image.is_alive(device):
                self._device_birth(device, now_ns)
        self.image.released()
        self._ahead.clear()
        self.counters["births"] += 1
        self._effects.append(ev.Born())
        return Outcome.BORN

    def _node_birth(self, now_ns: int) -> None:
        ts_ms = _birth_ts_ms(now_ns)
        values = self.image.snapshot("")
        data = self._encoder.birth(ts_ms, self._next_seq(), values, bd_seq=self.bd_seq)
        self._publish("NBIRTH", "", data)

    def _device_birth(self, device: str, now_ns: int) -> None:
        ts_ms = _birth_ts_ms(now_ns)
        data = self._encoder.birth(ts_ms, self._next_seq(), self.image.snapshot(device))
        self._publish("DBIRTH", device, data)
        self._born.add(device)

    def _settle(self, now_ns: int) -> None:
        """DDEATH for devices that are lost. While history is replayed they stay: it needs their births."""
        if self._replaying:
            return
        for device in self._model.devices:
            if device in self._born and not self.image.is_alive(device):
                self._publish("DDEATH", device, payload.device_death(now_ns // 1_000_000, self._next_seq()))
                self._born.discard(device)
                self.counters["device_deaths"] += 1

    # ---- data

    def _remember(self, event: ev.Live | ev.Held, now_ns: int) -> None:
        for sample in event.samples:
            self.image.take(sample, now_ns)

    def _hold(self, event: ev.Held, now_ns: int) -> None:
        for sample in event.samples:
            self.image.hold(sample, now_ns)

    def _release(self, event: ev.Released, now_ns: int) -> None:
        """Present values first; the history of what was held leaves them out, for a row is sent once between births."""
        samples = self.image.released()
        self._ahead.update(samples)
        self._replaying |= bool(samples)
        self._data([(sample, False) for sample in samples], now_ns)

    def _live(self, event: ev.Live, now_ns: int) -> None:
        if len(self._born) < len(self._model.devices):
            self._births_before(event.samples, now_ns)
        take = self.image.take
        self._data([(sample, take(sample, now_ns)) for sample in event.samples], now_ns)
        self._settle(now_ns)

    def _births_before(self, samples: Iterable[Sample], now_ns: int) -> None:
        """DBIRTH of devices that come back with these samples: it shows what was before them, not the newest."""
        for device in sorted(
            {self.image.device_of[sample.metric_id] for sample in samples} - self._born - {""}
        ):
            self._device_birth(device, now_ns)

    def _history(self, event: ev.History, now_ns: int) -> None:
        entries = []
        for sample in event.samples:
            if sample in self._ahead:
                self._ahead.remove(sample)
            else:
                entries.append((sample, True))
        self._data(entries, now_ns)

    def _history_done(self, event: ev.HistoryDone, now_ns: int) -> None:
        self._ahead.clear()
        self._replaying = False
        self._settle(now_ns)

    def _node_values(self, event: ev.NodeValues, now_ns: int) -> None:
        changed = self.image.node_values(event.values, now_ns)
        if self.state is State.ONLINE:
            self._data([(sample, False) for sample in changed], now_ns)

    def _south(self, event: ev.SouthUp | ev.SouthLost, now_ns: int) -> None:
        """A lost server takes its devices with it; where a device has another one, only the values go stale."""
        stale = self.image.south(event.south, up=isinstance(event, ev.SouthUp), now_ns=now_ns)
        if self.state is State.ONLINE:
            for device in self._model.devices:
                if self.image.is_alive(device) and device not in self._born:
                    self._device_birth(device, now_ns)
            self._data([(sample, False) for sample in stale], now_ns)
            self._settle(now_ns)

    def _data(self, entries: Iterable[tuple[Sample, bool]], now_ns: int) -> None:
        """Publish samples, one payload a device; more where bounds or equal timestamps of a metric ask for it."""
        device_of = self.image.device_of
        limit, bytes_max = self._config.payload_metrics_max, self._config.payload_bytes_max
        groups: dict[str, _Group] = {}
        for entry in entries:
            sample = entry[0]
            device = device_of[sample[0]]
            group = groups.get(device)
            if group is None:
                group = groups[device] = _Group()
                if device and device not in self._born:
                    self._device_birth(device, now_ns)
            key = (sample[0], sample[1])
            value = sample[2]
            size = 32 + len(value) if type(value) is str or type(value) is bytes else 32
            if key in group.keys or len(group.entries) >= limit or group.size + size > bytes_max:
                self._publish_group(device, group, now_ns)
                group = groups[device] = _Group()
            group.keys.add(key)
            group.entries.append(entry)
            group.size += size
        for device, group in groups.items():
            self._publish_group(device, group, now_ns)

    def _publish_group(self, device: str, group: _Group, now_ns: int) -> None:
        self.counters["samples_published"] += len(group.entries)
        data = self._encoder.data(now_ns // 1_000_000, self._next_seq(), group.entries)
        self._publish("DDATA" if device else "NDATA", device, data)

    # ---- the end

    def _stop_silently(self, event: ev.Stop, now_ns: int) -> None:
        """Nothing was born on this connection: DISCONNECT alone keeps the Will from being published."""
        self._effects += (ev.Disconnect(), ev.Schedule(Timer.HANDSHAKE, HANDSHAKE_S))

    def _stop(self, event: ev.Stop, now_ns: int) -> None:
        self._leave(now_ns)

    def _leave(self, now_ns: int) -> None:
        schedule = ev.Schedule(Timer.HANDSHAKE, HANDSHAKE_S)
        self._effects += (self._death(now_ns), ev.Disconnect(), schedule)

    # ---- helpers

    def _death(self, now_ns: int) -> ev.Publish:
        topic = naming.topic(self._model.group_id, "NDEATH", self._model.edge_node_id)
        return ev.Publish(topic, payload.death(now_ns // 1_000_000, self.bd_seq), qos=1)

    def _publish(self, message_type: str, device: str, data: bytes) -> None:
        topic = naming.topic(self._model.group_id, message_type, self._model.edge_node_id, device)
        self._effects.append(ev.Publish(topic, data))

    def _next_seq(self) -> int:
        seq = self._seq
        self._seq = (seq + 1) & 0xFF
        return seq

    def _note(self, text: str) -> None:
        self._effects.append(ev.Note(text))


class _Group:
    """Entries of one payload in the making."""

    __slots__ = ("entries", "keys", "size")

    def __init__(self) -> None:
        self.entries: list[tuple[Sample, bool]] = []
        self.keys: set[tuple[int, int]] = set()
        self.size = 0


def _birth_ts_ms(now_ns: int) -> int:
    """The millisecond before: a receiver may demand that a birth is older than the moment it arrives."""
    return now_ns // 1_000_000 - 1
