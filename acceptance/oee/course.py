"""The course of a line in pieces, between any two moments at which a work unit, an order or the plan changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

Column = np.ndarray[Any, np.dtype[Any]]
Span = tuple[int, int]
"""[from, to) in ns."""
Changes = list[tuple[int, Any]]
"""(ns, what holds from then on), in order; of two changes in one moment the later one holds."""

EVER = 1 << 62
NO_ORDER = ""
UNKNOWN = "unknown"


class Course:
    """Columns over the pieces: `begin` and `end` (ns), `planned`, `order` and the `kinds` of each work unit.

    `kinds` says what each work unit does, by its name: `run`, `changeover`, `failure`, `minor_stop`, `starved`,
    `blocked`, `idle`, or `unknown` before the first change. Planned is what lies in a shift and in no break.
    """

    def __init__(self, kinds: Mapping[str, Changes], orders: Changes, planned: Changes) -> None:
        self.orders = orders
        cuts = sorted({ns for series in (*kinds.values(), orders, planned) for ns, _ in series})
        self.begin = np.array([0, *cuts], dtype=np.int64)
        self.end = np.array([*cuts, EVER], dtype=np.int64)
        self.kinds = {unit: self._held(UNKNOWN, changes) for unit, changes in kinds.items()}
        self._does = {
            (unit, kind): column == kind
            for unit, column in self.kinds.items()
            for kind in set(column.tolist())
        }
        self._no_piece = np.zeros(len(self.begin), dtype=bool)
        self.order = self._held(NO_ORDER, orders)
        self.planned = self._held(False, planned).astype(bool)

    def _held(self, first: Any, changes: Changes) -> Column:
        values = np.array([first, *(value for _, value in changes)], dtype=object)
        times = np.array([ns for ns, _ in changes], dtype=np.int64)
        return values[np.searchsorted(times, self.begin, side="right")]

    def order_at(self, moments: Column) -> Column:
        """The order that the counting work unit is on at each of these moments."""
        return self.order[np.searchsorted(self.begin, moments, side="right") - 1]

    def spent_ns(self, which: Column, spans: Iterable[Span]) -> int:
        """The time of some of the pieces that lies in `spans`, which do not overlap."""
        begin, end = self.begin[which], self.end[which]
        return sum(
            int(np.maximum(np.minimum(end, to_ns) - np.maximum(begin, from_ns), 0).sum())
            for from_ns, to_ns in spans
        )

    def planned_ns(
        self, unit: str, kinds: Collection[str], spans: Iterable[Span], order: str | None = None
    ) -> int:
        """Planned time of a work unit in some kinds, and on an order where one is named."""
        which = self.planned & self.does(unit, kinds)
        return self.spent_ns(which if order is None else which & (self.order == order), spans)

    def does(self, unit: str, kinds: Collection[str]) -> Column:
        """In which pieces a work unit does one of these things."""
        which = self._no_piece
        for kind in kinds:
            which = which | self._does.get((unit, kind), self._no_piece)
        return which

    def episodes(self, unit: str, kind: str) -> list[Span]:
        """Each longest stretch in which a work unit does one thing, in a break or not."""
        on = np.concatenate([[False], self.does(unit, (kind,)), [False]])
        turns = np.flatnonzero(on[1:] != on[:-1])
        ends = [*self.begin.tolist(), EVER]
        return [(ends[begin], ends[end]) for begin, end in turns.reshape(-1, 2).tolist()]

    def changes(self, span: Span) -> int:
        """How often anything changes in a span."""
        return int(np.searchsorted(self.begin, span[1]) - np.searchsorted(self.begin, span[0]))


def without(span: Span, holes: Iterable[Span]) -> list[Span]:
    """What is left of a span."""
    left = [span]
    for begin, end in holes:
        left = [
            (a, b)
            for from_ns, to_ns in left
            for a, b in ((from_ns, min(to_ns, begin)), (max(from_ns, end), to_ns))
            if a < b
        ]
    return left
