"""The order of history: of each metric a few series, each rising, and none without a cause.

The standard orders what is live and says nothing of the order of history, so this is a rule of the lab: who takes
history in may count on its order. A bridge that sends what it never sent before what it sends once more keeps two
orders side by side, and rows that the source's own history brought late have a third; more there cannot be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from shakedown.acceptance.spans import MS

FIRST, ONCE_MORE, ASKED_AGAIN, FILLED_IN = range(4)
"""The series: rows sent for the first time; rows that an earlier connection may have lost, once more; what was sent
before a rebirth command, once more; rows of a gap at the source, which its history has filled later."""


@dataclass
class HistoryOrder:
    """Follows the history of all metrics since the births; `may_be_filled_in` is asked of a source time in ns."""

    may_be_filled_in: Callable[[int], bool]
    _sent_until_ns: int = 0
    _asked_again: bool = False
    _newest_ms: dict[tuple[str, str], list[int]] = field(default_factory=dict)  # of each series, by metric

    def births(self, sent_until_ns: int, *, asked_again: bool) -> None:
        """Births: history begins anew. Samples offered up to `sent_until_ns` may have been sent before, and lost;
        `asked_again`: these births repeat those of a connection that goes on."""
        self._sent_until_ns, self._asked_again = sent_until_ns, asked_again
        self._newest_ms.clear()

    def take(self, metric: tuple[str, str], ts_ms: int) -> int | None:
        """None where the next row of `metric` continues a series that it may belong to; else what it comes after, in
        ms: that row is counted to no series."""
        newest = self._newest_ms.setdefault(metric, [0, 0, 0, 0])
        if ts_ms >= newest[FIRST]:
            newest[FIRST] = ts_ms
            return None
        continued = [series for series in self._allowed(ts_ms * MS) if newest[series] <= ts_ms]
        if not continued:
            return newest[FIRST]
        newest[max(continued, key=newest.__getitem__)] = ts_ms
        return None

    def _allowed(self, ns: int) -> list[int]:
        """The narrower ones first: of two that a row may begin it takes the one that fewer rows may belong to."""
        allowed = [FILLED_IN] if self.may_be_filled_in(ns) else []
        if ns <= self._sent_until_ns:
            allowed += [ASKED_AGAIN, ONCE_MORE] if self._asked_again else [ONCE_MORE]
        return allowed
