"""By what the figures of a report are held, whichever part of the OEE criterion holds them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

BUCKET_SHARE = 0.01  # of PBT: how far a time may be off
FACTOR_PP = 0.01
ROUNDED = 0.002  # a ratio of figures of three decimals

Breaches = list[tuple[str, Any, Any]]
"""(figure, reported, true) of each that is wrong."""


class Within(NamedTuple):
    """What a figure may be: from `low` to `high`, of each part at an edge on whichever side it was counted.

    `may_be_none` where there may be no denominator; `true` is the figure of what happened, where it is told beside.
    """

    low: float
    high: float
    may_be_none: bool
    true: float | None = None

    def holds(self, reported: float | None, tolerance: float) -> bool:
        """Whether a reported figure may be this one."""
        if reported is None:
            return self.may_be_none
        return self.low - tolerance <= reported <= self.high + tolerance

    def widened(self, tolerance: float) -> Within:
        """The same with so much more on both sides."""
        return self._replace(low=self.low - tolerance, high=self.high + tolerance)


NOTHING = Within(math.inf, -math.inf, may_be_none=True)
"""A figure that can only be null."""


def number(value: Any) -> float | None:
    """A figure of a report, None for what is no number."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
