"""The day of three machines of docs/oee.md: every figure is worked out there by hand."""

from __future__ import annotations

import json
import random
from datetime import date
from zoneinfo import ZoneInfo

import pytest

from shakedown.bridge.core.model import Sample
from shakedown.bridge.core.oee import Line, LineConfig
from shakedown.bridge.core.oee_calendar import Calendar, Period, Shift
from shakedown.bridge.core.oee_shifts import Shifts
from shakedown.bridge.core.oee_units import Meaning, UnitConfig

S = 1_000_000_000
WHATS = ("state", "reason", "produced", "good", "reject", "product", "order", "rework")
UNITS = ("cutter", "welder", "tester")
IDS = {
    (unit, what): place * 10 + number for place, unit in enumerate(UNITS) for number, what in enumerate(WHATS)
}
REASONS = {"1": "starved", "2": "blocked", "110": "minor_stop"}


def ns(clock: str) -> int:
    hour, minute, second = [*map(int, clock.split(":")), 0][:3]
    return (hour * 3600 + minute * 60 + second) * S


CALENDAR = Calendar((Shift("early", ns("06:00"), ns("08:00"), ((ns("04:00"), ns("00:30")),)),))
SHIFT = CALENDAR.period(ns("07:00"))
assert SHIFT is not None


def config(**settings: object) -> LineConfig:
    own = tuple(UnitConfig(unit, {w: IDS[unit, w] for w in WHATS}, {"state": unit}) for unit in UNITS)
    units = settings.pop("units", own)
    meaning = Meaning(REASONS, modulus=1 << 16, pace_ns=10 * S)
    ideal_ns = {"A": 10 * S, "B": 20 * S}
    given = {"counting": 1, "is_line": True, "ideal_ns": ideal_ns, "meaning": meaning, **settings}
    return LineConfig("line1", units, CALENDAR, **given)  # type: ignore[arg-type]


def says(unit: str, what: str, *changes: tuple[str, object]) -> list[Sample]:
    return [Sample(IDS[unit, what], ns(clock) // 1_000_000, value) for clock, value in changes]  # type: ignore[arg-type]


def does(unit: str, text: str) -> list[Sample]:
    """`clock state [reason]; ...`"""
    found = []
    for words in (entry.split() for entry in text.split(";")):
        clock, state, reason = words[0], words[1], int(words[2]) if len(words) > 2 else 0
        found += says(unit, "state", (clock, state)) + says(unit, "reason", (clock, reason))
    return found


DAY = [
    *does("cutter", "06:10 run; 06:58 fault 150; 07:04 run; 08:36 idle 2; 08:45 run; 09:05 idle 2; 09:20 run;"
                    "10:00 idle 5; 10:30 run; 10:58 changeover 3; 11:06 run; 13:12 idle 4"),
    *does("welder", "06:10 run; 07:00 idle 1; 07:05 run; 08:00 fault 110; 08:00:20 run; 08:30 idle 2; 08:45 run;"
                    "09:00 fault 250; 09:20 run; 10:00 idle 5; 10:30 run; 11:00 changeover 3; 11:10 run;"
                    "12:00 fault 110; 12:00:40 run; 13:20 idle 4"),
    *does("tester", "06:10 run; 07:02 idle 1; 07:06 run; 08:28 fault 350; 08:45 run; 09:08 idle 1; 09:22 run;"
                    "10:00 idle 5; 10:30 run; 11:10 changeover 3; 11:15 run; 13:30 idle 4"),
    *says("welder", "product", ("06:10", "A"), ("11:10", "B")),
    *says("welder", "order", ("06:10", "4711"), ("11:00", "4712"), ("13:20", "")),
    *says("tester", "product", ("06:10", "A"), ("11:15", "B")),
    *says("welder", "produced", ("06:10", 59_400), ("09:00", 60_000), ("09:10", 0), ("11:00", 400), ("13:20", 700)),
    *says("welder", "good", ("06:10", 58_990), ("09:00", 59_584), ("09:10", 0), ("11:00", 396), ("13:20", 690)),
    *says("welder", "reject", ("06:10", 500), ("09:00", 506), ("09:10", 0), ("11:00", 4), ("13:20", 10)),
    *says("cutter", "produced", ("06:10", 0), ("10:00", 700), ("13:12", 1_320)),
    *says("cutter", "good", ("06:10", 0), ("10:00", 695), ("13:12", 1_310)),
    *says("cutter", "reject", ("06:10", 0), ("10:00", 5), ("13:12", 10)),
    *says("tester", "produced", ("06:10", 0), ("11:04", 985), ("11:18", 986), ("11:20", 987), ("11:21:30", 988),
          ("12:29", 1_115), ("13:30", 1_280)),
    *says("tester", "good", ("06:10", 0), ("11:04", 973), ("11:21:30", 974), ("12:29", 1_101), ("12:30", 1_100),
          ("13:30", 1_260)),
    *says("tester", "reject", ("06:10", 0), ("11:04", 12), ("11:18", 13), ("11:20", 14), ("13:30", 20)),
    *says("tester", "rework", ("06:10", 0), ("13:00", 30)),
]  # fmt: skip
LOSSES = [
    ("", "no_order", 2_400), ("", "unknown", 600), ("cutter", "failure", 300), ("tester", "failure", 900),
    ("welder", "changeover", 600), ("welder", "failure", 1_200), ("welder", "minor_stop", 60),
]  # fmt: skip


def line(samples: list[Sample], **settings: object) -> Line:
    made = Line(config(**settings))
    for sample in samples:
        made.take(sample)
    return made


def day(samples: list[Sample] = DAY, **settings: object) -> dict[str, object]:
    return line(sorted(samples, key=lambda s: s.ts_ms), **settings).figures(SHIFT, ns("14:00"))


def test_the_times_of_the_bottleneck_make_up_the_planned_time() -> None:
    found = day()
    expected = {
        "pbt_s": 27_000, "apt_s": 20_940, "aust_s": 600, "adet_s": 2_460, "adot_s": 2_400, "unknown_s": 600,
        "failure_s": 1_200, "minor_stop_s": 60, "starved_s": 300, "blocked_s": 900, "unplanned_downtime_s": 1_260,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected


def test_a_minute_that_the_bottleneck_waits_is_the_loss_of_who_caused_it() -> None:
    found = day()["losses"]
    assert [(loss["work_unit"], loss["kind"], loss["s"]) for loss in found] == LOSSES
    assert sum(loss["s"] for loss in found) == 27_000 - 20_940


def test_counts_and_yields_are_those_of_the_whole_line() -> None:
    found = day()
    assert (found["produced"], found["good"], found["reject"]) == (1_300, 1_284, 16)
    assert found["availability"] == 20_940 / 26_400
    assert found["effectiveness"] == 16_000 / 20_940
    assert found["quality"] == pytest.approx(0.964894, abs=1e-6)
    assert found["oee"] == pytest.approx(0.584784, abs=1e-6)
    assert found["nee"] == pytest.approx(0.601540, abs=1e-6)
    assert found["fpy"] == pytest.approx(0.941920, abs=1e-6)


def test_a_minor_stop_is_no_failure_and_a_changeover_ends_with_a_good_part() -> None:
    found = day()
    assert (found["failures"], found["minor_stops"], found["mttr_s"], found["mtbf_s"]) == (
        1,
        2,
        1_200,
        20_940,
    )
    assert (found["changeovers"], found["changeover_s_mean"]) == (1, 1_050)


def test_a_state_that_flaps_to_fault_while_its_reason_says_that_it_waits_changes_nothing() -> None:
    flaps = does("welder", "07:02 fault 1; 07:02:01 idle 1; 08:40 fault 2; 08:41 idle 2")
    assert day([*DAY, *flaps]) == day()
    assert day([*DAY, *does("tester", "09:10 fault 1; 09:10:01 idle 1")]) == day()


def test_each_work_unit_has_its_own_times_and_counts() -> None:
    expected = {
        "cutter": (21_240, 480, 360, 0, 0, 1_440, 2_880, 600, 1_320, 1_310, 10, 1, 360, 21_240),
        "welder": (20_940, 600, 1_200, 60, 300, 900, 2_400, 600, 1_300, 1_284, 16, 1, 1_200, 20_940),
        "tester": (22_200, 300, 1_020, 0, 1_080, 0, 1_800, 600, 1_280, 1_260, 20, 1, 1_020, 22_200),
    }
    names = ("apt_s", "aust_s", "failure_s", "minor_stop_s", "starved_s", "blocked_s", "idle_s", "unknown_s",
             "produced", "good", "reject", "failures", "mttr_s", "mtbf_s")  # fmt: skip
    units = day()["work_units"]
    assert {unit["work_unit"]: tuple(unit[name] for name in names) for unit in units} == expected
    for unit in units:
        assert sum(unit[name] for name in names[:8]) == 27_000
        assert unit["quality"] == unit["good"] / unit["produced"]


def test_a_part_in_the_scan_of_a_change_of_order_was_made_for_the_one_before() -> None:
    first, second = day()["orders"]
    names = ("order", "pbt_s", "apt_s", "aust_s", "adet_s", "adot_s", "produced", "good", "reject")
    assert [first[name] for name in names] == ["4711", 15_600, 13_180, 0, 2_420, 0, 1_000, 990, 10]
    assert [second[name] for name in names] == ["4712", 8_400, 7_760, 600, 40, 0, 300, 294, 6]
    for order, factors in (
        (first, (0.844872, 0.758725, 0.99, 0.634615)),
        (second, (0.923810, 0.773196, 0.98, 0.7)),
    ):
        kpis = (order["availability"], order["effectiveness"], order["quality"], order["oee"])
        assert kpis == pytest.approx(factors, abs=1e-6)


def test_a_step_that_a_counter_cannot_have_made_by_itself_is_flagged_with_its_figures() -> None:
    assert day()["suspect_counts"] == [
        {"work_unit": "tester", "count": "good", "at_ms": ns("12:30") // 1_000_000,
         "before": 1_101, "after": 1_100, "parts": -1, "kind": "correction"}
    ]  # fmt: skip


def test_an_order_ends_at_its_planned_quantity_as_well() -> None:
    ids = {w: IDS["welder", w] for w in WHATS} | {"order_quantity": 99}
    units = [UnitConfig(u, ids if u == "welder" else {w: IDS[u, w] for w in WHATS}) for u in UNITS]
    no_signal = [s for s in DAY if (s.metric_id, s.value) != (IDS["welder", "order"], "")]
    quantity = [Sample(99, ns("06:10") // 1_000_000, 990), Sample(99, ns("11:00") // 1_000_000, 294)]
    assert (day(no_signal)["adot_s"], day(no_signal)["adet_s"]) == (0, 4_860)
    found = day([*no_signal, *quantity], units=units)
    assert (found["adot_s"], found["adet_s"]) == (2_400, 2_460)
    assert [order["produced"] for order in found["orders"]] == [1_000, 300]


def test_a_shift_planned_and_not_worked_has_an_oee_of_zero_and_factors_that_are_not_there() -> None:
    found = day(does("welder", "05:00 idle 4") + says("welder", "produced", ("05:00", 7)))
    assert [found[name] for name in ("availability", "effectiveness", "quality", "oee")] == [
        0.0,
        None,
        None,
        0.0,
    ]
    nothing_known = day([])
    assert (nothing_known["unknown_s"], nothing_known["availability"], nothing_known["oee"]) == (
        27_000,
        None,
        None,
    )


def test_the_order_in_which_samples_arrive_makes_no_difference() -> None:
    expected = day()
    for seed in range(5):
        samples = [*DAY, *DAY[::7]]
        random.Random(seed).shuffle(samples)
        assert line(samples).figures(SHIFT, ns("14:00")) == expected


def test_history_survives_a_restart_and_that_of_other_metrics_begins_anew() -> None:
    first = Shifts(config())
    for sample in sorted(DAY, key=lambda s: s.ts_ms):
        first.take(sample)
    first.tick(ns("13:59"))
    saved = json.loads(json.dumps(first.save()))
    again, other = Shifts(config()), Shifts(config(units=config().units[:2]))
    again.restore(saved)
    other.restore(saved)
    assert again.line.figures(SHIFT, ns("14:00")) == day()
    assert other.line.figures(SHIFT, ns("14:00"))["unknown_s"] == 27_000
    (closed, *_) = again.tick(ns("14:00:05"))
    other.reported(closed.content)
    assert other.tick(ns("14:01")) == []


def test_history_of_the_version_before_is_that_of_its_one_machine() -> None:
    one = config(units=config().units[1:2], counting=0, is_line=False)
    texts = [([ns("06:10")], ["run"]), ([ns("06:10")], ["A"]), ([], [])]
    counts = [([ns("06:10"), ns("07:00")], [0, 100])] * 2 + [([], []), ([], [])]
    shifts, of_a_line = Shifts(one), Shifts(config())
    for made in (shifts, of_a_line):
        made.restore({"line": [*texts, *counts], "closed": [], "open": ns("06:00")})
    found = shifts.line.figures(SHIFT, ns("08:10"))
    assert (found["apt_s"], found["produced"], found["effectiveness"]) == (7_200, 100, 1_000 / 7_200)
    assert of_a_line.line.figures(SHIFT, ns("08:10"))["unknown_s"] == 7_800


# ---- why the bottleneck waited


ORDER = says("welder", "order", ("06:00", "1"))


@pytest.mark.parametrize(
    ("cutter", "welder", "tester", "expected"),
    [
        # what the cutter lacks comes from outside of the line; demand likewise
        ("06:00 run; 07:00 idle 1; 07:10 run", "06:00 run; 07:01 idle 1; 07:10 run; 13:59 run", "06:00 run",
         [("", "supply", 540)]),
        ("06:00 run", "06:00 run; 07:01 idle 2; 07:10 run", "06:00 run; 07:00 idle 2; 07:10 run",
         [("", "demand", 540)]),
        # ended half a minute before the wait, or too long before
        ("06:00 run; 07:00 fault 110; 07:01 run", "06:00 run; 07:01:30 idle 1; 07:02 run", "06:00 run",
         [("cutter", "minor_stop", 30)]),
        ("06:00 run; 07:00 fault 150; 07:01 run", "06:00 run; 07:02:01 idle 1; 07:03 run", "06:00 run",
         [("cutter", "speed", 59)]),
        # the wait begins before the shift, and its cause was seen there
        ("05:00 run; 05:50 changeover 3; 05:59 run", "05:00 run; 05:55 idle 1; 06:01 run", "05:00 run",
         [("cutter", "changeover", 60)]),
        # a wait over a break: the break is no loss
        ("06:00 run", "06:00 run; 09:50 idle 2; 10:40 run", "06:00 run; 09:45 fault 350; 10:35 run",
         [("tester", "failure", 1_200)]),
    ],
)  # fmt: skip
def test_a_wait_is_followed_to_its_cause(
    cutter: str, welder: str, tester: str, expected: list[tuple[str, str, float]]
) -> None:
    samples = [*ORDER, *does("cutter", cutter), *does("welder", welder), *does("tester", tester)]
    found = [(loss["work_unit"], loss["kind"], loss["s"]) for loss in day(samples)["losses"]]
    assert found == expected


# ---- the calendar


BERLIN = ZoneInfo("Europe/Berlin")
WEEK = frozenset(range(5))


def local(period: Period | None) -> tuple[str, float]:
    assert period is not None
    return period.name, (period.to_ns - period.from_ns) / S / 3600


def utc(year: int, month: int, day_: int, hour: int) -> int:
    return (date(year, month, day_).toordinal() - date(1970, 1, 1).toordinal()) * 86_400 * S + hour * 3600 * S


def test_a_night_shift_is_as_long_as_the_wall_clock_makes_it() -> None:
    night = Shift("night", ns("22:00"), ns("08:00"), ((ns("06:00"), ns("00:30")),))
    calendar = Calendar((night,), zone=BERLIN)
    assert local(calendar.period(utc(2026, 3, 28, 22))) == ("night", 7)  # into summer time
    assert local(calendar.period(utc(2026, 10, 24, 22))) == ("night", 9)  # and out of it
    plain = calendar.period(utc(2026, 6, 10, 21))
    assert local(plain) == ("night", 8)
    assert plain is not None
    assert plain.from_ns == utc(2026, 6, 10, 20)
    spring = calendar.period(utc(2026, 3, 28, 22))
    assert spring is not None
    assert spring.breaks == ((utc(2026, 3, 29, 2), utc(2026, 3, 29, 2) + ns("00:30")),)  # 04:00 summer time


def test_no_shift_begins_at_the_weekend_or_on_a_holiday() -> None:
    shift = Shift("day", ns("06:00"), ns("08:00"), days=WEEK)
    calendar = Calendar((shift,), zone=BERLIN, holidays=frozenset({date(2026, 12, 25)}))
    thursday = calendar.period(utc(2026, 12, 24, 8))
    assert thursday is not None
    assert calendar.period(utc(2026, 12, 25, 8)) is None
    after = calendar.following(thursday.to_ns)
    assert after is not None
    assert after.from_ns == utc(2026, 12, 28, 5)  # Monday, 6:00 in winter
    assert calendar.planned_ns(thursday.from_ns, after.to_ns) == 2 * ns("08:00")
    assert Calendar((shift,), holidays=frozenset(date.fromordinal(d) for d in range(739_000, 740_500))).following(
        utc(2026, 1, 1, 0)
    ) is None  # fmt: skip
