"""Alarm nuisance: at least half of what naive rules would call people for, without need, is gone.

Both policies are held against the same recorded trajectory, and two units are gated. Needless calls are what people
hear; they cluster, so the run's own ratio decides. Episodes hold what one alarm calls without need in ten minutes from
the first such call. Of all episodes of both policies the share of the new one is binomial; a cut of one half is a share
of one third.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import msgspec

from shakedown.acceptance.alarms.baseline import POLICY_SHA256, limits_sha256, policy_sha256
from shakedown.acceptance.alarms.labels import LABELS, Labelled, first_told, flood_share
from shakedown.acceptance.alarms.view import AlarmView
from shakedown.acceptance.blocks import BARS, Block, Cell, Key, Row, Sentence, Table, bar, numbers, text
from shakedown.acceptance.criterion import Criterion, Finding, More, has_alarms, operations_unpromised
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.statistics import lower_bound, upper_bound
from shakedown.acceptance.verdict import Answer
from shakedown.acceptance.wording import counted, in_times, number, percent, seconds

CUT_MIN = 0.5
BASELINE_ENOUGH = (
    40  # episodes of the baseline that show a cut of 80 %, and needless calls that make a ratio (4.4)
)
WORST_LISTED = 10


class Calls(msgspec.Struct, kw_only=True, frozen=True):
    """What one policy called people for; `worst` are the tags with most nuisances."""

    annunciations: int
    per_hour: float
    labels: dict[str, int]
    nuisances: int
    episodes: int
    flood_share: float
    worst: dict[str, int]


class Figures(msgspec.Struct, kw_only=True, frozen=True):
    """Both policies, the cut of needless calls, and of episodes with its bounds: None without a baseline to be cut."""

    policy: Calls
    baseline: Calls
    beside: Calls | None
    calls_cut: float | None
    cut: float | None
    cut_lower_95: float | None
    cut_upper_95: float | None
    baseline_policy_sha256: str
    baseline_policy_is_frozen: bool
    baseline_limits_sha256: str
    told: list[Told]


class Told(msgspec.Struct, kw_only=True, frozen=True):
    """What became of the faults under one set of rules; the delay is the median of those reported."""

    rules: str
    faults: int
    missed: int
    delay_s: float | None


def cut_bounds(new: int, baseline: int) -> tuple[float, float, float]:
    """(estimate, lower, upper) of the cut 1 - new/baseline; one-sided 95 % Clopper-Pearson, exact given the total.

    With new | total ~ Bin(total, p) and p = r / (1 + r) for the ratio of rates r, the cut is 1 - p / (1 - p).
    """
    total = new + baseline
    high, low = upper_bound(new, total), lower_bound(new, total)
    estimate = 1 - new / baseline if baseline else -math.inf if new else 0.0
    return estimate, _cut(high), _cut(low)


def _cut(share: float) -> float:
    return -math.inf if share >= 1.0 else 1 - share / (1 - share)


def judge(evidence: Evidence) -> Finding:
    """Count the needless calls and episodes of both policies, and bound the cut of the episodes."""
    view = evidence.alarms
    calls = len(view.policy.nuisances), len(view.baseline.nuisances)
    episodes = view.policy.episodes, view.baseline.episodes
    estimate, low, high = cut_bounds(*episodes)
    verdict, needs = _verdict(view.published, calls, episodes)
    figures = Figures(
        policy=_calls(view.policy, view.from_ns, view.to_ns),
        baseline=_calls(view.baseline, view.from_ns, view.to_ns),
        calls_cut=_finite(_ratio_cut(*calls)),
        cut=_finite(estimate),
        cut_lower_95=_finite(low),
        cut_upper_95=_finite(high),
        baseline_policy_sha256=policy_sha256(),
        baseline_policy_is_frozen=policy_sha256() == POLICY_SHA256,
        baseline_limits_sha256=limits_sha256(evidence.run.operations.alarms),
        beside=_calls(view.beside, view.from_ns, view.to_ns) if view.beside else None,
        told=_told(view),
    )
    texts = {rule.name: rule.text for rule in evidence.run.operations.alarms}
    return Finding(
        verdict=verdict,
        measured=(
            f"{counted(calls[0], 'needless call')} instead of {number(calls[1])} ({_percent(-_ratio_cut(*calls))}),"
            f" {counted(episodes[0], 'episode')} instead of {episodes[1]} ({_percent(-estimate)})"
        ),
        statement=(
            _statement(view.published, calls, episodes)
            + _said_beside(view)
            + (view.rules_failed if verdict == "FAIL" else "")
        ),
        needs=needs,
        figures=figures,
        blocks=_shown(figures, texts),
    )


def _ratio_cut(new: int, old: int) -> float:
    """The cut in this run alone: 1 - new/old; minus infinity where nothing became something."""
    return 1 - new / old if old else -math.inf if new else 0.0


def _verdict(
    published: bool, calls: tuple[int, int], episodes: tuple[int, int]
) -> tuple[Answer, More | None]:
    """PASS needs both cuts; either that is shown to be too small is a FAIL."""
    if not published:
        return "FAIL", None
    estimate, low, high = cut_bounds(*episodes)
    calls_cut, old = _ratio_cut(*calls), episodes[1]
    if high < CUT_MIN or (old >= BASELINE_ENOUGH and estimate < CUT_MIN):
        return "FAIL", None
    if calls_cut < CUT_MIN and calls[1] >= BASELINE_ENOUGH:
        return "FAIL", None
    if low >= CUT_MIN and calls_cut >= CUT_MIN:
        return "PASS", None
    if low >= CUT_MIN:
        return "INCONCLUSIVE", More(BASELINE_ENOUGH - calls[1], "needless calls of the baseline", calls[1])
    needed = max(1, episodes_needed(*episodes) - old)
    return "INCONCLUSIVE", More(needed, "episodes of the baseline", old, about=True)


def episodes_needed(new: int, old: int) -> int:
    """Episodes of the baseline that would do at the cut observed (at one of 60 % if less was seen)."""
    ratio = min(new / old if old else 0.2, 0.4)
    count = 1
    while cut_bounds(math.ceil(ratio * count), count)[1] < CUT_MIN:
        count += max(1, count // 20)
    return count


def _calls(labelled: Labelled, from_ns: int, to_ns: int) -> Calls:
    worst = Counter(entry.tag for entry in labelled.nuisances)
    hours = max(1e-9, (to_ns - from_ns) / 3.6e12)
    return Calls(
        annunciations=len(labelled.entries),
        per_hour=round(len(labelled.entries) / hours, 3),
        labels={name: labelled.count(name) for name in LABELS},
        nuisances=len(labelled.nuisances),
        episodes=labelled.episodes,
        flood_share=round(flood_share(labelled.entries, from_ns, to_ns), 6),
        worst=dict(sorted(worst.items(), key=lambda item: (-item[1], item[0]))[:WORST_LISTED]),
    )


def _told(view: AlarmView) -> list[Told]:
    """How each set of rules told the faults of the run, where there is a third one beside the two."""
    if view.beside is None:
        return []
    faults = [entry.fault for entry in view.detections]
    found = []
    for name, labelled in (("these", view.policy), ("naive", view.baseline), ("beside", view.beside)):
        first = [first_told(labelled.of_fault[fault.id], fault) for fault in faults]
        delays = sorted(
            (entry.told_ns - fault.onset_ns) / 1e9
            for entry, fault in zip(first, faults, strict=True)
            if entry is not None
        )
        middle = delays[len(delays) // 2] if delays else None
        found.append(Told(rules=name, faults=len(faults), missed=len(faults) - len(delays), delay_s=middle))
    return found


def _three(figures: Figures) -> list[Block]:
    """All sets of rules on the one process, where the scenario names one beside."""
    if figures.beside is None:
        return []
    sets = (figures.policy, figures.baseline, figures.beside)
    rows = [
        Row(["calls", *(number(calls.annunciations) for calls in sets)]),
        Row(["calls without need", *(number(calls.nuisances) for calls in sets)]),
        Row(["episodes of them", *(number(calls.episodes) for calls in sets)]),
        Row(
            [
                f"missed of {counted(figures.told[0].faults, 'fault')}",
                *(number(told.missed) for told in figures.told),
            ]
        ),
        Row(["a fault is reported after (median)", *(_after(told.delay_s) for told in figures.told)]),
    ]
    columns = [*text(""), *numbers("these rules", "naive", "the rules beside")]
    note = "The same process, sample by sample; the rules beside are those that the scenario names in rules_beside."
    return [Table(title="Rules side by side", columns=columns, rows=rows, note=note)]


def _after(delay_s: float | None) -> str:
    return "never" if delay_s is None else seconds(delay_s)


def _shown(figures: Figures, texts: dict[str, str]) -> list[Block]:
    """Both policies beside each other: how often they called, for what, and which alarms without need."""
    ours, naive, low = figures.policy, figures.baseline, figures.cut_lower_95
    bound = f"at least {percent(low, 0)} fewer" if low is not None and low > 0 else "no cut at all"
    said = Sentence(
        f"These rules called people {number(ours.annunciations)} times ({number(ours.per_hour)} an hour),"
        f" {number(ours.nuisances)} of them without need. Naive rules, on the same process, would have called them"
        f" {number(naive.annunciations)} times ({number(naive.per_hour)} an hour), {number(naive.nuisances)} of them"
        f" without need; {percent(CUT_MIN, 0)} fewer are demanded. Such calls cluster, so they are counted in episodes"
        f" too (what one alarm calls in ten minutes from its first needless call): {ours.episodes} instead of"
        f" {naive.episodes}. With 95 % confidence that shows {bound} (exact binomial bound); {percent(CUT_MIN, 0)}"
        f" fewer are demanded of them as well. In a flood, more calls than a person can answer, people are"
        f" {percent(ours.flood_share)} of the time; with naive rules {percent(naive.flood_share)}."
    )
    labels = [(Cell(words), (ours.labels[name], naive.labels[name])) for name, words in LABELS.items()]
    tags = sorted(
        ours.worst.keys() | naive.worst.keys(),
        key=lambda tag: (-ours.worst.get(tag, 0), -naive.worst.get(tag, 0), tag),
    )
    worst = [
        (
            Cell(texts.get(tag) or tag, tag if texts.get(tag) else ""),
            (_of(ours.worst, tag), _of(naive.worst, tag)),
        )
        for tag in tags[:WORST_LISTED]
    ]
    return [
        said,
        *_three(figures),
        *_beside("Calls, by what they were worth", [row for row in labels if any(row[1])]),
        *_beside("Calls without need, by alarm", worst),
    ]


def _of(counts: dict[str, int], tag: str) -> int | None:
    """How often a tag called; None where the list ended before it."""
    return counts.get(tag, 0 if len(counts) < WORST_LISTED else None)


def _beside(title: str, counts: Sequence[tuple[Cell, tuple[int | None, int | None]]]) -> list[Block]:
    if not counts:
        return []
    most = max(count or 0 for _, both in counts for count in both)
    rows = [
        Row([
            name,
            *("few" if count is None else number(count) for count in both),
            Cell(bars=[bar(both[0] or 0, most, "ours"), bar(both[1] or 0, most, "other")]),
        ])
        for name, both in counts
    ]  # fmt: skip
    keys = [
        Key("ours", "these rules"),
        Key("other", "naive rules: a limit without deadband, delay or suppression"),
    ]
    columns = [*text(""), *numbers("these rules", "naive"), BARS]
    return [Table(title=title, columns=columns, rows=rows, keys=keys)]


def _statement(published: bool, calls: tuple[int, int], episodes: tuple[int, int]) -> str:
    if not published:
        return (
            "No state of any alarm ever reached the enterprise: nobody could be called, with or without need."
        )
    new, old = calls
    if not old and not new:
        return "Neither these rules nor the naive ones called anybody without need: there is nothing to cut."
    text = f"Naive rules call people without need {in_times(old)}, these rules {in_times(new)}"
    low = cut_bounds(*episodes)[1]
    bound = f"at least {low:.0%} fewer" if low > 0 else "no cut at all"
    text = (
        f"{text}; in episodes of ten minutes {episodes[1]} and {episodes[0]}, with 95 % confidence {bound}."
    )
    return (
        text
        if min(low, _ratio_cut(*calls)) >= CUT_MIN
        else f"{text} {CUT_MIN:.0%} fewer of both are demanded."
    )


def _said_beside(view: AlarmView) -> str:
    if view.beside is None:
        return ""
    return f" The rules beside them, on the same process: {in_times(len(view.beside.nuisances))}."


def _percent(value: float) -> str:
    """A change; only where nothing is left it is called -100 %."""
    if -1 < value < -0.99:
        value = -0.99
    return f"{value:+.0%}" if math.isfinite(value) else "no baseline"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


CRITERION = Criterion(
    name="nuisance",
    title="Alarm nuisance",
    question="Are people called less often without need?",
    threshold="needless calls, and their episodes, down >= 50 % against the naive baseline on the same trajectory",
    judge=judge,
    figures=Figures,
    applies=has_alarms,
    unpromised=operations_unpromised,
)
