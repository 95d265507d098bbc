"""How an alarm system does: floods and chattering as they happen, and the figures of ISA-18.2 / IEC 62682."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

S = 1_000_000_000
WINDOW_NS = 600 * S
FLOOD_BEGINS, FLOOD_ENDS = 10, 5
"""A flood begins when more than 10 annunciations fall within 10 min, and ends when fewer than 5 do."""

CHATTER_COUNT, CHATTER_NS = 3, 60 * S
FLEETING_NS = 10 * S
STALE_NS = 24 * 3600 * S

RECORDS_MAX = 20_000
"""Annunciations remembered; older ones no longer count in the figures."""

PAGE, PAGES = 64, RECORDS_MAX // 64 + 2
"""What is kept over a restart is written in pages of so many annunciations, in so many places one after the other."""


@dataclass(slots=True)
class Annunciation:
    """One call of the operator, and how it ended; times are ns, None while it has not."""

    alarm: tuple[str, str]
    priority: str
    raised_ns: int
    cleared_ns: int | None = None
    acked_ns: int | None = None

    @property
    def kept(self) -> tuple[Any, ...]:
        """What is remembered over a restart: everything, in the order of the fields."""
        return self.alarm, self.priority, self.raised_ns, self.cleared_ns, self.acked_ns


class Rates:
    """Floods and chattering, told by annunciations in the order of their time."""

    def __init__(self) -> None:
        self.records: deque[Annunciation] = deque(maxlen=RECORDS_MAX)
        self.is_flood = False
        self._count = 0  # annunciations ever: the ordinal of the next one
        self._open: dict[
            tuple[str, str], tuple[int, Annunciation]
        ] = {}  # newest of each alarm, with its ordinal
        self._recent: deque[int] = deque()
        self._of_alarm: dict[tuple[str, str], deque[int]] = {}
        self._changed: set[int] = set()  # pages

    def annunciated(self, alarm: tuple[str, str], priority: str, ts_ns: int) -> None:
        self.cleared(alarm, ts_ns)  # a call of what stood already ends the one before
        self._add(Annunciation(alarm, priority, ts_ns))
        self._changed.add((self._count - 1) // PAGE)

    def cleared(self, alarm: tuple[str, str], ts_ns: int) -> None:
        ordinal, record = self._open.get(alarm, (0, None))
        if record is not None and record.cleared_ns is None:
            record.cleared_ns = ts_ns
            self._changed.add(ordinal // PAGE)

    def acked(self, alarm: tuple[str, str], ts_ns: int) -> None:
        ordinal, record = self._open.get(alarm, (0, None))
        if record is not None and record.acked_ns is None:
            record.acked_ns = ts_ns
            self._changed.add(ordinal // PAGE)

    def _add(self, record: Annunciation) -> None:
        self.elapse(record.raised_ns)  # a flood that is over by then has ended, whoever has looked
        self.records.append(record)
        self._open[record.alarm] = self._count, record
        self._count += 1
        self._recent.append(record.raised_ns)
        self._of_alarm.setdefault(record.alarm, deque(maxlen=CHATTER_COUNT)).append(record.raised_ns)
        self.elapse(record.raised_ns)

    def elapse(self, now_ns: int) -> None:
        """Let time pass: a flood may be over."""
        recent = self._recent
        while recent and recent[0] <= now_ns - WINDOW_NS:
            recent.popleft()
        if len(recent) > FLOOD_BEGINS:
            self.is_flood = True
        elif len(recent) < FLOOD_ENDS:
            self.is_flood = False

    @property
    def in_window(self) -> int:
        """Annunciations of the last 10 min, as of the last call."""
        return len(self._recent)

    def chattering(self, now_ns: int) -> list[tuple[str, str]]:
        """Alarms with at least three annunciations within a minute, the newest of them in the last 10 min."""
        return sorted(
            alarm
            for alarm, times in self._of_alarm.items()
            if len(times) == CHATTER_COUNT
            and times[-1] - times[0] <= CHATTER_NS
            and times[-1] > now_ns - WINDOW_NS
        )

    # ---- over a restart

    def drain(self) -> dict[int, tuple[int, list[tuple[Any, ...]]]]:
        """Pages that must be written down, by their place: the ordinal of the first annunciation, and all of them."""
        changed, self._changed = self._changed, set()
        oldest = self._count - len(self.records)
        found = {}
        for page in changed:
            first = max(page * PAGE, oldest)
            of_page = [self.records[i - oldest] for i in range(first, min((page + 1) * PAGE, self._count))]
            if of_page:
                found[page % PAGES] = first, [record.kept for record in of_page]
        return found

    def restore(self, pages: Iterable[tuple[int, Sequence[Sequence[Any]]]]) -> None:
        """Continue with what `drain` has told; the floods among it are found again."""
        for first, of_page in sorted(pages, key=lambda page: page[0]):
            if not self.records:
                self._count = first
            for alarm, *rest in of_page:
                self._add(Annunciation((alarm[0], alarm[1]), *rest))


def figures(
    records: Sequence[Annunciation], from_ns: int, to_ns: int, *, operators: int = 1
) -> dict[str, Any]:
    """The figures of a period per operator: rates, floods, top ten, chattering, fleeting, stale, priorities.

    Shares are 0 to 1. Windows of 10 min begin at `from_ns`; the last one may be shorter. A rate over less than 30 days
    says little (ISA-18.2, 16): the period is in the answer. Stale is what stood in the period and had done so for more
    than 24 h, whenever it was raised.
    """
    if to_ns <= from_ns:
        raise ValueError(
            f"the period from {from_ns} to {to_ns} ns is empty: choose an end after its beginning"
        )
    inside = sorted((r for r in records if from_ns <= r.raised_ns < to_ns), key=lambda r: r.raised_ns)
    windows = -(-(to_ns - from_ns) // WINDOW_NS)
    per_window = Counter((r.raised_ns - from_ns) // WINDOW_NS for r in inside)
    per_alarm = Counter(r.alarm for r in inside)
    count, hours = len(inside), (to_ns - from_ns) / (3600 * S)
    top = sum(n for _, n in per_alarm.most_common(10))
    return {
        "hours": hours,
        "annunciations": count,
        "per_operator_hour": count / hours / operators,
        "per_operator_10_min": count / windows / operators,
        "per_operator_10_min_max": max(per_window.values(), default=0) / operators,
        "windows_above_10": sum(n > FLOOD_BEGINS * operators for n in per_window.values()) / windows,
        "flood_time": _flood_ns(inside, to_ns) / (to_ns - from_ns),
        "top_10": top / count if count else 0.0,
        "chattering": _chattering(inside),
        "fleeting": sum(_is_fleeting(r) for r in inside),
        "stale": _stale(records, from_ns, to_ns),
        "priorities": dict(sorted(Counter(r.priority for r in inside).items())),
    }


def _flood_ns(records: Sequence[Annunciation], to_ns: int) -> int:
    """Time in flood: an annunciation begins it, the end of its place in the window ends it."""
    edges = [(r.raised_ns, 1) for r in records] + [(r.raised_ns + WINDOW_NS, -1) for r in records]
    total = begun_ns = inside = 0
    is_flood = False
    for ts_ns, change in sorted(edges, key=lambda edge: (edge[0], edge[1])):
        inside += change
        if not is_flood and inside > FLOOD_BEGINS:
            is_flood, begun_ns = True, ts_ns
        elif is_flood and inside < FLOOD_ENDS:
            is_flood = False
            total += min(ts_ns, to_ns) - min(begun_ns, to_ns)
    return total + (to_ns - begun_ns if is_flood else 0)


def _chattering(records: Sequence[Annunciation]) -> int:
    """How many alarms chattered at least once."""
    times: dict[tuple[str, str], list[int]] = {}
    for record in records:
        times.setdefault(record.alarm, []).append(record.raised_ns)
    reach = CHATTER_COUNT - 1
    return sum(any(t[i + reach] - t[i] <= CHATTER_NS for i in range(len(t) - reach)) for t in times.values())


def _is_fleeting(record: Annunciation) -> bool:
    """Whether it went within 10 s and nobody had answered."""
    if record.cleared_ns is None or record.cleared_ns - record.raised_ns >= FLEETING_NS:
        return False
    return record.acked_ns is None or record.acked_ns >= record.cleared_ns


def _stale(records: Sequence[Annunciation], from_ns: int, to_ns: int) -> int:
    """How many times an alarm stood in [from_ns, to_ns), and at its end there for more than 24 h.

    A call of what stands already (re-alarm) goes on with the one before.
    """
    count = 0
    newest: dict[tuple[str, str], tuple[int, int, bool]] = {}  # since when, until when, counted
    for record in sorted(records, key=lambda r: r.raised_ns):
        since_ns, until_ns, is_counted = newest.get(record.alarm, (0, -1, False))
        if record.raised_ns != until_ns:
            since_ns, is_counted = record.raised_ns, False
        until_ns = to_ns if record.cleared_ns is None else record.cleared_ns
        end_ns = min(until_ns, to_ns)
        if not is_counted and end_ns > from_ns and end_ns - since_ns > STALE_NS:
            count, is_counted = count + 1, True
        newest[record.alarm] = since_ns, until_ns, is_counted
    return count
