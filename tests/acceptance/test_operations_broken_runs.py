"""Shift runs of broken OEE calculators and alarm engines: each is told by the criterion that names it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from shakedown.acceptance import judge
from tests.acceptance import operations_day
from tests.acceptance.judged import judge_reported, judged_by
from tests.acceptance.operations_day import ALARMS, MS, Call, Day, S, at, excursion, order_of
from tests.acceptance.operations_report import recompute, report_of
from tests.acceptance.operations_verdicts import SHIFT, failed, outcomes


def test_a_healthy_shift_passes_everything(day: Day, tmp_path: Path) -> None:
    verdict = judge(day.write(tmp_path))
    assert verdict.harness == []
    assert outcomes(verdict) == dict.fromkeys(SHIFT, "PASS")
    assert {result.name: result.verdict for result in verdict.criteria}["integrity"] == "PASS"


# OEE calculators.


def loses_parts(day: Day) -> None:
    """1.5 % of the parts are not counted."""
    for report in day.reports:
        standard_s = report["effectiveness"] * report["apt_s"] * 0.985
        for count in ("produced", "good", "reject"):
            report[count] = round(report[count] * 0.985)
        recompute(report, standard_s=standard_s)


def counts_two_parts_too_few(day: Day) -> None:
    day.reports[0]["produced"] -= 2
    day.reports[0]["good"] -= 2


def adds_run_time(day: Day) -> None:
    """2 pp of the planned time are run time instead of idle time: the OEE is the same."""
    for report in day.reports:
        standard_s = report["effectiveness"] * report["apt_s"]
        report["apt_s"] += 0.02 * report["pbt_s"]
        report["adot_s"] -= 0.02 * report["pbt_s"]
        before = report["oee"]
        recompute(report, standard_s=standard_s)
        assert report["oee"] == pytest.approx(before)


def ignores_a_reset(day: Day) -> None:
    """The counter went back to zero in the middle of the shift; only what came after counts."""
    report = day.reports[1]
    standard_s = report["effectiveness"] * report["apt_s"] / 2
    for count in ("produced", "good", "reject"):
        report[count] //= 2
    recompute(report, standard_s=standard_s)


def swaps_changeover_and_idle(day: Day) -> None:
    for report in day.reports:
        report["aust_s"], report["adot_s"] = report["adot_s"], report["aust_s"]


def shifts_the_edge(day: Day) -> None:
    """The shifts begin and end two minutes late."""
    moved = [(name, begin + 120, end + 120) for name, begin, end in day.shifts]
    day.reports = [report_of(day, *shift) for shift in moved]


def counts_breaks_as_planned(day: Day) -> None:
    for report in day.reports:
        standard_s = report["effectiveness"] * report["apt_s"]
        report["pbt_s"] += 900.0
        report["adot_s"] += 900.0
        recompute(report, standard_s=standard_s)


def clips_effectiveness(day: Day) -> None:
    for report in day.reports:
        report["effectiveness"] = 1.0


def counts_passages(day: Day) -> None:
    """A part that goes through twice is produced twice, and rejected once."""
    for report in day.reports:
        standard_s = report["effectiveness"] * report["apt_s"]
        twice = sum(
            report["from_ms"] <= at(day.parts[number][0]) // MS < report["to_ms"] for number in day.again
        )
        each_s = standard_s / report["produced"]
        report["produced"] += twice
        report["reject"] += twice
        recompute(report, standard_s=standard_s + each_s * twice)


def counts_rework_as_good(day: Day) -> None:
    for report in day.reports:
        report["good"] = report["produced"]
        report["reject"] = 0
        standard_s = report["effectiveness"] * report["apt_s"]
        recompute(report, standard_s=standard_s)


def takes_rework_for_a_first_pass(day: Day) -> None:
    for report in day.reports:
        report["fpy"] = report["quality"]


def never_closes_a_shift(day: Day) -> None:
    for report in day.reports:
        report["status"] = "open"


def sends_a_nan(day: Day) -> None:
    day.reports[0]["quality"] = float("nan")


OEE_MUTANTS: list[tuple[Callable[[Day], None], str]] = [
    (loses_parts, "produced"),
    (counts_two_parts_too_few, "produced"),
    (adds_run_time, "2.0% of the planned time counted as run that was idle"),
    (ignores_a_reset, "of the parts not counted"),
    (swaps_changeover_and_idle, "changeover and idle exchanged"),
    (shifts_the_edge, "a shift edge that is off by +120 s"),
    (counts_breaks_as_planned, "pbt_s"),
    (clips_effectiveness, "effectiveness"),
    (counts_passages, "produced"),
    (counts_rework_as_good, "quality"),
    (takes_rework_for_a_first_pass, "early' of line1: fpy;"),
    (never_closes_a_shift, "no closed report"),
    (sends_a_nan, "quality"),
]


@pytest.mark.parametrize(("mutant", "says"), OEE_MUTANTS, ids=lambda value: getattr(value, "__name__", ""))
def test_oee_calculators(mutant: Callable[[Day], None], says: str, day: Day, tmp_path: Path) -> None:
    mutant(day)
    verdict = judge_reported(day.write(tmp_path))
    assert failed(verdict) == {"oee"}
    assert says in verdict.criterion("oee").statement


# Alarm engines.


def is_naive(day: Day) -> None:
    """No on-delay: each spike calls somebody."""
    day.calls.clear()
    day.acks.clear()
    day.orders.clear()
    for name, (metric, kind, limit, needs_order) in ALARMS.items():
        since, number = None, 0
        for second, value in sorted(day.signals[metric].items()):
            beyond = value > limit if kind == "high" else value < limit
            if beyond and since is None:
                since = second
            elif not beyond and since is not None:
                number += 1
                raised = at(since) // MS
                call = Call(name, raised, None, at(second) // MS, number)
                day.calls.append(call)
                day.orders += [order_of(day, call)] if needs_order else []
                since = None


def masks(day: Day) -> None:
    """The temperature stands from a spike on and never speaks again; the others are silent."""
    first = day.call(0)
    day.drop_calls(lambda call: call is not first)
    first.cleared_ms = None


def misses_one_critical_fault(day: Day) -> None:
    begin, end = (at(day.faults[4][phase]) // MS for phase in ("onset", "repaired"))
    day.drop_calls(lambda call: begin <= call.raised_ms <= end)


def shelves_a_true_fault(day: Day) -> None:
    """With owner and expiry, and yet: nobody was told."""
    for call in _of_fault(day, 4):
        _never_acked(day, call)
        call.hidden = (call.raised_ms + 1_000, "shelved")


def suppresses_true_faults(day: Day) -> None:
    for number in range(0, len(day.faults), 2):
        for call in _of_fault(day, number):
            _never_acked(day, call)
            call.hidden = (call.raised_ms + 1_000, "suppressed")


def deletes_the_rules_of_a_fault(day: Day) -> None:
    day.faults[2]["alarms"] = ["seal_worn"]


def delays_by_three_minutes(day: Day) -> None:
    for call in day.calls:
        _shift(day, call, 180_000)


def dates_back(day: Day) -> None:
    """It annunciates three minutes late, under the time at which it should have."""
    rows = day.host_log()
    for row in rows:
        if row[0] == "H" and row[4].startswith("alarm/") and row[1] > at(60):
            row[1] += 180 * S
    day.host_log = lambda: sorted(rows, key=lambda row: row[1])  # type: ignore[method-assign]


def cries_wolf(day: Day) -> None:
    """Six calls between any two faults."""
    number = 1_000
    for fault in day.faults:
        for name in ALARMS:
            for extra in (700, 1_450):
                number += 1
                raised = at(fault["onset"] + extra) // MS
                call = Call(name, raised, None, raised + 60_000, number)
                day.calls.append(call)


def acks_by_itself(day: Day) -> None:
    day.acks.clear()


def acks_before_people_do(day: Day) -> None:
    for ack in day.acks:
        ack[1] += 60 * S
    day.acks.sort(key=lambda ack: ack[1])


def floods(day: Day) -> None:
    """Repeats every alarm of a fault every twenty seconds, and is acknowledged each time."""
    for fault in day.faults:
        for number in range(14):
            raised = at(fault["onset"] + 20 + number * 20) // MS
            for name in ("pressure_low", "level_low"):
                day.calls.append(Call(name, raised, None, raised + 9_000, 5_000 + len(day.calls)))


def says_nothing_of_alarms(day: Day) -> None:
    day.drop_calls(lambda call: True)
    rows = [row for row in day.host_log() if not (row[0] == "H" and row[4].startswith("alarm/"))]
    day.host_log = lambda: rows  # type: ignore[method-assign]


def shelves_without_a_command(day: Day) -> None:
    """One call that no fault is behind; nobody asked to shelve it."""
    _spurious(day).hidden = (at(2_551 + 40) // MS, "shelved")


def suppresses_without_a_rule(day: Day) -> None:
    _spurious(day).hidden = (at(2_551 + 40) // MS, "suppressed")


def _spurious(day: Day) -> Call:
    call = next(call for call in day.calls if at(2_551) // MS <= call.raised_ms <= at(2_570) // MS)
    _never_acked(day, call)
    return call


def _of_fault(day: Day, number: int) -> list[Call]:
    begin, end = (at(day.faults[number][phase]) // MS for phase in ("onset", "repaired"))
    return [call for call in day.calls if begin <= call.raised_ms <= end]


def _never_acked(day: Day, call: Call) -> None:
    call.acked_ms = None
    day.acks = [
        ack for ack in day.acks if (ack[3]["alarm"], ack[3]["occurrence"]) != (call.alarm, call.occurrence)
    ]


def _shift(day: Day, call: Call, by_ms: int) -> None:
    for order in day.orders:
        if (order["alarm"], order["occurrence"]) == (call.alarm, call.occurrence):
            late = copy.copy(call)
            late.raised_ms += by_ms
            order.update(order_of(day, late))
    call.raised_ms += by_ms
    call.acked_ms = None if call.acked_ms is None else call.acked_ms + by_ms
    call.cleared_ms = None if call.cleared_ms is None else call.cleared_ms + by_ms


ALARM_MUTANTS: list[tuple[Callable[[Day], None], str, str]] = [
    (is_naive, "nuisance", "no cut at all"),
    (is_naive, "false_alarms", "had no fault behind them"),
    (is_naive, "acknowledgement", "simulated operator"),
    (masks, "false_alarms", "masked the fault"),
    (masks, "acknowledgement", "p95"),
    (misses_one_critical_fault, "false_alarms", "Critical fault F0004 (heater) was missed"),
    (shelves_a_true_fault, "false_alarms", "was hidden before anybody had acknowledged it"),
    (suppresses_true_faults, "false_alarms", "was hidden before anybody had acknowledged it"),
    (deletes_the_rules_of_a_fault, "false_alarms", "none of its alarms (seal_worn) is in site.yaml"),
    (delays_by_three_minutes, "false_alarms", "were told late"),
    (delays_by_three_minutes, "acknowledgement", "p95"),
    (dates_back, "false_alarms", "were told late"),
    (cries_wolf, "nuisance", "no cut at all"),
    (cries_wolf, "false_alarms", "had no fault behind them"),
    (acks_by_itself, "acknowledgement", "ack is recorded for 'ann', and nobody had given it"),
    (acks_before_people_do, "acknowledgement", "ack is recorded for 'ann', and nobody had given it"),
    (floods, "false_alarms", "in a flood"),
    (says_nothing_of_alarms, "nuisance", "No state of any alarm"),
    (says_nothing_of_alarms, "acknowledgement", "No state of any alarm"),
    (shelves_without_a_command, "false_alarms", "no command on record hides it then"),
    (suppresses_without_a_rule, "false_alarms", "no state of its machine suppresses it then"),
]


@pytest.mark.parametrize(
    ("mutant", "criterion", "says"), ALARM_MUTANTS, ids=lambda value: getattr(value, "__name__", None)
)
def test_alarm_engines(
    mutant: Callable[[Day], None], criterion: str, says: str, day: Day, tmp_path: Path
) -> None:
    mutant(day)
    verdict = judged_by({criterion, "oee"}, day.write(tmp_path))
    assert verdict.harness == []
    assert failed(verdict) == {criterion}
    assert says in verdict.criterion(criterion).statement
    assert outcomes(verdict)["oee"] == "PASS"


# Rules that are bad, and a bridge that does what they say.


def test_what_chatters_all_shift_is_not_one_episode(tmp_path: Path) -> None:
    """Between the faults a level falls for eight seconds every two minutes, and each time somebody is called."""

    def chatters(day: Day) -> None:
        for fault in day.faults:
            for late in range(520, 1_600, 120):
                excursion(day, "level", fault["onset"] + late, fault["onset"] + late + 8)

    verdict = judged_by({"nuisance", "false_alarms"}, operations_day.healthy(chatters).write(tmp_path))
    result = verdict.criterion("nuisance")
    assert (result.verdict, verdict.criterion("false_alarms").figures.transitions_wrong) == ("FAIL", 0)
    assert result.figures.policy.nuisances > 100
    assert result.figures.policy.episodes > 2 * 16
    assert result.statement.endswith(" transitions.")


def test_naive_rules_fail_beside_tuned_ones_and_the_bridge_does_not(day: Day, tmp_path: Path) -> None:
    is_naive(day)
    tuned = copy.deepcopy(day.site["alarms"])
    for rule in day.site["alarms"].values():
        rule |= {"on_delay_s": 0, "off_delay_s": 0}
    folder = day.write(tmp_path)
    (folder / "scenario.yaml").write_text(yaml.safe_dump({"rules_beside": tuned}))
    verdict = judged_by({"nuisance", "false_alarms"}, folder)
    result = verdict.criterion("nuisance")
    assert failed(verdict) == {"nuisance", "false_alarms"}
    for name in failed(verdict):
        assert "The rules fail here, not the bridge" in verdict.criterion(name).statement
    assert result.figures.policy.nuisances == result.figures.baseline.nuisances > 90
    assert result.figures.beside.nuisances == 1
    assert [told.missed for told in result.figures.told] == [0, 0, 0]
    assert result.blocks[1].columns[3].title == "the rules beside"


def test_where_the_bridge_breaks_its_rules_they_are_not_blamed(day: Day, tmp_path: Path) -> None:
    is_naive(day)
    result = judged_by({"nuisance"}, day.write(tmp_path)).criterion("nuisance")
    assert (result.verdict, "not the bridge" in result.statement) == ("FAIL", False)


# Shorter runs say what they lack.


def test_a_shortened_shift_is_inconclusive_and_says_what_it_needs(day: Day, tmp_path: Path) -> None:
    day.timeline[1]["start_ns"] = at(6_000)
    day.drop_calls(lambda call: call.raised_ms > at(6_000) // MS)
    verdict = judge(day.write(tmp_path))
    found = outcomes(verdict)
    assert found == {
        "oee": "PASS",
        "nuisance": "PASS",
        "false_alarms": "INCONCLUSIVE",
        "acknowledgement": "INCONCLUSIVE",
        "work_orders": "PASS",
    }
    measured = verdict.criterion("nuisance").measured
    assert re.match(r"1 needless call instead of \d+ .*, 1 episode instead of \d+ ", measured)
    assert "-100%" not in measured, "one is left"
    assert verdict.criterion("false_alarms").needs.startswith(
        "36 more annunciations: at the pace of this run "
    )
    assert verdict.criterion("acknowledgement").needs.startswith("7 more faults")


def test_a_run_in_which_no_shift_ends_is_inconclusive_on_oee(day: Day, tmp_path: Path) -> None:
    day.shifts = [("early", 900, 40_000)]
    day.reports = []
    result = judge_reported(day.write(tmp_path)).criterion("oee")
    assert (result.verdict, result.needs) == ("INCONCLUSIVE", "a shift that ends, and a minute more")


@pytest.mark.parametrize("name", ["people.jsonl", "cmms.jsonl"])
@pytest.mark.parametrize("damage", ["cut", "garbage", "missing"])
def test_damaged_logs_are_the_labs_fault(day: Day, tmp_path: Path, name: str, damage: str) -> None:
    path = day.write(tmp_path) / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:-60] if damage == "cut" else b'{"id":7}\n["K",1]\n' + content)
    verdict = judge(tmp_path)
    if (name, damage) == ("people.jsonl", "missing"):
        assert failed(verdict) == {"acknowledgement"}  # nobody acknowledged anything
        return
    assert verdict.verdict == "HARNESS_FAULT"
    assert name in verdict.harness[0].what


@pytest.mark.parametrize(
    ("key", "value"),
    [("high", None), ("low", 3.0), ("metric", "filler.filler_1/nothing"), ("priority", "urgent")],
)
def test_alarms_that_cannot_be_understood_are_told(day: Day, tmp_path: Path, key: str, value: Any) -> None:
    day.site["alarms"]["temperature_high"][key] = value
    verdict = judge(day.write(tmp_path))
    assert verdict.verdict == "HARNESS_FAULT"
    assert "alarms, oee or cmms of site.yaml cannot be understood" in verdict.harness[0].what
