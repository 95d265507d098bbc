"""Scenario files: what is accepted, and that every mistake is named with its place and its remedy."""

from pathlib import Path

import pytest

from shakedown.bridge.yamlfile import ConfigError
from shakedown.scenarios import doc_tables, model
from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.faults import FAULTS

GOOD = """\
format: 1
name: mine
title: A scenario of a test
plant: bottling
warm_up_s: 10
duration_s: 100
faults:
  - {id: first, kind: down, target: wan, at_s: 20, for_s: 10}
"""


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    return file


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        model.set_up(write(tmp_path, text))
    return [problem.replace(str(tmp_path) + "/", "") for problem in caught.value.problems]


@pytest.mark.parametrize("name", sorted(model.shipped()))
def test_every_shipped_scenario_is_sound(name):
    setup = model.set_up(model.find(name))
    assert setup.scenario.name == name
    assert setup.scenario.duration_s > max(
        (fault.at_s + fault.for_s for fault in setup.scenario.faults), default=0
    )


def test_a_file_of_ones_own_is_read(tmp_path):
    setup = model.set_up(write(tmp_path, GOOD))
    assert [fault.kind for fault in setup.scenario.faults] == ["down"]
    assert setup.plant.plant == "bottling"


@pytest.mark.parametrize(
    ("old", "new", "place", "what"),
    [
        ("duration_s: 100", "duration_s: soon", "mine.yaml:6:13", "duration_s"),
        ("title:", "titel:", "mine.yaml:3:1", "did you mean 'title'"),
        (
            "kind: down",
            "kind: dwon",
            "mine.yaml:8:",
            "kind 'dwon' - did you mean 'down'? There are: blackhole, stall,",
        ),
        (
            "kind: down, target",
            "kind: freeze, target",
            "mine.yaml:8:",
            "strikes a part, and 'wan' is a conduit",
        ),
        ("target: wan", "target: bridge", "mine.yaml:8:", "strikes a conduit, and 'bridge' is a part"),
        (
            "kind: down, target: wan",
            "kind: freeze, target: bridge, direction: up",
            "mine.yaml:8:",
            "faults.0.direction: freeze has no such field - known here: kind, id, target, at_s, for_s",
        ),
        ("target: wan", "target: lan", "mine.yaml:8:", "'wan'"),
        ("at_s: 20", "at_s: 5", "mine.yaml:", "within the warm-up"),
        ("for_s: 10", "for_s: 1000", "mine.yaml:", "after the end of the run"),
        ("warm_up_s: 10", "warm_up_s: 10\nwarm_up_s: 11", "mine.yaml:6:1", "warm_up_s"),
        ("format: 1", "format: 2", "mine.yaml:1:9", "format"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path, old, new, place, what):
    found = problems(tmp_path, GOOD.replace(old, new))
    assert any(problem.startswith(place) and what in problem for problem in found), found


def test_all_mistakes_are_named_at_once(tmp_path):
    text = GOOD.replace("duration_s: 100", "duration_s: -1").replace("title:", "titel:")
    found = "\n".join(problems(tmp_path, text))
    assert "duration_s" in found
    assert "titel" in found


def test_two_faults_on_one_thing_at_a_time_are_refused(tmp_path):
    again = "  - {id: second, kind: stall, target: wan, at_s: 25, for_s: 10}\n"
    assert any("before 'first' is healed" in problem for problem in problems(tmp_path, GOOD + again))


def test_faults_on_different_things_may_overlap(tmp_path):
    other = "  - {id: second, kind: stall, target: cell, at_s: 25, for_s: 10}\n"
    assert len(model.set_up(write(tmp_path, GOOD + other)).scenario.faults) == 2


def test_a_wrong_override_is_named(tmp_path):
    text = GOOD + "override: {site: {north: {enterprise: {keep_alive_s: never}}}}\n"
    assert any("keep_alive_s" in problem for problem in problems(tmp_path, text))


def test_overrides_reach_plant_and_site_and_nothing_else(tmp_path):
    plain = model.set_up(write(tmp_path, GOOD))
    text = GOOD + "override: {plant: {scan_ms: 500}, site: {north: {enterprise: {keep_alive_s: 7}}}}\n"
    changed = model.set_up(write(tmp_path, text))
    assert changed.plant.scan_ms == 500
    assert changed.site.north["enterprise"].keep_alive_s == 7
    assert changed.site.north["enterprise"].broker == plain.site.north["enterprise"].broker
    assert changed.site.cells == plain.site.cells


@pytest.mark.parametrize("name", ["wan_outag", "nowhere/mine.yaml", "mine.yml"])
def test_an_unknown_scenario_names_the_known_ones(name):
    with pytest.raises(UsageError, match="wan_outage_fast"):
        model.find(name)


def test_an_unknown_plant_names_the_known_ones(tmp_path):
    with pytest.raises(UsageError, match="bottling"):
        model.set_up(write(tmp_path, GOOD.replace("plant: bottling", "plant: brewery")))


def test_a_shortened_run_leaves_out_the_faults_that_no_longer_fit(tmp_path):
    setup = model.shortened(model.set_up(model.find("wan_outage")), 300)
    assert setup.scenario.duration_s == 300
    assert [fault.id for fault in setup.scenario.faults] == ["black_hole", "stall"]
    assert [fault["id"] for fault in setup.documents["scenario"]["faults"]] == ["black_hole", "stall"]


def test_what_is_written_reads_as_the_same(tmp_path):
    setup = model.set_up(model.find("wan_outage_fast"))
    for name, document in setup.documents.items():
        (tmp_path / f"{name}.yaml").write_text(model.to_yaml(document))
    again = model.set_up_again(tmp_path)
    assert (again.plant, again.site) == (setup.plant, setup.site)
    assert again.scenario.faults == setup.scenario.faults


def test_the_rules_that_are_shown_beside_are_kept_with_the_scenario(tmp_path):
    setup = model.set_up(model.find("naive_vs_tuned"))
    tuned = model.set_up(model.find("shift_short")).documents["site"]["alarms"]
    assert setup.scenario.rules_beside == tuned != setup.documents["site"]["alarms"]
    for name, document in setup.documents.items():
        (tmp_path / f"{name}.yaml").write_text(model.to_yaml(document))
    assert model.set_up_again(tmp_path).scenario.rules_beside == tuned


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_every_fault_says_in_one_sentence_what_it_is(fault):
    assert fault.__doc__.strip().endswith(".")


@pytest.mark.parametrize("file", doc_tables.TABLES, ids=str)
def test_the_tables_of_the_docs_are_those_of_the_code(file):
    text = file.read_text()
    assert doc_tables.written(file, text) == text, "make docs"


def test_an_overlay_that_is_not_there_is_named_with_those_that_are(tmp_path):
    with pytest.raises(
        UsageError, match=r"'shfit' is not in .*overlays, which has: dense, extremes, naive, shift"
    ):
        model.set_up(write(tmp_path, GOOD + "overlays: [shfit]\n"))


def test_a_fault_of_a_cmms_needs_one(tmp_path):
    text = GOOD.replace("kind: down, target: wan", "kind: cmms_errors, target: cmms")
    with pytest.raises(
        ConfigError,
        match=r"mine.yaml:\d+:\d+: faults.0.target: 'first' \(cmms_errors\) strikes a cmms, and this lab has none",
    ):
        model.set_up(write(tmp_path, text))


def test_a_failure_is_told_by_an_alarm_that_there_is(tmp_path):
    override = """overlays: [shift]
override:
  plant: {machines: {filler: {failures: {valve_stuck: {alarms: [filler_fualt]}}}}}
"""
    (problem,) = problems(tmp_path, GOOD.partition("override:")[0] + override)
    assert "overlays/shift.yaml:" in problem  # where the alarms are
    assert "filler.valve_stuck by 'filler_fualt'" in problem
    assert "did you mean 'filler_fault'" in problem


OTHER_SHIFTS = """\
overlays: [shift]
override:
  site:
    oee:
      line1:
        planned:
          - {name: early, begins_s: 0, lasts_s: 28800, breaks: [{begins_s: 14400, lasts_s: 1800}]}
          - {name: swing, begins_s: 28800, lasts_s: 28800}
          - {name: night, begins_s: 57600, lasts_s: 28800, breaks: [{begins_s: 14400, lasts_s: 1800}]}
"""


def test_shifts_that_the_line_does_not_work_are_refused_with_both_figures(tmp_path):
    early, late, swing = problems(tmp_path, GOOD + OTHER_SHIFTS)
    assert early.startswith("mine.yaml:15:")
    assert (
        "oee.line1.planned: shift 'early' is from 0 s for 28800 s with breaks at 6300 s for 900 s, 14400 s"
        in early
    )
    assert (
        "and from 0 s for 28800 s with breaks at 14400 s for 1800 s here - plan what the line works" in early
    )
    assert "shift 'late' is from 28800 s" in late
    assert "and missing here" in late
    assert "shift 'swing' is missing in the calendar of plant 'bottling'" in swing


def test_the_calendar_begins_with_the_line():
    setup = model.set_up(model.find("shift_short"))
    begun = model.aligned(setup, (86_400 * 20_000 + 7_200) * 10**9)
    assert begun.site.oee["line1"].offset_s == 7_200
    assert begun.documents["site"]["oee"]["line1"]["offset_s"] == 7_200
    assert setup.site.oee["line1"].offset_s == 21_600
    on_the_wall = model.aligned(
        model.set_up(model.find("machining_short")), (86_400 * 20_000 + 7_200) * 10**9
    )
    assert on_the_wall.site.oee["cell1"].offset_s == 4 * 3_600, "4:00 in Berlin, in summer"
    assert model.aligned(begun, (86_400 * 20_000 + 7_200) * 10**9).documents == begun.documents


def test_what_is_wrong_in_an_overlay_is_told_at_its_own_place(tmp_path):
    override = """overlays: [shift]
override:
  plant:
    machines: {capper: {failures: {cap_jam: {mttr: {mean_s: -5}}}}}
  site: {alarms: {filler_fault: {on_delay_s: soon}}}
"""
    text = GOOD + override
    lines = text.splitlines()
    place = {word: next(n for n, line in enumerate(lines, 1) if word in line) for word in ("cap_jam", "soon")}
    plant_problem = problems(tmp_path, text)[0]
    assert plant_problem.startswith(f"mine.yaml:{place['cap_jam']}:")
    (site_problem,) = problems(tmp_path, text.replace("-5", "5"))
    assert site_problem.startswith(f"mine.yaml:{place['soon']}:")
