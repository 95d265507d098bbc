"""The image of the plant: the newest value of each metric, and which devices are alive."""

from __future__ import annotations

from collections.abc import Mapping

from shakedown.bridge.core.model import STALE, Metric, Model, Sample, Value
from shakedown.bridge.core.normalise import BAD_NO_COMMUNICATION, UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE

FUTURE_MS = 1000
"""A timestamp further ahead than this is a clock's mistake, and does not make what follows it history."""


class Image:
    """What the births show; metrics are known by metric_id."""

    def __init__(self, model: Model) -> None:
        self.device_of = tuple(metric.device for metric in model.metrics)
        self._metrics = model.metrics
        self._of_device = {device: model.of_device(device) for device in ("", *model.devices)}
        self._node = {metric.name: metric for metric in self._of_device[""]}
        self._values: list[Sample | None] = [None] * len(model.metrics)
        self._held: dict[int, None] = {}
        self._south_up: set[str] = set()
        self._silent: set[str] = set()  # devices of which every value says BadNoCommunication

    def take(self, sample: Sample, now_ns: int) -> bool:
        """Take a sample; returns whether it is history: older than what is known of its metric already."""
        known = self._values[sample[0]]
        if known is not None and sample[1] < known[1] <= now_ns // 1_000_000 + FUTURE_MS:
            return True
        self._values[sample[0]] = sample
        if self._silent or sample[4] >> 16 == BAD_NO_COMMUNICATION >> 16:
            self._judge_device(self.device_of[sample[0]])
        return False

    def hold(self, sample: Sample, now_ns: int) -> None:
        """Take a sample that is not published now; `released` will give back its metric's value."""
        if not self.take(sample, now_ns):
            self._held[sample[0]] = None

    def released(self) -> list[Sample]:
        """Present values of what changed while held, oldest first; forgets them."""
        samples = [value for metric_id in self._held if (value := self._values[metric_id]) is not None]
        self._held.clear()
        return sorted(samples, key=lambda sample: sample.ts_ms)

    def snapshot(self, device: str) -> list[tuple[Metric, Sample]]:
        """Every metric of a device with its value; one that was never seen is null and stale, and older than any."""
        return [
            (metric, self._values[metric.metric_id] or Sample(metric.metric_id, 0, None, STALE))
            for metric in self._of_device[device]
        ]

    def node_values(self, values: Mapping[str, Value], now_ns: int) -> list[Sample]:
        """Take what the node says of itself; returns the samples that differ from before."""
        changed = []
        for name, value in values.items():
            metric_id = self._node[name].metric_id
            known = self._values[metric_id]
            if known is None or known.value != value:
                sample = Sample(metric_id, now_ns // 1_000_000, value)
                self._values[metric_id] = sample
                changed.append(sample)
        return changed

    def known(self) -> list[Sample]:
        """Newest samples of the configured metrics, in alias order: what is worth to be remembered over a restart."""
        return [sample for sample in self._values if sample is not None and self.device_of[sample.metric_id]]

    def is_alive(self, device: str) -> bool:
        """Whether any server of the device is connected and says more than BadNoCommunication."""
        return device not in self._silent and any(m.south in self._south_up for m in self._of_device[device])

    def south(self, name: str, *, up: bool, now_ns: int) -> list[Sample]:
        """A server came or went; returns stale values of devices that live on without it."""
        if up:
            self._south_up.add(name)
            return []
        self._south_up.discard(name)
        stale = []
        for metric in self._metrics:
            known = self._values[metric.metric_id]
            if metric.south == name and known is not None and self.is_alive(metric.device):
                status = UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE
                sample = Sample(metric.metric_id, now_ns // 1_000_000, known.value, STALE, status)
                self._values[metric.metric_id] = sample
                stale.append(sample)
        return stale

    def _judge_device(self, device: str) -> None:
        values = [self._values[metric.metric_id] for metric in self._of_device[device] if metric.south]
        if all(v is not None and v.status >> 16 == BAD_NO_COMMUNICATION >> 16 for v in values):
            self._silent.add(device)
        else:
            self._silent.discard(device)
