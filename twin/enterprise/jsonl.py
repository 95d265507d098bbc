"""An append-only log of JSON lines that tells a whole file from one that was cut short."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

_encode_lines = msgspec.json.Encoder().encode_lines


class JsonLines:
    """Append records to `path`, one JSON document a line; each `write` call reaches the file system before it returns.

    A crashed machine writes no more: after `cut()` everything is dropped. A file that does not end in a `Z` record was
    not closed in order. Raises OSError when the disk is full or the folder is missing.
    """

    def __init__(self, path: Path, *, append: bool = False) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if append else os.O_EXCL)
        self.path = path
        self._fd: int | None = os.open(path, flags, 0o644)

    def write(self, *records: object) -> None:
        """Append `records`, each on its own line, in one system call."""
        self.write_all(records)

    def write_all(self, records: Iterable[object]) -> None:
        """Append every record of `records` in one system call."""
        if self._fd is None:
            return
        block = memoryview(_encode_lines(records))
        while block:
            block = block[os.write(self._fd, block) :]

    def cut(self) -> None:
        """Stop writing at once, as a crash does: no last record."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def close(self, ns: int, **totals: int) -> None:
        """Write the `Z` record that says the log is whole, and close."""
        self.write(["Z", ns, totals])
        self.cut()
