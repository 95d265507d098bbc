"""The last minutes of the signals that explain an alarm."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from shakedown.bridge.core.model import Sample, Value

SAMPLES_MAX = 20_000
"""Samples kept of one metric; a faster one has a shorter memory."""

SLACK_MS = 60_000
"""Kept beyond the window: the order that needs it is written a little later."""


class Context:
    """Newest samples of some metrics, for `window_ms` and a little longer."""

    def __init__(self, metric_ids: Iterable[int], window_ms: int) -> None:
        self.window_ms = window_ms
        self._samples: dict[int, deque[tuple[int, Value, int]]] = {
            metric_id: deque(maxlen=SAMPLES_MAX) for metric_id in metric_ids
        }

    @property
    def metric_ids(self) -> set[int]:
        return set(self._samples)

    def take(self, sample: Sample) -> None:
        """Remember a sample; the same one again is remembered once when it is asked for."""
        samples = self._samples[sample[0]]
        samples.append(sample[1:4])
        oldest = sample[1] - self.window_ms - SLACK_MS
        while samples[0][0] < oldest:
            samples.popleft()

    def last(self, metric_id: int, until_ms: int) -> list[tuple[int, Value, int]]:
        """(ts_ms, value, quality) in the window that ends with `until_ms`, both ends included, in order of time."""
        from_ms = until_ms - self.window_ms
        found = dict.fromkeys(s for s in self._samples.get(metric_id, ()) if from_ms <= s[0] <= until_ms)
        return sorted(found, key=lambda sample: sample[0])
