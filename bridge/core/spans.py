"""A set of journal rows, kept as intervals: millions of rows in sequence cost as little as one."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Span = tuple[int, int]
"""First and last row, both inclusive."""


class Spans:
    """Rows as sorted, disjoint intervals that do not touch."""

    __slots__ = ("_spans",)

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._spans: list[Span] = []
        self.update(spans)

    def __iter__(self) -> Iterator[Span]:
        return iter(self._spans)

    def __bool__(self) -> bool:
        return bool(self._spans)

    def __repr__(self) -> str:
        return f"Spans({self._spans})"

    @property
    def first(self) -> int:
        """The lowest row; of an empty set ValueError."""
        if not self._spans:
            raise ValueError("an empty set of rows has no first one")
        return self._spans[0][0]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(last - first + 1 for first, last in self._spans)

    def add(self, first: int, last: int) -> None:
        """Add the rows `first` to `last`; none if `last` is lower."""
        if last < first:
            return
        spans = self._spans
        low = bisect_left(spans, first - 1, key=_last)
        high = bisect_right(spans, last + 1, lo=low, key=_first)
        if low < high:
            first, last = min(first, spans[low][0]), max(last, spans[high - 1][1])
        spans[low:high] = [(first, last)]

    def remove(self, first: int, last: int) -> None:
        """Remove the rows `first` to `last`, as far as they are in the set."""
        spans = self._spans
        low = bisect_left(spans, first, key=_last)
        high = bisect_right(spans, last, lo=low, key=_first)
        if low < high:
            before, after = (spans[low][0], first - 1), (last + 1, spans[high - 1][1])
            spans[low:high] = [span for span in (before, after) if span[0] <= span[1]]

    def update(self, other: Iterable[Span]) -> None:
        for first, last in other:
            self.add(first, last)

    def subtract(self, other: Iterable[Span]) -> None:
        for first, last in other:
            self.remove(first, last)

    def within(self, other: Iterable[Span]) -> Spans:
        """The rows that are in both."""
        both = Spans()
        for first, last in other:
            low = bisect_left(self._spans, first, key=_last)
            high = bisect_right(self._spans, last, lo=low, key=_first)
            both.update((max(first, begin), min(last, end)) for begin, end in self._spans[low:high])
        return both

    def clear(self) -> None:
        self._spans.clear()

    def join(self, limit: int) -> None:
        """Fill the narrowest gaps until at most `limit` intervals are left: rows are added, none is lost."""
        while len(self._spans) > limit:
            spans = self._spans
            at = min(range(len(spans) - 1), key=lambda i: spans[i + 1][0] - spans[i][1])
            spans[at : at + 2] = [(spans[at][0], spans[at + 1][1])]

    def trim(self, limit: int) -> Spans:
        """Remove the shortest intervals until at most `limit` are left; returns what was removed."""
        if len(self._spans) <= limit:
            return Spans()
        removed = Spans(sorted(self._spans, key=lambda span: span[1] - span[0])[: len(self._spans) - limit])
        self.subtract(removed)
        return removed


def _first(span: Span) -> int:
    return span[0]


def _last(span: Span) -> int:
    return span[1]
