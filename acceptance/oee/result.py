"""What the OEE criterion finds, shift by shift, and how it is shown: what happened beside what was reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from shakedown.acceptance.blocks import (
    BARS,
    ROWS_MAX,
    Block,
    Cell,
    Row,
    Sentence,
    Table,
    Tone,
    numbers,
    stacked,
    text,
)  # fmt: skip
from shakedown.acceptance.oee import figures as of_reports
from shakedown.acceptance.oee.loss_tree import KEYS, LossTree
from shakedown.acceptance.oee.loss_tree import shown as losses_shown
from shakedown.acceptance.oee.variance import Steps
from shakedown.acceptance.wording import NONE, clock, number, percent, signed

F = TypeVar("F", bound=msgspec.Struct)
SHIFTS_SHOWN_MAX = 6
ORDERS_SHOWN_MAX = 12


class Breach(msgspec.Struct, frozen=True):
    """One figure of a report that is not what happened."""

    line: str
    shift: str
    figure: str
    reported: Any
    true: Any


class OrderFigures(msgspec.Struct, kw_only=True, frozen=True):
    """Times, counts and OEE of an order in a shift, as it was or as it was reported."""

    pbt_s: float | None
    apt_s: float | None
    aust_s: float | None
    adet_s: float | None
    produced: float | None
    good: float | None
    reject: float | None
    oee: float | None


class ShiftFigures(OrderFigures, kw_only=True, frozen=True):
    """The same of a shift, with its factors. None where there is no denominator, or no number was reported."""

    adot_s: float | None
    availability: float | None
    effectiveness: float | None
    quality: float | None
    fpy: float | None
    unplanned_downtime_s: float | None
    unknown_s: float | None = None

    @property
    def waiting_s(self) -> float | None:
        """What ADET has beside the time at fault: waiting inside of orders."""
        if self.adet_s is None or self.unplanned_downtime_s is None:
            return None
        return max(0.0, self.adet_s - self.unplanned_downtime_s)


class OrderResult(msgspec.Struct, kw_only=True, frozen=True):
    """One order of a shift; `reported` is None where the report does not have it."""

    order: str
    products: list[str]
    truth: OrderFigures
    reported: OrderFigures | None


class Audit(msgspec.Struct, kw_only=True, frozen=True):
    """What the person with the clipboard counted, the OEE of it, and how far they themselves were off."""

    produced: float
    good: float
    run_s: float
    oee: float | None
    oee_off: float | None
    produced_off: float
    good_off: float
    run_off_s: float


class ShiftResult(msgspec.Struct, kw_only=True, frozen=True):
    """One shift that ended; `reported` is None where no report came, `variance` says where differences arose."""

    line: str
    shift: str
    from_ms: int
    to_ms: int
    stops: int
    truth: ShiftFigures
    reported: ShiftFigures | None
    audit: Audit | None
    breaches: list[Breach]
    orders: list[OrderResult] = []
    variance: dict[str, Steps] = {}
    losses: LossTree = LossTree()


class Figures(msgspec.Struct, kw_only=True, frozen=True):
    """Every shift that was judged, and how many ended too late to be reported within the run.

    `reports_before_the_last` are the open reports, and those that were restated; of `parts_at_an_edge` nobody can say
    on which side of it they count. While an upset made the state lie (`state_lied_s`), it is held by what it said.
    """

    shifts: list[ShiftResult]
    shifts_still_to_be_reported: int
    reports_before_the_last: int = 0
    parts_at_an_edge: int = 0
    state_lied_s: float = 0.0


RATIOS = {
    "oee": "OEE",
    "availability": "Availability",
    "effectiveness": "Effectiveness",
    "quality": "Quality",
    "fpy": "First pass yield",
}
TIMES = {
    "pbt_s": "Planned busy time",
    "apt_s": "running",
    "aust_s": "changing over",
    "unplanned_downtime_s": "at fault",
    "waiting_s": "waiting in an order",
    "adot_s": "waiting or idle",
    "unknown_s": "not known",
}
"""What the planned time is split into, as it is shown; `waiting_s` is what ADET has beside the time at fault."""
ELEMENTS = {
    "pbt_s": "Planned busy time", "apt_s": "running", "aust_s": "changing over",
    "adet_s": "at fault, or waiting in an order", "adot_s": "idle",
}  # fmt: skip
SELDOM = frozenset({"waiting_s", "unknown_s"})
"""Times that are shown only where there are any."""
COUNTS = {"produced": "Parts made", "good": "good", "reject": "rejected"}
STATIONS = (
    "At the controller: what its scans did not show of what happened. On the way: what it offered and the enterprise"
    " did not get. In the sum: what the report made of what had arrived."
)


def figures_of(kind: type[F], values: dict[str, Any]) -> F:
    """The figures of a shift or an order that a report holds among `values`; what is no number is None."""
    return kind(**{name: of_reports.number(values.get(name)) for name in kind.__struct_fields__})


def shown(figures: Figures, start_ns: int) -> list[Block]:
    """The wrong shifts first, so many as a page bears, in the order in which they came."""
    wrong_first = sorted(figures.shifts, key=lambda shift: not shift.breaches)[:SHIFTS_SHOWN_MAX]
    blocks: list[Block] = []
    for shift in sorted(wrong_first, key=lambda shift: (shift.from_ms, shift.line)):
        blocks += _shift(shift, start_ns)
    if more := len(figures.shifts) - len(wrong_first):
        blocks.append(Sentence(f"And {more} more shifts, in verdict.json.", tone="quiet"))
    if late := figures.shifts_still_to_be_reported:
        blocks.append(
            Sentence(f"{late} shifts had ended too late to be reported within the run.", tone="quiet")
        )
    return blocks


def _shift(shift: ShiftResult, start_ns: int) -> list[Block]:
    wrong = frozenset(breach.figure for breach in shift.breaches)
    blocks: list[Block] = [_bars(shift, start_ns), _beside(shift), *losses_shown(shift.losses, wrong)]
    if shift.orders:
        blocks.append(_orders(shift))
    named = RATIOS.keys() | TIMES.keys() | ELEMENTS.keys() | COUNTS.keys()
    other = [
        f"{breach.figure} is reported as {breach.reported} and was {breach.true}"
        for breach in shift.breaches
        if breach.figure not in named and shift.reported is not None
    ]
    if other:
        blocks.append(Sentence("Wrong as well:", other, tone="bad"))
    if (audit := shift.audit) is not None and audit.oee_off is not None:
        blocks.append(
            Sentence(
                f"The clipboard audit itself was off by {signed(audit.produced_off, digits=0)} parts and"
                f" {signed(audit.run_off_s, ' s')} of run time, and its OEE by"
                f" {signed(100 * audit.oee_off, ' %', 2)}.",
                tone="quiet",
            )
        )
    if shift.reported is not None:
        blocks.append(_variance(shift))
    return blocks


def _bars(shift: ShiftResult, start_ns: int) -> Table:
    begin, end = (clock(edge * 1e-3 - start_ns * 1e-9) for edge in (shift.from_ms, shift.to_ms))
    said = "NO REPORT" if shift.reported is None else "WRONG" if shift.breaches else "RIGHT"
    title = Cell(
        f"Shift {shift.shift} of {shift.line}: {said}",
        f"{begin} to {end}, {shift.stops} stops with a fault",
        "bad" if shift.breaches else "good",
    )
    both = {"happened": shift.truth, "reported": shift.reported}
    bars = {words: stacked(_parts(of)) for words, of in both.items() if of is not None}
    rows = [Row([words, Cell(bars=[bar])]) for words, bar in bars.items()]
    return Table(title=title, columns=[*text(""), BARS], rows=rows, keys=KEYS)


def _parts(times: ShiftFigures) -> list[tuple[Tone, float]]:
    """The planned time by what the machine did: the same seconds as the rows of the table below."""
    return [
        ("run", times.apt_s or 0.0), ("changeover", times.aust_s or 0.0),
        ("fault", times.unplanned_downtime_s or 0.0),
        ("idle", (times.waiting_s or 0.0) + (times.adot_s or 0.0)), ("pause", times.unknown_s or 0.0),
    ]  # fmt: skip


def _beside(shift: ShiftResult) -> Table:
    """Every figure as it happened, as it was reported, and as the clipboard has it."""
    wrong = {breach.figure for breach in shift.breaches}
    audit = shift.audit
    clipboard = (
        {}
        if audit is None
        else {"oee": audit.oee, "produced": audit.produced, "good": audit.good, "apt_s": audit.run_s}
    )
    kinds: list[tuple[dict[str, str], Callable[[Any], str], str, float, int]] = [
        (RATIOS, percent, " pp", 100, 2), (TIMES, _time, " s", 1, 1), (COUNTS, number, "", 1, 0)
    ]  # fmt: skip
    rows = []
    for names, show, unit, factor, digits in kinds:
        for name, words in names.items():
            true = getattr(shift.truth, name)
            reported = None if shift.reported is None else getattr(shift.reported, name)
            if name in SELDOM and not true and not reported:
                continue
            is_wrong = name in wrong or (name == "waiting_s" and "adet_s" in wrong)
            off = "" if true is None or reported is None else signed(factor * (reported - true), unit, digits)
            cells = [words, show(true), "none came" if shift.reported is None else show(reported)]
            cells.append(f"{off} !" if is_wrong else off)
            cells += [show(clipboard[name]) if name in clipboard else ""] if audit is not None else []
            rows.append(Row([*cells], "bad" if is_wrong else ""))
    audited = ["clipboard"] if audit is not None else []
    return Table(columns=[*text(""), *numbers("happened", "reported", "off", *audited)], rows=rows)


def _orders(shift: ShiftResult) -> Table:
    """What was made for each order of a shift, and its OEE."""
    rows = []
    figures = [breach.figure for breach in shift.breaches]
    for order in shift.orders[:ORDERS_SHOWN_MAX]:
        name, truth, reported = order.order, order.truth, order.reported
        cells = [name, ", ".join(order.products), _time((reported or truth).pbt_s)]
        for figure, show in (("produced", number), ("good", number), ("oee", percent)):
            was = show(getattr(truth, figure))
            said = "not reported" if reported is None else show(getattr(reported, figure))
            cells.append(said if said == was else f"{said} (was {was})")
        wrong = any(figure == f"order {name}" or figure.endswith(f" of {name}") for figure in figures)
        rows.append(Row([*cells], "bad" if wrong else ""))
    more = len(shift.orders) - len(rows)
    columns = [*text("Order, as reported", "product"), *numbers("planned time", "made", "good", "OEE")]
    return Table(
        columns=columns, rows=rows, note=f"And {more} more orders, in verdict.json." if more > 0 else ""
    )


def _variance(shift: ShiftResult) -> Block:
    """Where each difference arose; figures without any are left out."""
    names = ELEMENTS | COUNTS
    rows = []
    for name, steps in shift.variance.items():
        values = (steps.sampling, steps.transport, steps.calculation)
        if any(values):
            unit, digits = (" s", 1) if name in ELEMENTS else ("", 0)
            rows.append(
                Row([names[name], *(signed(value, unit, digits) for value in (sum(values), *values))])
            )
    if not rows:
        return Sentence("There is no difference to explain.", tone="quiet")
    columns = [*text(""), *numbers("off", "at the controller", "on the way", "in the sum")]
    title = "Where the differences arose"
    return Table(title=title, columns=columns, rows=rows[:ROWS_MAX], note=STATIONS, folded=not shift.breaches)


def _time(value: float | None) -> str:
    return NONE if value is None else clock(value)
