"""The states of the Sparkplug session, what is done about each signal in each of them, and which state is next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from shakedown.bridge.core import events as ev


class State(Enum):
    OFFLINE = "offline"  # no connection; the next attempt is scheduled
    CONNECTING = "connecting"  # a bdSeq is being taken, then CONNECT is out
    SUBSCRIBING = "subscribing"
    WAITING = "waiting for host"
    BIRTHING = "births due"  # DATA has stopped, the births wait for their time
    ONLINE = "online"
    LEAVING = "leaving"  # NDEATH and DISCONNECT are out; a reconnect follows
    STOPPING = "stopping"  # NDEATH and DISCONNECT are out; nothing follows
    STOPPED = "stopped"


class Outcome(Enum):
    """What came of a signal whose next state does not depend on the signal alone."""

    REFUSED = "refused"  # by the broker
    WAITS = "primary host not online"
    BORN = "births sent"
    TOO_SOON = "births too soon"  # after the last ones
    HOST_GONE = "primary host offline"


@dataclass(frozen=True, slots=True)
class Row:
    """The handler of a signal, and the state after it: `then`, or by the outcome; the same where neither says."""

    handler: str
    then: State | None = None
    by: Mapping[Outcome, State] = field(default_factory=dict)


Signal = type | ev.Timer
"""What the table knows an event by: its type; that of a TimerFired is its timer."""

_IGNORE = Row("_ignore")
_BIRTHS = {Outcome.BORN: State.ONLINE, Outcome.TOO_SOON: State.BIRTHING}
_LEAVE = {Outcome.HOST_GONE: State.LEAVING}
_LOST = Row("_lost", State.OFFLINE)
_OVERDUE = Row("_overdue", State.OFFLINE)
_STOP, _STOP_SILENTLY = Row("_stop", State.STOPPING), Row("_stop_silently", State.STOPPING)

_UNEXPECTED: dict[Signal, Row] = dict.fromkeys(
    (ev.Start, ev.BdSeqTaken, ev.Connected, ev.Subscribed, ev.Message, ev.ConnectionLost, ev.Stop, *ev.Timer),
    _IGNORE,
)
"""What a state does not wait for: late, or meant for another one."""

_OFFLINE: dict[Signal, Row] = {
    **_UNEXPECTED,
    ev.Live: Row("_remember"),
    ev.Held: Row("_remember"),
    ev.Released: _IGNORE,
    ev.History: _IGNORE,
    ev.HistoryDone: _IGNORE,
    ev.NodeValues: Row("_node_values"),
    ev.SouthUp: Row("_south"),
    ev.SouthLost: Row("_south"),
}
_ONLINE: dict[Signal, Row] = {
    **_OFFLINE,
    ev.Live: Row("_live"),
    ev.Held: Row("_hold"),
    ev.Released: Row("_release"),
    ev.History: Row("_history"),
    ev.HistoryDone: Row("_history_done"),
}

_TABLE: dict[State, dict[Signal, Row]] = {
    State.OFFLINE: {
        **_OFFLINE,
        ev.Start: Row("_connect", State.CONNECTING),
        ev.Timer.CONNECT: Row("_connect", State.CONNECTING),
        ev.Stop: Row("_ignore", State.STOPPED),
    },
    State.CONNECTING: {
        **_OFFLINE,
        ev.BdSeqTaken: Row("_send_connect"),
        ev.Connected: Row("_subscribe", State.SUBSCRIBING),
        ev.Timer.HANDSHAKE: _OVERDUE,
        ev.ConnectionLost: _LOST,
        ev.Stop: _STOP_SILENTLY,
    },
    State.SUBSCRIBING: {
        **_OFFLINE,
        ev.Subscribed: Row(
            "_subscribed", by={Outcome.REFUSED: State.OFFLINE, Outcome.WAITS: State.WAITING, **_BIRTHS}
        ),
        ev.Message: Row("_message"),
        ev.Timer.HANDSHAKE: _OVERDUE,
        ev.ConnectionLost: _LOST,
        ev.Stop: _STOP_SILENTLY,
    },
    State.WAITING: {
        **_OFFLINE,
        ev.Message: Row("_message", by=_BIRTHS),
        ev.ConnectionLost: _LOST,
        ev.Stop: _STOP_SILENTLY,
    },
    State.BIRTHING: {
        **_OFFLINE,
        ev.Message: Row("_message", by=_LEAVE),
        ev.Timer.BIRTHS: Row("_births_due", by=_BIRTHS),
        ev.ConnectionLost: _LOST,
        ev.Stop: _STOP,
    },
    State.ONLINE: {
        **_ONLINE,
        ev.Message: Row("_message", by={**_BIRTHS, **_LEAVE}),
        ev.ConnectionLost: _LOST,
        ev.Stop: _STOP,
    },
    State.LEAVING: {
        **_OFFLINE,
        ev.Timer.HANDSHAKE: _OVERDUE,
        ev.ConnectionLost: Row("_left", State.OFFLINE),
        ev.Stop: Row("_ignore", State.STOPPING),
    },
    State.STOPPING: {
        **_OFFLINE,
        ev.Timer.HANDSHAKE: Row("_give_up", State.STOPPED),
        ev.ConnectionLost: Row("_ignore", State.STOPPED),
    },
    State.STOPPED: _OFFLINE,
}

TABLE: dict[tuple[State, Signal], Row] = {
    (state, signal): row for state, rows in _TABLE.items() for signal, row in rows.items()
}
"""(state, signal) to its row; every pair is there."""
