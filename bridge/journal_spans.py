"""Spans of row numbers, as pure functions on tuples of (first, last), both inclusive.

Spans are sorted, disjoint, and do not touch each other.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

Span = tuple[int, int]
Spans = tuple[Span, ...]


def count(spans: Sequence[Span]) -> int:
    """How many rows there are in spans."""
    return sum(last - first + 1 for first, last in spans)


def add(spans: Spans, first: int, last: int) -> Spans:
    """The spans with one more, joined with those that it overlaps or touches; `last` < `first` adds nothing."""
    if last < first:
        return spans
    low = bisect_left(spans, first - 1, key=lambda span: span[1])
    high = bisect_right(spans, last + 1, key=lambda span: span[0])
    if low < high:
        first, last = min(first, spans[low][0]), max(last, spans[high - 1][1])
    return (*spans[:low], (first, last), *spans[high:])


def within(spans: Spans, first: int, last: int) -> Spans:
    """What of the spans lies in first..last."""
    low = bisect_left(spans, first, key=lambda span: span[1])
    high = bisect_right(spans, last, key=lambda span: span[0])
    return tuple((max(first, a), min(last, b)) for a, b in spans[low:high]) if last >= first else ()


def without(spans: Spans, first: int, last: int) -> Spans:
    """The spans less first..last."""
    if last < first or not spans:
        return spans
    low = bisect_left(spans, first, key=lambda span: span[1])
    high = bisect_right(spans, last, key=lambda span: span[0])
    left = [(a, first - 1) for a, _ in spans[low:high] if a < first]
    right = [(last + 1, b) for _, b in spans[low:high] if b > last]
    return (*spans[:low], *left, *right, *spans[high:])


def gaps(spans: Spans, first: int, last: int) -> Spans:
    """What of first..last no span covers."""
    found: list[Span] = []
    for a, b in within(spans, first, last):
        if a > first:
            found.append((first, a - 1))
        first = b + 1
    return (*found, (first, last)) if first <= last else tuple(found)


def common(one: Spans, other: Spans) -> Spans:
    """What lies in both."""
    return tuple(part for first, last in one for part in within(other, first, last))
