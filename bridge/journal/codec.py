"""Samples to batches and back: which metric of the configuration has which key in the file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from sqlite3 import Connection

from shakedown.bridge.core.model import Metric, Sample
from shakedown.bridge.journal import packing, tables
from shakedown.bridge.journal.packing import BATCH_MAX

log = logging.getLogger("shakedown.bridge.journal")

Packed = tuple[int, bytes]  # number of samples, their encoding


class Codec:
    """Knows the keys; without a configuration the metric_id is the key."""

    def __init__(self, path: Path, rows_max: int) -> None:
        self._path = path
        self._size = max(1, min(BATCH_MAX, rows_max // 64))  # at the bound a batch goes as a whole
        self._keys: dict[int, int] = {}  # metric_id -> key
        self._metric_ids: dict[int, int] | None = None  # the other way round; None: they are the same

    def load(self, connection: Connection, metrics: Sequence[Metric]) -> None:
        """Give each metric its key, in the open transaction. Raises DatabaseError."""
        if not metrics:
            return
        keys = tables.read_metrics(connection)
        names = {metric.metric_id: f"{metric.device}/{metric.name}" for metric in metrics}
        following = max(keys.values(), default=0) + 1
        new = list(enumerate(dict.fromkeys(name for name in names.values() if name not in keys), following))
        tables.write_metrics(connection, new)
        keys |= {name: key for key, name in new}
        self._keys = {metric_id: keys[name] for metric_id, name in names.items()}
        self._metric_ids = {key: metric_id for metric_id, key in self._keys.items()}
        if retired := sorted(keys.keys() - set(names.values())):
            log.warning(
                "journal %s: rows of %d metrics no longer configured are skipped: %s",
                self._path, len(retired), retired[:5],
            )  # fmt: skip

    def pack(self, samples: Sequence[Sample]) -> list[Packed]:
        """Encode samples as batches. Raises ValueError for a value without encoding, or a metric not configured."""
        pieces = [samples[start : start + self._size] for start in range(0, len(samples), self._size)]
        try:
            return [(len(piece), packing.encode(piece, self._keys)) for piece in pieces]
        except KeyError:
            unknown = sorted({sample.metric_id for sample in samples} - self._keys.keys())
            if self._metric_ids is not None:
                raise ValueError(
                    f"journal {self._path}: metric_id {unknown[:5]} is not in the configuration"
                ) from None
            self._keys.update((metric_id, metric_id) for metric_id in unknown)
            return self.pack(samples)
        except ValueError as error:
            raise ValueError(f"journal {self._path}: {error}") from error

    def rows(self, first: int, count: int, blob: bytes) -> list[tuple[int, Sample]]:
        """The rows of a batch, less those of metrics no longer configured; raises Damaged."""
        return packing.decode(first, count, blob, self._metric_ids)

    def encoded(self, samples: Sequence[Sample]) -> bytes:
        """Samples of metrics with a key, as they can stand in an entry."""
        if not samples:
            return b""
        return len(samples).to_bytes(4) + packing.seal(0, packing.encode(samples, self._keys))

    def decoded(self, blob: bytes) -> list[Sample]:
        """Those samples again; raises Damaged."""
        return [sample for _, sample in self.rows(0, int.from_bytes(blob[:4]), blob[4:])] if blob else []
