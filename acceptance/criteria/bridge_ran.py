"""The bridge's process: one that ends unasked, floods, or does not end when asked fails, whatever had arrived."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import msgspec
import numpy as np

from shakedown.acceptance.blocks import Sentence
from shakedown.acceptance.criterion import Criterion, Finding
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.run import GRACE_S, Run, free_time_later
from shakedown.acceptance.spans import S
from shakedown.acceptance.wording import clock

LOG = "bridge.log"
LINES_MAX, LINE_MAX, TAIL_BYTES = 12, 400, 1 << 16


class Figures(msgspec.Struct, kw_only=True, frozen=True):
    """How the bridge ended, None if it did not, and the last lines of its log if it did."""

    ended: str | None
    last_lines: list[str]


def judge(evidence: Evidence) -> Finding:
    """The word of the lab, which runs the bridge and sees it end; or that of the enterprise, which sees it no more."""
    ended = evidence.run.manifest.get("bridge_ended") or gone(evidence.run)
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


def gone(run: Run) -> str:
    """When the last session of the edge node ended, if nothing that was cut explains why none followed; else ""."""
    last: tuple[int, str] | None = None
    for ns, kind, details in run.host.events:
        if kind in ("online", "stale") and details.get("edge") == run.site.edge:
            last = ns, kind
    if last is None or last[1] == "online":
        return ""
    back_ns = int(free_time_later(np.array([last[0]]), int(GRACE_S * S), run.cuts)[0])
    if back_ns >= run.window_end_ns:
        return ""
    at = clock((last[0] - run.ledger.start_ns) / S)
    return f"its session ended at {at}, nothing kept it from another, and none has begun since"


def unpromised(run: Run) -> str:
    """Of a bridge that others run, nobody sees whether it ends, unless it is gone from the enterprise too."""
    if run.bridge.watched or gone(run):
        return ""
    return "the lab does not run this bridge, and cannot see whether it ends"


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
