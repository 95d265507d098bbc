"""How far what arrives is behind its source. Pure: no I/O, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from shakedown.bridge.south.decode import TICKS_1970, TICKS_MAX

BEHIND_MS, RECOVERED_MS = 5000, 2500
"""Beyond the first the source is behind; below the second it has recovered."""

MESSAGES = 3
"""So many messages within the window have to show it: one value may be stamped with a time of long ago."""

WINDOW_TICKS, WINDOW_MAX = 100_000_000, 256
"""What counts: messages of the last ten seconds, at most so many. A server that sends each item's queue as a whole goes
from old values to new ones with each item."""

OFFSETS = 16
"""Messages that the offset of the server's clock is taken from."""

TICKS_PER_MS = 10_000


class Lag:
    """Lag of one source; times in ticks of 100 ns.

    What waits in the server's queues has its age by the server's own clock: a message says when it was published. The
    quickest of the last messages shows the offset of that clock from ours, and what the others took longer is lag too.
    """

    def __init__(self) -> None:
        self.ms = 0
        self.is_behind = False
        self._offsets: deque[int] = deque(maxlen=OFFSETS)
        self._ages: deque[tuple[int, int]] = deque(maxlen=WINDOW_MAX)  # when, age

    def note(self, now: int, published: int, sources: Iterable[int]) -> bool:
        """A message with values of these source times; whether the source has fallen behind by it, or recovered.

        A message without any says that nothing waits. The middle one of its times counts for all.
        """
        self._offsets.append(now - published if TICKS_1970 <= published < TICKS_MAX else 0)
        stamps = sorted(stamp for stamp in sources if TICKS_1970 <= stamp < TICKS_MAX)
        ages = self._ages
        if stamps:
            ages.append((now, now - min(self._offsets) - stamps[len(stamps) // 2]))
            while ages[0][0] < now - WINDOW_TICKS:
                ages.popleft()
        else:
            ages.clear()
        oldest = sorted(age for _, age in ages)[-MESSAGES:]
        self.ms = max(0, oldest[0] // TICKS_PER_MS) if len(oldest) == MESSAGES else 0
        was_behind = self.is_behind
        self.is_behind = self.ms > (RECOVERED_MS if was_behind else BEHIND_MS)
        return self.is_behind is not was_behind
