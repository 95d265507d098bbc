"""The judge's own figures by order against a day worked by hand, and what it makes of reports that say otherwise."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from shakedown.acceptance.oee.oracle import ShiftTruth
from shakedown.acceptance.oee.order_reports import wrong_orders
from shakedown.acceptance.oee.production_orders import OrderTruth, orders_of
from shakedown.acceptance.spans import S
from tests.acceptance.one_machine import one_machine
from tests.acceptance.test_operations_oracles import edges, ledger, part, small_day, state

Event = tuple[float, str, str, dict[str, Any]]
Report = dict[str, Any]


def taken_up(second: float, order: str, machine: str = "packer") -> Event:
    return second, "order_at", machine, {"order": order}


def begun(second: float, order: str, lot: str, product: str = "A") -> Event:
    return second, "order", "", {"phase": "start", "id": order, "lot": lot, "product": product, "quantity": 1}


def day_of_two_orders() -> list[Event]:
    """The small day: all A for order X, all B for Y, of which the set-up begins at 600; the filler is further on."""
    lots = {"A": "L1", "B": "L2"}
    events = [
        (second, kind, machine, data | {"lot": lots[data["product"]]} if kind == "part" else data)
        for second, kind, machine, data in small_day()
    ]
    orders = [begun(-40, "X", "L1"), begun(500, "Y", "L2", "B"), taken_up(-20, "X"), taken_up(600, "Y")]
    return [*events, *orders, taken_up(510, "Y", "filler")]


def judged(events: list[Event]) -> tuple[ShiftTruth, dict[str, OrderTruth]]:
    machine = one_machine(ledger(events), has_orders=True)
    (truth,) = machine.ended()
    orders = orders_of(machine, truth)
    assert orders is not None
    return truth, {order.order: order for order in orders}


def test_two_orders_by_hand() -> None:
    """X: 400 s before the break, 100 after it, 100 of them a fault. Y: set-up 100, waits 100, runs 200."""
    truth, orders = judged(day_of_two_orders())
    x, y = orders["X"], orders["Y"]
    assert list(orders) == ["X", "Y"]
    assert x.times_s == {"pbt_s": 500.0, "apt_s": 400.0, "aust_s": 0.0, "adet_s": 100.0, "adot_s": 0.0}
    assert y.times_s == {"pbt_s": 400.0, "apt_s": 200.0, "aust_s": 100.0, "adet_s": 100.0, "adot_s": 0.0}
    assert (x.products, x.exact) == (["A"], {"produced": 100, "good": 95, "reject": 5})
    assert (y.products, y.exact) == (["B"], {"produced": 20, "good": 19, "reject": 1})
    assert (x.standard_ns, y.standard_ns) == ((400 * S, 400 * S), (100 * S, 100 * S))
    assert (x.reworked, y.reworked) == ((0, 0), (2, 2))
    assert x.kpis()["oee"] == pytest.approx(400 / 500 * 95 / 100)
    assert y.kpis()["oee"] == pytest.approx(100 / 400 * 19 / 20)
    assert {bucket: ns / S for bucket, ns in truth.buckets_ns.items()} == {
        "apt": 600.0, "adet": 200.0, "aust": 100.0, "adot": 0.0,
    }  # fmt: skip
    assert (truth.delay_ns, truth.pbt_ns) == (100 * S, 900 * S)


def test_idle_before_the_first_order_is_no_delay() -> None:
    events = [*edges("shift", 0, 100), begun(60, "X", "L1"), taken_up(70, "X"), state(70, 6), state(90, 5)]
    truth, orders = judged(events)
    assert (truth.buckets_ns["adot"], truth.buckets_ns["adet"]) == (70 * S, 10 * S)
    assert orders["X"].times_s["pbt_s"] == 30.0
    assert orders["X"].kpis()["oee"] is None


def test_an_order_goes_on_over_the_end_of_a_shift() -> None:
    events = [*edges("shift", 0, 100), *edges("shift", 100, 200, "late"), state(0, 6), taken_up(5, "X")]
    parts = [part(50, 1, lot="L1"), part(150, 2, lot="L1")]
    machine = one_machine(ledger([*events, begun(5, "X", "L1"), *parts]), has_orders=True)
    for truth, planned_s in zip(machine.ended(), (95.0, 100.0), strict=True):
        (order,) = orders_of(machine, truth) or []
        assert (order.times_s["pbt_s"], order.exact["produced"]) == (planned_s, 1)


def test_a_part_shown_in_the_scan_of_a_change_is_of_the_order_before_it() -> None:
    """The last of X is finished at 500.2, Y begins at 500.4, and the controller shows both at 501."""
    lots = [begun(0, "X", "L1"), begun(0, "Y", "L2"), taken_up(0, "X"), taken_up(500.4, "Y")]
    made = [(499.9, "L1"), (500.2, "L1"), (501.1, "L2"), (502.1, "L2"), (503.1, "L2")]
    parts = [part(second, number, lot=lot) for number, (second, lot) in enumerate(made)]
    _, orders = judged([*edges("shift", -10, 1_000), state(-10, 6), *lots, *parts])
    assert [order.counts["produced"] for order in orders.values()] == [(2, 2), (3, 3)]
    assert [order.unsure for order in orders.values()] == [0, 0]
    first = part(500.9, 9, lot="L2")  # faster than a scan: nobody can tell it from the last of X
    _, orders = judged([*edges("shift", -10, 1_000), state(-10, 6), *lots, *parts, first])
    assert [order.counts["produced"] for order in orders.values()] == [(2, 3), (3, 4)]
    assert [order.unsure for order in orders.values()] == [0, 1]


def test_a_ledger_that_tells_of_no_order_says_nothing_by_order() -> None:
    machine = one_machine(ledger(small_day()), has_orders=True)
    (truth,) = machine.ended()
    assert orders_of(machine, truth) is None
    assert truth.delay_ns is None


# What a report says.


def entry(order: OrderTruth) -> Report:
    """What a right bridge says of an order."""
    times, counts = order.times_s, order.exact
    a, e = times["apt_s"] / times["pbt_s"], order.exact_standard_ns / S / times["apt_s"]
    q, first = counts["good"] / counts["produced"], (counts["good"] - order.reworked[0]) / counts["produced"]
    nee = (times["apt_s"] + times["aust_s"]) / times["pbt_s"] * e * q
    factors = {
        "availability": a,
        "effectiveness": e,
        "quality": q,
        "oee": a * e * q,
        "nee": nee,
        "fpy": first,
    }
    return {"order": order.order, **times, **counts, **factors}


def wrong(break_it: Callable[[list[Any]], object], *, has_rework: bool = True) -> set[str]:
    truth, orders = judged(day_of_two_orders())
    entries = copy.deepcopy([entry(order) for order in orders.values()])
    break_it(entries)
    found = wrong_orders(truth, list(orders.values()), {"orders": entries}, 1000, 9.0, has_rework=has_rework)
    return {figure for figure, _, _ in found}


def test_a_right_report_passes() -> None:
    assert wrong(lambda entries: None) == set()
    assert wrong(lambda entries: entries.reverse()) == set()
    assert wrong(lambda entries: entries[1].update(fpy=0.95), has_rework=False) == set()


def moves_parts_to_the_last_order(entries: list[Report]) -> None:
    first, last = entries
    for count in ("produced", "good", "reject"):
        last[count] += first[count]
        first[count] = 0
    first.update(quality=None, oee=None, nee=None, fpy=None, effectiveness=0.0)


def drops_the_set_up(entries: list[Report]) -> None:
    entries[1].update(pbt_s=300.0, aust_s=0.0, availability=200 / 300)


@pytest.mark.parametrize(
    ("break_it", "figures"),
    [
        (moves_parts_to_the_last_order, {"produced of X", "good of X", "produced of Y", "good of Y"}),
        (drops_the_set_up, {"pbt_s of Y", "aust_s of Y", "oee of Y", "nee of Y"}),
        (lambda entries: entries[0].update(produced=99), {"produced of X", "quality of X"}),
        (lambda entries: entries[0].update(apt_s=410.0), {"apt_s of X", "availability of X"}),
        (lambda entries: entries[0].update(adet_s=50.0, adot_s=50.0), {"adet_s of X", "adot_s of X"}),
        (lambda entries: entries[1].update(availability=0.9, oee=0.9 * 0.5 * 0.95), {"availability of Y"}),
        (lambda entries: entries[1].update(effectiveness=0.6), {"effectiveness of Y", "oee of Y"}),
        (lambda entries: entries[1].update(oee=None), {"oee of Y"}),
        (lambda entries: entries[1].update(oee="0.2"), {"oee of Y"}),
        (lambda entries: entries[1].update(fpy=0.95), {"fpy of Y"}),
        (lambda entries: entries.pop(), {"order Y"}),
        (lambda entries: entries.append(entries[0] | {"order": "Z"}), {"order Z"}),
        (lambda entries: entries.append(entries[0]), {"orders"}),
        (lambda entries: entries.append("X"), {"orders"}),
    ],
)  # fmt: skip
def test_a_wrong_figure_of_an_order_is_told(
    break_it: Callable[[list[Any]], object], figures: set[str]
) -> None:
    assert figures <= wrong(break_it)


@pytest.mark.parametrize("said", [{}, {"orders": None}, {"orders": {"X": {}}}, {"orders": []}])
def test_a_report_without_its_orders_is_refused(said: Report) -> None:
    truth, orders = judged(day_of_two_orders())
    assert wrong_orders(truth, list(orders.values()), said, 1000, 9.0, has_rework=True)


def test_an_order_shorter_than_a_scan_need_not_be_seen() -> None:
    events = [begun(0, "X", "L1"), begun(50, "Y", "L2"), begun(50, "Z", "L3"), taken_up(0, "X")]
    events += [
        taken_up(50.2, "Y"),
        taken_up(50.8, "Z"),
        *edges("shift", 0, 100),
        state(-1, 6),
        part(50.7, 1, lot="L2"),
    ]
    truth, orders = judged(events)
    seen = []
    for name in ("X", "Z"):
        order = orders[name]
        times = order.times_s
        seen.append(
            {"order": name, **times, **order.exact, "availability": 1.0, "effectiveness": 0.0, "nee": None}
        )
    assert wrong_orders(truth, list(orders.values()), {"orders": seen}, 1000, 1.0, has_rework=True) == []


def test_an_order_for_which_nothing_was_made_has_an_oee_of_nothing_on_a_line() -> None:
    events = [*edges("shift", 0, 100), begun(0, "X", "L1"), taken_up(0, "X"), state(0, 101)]
    truth, orders = judged(events)
    said = {"order": "X", **orders["X"].times_s, **orders["X"].exact, "availability": 0.0, "oee": 0.0}
    told = {False: [], True: []}
    for is_line in told:
        truth.is_line = is_line
        found = wrong_orders(truth, list(orders.values()), {"orders": [said]}, 1000, 1.0, has_rework=True)
        told[is_line] = [figure for figure, _, _ in found]
    assert told == {False: ["oee of X"], True: []}
    assert (orders["X"].kpis()["oee"], orders["X"].kpis(is_line=True)["oee"]) == (None, 0.0)
