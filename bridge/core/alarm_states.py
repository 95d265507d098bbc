"""The alarm states of ISA-18.2 / IEC 62682 and the transitions between them, as a table.

Letters are the standard's: A normal, B unacknowledged, C acknowledged, D returned unacknowledged, E and F latched,
G shelved, H suppressed by design, I out of service.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class State(Enum):
    """Published as the value of `alarm/<name>`."""

    NORMAL = "normal"  # A
    UNACKED = "unacked"  # B
    ACKED = "acked"  # C
    RTN_UNACKED = "rtn_unacked"  # D
    LATCHED_UNACKED = "latched_unacked"  # E
    LATCHED_ACKED = "latched_acked"  # F
    SHELVED = "shelved"  # G
    SUPPRESSED = "suppressed"  # H
    OUT_OF_SERVICE = "out_of_service"  # I


class Event(Enum):
    """What may happen to an alarm; the delays and the deadband have been applied already."""

    RAISED = "raised"  # the condition has become true
    CLEARED = "cleared"  # ... and false
    CLEARED_LATCHING = "cleared, latching"  # ... and false, and the alarm is one that latches
    ACK = "ack"
    RESET = "reset"  # of a latched alarm, by the operator
    RE_ALARM = "re-alarm"  # it has been standing, acknowledged, for the re-alarm time


class Next(NamedTuple):
    state: State
    annunciates: bool = False  # the operator is called


_A, _B, _C, _D, _E, _F = (
    State.NORMAL, State.UNACKED, State.ACKED, State.RTN_UNACKED, State.LATCHED_UNACKED, State.LATCHED_ACKED,
)  # fmt: skip

TABLE: dict[tuple[State, Event], Next] = {
    # A normal
    (_A, Event.RAISED): Next(_B, annunciates=True),
    # B unacknowledged: raised, nobody has answered
    (_B, Event.ACK): Next(_C),
    (_B, Event.CLEARED): Next(_D),
    (_B, Event.CLEARED_LATCHING): Next(_E),
    # C acknowledged: raised, and somebody knows
    (_C, Event.CLEARED): Next(_A),
    (_C, Event.CLEARED_LATCHING): Next(_F),
    (_C, Event.RE_ALARM): Next(_B, annunciates=True),
    # D returned to normal, nobody has answered
    (_D, Event.RAISED): Next(_B, annunciates=True),
    (_D, Event.ACK): Next(_A),
    # E latched unacknowledged: cleared, yet kept until somebody answers and resets, in either order
    (_E, Event.RAISED): Next(_B, annunciates=True),
    (_E, Event.ACK): Next(_F),
    (_E, Event.RESET): Next(_D),
    # F latched acknowledged: cleared, kept until it is reset
    (_F, Event.RAISED): Next(_B, annunciates=True),
    (_F, Event.RESET): Next(_A),
}
"""What changes; a pair that is not here leaves the state as it is. G, H and I hide a state and change none."""


def step(state: State, event: Event) -> Next:
    """The state after an event, and whether it annunciates."""
    return TABLE.get((state, event)) or Next(state)


class Flags(NamedTuple):
    """The condition as OPC UA Part 9 tells it (5.5.2, 5.7.2)."""

    active: bool
    acked: bool
    confirmed: bool
    retain: bool


UNANSWERED = frozenset({_B, _D, _E})
"""States in which an operator is waited for."""
