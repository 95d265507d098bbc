"""When a line is planned to produce: shifts that repeat every day (UTC), with breaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DAY_NS = 86_400 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Shift:
    """One shift of the day; times are ns since midnight UTC plus the calendar's offset."""

    name: str
    begins_ns: int
    lasts_ns: int
    breaks: tuple[tuple[int, int], ...] = ()  # (begins, lasts) within the shift, not overlapping


@dataclass(frozen=True, slots=True)
class Period:
    """One shift on one day: `[from_ns, to_ns)`, and the breaks in it as such stretches."""

    name: str
    from_ns: int
    to_ns: int
    breaks: tuple[tuple[int, int], ...] = ()

    def planned(self, from_ns: int, to_ns: int) -> list[tuple[int, int]]:
        """What of a stretch lies in the shift and outside of its breaks."""
        begin, end = max(from_ns, self.from_ns), min(to_ns, self.to_ns)
        pieces = []
        for break_from, break_to in self.breaks:
            if begin < min(break_from, end):
                pieces.append((begin, min(break_from, end)))
            begin = max(begin, break_to)
        if begin < end:
            pieces.append((begin, end))
        return pieces


@dataclass(frozen=True, slots=True)
class Calendar:
    """The shifts of a line; they must not overlap."""

    shifts: Sequence[Shift]
    offset_ns: int = 0

    def period(self, ts_ns: int) -> Period | None:
        """The shift that a time falls into."""
        midnight = (ts_ns - self.offset_ns) // DAY_NS * DAY_NS + self.offset_ns
        for day_ns in (midnight - DAY_NS, midnight):  # a night shift began the day before
            for shift in self.shifts:
                begin = day_ns + shift.begins_ns
                if begin <= ts_ns < begin + shift.lasts_ns:
                    return _period(shift, begin)
        return None

    def following(self, ts_ns: int) -> Period:
        """The first shift that begins at a time or after it."""
        midnight = (ts_ns - self.offset_ns) // DAY_NS * DAY_NS + self.offset_ns
        begins = (
            (day + shift.begins_ns, shift) for day in (midnight, midnight + DAY_NS) for shift in self.shifts
        )
        begin, shift = min(((b, shift) for b, shift in begins if b >= ts_ns), key=lambda found: found[0])
        return _period(shift, begin)


def _period(shift: Shift, begin: int) -> Period:
    breaks = tuple((begin + after, begin + after + lasts) for after, lasts in sorted(shift.breaks))
    return Period(shift.name, begin, begin + shift.lasts_ns, breaks)
