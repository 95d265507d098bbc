"""Where the planned time of a line went in which its counting work unit did not run: the loss tree (docs/oee.md).

Starved looks upstream, blocked downstream. Whoever makes it wait is found moment by moment: the first work unit in that
direction that does not wait in the same way, if it stands; else whom this wait had found before; else who stood when it
began, or had stood until shortly before; else the neighbour, which is too slow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from shakedown.acceptance.oee.course import NO_ORDER, UNKNOWN, Course, Span
from shakedown.acceptance.operations_site import OeeLine

Cause = tuple[str, str]
"""(work unit, kind); the work unit is "" where none of the line is the cause."""

STANDS = frozenset({"failure", "minor_stop", "changeover"})
BEYOND = {"starved": "supply", "blocked": "demand"}
SHORTLY_NS = 60_000_000_000


class Losses:
    """The cause of each piece of a course in which the counting work unit does not run."""

    def __init__(self, course: Course, line: OeeLine) -> None:
        self._course = course
        causes = _causes(course, line)
        known = dict.fromkeys(cause for cause in causes if cause is not None)
        self._pieces = {
            cause: course.planned & np.array([one == cause for one in causes], dtype=bool) for cause in known
        }

    def within(self, spans: Sequence[Span]) -> Counter[Cause]:
        """Planned time in ns by cause; its sum is what the counting work unit did not run."""
        spent = {cause: self._course.spent_ns(pieces, spans) for cause, pieces in self._pieces.items()}
        return Counter({cause: ns for cause, ns in spent.items() if ns})


def _causes(course: Course, line: OeeLine) -> list[Cause | None]:
    """The cause of each piece; None where the counting work unit runs."""
    own = line.counting.name
    names = [unit.name for unit in line.units]
    place = names.index(own)
    towards = {"starved": names[:place][::-1], "blocked": names[place + 1 :]}
    kinds = {name: course.kinds[name].tolist() for name in names}
    orders = course.order.tolist()
    found: list[Cause | None] = []
    before, last, fallback = "", None, ("", "")
    for piece, kind in enumerate(kinds[own]):
        if kind not in towards:
            cause = {"run": None, UNKNOWN: ("", UNKNOWN)}.get(kind, (own, kind))
        else:
            if kind != before:
                last, fallback = None, _at_its_beginning(course, kinds, towards[kind], piece)
            last = _who_stands(kinds, towards[kind], kind, piece) or last
            cause = last or fallback
        if line.order is not None and orders[piece] == NO_ORDER and kind in (*towards, "idle"):
            cause = ("", "no_order")
        found.append(cause)
        before = kind
    return found


def _who_stands(kinds: dict[str, list[str]], units: list[str], wait: str, piece: int) -> Cause | None:
    """The first work unit that does not wait in the same way, if it stands; beyond the last one, nobody of the line."""
    for unit in units:
        if kinds[unit][piece] != wait:
            return (unit, kinds[unit][piece]) if kinds[unit][piece] in STANDS else None
    return "", BEYOND[wait]


def _at_its_beginning(course: Course, kinds: dict[str, list[str]], units: list[str], piece: int) -> Cause:
    """Who stood when a wait began, the nearest first, or had stood until shortly before; else the next one is slow."""
    for unit in units:
        if kinds[unit][piece] in STANDS:
            return unit, kinds[unit][piece]
    began_ns = int(course.begin[piece])
    ended: list[tuple[int, Cause]] = []
    for unit in units:
        earlier = piece - 1
        while earlier >= 0 and int(course.end[earlier]) >= began_ns - SHORTLY_NS:
            if kinds[unit][earlier] in STANDS:
                ended.append((int(course.end[earlier]), (unit, kinds[unit][earlier])))
                break
            earlier -= 1
    if ended:
        return max(ended, key=lambda entry: entry[0])[1]
    return (units[0], "speed") if units else ("", "")
