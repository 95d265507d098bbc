"""By what the figures of a report are held, whichever part of the OEE criterion holds them."""

from __future__ import annotations

from typing import Any

BUCKET_SHARE = 0.01  # of PBT: how far a time may be off
FACTOR_PP = 0.01
ROUNDED = 0.002  # a ratio of figures of three decimals

Breaches = list[tuple[str, Any, Any]]
"""(figure, reported, true) of each that is wrong."""


def number(value: Any) -> float | None:
    """A figure of a report, None for what is no number."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
