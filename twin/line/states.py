"""PackML states as numbers, stop reasons as numbers: what a machine's controller shows of itself.

| number | state | here |
|---|---|---|
| 4 | Idle | no order to work on (first machine only, and every machine before its first part), a break, no shift |
| 5 | Suspended | waits for something outside of it: starved or blocked for longer than its patience |
| 6 | Execute | produces, or waits for less than that |
| 9 | Aborted | breakdown: does not run again before it is repaired |
| 11 | Held | small stop: an operator clears it |
| 101 | Setup | changeover to another product; a mode in PackML, shown as a state number by the vendor |

Numbers 4 to 11 are those of OPC 30050, PackML (StateNumber); 101 is the vendor's.
"""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """State number as the machine's controller shows it."""

    IDLE = 4
    SUSPENDED = 5
    EXECUTE = 6
    ABORTED = 9
    HELD = 11
    SETUP = 101


class StopReason(IntEnum):
    """Why a machine does not produce; a plant file's own causes have codes from CAUSE_CODE_MIN on."""

    NONE = 0
    STARVED = 1
    BLOCKED = 2
    CHANGEOVER = 3
    NO_ORDER = 4
    BREAK = 5
    OFF_SHIFT = 6


CAUSE_CODE_MIN = 100
