"""All settings of one rule on a grid: what each would have done in the recorded run, and which one to take.

The figures of a setting are arrays over the grid: false alarms in each half of the run, and of each fault the delay of
its first annunciation (NaN: missed) and how many annunciations it had.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shakedown.acceptance.physical import TrueFault
from shakedown.acceptance.spans import S
from shakedown.acceptance.statistics import upper_bound
from shakedown.acceptance.tuning.record import Seen
from shakedown.acceptance.tuning.replay import Floats, Ints, Setting, Window, condition, covered, told

ON_DELAYS_S = (0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0)
OFF_DELAYS_S = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 90.0, 120.0)
OFF_CRITICAL_MAX_S = 15.0
DEADBAND_SIGMAS = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
POLLS = 2
EPSILON_S = 1e-9
SHARE = 0.25
"""A fault is to be told within this share of the time that people have for it, as the judge demands."""


@dataclass(frozen=True)
class Figures:
    """What one setting does with the run, or with a part of it."""

    setting: Setting
    false_alarms: int
    faults: int
    missed: int
    missed_upper_95: float | None  # share of faults missed: 95 % upper bound (Clopper-Pearson)
    late: int  # told, but after their limit
    delay_median_s: float | None
    delay_max_s: float | None
    annunciations_per_fault: float | None  # of the faults told; more than one is chatter


def rounded(value: float) -> float:
    """Up to two figures, as a person would write it."""
    if value <= 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / step - 1e-9) * step:.12g}")


def room(seen: Seen) -> float:
    """How far the quiet signal's median is behind the limit; negative if it is beyond, 0 if it is not known."""
    if seen.noise is None or seen.rule.kind == "state":
        return 0.0
    away = float(seen.rule.limit) - seen.noise.median
    return away if seen.rule.kind == "high" else -away


def deadbands(seen: Seen) -> list[float]:
    """The deadbands worth a try: multiples of the noise, as far as the quiet signal still comes back."""
    found = {0.0, seen.now.deadband}
    if seen.noise is not None:
        widths = {rounded(k * seen.noise.sigma) for k in DEADBAND_SIGMAS}
        found |= {width for width in widths if width <= room(seen)}
    return sorted(found)


def settings(seen: Seen) -> list[Setting]:
    """The grid, the setting of now among it. An alarm of critical faults that stands long hides the next of them."""
    on = sorted({*ON_DELAYS_S, seen.now.on_delay_s})
    longest_s = OFF_CRITICAL_MAX_S if any(fault.critical for fault in seen.faults) else OFF_DELAYS_S[-1]
    off = sorted({*(delay for delay in OFF_DELAYS_S if delay <= longest_s), seen.now.off_delay_s})
    return [Setting(a, b, width) for width in deadbands(seen) for a in on for b in off]


@dataclass(frozen=True)
class Table:
    """Every setting's figures. `half` says of each fault of `faults` in which half of the run it began."""

    settings: list[Setting]
    now: Setting
    faults: list[TrueFault]
    half: NDArray[np.int64]
    false: Ints  # (settings, 2)
    delay_s: Floats  # (settings, faults), NaN where missed
    count: Ints  # (settings, faults)
    limit_s: Floats  # of each fault
    is_late_at_best: NDArray[np.bool_]  # even the quickest setting is beyond the share of the response time
    is_untold: NDArray[np.bool_]  # no setting tells it
    elsewhere: int  # further faults of this alarm, that another one tells before this one can

    def index(self, setting: Setting) -> int:
        """Where a setting stands."""
        return self.settings.index(setting)

    def part(self, half: int | None) -> tuple[Ints, NDArray[np.bool_]]:
        """False alarms of each setting in one half (None: in all), and which faults began in it."""
        if half is None:
            return self.false.sum(axis=1), np.ones(len(self.faults), np.bool_)
        return self.false[:, half], self.half == half

    def figures(self, index: int, half: int | None = None) -> Figures:
        """What a setting does in one half, or in all."""
        false, chosen = self.part(half)
        delay, count = self.delay_s[index, chosen], self.count[index, chosen]
        told_s = np.sort(delay[~np.isnan(delay)])
        return Figures(
            setting=self.settings[index],
            false_alarms=int(false[index]),
            faults=int(chosen.sum()),
            missed=(missed := int(np.isnan(delay).sum())),
            missed_upper_95=upper_bound(missed, len(delay)) if len(delay) else None,
            late=int((delay > self.limit_s[chosen] + EPSILON_S).sum()),
            delay_median_s=float(np.median(told_s)) if len(told_s) else None,
            delay_max_s=float(told_s[-1]) if len(told_s) else None,
            annunciations_per_fault=float(count.sum() / len(told_s)) if len(told_s) else None,
        )


def told_by(seen: Seen, setting: Setting) -> dict[str, float]:
    """When the rule with a setting tells each fault, in seconds from the onset; without those that it misses."""
    moments = condition(seen.rule, seen.trajectory, setting.deadband).annunciations(
        int(setting.on_delay_s * S), int(setting.off_delay_s * S)
    )
    found = told(moments, _windows(seen), _slack_ns(seen, setting))
    return {
        fault.id: (first - fault.onset_ns) / S
        for fault, (first, _) in zip(seen.faults, found, strict=True)
        if first is not None
    }


def others_of(name: str, told_s: dict[str, dict[str, float]]) -> dict[str, float]:
    """When the first of the alarms other than `name` tells each fault, as `told_s` has it of each alarm."""
    found: dict[str, float] = {}
    for other, delays in told_s.items():
        for fault, delay_s in delays.items() if other != name else ():
            found[fault] = min(delay_s, found.get(fault, delay_s))
    return found


def _windows(seen: Seen) -> list[Window]:
    return [Window(fault.onset_ns, fault.end_ns, fault.id) for fault in seen.faults]


def _slack_ns(seen: Seen, setting: Setting) -> int:
    """How long after the end of a fault an annunciation may still tell it."""
    return int((setting.on_delay_s + POLLS * seen.poll_s) * S)


def tabulate(
    seen: Seen, from_ns: int, to_ns: int, cut_ns: int, share: float, others_s: dict[str, float],
    grid: list[Setting] | None = None,
) -> Table:  # fmt: skip
    """Replay every setting of `grid` (None: all worth a try).

    What counts is in [from_ns, to_ns), and `cut_ns` parts the halves.
    `others_s` says when the other alarms, as they are, tell each fault: one that they tell before this rule can, in
    whatever setting, is not asked of it.
    """
    grid = grid or settings(seen)
    windows = _windows(seen)
    judged = [index for index, fault in enumerate(seen.faults) if _is_judged(fault, from_ns, to_ns)]
    faults = [seen.faults[index] for index in judged]
    false = np.zeros((len(grid), 2), np.int64)
    delay_s = np.full((len(grid), len(faults)), np.nan)
    count = np.zeros((len(grid), len(faults)), np.int64)
    widths = {setting.deadband for setting in grid}
    conditions = {width: condition(seen.rule, seen.trajectory, width) for width in widths}
    for row, setting in enumerate(grid):
        on_ns, off_ns = int(setting.on_delay_s * S), int(setting.off_delay_s * S)
        moments = conditions[setting.deadband].annunciations(on_ns, off_ns)
        slack_ns = _slack_ns(seen, setting)
        alone = moments[~covered(moments, windows, slack_ns)]
        first, middle, last = np.searchsorted(alone, (from_ns, cut_ns, to_ns))
        false[row] = middle - first, last - middle
        if judged:
            found = told(moments, windows, slack_ns)
            for column, index in enumerate(judged):
                at_ns, count[row, column] = found[index]
                if at_ns is not None:
                    delay_s[row, column] = (at_ns - windows[index].onset_ns) / S
    quickest_s = np.where(np.isnan(delay_s), np.inf, delay_s).min(axis=0)
    first_s = np.array([others_s.get(fault.id, math.inf) for fault in faults])
    asked = (quickest_s <= first_s) | (np.isinf(quickest_s) & np.isinf(first_s))
    faults = [fault for fault, kept in zip(faults, asked, strict=True) if kept]
    quickest_s = quickest_s[asked]
    share_s = share * np.array([fault.response_s for fault in faults])
    late_at_best = (quickest_s > share_s) & np.isfinite(quickest_s)
    return Table(
        settings=grid,
        now=seen.now,
        faults=faults,
        half=np.array([int(fault.onset_ns >= cut_ns) for fault in faults], np.int64),
        false=false,
        delay_s=delay_s[:, asked],
        count=count[:, asked],
        limit_s=share_s + np.where(late_at_best, quickest_s, 0.0),
        is_late_at_best=late_at_best,
        is_untold=np.isinf(quickest_s),
        elsewhere=int((~asked).sum()),
    )


def _is_judged(fault: TrueFault, from_ns: int, to_ns: int) -> bool:
    """One that was still open at the end, with time left to tell it, shows nothing."""
    had_time = fault.end_ns <= to_ns or fault.onset_ns + fault.response_s * S <= to_ns
    return from_ns <= fault.onset_ns < to_ns and had_time


def best(table: Table, half: int | None = None) -> int | None:
    """The setting to take, made from one half or all; None if there is no fault to tell, or none tells all in time.

    Fewest false alarms among those that miss no fault that can be told and are late for none; then the smallest
    longest delay, the smallest median delay, the fewest annunciations of a fault, and what is nearest to now.
    """
    rows = _allowed(table, half, in_time=True)
    return int(rows[0]) if len(rows) else None


def is_better(one: Figures, other: Figures) -> bool:
    """Whether `one` is better than `other` in what matters, not only a smaller setting."""
    return _rank(one) < _rank(other)


def _rank(figures: Figures) -> tuple[float, ...]:
    return (
        figures.missed,
        figures.late,
        figures.false_alarms,
        figures.delay_max_s or 0.0,
        figures.delay_median_s or 0.0,
        figures.annunciations_per_fault or 0.0,
    )


def front(table: Table) -> list[Figures]:
    """The Pareto front: fewer false alarms for a longer delay, of the settings that miss no fault that can be told.

    Without such a fault the on-delay itself stands for the delay that nobody can measure.
    """
    rows = _allowed(table, None, in_time=False)
    entries = [table.figures(int(row)) for row in (rows if len(rows) else range(len(table.settings)))]
    entries.sort(
        key=lambda entry: (delay_of(entry), entry.false_alarms)
    )  # stable: the better of equals is first
    found: list[Figures] = []
    for entry in entries:
        if not found or entry.false_alarms < found[-1].false_alarms:
            found.append(entry)
    return found


def delay_of(figures: Figures) -> float:
    """The longest delay of the faults told; the on-delay where there was none."""
    return figures.setting.on_delay_s if figures.delay_max_s is None else figures.delay_max_s


def _allowed(table: Table, half: int | None, *, in_time: bool) -> Ints:
    """Rows that tell every fault of the half that can be told (in time), the best first."""
    false, chosen = table.part(half)
    chosen = chosen & ~table.is_untold
    if not chosen.any():
        return np.zeros(0, np.int64)
    now = table.now
    delay, count = table.delay_s[:, chosen], table.count[:, chosen]
    ok = ~np.isnan(delay).any(axis=1)
    if in_time:
        ok &= (delay <= table.limit_s[chosen] + EPSILON_S).all(axis=1)
    rows = np.flatnonzero(ok)
    longest, middle = delay[rows].max(axis=1), np.sort(delay[rows], axis=1)[:, delay.shape[1] // 2]
    repeats = count[rows].sum(axis=1)
    steps = [
        [
            abs(s.on_delay_s - now.on_delay_s),
            abs(s.off_delay_s - now.off_delay_s),
            abs(s.deadband - now.deadband),
        ]
        for s in (table.settings[row] for row in rows.tolist())
    ]
    on, off, width = np.array(steps).reshape(-1, 3).T
    order = np.lexsort((on, off, width, repeats, middle, longest, false[rows]))
    return rows[order]
