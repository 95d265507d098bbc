"""Room on the disks that a run writes to: a full disk is the lab's trouble and must never look like the bridge's."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from shakedown.scenarios.errors import HarnessFault, UsageError

MIB = 2**20
START_MIN_BYTES = 64 * MIB  # even the shortest run asks for so much
SAMPLE_BYTES = 600  # what a sample takes in folder and journal (270 bytes of shift_short), and as much again
RUN_MIN_BYTES = 8 * MIB  # the run ends here, while its logs and the bridge's journal can still be written


def needed(scan_s: float, signals: int, duration_s: float) -> int:
    """Bytes that must be free before a run of so many signals, offered every `scan_s`, begins."""
    return max(START_MIN_BYTES, int(signals * duration_s / scan_s) * SAMPLE_BYTES)


def is_roomy(place: Path, needed_bytes: int) -> bool:
    """Whether `place` can be written to and has room for a run."""
    return os.access(place, os.W_OK) and _free(place) >= needed_bytes


def check_start(place: Path, needed_bytes: int) -> None:
    """Raise UsageError when a place has no room for a run."""
    if (free := _free(place)) < needed_bytes:
        raise UsageError(f"{place} has {free / MIB:,.0f} MiB free, and this run needs {needed_bytes / MIB:,.0f} MiB. "
                         "Free space there, or choose another disk with --out (for the bridge's journal: with the "
                         "environment variable TMPDIR).")  # fmt: skip


def check_run(*places: Path) -> None:
    """Raise HarnessFault when one of the places is nearly full."""
    for place in places:
        if (free := _free(place)) < RUN_MIN_BYTES:
            raise HarnessFault(f"the disk of {place} is nearly full ({free / MIB:.1f} MiB free), and the run was ended "
                               "before anything was lost for it. Free space there, or choose another disk")  # fmt: skip


def _free(place: Path) -> int:
    return shutil.disk_usage(place).free
