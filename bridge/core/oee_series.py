"""What the OEE of a line is computed from: values over time that may arrive late, and counters that start anew."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, TypeVar

V = TypeVar("V")

NS = 1_000_000_000
STRIDE_NS = 10 * NS
"""Of a counter that only rises, one sample in each stretch of this length is kept: the sum stays the same."""

RECENT_MAX = 8192
"""Newest samples of a counter that are known one by one, so that a moment heard of late can still divide its sum."""

ENTRIES_MAX = 200_000
"""Entries of one series; beyond it the oldest are forgotten."""


class Series(Generic[V]):
    """Values in the order of their time, whatever order they arrive in. A value holds until the next one."""

    def __init__(self) -> None:
        self.times: list[int] = []
        self.values: list[V] = []

    def put(self, ts_ns: int, value: V) -> bool:
        """Add a value; returns whether that changes anything. Of equal times the one that came last counts last."""
        at = bisect_right(self.times, ts_ns)
        if at and self.times[at - 1] == ts_ns and self.values[at - 1] == value:
            return False
        self.times.insert(at, ts_ns)
        self.values.insert(at, value)
        if len(self.times) > ENTRIES_MAX:
            del self.times[: ENTRIES_MAX // 10], self.values[: ENTRIES_MAX // 10]
        return True

    def at(self, ts_ns: int) -> V | None:
        """The value that holds at a time, None before the first."""
        index = bisect_right(self.times, ts_ns)
        return self.values[index - 1] if index else None

    def pieces(self, from_ns: int, to_ns: int) -> Iterator[tuple[int, int, V | None]]:
        """(begin, end, value) of a stretch without gaps; the value is None before the first."""
        first, last = bisect_right(self.times, from_ns), bisect_left(self.times, to_ns)
        begin, value = from_ns, self.values[first - 1] if first else None
        for index in range(first, last):
            if self.times[index] > begin:
                yield begin, self.times[index], value
                begin = self.times[index]
            value = self.values[index]
        if begin < to_ns:
            yield begin, to_ns, value

    def changed(self, ts_ns: int) -> int | None:
        """When the value that holds at a time was put."""
        index = bisect_right(self.times, ts_ns)
        return self.times[index - 1] if index else None

    def forget(self, before_ns: int) -> None:
        """Drop what no longer holds at a time."""
        count = max(0, bisect_right(self.times, before_ns) - 1)
        del self.times[:count], self.values[:count]


class Step(NamedTuple):
    """From one value of a counter to the next: how many parts that is, and why it is doubted ("" where it is not)."""

    ts_ns: int
    before: int
    after: int
    parts: int
    suspect: str


class PartCounter(Series[int]):
    """A machine's counter: it rises, rolls over at `modulus`, is reset, or corrected by hand (docs/oee.md).

    `pace_ns` is the planned time of the fastest part; with 0 nothing is too fast to be believed.
    """

    def __init__(
        self, modulus: int, pace_ns: int = 0, *, doubts_rises: bool = True, stride_ns: int = STRIDE_NS
    ) -> None:
        super().__init__()
        self.modulus = modulus
        self._pace_ns = pace_ns
        self._doubts_rises = doubts_rises and pace_ns > 0
        self._stride_ns = stride_ns
        self._recent: Series[int] = Series()

    def count(self, ts_ns: int, value: int, edge_ns: int) -> bool:
        """Add a value; `edge_ns` is the newest moment (of a product, order or shift) that the sum is divided at."""
        times, values = self.times, self.values
        recent = self._recent
        recent.put(ts_ns, value)
        if len(recent.times) > RECENT_MAX:
            recent.forget(recent.times[RECENT_MAX // 4])
        if (
            len(times) > 1
            and times[-1] < ts_ns
            and not times[-2] < edge_ns <= ts_ns
            and times[-1] // self._stride_ns == ts_ns // self._stride_ns
            and times[-2] // self._stride_ns == ts_ns // self._stride_ns
            and values[-2] <= values[-1] < value
            and not (self._doubts_rises and self._is_too_much(value - values[-1], ts_ns - times[-1]))
        ):
            times[-1], values[-1] = ts_ns, value
            return True
        if times and ts_ns < times[-1]:
            # It may lie beside a reset: what is next to it must be known.
            beside = bisect_left(recent.times, ts_ns)
            self._know(beside - 1)
            self._know(beside + 1)
        return self.put(ts_ns, value)

    def divide(self, edge_ns: int) -> None:
        """Have the sum divided at a moment: what was counted before it, also if that is heard of only now."""
        at = bisect_left(self._recent.times, edge_ns)
        self._know(at - 1)
        self._know(at)

    def _know(self, index: int) -> None:
        """Take in a recent sample that was left out of a rise; the sum stays the same."""
        if not 0 <= index < len(self._recent.times):
            return
        ts_ns, value = self._recent.times[index], self._recent.values[index]
        at = bisect_left(self.times, ts_ns)
        is_left_out = 0 < at < len(self.times) and self.times[at] != ts_ns
        if is_left_out and self.values[at - 1] <= value <= self.values[at]:
            self.times.insert(at, ts_ns)
            self.values.insert(at, value)

    def forget(self, before_ns: int) -> None:
        """Drop what no longer holds at a time."""
        super().forget(before_ns)
        self._recent.forget(before_ns)

    def steps(self, from_ns: int, to_ns: int, ran_ns: Callable[[int, int], int]) -> Iterator[Step]:
        """What was counted in a stretch; the first value ever only says where the counting begins.

        `ran_ns` says how much of a stretch the machine may have produced.
        """
        times, values = self.times, self.values
        first, last = bisect_left(times, from_ns), bisect_left(times, to_ns)
        for index in range(max(first, 1), last):
            before, after = values[index - 1], values[index]
            if after == before:
                continue
            begin, end = times[index - 1], times[index]
            parts, suspect = after - before, ""
            if parts < 0:
                parts, suspect = self._fall(before, after, ran_ns(begin, end))
            elif self._doubts_rises and self._is_too_much(parts, end - begin):
                parts, suspect = 0, "jump"
            yield Step(end, before, after, parts, suspect)

    def _fall(self, before: int, after: int, ran_ns: int) -> tuple[int, str]:
        """A roll-over, a correction by hand, a reset, or nothing that can be explained."""
        turned = self.modulus - before + after
        is_over_the_top = before > 0.9 * self.modulus and after < 0.1 * self.modulus
        if is_over_the_top and not self._is_too_much(turned, ran_ns):
            return turned, ""
        if 10 * after >= 9 * before:
            return after - before, "correction"
        return (0, "fall") if self._is_too_much(after, ran_ns) else (after, "")

    def _is_too_much(self, parts: int, within_ns: int) -> bool:
        """Whether so many parts are more than ten, and more than ten times what the machine is rated for."""
        return self._pace_ns > 0 and (parts - 10) * self._pace_ns > 10 * within_ns
