"""Acknowledgement time of a simulated operator: how much sooner somebody answers a true fault than with naive rules.

The operator model is replayed on what both policies annunciated on the same trajectory. Times run from the onset of the
fault, so a delay of the alarm costs; a fault that is never acknowledged counts with the cap. Gated is the primary cell
of the grid (median 15 s, base 10 per ten minutes, trust on); every other stable cell is reported, and none may be
slower than the baseline and the on-delay.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from statistics import fmean

import msgspec

from shakedown.acceptance.alarms.assumptions import carried_by
from shakedown.acceptance.alarms.labels import Labelled
from shakedown.acceptance.alarms.operators import (
    GRID,
    PRIMARY,
    WINDOW_S,
    Call,
    Cell,
    acknowledge,
    at_rate,
    fault_delays,
    trusted,
)
from shakedown.acceptance.alarms.oracle import in_words
from shakedown.acceptance.blocks import Block, Column, Row, Sentence, Table, Tone, text
from shakedown.acceptance.blocks import Cell as Shown
from shakedown.acceptance.criterion import Criterion, Finding, More, has_alarms, operations_unpromised
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.operations_site import PRIORITIES
from shakedown.acceptance.spans import S
from shakedown.acceptance.verdict import Answer
from shakedown.acceptance.wording import capital, percent, seconds
from shakedown.acceptance.wording import number as per_10_min

ARROW = "\N{RIGHTWARDS ARROW}"
CUT_MIN = 0.30
FAULTS_MIN = 10  # below, a bootstrap over faults promises more than it can keep
CAP_S = 1800.0
REPLAYS, REPLAYS_ELSEWHERE = 20, 4
RESAMPLES = 2_000
SEED = "shakedown acknowledgement"


class CellFigures(msgspec.Struct, kw_only=True, frozen=True):
    """One cell of the grid; the means are None without a fault."""

    cell: str
    primary: bool
    mean_s: float | None
    baseline_mean_s: float | None
    cut: float
    p95_s: float
    baseline_p95_s: float


class Recorded(msgspec.Struct, kw_only=True, frozen=True):
    """What the people of this run really did, beside the replay."""

    annunciations: int
    acknowledged: int
    mean_s: float | None
    p95_s: float | None


class Figures(msgspec.Struct, kw_only=True, frozen=True):
    """The bounds of the judged cell, and every cell that one person can keep up with."""

    cut_lower_95: float | None
    cut_upper_95: float
    baseline_per_10_min: float
    cap_s: float
    cells: list[CellFigures]
    breaches: list[str]
    recorded: Recorded


@dataclass
class Outcomes:
    """One cell: mean delay of each fault with both policies, in the same order, and all delays."""

    cell: Cell
    policy: list[float]
    baseline: list[float]
    p95_s: float
    baseline_p95_s: float

    @property
    def cut(self) -> float:
        """By how much the mean falls; negative if it rises."""
        return 1 - sum(self.policy) / sum(self.baseline) if sum(self.baseline) else 0.0


def judge(evidence: Evidence) -> Finding:
    """Replay the operator on both policies, cell by cell, and bound the cut of the primary one."""
    view = evidence.alarms
    onsets_s = {entry.fault.id: entry.fault.onset_ns / S for entry in view.detections}
    policy, baseline = _calls(view.policy, onsets_s), _calls(view.baseline, onsets_s)
    span_s = (view.from_ns / S, view.to_ns / S)
    cells = {
        cell: replay(cell, policy, baseline, onsets_s, span_s)
        for cell in GRID
        if cell.stable or cell == PRIMARY
    }
    primary = cells[PRIMARY]
    low, high = bootstrap(primary.policy, primary.baseline)
    on_delay_s = max((rule.on_delay_s for rule in evidence.run.operations.alarms), default=0.0)
    slower = [cell.name for cell, outcome in cells.items() if _slower(outcome, on_delay_s)]
    breaches = _breaches(evidence, primary, slower)
    verdict, needs = _verdict(len(onsets_s), low, high, primary.cut, breaches)
    figures = Figures(
        cut_lower_95=low if onsets_s else None,
        cut_upper_95=high,
        baseline_per_10_min=round(observed_base(baseline, span_s), 3),
        cap_s=CAP_S,
        cells=[_row(outcome) for outcome in cells.values()],
        breaches=breaches,
        recorded=_recorded(evidence),
    )
    return Finding(
        verdict=verdict,
        measured=f"{-primary.cut:+.0%} over {len(onsets_s)} faults (95 % bound {_percent(-low)})",
        statement=_statement(cells, low, onsets_s, breaches)
        + (view.rules_failed if verdict == "FAIL" else ""),
        needs=needs,
        figures=figures,
        blocks=_shown(figures),
    )


def _shown(figures: Figures) -> list[Block]:
    """The judged cell in words, and the grid."""
    by_name = {row.cell: row for row in figures.cells}
    blocks: list[Block] = [
        Sentence(
            "No person took part: a model of an operator answers what either set of rules annunciates on the same"
            " process. All times run from the beginning of a fault; one that is never answered counts as"
            f" {figures.cap_s / 60:g} minutes.",
            tone="unsure",
        )
    ]
    judged, low = by_name[PRIMARY.name], figures.cut_lower_95
    if judged.mean_s is not None and low is not None:
        blocks.append(
            Sentence(
                f"In the case that is judged ({PRIMARY.median_s:g} s an alarm, {PRIMARY.base:g} needless calls in ten"
                f" minutes, trust learned) the operator answers a fault after {seconds(judged.mean_s, 0)}, with naive"
                f" rules after {seconds(judged.baseline_mean_s, 0)}: {_change(judged)}."
                f" {capital(bound_in_words(low))}; {percent(CUT_MIN, 0)} is demanded. The slowest twentieth takes"
                f" {seconds(judged.p95_s, 0)} or more, with naive rules {seconds(judged.baseline_p95_s, 0)}."
            )
        )
    if figures.breaches:
        blocks.append(Sentence("What fails whatever the mean is:", figures.breaches, tone="bad"))
    bases = sorted({cell.base for cell in GRID})
    columns = [
        *text("time an alarm takes"),
        *(Column(f"{base:g} needless calls in 10 min") for base in bases),
    ]
    for ppv in (True, False):
        rows = [
            Row([f"{median:g} s", *(_grid_cell(by_name.get(Cell(median, base, ppv).name)) for base in bases)])
            for median in sorted({cell.median_s for cell in GRID})
        ]
        trust = "who learns which alarms to trust" if ppv else "who trusts every alarm"
        blocks.append(Table(title=f"Simulated operator, {trust}", columns=columns, rows=rows))
    return [*blocks, Sentence(_note(figures), tone="quiet")]


def _note(figures: Figures) -> str:
    note = (
        "Mean times of the simulated operator from a fault's beginning to its acknowledgement, naive rules"
        f" {ARROW} these rules. The naive rules made {per_10_min(figures.baseline_per_10_min, 1)} needless calls in ten"
        " minutes; each column thins or repeats those of both rules to its rate. In the other cases these rules may not"
        " be slower than the naive ones and the on-delay of the alarms together."
    )
    did = figures.recorded
    if did.acknowledged:
        note += (
            f" In the run itself the simulated people acknowledged {did.acknowledged} of {did.annunciations} calls,"
            f" {seconds(did.mean_s, 0)} after each on average."
        )
    return note


def _grid_cell(row: CellFigures | None) -> Shown:
    """How much sooner in one cell; there is none where nobody could keep up, or nothing was to be answered."""
    if row is None or row.mean_s is None:
        return Shown(small="nobody could keep up", tone="quiet")
    times = f"{seconds(row.baseline_mean_s, 0)} {ARROW} {seconds(row.mean_s, 0)}"
    tone: Tone = "good" if row.cut >= CUT_MIN else "bad" if row.cut < 0 else ""
    return Shown(_change(row), f"{times}{' (judged)' if row.primary else ''}", tone)


def _change(row: CellFigures) -> str:
    return f"{percent(abs(row.cut), 0)} {'sooner' if row.cut >= 0 else 'later'}"


def _calls(labelled: Labelled, onsets_s: dict[str, float]) -> list[Call]:
    """Annunciations as the operator hears them: when people could hear them, with the fault behind them if any.

    One that was hidden before anybody could have answered it is heard as well: whether that misses a fault is for the
    criterion of missed faults to say; here it answers no fault.
    """
    calls = []
    for entry in labelled.entries:
        fault = entry.fault if entry.hidden_ns is None else None
        told_s = entry.told_ns / S
        if fault is not None and told_s < onsets_s.get(fault, -math.inf):
            fault = None
        calls.append(Call(told_s, PRIORITIES.index(entry.rule.priority), entry.tag, fault))
    return trusted(calls)


def replay(
    cell: Cell,
    policy: list[Call],
    baseline: list[Call],
    onsets_s: dict[str, float],
    span_s: tuple[float, float],
) -> Outcomes:
    """Both policies in one cell; the same draws for both, several times, each fault's mean over them."""
    observed = observed_base(baseline, span_s)
    factor = cell.base / observed if observed else 0.0
    runs: list[list[dict[str, float]]] = [[], []]
    for number in range(REPLAYS if cell == PRIMARY else REPLAYS_ELSEWHERE):
        for calls, found in zip((policy, baseline), runs, strict=True):
            seed = f"{SEED}/{cell.name}/{number}"
            heard = at_rate(calls, factor, span_s, seed)
            done = acknowledge(heard, cell, seed)
            found.append(fault_delays(heard, done, onsets_s, CAP_S))
    means = [[fmean(run[fault] for run in found) for fault in onsets_s] for found in runs]
    tails = [p95([run[fault] for run in found for fault in onsets_s]) for found in runs]
    return Outcomes(cell, means[0], means[1], tails[0], tails[1])


def observed_base(baseline: list[Call], span_s: tuple[float, float]) -> float:
    """Calls of the baseline without a fault behind them, per ten minutes."""
    return sum(call.fault is None for call in baseline) * WINDOW_S / max(1e-9, span_s[1] - span_s[0])


def p95(values: list[float]) -> float:
    """The 95th percentile by nearest rank; 0 of nothing."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1] if values else 0.0


def bootstrap(policy: list[float], baseline: list[float]) -> tuple[float, float]:
    """One-sided 95 % lower and upper bound of the cut of the mean; faults are drawn in pairs, with replacement."""
    if not policy:
        return -math.inf, 1.0
    rng = random.Random(f"{SEED}/bootstrap")
    count = len(policy)
    cuts = []
    for _ in range(RESAMPLES):
        drawn = rng.choices(range(count), k=count)
        before = sum(baseline[index] for index in drawn)
        cuts.append(1 - sum(policy[index] for index in drawn) / before if before else 0.0)
    cuts.sort()
    return cuts[int(0.05 * RESAMPLES)], cuts[math.ceil(0.95 * RESAMPLES) - 1]


def _slower(outcome: Outcomes, on_delay_s: float) -> bool:
    """Whether the policy is slower than the baseline and the on-delay, by more than the draws of a replay explain."""
    excess = [new - old - on_delay_s for new, old in zip(outcome.policy, outcome.baseline, strict=True)]
    return sum(excess) > 0.0 and _resampled(excess)[0] > 0.0


def _resampled(values: list[float]) -> tuple[float, float]:
    """One-sided 95 % bounds of a mean, by bootstrap."""
    rng = random.Random(f"{SEED}/bootstrap")
    means = sorted(sum(rng.choices(values, k=len(values))) / len(values) for _ in range(RESAMPLES))
    return means[int(0.05 * RESAMPLES)], means[math.ceil(0.95 * RESAMPLES) - 1]


def _verdict(
    faults: int, low: float, high: float, cut: float, breaches: list[str]
) -> tuple[Answer, str | More | None]:
    if breaches:
        return "FAIL", None
    if faults < FAULTS_MIN:
        return "INCONCLUSIVE", More(FAULTS_MIN - faults, "faults", faults)
    if low >= CUT_MIN:
        return "PASS", None
    return (
        ("FAIL", None)
        if high < CUT_MIN or cut < CUT_MIN
        else ("INCONCLUSIVE", "more faults, or a larger cut")
    )


def _breaches(evidence: Evidence, primary: Outcomes, slower: list[str]) -> list[str]:
    found = []
    if not evidence.alarms.published:
        found.append("no state of any alarm ever reached the enterprise")
    if len(primary.policy) >= FAULTS_MIN:
        if primary.p95_s > primary.baseline_p95_s:
            found.append(
                f"the slowest answers (p95) take {primary.p95_s:.0f} s, with naive rules"
                f" {primary.baseline_p95_s:.0f} s"
            )
        found += [f"slower than naive rules and the on-delay at {name}" for name in slower]
    found += in_words(evidence.alarms.lives.of(is_answer=True), evidence.run.ledger.start_ns)
    return found


def _recorded(evidence: Evidence) -> Recorded:
    entries = evidence.alarms.policy.entries
    waits = [(entry.acked_ns - entry.ns) / S for entry in entries if entry.acked_ns is not None]
    return Recorded(
        annunciations=len(entries),
        acknowledged=len(waits),
        mean_s=fmean(waits) if waits else None,
        p95_s=p95(waits) if waits else None,
    )


def _percent(value: float) -> str:
    return f"{value:+.0%}" if math.isfinite(value) else "none"


def _row(outcome: Outcomes) -> CellFigures:
    return CellFigures(
        cell=outcome.cell.name,
        primary=outcome.cell == PRIMARY,
        mean_s=fmean(outcome.policy) if outcome.policy else None,
        baseline_mean_s=fmean(outcome.baseline) if outcome.baseline else None,
        cut=outcome.cut,
        p95_s=outcome.p95_s,
        baseline_p95_s=outcome.baseline_p95_s,
    )


def _statement(
    cells: dict[Cell, Outcomes], low: float, onsets_s: dict[str, float], breaches: list[str]
) -> str:
    if breaches:
        return f"{capital(breaches[0])} (simulated operator)."
    if not onsets_s:
        return "There was no fault to be acknowledged (simulated operator)."
    demanded = "" if low >= CUT_MIN else f"; {CUT_MIN:.0%} shorter is demanded"
    primary, cuts = cells[PRIMARY], {cell: outcome.cut for cell, outcome in cells.items()}
    return (
        f"A simulated operator answers a true fault {fmean(primary.policy):.0f} s after it began, with naive rules"
        f" {fmean(primary.baseline):.0f} s; {bound_in_words(low)}{demanded}. {carried_by(cuts, CUT_MIN)}"
    )


def bound_in_words(low: float) -> str:
    """The lower bound of the cut of the mean; where it is negative, nothing shows that there is a cut at all."""
    if low > 0:
        return f"with 95 % confidence the mean is at least {low:.0%} shorter"
    if not math.isfinite(low):
        return "nothing bounds the difference"
    return f"that it is shorter at all is not shown: with 95 % confidence it may be up to {max(0.0, -low):.0%} longer"


CRITERION = Criterion(
    name="acknowledgement",
    title="Acknowledgement time (simulated operator)",
    question="Would somebody answer a fault sooner?",
    threshold=(
        "mean from fault onset down >= 30 % in the primary cell of the operator model; p95 not worse; each"
        " acknowledgement obeyed and recorded"
    ),
    judge=judge,
    figures=Figures,
    applies=has_alarms,
    unpromised=operations_unpromised,
)
