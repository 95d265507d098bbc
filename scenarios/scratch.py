"""The scratch folder of a run: gone after it, and if its process was killed, when the next run begins."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PREFIX = "shakedown-"
LOCK = ".lock"  # held by the run; the system lets go of it, however the process ends


@contextlib.contextmanager
def scratch_in(place: Path) -> Iterator[Path]:
    """A new folder in `place`, after those of killed runs were removed there."""
    for left in place.glob(f"{PREFIX}*/{LOCK}"):
        with contextlib.suppress(OSError), left.open("rb") as lock:  # another user's, or gone meanwhile
            if _is_taken(lock):
                shutil.rmtree(left.parent, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=place) as name:
        folder = Path(name)
        with (folder / f"{LOCK}.new").open("wb") as lock:
            _is_taken(lock)
            (folder / f"{LOCK}.new").rename(folder / LOCK)  # never there without being held
            yield folder


def _is_taken(lock: BinaryIO) -> bool:
    """Whether nobody else held it; it is ours then, until it is closed."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
