"""Gaps as they are stored, and what fills them: no I/O, no clock."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shakedown.bridge.core.model import Reading
from shakedown.bridge.south import gaps as gaps_module
from shakedown.bridge.south.decode import TICKS_1970, DataValue
from shakedown.bridge.south.gaps import TOGETHER_MAX, Gap, OpenGaps
from shakedown.bridge.south.readings import checksum, fill

T = TICKS_1970 + 10**17
ITEMS = {(f"d/m{i}", f"ns=2;s=T{i}") for i in range(1000)}


def gap(number: int, after: int = T, before: int = T + 100) -> Gap:
    return Gap(f"d/m{number}", f"ns=2;s=T{number}", after, 1, before, checksum(0, 9.0))


def value(ticks: int, number: float) -> DataValue:
    return DataValue(0, number, 0, ticks, ticks)


class Store(dict[str, bytes]):
    """The entries of a journal."""

    def write(self, entries: dict[str, bytes | None]) -> None:
        for key, entry in entries.items():
            if entry is None:
                self.pop(key, None)
            else:
                self[key] = entry


def test_gaps_come_back_as_they_were_left() -> None:
    store = Store()
    opened = OpenGaps("plc1", store.get, ITEMS)
    for first in (0, 300):
        found, hopeless = opened.opened(gap(i, T + i) for i in range(first, first + 300))
        assert hopeless == []
        store.write(opened.entries(found))
        opened.take(found)
    changed = {number: None if number % 2 else replace(g, after=g.after + 5) for number, g in opened.by_age()}
    store.write(opened.entries(changed))
    opened.take(changed)
    restored = OpenGaps("plc1", store.get, ITEMS)
    assert [g for _, g in restored.by_age()] == [g for _, g in opened.by_age()]
    assert len(restored) == 300
    left = dict.fromkeys((number for number, _ in restored.by_age()))
    store.write(restored.entries(left))
    assert list(store) == ["plc1/gaps"]


def test_writing_a_gap_writes_no_more_than_those_beside_it() -> None:
    store = Store()
    opened = OpenGaps("plc1", store.get, ITEMS)
    found, _ = opened.opened(gap(i) for i in range(1000))
    store.write(opened.entries(found))
    opened.take(found)
    written = opened.entries({0: None})
    assert list(written) == ["plc1/gap/0"]
    assert len(written["plc1/gap/0"]) < 100 * TOGETHER_MAX


def test_gaps_of_metrics_that_are_gone_are_gone() -> None:
    store = Store()
    opened = OpenGaps("plc1", store.get, ITEMS)
    store.write(opened.entries(opened.opened([gap(1), gap(2)])[0]))
    assert [g.key for _, g in OpenGaps("plc1", store.get, {("d/m2", "ns=2;s=T2")}).by_age()] == ["d/m2"]


def test_gaps_beyond_the_bound_are_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaps_module, "GAPS_MAX", 3)
    found, hopeless = OpenGaps("plc1", Store().get, ITEMS).opened(gap(i) for i in range(5))
    assert len(found) == 3
    assert [(g.key, g.why) for g in hopeless] == [(f"d/m{i}", "more than 3 gaps are open") for i in (3, 4)]


def test_what_lies_outside_of_a_gap_is_passed_over() -> None:
    readings: list[Reading] = []
    page = [value(T - 1, 0.0), value(T, 1.0), value(T + 50, 2.0), value(T + 100, 9.0), value(T + 101, 10.0)]
    left, known, is_over = fill(gap(0), 1, 7, page, readings)
    assert [(r.metric_id, r.value) for r in readings] == [(7, 2.0)]
    assert (left.after, left.same, left.reaches_back, known, is_over) == (T + 50, 1, True, 0, True)


def test_a_history_that_begins_within_the_gap_does_not_reach_back() -> None:
    left, _, _ = fill(gap(0), 1, 7, [value(T + 1, 2.0)], [])
    assert left.reaches_back is False
    left, _, _ = fill(left, 0, 7, [value(T + 1, 2.0), value(T + 2, 2.0)], [])
    assert left.reaches_back is False  # having been filled so far makes it no longer


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a machine that is busy is no defect
@given(st.lists(st.integers(0, 6), min_size=2, max_size=15), st.data())
def test_nothing_is_missing_or_twice_wherever_it_is_interrupted(
    steps: list[int], data: st.DataObject
) -> None:
    """Values with equal times, cut into pages, interrupted and begun again from what is stored: each comes once."""
    ticks = [T + sum(steps[:i]) for i in range(len(steps))]
    history = [value(at, float(i)) for i, at in enumerate(ticks)]
    known = data.draw(st.integers(1, len(history) - 1))
    ended = data.draw(st.integers(known, len(history) - 1))
    same = sum(at == ticks[known - 1] for at in ticks[:known])
    first = Gap("d/m0", "ns=2;s=T0", ticks[known - 1], same, ticks[ended], checksum(0, float(ended)))
    readings: list[Reading] = []
    left, skip, at, is_over = first, first.same, 0, False
    while at < len(history) and not is_over:
        size = data.draw(st.integers(1, 5))
        page = [v for v in history[at : at + size] if first.after <= v.source_ticks <= first.before]
        left, skip, is_over = fill(left, skip, 7, page, readings)
        at += size
        if data.draw(st.booleans()):  # killed: read again from the beginning of what is left
            at = next(i for i, v in enumerate(history) if v.source_ticks >= left.after)
            skip = left.same
    assert [r.value for r in readings] == [float(i) for i in range(known, ended)]
    assert left.reaches_back is True
