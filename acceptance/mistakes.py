"""What mistake a row that is wrong looks like, for the first of its kind: tags swapped, a wrong factor, a new time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from shakedown.acceptance.site import Topic
from shakedown.acceptance.sparkplug import GOOD, Value

ARRIVAL_MS = 2000  # so close to the arrival a timestamp is taken for that of the arrival
Offered = tuple[Topic, NDArray[np.int64], list[Value]]
"""A topic with the source times (ms, in order) and values that were offered of it."""


def why_wrong(expected: Value, value: Value, ts_ms: int, others: Iterable[Offered]) -> str:
    """Why a row has `value` where `expected` was offered; `others` are the topics of the same device."""
    for topic, offered_ms, values in others:
        index = int(np.searchsorted(offered_ms, ts_ms, side="right")) - 1
        if index >= 0 and values[index] == value:
            return f"the value of {topic.name}: tags swapped"
    if isinstance(expected, (int, float)) and isinstance(value, (int, float)) and expected:
        return f"{value / expected:.6g} times the expected value: wrong unit factor"
    return f"{type(value).__name__} instead of {type(expected).__name__}"


def why_unexpected(offered: Offered, value: Value, ts_ms: int, received_ms: int) -> str:
    """Why a row has a timestamp at which nothing was offered."""
    topic, offered_ms, values = offered
    index = int(np.searchsorted(offered_ms, ts_ms, side="right")) - 1
    if index < 0:
        return "older than everything that the source offered"
    if topic.same(values[index], value, GOOD):
        if abs(received_ms - ts_ms) <= ARRIVAL_MS:
            return "the last value under a new timestamp close to its arrival: arrival time as source time, or a repeat"
        return "the last value under a new timestamp: a repeat with a new time"
    return "no such sample was offered at that time"
