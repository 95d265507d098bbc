"""Annunciations: the moments at which an alarm calls for somebody, as the enterprise heard them.

An alarm is published as the String `alarm/<name>`, one sample a transition, and `alarm/<name>/occurrence` counts
its annunciations (docs/operations.md). It annunciates when it enters `unacked` from any other state, or with a new
occurrence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shakedown.acceptance.derived_rows import Row, rows_of
from shakedown.acceptance.operations_site import AlarmRule
from shakedown.acceptance.run import Run
from shakedown.acceptance.spans import MS, S, union

UNACKED = "unacked"
ACKED = frozenset({"acked", "latched_acked"})
RETURNED_UNACKED = frozenset({"rtn_unacked", "latched_unacked"})
RETURNED = RETURNED_UNACKED | {"latched_acked", "normal"}
HIDDEN = frozenset({"shelved", "suppressed", "out_of_service"})


@dataclass(slots=True)
class Annunciation:
    """One call of one alarm. Times in ns; None where it never came to that. `label` and `fault` are the judge's."""

    rule: AlarmRule
    ns: int
    told_ns: (
        int  # when people could hear it: its own time if it arrived live within the SLO, else its arrival
    )
    occurrence: int | None = None
    acked_ns: int | None = None
    cleared_ns: int | None = None
    hidden_ns: int | None = None  # shelved, suppressed or out of service before anybody acknowledged it
    label: str = ""
    fault: str | None = None

    @property
    def tag(self) -> str:
        """Name of the alarm."""
        return self.rule.name


@dataclass(frozen=True, slots=True)
class Transition:
    """One sample of `alarm/<name>`."""

    ns: int
    received_ns: int
    state: str
    occurrence: int | None
    live: bool = True  # not sent as history


def transitions(run: Run, rules: Iterable[AlarmRule]) -> dict[str, list[Transition]]:
    """The transitions of each alarm, by source time, as the enterprise has them."""
    topics = {rule.name: (rule.device, f"alarm/{rule.name}") for rule in rules}
    ordinal_of = {name: (device, f"{metric}/occurrence") for name, (device, metric) in topics.items()}
    rows = rows_of(run, [*topics.values(), *ordinal_of.values()])
    found: dict[str, list[Transition]] = {}
    for name, topic in topics.items():
        ordinals = {row.ts_ms: row.value for row in rows[ordinal_of[name]] if type(row.value) is int}
        moves = sorted(rows[topic], key=lambda row: row.ts_ms)  # stable: equal times by arrival
        found[name] = [
            Transition(row.ts_ms * MS, row.received_ns, row.value, _ordinal(row, ordinals), row.live)
            for row in moves
            if isinstance(row.value, str)
        ]
    return found


def _ordinal(row: Row, ordinals: dict[int, int]) -> int | None:
    """The ordinal is of the annunciation, not of another transition that happens to be at the same time."""
    return ordinals.get(row.ts_ms) if row.value == UNACKED else None


def annunciations(run: Run, moves: dict[str, list[Transition]]) -> list[Annunciation]:
    """All annunciations of the run in order of time, with what became of each."""
    cuts = CutTime(run)
    slo_ns = int(run.operations.alarm_slo_s * S)
    found: list[Annunciation] = []
    for rule in run.operations.alarms:
        current: Annunciation | None = None
        state, ordinal = "normal", None
        for move in moves[rule.name]:
            is_new = move.state == UNACKED and (
                move.occurrence != ordinal if move.occurrence is not None else state != UNACKED
            )
            if is_new:
                delay_ns = cuts.without(move.ns, move.received_ns)
                told_ns = move.ns + max(0, delay_ns - slo_ns)
                current = Annunciation(rule, move.ns, told_ns, move.occurrence)
                found.append(current)
            elif current is not None:
                _follow(current, state, move)
            state = move.state
            ordinal = move.occurrence if move.occurrence is not None else ordinal
    return sorted(found, key=lambda entry: (entry.ns, entry.tag))


def _follow(current: Annunciation, before: str, move: Transition) -> None:
    """What a transition says of the annunciation before it."""
    if current.acked_ns is None and current.hidden_ns is None and is_ack(before, move.state):
        current.acked_ns = move.ns
    if current.cleared_ns is None and move.state in RETURNED:
        current.cleared_ns = move.ns
    if current.hidden_ns is None and current.acked_ns is None and move.state in HIDDEN:
        current.hidden_ns = move.ns


def is_ack(before: str, state: str) -> bool:
    """Whether a transition is an acknowledgement (ISA-18.2: B to C, D to A, E to F, and a latched alarm reset)."""
    return (before == UNACKED and state in ACKED) or (
        before in RETURNED_UNACKED and state in {"normal", "acked", "latched_acked"}
    )


class CutTime:
    """The injected cuts of a run: how much of a span lies outside of them."""

    def __init__(self, run: Run) -> None:
        self._spans = union((cut.start_ns, cut.end_ns) for cut in run.cuts)

    def without(self, from_ns: int, to_ns: int) -> int:
        """Nanoseconds of [from_ns, to_ns) outside of cuts."""
        inside = sum(max(0, min(end, to_ns) - max(start, from_ns)) for start, end in self._spans)
        return to_ns - from_ns - inside
