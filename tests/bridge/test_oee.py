"""OEE: a small day worked by hand, counters, the calendar, and the same answer in whatever order samples arrive."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shakedown.bridge.core.model import BAD, Sample
from shakedown.bridge.core.oee import CLOSE_NS, REPORT_NS, Line, LineConfig
from shakedown.bridge.core.oee_calendar import Calendar, Period, Shift
from shakedown.bridge.core.oee_series import PartCounter, Series
from shakedown.bridge.core.oee_shifts import Shifts
from shakedown.bridge.core.oee_units import UnitConfig

S = 1_000_000_000
STATE, PRODUCED, GOOD, REJECT, PRODUCT, ORDER, REWORK = range(7)
IDS = {"state": STATE, "produced": PRODUCED, "good": GOOD, "reject": REJECT, "product": PRODUCT}
HOUR = 3600
EARLY = Shift("early", 6 * HOUR * S, 8 * HOUR * S, ((2 * HOUR * S, 900 * S), (4 * HOUR * S, 1800 * S)))
LATE = Shift("late", 14 * HOUR * S, 8 * HOUR * S)
NIGHT = Shift("night", 22 * HOUR * S, 8 * HOUR * S)
CALENDAR = Calendar((EARLY, LATE, NIGHT))


def config(**settings: object) -> LineConfig:
    ids = IDS | {what: settings.pop(what) for what in ("order", "rework") if what in settings}
    given_ = {"ideal_ns": {"ale": 2 * S, "lager": 4 * S}, **settings}
    return LineConfig("line1", (UnitConfig("packer", ids),), CALENDAR, **given_)  # type: ignore[arg-type]


def at(hour: float, metric_id: int, value: object, quality: int = 192) -> Sample:
    return Sample(metric_id, round(hour * HOUR * 1000), value, quality)  # type: ignore[arg-type]


def line(samples: list[Sample], **settings: object) -> Line:
    made = Line(config(**settings))
    for sample in samples:
        made.take(sample)
    return made


# A day on paper. Shift 6:00 to 14:00, breaks 8:00-8:15 and 10:00-10:30: PBT = 8 h - 45 min = 26,100 s.
#   6:00 run ale ...................... 9:00   3 h - 15 min break     = 9,900 s run
#   9:00 changeover to lager .......... 9:30                          = 1,800 s changeover
#   9:30 run lager .................... 11:00  1.5 h - 30 min break   = 3,600 s run
#  11:00 fault ........................ 11:20                         = 1,200 s fault
#  11:20 run lager .................... 13:00                         = 6,000 s run
#  13:00 idle ......................... 13:50                         = 3,000 s idle
#  13:50 fault, over the end of shift . 14:10   600 s inside          =   600 s fault
# Parts: 4,000 ale (3,900 good), 1,600 lager before 11:00 and, after the PLC was reset, 800 more (2,280 of 2,400 good).
DAY = [
    at(5.9, PRODUCT, "ale"), at(5.9, STATE, "run"), at(5.9, PRODUCED, 100), at(5.9, GOOD, 90), at(5.9, REJECT, 10),
    at(9.0, PRODUCED, 4100), at(9.0, GOOD, 3990), at(9.0, REJECT, 110), at(9.0, STATE, "changeover"),
    at(9.5, PRODUCT, "lager"), at(9.5, STATE, "run"),
    at(11.0, PRODUCED, 5700), at(11.0, GOOD, 5510), at(11.0, REJECT, 190), at(11.0, STATE, "fault"),
    at(11.2, PRODUCED, 0), at(11.2, GOOD, 0), at(11.2, REJECT, 0), at(34 / 3, STATE, "run"),
    at(13.0, PRODUCED, 800), at(13.0, GOOD, 760), at(13.0, REJECT, 40), at(13.0, STATE, "idle"),
    at(13 + 5 / 6, STATE, "fault"), at(14 + 1 / 6, STATE, "run"), at(14.5, PRODUCED, 900),
]  # fmt: skip
EXPECTED = {
    "pbt_s": 26_100.0, "apt_s": 19_500.0, "aust_s": 1_800.0, "adet_s": 1_800.0, "adot_s": 3_000.0,
    "produced": 6_400, "good": 6_180, "reject": 220,
    "availability": 19_500 / 26_100,
    "effectiveness": (4_000 * 2 + 2_400 * 4) / 19_500,
    "quality": 6_180 / 6_400,
    "oee": pytest.approx((4_000 * 2 + 2_400 * 4) / 26_100 * 6_180 / 6_400, rel=1e-12),
    "nee": pytest.approx(21_300 / 26_100 * (17_600 / 19_500) * 6_180 / 6_400, rel=1e-12),
    "fpy": 6_180 / 6_400,
    "changeover_s_mean": 1_800.0, "mttr_s": 1_200.0, "mtbf_s": 9_750.0, "unplanned_downtime_s": 1_800.0,
    "unknown_s": 0.0, "suspect_counts": [], "orders": [],
}  # fmt: skip
FIRST = CALENDAR.period(6 * HOUR * S)
assert FIRST is not None


def test_a_day_worked_by_hand() -> None:
    assert line(DAY).figures(FIRST, 14 * HOUR * S) == EXPECTED


def test_an_open_shift_is_judged_as_far_as_it_has_come() -> None:
    found = line(DAY).figures(FIRST, round(8.1 * HOUR) * S)  # in the break
    assert (found["pbt_s"], found["apt_s"], found["availability"]) == (7200.0, 7200.0, 1.0)
    assert (found["produced"], found["quality"], found["oee"]) == (0, None, None)


def test_orders_are_told_apart_and_idle_inside_one_is_a_delay() -> None:
    samples = [at(5.9, ORDER, 4711), at(9.5, ORDER, 4712), at(13.5, ORDER, 0), *DAY]
    found = line(samples, order=ORDER).figures(FIRST, 14 * HOUR * S)
    assert (found["adet_s"], found["adot_s"]) == (1_800 + 1_800, 1_200)
    first, second = found["orders"]
    assert (first["order"], first["produced"], first["apt_s"], first["aust_s"]) == ("4711", 4000, 9900, 1800)
    assert (second["order"], second["produced"], second["pbt_s"]) == ("4712", 2400, 4 * HOUR - 1800)
    assert second["effectiveness"] == 2400 * 4 / 9600


def on_orders(orders: list[Sample], counts: list[Sample], *, is_late: bool) -> list[tuple[str, int]]:
    samples = [at(6, STATE, "run"), *counts, *orders]
    made = line(
        samples if is_late else sorted(samples, key=lambda s: (s.ts_ms, s.metric_id != ORDER)), order=ORDER
    )
    made.figures(FIRST, 7 * HOUR * S)
    if is_late:
        made.restore(json.loads(json.dumps(made.save())))
    return [(entry["order"], entry["produced"]) for entry in made.figures(FIRST, 7 * HOUR * S)["orders"]]


@given(st.lists(st.integers(1, 300), max_size=8, unique=True), st.lists(st.integers(0, 3), max_size=300))
def test_an_order_heard_of_late_has_the_parts_that_were_made_for_it(
    edges: list[int], steps: list[int]
) -> None:
    """After an outage the counter may tell all that it kept before the order tells when it changed."""
    begun = {0: "4711", **{second: f"{second}" for second in edges}}
    orders = [at(6 + second / HOUR, ORDER, order) for second, order in begun.items()]
    totals = [sum(steps[:count]) for count in range(len(steps) + 1)]
    counts = [at(6 + second / HOUR, PRODUCED, total) for second, total in enumerate(totals)]
    expected = dict.fromkeys(begun.values(), 0)
    for second, step in enumerate(steps, start=1):
        expected[begun[max(moment for moment in begun if moment < second)]] += step
    assert dict(on_orders(orders, counts, is_late=False)) == expected
    assert dict(on_orders(orders, counts, is_late=True)) == expected


def test_rework_lowers_the_first_pass_yield_alone() -> None:
    samples = [*DAY, at(5.9, REWORK, 0), at(10, REWORK, 60)]
    found = line(samples, rework=REWORK).figures(FIRST, 14 * HOUR * S)
    assert found["fpy"] == (6_180 - 60) / 6_400
    assert found["quality"] == EXPECTED["quality"]


def test_a_product_nobody_planned_a_time_for_has_no_effectiveness() -> None:
    found = line(DAY, ideal_ns={"ale": 2 * S}).figures(FIRST, 14 * HOUR * S)
    assert (found["effectiveness"], found["oee"], found["availability"]) == (None, None, 19_500 / 26_100)


def test_bad_values_change_nothing_and_unknown_time_is_in_no_bucket() -> None:
    made = line(DAY)
    assert not made.take(at(10, STATE, None, BAD))
    assert not made.take(at(10, PRODUCED, 0, BAD))
    assert made.figures(FIRST, 14 * HOUR * S) == EXPECTED
    late_start = line([at(7, STATE, "run")]).figures(FIRST, 8 * HOUR * S)
    assert (late_start["pbt_s"], late_start["apt_s"], late_start["adot_s"]) == (7200, 3600, 0)
    assert (late_start["unknown_s"], late_start["availability"]) == (3600, 1.0)


@given(st.randoms(use_true_random=False))
def test_the_order_of_arrival_makes_no_difference(random) -> None:
    """Texts and counters are shuffled among each other, and samples may come twice."""
    samples = [*DAY, *random.sample(DAY, 5)]
    random.shuffle(samples)
    assert line(samples).figures(FIRST, 14 * HOUR * S) == EXPECTED


def counted(counter: PartCounter, seconds: int) -> int:
    return sum(step.parts for step in counter.steps(0, seconds * S, lambda begin, end: end - begin))


@given(st.lists(st.integers(0, 30), min_size=2, max_size=200), st.randoms(use_true_random=False))
def test_thinned_counters_count_the_same(steps: list[int], random) -> None:
    """Every second a sample, with resets; some arrive late. Thinning must not lose or invent a part."""
    whole, thinned, value, samples = 0, PartCounter(1 << 32), 0, []
    for second, step in enumerate(steps):
        value = 0 if step == 30 else value + step
        whole += step if step < 30 and second else 0
        samples.append((second * S, value))
    late = set(random.sample(range(len(samples)), len(samples) // 4))
    for number in [n for n in range(len(samples)) if n not in late] + sorted(late):
        thinned.count(*samples[number], 0)
    first_is_late = 0 in late
    assert counted(thinned, len(steps)) == whole or first_is_late
    assert len(thinned.times) <= len(samples)


def test_a_reset_that_is_heard_of_late_loses_no_part() -> None:
    counter = PartCounter(1 << 32)
    for second, value in ((0, 0), (1, 3), (3, 3), (5, 3), (2, 0), (4, 0)):  # 0 3 0 3 0 3 in order of time
        counter.count(second * S, value, 0)
    assert counted(counter, 6) == 9


def test_thinning_keeps_the_edges_that_counts_are_divided_at() -> None:
    counter = PartCounter(1 << 32)
    for second in range(100):
        counter.count(second * S, second, 0)
    assert len(counter.times) <= 20
    for second in range(100, 110):
        counter.count(second * S, second, 104 * S)
    assert counter.at(103 * S) == 103
    assert counted(counter, 104) == 103


@pytest.mark.parametrize(
    ("before", "after", "modulus", "parts"),
    [
        (5, 9, 1 << 16, 4),
        (65_535, 0, 1 << 16, 1), (65_530, 10, 1 << 16, 16), (2**32 - 1, 4, 1 << 32, 5),
        (65_530, 10, 1 << 32, 10),  # of a 32-bit counter that is a reset
        (50_000, 10, 1 << 16, 10), (65_530, 7_000, 1 << 16, 7_000),
    ],
)  # fmt: skip
def test_roll_over_and_reset_are_told_apart(before: int, after: int, modulus: int, parts: int) -> None:
    counter = PartCounter(modulus)
    counter.count(0, before, 0)
    counter.count(S, after, 0)
    assert counted(counter, 2) == parts


@pytest.mark.parametrize(
    ("before", "after", "ran_s", "parts", "suspect"),
    [
        (60_000, 0, 1, 0, ""), (60_000, 3, 1, 3, ""),  # nobody makes 5,536 parts in a second: a reset
        (65_530, 3, 1, 9, ""), (60_000, 3, 600, 5_539, ""),
        (500, 499, 1, -1, "correction"), (5_000, 4_999, 3_600, -1, "correction"),
        (40_000, 20_000, 1, 0, "fall"), (500, 100_500, 1, 0, "jump"), (500, 526, 1, 26, ""), (500, 527, 1, 0, "jump"),
    ],
)  # fmt: skip
def test_no_step_of_a_counter_is_more_than_the_machine_can_make(
    before: int, after: int, ran_s: int, parts: int, suspect: str
) -> None:
    """Rated for a part in 0.6 s: 10 + 10 * t / 0.6."""
    counter = PartCounter(1 << 16, pace_ns=600_000_000)
    counter.count(0, before, 0)
    counter.count(S, after, 0)
    (step,) = counter.steps(0, 2 * S, lambda begin, end: ran_s * S)
    assert (step.parts, step.suspect) == (parts, suspect)


def test_a_series_divides_any_stretch_without_gap() -> None:
    series: Series[str] = Series()
    for ts_ns, value in ((30, "c"), (10, "a"), (20, "b"), (20, "b2")):
        assert series.put(ts_ns, value)
    assert not series.put(10, "a")
    assert list(series.pieces(5, 25)) == [(5, 10, None), (10, 20, "a"), (20, 25, "b2")]
    assert list(series.pieces(20, 30)) == [(20, 30, "b2")]
    series.forget(25)
    assert (series.at(25), series.at(30), len(series.times)) == ("b2", "c", 2)


@pytest.mark.parametrize(
    ("hour", "name", "begins"),
    [(6, "early", 6), (13.999, "early", 6), (14, "late", 14), (23, "night", 22), (29.9, "night", 22), (3, "night", -2)],
)  # fmt: skip
def test_shifts_repeat_every_day_and_may_cross_midnight(hour: float, name: str, begins: int) -> None:
    period = CALENDAR.period(round(hour * HOUR) * S)
    assert period is not None
    assert (period.name, period.from_ns) == (name, begins * HOUR * S)


def test_the_next_shift_and_what_is_planned_in_one() -> None:
    calendar = Calendar((EARLY,), offset_ns=-HOUR * S)
    assert calendar.period(14 * HOUR * S) is None
    assert calendar.following(14 * HOUR * S).from_ns == 29 * HOUR * S
    period = Period("x", 0, 100, ((10, 20), (90, 100)))
    assert period.planned(0, 100) == [(0, 10), (20, 90)]
    assert period.planned(12, 95) == [(20, 90)]
    assert period.planned(11, 19) == []


# ---- the life of a report


def reports(shifts: Shifts, now_s: float) -> list[tuple[float, str, int]]:
    return [(r.ts_ns / S / HOUR, r.status, r.content["produced"]) for r in shifts.tick(round(now_s * S))]


def test_a_shift_is_open_then_closed_then_restated() -> None:
    shifts = Shifts(config())
    for sample in DAY[:-1]:
        if sample != DAY[19]:
            shifts.take(sample)
    assert reports(shifts, 9.5 * HOUR) == [(9.5, "open", 4000)]
    assert reports(shifts, 9.5 * HOUR + 59) == []
    assert shifts.due_ns == round(9.5 * HOUR) * S + REPORT_NS
    reports(shifts, 14 * HOUR - 30)
    assert shifts.due_ns == 14 * HOUR * S
    assert reports(shifts, 14 * HOUR) == [(14.0, "open", 5600)]
    assert shifts.due_ns == 14 * HOUR * S + CLOSE_NS
    closed = reports(shifts, 14 * HOUR + 5)
    assert closed[0] == (14.0, "closed", 5600)
    shifts.take(DAY[-1])
    assert [status for _, status, _ in reports(shifts, 14.1 * HOUR)] == ["open"]
    shifts.take(DAY[19])  # what an outage had kept back
    restated, late = reports(shifts, 15 * HOUR)
    assert restated == (15.0, "restated", 6400)
    assert late[1:] == ("open", 900 - 800)


def test_shifts_that_passed_during_an_outage_are_closed_too() -> None:
    shifts = Shifts(config())
    for sample in DAY:
        shifts.take(sample)
    reports(shifts, 13 * HOUR)
    assert [status for _, status, _ in reports(shifts, 23 * HOUR)] == ["closed", "closed", "open"]


def test_a_bridge_that_starts_in_the_last_minute_of_a_shift_still_closes_it() -> None:
    shifts = Shifts(config())
    assert reports(shifts, 14 * HOUR - 20) == []  # nothing has come from below yet
    shifts.take(at(14 - 15 / HOUR, STATE, "run"))
    assert [status for _, status, _ in reports(shifts, 14 * HOUR - 15)] == ["open"]
    assert reports(shifts, 14 * HOUR + 5)[0][:2] == (14.0, "closed")


def test_a_report_says_what_it_was_made_of() -> None:
    shifts = Shifts(config(lineage={"tags": {"state": "plc1 ns=2;s=PACKER.STATE"}}))
    shifts.take(DAY[1])
    (report,) = shifts.tick(7 * HOUR * S)
    content = json.loads(json.dumps(report.content))
    assert content["lineage"]["tags"] == {"state": "plc1 ns=2;s=PACKER.STATE"}
    assert content["lineage"]["formulas"]["availability"] == "APT / (PBT - unknown)"
    assert (content["from_ms"], content["to_ms"], content["as_of_ms"]) == (
        6 * HOUR * 1000, 14 * HOUR * 1000, 7 * HOUR * 1000,
    )  # fmt: skip


@pytest.mark.parametrize("cut_h", [7.0, 9.2, 12.0, 13.9])
def test_reports_continue_after_a_restart(cut_h: float) -> None:
    whole, first, second = Shifts(config()), Shifts(config()), Shifts(config())
    for sample in DAY:
        whole.take(sample)
        (first if sample.ts_ms < cut_h * HOUR * 1000 else second).take(sample)
    first.tick(round(cut_h * HOUR) * S)
    second = Shifts(config())
    second.restore(json.loads(json.dumps(first.save())))
    for sample in DAY:
        if sample.ts_ms >= cut_h * HOUR * 1000:
            second.take(sample)
    whole.tick(round(13 * HOUR) * S)
    expected = whole.tick(round(14.01 * HOUR) * S)[0]
    assert second.tick(round(14.01 * HOUR) * S)[0] == expected
    third = Shifts(config())
    third.restore(json.loads(json.dumps(first.save())))
    for sample in DAY:
        third.take(sample)
    third.reported(json.loads(json.dumps(expected.content)))
    assert [r.status for r in third.tick(round(14.01 * HOUR) * S)] == ["open"]
