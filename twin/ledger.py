"""The ledger: what physically happened, one JSON document a line (docs/architecture.md, `ledger.jsonl`)."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import msgspec

FORMAT = 1
NS_PER_MS = 1_000_000
ROWS_MAX = 4_096
"""Rows held in memory; at the bound they are encoded in one go and written to the file."""

Change = tuple[int, bool | int | float | str | None, int]
"""Index of the signal, value (None if there is none), OPC UA StatusCode (0 is Good)."""

SIGNAL_FIELDS = ("tag", "node_id", "machine", "data_type", "unit", "eu_low", "eu_high", "scan_ms")


class LedgerError(Exception):
    """The ledger cannot be written: says which file, why, and what to do about it."""


class _Signal(Protocol):
    """What the header says of a signal: the attributes named in SIGNAL_FIELDS."""

    @property
    def tag(self) -> str: ...
    @property
    def node_id(self) -> str: ...


class Chronicle(Protocol):
    """What a line writes to: a `Ledger`, or who keeps it at hand. Epoch times in ns, `start_ns` in whole ms."""

    start_ns: int

    def header(
        self, plant: str, seed: int, signals: Sequence[_Signal], more: Mapping[str, Any] | None = None
    ) -> None: ...
    def samples(self, source_ts_ns: int, changes: Iterable[Change]) -> None: ...
    def event(self, ns: int, kind: str, machine: str, data: Mapping[str, Any]) -> None: ...


class Ledger:
    """Writer of one `ledger.jsonl`; leaving the `with` block in order closes it, leaving it by an error does not.

    `start_ns` is the epoch time of the model's time zero; it is cut to whole milliseconds, the resolution that a
    timestamp keeps all the way to the enterprise. A ledger whose last line is not a `Z` is incomplete: so an
    interrupted run cannot be taken for a finished one.

    Raises LedgerError: the file exists already, its folder does not, the disk is full. After a failed write nothing
    more is written, so that the part on disk stays a prefix of the truth.
    """

    def __init__(self, path: str | Path, *, start_ns: int) -> None:
        self.path = Path(path)
        self.start_ns = start_ns // NS_PER_MS * NS_PER_MS
        self.samples_written = 0
        self.events_written = 0
        self._last_ns = self.start_ns
        self._rows: list[object] = []
        self._encode_lines = msgspec.json.Encoder().encode_lines
        try:
            self._fd: int | None = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except OSError as error:
            raise LedgerError(_explain(self.path, error)) from error

    def header(
        self, plant: str, seed: int, signals: Sequence[_Signal], more: Mapping[str, Any] | None = None
    ) -> None:
        """Write the first line: what was simulated, which signals the indices stand for, and what `more` there is."""
        described = [{name: getattr(signal, name) for name in SIGNAL_FIELDS} for signal in signals]
        line = {"kind": "header", "format": FORMAT, "plant": plant, "seed": seed, "start_ns": self.start_ns}
        self._append({**line, "signals": described, **(more or {})})
        self.flush()

    def samples(self, source_ts_ns: int, changes: Iterable[Change]) -> None:
        """Write one `S` line for each change of one scan."""
        rows: list[object] = []
        for index, value, status in changes:
            row = ("S", source_ts_ns, index, value, status)
            rows.append(_writable(row) if isinstance(value, float) and not isfinite(value) else row)
        self._rows += rows
        self.samples_written += len(rows)
        self._last_ns = source_ts_ns
        if len(self._rows) >= ROWS_MAX:
            self.flush()

    def event(self, ns: int, kind: str, machine: str, data: Mapping[str, Any]) -> None:
        """Write one `P` line; `data` must not change afterwards."""
        self._last_ns = ns
        self.events_written += 1
        self._append(("P", ns, kind, machine, data))

    def flush(self) -> None:
        """Hand everything written so far to the file system."""
        if self._fd is None:
            raise LedgerError(f"Ledger {self.path} is closed; write to it before close() only.")
        block = memoryview(self._encode_lines(self._rows))
        self._rows = []
        try:
            while block:
                block = block[os.write(self._fd, block) :]
        except OSError as error:
            self._release()
            raise LedgerError(_explain(self.path, error)) from error

    def close(self, *, complete: bool = True) -> None:
        """Write the rest and, if the run was `complete`, the `Z` line. A second call does nothing."""
        if self._fd is None:
            return
        if complete:
            totals = {"samples": self.samples_written, "events": self.events_written}
            self._rows.append(("Z", self._last_ns, totals))
        self.flush()
        self._release()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(complete=kind is None)

    def _append(self, row: object) -> None:
        self._rows.append(row)
        if len(self._rows) >= ROWS_MAX:
            self.flush()

    def _release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
        self._fd = None
        self._rows = []


def _writable(row: tuple[Any, ...]) -> msgspec.Raw:
    """A row with NaN or infinity, as Python's json writes it; JSON has no word for them."""
    return msgspec.Raw(json.dumps(row, separators=(",", ":")).encode())


_REMEDIES = {
    errno.EEXIST: "it exists already and is never overwritten; choose another run folder or remove it",
    errno.ENOENT: "its folder does not exist; create it first",
    errno.ENOSPC: "the disk is full; free space there, or put the run folder on another disk",
    errno.EDQUOT: "the disk quota is used up; free space there, or put the run folder on another disk",
    errno.EFBIG: "the file has reached the size that the system allows; raise the limit or run for a shorter time",
}


def _explain(path: Path, error: OSError) -> str:
    remedy = _REMEDIES.get(error.errno or 0, "check the path, its rights and the disk")
    return f"Ledger {path} cannot be written ({error.strerror}): {remedy}."
