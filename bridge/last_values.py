"""The newest value of every metric, kept over a restart: births must show quiet metrics too.

The journal frees rows that have arrived, and a server whose subscription was resumed does not repeat what it has sent.
So the image is stored beside the rows now and then; what came after it is read from the rows themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shakedown.bridge.core.model import Model, Sample
from shakedown.bridge.journal import Journal

KEY = "bridge/image"

READ_ROWS = 5000


async def store(journal: Journal, model: Model, samples: Sequence[Sample], row: int) -> None:
    """Store the newest samples as of journal row `row`. Raises JournalError."""
    metrics = model.metrics
    entries = [(f"{metrics[s.metric_id].device}/{metrics[s.metric_id].name}", *s[1:]) for s in samples]
    await journal.append([], {KEY: msgspec.msgpack.encode((row, entries))})


async def recall(journal: Journal, model: Model, target: str) -> list[Sample]:
    """Newest samples as stored, then those journaled later, in order; empty for a new journal."""
    row, samples = journal.watermark(target), []
    if stored := journal.get(KEY):
        row, entries = msgspec.msgpack.decode(stored)
        ids = {f"{metric.device}/{metric.name}": metric.metric_id for metric in model.metrics}
        samples = [Sample(ids[key], *rest) for key, *rest in entries if key in ids]
    newest: dict[int, Sample] = {}
    while rows := await journal.read(target, row, READ_ROWS):
        newest.update((sample.metric_id, sample) for _, sample in rows)
        row = rows[-1][0]
    return samples + list(newest.values())
