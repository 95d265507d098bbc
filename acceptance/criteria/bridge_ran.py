"""The bridge's process: one that ends unasked, floods, or does not end when asked fails, whatever had arrived."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import msgspec

from shakedown.acceptance.blocks import Sentence
from shakedown.acceptance.criterion import Criterion, Finding
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.run import Run

LOG = "bridge.log"
LINES_MAX, LINE_MAX, TAIL_BYTES = 12, 400, 1 << 16


class Figures(msgspec.Struct, kw_only=True, frozen=True):
    """How the bridge ended, None if it did not, and the last lines of its log if it did."""

    ended: str | None
    last_lines: list[str]


def judge(evidence: Evidence) -> Finding:
    """The word of the lab, which runs the bridge and sees it end."""
    ended = evidence.run.manifest.get("bridge_ended")
    if not ended:
        return Finding(
            verdict="PASS",
            measured="ran to the end",
            statement="The bridge ran until the lab stopped it.",
            figures=Figures(ended=None, last_lines=[]),
        )
    lines = last_lines(evidence.run.folder / LOG)
    wrote = f"The last lines of its log ({LOG}):" if lines else f"It wrote nothing into its log ({LOG})."
    return Finding(
        verdict="FAIL",
        measured="failed as a process",
        statement=f"As a process the bridge failed: {str(ended).rstrip('.')}.",
        figures=Figures(ended=str(ended), last_lines=lines),
        blocks=[Sentence(wrote, lines, tone="bad")],
    )


def last_lines(path: Path) -> list[str]:
    """The last lines of a log, bounded in number and length; none if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line[:LINE_MAX] for line in deque(filter(str.strip, text.splitlines()), LINES_MAX)]


def unpromised(run: Run) -> str:
    """Of a bridge that others run, nobody sees whether it ends."""
    return "" if run.bridge.watched else "the lab does not run this bridge, and cannot see whether it ends"


CRITERION = Criterion(
    name="bridge_ran",
    title="Bridge stays up",
    question="Did the bridge stay up?",
    threshold="it runs until the lab stops it, and then ends",
    judge=judge,
    figures=Figures,
    unpromised=unpromised,
    takes_time=False,
)
