"""The newest value of every metric, kept over a restart: births must show quiet metrics too.

The journal frees rows that have arrived, and a server whose subscription was resumed does not repeat what it has sent.
So the image is stored beside the rows now and then, as a log of what changed; what came after it is read from the rows.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

from shakedown.bridge.core.model import Model, Sample
from shakedown.bridge.journal import entry_log
from shakedown.bridge.journal.journal import Journal

KEY = "bridge/image"

READ_ROWS = 5000

_ROW = struct.Struct("<Q")  # the image is as of this journal row


class LastValues:
    """What the journal has of the newest values."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._log, self._whole, self._changes = entry_log.read(KEY, journal.get)
        self._stored: dict[int, Sample] = {}

    async def store(self, samples: Sequence[Sample], row: int) -> None:
        """Store the newest samples as of journal row `row`. Raises JournalError."""
        stored = self._stored
        changed = [sample for sample in samples if stored.get(sample.metric_id) != sample]
        head = _ROW.pack(row)
        log, entries = self._log.next(
            KEY,
            lambda: head + self._journal.encoded(samples),
            head + self._journal.encoded(changed) if stored else None,
        )
        await self._journal.append([], entries)
        self._log = log
        stored.update((sample.metric_id, sample) for sample in changed)

    async def recall(self, model: Model, target: str) -> list[Sample]:
        """Samples as stored, then of those journaled later the newest and the last of each metric; [] for a new one."""
        row, samples = self._journal.watermark(target), []
        if self._whole is not None and not self._log.whole_b:  # of an earlier format
            row, entries = msgspec.msgpack.decode(self._whole)
            ids = {f"{metric.device}/{metric.name}": metric.metric_id for metric in model.metrics}
            samples = [Sample(ids[key], *rest) for key, *rest in entries if key in ids]
        elif self._whole is not None:
            for part in (self._whole, *self._changes):
                [row] = _ROW.unpack_from(part)
                samples += self._journal.decoded(part[_ROW.size :])
        last: dict[int, Sample] = {}
        newest: dict[int, Sample] = {}
        while rows := await self._journal.read(target, row, READ_ROWS):
            for _, sample in rows:
                last[sample.metric_id] = sample
                if sample.ts_ms >= newest.setdefault(sample.metric_id, sample).ts_ms:
                    newest[sample.metric_id] = sample
            row = rows[-1][0]
        return [*samples, *newest.values(), *(s for s in last.values() if s is not newest[s.metric_id])]
