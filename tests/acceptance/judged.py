"""Judges what a test has at stake, for the criteria that it leaves out may take longer than all the rest."""

from __future__ import annotations

from pathlib import Path

from shakedown.acceptance import Verdict, judge
from shakedown.acceptance.criteria import CRITERIA


def judged_by(names: set[str], folder: Path, *, strict: bool = False) -> Verdict:
    """The verdict of the criteria of those names, as if there were no others."""
    assert names <= {row.name for row in CRITERIA}, names
    return judge(folder, strict=strict, only=names)


def judge_reported(folder: Path) -> Verdict:
    """The verdict of all criteria but the acknowledgement time, which replays people on alarms left as they were."""
    return judged_by({row.name for row in CRITERIA} - {"acknowledgement"}, folder)
