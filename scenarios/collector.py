"""The garbage collector during a run."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLDS = (50_000, 20, 20)  # Python's own are (700, 10, 10)


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look for reference cycles more rarely until the block is left.

    What a process has imported and a run holds never becomes garbage; walking it again and again was a seventh of a
    run's time. Cycles still go: some 10 MB more memory, whatever the length of the run.
    """
    before = gc.get_threshold()
    gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
