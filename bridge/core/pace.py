"""How fast history goes: up to a bound that was configured, or as fast as the line drains beside the live samples.

Without a bound the pace begins at `START_PER_S`, or at twice what comes live. It grows while barriers come back as
promptly as the line can, and is halved when one is late or the transport is blocked: then rows queue up on the way, and
a broker may drop what its subscribers do not take.
"""

from __future__ import annotations

NS = 1_000_000_000

START_PER_S, FLOOR_PER_S, TOP_PER_S = 5000.0, 500.0, 50_000.0
"""Rows a second, of a pace that was not configured; above the top one the bridge itself would not keep up."""

GROWTH = 1.5
"""From one prompt barrier to the next."""

LATE_NS = 250_000_000
"""A barrier that takes so much longer than the fastest of its connection is late."""

PAUSE_MAX_S = 0.05
"""Between two slices; live samples go out in between."""


class Pace:
    """Credit in rows, by monotonic time."""

    def __init__(self, bound_per_s: int | None, slice_max: int) -> None:
        self.per_s = START_PER_S if bound_per_s is None else float(bound_per_s)
        self._is_bound = bound_per_s is not None
        self._slice_max = slice_max
        self._credit = 0.0
        self._credit_ns = 0
        self._fastest_ns: int | None = None  # barrier of this connection
        self._changed_ns = 0
        self._is_used = False  # history went since the pace was last changed
        self._came = 0  # rows that came live since `_came_ns`
        self._came_ns: int | None = None
        self._live_per_s = 0.0

    @property
    def burst(self) -> int:
        """Rows of a slice at most: what goes in a tenth of a second."""
        return min(self._slice_max, max(1, int(self.per_s / 10)))

    @property
    def pause_s(self) -> float:
        """How long the rows of a slice take."""
        return min(PAUSE_MAX_S, self.burst / self.per_s)

    def opened(self, now_ns: int) -> None:
        """A new connection: a slice may go at once, and what the line takes is to be found out."""
        self._fastest_ns, self._changed_ns = None, now_ns
        self._change(max(START_PER_S, 2 * self._live_per_s), now_ns)
        self._credit, self._credit_ns = self.burst, now_ns

    def allows(self, rows: int, now_ns: int) -> bool:
        """Whether a slice of `rows` may go now."""
        elapsed_s = max(0, now_ns - self._credit_ns) / NS
        self._credit_ns = now_ns
        self._credit = min(self._credit + elapsed_s * self.per_s, self.burst)
        return self._credit >= rows

    def went(self, rows: int) -> None:
        self._credit -= rows
        self._is_used = True

    def came(self, rows: int) -> None:
        """Rows came from below."""
        self._came += rows

    def answered(self, sent_ns: int, now_ns: int) -> None:
        """A barrier came back."""
        took_ns = now_ns - sent_ns
        self._fastest_ns = took_ns if self._fastest_ns is None else min(self._fastest_ns, took_ns)
        self._measure(now_ns)
        if took_ns > self._fastest_ns + LATE_NS:
            self.blocked(now_ns)
        elif self._is_used:
            self._change(self.per_s * GROWTH, now_ns)

    def blocked(self, now_ns: int) -> None:
        """The line takes less than it was given: half of it, at most once a second."""
        if now_ns - self._changed_ns >= NS:
            self._change(self.per_s / 2, now_ns)

    def _change(self, per_s: float, now_ns: int) -> None:
        self._is_used, self._changed_ns = False, now_ns
        if not self._is_bound:
            self.per_s = min(max(per_s, FLOOR_PER_S), TOP_PER_S)

    def _measure(self, now_ns: int) -> None:
        """What comes live, over a second at the least."""
        if self._came_ns is None or now_ns - self._came_ns >= NS:
            elapsed_s = (now_ns - self._came_ns) / NS if self._came_ns is not None else 0.0
            self._live_per_s = self._came / elapsed_s if elapsed_s else 0.0
            self._came, self._came_ns = 0, now_ns
