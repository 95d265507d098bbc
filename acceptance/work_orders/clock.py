"""The clock of a work order: it stands still while the order could not be made, and for one retry after each such time.

What keeps a bridge from the CMMS is a cut WAN, a CMMS that is down or fails, and its own stop, all by the lab. A retry
is bounded: the longest wait between two attempts (30 s, docs/cmms.md), and one attempt that is not answered.
"""

from __future__ import annotations

from shakedown.acceptance.run import Run
from shakedown.acceptance.spans import S, Span, union

RETRY_S = 40.0


def elapsed_s(run: Run, from_ns: int, to_ns: int) -> float:
    """Seconds from `from_ns` to `to_ns` by this clock; never less for a later end."""
    still = sum(min(end, to_ns) - start for start, end in _still(run, from_ns) if start < to_ns)
    return (to_ns - from_ns - still) / S


def due_ns(run: Run, from_ns: int, wait_s: float) -> int:
    """When `wait_s` are over by this clock."""
    due = from_ns + int(wait_s * S)
    for start, end in _still(run, from_ns):
        if start < due:
            due += end - start
    return due


def _still(run: Run, from_ns: int) -> list[Span]:
    """When the clock stands still from `from_ns` on: what was over by then holds nothing up."""
    retry_ns = int(RETRY_S * S)
    return union(
        (max(fault.start_ns, from_ns), fault.end_ns + retry_ns)
        for fault in run.timeline
        if not fault.is_phase and fault.end_ns > from_ns
        if ("wan" in fault.affects and fault.cut) or fault.affects & {"cmms", "bridge"}
    )
