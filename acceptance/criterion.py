"""What a criterion is: its one file says all of this, and the table in criteria/ has a row for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from shakedown.acceptance.blocks import Block
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.run import Run
from shakedown.acceptance.verdict import Answer
from shakedown.acceptance.wording import lasting


class More(NamedTuple):
    """What a verdict still needs: `needed` more of what the run has `seen` so many of."""

    needed: int
    what: str
    seen: int
    about: bool = False

    def in_words(self, seconds: float) -> str:
        """With the time that it takes at the pace of the `seconds` that were judged, where there was any."""
        said = f"{'about ' if self.about else ''}{self.needed:,} more {self.what}"
        if self.seen <= 0:
            return said
        more_s = seconds * self.needed / self.seen
        return f"{said}: at the pace of this run {lasting(more_s)} more"


class Finding(msgspec.Struct, kw_only=True):
    """What a criterion found in a run. `threshold` where another one held than the criterion's own.

    NOT_APPLICABLE where the run gave no occasion. `is_short`: what is INCONCLUSIVE lacks evidence and no more, so that
    a scenario may have announced it.
    """

    verdict: Answer
    measured: str
    statement: str
    figures: msgspec.Struct
    blocks: list[Block] = []
    needs: str | More | None = None
    threshold: str = ""
    is_short: bool = True


def always(run: Run) -> bool:
    """What every run is judged on."""
    return True


def has_alarms(run: Run) -> bool:
    """Only a site with alarms is judged on them."""
    return bool(run.operations.alarms)


def promised(run: Run) -> str:
    """What every bridge owes."""
    return ""


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One row of the table, made in the criterion's own file.

    `figures` is the type of what `judge` finds. A run for which `applies` says no has nothing of the kind, and the
    criterion is absent from its verdict. `unpromised` says why the bridge of a run does not owe it, "" if it does: it
    is then NOT_APPLICABLE, and measured only if it `is_measured_anyway`. Where a `decisive` one is, nothing is
    concluded of the run. `of_samples`: it takes samples that can be told from one another. `takes_time`: a run can be
    too short for it, and a scenario may announce so.
    """

    name: str
    title: str
    question: str
    threshold: str
    judge: Callable[[Evidence], Finding]
    figures: type[msgspec.Struct]
    applies: Callable[[Run], bool] = always
    unpromised: Callable[[Run], str] = promised
    decisive: bool = False
    is_measured_anyway: bool = False
    of_samples: bool = False
    takes_time: bool = True


def operations_unpromised(run: Run) -> str:
    """Why a bridge does not owe the alarms, OEE and work orders of its site, "" if it does."""
    promises = run.bridge.promises
    if not promises.operations:
        return "the bridge does not promise to derive alarms, OEE or work orders"
    if promises.protocol != "sparkplug":
        return (
            "alarms, OEE and work orders are read from Sparkplug metrics, and the bridge promises plain JSON"
        )
    if promises.identity == "values":
        return "the values of this run count samples, and no process is behind them"
    return ""
