"""One alarm rule replayed over a recorded trajectory: what any deadband, on-delay and off-delay would have annunciated.

The rules are those of docs/alarms.md: `high` is beyond above the limit and back at `limit - deadband` (`low` mirrored);
a delay is held in source time, and its clock stands still while the newest sample is not usable, that of an on-delay
while the alarm is suppressed too; an annunciation is stamped with the end of the delay. Nobody answers here, and what
stands at a release was called before, so each raise is one annunciation.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from shakedown.acceptance.operations_site import AlarmRule

NEVER = np.iinfo(np.int64).max
FAR = 2**62  # later than all that can be, with room to add to it

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
class Clock:
    """A clock that stands still in some spans [begin, end), apart and in order."""

    begins: Ints
    ends: Ints

    @classmethod
    def of(cls, *spans: tuple[Ints, Ints]) -> Clock:
        """One that stands still in all of `spans`, which may overlap."""
        begins: list[int] = []
        ends: list[int] = []
        pairs = [zip(one.tolist(), other.tolist(), strict=True) for one, other in spans]
        for begin, end in sorted(pair for found in pairs for pair in found):
            if ends and begin <= ends[-1]:
                ends[-1] = max(ends[-1], end)
            else:
                begins.append(begin)
                ends.append(end)
        return cls(np.array(begins, np.int64), np.minimum(np.array(ends, np.int64), FAR))

    def after(self, moments: Ints, delay_ns: int) -> Ints:
        """When a delay is over that begins at each of `moments`: one of no length, as soon as the clock goes."""
        if not len(self.begins):
            return moments + delay_ns
        at = np.searchsorted(self.begins, moments, side="right") - 1
        goes = np.where((at >= 0) & (moments < self.ends[at]), self.ends[at], moments)
        if not delay_ns:
            return goes
        stood = np.concatenate([[0], np.cumsum(self.ends - self.begins)])
        reading = goes - stood[np.searchsorted(self.ends, goes, side="right")] + delay_ns
        return reading + stood[np.searchsorted(self.begins - stood[:-1], reading, side="left")]


@dataclass(frozen=True)
class Condition:
    """The condition of a rule with one deadband, ready for any delays: stretches in which it did not change."""

    begin_ns: Ints
    end_ns: Ints
    beyond: Bools
    on_clock: Clock
    off_clock: Clock

    def annunciations(self, on_ns: int, off_ns: int) -> Ints:
        """The moments at which somebody was called, in order: each time that the alarm was raised."""
        return self.active(on_ns, off_ns)[0]

    def active(self, on_ns: int, off_ns: int) -> tuple[Ints, Ints]:
        """When the alarm was raised, and when it cleared after that (NEVER: it still stands)."""
        due = np.where(
            self.beyond,
            self.on_clock.after(self.begin_ns, on_ns),
            self.off_clock.after(self.begin_ns, off_ns),
        )
        # what is usable again and normal at once was not beyond when the clock went on
        is_over = (due == self.end_ns) & (due > self.begin_ns) & np.isin(due, self.off_clock.ends)
        taken = np.flatnonzero((due <= self.end_ns) & ~is_over)
        beyond = self.beyond[taken]
        changes = taken[beyond != np.concatenate([[False], beyond[:-1]])] if len(taken) else taken
        raised = due[changes[0::2]]
        return raised, np.append(due[changes[1::2]], NEVER)[: len(raised)]


def condition(rule: AlarmRule, seen: Trajectory, deadband: float) -> Condition:
    """The condition of `rule` with this deadband. A value inside the deadband changes nothing, so it is left out."""
    if rule.kind == "state":
        beyond, back = seen.value > 0.5, seen.value <= 0.5
    else:
        limit = float(rule.limit)
        high = rule.kind == "high"
        beyond = seen.value > limit if high else seen.value < limit
        back = seen.value <= limit - deadband if high else seen.value >= limit + deadband
    said = np.flatnonzero(seen.good & (beyond | back))
    new = said[np.diff(beyond[said].astype(np.int8), prepend=-1) != 0]
    begin = seen.ns[new]
    blank = _blank(seen)
    return Condition(
        begin, np.append(begin, seen.end_ns)[1:], beyond[new], Clock.of(blank, seen.hidden), Clock.of(blank)
    )


def _blank(seen: Trajectory) -> tuple[Ints, Ints]:
    """The spans in which the newest sample was not usable."""
    change = np.flatnonzero(np.diff(seen.good.astype(np.int8), prepend=1) != 0)
    begins, ends = seen.ns[change[0::2]], seen.ns[change[1::2]]
    return begins, np.append(ends, NEVER)[: len(begins)]


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
