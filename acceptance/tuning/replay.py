"""One alarm rule replayed over a recorded trajectory: what any deadband, on-delay and off-delay would have annunciated.

The semantics are those of docs/operations.md: `high` is beyond above the limit and back at `limit - deadband` (`low`
mirrored), a delay is held in source time and ends at the next sample that is not Good, an annunciation is stamped with
the beginning of the condition plus the on-delay. A release from suppression while the alarm stands is one more; with an
on-delay the alarm starts from normal there, and the delay begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from shakedown.acceptance.operations_site import AlarmRule

S = 1_000_000_000
NEVER = np.iinfo(np.int64).max
BACK, BEYOND, NOT_GOOD = 0, 1, 2

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, order=True)
class Setting:
    """What may be tuned of a rule; the deadband in the metric's unit."""

    on_delay_s: float
    off_delay_s: float
    deadband: float


@dataclass(frozen=True)
class Trajectory:
    """All that a rule saw: its metric's samples in order, and the spans in which it was suppressed.

    `value` is NaN where `good` is False; for a rule on a state it is 1 in that state and 0 elsewhere.
    """

    ns: Ints
    value: Floats
    good: Bools
    end_ns: int
    hidden: tuple[Ints, Ints]  # begins and ends, apart and in order; NEVER where it lasts


@dataclass(frozen=True)
class Runs:
    """Stretches in which the condition did not change, in order: begin, end, and whether it was beyond the limit.

    A `reset` is a moment at which the alarm starts from normal, whatever was before.
    """

    begin_ns: Ints
    end_ns: Ints
    beyond: Bools
    reset: Bools

    def active(self, on_ns: int, off_ns: int) -> tuple[Ints, Ints]:
        """When the alarm was raised, and when it cleared after that (NEVER: it still stands)."""
        delay_ns = np.where(self.beyond, on_ns, np.where(self.reset, 0, off_ns))
        taken = np.flatnonzero(self.end_ns - self.begin_ns >= delay_ns)
        beyond = self.beyond[taken]
        changes = taken[beyond != np.concatenate([[False], beyond[:-1]])] if len(taken) else taken
        at = self.begin_ns[changes] + delay_ns[changes]
        raised = at[0::2]
        return raised, np.append(at[1::2], NEVER)[: len(raised)]


@dataclass(frozen=True)
class Condition:
    """The condition of a rule with one deadband, ready for any delays."""

    runs: Runs
    restarted: Runs  # cut at each release: there an on-delay begins anew
    hidden: tuple[Ints, Ints]

    def annunciations(self, on_ns: int, off_ns: int) -> Ints:
        """The moments at which somebody was called, in order: raised unsuppressed, or standing at a release."""
        raised, cleared = (self.restarted if on_ns else self.runs).active(on_ns, off_ns)
        begins, ends = self.hidden
        if not len(begins) or not len(raised):
            return raised
        at = np.searchsorted(begins, raised, side="right") - 1
        end = ends[np.maximum(at, 0)]
        if on_ns:  # a delay that is over at the release itself is begun anew
            return raised[(at < 0) | (raised > end)]
        found = raised[(at < 0) | (raised >= end)]
        releases = ends[ends != NEVER]
        standing = np.searchsorted(raised, releases, side="left") - 1
        released = releases[(standing >= 0) & (cleared[np.maximum(standing, 0)] > releases)]
        return np.sort(np.concatenate([found, released]))


def condition(rule: AlarmRule, seen: Trajectory, deadband: float) -> Condition:
    """The condition of `rule` with this deadband. A value inside the deadband changes nothing, so it is left out."""
    if rule.kind == "state":
        beyond, back = seen.value > 0.5, seen.value <= 0.5
    else:
        limit = float(rule.limit)
        high = rule.kind == "high"
        beyond = seen.value > limit if high else seen.value < limit
        back = seen.value <= limit - deadband if high else seen.value >= limit + deadband
    code = np.full(len(seen.ns), -1, dtype=np.int8)
    code[back], code[beyond], code[~seen.good] = BACK, BEYOND, NOT_GOOD
    said = np.flatnonzero(code >= 0)
    new = said[np.diff(code[said], prepend=-1) != 0]
    begin, kinds = seen.ns[new], code[new]
    end = np.append(begin, seen.end_ns)[1:]
    kept = kinds != NOT_GOOD
    found = Runs(begin[kept], end[kept], kinds[kept] == BEYOND, np.zeros(int(kept.sum()), np.bool_))
    return Condition(found, _restarted(found, seen.hidden[1]), seen.hidden)


def _restarted(found: Runs, ends: Ints) -> Runs:
    """The same, with a reset at each of `ends`, and what lasts over it cut in two."""
    releases = ends[ends != NEVER]
    if not len(releases):
        return found
    at = np.searchsorted(found.begin_ns, releases, side="left") - 1
    over = (at >= 0) & (found.end_ns[np.maximum(at, 0)] > releases) if len(found.begin_ns) else at >= 0
    cut, origin = releases[over], at[over]
    begin = np.concatenate([found.begin_ns, cut])
    whose = np.concatenate([np.arange(len(found.begin_ns)), origin])
    order = np.argsort(begin, kind="stable")
    begin, whose = begin[order], whose[order]
    end = found.end_ns[whose]
    follows = whose[1:] == whose[:-1]
    end[:-1][follows] = begin[1:][follows]
    none, all_ = np.zeros(len(begin), np.bool_), np.ones(len(releases), np.bool_)
    begin_ns, reset = np.concatenate([begin, releases]), np.concatenate([none, all_])
    order = np.lexsort((~reset, begin_ns))  # the reset comes first
    end_ns = np.concatenate([end, releases])
    beyond = np.concatenate([found.beyond[whose], ~all_])
    return Runs(begin_ns[order], end_ns[order], beyond[order], reset[order])


@dataclass(frozen=True)
class Window:
    """A fault of this alarm as the labels see it: from its onset to its end; `slack_ns` more counts as well."""

    onset_ns: int
    end_ns: int
    id: str


def covered(moments: Ints, windows: list[Window], slack_ns: int) -> Bools:
    """Which annunciations have a fault behind them (`acceptance/alarms/labels.py`)."""
    mask = np.zeros(len(moments), dtype=np.bool_)
    for window in windows:
        mask |= (moments >= window.onset_ns) & (moments <= window.end_ns + slack_ns)
    return mask


def told(moments: Ints, windows: list[Window], slack_ns: int) -> list[tuple[int | None, int]]:
    """Of each fault (in order of onset): its first annunciation, None if it was missed, and how many it had.

    An annunciation that may tell several faults tells the latest yet untold, else the latest, as the labels have it.
    """
    bounds = [
        (
            int(np.searchsorted(moments, window.onset_ns, side="left")),
            int(np.searchsorted(moments, window.end_ns + slack_ns, side="right")),
        )
        for window in windows
    ]
    if all(before[1] <= after[0] for before, after in pairwise(bounds)):
        return [(int(moments[low]) if low < high else None, high - low) for low, high in bounds]
    first: list[int | None] = [None] * len(windows)
    count = [0] * len(windows)
    for number in range(min(low for low, _ in bounds), max(high for _, high in bounds)):
        found = [index for index, (low, high) in enumerate(bounds) if low <= number < high]
        if not found:
            continue
        fresh = [index for index in found if first[index] is None]
        index = max(fresh or found, key=lambda index: (windows[index].onset_ns, windows[index].id))
        count[index] += 1
        if first[index] is None:
            first[index] = int(moments[number])
    return list(zip(first, count, strict=True))
