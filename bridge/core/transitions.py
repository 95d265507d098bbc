"""The states of the Sparkplug session, and what each event means in each of them."""

from __future__ import annotations

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


_OFFLINE_EVENTS = {
    ev.Live: "_remember",
    ev.Held: "_remember",
    ev.Released: "_ignore",
    ev.History: "_ignore",
    ev.HistoryDone: "_ignore",
    ev.NodeValues: "_node_values",
    ev.SouthUp: "_south",
    ev.SouthLost: "_south",
}
_ONLINE_EVENTS = {
    **_OFFLINE_EVENTS,
    ev.Live: "_live",
    ev.Held: "_hold",
    ev.Released: "_release",
    ev.History: "_history",
    ev.HistoryDone: "_history_done",
}
_NEVER = dict.fromkeys((ev.Start, ev.BdSeqTaken, ev.Connected, ev.Subscribed), "_ignore")
_CLOSING = {**_NEVER, **_OFFLINE_EVENTS, ev.Message: "_ignore", ev.TimerFired: "_handshake_overdue"}

_TABLE: dict[State, dict[type, str]] = {
    State.OFFLINE: {
        **_NEVER, **_OFFLINE_EVENTS, ev.Start: "_connect", ev.TimerFired: "_connect", ev.Message: "_ignore",
        ev.ConnectionLost: "_ignore", ev.Stop: "_stop_offline",
    },
    State.CONNECTING: {
        **_NEVER, **_OFFLINE_EVENTS, ev.BdSeqTaken: "_send_connect", ev.Connected: "_subscribe", ev.Message: "_ignore",
        ev.TimerFired: "_handshake_overdue", ev.ConnectionLost: "_lost", ev.Stop: "_stop_silently",
    },
    State.SUBSCRIBING: {
        **_NEVER, **_OFFLINE_EVENTS, ev.Subscribed: "_subscribed", ev.Message: "_message",
        ev.TimerFired: "_handshake_overdue", ev.ConnectionLost: "_lost", ev.Stop: "_stop_silently",
    },
    State.WAITING: {
        **_NEVER, **_OFFLINE_EVENTS, ev.Message: "_message", ev.TimerFired: "_ignore",
        ev.ConnectionLost: "_lost", ev.Stop: "_stop_silently",
    },
    State.BIRTHING: {
        **_NEVER, **_OFFLINE_EVENTS, ev.Message: "_message", ev.TimerFired: "_births_due",
        ev.ConnectionLost: "_lost", ev.Stop: "_stop",
    },
    State.ONLINE: {
        **_NEVER, **_ONLINE_EVENTS, ev.Message: "_message", ev.TimerFired: "_ignore",
        ev.ConnectionLost: "_lost", ev.Stop: "_stop",
    },
    State.LEAVING: {**_CLOSING, ev.ConnectionLost: "_left", ev.Stop: "_stop_while_leaving"},
    State.STOPPING: {**_CLOSING, ev.ConnectionLost: "_stopped", ev.Stop: "_ignore"},
    State.STOPPED: {
        **_NEVER, **_OFFLINE_EVENTS, ev.Message: "_ignore", ev.TimerFired: "_ignore",
        ev.ConnectionLost: "_ignore", ev.Stop: "_ignore",
    },
}  # fmt: skip

TABLE: dict[tuple[State, type], str] = {
    (state, event): handler for state, row in _TABLE.items() for event, handler in row.items()
}
"""(state, event) to the handler; every pair is there."""
