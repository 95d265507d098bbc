"""Sets of journal rows, kept as intervals: millions of rows in sequence cost as little as one.

Pure functions on tuples, for what must be taken back when a transaction fails; `Spans` for what changes in place.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

Span = tuple[int, int]
"""First and last row, both inclusive."""

Rows = tuple[Span, ...]
"""Sorted, disjoint intervals that do not touch."""


def count(rows: Sequence[Span]) -> int:
    """How many rows there are."""
    return sum(last - first + 1 for first, last in rows)


def add(rows: Rows, first: int, last: int) -> Rows:
    """The rows with `first` to `last`; `last` < `first` adds nothing."""
    if last < first:
        return rows
    low = bisect_left(rows, first - 1, key=_last)
    high = bisect_right(rows, last + 1, lo=low, key=_first)
    if low < high:
        first, last = min(first, rows[low][0]), max(last, rows[high - 1][1])
    return (*rows[:low], (first, last), *rows[high:])


def within(rows: Rows, first: int, last: int) -> Rows:
    """Those of the rows that lie in `first` to `last`."""
    low, high = _around(rows, first, last)
    return tuple((max(first, a), min(last, b)) for a, b in rows[low:high])


def without(rows: Rows, first: int, last: int) -> Rows:
    """The rows less `first` to `last`."""
    low, high = _around(rows, first, last)
    if low == high:
        return rows
    before, after = (rows[low][0], first - 1), (last + 1, rows[high - 1][1])
    return (*rows[:low], *(span for span in (before, after) if span[0] <= span[1]), *rows[high:])


def union(rows: Rows, other: Iterable[Span]) -> Rows:
    """The rows that are in either."""
    for first, last in other:
        rows = add(rows, first, last)
    return rows


def less(rows: Rows, other: Iterable[Span]) -> Rows:
    """The rows that are not in the other."""
    for first, last in other:
        rows = without(rows, first, last)
    return rows


def common(one: Iterable[Span], other: Rows) -> Rows:
    """The rows that are in both."""
    return tuple(part for first, last in one for part in within(other, first, last))


class Spans:
    """A set of rows that changes in place."""

    __slots__ = ("_rows",)

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._rows: Rows = ()
        self.update(spans)

    def __iter__(self) -> Iterator[Span]:
        return iter(self._rows)

    def __bool__(self) -> bool:
        return bool(self._rows)

    def __repr__(self) -> str:
        return f"Spans({list(self._rows)})"

    @property
    def first(self) -> int:
        """The lowest row; of an empty set ValueError."""
        if not self._rows:
            raise ValueError("an empty set of rows has no first one")
        return self._rows[0][0]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return count(self._rows)

    def add(self, first: int, last: int) -> None:
        """Add the rows `first` to `last`; none if `last` is lower."""
        self._rows = add(self._rows, first, last)

    def remove(self, first: int, last: int) -> None:
        """Remove the rows `first` to `last`, as far as they are in the set."""
        self._rows = without(self._rows, first, last)

    def update(self, other: Iterable[Span]) -> None:
        self._rows = union(self._rows, other)

    def subtract(self, other: Iterable[Span]) -> None:
        self._rows = less(self._rows, other)

    def within(self, other: Iterable[Span]) -> Spans:
        """The rows that are in both."""
        return Spans(common(other, self._rows))

    def clear(self) -> None:
        self._rows = ()

    def join(self, limit: int) -> None:
        """Fill the narrowest gaps until at most `limit` intervals are left: rows are added, none is lost."""
        while len(self._rows) > limit:
            rows = self._rows
            at = min(range(len(rows) - 1), key=lambda i: rows[i + 1][0] - rows[i][1])
            self._rows = (*rows[:at], (rows[at][0], rows[at + 1][1]), *rows[at + 2 :])

    def trim(self, limit: int) -> Spans:
        """Remove the shortest intervals until at most `limit` are left; returns what was removed."""
        if len(self._rows) <= limit:
            return Spans()
        removed = Spans(sorted(self._rows, key=lambda span: span[1] - span[0])[: len(self._rows) - limit])
        self.subtract(removed)
        return removed


def _around(rows: Rows, first: int, last: int) -> tuple[int, int]:
    """Which intervals `first` to `last` touches, as a slice."""
    if last < first:
        return 0, 0
    low = bisect_left(rows, first, key=_last)
    return low, bisect_right(rows, last, lo=low, key=_first)


def _first(span: Span) -> int:
    return span[0]


def _last(span: Span) -> int:
    return span[1]
