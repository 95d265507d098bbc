"""When samples may come late, or are missing: around the faults of the bridge, and of what is south of it."""

from __future__ import annotations

from shakedown.acceptance.run import GRACE_S, Run
from shakedown.acceptance.spans import NEVER, S, Span, union

NORTH = frozenset({"wan", "broker", "host", "cmms"})
"""What a fault may affect without coming between the source and the bridge."""
BEFORE_NS, AFTER_NS = 10 * S, int(GRACE_S * S)
"""Around a fault, samples may come so much earlier or later: from the server's queue or its history."""


def away_from_source(run: Run, from_ns: int = 0, to_ns: int = NEVER) -> list[Span]:
    """The time around such faults, of those that were there between `from_ns` and `to_ns`."""
    return union(
        (fault.start_ns - BEFORE_NS, fault.end_ns + AFTER_NS)
        for fault in run.timeline
        if not fault.is_phase and fault.affects - NORTH and fault.start_ns < to_ns and fault.end_ns > from_ns
    )
