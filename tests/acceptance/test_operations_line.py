"""The judge's own figures of a line against the day of three machines in docs/oee.md, every figure by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shakedown.acceptance.blocks import Cell, Table
from shakedown.acceptance.oee.companions import wrong_companions
from shakedown.acceptance.oee.course import Course
from shakedown.acceptance.oee.line_truth import Known, LineTruth, kind_of
from shakedown.acceptance.oee.loss_tree import shown, tree_of
from shakedown.acceptance.oee.losses import Losses
from shakedown.acceptance.oee.oracle import Machine, ShiftTruth
from shakedown.acceptance.oee.plan import planned_shifts, unplanned
from shakedown.acceptance.oee.production_orders import orders_of
from shakedown.acceptance.oee.result import TIMES, ShiftFigures, _parts
from shakedown.acceptance.operations_site import OeeLine, WorkUnit
from shakedown.acceptance.physical import Physical
from shakedown.acceptance.readers import Ledger
from shakedown.acceptance.site import Topic

S = 1_000_000_000
MIDNIGHT = 1_767_571_200 * S
RUN, SETUP, DOWN, WAITS, IDLE = 6, 101, 9, 5, 4
REASONS = {"starved": frozenset({1}), "blocked": frozenset({2}), "minor_stop": frozenset({110})}

DAY: dict[str, list[tuple[str, int, int]]] = {  # from when on, PackML state, stop reason
    "cutter": [
        ("06:10", RUN, 0), ("06:58", DOWN, 150), ("07:04", RUN, 0), ("08:36", WAITS, 2), ("08:45", RUN, 0),
        ("09:05", WAITS, 2), ("09:20", RUN, 0), ("10:00", IDLE, 5), ("10:30", RUN, 0), ("10:58", SETUP, 3),
        ("11:06", RUN, 0), ("13:12", IDLE, 4),
    ],
    "welder": [
        ("06:10", RUN, 0), ("07:00", WAITS, 1), ("07:05", RUN, 0), ("08:00", DOWN, 110), ("08:00:20", RUN, 0),
        ("08:30", WAITS, 2), ("08:45", RUN, 0), ("09:00", DOWN, 250), ("09:20", RUN, 0), ("10:00", IDLE, 5),
        ("10:30", RUN, 0), ("11:00", SETUP, 3), ("11:10", RUN, 0), ("12:00", DOWN, 110), ("12:00:40", RUN, 0),
        ("13:20", IDLE, 4),
    ],
    "tester": [
        ("06:10", RUN, 0), ("07:02", WAITS, 1), ("07:06", RUN, 0), ("08:28", DOWN, 350), ("08:45", RUN, 0),
        ("09:08", WAITS, 1), ("09:22", RUN, 0), ("10:00", IDLE, 5), ("10:30", RUN, 0), ("11:10", SETUP, 3),
        ("11:15", RUN, 0), ("13:30", IDLE, 4),
    ],
}  # fmt: skip


def at(clock: str) -> int:
    hours, minutes, seconds = [*map(int, clock.split(":")), 0][:3]
    return MIDNIGHT + (hours * 3600 + minutes * 60 + seconds) * S


def parts(
    machine: str, lot: str, first: str, last: str, count: int, bad: int, again: int = 0
) -> list[list[Any]]:
    """So many parts at even times from the first to the last, of which the first ones but one are bad or come again."""
    begin, end = at(first), at(last)
    return [
        [
            "P",
            begin + (end - begin) * number // (count - 1) if count > 1 else end,
            "part",
            machine,
            {
                "product": "A" if lot == "L1" else "B",
                "lot": lot,
                "good": not 0 < number <= bad,
                "rework": bad < number <= bad + again,
            },
        ]
        for number in range(count)
    ]


def events() -> list[list[Any]]:
    found = [
        ["P", at(when), "state", machine, {"from": IDLE, "to": state, "reason": reason}]
        for machine, states in DAY.items()
        for when, state, reason in states
    ]
    edges = [
        ("06:00", "shift", "start"),
        ("14:00", "shift", "end"),
        ("10:00", "break", "start"),
        ("10:30", "break", "end"),
    ]
    found += [["P", at(when), kind, "", {"phase": phase, "name": "early"}] for when, kind, phase in edges]
    for when, order in (("06:10", "4711"), ("11:00", "4712"), ("13:20", "")):
        found.append(["P", at(when), "order_at", "welder", {"order": order}])
    for order, lot in (("4711", "L1"), ("4712", "L2")):
        found.append(["P", at("06:10"), "order", "", {"phase": "start", "id": order, "lot": lot}])
    found += parts("welder", "L1", "06:10:17", "09:00", 600, 6) + parts(
        "welder", "L1", "09:20:15", "11:00", 400, 4
    )
    found += parts("welder", "L2", "11:10:26", "13:20", 300, 6)
    found += parts("cutter", "L1", "06:11", "10:57", 1_000, 6) + parts(
        "cutter", "L2", "11:07", "13:11", 320, 4
    )
    found += parts("tester", "L1", "06:11", "11:04", 960, 10, 30) + parts(
        "tester", "L2", "11:18", "11:18", 1, 0
    )
    found += parts("tester", "L2", "11:20", "11:20", 1, 0) + parts(
        "tester", "L2", "11:21:30", "13:29", 318, 8
    )
    for event in found:
        if event[3] == "tester" and event[1] in (at("11:18"), at("11:20")):
            event[4]["good"] = False
    return sorted(found, key=lambda event: event[1])


def line(**more: Any) -> OeeLine:
    topics = {
        key: Topic("d", key, 0, "UInt16")
        for key in ("state", "produced", "good", "reject", "product", "reason")
    }
    own = topics | {"order": Topic("d", "order", 0, "String")}
    units = [
        WorkUnit("cutter", topics),
        WorkUnit("welder", own),
        WorkUnit("tester", topics | {"rework": Topic("d", "rework", 0, "UInt16")}),
    ]
    lineage = {"ideal_s": {"A": 10.0, "B": 20.0}}
    facts = {"is_line": True, "reasons": REASONS, "lineage": lineage, "rolls_over_at": 65_536} | more
    return OeeLine("line1", tuple(units), units[1], **facts)


def truth_of(
    of: OeeLine, rows: list[list[Any]], said: list[tuple[int, str, Any]] | None = None
) -> tuple[LineTruth, ShiftTruth]:
    """The truth of the day; `said` is what the welder shows of its state and reason, where it is not what it does."""
    physical = Physical()
    for row in rows:
        physical.add(row)
    ideal = {product: {"welder": seconds} for product, seconds in (("A", 10.0), ("B", 20.0))}
    ledger = Ledger([], at("06:00"), at("15:00"), header={"ideal_s": ideal}, physical=physical)
    counted: dict[str, dict[str, list[tuple[int, int]]]] = {
        "welder": {
            "produced": [(at("06:10"), 59_400), (at("09:00"), 60_000), (at("09:10"), 0), (at("11:00"), 400)]
        },
        "tester": {"good": [(at("12:29:59"), 1_101), (at("12:30"), 1_100)]},
    }
    known = {
        unit.name: Known(
            Machine(ledger, unit.name, 1000, at("06:10")), at("06:10"), [], counted.get(unit.name, {})
        )
        for unit in of.units
    }
    known["welder"].shown = said or []
    lines = LineTruth(ledger, of, known)
    (truth,) = lines.ended()
    return lines, truth


LOSSES = [("", "no_order", 2_400), ("", "unknown", 600), ("cutter", "failure", 300), ("tester", "failure", 900),
          ("welder", "changeover", 600), ("welder", "failure", 1_200), ("welder", "minor_stop", 60)]  # fmt: skip


def unit(
    name: str, times: list[float], counts: list[int], failures: int, mttr_s: float | None
) -> dict[str, Any]:
    names = ["apt_s", "aust_s", "failure_s", "minor_stop_s", "starved_s", "blocked_s", "idle_s", "unknown_s"]
    told: dict[str, Any] = dict(zip(names, times, strict=True)) | dict(
        zip(("produced", "good", "reject"), counts, strict=True)
    )
    told |= {"quality": counts[1] / counts[0], "failures": failures, "mttr_s": mttr_s}
    return {"work_unit": name, **told, "mtbf_s": times[0] / failures if failures else None}


REPORT: dict[str, Any] = {
    "pbt_s": 27_000.0, "apt_s": 20_940.0, "unknown_s": 600.0, "failure_s": 1_200.0, "minor_stop_s": 60.0,
    "starved_s": 300.0, "blocked_s": 900.0, "unplanned_downtime_s": 1_260.0, "failures": 1, "minor_stops": 2,
    "mttr_s": 1_200.0, "mtbf_s": 20_940.0, "changeovers": 1, "changeover_s_mean": 1_050.0,
    "losses": [{"work_unit": name, "kind": kind, "s": float(s)} for name, kind, s in LOSSES],
    "work_units": [
        unit("cutter", [21_240, 480, 360, 0, 0, 1_440, 2_880, 600], [1_320, 1_310, 10], 1, 360.0),
        unit("welder", [20_940, 600, 1_200, 60, 300, 900, 2_400, 600], [1_300, 1_284, 16], 1, 1_200.0),
        unit("tester", [22_200, 300, 1_020, 0, 1_080, 0, 1_800, 600], [1_280, 1_260, 20], 1, 1_020.0),
    ],
    "suspect_counts": [
        {"work_unit": "tester", "count": "good", "at_ms": at("12:30") // 1_000_000, "before": 1_101, "after": 1_100,
         "parts": -1, "kind": "correction"}
    ],
}  # fmt: skip
"""What docs/oee.md works out of the day."""


def test_the_times_and_factors_of_the_welder() -> None:
    _, truth = truth_of(line(), events())
    seconds = {bucket: ns / S for bucket, ns in truth.buckets_ns.items()}
    assert seconds == {"apt": 20_940, "aust": 600, "adet": 2_460, "adot": 2_400}
    assert (truth.pbt_ns / S, truth.unknown_ns / S, truth.down_ns / S) == (27_000, 600, 1_260)
    assert truth.exact == {"produced": 1_300, "good": 1_284, "reject": 16}
    assert truth.counts == {name: (count, count) for name, count in truth.exact.items()}
    kpis = truth.kpis()
    for figure, by_hand in (
        ("availability", 0.793182),
        ("effectiveness", 0.764088),
        ("quality", 0.964894),
        ("oee", 0.584784),
        ("fpy", 0.941920),
    ):
        assert kpis[figure] == pytest.approx(by_hand, abs=5e-7)
        span = truth.spans.get(figure)
        assert span is None or (span.low, span.high) == pytest.approx((by_hand, by_hand), abs=5e-7)


def test_what_a_work_unit_does_follows_from_its_state_and_reason() -> None:
    of = line()
    found = [kind_of(of, state, reason) for state in ("fault", "idle", "run") for reason in (1, 2, 110, 150)]
    assert found == [
        "starved",
        "blocked",
        "minor_stop",
        "failure",
        "starved",
        "blocked",
        "idle",
        "idle",
        *4 * ["run"],
    ]


def test_the_orders_of_the_day() -> None:
    lines, truth = truth_of(line(), events())
    told = {order.order: order for order in orders_of(lines, truth) or []}
    assert list(told) == ["4711", "4712"]
    for name, times, counts, oee in (
        ("4711", (15_600, 13_180, 0, 2_420), (1_000, 990), 0.634615),
        ("4712", (8_400, 7_760, 600, 40), (300, 294), 0.7),
    ):
        order = told[name]
        assert tuple(order.times_s[f"{time}_s"] for time in ("pbt", "apt", "aust", "adet")) == times
        assert (order.counts["produced"], order.counts["good"]) == tuple((count, count) for count in counts)
        assert order.kpis()["oee"] == pytest.approx(oee, abs=5e-7)
        assert order.unsure == 0


def wrong(report: dict[str, Any]) -> list[str]:
    lines, truth = truth_of(line(), events())
    return [figure for figure, _, _ in wrong_companions(lines, truth, report, 1.0)]


def test_the_report_worked_out_by_hand_is_right() -> None:
    assert wrong(REPORT) == []


def loses(cause: tuple[str, str], instead: tuple[str, str]) -> Callable[[dict[str, Any]], None]:
    def change(report: dict[str, Any]) -> None:
        entry = next(e for e in report["losses"] if (e["work_unit"], e["kind"]) == cause)
        entry["work_unit"], entry["kind"] = instead

    return change


@pytest.mark.parametrize(
    ("change", "figures"),
    [
        (lambda report: report.update(failures=3, minor_stops=0), {"failures", "minor_stops"}),
        (lambda report: report.update(mttr_s=420.0, mtbf_s=6_980.0), {"mttr_s", "mtbf_s"}),
        (lambda report: report.update(changeover_s_mean=300.0), {"changeover_s_mean"}),
        (lambda report: report.update(changeovers=0, changeover_s_mean=None), {"changeovers", "changeover_s_mean"}),
        (lambda report: report.update(unknown_s=0.0), {"unknown_s"}),
        (lambda report: report.update(starved_s=0.0, blocked_s=0.0), {"starved_s", "blocked_s"}),
        (loses(("cutter", "failure"), ("welder", "idle")), {"losses of cutter, failure", "losses of welder, idle"}),
        (loses(("tester", "failure"), ("", "demand")), {"losses of tester, failure", "losses of none, demand"}),
        (lambda report: report["losses"].pop(), {"losses of welder, minor_stop", "sum of losses"}),
        (lambda report: report.pop("losses"), {"losses"}),
        (lambda report: report["work_units"].reverse(), {"work_units"}),
        (lambda report: report["work_units"][2].update(good=1_262), {"good of tester", "quality of tester"}),
        (lambda report: report["work_units"][0].update(blocked_s=0.0, idle_s=4_320.0),
         {"blocked_s of cutter", "idle_s of cutter"}),
        (lambda report: report["suspect_counts"].clear(), {"suspect_counts"}),
        (lambda report: report["suspect_counts"][0].update(parts=0), {"suspect_counts"}),
    ],
)  # fmt: skip
def test_a_figure_of_the_line_that_is_wrong(
    change: Callable[[dict[str, Any]], None], figures: set[str]
) -> None:
    report = copy.deepcopy(REPORT)
    change(report)
    assert set(wrong(report)) == figures


def test_a_shift_planned_and_not_worked() -> None:
    idle = [event for event in events() if event[2] in ("shift", "break")]
    idle += [["P", at("06:10"), "state", machine, {"from": 4, "to": 4, "reason": 4}] for machine in DAY]
    _, truth = truth_of(line(), idle)
    kpis = truth.kpis()
    assert [kpis[figure] for figure in ("availability", "effectiveness", "quality", "oee")] == [
        0.0,
        None,
        None,
        0.0,
    ]
    assert truth.spans["oee"].holds(0.0, 0.0)
    assert not truth.spans["oee"].holds(None, 0.0)


def test_a_machine_alone_reads_the_same_day_without_its_neighbours() -> None:
    welder = line().counting
    alone = OeeLine("line1", (welder,), welder, reasons=REASONS, lineage={"ideal_s": {}})
    lines, truth = truth_of(alone, events())
    assert truth.kpis()["quality"] == pytest.approx(1_284 / 1_300)
    figures = {
        name: REPORT[name] for name in ("unplanned_downtime_s", "mttr_s", "mtbf_s", "apt_s", "unknown_s")
    }
    figures["suspect_counts"] = []
    assert wrong_companions(lines, truth, figures | {"changeover_s_mean": 600.0}, 1.0) == []


def causes(
    cutter: list[Any], welder: list[Any], tester: list[Any], until: int = 1_000
) -> dict[tuple[str, str], float]:
    """Losses of a line whose states change at these seconds, all of it planned and in an order."""
    kinds = {
        name: [(second * S, kind) for second, kind in changes]
        for name, changes in (("cutter", cutter), ("welder", welder), ("tester", tester))
    }
    course = Course(kinds, [(0, "4711")], [(0, True)])
    return {cause: ns / S for cause, ns in Losses(course, line()).within([(0, until * S)]).items()}


RUNS = [(0, "run")]


@pytest.mark.parametrize(
    ("cutter", "tester", "kind", "expected"),
    [
        ([(0, "run"), (90, "failure"), (150, "run")], RUNS, "starved", {("cutter", "failure"): 100}),
        ([(0, "run"), (20, "failure"), (50, "run")], RUNS, "starved", {("cutter", "failure"): 100}),
        ([(0, "run"), (20, "failure"), (39, "run")], RUNS, "starved", {("cutter", "speed"): 100}),
        ([(0, "starved")], RUNS, "starved", {("", "supply"): 100}),
        (
            RUNS,
            [(0, "run"), (130, "changeover")],
            "blocked",
            {("tester", "speed"): 30, ("tester", "changeover"): 70},
        ),
        (RUNS, [(0, "blocked")], "blocked", {("", "demand"): 100}),
        ([(0, "failure")], RUNS, "idle", {("welder", "idle"): 100}),
    ],
)
def test_who_made_it_wait(
    cutter: list[Any], tester: list[Any], kind: str, expected: dict[Any, float]
) -> None:
    """The welder waits from 100 to 200 s."""
    assert causes(cutter, [(0, "run"), (100, kind), (200, "run")], tester) == expected


def test_of_two_who_stand_the_nearest_that_does_not_wait_is_the_cause() -> None:
    welder = [(0, "blocked")]
    units = line().units
    cutter_counts = OeeLine("line1", units, units[0], is_line=True, reasons=REASONS)
    course = Course(
        {"cutter": [(0, "blocked")], "welder": welder, "tester": [(0, "failure")]}, [(0, "4711")], [(0, True)]
    )
    assert Losses(course, cutter_counts).within([(0, 100 * S)]) == {("tester", "failure"): 100 * S}


def test_the_loss_tree_agrees_with_its_table() -> None:
    """Running time and losses are the planned time, machine by machine, in the figures as in what is shown of them."""
    lines, truth = truth_of(line(), events())
    tree = tree_of(lines, truth, REPORT)
    assert {(loss.work_unit, loss.kind): loss.true_s for loss in tree.losses} == {
        (name, kind): float(s) for name, kind, s in LOSSES
    }
    assert all(loss.true_s == loss.reported_s for loss in tree.losses)
    assert tree.apt_s + sum(loss.true_s for loss in tree.losses) == tree.pbt_s == 27_000
    assert [sum(unit.seconds.values()) for unit in tree.units] == [27_000.0] * 3
    losses, machines = shown(tree, frozenset({"losses of cutter, failure"}))
    assert isinstance(losses, Table)
    assert isinstance(machines, Table)
    assert [row.cells[:4] for row in losses.rows if row.tone == "bad"] == [
        ["cutter", "failures", "5:00", "5:00"]
    ]
    bars = [cell.bars[0].parts for row in machines.rows for cell in row.cells if isinstance(cell, Cell)]
    shares = [sum(share for tone, share in parts if tone == "idle") for parts in bars]
    assert shares == pytest.approx([4_320 / 27_000, 3_600 / 27_000, 2_880 / 27_000])
    welder = machines.rows[1].cells
    assert welder[5:8] == ["5:00", "15:00", "40:00"]


def test_the_bar_of_a_shift_is_the_seconds_of_the_rows_below_it() -> None:
    times = {"pbt_s": 1_000.0, "apt_s": 500.0, "aust_s": 100.0, "adet_s": 300.0, "adot_s": 50.0}
    names = ("produced", "good", "reject", "oee", "availability", "effectiveness", "quality", "fpy")
    figures = ShiftFigures(**times, unplanned_downtime_s=80.0, unknown_s=50.0, **dict.fromkeys(names))
    assert figures.waiting_s == 220.0
    assert _parts(figures) == [
        ("run", 500.0),
        ("changeover", 100.0),
        ("fault", 80.0),
        ("idle", 270.0),
        ("pause", 50.0),
    ]
    assert sum(seconds for _, seconds in _parts(figures)) == sum(
        getattr(figures, name) for name in TIMES if name != "pbt_s"
    )


def test_while_the_state_lies_it_is_held_by_what_it_said() -> None:
    """The welder runs, and shows a fault without a reason for every other second of half a minute."""
    begin = at("13:00")
    upset = {"id": "flaps", "upset": "flapping_state", "signals": ["welder.state"]}
    rows = [*events(), ["P", begin, "upset", "welder", upset | {"phase": "start"}]]
    rows.append(["P", begin + 30 * S, "upset", "welder", upset | {"phase": "end"}])
    said = [(begin + second * S, "fault" if second % 2 == 0 else "run", 0) for second in range(31)]
    _, truth = truth_of(line(), rows, [(at("12:00:40"), "run", 0), *said])
    assert (truth.buckets_ns["apt"] / S, truth.down_ns / S) == (20_940 - 15, 1_260 + 15)
    _, truth = truth_of(line(), rows[:-2], [(at("12:00:40"), "run", 0), *said])
    assert truth.buckets_ns["apt"] / S == 20_940


def test_an_order_ends_at_its_planned_quantity() -> None:
    """The welder runs on after the 200th good part of order 4712: what it waits then is no delay."""
    of = line()
    units = [
        WorkUnit(u.name, u.topics | {"order_quantity": Topic("d", "quantity", 0, "UInt32")}) for u in of.units
    ]
    rows = events()
    for row in rows:
        if row[2] == "order" and row[4]["id"] == "4712":
            row[4]["quantity"] = 200
    lines, truth = truth_of(OeeLine("line1", tuple(units), units[1], True, REASONS, of.lineage), rows)
    made = [
        row[1] for row in rows if row[2:4] == ["part", "welder"] and row[4]["good"] and row[1] > at("11:00")
    ]
    orders = {order.order: order for order in orders_of(lines, truth) or []}
    assert orders["4712"].times_s["pbt_s"] == pytest.approx((made[199] - at("11:00")) / S)
    assert truth.buckets_ns["adot"] / S == 2_400


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2026-03-28", 7.0), ("2026-10-24", 9.0), ("2026-06-10", 8.0)],
)
def test_a_night_shift_lasts_as_long_as_the_clock_makes_it(day: str, hours: float) -> None:
    """From 22:00 to 06:00 in Berlin, with the change to and from summer time."""
    plan = {
        "time_zone": "Europe/Berlin",
        "planned": [{"name": "night", "begins_s": 79_200, "lasts_s": 28_800}],
    }
    begin = datetime.fromisoformat(f"{day}T22:00").replace(tzinfo=ZoneInfo("Europe/Berlin"))
    from_ns = int(begin.timestamp()) * S
    (shift,) = [one for one in planned_shifts(plan, from_ns, from_ns) if one.from_ns == from_ns]
    assert (shift.to_ns - shift.from_ns) / S / 3_600 == hours


def test_no_shift_begins_on_a_holiday_or_on_a_day_that_is_not_worked() -> None:
    """Christmas 2026 is a Friday."""
    plan = {
        "offset_s": 3_600,
        "holidays": [date(2026, 12, 25)],
        "planned": [{"name": "late", "begins_s": 82_800, "lasts_s": 3_600, "days": ["fri", "sat", "sun"]}],
    }
    at_ns = int(datetime(2026, 12, 27, tzinfo=UTC).timestamp()) * S
    found = [one.from_ns for one in planned_shifts(plan, at_ns - 5 * 86_400 * S, at_ns)]
    assert found == [at_ns - 86_400 * S, at_ns]


def test_a_plant_that_works_when_the_site_does_not_plan_it_is_the_labs_fault() -> None:
    plan = {"planned": [{"name": "early", "begins_s": 21_600, "lasts_s": 28_800}]}
    lines, _ = truth_of(line(plan=plan), events())
    assert unplanned(lines.line, lines.ledger) == []
    late = {"planned": [{"name": "early", "begins_s": 21_600, "lasts_s": 25_200}]}
    lines, _ = truth_of(line(plan=late), events())
    (problem,) = unplanned(lines.line, lines.ledger)
    assert "'early' from 2026-01-05 06:00:00 to 2026-01-05 14:00:00 UTC" in problem.what
