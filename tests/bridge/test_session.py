"""The Sparkplug session, event by event, without a network: every state, every event, and what the standard asks."""

from __future__ import annotations

import json

import pytest

from shakedown.bridge.core import events as ev
from shakedown.bridge.core import payload
from shakedown.bridge.core.datatypes import BOOLEAN, DOUBLE, STRING, UINT64
from shakedown.bridge.core.model import BAD, STALE, Metric, Model, Sample
from shakedown.bridge.core.session import BIRTHS_MIN_S, Session, SessionConfig
from shakedown.bridge.core.transitions import TABLE, State

NS = 1_000_000_000
T0 = 1_767_600_000 * NS
NCMD = "spBv1.0/site.area/NCMD/line"
STATE_TOPIC = "spBv1.0/STATE/scada"
NO_COMMUNICATION = 0x80310000

MODEL = Model(
    "site.area",
    "line",
    (
        Metric(0, "cell.a", "temperature", DOUBLE, "plc1", properties={"engUnit": "CEL", "engLow": 0.5}),
        Metric(1, "cell.a", "state", STRING, "plc1"),
        Metric(2, "cell.b", "running", BOOLEAN, "plc2"),
        Metric(3, "", "bridge/backlog", UINT64),
    ),
    ("cell.a", "cell.b"),
)
EVENTS = {
    ev.Start: ev.Start(),
    ev.BdSeqTaken: ev.BdSeqTaken(7),
    ev.Connected: ev.Connected(),
    ev.Subscribed: ev.Subscribed((1, 1, 1, 1)),
    ev.ConnectionLost: ev.ConnectionLost("test"),
    ev.Message: ev.Message("foreign/topic", b""),
    ev.TimerFired: ev.TimerFired(ev.Timer.HANDSHAKE),
    ev.Live: ev.Live([Sample(0, T0 // 1_000_000, 1.5)]),
    ev.Held: ev.Held([Sample(0, T0 // 1_000_000, 2.5)]),
    ev.Released: ev.Released(),
    ev.History: ev.History([Sample(0, 1, 1.0)]),
    ev.HistoryDone: ev.HistoryDone(),
    ev.NodeValues: ev.NodeValues({"bridge/backlog": 3}),
    ev.SouthUp: ev.SouthUp("plc1"),
    ev.SouthLost: ev.SouthLost("plc1"),
    ev.Stop: ev.Stop(),
}


class Rig:
    """A session, its clock, and everything it published, decoded."""

    def __init__(self, host: str = "scada", **config: int) -> None:
        self.session = Session(MODEL, SessionConfig(primary_host=host, **config))
        self.now_ns = T0
        self.effects: list[ev.Effect] = []
        for south in ("plc1", "plc2"):
            self.step(ev.SouthUp(south))

    def step(self, event: ev.Event) -> list[ev.Effect]:
        self.effects = self.session.step(event, self.now_ns)
        return self.effects

    def published(self) -> list[tuple[str, payload.Payload]]:
        """(message type and device, payload) of the last step."""
        result = []
        for effect in self.effects:
            if isinstance(effect, ev.Publish):
                _, _, kind, _, *device = effect.topic.split("/")
                decoded = payload.Payload()
                decoded.ParseFromString(effect.payload)
                result.append((" ".join([kind, *device]), decoded))
        return result

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.published()]

    def advance(self, seconds: float) -> None:
        self.now_ns += int(seconds * NS)

    def host(self, online: bool, ts: int, *, is_retained: bool = False) -> None:
        data = json.dumps({"online": online, "timestamp": ts}).encode()
        self.step(ev.Message(STATE_TOPIC, data, is_retained))

    def rebirth(self, name: str = "Node Control/Rebirth", value: bool = True) -> None:
        self.step(ev.Message(NCMD, command(name, value)))

    def live(self, *samples: Sample) -> None:
        self.step(ev.Live(samples))

    def connect(self, bd_seq: int = 7) -> None:
        self.step(ev.TimerFired(ev.Timer.CONNECT) if self.session.state is State.OFFLINE else ev.Start())
        self.step(ev.BdSeqTaken(bd_seq))
        self.step(ev.Connected())
        self.step(ev.Subscribed((1, 1, 1, 1)))

    def go(self, state: State) -> Rig:
        """Bring the session into a state by the events that lead there."""
        if state is State.OFFLINE:
            return self
        self.step(ev.Start())
        if state is State.CONNECTING:
            return self
        self.step(ev.BdSeqTaken(7))
        if state is State.STOPPING:
            self.step(ev.Connected())
            self.step(ev.Stop())
            return self
        self.step(ev.Connected())
        if state is State.SUBSCRIBING:
            return self
        self.step(ev.Subscribed((1, 1, 1, 1)))
        if state is State.WAITING:
            return self
        self.host(True, 1000)
        if state is State.BIRTHING:
            self.rebirth()
        elif state is State.LEAVING:
            self.host(False, 1000)
        elif state is State.STOPPED:
            self.step(ev.Stop())
            self.step(ev.ConnectionLost("closed"))
        return self


def command(name: str, value: object) -> bytes:
    message = payload.Payload()
    metric = message.metrics.add()
    metric.name = name
    if isinstance(value, bool):
        metric.boolean_value = value
    else:
        metric.string_value = str(value)
    return message.SerializeToString()


def values(message: payload.Payload) -> list[tuple[object, ...]]:
    return [
        (m.alias, m.timestamp, None if m.is_null else getattr(m, m.WhichOneof("value")), m.is_historical)
        for m in message.metrics
    ]


def quality(metric: object) -> int | None:
    found = dict(zip(metric.properties.keys, metric.properties.values, strict=True))  # type: ignore[attr-defined]
    return found["Quality"].int_value if "Quality" in found else None


# ---- the table


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("kind", EVENTS)
def test_every_event_is_answered_in_every_state(state: State, kind: type) -> None:
    rig = Rig().go(state)
    assert rig.session.state is state
    rig.step(EVENTS[kind])
    assert (state, rig.session.state) in ALLOWED or rig.session.state is state


ALLOWED = {
    (State.OFFLINE, State.CONNECTING),
    (State.OFFLINE, State.STOPPED),
    (State.CONNECTING, State.SUBSCRIBING),
    (State.CONNECTING, State.OFFLINE),
    (State.CONNECTING, State.STOPPING),
    (State.SUBSCRIBING, State.WAITING),
    (State.SUBSCRIBING, State.OFFLINE),
    (State.SUBSCRIBING, State.STOPPING),
    (State.WAITING, State.OFFLINE),
    (State.WAITING, State.STOPPING),
    (State.BIRTHING, State.OFFLINE),
    (State.BIRTHING, State.STOPPING),
    (State.ONLINE, State.OFFLINE),
    (State.ONLINE, State.STOPPING),
    (State.LEAVING, State.OFFLINE),
    (State.LEAVING, State.STOPPING),
    (State.STOPPING, State.STOPPED),
}


def test_the_table_is_complete_and_names_handlers_only() -> None:
    signals = {*EVENTS, *ev.Timer} - {ev.TimerFired}
    assert set(TABLE) == {(state, signal) for state in State for signal in signals}
    assert all(callable(getattr(Session, row.handler)) for row in TABLE.values())


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("wait_s", [0, 2])
@pytest.mark.parametrize("granted", [1, 128])
def test_the_table_has_a_next_state_for_whatever_came_of_a_signal(
    state: State, wait_s: int, granted: int
) -> None:
    rebirth = ev.Message(NCMD, command("Node Control/Rebirth", True))
    host = [
        ev.Message(STATE_TOPIC, json.dumps({"online": online, "timestamp": 2000}).encode())
        for online in (True, False)
    ]
    for event in (rebirth, *host, ev.Subscribed((granted,)), *map(ev.TimerFired, ev.Timer)):
        rig = Rig().go(state)
        rig.advance(wait_s)
        rig.step(event)
        signal = event.timer if isinstance(event, ev.TimerFired) else type(event)
        row = TABLE[state, signal]
        assert rig.session.state in {row.then, *row.by.values(), *({state} if row.then is None else ())}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("kind", [ev.Live, ev.History, ev.Held, ev.Released])
def test_data_is_published_only_online(state: State, kind: type) -> None:
    rig = Rig().go(state)
    rig.step(EVENTS[kind])
    published = [k for k in rig.kinds() if k.startswith(("DDATA", "NDATA"))]
    assert bool(published) == (state is State.ONLINE and kind in (ev.Live, ev.History))


# ---- connecting


def test_connect_carries_a_will_with_the_persisted_bd_seq_and_nothing_else() -> None:
    rig = Rig()
    assert ev.TakeBdSeq() in rig.step(ev.Start())
    (connect,) = (e for e in rig.step(ev.BdSeqTaken(255)) if isinstance(e, ev.Connect))
    will = payload.Payload()
    will.ParseFromString(connect.will.payload)
    assert (connect.will.topic, connect.will.qos, connect.will.retain) == (
        "spBv1.0/site.area/NDEATH/line",
        1,
        False,
    )
    assert [(m.name, m.datatype, m.long_value) for m in will.metrics] == [("bdSeq", 4, 255)]
    assert not will.HasField("seq")


def test_subscriptions_come_before_the_births_and_are_literal() -> None:
    rig = Rig()
    rig.step(ev.Start())
    rig.step(ev.BdSeqTaken(0))
    (subscribe,) = (e for e in rig.step(ev.Connected()) if isinstance(e, ev.Subscribe))
    assert dict(subscribe.filters) == {
        NCMD: 1,
        "spBv1.0/site.area/DCMD/line/cell.a": 1,
        "spBv1.0/site.area/DCMD/line/cell.b": 1,
        STATE_TOPIC: 1,
    }
    assert rig.kinds() == []


def test_without_primary_host_births_follow_the_suback() -> None:
    rig = Rig(host="")
    rig.connect()
    assert rig.kinds() == ["NBIRTH", "DBIRTH cell.a", "DBIRTH cell.b"]
    assert rig.session.state is State.ONLINE


def test_state_before_the_suback_counts() -> None:
    rig = Rig().go(State.SUBSCRIBING)
    rig.host(True, 5)
    assert rig.kinds() == []
    rig.step(ev.Subscribed((1, 1, 1, 1)))
    assert rig.kinds()[0] == "NBIRTH"


def test_refused_subscription_aborts_and_tries_again() -> None:
    rig = Rig().go(State.SUBSCRIBING)
    effects = rig.step(ev.Subscribed((1, 128, 1, 1)))
    assert ev.Abort() in effects
    assert rig.session.state is State.OFFLINE


def test_back_off_doubles_within_its_bounds_and_starts_again_after_births() -> None:
    rig = Rig(host="", reconnect_min_s=1, reconnect_max_s=5)
    delays = []
    rig.step(ev.Start())
    for _ in range(5):
        delays += [e.delay_s for e in rig.step(ev.ConnectionLost("refused")) if isinstance(e, ev.Schedule)]
        rig.step(ev.TimerFired(ev.Timer.CONNECT))
    assert delays == [1, 2, 4, 5, 5]
    rig.step(ev.BdSeqTaken(1))
    rig.step(ev.Connected())
    rig.step(ev.Subscribed((1,)))
    rig.step(ev.ConnectionLost("gone"))
    assert ev.Schedule(ev.Timer.CONNECT, 1) in rig.effects


@pytest.mark.parametrize("state", [State.CONNECTING, State.SUBSCRIBING, State.LEAVING])
def test_overdue_handshake_is_aborted(state: State) -> None:
    rig = Rig().go(state)
    assert ev.Abort() in rig.step(ev.TimerFired(ev.Timer.HANDSHAKE))
    assert rig.session.state is State.OFFLINE


def test_a_stale_handshake_timer_does_no_harm_online() -> None:
    rig = Rig().go(State.ONLINE)
    assert rig.step(ev.TimerFired(ev.Timer.HANDSHAKE)) == []


# ---- births


def test_births_show_everything_in_order() -> None:
    rig = Rig().go(State.WAITING)
    rig.live(Sample(0, 123, 20.25), Sample(1, 124, None, BAD, 0x80020000))
    rig.host(True, 1)
    (_, nbirth), (_, a), (_, b) = rig.published()
    assert isinstance(rig.effects[-1], ev.Born)
    assert [m.name for m in nbirth.metrics] == ["bdSeq", "Node Control/Rebirth", "bridge/backlog"]
    assert nbirth.metrics[0].long_value == 7
    assert [m.HasField("alias") for m in nbirth.metrics] == [False, False, True]
    assert nbirth.metrics[1].boolean_value is False
    assert (nbirth.seq, a.seq, b.seq) == (0, 1, 2)
    assert nbirth.timestamp == T0 // 1_000_000 - 1
    temperature, state = a.metrics
    assert (temperature.name, temperature.alias, temperature.datatype) == ("temperature", 0, DOUBLE)
    assert (temperature.timestamp, temperature.double_value) == (123, 20.25)
    assert list(temperature.properties.keys) == ["engUnit", "engLow"]
    assert state.is_null
    assert quality(state) == BAD
    assert b.metrics[0].is_null
    assert quality(b.metrics[0]) == STALE
    assert b.metrics[0].timestamp == 0, "older than whatever comes, though the source has had it for long"


def test_rebirth_repeats_all_births_with_the_same_bd_seq_and_seq_from_zero() -> None:
    rig = Rig().go(State.ONLINE)
    rig.live(Sample(0, 1, 1.0))
    rig.advance(10)
    rig.rebirth()
    assert rig.kinds() == ["NBIRTH", "DBIRTH cell.a", "DBIRTH cell.b"]
    nbirth = rig.published()[0][1]
    assert (nbirth.seq, nbirth.metrics[0].long_value) == (0, 7)
    assert ev.Born() in rig.effects


def test_a_storm_of_rebirths_stops_data_but_births_stay_apart() -> None:
    rig = Rig().go(State.ONLINE)
    rig.advance(0.25)
    rig.rebirth()
    assert rig.effects == [ev.Schedule(ev.Timer.BIRTHS, BIRTHS_MIN_S - 0.25)]
    for _ in range(3):
        rig.rebirth()
        assert rig.effects == []
    rig.live(Sample(0, 5, 5.0))
    assert rig.effects == []
    rig.advance(BIRTHS_MIN_S - 0.25)
    rig.step(ev.TimerFired(ev.Timer.BIRTHS))
    assert rig.kinds() == ["NBIRTH", "DBIRTH cell.a", "DBIRTH cell.b"]
    assert values(rig.published()[1][1])[0] == (0, 5, 5.0, False)


def test_births_are_not_delayed_when_the_clock_stepped_back() -> None:
    rig = Rig().go(State.ONLINE)
    rig.advance(-3600)
    rig.rebirth()
    assert rig.kinds()[0] == "NBIRTH"


def test_rebirth_during_replay_goes_on_after_new_births() -> None:
    rig = Rig().go(State.ONLINE)
    rig.step(ev.History([Sample(0, 1, 1.0), Sample(0, 2, 2.0)]))
    assert [v[3] for v in values(rig.published()[0][1])] == [True, True]
    rig.advance(5)
    rig.rebirth()
    rig.step(ev.History([Sample(0, 1, 1.0)]))
    assert rig.published()[0][1].seq == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Node Control/Rebirth", False),
        ("Node Control/Rebirth", "true"),
        ("Node Control/Reboot", True),
        ("node control/rebirth", True),
    ],
)
def test_other_commands_are_counted_and_ignored(name: str, value: object) -> None:
    rig = Rig().go(State.ONLINE)
    rig.advance(5)
    rig.step(ev.Message(NCMD, command(name, value)))
    assert rig.effects == []
    assert rig.session.counters["commands_ignored"] == 1


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x12\x7f", b"\x00" * 100_000])
def test_malformed_commands_are_counted(data: bytes) -> None:
    rig = Rig().go(State.ONLINE)
    rig.step(ev.Message(NCMD, data))
    assert rig.effects == []
    assert rig.session.counters["commands_malformed"] == 1


def test_device_commands_are_ignored_for_there_are_no_outputs() -> None:
    rig = Rig().go(State.ONLINE)
    rig.step(ev.Message("spBv1.0/site.area/DCMD/line/cell.a", command("temperature", True)))
    assert rig.effects == []
    assert rig.session.counters["commands_ignored"] == 1


# ---- the primary host


def test_nothing_is_published_while_the_host_is_offline() -> None:
    rig = Rig().go(State.WAITING)
    rig.host(False, 10)
    assert rig.session.state is State.WAITING
    rig.host(True, 9)
    assert rig.session.state is State.WAITING
    assert rig.session.counters["state_older_ignored"] == 1
    rig.host(True, 10)
    assert rig.session.state is State.ONLINE


def test_offline_not_older_than_online_means_ndeath_then_disconnect() -> None:
    rig = Rig().go(State.ONLINE)
    rig.host(False, 1000)
    assert rig.kinds() == ["NDEATH"]
    ndeath, disconnect = (e for e in rig.effects if isinstance(e, ev.Publish | ev.Disconnect))
    assert isinstance(ndeath, ev.Publish)
    assert (ndeath.qos, ndeath.retain) == (1, False)
    assert isinstance(disconnect, ev.Disconnect)
    rig.step(ev.ConnectionLost("closed"))
    assert rig.session.state is State.OFFLINE
    rig.advance(1)
    rig.connect(8)
    assert rig.session.state is State.WAITING
    rig.host(True, 1000)
    assert rig.published()[0][1].metrics[0].long_value == 8


def test_a_late_offline_will_of_an_earlier_host_session_is_ignored() -> None:
    rig = Rig().go(State.ONLINE)
    rig.host(True, 2000)
    rig.host(False, 1999)
    assert rig.effects == []
    assert rig.session.state in (State.ONLINE, State.BIRTHING)


@pytest.mark.parametrize(
    ("ts", "is_retained", "is_repeated"), [(1000, True, False), (1000, False, True), (1001, True, True)]
)
def test_a_new_state_timestamp_or_a_live_state_repeats_the_births(
    ts: int, is_retained: bool, is_repeated: bool
) -> None:
    rig = Rig().go(State.ONLINE)
    rig.advance(5)
    rig.host(True, ts, is_retained=is_retained)
    assert rig.effects[0] == ev.HostOnline(ts, is_live=not is_retained)
    assert rig.kinds() == (["NBIRTH", "DBIRTH cell.a", "DBIRTH cell.b"] if is_repeated else [])


def test_the_host_must_be_heard_again_on_every_connection() -> None:
    rig = Rig().go(State.ONLINE)
    rig.step(ev.ConnectionLost("cut"))
    rig.connect()
    assert rig.session.state is State.WAITING


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"null", b'{"online": "true", "timestamp": 5000}', b'{"online": true}',
        b'{"online": false, "timestamp": "5000"}', b'{"online": false, "timestamp": true}',
        b'{"online": false, "timestamp": -1}', b'{"online": false, "timestamp": 5e3}', b"[" * 900, b"ONLINE",
        b'{"online": false, "timestamp": 5000, "x": "' + b"a" * 2000 + b'"}', b"\xff\xfe",
    ],
)  # fmt: skip
def test_malformed_state_is_counted_and_changes_nothing(data: bytes) -> None:
    rig = Rig().go(State.ONLINE)
    rig.step(ev.Message(STATE_TOPIC, data))
    assert rig.effects == []
    assert rig.session.state is State.ONLINE
    assert rig.session.counters["state_malformed"] == 1


def test_a_foreign_host_is_nobody() -> None:
    rig = Rig().go(State.ONLINE)
    rig.step(ev.Message("spBv1.0/STATE/other", b'{"online": false, "timestamp": 9999}'))
    assert rig.effects == []
    assert rig.session.counters["messages_unknown"] == 1


# ---- data


def test_data_is_by_alias_without_name_and_datatype() -> None:
    rig = Rig().go(State.ONLINE)
    rig.live(Sample(0, 100, 1.5), Sample(2, 101, True), Sample(1, 102, "run"))
    assert rig.kinds() == ["DDATA cell.a", "DDATA cell.b"]
    a = rig.published()[0][1]
    assert values(a) == [(0, 100, 1.5, False), (1, 102, "run", False)]
    assert not any(m.HasField("name") or m.HasField("datatype") for m in a.metrics)
    assert [m.seq for _, m in rig.published()] == [3, 4]


def test_seq_wraps_from_255_to_0() -> None:
    rig = Rig().go(State.ONLINE)
    seqs = []
    for n in range(300):
        rig.live(Sample(0, 100 + n, float(n)))
        seqs.append(rig.published()[0][1].seq)
    assert seqs == [(3 + n) % 256 for n in range(300)]


def test_equal_timestamps_of_a_metric_go_into_different_payloads() -> None:
    rig = Rig().go(State.ONLINE)
    rig.live(Sample(0, 100, 1.0), Sample(0, 100, 2.0), Sample(0, 101, 3.0))
    assert [values(m) for _, m in rig.published()] == [
        [(0, 100, 1.0, False)],
        [(0, 100, 2.0, False), (0, 101, 3.0, False)],
    ]


def test_payloads_are_bounded_in_metrics_and_bytes() -> None:
    rig = Rig(payload_metrics_max=10, payload_bytes_max=4096).go(State.ONLINE)
    rig.live(*(Sample(0, n, float(n)) for n in range(25)))
    assert [len(m.metrics) for _, m in rig.published()] == [10, 10, 5]
    rig.live(*(Sample(1, n, "x" * 1500) for n in range(5)))
    assert [len(m.metrics) for _, m in rig.published()] == [2, 2, 1]
    assert all(m.ByteSize() <= 4096 for _, m in rig.published())


def test_older_samples_of_a_metric_are_history() -> None:
    rig = Rig().go(State.ONLINE)
    rig.live(Sample(0, 100, 1.0))
    rig.live(Sample(0, 99, 0.5), Sample(0, 100, 1.0), Sample(0, 101, 2.0))
    flags = [v[3] for _, m in rig.published() for v in values(m)]
    assert flags == [True, False, False]
    rig.advance(5)
    rig.rebirth()
    assert values(rig.published()[1][1])[0] == (0, 101, 2.0, False)


def test_a_clock_that_returns_from_the_future_does_not_make_everything_history() -> None:
    rig = Rig().go(State.ONLINE)
    now_ms = T0 // 1_000_000
    rig.live(Sample(0, now_ms + 3_600_000, 1.0))
    rig.live(Sample(0, now_ms, 2.0))
    assert values(rig.published()[0][1]) == [(0, now_ms, 2.0, False)]


def test_held_values_are_shown_once_with_their_newest_value() -> None:
    rig = Rig().go(State.ONLINE)
    rig.step(ev.Held([Sample(0, 100, 1.0), Sample(1, 101, "run")]))
    rig.step(ev.Held([Sample(0, 102, 2.0)]))
    assert rig.effects == []
    rig.step(ev.Released())
    assert values(rig.published()[0][1]) == [(1, 101, "run", False), (0, 102, 2.0, False)]
    assert rig.step(ev.Released()) == []


def test_history_leaves_out_what_was_sent_ahead_of_it() -> None:
    rig = Rig().go(State.ONLINE)
    held = [Sample(0, 100, 1.0), Sample(0, 102, 2.0), Sample(0, 102, 2.0)]
    rig.step(ev.Held(held))
    rig.step(ev.Released())
    rig.step(ev.History(held))
    assert [values(message) for _, message in rig.published()] == [[(0, 100, 1.0, True), (0, 102, 2.0, True)]]
    rig.step(ev.HistoryDone())
    rig.advance(5)
    rig.rebirth()
    rig.step(ev.History(held))
    assert sum(len(values(message)) for _, message in rig.published()) == 3


def test_a_device_that_comes_back_is_born_with_what_was_before_its_data() -> None:
    rig = Rig().go(State.ONLINE)
    rig.live(Sample(0, 90, 0.5))
    rig.step(ev.HistoryDone())
    rig.step(ev.SouthLost("plc1"))
    rig.effects.clear()
    rig.live(Sample(0, 100, 1.0), Sample(0, 101, 2.0))
    assert rig.kinds()[:2] == ["DBIRTH cell.a", "DDATA cell.a"]
    birth, data = (values(message) for _, message in rig.published()[:2])
    assert birth[0] == (0, 90, 0.5, False)
    assert data == [(0, 100, 1.0, False), (0, 101, 2.0, False)]


def test_node_values_are_published_by_exception_and_shown_in_births() -> None:
    rig = Rig().go(State.WAITING)
    rig.step(ev.NodeValues({"bridge/backlog": 4}))
    assert rig.effects == []
    rig.host(True, 1)
    assert rig.published()[0][1].metrics[2].long_value == 4
    rig.step(ev.NodeValues({"bridge/backlog": 4}))
    assert rig.effects == []
    rig.step(ev.NodeValues({"bridge/backlog": 5}))
    assert rig.kinds() == ["NDATA"]


# ---- devices


def test_a_lost_server_takes_its_devices_and_brings_them_back() -> None:
    rig = Rig().go(State.ONLINE)
    rig.step(ev.HistoryDone())
    rig.step(ev.SouthLost("plc1"))
    assert rig.kinds() == ["DDEATH cell.a"]
    death = rig.published()[0][1]
    assert (death.seq, len(death.metrics)) == (3, 0)
    assert rig.step(ev.SouthLost("plc1")) == []
    rig.step(ev.SouthUp("plc1"))
    assert rig.kinds() == ["DBIRTH cell.a"]
    assert rig.published()[0][1].seq == 4


def test_a_device_without_server_is_not_born() -> None:
    rig = Rig()
    rig.step(ev.SouthLost("plc2"))
    rig.connect()
    rig.host(True, 1)
    assert rig.kinds() == ["NBIRTH", "DBIRTH cell.a"]


def test_history_of_a_lost_device_is_delivered_between_its_birth_and_death() -> None:
    rig = Rig()
    rig.step(ev.SouthLost("plc2"))
    rig.connect()
    rig.host(True, 1)
    rig.step(ev.History([Sample(2, 5, True)]))
    assert rig.kinds() == ["DBIRTH cell.b", "DDATA cell.b"]
    rig.step(ev.HistoryDone())
    assert rig.kinds() == ["DDEATH cell.b"]


def test_a_device_of_which_everything_says_no_communication_dies_and_returns() -> None:
    rig = Rig().go(State.ONLINE)
    rig.step(ev.HistoryDone())
    rig.live(Sample(0, 100, None, BAD, NO_COMMUNICATION))
    assert rig.kinds() == ["DDATA cell.a"]
    rig.live(Sample(1, 100, None, BAD, NO_COMMUNICATION))
    assert rig.kinds() == ["DDATA cell.a", "DDEATH cell.a"]
    rig.live(Sample(1, 200, "run"))
    assert rig.kinds() == ["DBIRTH cell.a", "DDATA cell.a"]


def test_where_a_device_lives_on_another_server_the_lost_values_go_stale() -> None:
    metrics = (Metric(0, "c.a", "x", DOUBLE, "plc1"), Metric(1, "c.a", "y", DOUBLE, "plc2"))
    rig = Rig(host="")
    rig.session = Session(Model("g", "e", metrics, ("c.a",)), SessionConfig())
    for south in ("plc1", "plc2"):
        rig.step(ev.SouthUp(south))
    rig.connect()
    rig.live(Sample(0, 1, 1.0), Sample(1, 1, 2.0))
    rig.step(ev.SouthLost("plc1"))
    ((kind, message),) = rig.published()
    assert kind == "DDATA c.a"
    assert [(m.alias, m.double_value, quality(m)) for m in message.metrics] == [(0, 1.0, STALE)]


# ---- the end


def test_stop_online_says_ndeath_first() -> None:
    rig = Rig().go(State.ONLINE)
    rig.step(ev.Stop())
    assert [type(e) for e in rig.effects] == [ev.Publish, ev.Disconnect, ev.Schedule]
    assert rig.kinds() == ["NDEATH"]
    rig.step(ev.ConnectionLost("closed"))
    assert rig.session.state is State.STOPPED


@pytest.mark.parametrize("state", [State.CONNECTING, State.SUBSCRIBING, State.WAITING])
def test_stop_before_births_publishes_nothing(state: State) -> None:
    rig = Rig().go(state)
    rig.step(ev.Stop())
    assert rig.kinds() == []
    assert ev.Disconnect() in rig.effects


def test_stop_while_leaving_does_not_come_back() -> None:
    rig = Rig().go(State.LEAVING)
    rig.step(ev.Stop())
    assert rig.step(ev.ConnectionLost("closed")) == []
    assert rig.session.state is State.STOPPED
