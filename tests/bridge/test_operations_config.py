"""Alarms, OEE and work orders in site.yaml: contradictions are refused with place, value and remedy, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from shakedown.bridge.cli import bridge_group
from shakedown.bridge.config import compile_all, load_site
from shakedown.bridge.core import naming
from shakedown.bridge.operations import TARGET
from shakedown.bridge.yamlfile import ConfigError
from tests.bridge.operations_rig import SITE

HOT, COLD = "alarms.hot", "alarms.cold"
SHIFTS = "{name: late, begins_s: 120, lasts_s: 600}"


def problems(tmp_path: Path, *changes: tuple[str, str]) -> list[str]:
    text = SITE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "site.yaml"
    path.write_text(text)
    try:
        load_site(path)
    except ConfigError as error:
        return [problem.removeprefix(f"{tmp_path}/") for problem in error.problems]
    return []


def test_a_site_compiles_to_rules_and_to_metrics_that_follow_the_configured_ones(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(SITE)
    model, compiled = compile_all(load_site(tmp_path / "site.yaml"))
    hot, cold, bad = compiled.rules
    assert (hot.key, hot.high, hot.on_delay_ns, hot.work_order) == (("cell.a", "hot"), 80, 5 * 10**9, True)
    assert (cold.low, cold.suppress_in, cold.state_metric_id) == (0, {"idle"}, 0)
    assert hot.context_ids == (1, 0, 5)
    assert (bad.key, bad.is_bad, bad.metric_id, bad.priority) == (("cell.a", "hot_bad"), True, 1, "low")
    assert (bad.on_delay_ns, bad.consequence) == (60 * 10**9, "cannot speak meanwhile: hot, cold")
    assert [m.metric_id for m in model.metrics] == list(range(len(model.metrics)))
    commands = [m.name for m in model.metrics if m.is_command]
    assert commands == [
        f"alarm/{n}/{c}" for n in ("hot", "cold", "hot_bad") for c in ("ack", "shelve", "remove")
    ]
    (born,) = (m.properties for m in model.metrics if m.name == "alarm/hot")
    assert born == {
        "priority": "high", "text": "Bearing too hot", "cause": "cooling lost", "consequence": "the bearing seizes",
        "response": "open the valve", "respond_s": 300,
    }  # fmt: skip
    (line,) = compiled.lines
    assert (line.meaning.modulus, line.ideal_ns, line.is_line) == (2**32, {"": 2 * 10**9}, False)


def test_no_north_shares_the_cursor_of_operations() -> None:
    assert naming.fault_of(TARGET), "two that confirm with one cursor would free each other's rows"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("metric: cell.a/temperature, high", "metric: cell.a/temprature, high",
         f"{HOT}.metric: is not a metric under cells: ('cell.a/temprature') - did you mean 'cell.a/temperature'?"),
        ("off_delay_s: 3", "bad_after_s: 0.5",
         f"{HOT}.bad_after_s: is not a delay (0.5) - write 1 to 86400 seconds"),
        ("  cold: {", "  hot_bad: {metric: cell.a/pressure, high: 1}\n  cold: {",
         "alarms.hot_bad: is the name of an alarm that the bridge makes itself ('hot_bad')"
         " - call it otherwise: that is the alarm of cell.a/temperature when it stays bad"),
        ("low: 0,", "low: 80,",
         f"{COLD}.low: is not below the high limit 80 of hot (80.0) - put it below 80, or no value is normal"),
        ("deadband: 5", "deadband: 80",
         f"{HOT}.deadband: is as wide as the band 0 to 80 or wider (80.0)"
         " - make it smaller, or one alarm clears only when the other is raised"),
        ("deadband: 5", "deadband: -1",
         f"{HOT}.deadband: is not a deadband (-1.0) - write a number from 0 up, and none beside state"),
        ("off_delay_s: 3", "off_delay_s: -3", f"{HOT}.off_delay_s: is not a delay (-3.0) - write 0 to 86400 seconds"),
        ("high: 80", "high: 300",
         f"{HOT}.high: is not inside the metric's range -50.0 to 200.0 (300.0)"
         " - move it inside, or no value can reach it"),
        ("high: 80", "high: .nan", f"{HOT}.high: is not a limit (nan) - write a number"),
        ("high: 80", "high: 80, low: 1",
         f"{HOT}: has high and low ('cell.a/temperature') - give one of high, low and state; an alarm for each"),
        ("cell.a/temperature, high: 80, deadband: 5", "cell.a/state, state: broken",
         f"{HOT}.state: is not a state of the metric ('broken') - known here: changeover, fault, idle, run"),
        ("suppress_in: [idle]", "suppress_in: [idel]",
         f"{COLD}.suppress_in.0: is not a state of cell.a ('idel') - did you mean 'idle'?"),
        ("suppress_in: [idle]", "suppress_in: [idle, run, fault, changeover]",
         f"{COLD}.suppress_in: is every state of cell.a (['idle', 'run', 'fault', 'changeover'])"
         " - leave out a state: the alarm could never be raised"),
        ("equipment:\n  cell.a", "equipment:\n  cell.b",
         f"{HOT}.work_order: is for a device that the CMMS has no name for (True)"
         " - add equipment: {cell.a: {equipment: ...}}"),
        ("good: cell.a/good", "good: cell.a/pressure",
         "oee.line1.good: is not a counter ('cell.a/pressure') - choose a whole number"),
        ("state: cell.a/state", "state: cell.a/total",
         "oee.line1.state: never says run ('cell.a/total') - choose a metric with states: {...: run}"),
        (SHIFTS, "{name: late, begins_s: 100, lasts_s: 600}",
         "oee.line1.planned.1: overlaps early ('late') - let one begin where the other ends"),
        (SHIFTS, "{name: late, begins_s: 120, lasts_s: 600, breaks: [{begins_s: 500, lasts_s: 200}]}",
         "oee.line1.planned.1.breaks.0: is not inside the shift (500.0) - keep it within 0 to 600 s"),
        ("timeout_s: 5", "timeout_s: 0", "cmms.timeout_s: is out of range (0.0) - write 1 to 120 seconds"),
    ],
)  # fmt: skip
def test_refusals_name_place_key_value_and_remedy(tmp_path: Path, old: str, new: str, expected: str) -> None:
    found = problems(tmp_path, (old, new))
    assert any(expected in problem for problem in found), found
    assert all(problem.startswith("site.yaml:") and problem.split(":")[1].isdigit() for problem in found)


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path, ("off_delay_s: 3", "off_delay_s: -3"), ("low: 0,", "low: 90,"), ("cell.a/good", "cell.a/goood"),
        ("context_s: 60", "context_s: 9000"),
    )  # fmt: skip
    assert len(found) == 4


def test_templates_of_a_generic_cmms_name_only_what_an_order_has(tmp_path: Path) -> None:
    calls = '{create: {path: "/x/{equipmnt}", id: id}, follow: {path: "/x/{id}"}}'
    generic = f"generic: {calls}, adapter: generic, context_s"
    (problem,) = problems(tmp_path, ("context_s", generic))
    assert (
        "cmms.generic.create: is not a field of an order ('{equipmnt}') - did you mean 'equipment'?"
        in problem
    )


def test_check_names_rules_that_an_alarm_engineer_would_not_sign(tmp_path: Path) -> None:
    text = SITE.replace(
        "oee:\n", "  slow: {metric: cell.a/pressure, high: 9, deadband: 1, off_delay_s: 600}\noee:\n", 1
    )
    (tmp_path / "site.yaml").write_text(text)
    result = CliRunner().invoke(bridge_group, ["check", str(tmp_path / "site.yaml")])
    assert result.exit_code == 0, result.output
    named = [line.partition(": alarms.")[2] for line in result.output.splitlines() if "alarms." in line]
    unwritten = "is not rationalised - give cause, consequence, response, respond_s"
    assert named == [
        "cold: has no delay: each sample beyond it calls - give on_delay_s, or off_delay_s",
        "cold: has no deadband: noise at the limit calls again and again - give deadband",
        f"cold: {unwritten}",
        "slow: stands for 600 s after its cause is gone, and a new one in that time does not call"
        " - shorten off_delay_s",
        f"slow: {unwritten}",
    ]


OFFSET = "    offset_s: 21600\n"


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ("time_zone: Europe/Berln",
         "time_zone: is not a time zone of this computer ('Europe/Berln') - did you mean 'Europe/Berlin'?"),
        ("time_zone: ../etc/passwd",
         "time_zone: is not a time zone of this computer ('../etc/passwd') - write an IANA name, as Europe/Berlin"),
        ("holidays: [2026-13-01]", "holidays.0: is not a date ('2026-13-01') - write it as 2026-12-25"),
        ("work_units: [cell.b, cell.a]",
         "work_units.0: is not a device under cells: ('cell.b') - did you mean 'cell.a'?"),
        ("work_units: [cell.a, cell.a]",
         "work_units: names a work unit twice (['cell.a', 'cell.a']) - name each once, in the order of flow"),
    ],
)  # fmt: skip
def test_what_a_line_is_made_of_is_held_against_the_site(tmp_path: Path, new: str, expected: str) -> None:
    (problem,) = problems(tmp_path, (OFFSET, f"{OFFSET}    {new}\n"))
    assert f"oee.line1.{expected}" in problem


def test_shifts_of_one_time_and_other_days_do_not_overlap(tmp_path: Path) -> None:
    early, late = (
        ("lasts_s: 120}", "lasts_s: 120, days: [mon]}"),
        "{name: late, begins_s: 0, lasts_s: 600, days: [%s]}",
    )
    assert not problems(tmp_path, early, (SHIFTS, late % "tue"))
    assert "overlaps early" in problems(tmp_path, early, (SHIFTS, late % "mon"))[0]
