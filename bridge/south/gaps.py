"""Gaps: what may be missing of an item between two values that are in the journal, until history has filled it.

They are stored in the transaction of the values that open or fill them: `<south>/gap/<number>` holds up to
`TOGETHER_MAX`, so that writing what has changed costs little, and `<south>/gaps` says which numbers there may be.
Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

import msgspec

GAPS_MAX = 100_000
"""Gaps that are open at the same time; what comes beyond is declared."""

TOGETHER_MAX = 200
"""Gaps in one entry."""


@dataclass(frozen=True, slots=True)
class Gap:
    """What history has from `after` to `before` is missing, or may be; times in ticks."""

    key: str  # of the item, as `Item.key`
    node_id: str  # as configured
    after: int  # time of the newest value before the gap that is in the journal
    same: int  # how many values with just that time are
    before: int  # time of the value behind the gap, which is in the journal too
    check: int  # its checksum
    # Whether history still has the value before the gap; None: not known yet
    reaches_back: bool | None = None
    why: str = field(default="", compare=False)  # why it cannot be filled


class OpenGaps:
    """The open gaps of one south, by a number of their own; `items` are the (key, node id) that are configured."""

    def __init__(
        self, south: str, stored: Callable[[str], bytes | None], items: Collection[tuple[str, str]]
    ) -> None:
        self._south = south
        self._entries: dict[int, dict[int, Gap]] = {}  # number of the entry -> number of the gap -> gap
        index = stored(f"{south}/gaps")
        first, end = msgspec.msgpack.decode(index, type=tuple[int, int]) if index else (0, 0)
        self._end = end
        for number in range(first, end):
            if entry := stored(f"{south}/gap/{number}"):
                gaps = enumerate(
                    (Gap(*fields) for fields in msgspec.msgpack.decode(entry)), number * TOGETHER_MAX
                )
                kept = {at: gap for at, gap in gaps if (gap.key, gap.node_id) in items}
                self._entries[number] = kept  # one that is left empty goes with the next that is written

    def __len__(self) -> int:
        return sum(map(len, self._entries.values()))

    def by_age(self) -> list[tuple[int, Gap]]:
        """(number, gap), those that begin first at the end."""
        found = [item for gaps in self._entries.values() for item in gaps.items()]
        return sorted(found, key=lambda item: (-item[1].after, -item[0]))

    def opened(self, gaps: Iterable[Gap]) -> tuple[dict[int, Gap | None], list[Gap]]:
        """New gaps with their numbers, to be stored; and those that cannot be filled, with the reason."""
        found: list[Gap] = []
        hopeless: list[Gap] = []
        room = GAPS_MAX - len(self)
        for gap in gaps:
            if not gap.why and len(found) >= room:
                gap = replace(gap, why=f"more than {GAPS_MAX} gaps are open")
            (hopeless if gap.why else found).append(gap)
        return dict(enumerate(found, self._end * TOGETHER_MAX)), hopeless

    def entries(self, changed: Mapping[int, Gap | None]) -> dict[str, bytes | None]:
        """What the journal has to take for gaps that are as given from then on; None is one that is closed."""
        written: dict[str, bytes | None] = {}
        for number, gaps in self._changed(changed).items():
            fields = [
                (g.key, g.node_id, g.after, g.same, g.before, g.check, g.reaches_back) for g in gaps.values()
            ]
            written[f"{self._south}/gap/{number}"] = msgspec.msgpack.encode(fields) if fields else None
        if changed and (end := max(changed) // TOGETHER_MAX + 1) > self._end:
            first = min(self._entries, default=self._end)
            written[f"{self._south}/gaps"] = msgspec.msgpack.encode((first, end))
        return written

    def take(self, changed: Mapping[int, Gap | None]) -> None:
        """It is in the journal."""
        for number, gaps in self._changed(changed).items():
            if gaps:
                self._entries[number] = gaps
            else:
                self._entries.pop(number, None)
            self._end = max(self._end, number + 1)

    def _changed(self, changed: Mapping[int, Gap | None]) -> dict[int, dict[int, Gap]]:
        found: dict[int, dict[int, Gap]] = {}
        for at, gap in changed.items():
            number = at // TOGETHER_MAX
            gaps = found.get(number)
            if gaps is None:
                gaps = found[number] = dict(self._entries.get(number, {}))
            if gap is None:
                gaps.pop(at, None)
            else:
                gaps[at] = gap
        return found
