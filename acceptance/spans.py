"""Spans of time and what is made of them: unions, a clock that stands still, the spans in which a condition holds.

Everything is worked out over whole series at once. All times are integer nanoseconds, spans half open, in order and
apart from one another.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

S, MS = 1_000_000_000, 1_000_000  # a second and a millisecond, in nanoseconds
NEVER = 2**62
Span = tuple[int, int]


def union(*lists: Iterable[Span]) -> list[Span]:
    """The spans of all lists as one; what touches is one span."""
    found: list[Span] = []
    for start, end in sorted(span for spans in lists for span in spans):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        elif start < end:
            found.append((start, end))
    return found


def span_at(spans: Sequence[Span], ns: int) -> Span | None:
    """The span that holds `ns`."""
    index = bisect_right(spans, (ns, NEVER)) - 1
    return spans[index] if index >= 0 and ns < spans[index][1] else None


def holding(edges: Sequence[tuple[int, bool]]) -> list[Span]:
    """The spans in which a condition holds that is said to begin or not to hold at `edges`, in order."""
    found: list[Span] = []
    since: int | None = None
    for ns, holds in edges:
        if holds and since is None:
            since = ns
        elif not holds and since is not None:
            found.append((since, ns))
            since = None
    return union(found if since is None else [*found, (since, NEVER)])


def over(begin: int, delay: int, standing: Sequence[Span]) -> int:
    """When a delay that begins at `begin` is over, by a clock that stands still in `standing`; at the latest `NEVER`.

    One that runs out just as the clock is stopped is over; one of nothing that begins while it stands waits.
    """
    index = max(0, bisect_right(standing, (begin, NEVER)) - 1)
    for start, end in standing[index:]:
        if end <= begin:
            continue
        if start > begin:
            if start - begin >= delay:
                break
            delay -= start - begin
        begin = end
    return min(NEVER, begin + delay)


@dataclass
class Delayed:
    """A condition after its delays: where it holds, and where it is a matter of milliseconds whether it does."""

    spans: list[Span] = field(default_factory=list)
    close: list[Span] = field(
        default_factory=list
    )  # ended just before a delay was over: from the end to then


def delayed(
    beyond: Sequence[Span],
    on: tuple[int, Sequence[Span]],
    off: tuple[int, Sequence[Span]],
    late: Callable[[int], int],
) -> Delayed:
    """Where a condition holds that begins and ends only after it has lasted: (delay, when its clock stands) of each.

    What falls short of a delay by less than `late(end)`, or meets it to the nanosecond, is `close`.
    """
    found = Delayed()
    since: int | None = None
    for index, (begin, end) in enumerate(beyond):
        if since is None and (raised := _meets(begin, end, on, late, found)) is not None:
            since = raised
        if since is not None:
            again = beyond[index + 1][0] if index + 1 < len(beyond) else NEVER
            if end < NEVER and (cleared := _meets(end, again, off, late, found)) is not None:
                found.spans.append((since, cleared))
                since = None
    if since is not None:
        found.spans.append((since, NEVER))
    found.spans = [span for span in found.spans if span[0] < span[1]]
    return found


def _meets(
    begin: int, end: int, delay: tuple[int, Sequence[Span]], late: Callable[[int], int], found: Delayed
) -> int | None:
    """When what lasts from `begin` to `end` has lasted for a delay; None if it does not."""
    due = over(begin, *delay)
    if delay[0] and end <= due < NEVER and due - end < late(end):
        found.close.append((end, due))
    return due if due <= end and due < NEVER else None
