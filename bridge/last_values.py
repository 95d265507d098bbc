"""The newest value of every metric, kept over a restart: births must show quiet metrics too.

The journal frees rows that have arrived, and a server whose subscription was resumed does not repeat what it has sent.
So the image is stored beside the rows now and then; what came after it is read from the rows themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from shakedown.bridge.core.model import Model, Sample

KEY = "bridge/image"

READ_ROWS = 5000


class RecallJournal(Protocol):
    last_row: int

    async def append(
        self, samples: Sequence[Sample], south_position: Mapping[str, bytes] | None = None
    ) -> range: ...
    async def read(self, target: str, after_row: int, limit: int) -> list[tuple[int, Sample]]: ...
    def position(self, key: str) -> bytes | None: ...
    def watermark(self, target: str) -> int: ...


async def store(journal: RecallJournal, model: Model, samples: Sequence[Sample], row: int) -> None:
    """Store the newest samples as of journal row `row`. Raises JournalError."""
    metrics = model.metrics
    entries = [(f"{metrics[s.metric_id].device}/{metrics[s.metric_id].name}", *s[1:]) for s in samples]
    await journal.append([], {KEY: msgspec.msgpack.encode((row, entries))})


async def recall(journal: RecallJournal, model: Model, target: str) -> list[Sample]:
    """Newest samples as stored, then those journaled later, in order; empty for a new journal."""
    row, samples = journal.watermark(target), []
    if stored := journal.position(KEY):
        row, entries = msgspec.msgpack.decode(stored)
        ids = {f"{metric.device}/{metric.name}": metric.metric_id for metric in model.metrics}
        samples = [Sample(ids[key], *rest) for key, *rest in entries if key in ids]
    newest: dict[int, Sample] = {}
    while rows := await journal.read(target, row, READ_ROWS):
        newest.update((sample.metric_id, sample) for _, sample in rows)
        row = rows[-1][0]
    return samples + list(newest.values())
