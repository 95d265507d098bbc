"""When a line is planned to produce: shifts on the wall clock of a time zone, on some days of the week, with breaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

EPOCH = datetime(1970, 1, 1)
EVERY_DAY = frozenset(range(7))
DAYS_MAX = 400
"""How many days ahead the next shift is looked for."""


@dataclass(frozen=True, slots=True)
class Shift:
    """One shift of the day; times are ns since midnight of the calendar's zone plus its offset."""

    name: str
    begins_ns: int
    lasts_ns: int
    breaks: tuple[tuple[int, int], ...] = ()  # (begins, lasts) within the shift, not overlapping
    days: frozenset[int] = EVERY_DAY  # of the week, 0 is Monday


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
    zone: tzinfo = UTC
    holidays: frozenset[date] = frozenset()

    def period(self, ts_ns: int) -> Period | None:
        """The shift that a time falls into."""
        today = self._day(ts_ns)
        for back in (1, 0):  # a night shift began the day before
            for period in self._of(today - timedelta(days=back)):
                if period.from_ns <= ts_ns < period.to_ns:
                    return period
        return None

    def following(self, ts_ns: int) -> Period | None:
        """The first shift that begins at a time or after it, None where none does for `DAYS_MAX` days."""
        today = self._day(ts_ns)
        for ahead in range(DAYS_MAX):
            later = [p for p in self._of(today + timedelta(days=ahead)) if p.from_ns >= ts_ns]
            if later:
                return min(later, key=lambda period: period.from_ns)
        return None

    def planned_ns(self, from_ns: int, to_ns: int) -> int:
        """How much of a stretch is planned, whichever shifts it touches."""
        period, found = self.period(from_ns) or self.following(from_ns), 0
        while period is not None and period.from_ns < to_ns:
            found += sum(end - begin for begin, end in period.planned(from_ns, to_ns))
            period = self.following(period.to_ns)
        return found

    def _day(self, ts_ns: int) -> date:
        moment = datetime.fromtimestamp((ts_ns - self.offset_ns) // 1_000_000_000, UTC)
        return moment.astimezone(self.zone).date()

    def _of(self, day: date) -> Iterator[Period]:
        if day in self.holidays:
            return
        for shift in self.shifts:
            if day.weekday() not in shift.days:
                continue
            begin, end = shift.begins_ns, shift.begins_ns + shift.lasts_ns
            breaks = tuple(
                (self._at(day, begin + after), self._at(day, begin + after + lasts))
                for after, lasts in sorted(shift.breaks)
            )
            yield Period(shift.name, self._at(day, begin), self._at(day, end), breaks)

    def _at(self, day: date, wall_ns: int) -> int:
        """When the wall clock shows a time: of two the first; one that it skips has the offset of before."""
        wall_us, rest_ns = divmod(wall_ns + self.offset_ns, 1000)
        wall = datetime(day.year, day.month, day.day) + timedelta(microseconds=wall_us)
        since = wall - EPOCH - (wall.replace(tzinfo=self.zone).utcoffset() or timedelta())
        return since // timedelta(microseconds=1) * 1000 + rest_ns
