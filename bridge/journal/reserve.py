"""Room on the disk for what a session needs when there is none left: a file that is given up in time of need."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path

RESERVE_B = 8 * 2**20
"""Enough for the write-ahead log (1,000 pages and one transaction more) to go into the file: then both go on within
the room that they have."""

TRY_S = 1.0
"""Pause between two attempts to get it back."""

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Reserve:
    """The file `<journal>.reserve`; where it is spent, what needs new room has to wait until it can be had again."""

    def __init__(self, journal: Path) -> None:
        self._path = journal.with_name(journal.name + ".reserve")
        self._tried_s = 0.0
        self.is_spent = not self._take()

    def spend(self) -> None:
        """Give the room back to the disk."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        self.is_spent, self._tried_s = True, time.monotonic()

    def regain(self) -> bool:
        """Try to have it again, if the last try was long enough ago; returns whether it is there."""
        if self.is_spent and time.monotonic() - self._tried_s >= TRY_S:
            self.is_spent, self._tried_s = not self._take(), time.monotonic()
        return not self.is_spent

    def _take(self) -> bool:
        """A file system that cannot set room aside at all has none in reserve, and is used without."""
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                if os.fstat(file).st_blocks * 512 < RESERVE_B and hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file, 0, RESERVE_B)
            finally:
                os.close(file)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._path.unlink()
            return error.errno not in NO_ROOM
        return True
