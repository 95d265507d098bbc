"""Why a line's bottleneck waited: the time of its waits goes to the work unit that caused them (docs/oee.md)."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from shakedown.bridge.core.oee_series import NS
from shakedown.bridge.core.oee_units import DOWN, WAITS, Episode, Stretch, WorkUnit

JUST_NS = 60 * NS
"""A stop that ended so long before a wait began may have caused it: what it lacked was still on its way."""

Cause = tuple[str, str]
"""(work unit, kind)."""


def causes(
    units: Sequence[WorkUnit], counting: int, from_ns: int, to_ns: int
) -> Iterator[tuple[Stretch, Cause]]:
    """Every wait of the counting work unit that touches a stretch, in pieces with one cause each."""
    waits = [e for e in units[counting].episodes(from_ns, to_ns) if e.kind in WAITS]
    if not waits:
        return
    begin_ns = waits[0].begin - JUST_NS
    seen = [unit.episodes(begin_ns, to_ns) for unit in units]
    for wait in waits:
        step = -1 if wait.kind == "starved" else 1
        places = range(counting + step, -1 if step < 0 else len(units), step)
        yield from _of_wait(wait, [(units[place].config.name, seen[place]) for place in places])


def _of_wait(wait: Episode, toward: list[tuple[str, list[Episode]]]) -> Iterator[tuple[Stretch, Cause]]:
    """`toward` are the work units in the direction that the wait looks, the nearest first."""
    cuts = {wait.begin, wait.end}
    for _, episodes in toward:
        first = bisect_right(episodes, wait.begin, key=_begin)
        for episode in episodes[first:]:
            if episode.begin >= wait.end:
                break
            cuts.add(episode.begin)
    cause = _before(toward, wait.begin)
    for begin, end in pairwise(sorted(cuts)):
        cause = _walk(wait.kind, toward, begin) or cause
        yield (begin, end), cause


def _walk(kind: str, toward: list[tuple[str, list[Episode]]], ts_ns: int) -> Cause | None:
    for name, episodes in toward:
        now = _at(episodes, ts_ns)
        if now.kind != kind:
            return (name, now.kind) if now.kind in DOWN else None
    return "", "supply" if kind == "starved" else "demand"


def _before(toward: list[tuple[str, list[Episode]]], ts_ns: int) -> Cause:
    """What has led to a wait, as far as its beginning shows."""
    for name, episodes in toward:
        now = _at(episodes, ts_ns)
        if now.kind in DOWN:
            return name, now.kind
    ended = [
        (episode.end, -place, name, episode.kind)
        for place, (name, episodes) in enumerate(toward)
        for episode in _just_ended(episodes, ts_ns)
        if episode.kind in DOWN
    ]
    if ended:
        return max(ended)[2:]
    return (toward[0][0] if toward else "", "speed")


def _just_ended(episodes: list[Episode], ts_ns: int) -> Iterator[Episode]:
    """The latest first; each ends where the next begins."""
    for index in range(bisect_right(episodes, ts_ns, key=_begin) - 2, -1, -1):
        if episodes[index].end < ts_ns - JUST_NS:
            return
        yield episodes[index]


def _at(episodes: list[Episode], ts_ns: int) -> Episode:
    return episodes[max(0, bisect_right(episodes, ts_ns, key=_begin) - 1)]


def _begin(episode: Episode) -> int:
    return episode.begin


def sums(pieces: Iterator[tuple[Stretch, Cause]], planned: Sequence[Stretch]) -> Counter[Cause]:
    """Planned time in ns by cause."""
    found: Counter[Cause] = Counter()
    for (begin, end), cause in pieces:
        for planned_from, planned_to in planned:
            overlap = min(end, planned_to) - max(begin, planned_from)
            if overlap > 0:
                found[cause] += overlap
    return found
