"""Where the minutes of a shift went, machine by machine: what happened beside what was reported, and how it is shown.

The bar of a machine and the cells beside it are the same seconds; losses and running time make the planned time.
"""

from __future__ import annotations

from typing import Any

import msgspec

from shakedown.acceptance.blocks import (
    BARS,
    ROWS_MAX,
    Block,
    Cell,
    Key,
    Row,
    Table,
    Tone,
    bar,
    numbers,
    stacked,
    text,
)
from shakedown.acceptance.oee import figures as of_reports
from shakedown.acceptance.oee.companions import TIMES
from shakedown.acceptance.oee.line_truth import LineTruth
from shakedown.acceptance.oee.losses import Losses
from shakedown.acceptance.oee.oracle import ShiftTruth
from shakedown.acceptance.spans import S
from shakedown.acceptance.wording import NONE, clock, percent

KINDS = {
    "failure": "failures", "minor_stop": "minor stops", "changeover": "changing over", "speed": "too slow",
    "supply": "nothing to work on", "demand": "nobody to hand on to", "idle": "idle", "no_order": "no order",
    "unknown": "not known",
}  # fmt: skip
TONES: dict[str, Tone] = {
    "apt_s": "run", "aust_s": "changeover", "failure_s": "fault", "minor_stop_s": "fault", "starved_s": "idle",
    "blocked_s": "idle", "idle_s": "idle", "unknown_s": "pause",
}  # fmt: skip
LOSS_TONES: dict[str, Tone] = {
    "changeover": "changeover", "failure": "fault", "minor_stop": "fault", "unknown": "pause"
}  # fmt: skip
KEYS = [
    Key("run", "runs"),
    Key("changeover", "changes over"),
    Key("fault", "at fault"),
    Key("idle", "waits or is idle"),
    Key("pause", "not known"),
]


class Loss(msgspec.Struct, frozen=True):
    """Planned time in which the line's counting machine did not run, and why; None where no report says of it."""

    work_unit: str
    kind: str
    true_s: float
    reported_s: float | None


class UnitTimes(msgspec.Struct, frozen=True):
    """What a machine did in the planned time, by the times of docs/oee.md."""

    work_unit: str
    seconds: dict[str, float]


class LossTree(msgspec.Struct, frozen=True):
    """The planned time and the running time of the line's counting machine, and what is between them."""

    pbt_s: float = 0.0
    apt_s: float = 0.0
    losses: list[Loss] = []
    units: list[UnitTimes] = []


def tree_of(lines: LineTruth, truth: ShiftTruth, report: dict[str, Any] | None) -> LossTree:
    """Where the time went."""
    spans = [(truth.from_ns, truth.to_ns)]
    course, own = lines.course, lines.line.counting.name
    entries = (report or {}).get("losses")
    told = {
        (str(entry.get("work_unit")), str(entry.get("kind"))): of_reports.number(entry.get("s"))
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
    }
    true = {cause: ns / S for cause, ns in Losses(course, lines.line).within(spans).items()}
    losses = [
        Loss(*cause, true.get(cause, 0.0), told.get(cause, 0.0) if told else None)
        for cause in {**true, **told}
    ]
    place = {unit.name: number for number, unit in enumerate(lines.line.units)}
    losses.sort(key=lambda loss: (place.get(loss.work_unit, len(place)), -loss.true_s, loss.kind))
    units = [
        UnitTimes(
            unit.name,
            {time: course.planned_ns(unit.name, (kind,), spans) / S for time, kind in TIMES.items()},
        )
        for unit in lines.line.units
    ]
    apt_s = course.planned_ns(own, ("run",), spans) / S
    return LossTree(truth.pbt_ns / S, apt_s, losses, units)


def shown(tree: LossTree, wrong: frozenset[str]) -> list[Block]:
    """The tree, and below it the machines if there are several; `wrong` are the names of the figures that are."""
    blocks: list[Block] = [_losses(tree, wrong)]
    if len(tree.units) > 1:
        blocks.append(_machines(tree, wrong))
    return blocks


def _losses(tree: LossTree, wrong: frozenset[str]) -> Table:
    is_told = any(loss.reported_s is not None for loss in tree.losses)
    rows = [_row("planned", "", tree.pbt_s, None, tree.pbt_s, is_told, "")]
    rows.append(_row("ran", "", tree.apt_s, None, tree.pbt_s, is_told, "run"))
    for loss in tree.losses:
        name = f"losses of {loss.work_unit or 'none'}, {loss.kind}"
        tone = LOSS_TONES.get(loss.kind, "idle")
        words = KINDS.get(loss.kind, loss.kind)
        row = _row(
            loss.work_unit or "the line", words, loss.true_s, loss.reported_s, tree.pbt_s, is_told, tone
        )
        rows.append(Row(row.cells, "bad") if name in wrong else row)
    reported = ["reported"] if is_told else []
    columns = [*text("Where the minutes went", ""), *numbers("happened", *reported, "of the plan"), BARS]
    return Table(columns=columns, rows=rows[:ROWS_MAX])


def _row(
    who: str, why: str, true_s: float, reported_s: float | None, pbt_s: float, is_told: bool, tone: Tone
) -> Row:
    share = true_s / pbt_s if pbt_s else 0.0
    cells: list[str | Cell] = [who, why, clock(true_s)]
    cells += (
        [NONE if reported_s is None else clock(reported_s)] if is_told and why else [""] if is_told else []
    )
    return Row([*cells, percent(share), Cell(bars=[bar(true_s, pbt_s, tone)])])


def _machines(tree: LossTree, wrong: frozenset[str]) -> Table:
    rows = []
    for unit in tree.units:
        parts = stacked([(TONES[time], seconds) for time, seconds in unit.seconds.items()])
        cells = [clock(seconds) if seconds else "" for seconds in unit.seconds.values()]
        is_wrong = any(figure.endswith(f" of {unit.work_unit}") for figure in wrong)
        rows.append(Row([unit.work_unit, *cells, Cell(bars=[parts])], "bad" if is_wrong else ""))
    heads = ("ran", "changing over", "failures", "minor stops", "starved", "blocked", "idle", "not known")
    return Table(columns=[*text("Machine by machine"), *numbers(*heads), BARS], rows=rows, keys=KEYS)
