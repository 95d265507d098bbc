"""Whether the enterprise could follow each work order: what `work_order/<alarm>` said, held against the CMMS's history.

The bridge publishes the CMMS's id and state, with the time at which it learnt it (docs/operations.md). It must have
learnt a state within `FOLLOW_S`: its poll, and one attempt that failed. What keeps it from the CMMS (a cut WAN, a
CMMS that is down, its own restart) does not count, nor does one retry after it (clock.py). Then

- a state that lasted longer was told, and the last one too, unless the run ended before it could arrive;
- what is told is a state that the order had then, or had not longer ago than that;
- the last word on an alarm is about its newest order.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from shakedown.acceptance.derived_rows import Row, rows_of
from shakedown.acceptance.operations_logs import ENDED, WorkOrder
from shakedown.acceptance.run import Run
from shakedown.acceptance.spans import MS
from shakedown.acceptance.work_orders.clock import due_ns

FOLLOW_S = 60.0
CLOCK_MS = 1000  # the clocks of CMMS and bridge may differ by this much
BEFORE_IT_IS_THERE = frozenset({"pending", "refused"})


class Step(NamedTuple):
    """One state of an order: from when on, when it must have been learnt, and the same of the next one (or None)."""

    state: str
    from_ms: int
    due_ms: int
    next_due_ms: int | None
    next_ms: int | None


class Untold(NamedTuple):
    """One thing wrong with what the enterprise was told of an order."""

    alarm: str
    order: str | None
    what: str


def follow_breaches(run: Run) -> list[Untold]:
    """What is wrong with `work_order/<alarm>`, for each alarm that needs work orders."""
    topics = {
        (rule.device, f"work_order/{rule.name}"): rule.name
        for rule in run.operations.alarms
        if rule.work_order
    }
    found: list[Untold] = []
    for topic, told in rows_of(run, topics).items():
        name = topics[topic]
        orders = {
            order.id: order for order in run.work_orders if (order.device, order.alarm) == (topic[0], name)
        }
        steps = {number: _steps(run, order) for number, order in orders.items()}
        rows = sorted(told, key=lambda row: row.ts_ms)  # stable: equal times by arrival
        found += _untrue(name, rows, steps)
        for number, order_steps in steps.items():
            found += _untold(run, name, number, rows, order_steps)
        found += _not_the_newest(run, name, rows, steps)
    return sorted(found, key=lambda breach: breach.alarm)


def _steps(run: Run, order: WorkOrder) -> list[Step]:
    """The states of an order up to its end, after which nobody need follow it."""
    ended = next((i for i, (_, state) in enumerate(order.history) if state in ENDED), len(order.history))
    history = order.history[: ended + 1]
    dues = [due_ns(run, ms * MS, FOLLOW_S) // MS for ms, _ in history]
    found = []
    for (ms, state), due_ms, later, later_due in zip_longest(history, dues, history[1:], dues[1:]):
        found.append(Step(state, ms, due_ms, later_due, later[0] if later else None))
    return found


def _read(row: Row) -> tuple[str, str]:
    """(id, state) as a row says; the id is empty before the order is there."""
    number, _, state = str(row.value).rpartition(" ")
    return number, state


def _untrue(alarm: str, rows: list[Row], steps: dict[str, list[Step]]) -> list[Untold]:
    """Rows that say what was not so."""
    found = []
    open_one = ""  # the order that the last row spoke of, if it had not ended
    for index, row in enumerate(rows):
        number, state = _read(row)
        before, open_one = open_one, number if state not in ENDED else ""
        if not number and state in BEFORE_IT_IS_THERE:
            later = (_read(other)[0] for other in rows[index + 1 :])
            if before and next(filter(None, later), before) == before:  # else it is of another order
                what = f"published as {state!r} at {row.ts_ms} ms, when it was there"
                found.append(Untold(alarm, before, what))
            continue
        if number not in steps:
            what = f"{row.value!r} was published, and the CMMS has no such order of this alarm"
            found.append(Untold(alarm, number or None, what))
        elif not any(
            step.state == state
            and step.from_ms <= row.ts_ms + CLOCK_MS
            and (step.next_due_ms is None or row.ts_ms <= step.next_due_ms + CLOCK_MS)
            for step in steps[number]
        ):
            found.append(Untold(alarm, number, f"published as {state!r} at {row.ts_ms} ms, which it was not"))
    return found


def _untold(run: Run, alarm: str, number: str, rows: list[Row], steps: list[Step]) -> list[Untold]:
    """States of an order that lasted, and were not told in time; only the first of them."""
    times = [(row.ts_ms, state) for row in rows for id_, state in [_read(row)] if id_ == number]
    for step in steps:
        if step.next_ms is not None and step.next_ms <= step.due_ms:
            continue
        if any(
            state == step.state and step.from_ms - CLOCK_MS <= ts_ms <= step.due_ms + CLOCK_MS
            for ts_ms, state in times
        ):
            continue
        if _could_arrive(run, step.due_ms):
            what = f"{step.state} since {step.from_ms} ms, and not published so by {step.due_ms} ms"
            return [Untold(alarm, number, what)]
    return []


def _not_the_newest(run: Run, alarm: str, rows: list[Row], steps: dict[str, list[Step]]) -> list[Untold]:
    """Whether the last word is about an order that is not the newest."""
    known = [number for number, order in steps.items() if order and _could_arrive(run, order[0].due_ms)]
    last = _read(rows[-1])[0] if rows else ""
    if not known or not last or last not in steps:
        return []
    newest = max(known, key=lambda number: steps[number][0].from_ms)
    if not steps[last] or steps[last][0].from_ms >= steps[newest][0].from_ms:
        return []
    return [Untold(alarm, newest, f"the last word on the alarm is about {last}, an older order")]


def _could_arrive(run: Run, ms: int) -> bool:
    """Whether what the bridge knew at `ms` had to be at the enterprise before the run ended."""
    return int(run.deadlines_ns(np.array([ms * MS]))[0]) <= run.end_ns
