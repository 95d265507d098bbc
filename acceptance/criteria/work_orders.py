"""Alert to work order: each alarm that needs one has exactly one, in time, on the right machine, with what is needed.

In time is less than three minutes from the annunciation to the CMMS's own record of the order, for every one of them.
While it could not be made, and for one retry after each such time, its clock stands still; both times are reported.
What the enterprise is told of each order, until it is closed, is what the CMMS has.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import msgspec

from shakedown.acceptance.alarms.annunciations import Annunciation
from shakedown.acceptance.blocks import BARS, Block, Cell, Row, Sentence, Table, bar, numbers, text
from shakedown.acceptance.criterion import Criterion, Finding, operations_unpromised
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.operations_logs import WorkOrder
from shakedown.acceptance.run import Run
from shakedown.acceptance.spans import MS, S
from shakedown.acceptance.verdict import Answer
from shakedown.acceptance.wording import capital, counted, in_times, seconds
from shakedown.acceptance.work_orders.clock import elapsed_s
from shakedown.acceptance.work_orders.content import asset_breach, reason_breach, routing_breach
from shakedown.acceptance.work_orders.context import context_breach
from shakedown.acceptance.work_orders.follow import follow_breaches

LIMIT_S, CHECKLIST_S = 180.0, 300.0
LISTED_MAX = 20
EXAMPLES_SHOWN_MAX = 4  # of each kind of breach

KINDS = {
    "missing": "an alarm that needs a work order has none",
    "duplicate": "a second work order for the same alarm",
    "invented": "a work order that no alarm called for",
    "late": "a work order later than three minutes",
    "asset": "the wrong equipment or physical asset",
    "routing": "another priority than the alarm's, or another owner than the equipment's",
    "reason": "a reason that is not what happened",
    "context": "signals that are not those of the last minutes",
    "follow": "an order of which the enterprise was not told as it was",
}


class Breach(msgspec.Struct, frozen=True):
    """One thing wrong with one order, or with one that is not there."""

    kind: str
    alarm: str
    order: str | None
    what: str


class Times(msgspec.Struct, kw_only=True, frozen=True):
    """The distribution of the times to the order, and how many kept either limit."""

    orders: int
    min_s: float
    p50_s: float
    p95_s: float
    max_s: float
    mean_s: float
    below_3_min: int
    below_5_min: int


class Slow(msgspec.Struct, kw_only=True, frozen=True):
    """One of the slowest orders."""

    alarm: str
    order: str
    occurrence: int | None
    elapsed_s: float
    raw_s: float


class Figures(msgspec.Struct, kw_only=True, frozen=True):
    """Alarms, orders and what is wrong with them by kind; `times` are None without an order."""

    alarms_that_need_one: int
    orders: int
    paired: int
    still_to_come: int
    breaches: dict[str, int]
    examples: list[Breach]
    times: Times | None
    times_raw: Times | None
    slowest: list[Slow]


class Pair(NamedTuple):
    """An annunciation and its order; seconds between them, in all and by the clock of an order."""

    entry: Annunciation
    order: WorkOrder
    raw_s: float
    elapsed_s: float


def applies(run: Run) -> bool:
    """Only a site with a CMMS is judged on it, and with alarms, or there is nothing to order."""
    return run.operations.work_orders is not None and bool(run.operations.alarms)


def judge(evidence: Evidence) -> Finding:
    """Pair annunciations with orders, and hold each order against the ledger."""
    run = evidence.run
    calling = _calling(evidence)
    pairs, breaches, pending = _paired(run, evidence, calling)
    for pair in pairs:
        breaches += _content(evidence, pair)
        if pair.elapsed_s >= LIMIT_S:
            what = f"{pair.elapsed_s:.0f} s after the alarm"
            breaches.append(Breach("late", pair.entry.tag, pair.order.id, what))
    breaches += [Breach("follow", *untold) for untold in follow_breaches(run)]
    counts = Counter(breach.kind for breach in breaches)
    silent = not evidence.alarms.published
    verdict: Answer = "FAIL" if breaches or silent else "PASS" if pairs else "INCONCLUSIVE"
    figures = Figures(
        alarms_that_need_one=len(calling),
        orders=len(run.work_orders),
        paired=len(pairs),
        still_to_come=pending,
        breaches={kind: counts[kind] for kind in KINDS},
        examples=breaches[:LISTED_MAX],
        times=_times([pair.elapsed_s for pair in pairs]),
        times_raw=_times([pair.raw_s for pair in pairs]),
        slowest=[_slow(pair) for pair in sorted(pairs, key=lambda pair: -pair.elapsed_s)[:5]],
    )
    return Finding(
        verdict=verdict,
        measured=_measured(pairs, breaches, pending),
        statement=_statement(pairs, breaches, counts, silent, pending),
        needs=None
        if verdict != "INCONCLUSIVE"
        else "an alarm that needs a work order, and three minutes more",
        figures=figures,
        blocks=_shown(figures, {rule.name: rule.text for rule in run.operations.alarms}),
        is_short=not pending,
    )


def _shown(figures: Figures, texts: dict[str, str]) -> list[Block]:
    """How many orders came how soon, what is wrong with them, and the slowest."""
    times, raw = figures.times, figures.times_raw
    said = (
        f"{counted(figures.alarms_that_need_one, 'alarm')} needed a work order, and the CMMS holds"
        f" {counted(figures.orders, 'order')}."
    )
    if times is not None:
        said += f" {times.below_3_min} of {times.orders} came within three minutes, {times.below_5_min} within five."
    if figures.still_to_come:
        said += f" {figures.still_to_come} had time left when the run ended."
    if raw is not None and times != raw:
        said += (
            " The clock stood still while an order could not be made, and for one retry after each such time; in all"
            f" the slowest took {seconds(raw.max_s)}."
        )
    blocks: list[Block] = [Sentence(said)]
    if times is not None:
        blocks.append(_scale(times))
    if wrong := [kind for kind in KINDS if figures.breaches[kind]]:
        rows = [_kind(kind, figures, texts) for kind in wrong]
        blocks.append(
            Table(columns=[*text("what is wrong"), *numbers("how often"), *text("such as")], rows=rows)
        )
    elif times is not None:
        looked_for = ", ".join(KINDS)
        blocks.append(
            Sentence(f"Of {len(KINDS)} kinds of mistakes that are looked for ({looked_for}) none was found.")
        )
    if figures.slowest:
        rows = [
            Row(
                [
                    Cell(texts.get(row.alarm) or row.alarm, row.alarm if texts.get(row.alarm) else ""),
                    row.order, seconds(row.elapsed_s), seconds(row.raw_s),
                ],
                "bad" if row.elapsed_s >= LIMIT_S else "",
            )
            for row in figures.slowest
        ]  # fmt: skip
        columns = [*text("alarm", "order"), *numbers("after", "in all")]
        blocks.append(Table(title="The slowest", columns=columns, rows=rows, folded=True))
    return blocks


def _scale(times: Times) -> Table:
    """How soon: bars on a scale that shows the limit, longer where one took longer."""
    most = max(1.1 * LIMIT_S, times.max_s)
    named = {
        "the fastest": times.min_s,
        "half within": times.p50_s,
        "95 % within": times.p95_s,
        "the slowest": times.max_s,
    }
    rows = [
        Row(
            [
                words,
                seconds(at_s),
                Cell(bars=[bar(at_s, most, "bad" if at_s >= LIMIT_S else "ours", LIMIT_S)]),
            ]
        )
        for words, at_s in named.items()
    ]
    return Table(
        columns=[*text(""), *numbers(""), BARS], rows=rows, note="The mark is the limit of three minutes."
    )


def _kind(kind: str, figures: Figures, texts: dict[str, str]) -> Row:
    examples = [row for row in figures.examples if row.kind == kind][:EXAMPLES_SHOWN_MAX]
    said = [
        f"{row.order or ''} {texts.get(row.alarm) or row.alarm} ({row.alarm}): {row.what}" for row in examples
    ]
    return Row([KINDS[kind], str(figures.breaches[kind]), Cell(small="; ".join(map(str.strip, said)))], "bad")


def pairs_of(evidence: Evidence) -> list[Pair]:
    """Each annunciation that needs a work order, with the order that it has."""
    return _paired(evidence.run, evidence, _calling(evidence))[0]


def _calling(evidence: Evidence) -> list[Annunciation]:
    return [entry for entry in evidence.alarms.policy.entries if entry.rule.work_order]


def _paired(
    run: Run, evidence: Evidence, calling: list[Annunciation]
) -> tuple[list[Pair], list[Breach], int]:
    """Pairs; orders too many, too few or without a reason; and how many there was still time for."""
    by_key: dict[tuple[str, str, int | None], list[WorkOrder]] = {}
    by_alarm: dict[tuple[str, str], list[WorkOrder]] = {}
    for order in run.work_orders:
        by_key.setdefault((order.device, order.alarm, order.occurrence), []).append(order)
        by_alarm.setdefault((order.device, order.alarm), []).append(order)
    pairs: list[Pair] = []
    breaches: list[Breach] = []
    pending = 0
    for entry in calling:
        own = by_key.get((entry.rule.device, entry.tag, entry.occurrence), [])
        for extra in own[1:]:
            what = f"occurrence {entry.occurrence} has {own[0].id} already"
            breaches.append(Breach("duplicate", entry.tag, extra.id, what))
        earlier = [order for order in by_alarm.get((entry.rule.device, entry.tag), []) if order not in own]
        if own and _is_covered(entry, earlier):
            what = f"occurrence {entry.occurrence}, while an earlier order of the alarm was not closed"
            breaches.append(Breach("duplicate", entry.tag, own[0].id, what))
        if own:
            raw_s = (own[0].created_ms * MS - entry.ns) / S
            pairs.append(Pair(entry, own[0], raw_s, elapsed_s(run, entry.ns, own[0].created_ms * MS)))
        elif not _is_covered(entry, by_alarm.get((entry.rule.device, entry.tag), [])):
            if elapsed_s(run, entry.ns, run.end_ns) < LIMIT_S:
                pending += 1
            else:
                what = f"annunciated at {entry.ns // MS} ms, occurrence {entry.occurrence}"
                breaches.append(Breach("missing", entry.tag, None, what))
    called = {(entry.rule.device, entry.tag, entry.occurrence) for entry in evidence.alarms.all_entries}
    ordering = {(rule.device, rule.name) for rule in run.operations.alarms if rule.work_order}
    for key, orders in by_key.items():
        if key not in called or key[:2] not in ordering:
            what = f"for {key[0]}/{key[1]}, occurrence {key[2]}"
            breaches += [Breach("invented", key[1], order.id, what) for order in orders]
    return pairs, breaches, pending


def _is_covered(entry: Annunciation, orders: list[WorkOrder]) -> bool:
    """Whether an order of the same alarm was open when it spoke again: the same trouble needs no second one."""
    return any(
        order.raised_ms * MS < entry.ns and (order.ended_ms is None or order.ended_ms * MS > entry.ns)
        for order in orders
    )


def _content(evidence: Evidence, pair: Pair) -> list[Breach]:
    found = {
        "asset": asset_breach(evidence.run, pair.entry, pair.order),
        "routing": routing_breach(evidence.run, pair.entry, pair.order),
        "reason": reason_breach(evidence, pair.entry, pair.order),
        "context": context_breach(evidence, pair.entry, pair.order),
    }
    return [Breach(kind, pair.entry.tag, pair.order.id, what) for kind, what in found.items() if what]


def _times(seconds: list[float]) -> Times | None:
    ordered = sorted(seconds)
    if not ordered:
        return None

    def rank(share: int) -> float:
        return ordered[max(0, -(-len(ordered) * share // 100) - 1)]

    return Times(
        orders=len(ordered),
        min_s=ordered[0],
        p50_s=rank(50),
        p95_s=rank(95),
        max_s=ordered[-1],
        mean_s=sum(ordered) / len(ordered),
        below_3_min=sum(value < LIMIT_S for value in ordered),
        below_5_min=sum(value < CHECKLIST_S for value in ordered),
    )


def _slow(pair: Pair) -> Slow:
    return Slow(
        alarm=pair.entry.tag,
        order=pair.order.id,
        occurrence=pair.order.occurrence,
        elapsed_s=pair.elapsed_s,
        raw_s=pair.raw_s,
    )


def _measured(pairs: list[Pair], breaches: list[Breach], pending: int) -> str:
    worst = max((pair.elapsed_s for pair in pairs), default=0.0)
    still = f", {pending} still to come" if pending else ""
    return f"{len(pairs)} orders{still}, slowest {worst:.1f} s, {len(breaches)} wrong"


def _statement(
    pairs: list[Pair], breaches: list[Breach], counts: Counter[str], silent: bool, pending: int
) -> str:
    if breaches:
        first = breaches[0]
        text = "; ".join(f"{in_times(counts[kind])} {what}" for kind, what in KINDS.items() if counts[kind])
        named = f"{first.order}, {first.alarm}" if first.order else first.alarm
        return f"{capital(text)}. First: {named}: {first.what}."
    if silent:
        return "No state of any alarm ever reached the enterprise, so none could be turned into a work order."
    if not pairs and pending:
        return f"{counted(pending, 'alarm')} needed a work order and had none when the run ended, with time left."
    if not pairs:
        return "No alarm that needs a work order spoke in this run."
    worst = max(pair.elapsed_s for pair in pairs)
    return (
        f"Each alarm that needs one ({len(pairs)}) has exactly one work order, {worst:.0f} s later at worst, on the"
        " machine that it is about, with its reason and its signals, and it could be followed until it was closed."
    )


CRITERION = Criterion(
    name="work_orders",
    title="Alert to work order",
    question="Does each alarm that needs one get its work order?",
    threshold=(
        "every order < 3 min after the alarm (less what it could not be made in); exactly one each; right asset,"
        " reason, context; followed until it is closed"
    ),
    judge=judge,
    figures=Figures,
    applies=applies,
    unpromised=operations_unpromised,
)
