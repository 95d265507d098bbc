"""False alarms and missed faults: who is called has a reason to come, and no fault that matters goes untold.

False is an annunciation with no true fault behind it, whatever else it looks like. A fault is missed when none of its
alarms spoke while it was there, or what spoke was shelved or suppressed before anybody had acknowledged it.
"""

from __future__ import annotations

import math
from statistics import median

import msgspec

from shakedown.acceptance.alarms.labels import flood_share
from shakedown.acceptance.alarms.oracle import Breach, in_words
from shakedown.acceptance.alarms.view import AlarmView, Detection
from shakedown.acceptance.blocks import BARS, Block, Cell, Row, Sentence, Table, bar, numbers, text
from shakedown.acceptance.criterion import Criterion, Finding, More, has_alarms, operations_unpromised
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.physical import TrueFault
from shakedown.acceptance.spans import S
from shakedown.acceptance.statistics import lower_bound, trials_needed, upper_bound
from shakedown.acceptance.verdict import Answer
from shakedown.acceptance.wording import capital, clock, counted, grouped, number, percent, seconds

FALSE_MAX = 0.10
ENOUGH = trials_needed(0, FALSE_MAX)  # 29: annunciations that pass without a false one
MISS_MAX = (
    0.05  # of faults that are not critical; a run says it of itself only when the lower bound is beyond
)
ROUNDING = 1e-9  # one of one missed has a lower bound of 5 %, which is not beyond it
IN_TIME_SHARE = 0.95
LISTED_MAX = 20
SHOWN_MAX = 10
BEYOND = 1.5  # the bar of a delay ends at this multiple of its bound
DELAYS = (
    "The mark in each bar is the fault's bound: a quarter of the time that people have to respond or, if that is less,"
    " the naive rules' own delay, the alarm's on-delay and two looks at the signal; never less than their own delay"
    " and two looks. 95 % of faults must be within it. Taken from the twenty slowest."
)


class Delays(msgspec.Struct, kw_only=True, frozen=True):
    """Of the faults that were reported; `worst` begins with those that were not."""

    median_s: float
    p95_s: float
    max_s: float
    worst: list[Detection]


class Figures(msgspec.Struct, kw_only=True, frozen=True):
    """The share of false alarms with its bounds, what fails whatever it is, and what became of the faults."""

    annunciations: int
    false: int
    share: float | None
    lower_95: float
    upper_95: float
    of_those_without_a_consequence: float | None
    vetoes: list[str]
    faults: int
    faults_still_to_be_told: int
    missed: list[Detection]
    miss_rate_upper_95: float
    baseline_missed: int
    delays: Delays | None
    flood_share: float
    baseline_flood_share: float
    transitions_as_the_rules_say: int
    transitions_excused: dict[str, int]
    transitions_wrong: int
    wrong: list[Breach]


def judge(evidence: Evidence) -> Finding:
    """Bound the share of false alarms, then hold the vetoes."""
    view = evidence.alarms
    total, false = len(view.policy.entries), view.policy.without_fault
    wrong = view.lives.of(is_answer=False)
    astray = in_words(wrong, evidence.run.ledger.start_ns)
    vetoes = _vetoes(view)
    verdict, needs = _verdict(total, false, vetoes + astray)
    high = upper_bound(false, total)
    missed = [entry for entry in view.detections if entry.missed]
    figures = Figures(
        annunciations=total,
        false=false,
        share=false / total if total else None,
        lower_95=lower_bound(false, total),
        upper_95=high,
        of_those_without_a_consequence=_share(false, total - view.policy.count("REDUNDANT")),
        vetoes=vetoes + astray,
        faults=len(view.detections),
        faults_still_to_be_told=view.pending,
        missed=missed[:LISTED_MAX],
        miss_rate_upper_95=upper_bound(len(missed), len(view.detections)),
        baseline_missed=sum(entry.baseline_s is None for entry in view.detections),
        delays=_delays(view.detections),
        flood_share=flood_share(view.policy.entries, view.from_ns, view.to_ns),
        baseline_flood_share=flood_share(view.baseline.entries, view.from_ns, view.to_ns),
        transitions_as_the_rules_say=view.lives.exact,
        transitions_excused=dict(sorted(view.lives.excused.items())),
        transitions_wrong=len(wrong),
        wrong=wrong[:LISTED_MAX],
    )
    return Finding(
        verdict=verdict,
        measured=f"{false} of {total} annunciations false, {len(missed)} of {len(view.detections)} faults missed",
        statement=_statement(view, total, false, high, vetoes, astray)
        + (view.rules_failed if verdict == "FAIL" else ""),
        needs=needs,
        figures=figures,
        blocks=_shown(figures, evidence.run.ledger.start_ns),
    )


def _shown(figures: Figures, start_ns: int) -> list[Block]:
    """The share and its bound, the vetoes, and of the faults those missed and those told last."""
    blocks: list[Block] = [Sentence(_share_in_words(figures))]
    if figures.vetoes:
        blocks.append(Sentence("What fails whatever that share is:", grouped(figures.vetoes), tone="bad"))
    if figures.faults:
        blocks.append(Sentence(_faults_in_words(figures)))
    blocks.append(Sentence(_transitions_in_words(figures)))
    if figures.missed:
        rows = [
            Row([clock((fault.onset_ns - start_ns) / S), _name(fault), entry.why_missed])
            for entry in figures.missed
            for fault in (entry.fault,)
        ]
        blocks.append(Table(title="Missed", columns=[*numbers("at"), *text("fault", "why")], rows=rows))
    if figures.delays is not None:
        slowest = sorted(figures.delays.worst, key=_closeness, reverse=True)[:SHOWN_MAX]
        blocks.append(
            Table(
                title="How soon faults were reported, the closest to their bounds first",
                columns=[*text(""), *numbers("reported after", "bound", "naive"), BARS],
                rows=[_delay_row(row) for row in slowest],
                note=DELAYS,
            )
        )
    return blocks


def _share_in_words(figures: Figures) -> str:
    total, false = figures.annunciations, figures.false
    if not total:
        return "Nobody was called."
    return (
        f"{counted(false, 'call') if false else 'No call'} of {number(total)} had no fault behind"
        f" {'it' if false < 2 else 'them'} ({percent(figures.share)}). With 95 % confidence the share is below"
        f" {percent(figures.upper_95)} (exact binomial bound); {percent(FALSE_MAX, 0)} is allowed."
    )


def _transitions_in_words(figures: Figures) -> str:
    """How the alarms kept to their rules, and what of it was excused."""
    text = (
        "The judge worked out from samples, commands and the rules of site.yaml what each alarm had to show, and when:"
        f" {counted(figures.transitions_as_the_rules_say, 'transition')} came exactly so, each at its time;"
        f" {number(figures.transitions_wrong) if figures.transitions_wrong else 'none'} did not."
    )
    excused = [f"{number(count)} {why}" for why, count in figures.transitions_excused.items() if count]
    return text + (f" Not judged: {'; '.join(excused)}." if excused else "")


def _faults_in_words(figures: Figures) -> str:
    missed = len(figures.missed)
    text = (
        f"{missed or 'Not one'} of {counted(figures.faults, 'fault')} {'was' if missed < 2 else 'were'} missed (with"
        f" 95 % confidence below {percent(figures.miss_rate_upper_95)}); naive rules miss"
        f" {figures.baseline_missed or 'none'}."
    )
    if (delays := figures.delays) is not None:
        text += (
            f" A fault is reported {seconds(delays.median_s)} after it began (median); 95 % within"
            f" {seconds(delays.p95_s)}, the slowest after {seconds(delays.max_s)}."
        )
    if figures.faults_still_to_be_told:
        further = counted(figures.faults_still_to_be_told, "further fault")
        text += f" Of {further} the run ended before they had to be reported."
    return text


def _name(fault: TrueFault) -> Cell:
    small = (
        f"{fault.mode.replace('_', ' ')}, {fault.machine or 'line'}{', critical' if fault.critical else ''}"
    )
    return Cell(fault.id, small)


def _closeness(row: Detection) -> float:
    """How close to its bound a fault was reported, 1 at it; one that was missed is beyond all."""
    return math.inf if row.delay_s is None else row.delay_s / (row.bound_s or 1.0)


def _delay_row(row: Detection) -> Row:
    share = min(_closeness(row), BEYOND)
    late = share > 1 + 1e-9
    told = f"{'missed' if row.delay_s is None else seconds(row.delay_s)}{' !' if late else ''}"
    naive = "missed" if row.baseline_s is None else seconds(row.baseline_s)
    drawn = Cell(bars=[bar(share, BEYOND, "bad" if late else "ours", 1.0)])
    return Row([_name(row.fault), told, seconds(row.bound_s), naive, drawn], "bad" if late else "")


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _verdict(total: int, false: int, vetoes: list[str]) -> tuple[Answer, More | None]:
    low, high = lower_bound(false, total), upper_bound(false, total)
    if vetoes or low > FALSE_MAX or (total >= ENOUGH and false >= FALSE_MAX * total):
        return "FAIL", None
    if high < FALSE_MAX:
        return "PASS", None
    return "INCONCLUSIVE", More(max(1, trials_needed(false, FALSE_MAX) - total), "annunciations", total)


def _vetoes(view: AlarmView) -> list[str]:
    """What fails the criterion whatever the share of false alarms is, in words."""
    found = []
    faults = view.detections
    for entry in faults:
        if entry.missed and entry.fault.critical:
            found.append(
                f"critical fault {entry.fault.id} ({entry.fault.mode}) was missed: {entry.why_missed}"
            )
    others = [entry for entry in faults if not entry.fault.critical]
    missed = sum(entry.missed for entry in others)
    if lower_bound(missed, len(others)) > MISS_MAX + ROUNDING:
        why = next(entry.why_missed for entry in others if entry.missed)
        found.append(f"{missed} of {len(others)} faults that are not critical were missed: {why}")
    told = [entry for entry in faults if not entry.missed]
    late = [entry for entry in told if not entry.in_time]
    if told and len(told) - len(late) < math.ceil(IN_TIME_SHARE * len(told)):
        worst = max(late, key=lambda entry: (entry.delay_s or 0.0) - entry.bound_s)
        found.append(
            f"{len(late)} of {len(told)} faults were told late; worst is {worst.fault.id} ({worst.fault.mode}),"
            f" after {worst.delay_s:.1f} s instead of {worst.bound_s:.1f} s"
        )
    flood, before = (
        flood_share(labelled.entries, view.from_ns, view.to_ns) for labelled in (view.policy, view.baseline)
    )
    if flood > before:
        found.append(f"people are in a flood {flood:.1%} of the time, with naive rules {before:.1%}")
    return found


def _delays(detections: list[Detection]) -> Delays | None:
    delays = sorted(entry.delay_s for entry in detections if entry.delay_s is not None)
    if not delays:
        return None
    ordered = sorted(
        detections, key=lambda entry: (not entry.missed, -(entry.delay_s or 0.0), entry.fault.id)
    )
    p95_s = delays[math.ceil(0.95 * len(delays)) - 1]
    return Delays(median_s=median(delays), p95_s=p95_s, max_s=delays[-1], worst=ordered[:LISTED_MAX])


def _statement(
    view: AlarmView, total: int, false: int, high: float, vetoes: list[str], astray: list[str]
) -> str:
    """What fails whatever the share is, else the share; and what of the rules' own transitions was wrong."""
    if vetoes:
        more = len(vetoes) + len(astray) - 1
        return capital(vetoes[0]) + (f", and {more} more." if more else ".")
    text = _share_and_faults(view, total, false, high)
    if astray:
        more = len(astray) - 1
        text += f" {capital(astray[0])}" + (f", and {more} more alarm{'s' * (more > 1)}." if more else ".")
    return text


def _share_and_faults(view: AlarmView, total: int, false: int, high: float) -> str:
    if not total:
        return "No alarm spoke, so none was false."
    if false:
        text = f"{false} of {total} annunciations had no fault behind {'it' if false == 1 else 'them'}"
    else:
        text = f"Each of {total} annunciations had a fault behind it"
    if high < FALSE_MAX:
        text += f" (with 95 % confidence fewer than {high:.1%} have none)"
    return f"{text}; {_told(view.detections)}."


def _told(detections: list[Detection]) -> str:
    """What became of the faults, in words."""
    in_time = sum(entry.in_time for entry in detections)
    missed = sum(entry.missed for entry in detections)
    if not detections:
        return "there was no fault to tell"
    if in_time == len(detections):
        return f"each of {in_time} faults was told in time"
    text = f"{in_time} of {len(detections)} faults were told in time"
    late = len(detections) - in_time - missed
    return text + (f", {late} late" if late else "") + (f", {missed} missed" if missed else "")


CRITERION = Criterion(
    name="false_alarms",
    title="False alarms and missed faults",
    question="Is there a fault behind each call, and a call for each fault?",
    threshold=(
        "< 10 % of annunciations without a fault; no critical fault missed; 95 % of faults reported within their"
        " bound; each transition as the rules make it"
    ),
    judge=judge,
    figures=Figures,
    applies=has_alarms,
    unpromised=operations_unpromised,
)
