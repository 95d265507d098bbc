"""The course of a machine in pieces, between any two moments at which its state, its order or the plan changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from shakedown.acceptance.physical import Physical

Column = np.ndarray[Any, np.dtype[Any]]
Span = tuple[int, int]
"""[from, to) in ns."""

EVER = 1 << 62
NO_ORDER = ""


class Course:
    """Columns over the pieces: `begin` and `end` (ns), `planned` (no break), `state` (canonical) and `order`.

    `told_of_orders` is whether the ledger says at all which order a machine is on.
    """

    def __init__(self, physical: Physical, machine: str) -> None:
        first, states = physical.states_of(machine)
        told = physical.of("order_at")
        orders = [(event.ns, str(event.data.get("order"))) for event in told if event.machine == machine]
        breaks = [(event.ns, event.data.get("phase") != "start") for event in physical.of("break")]
        self.told_of_orders = bool(told)
        self.orders = orders
        cuts = sorted({ns for series in (states, orders, breaks) for ns, _ in series})
        self.begin = np.array([0, *cuts], dtype=np.int64)
        self.end = np.array([*cuts, EVER], dtype=np.int64)
        self.state = self._held(first, states)
        self.order = self._held(NO_ORDER, orders)
        self.planned = self._held(True, breaks).astype(bool)

    def _held(self, first: Any, changes: list[tuple[int, Any]]) -> Column:
        """What holds in each piece; of two changes in one moment the later one does."""
        values = np.array([first, *(value for _, value in changes)], dtype=object)
        times = np.array([ns for ns, _ in changes], dtype=np.int64)
        return values[np.searchsorted(times, self.begin, side="right")]

    def order_at(self, moments: Column) -> Column:
        """The order that the machine is on at each of these moments."""
        return self.order[np.searchsorted(self.begin, moments, side="right") - 1]

    def spent_ns(self, which: Column, spans: Iterable[Span]) -> int:
        """The time of some of the pieces that lies in `spans`, which do not overlap."""
        begin, end = self.begin[which], self.end[which]
        return sum(
            int(np.maximum(np.minimum(end, to_ns) - np.maximum(begin, from_ns), 0).sum())
            for from_ns, to_ns in spans
        )

    def planned_ns(self, state: str, spans: Iterable[Span], order: str | None = None) -> int:
        """Planned time in a state, and on an order where one is named."""
        which = self.planned & (self.state == state)
        return self.spent_ns(which if order is None else which & (self.order == order), spans)

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
