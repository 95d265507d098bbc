"""The command line with several scenarios: one table, the worst exit code, Ctrl-C, verify and replay of all."""

import re
import resource
import signal

import pytest
import yaml
from cli_rig import TIMEOUT_S, CommandLine
from test_cli_bad_input import assert_refused
from test_cli_runs import on_a_terminal, wait_for

from shakedown.scenarios.suites import DEFAULT, SUITES

TWO = ("accept", "wan_outage", "wan_outage_fast", "--duration", "30")


@pytest.fixture(scope="module")
def piped(tmp_path_factory):
    """The command line, and the result of a suite whose output a program reads."""
    line = CommandLine(tmp_path_factory.mktemp("piped"))
    return line, line.here(*TWO, "--out", "two")


@pytest.mark.slow
def test_every_criterion_of_every_run_is_one_line_that_starts_with_its_verdict(piped):
    _, result = piped
    done = [row for row in result.stderr.splitlines() if "%" not in row]  # while it goes on
    assert done == ["1 of 2  wan_outage  INCONCLUSIVE", "2 of 2  wan_outage_fast  INCONCLUSIVE"]
    assert result.returncode == 3
    rows = [
        row.split()
        for row in result.stdout.splitlines()
        if row.startswith(("PASS ", "INCONCLUSIVE ", "NOT_APPLICABLE "))
    ]
    assert [row[1] for row in rows] == ["wan_outage"] * 5 + ["wan_outage_fast"] * 5
    for scenario in ("wan_outage", "wan_outage_fast"):
        lines = [row for row in result.stdout.splitlines() if f" {scenario} " in row]
        assert sum("Integrity of what arrived: 0 of " in row for row in lines) == 1
    assert "wan_outage_fast, Freshness: " in result.stdout
    assert result.stdout.count("(not counted)") == 1
    assert result.stdout.splitlines()[-4:-1] == [
        "INCONCLUSIVE",
        "report  two/index.html",
        "repeat  shakedown replay two",
    ]


@pytest.mark.slow
def test_what_was_printed_can_be_verified_and_replayed(piped):
    line, _ = piped
    assert line.here("verify", "two").stdout.startswith("unchanged: every file fits the chain")
    again = line.here("replay", "two")
    names = [row.split(" trace ")[0] for row in again.stdout.splitlines()]
    assert (again.returncode, names) == (0, ["identical: wan_outage", "identical: wan_outage_fast"])


@pytest.mark.slow
def test_a_changed_run_is_named_by_verify_and_replay(line):
    line.here("accept", "wan_outage", "wan_outage_fast", "--duration", "10", "--out", "changed")
    scenario = line.folder / "changed" / "wan_outage" / "scenario.yaml"
    scenario.write_text(scenario.read_text().replace("latency_ms: 20", "latency_ms: 21"))
    result = line.here("verify", "changed")
    assert (result.returncode, result.stdout) == (1, "wan_outage: scenario.yaml was changed\n")
    again = line.here("replay", "changed")
    assert again.returncode == 1
    assert "different: wan_outage trace" in again.stdout
    assert "identical: wan_outage_fast trace" in again.stdout


@pytest.mark.slow
def test_a_terminal_sees_which_run_goes_on_and_a_table_of_80_columns(line):
    code, shown = on_a_terminal(line, *TWO, "--out", "two", NO_COLOR="1")
    assert code == 3
    assert "1 of 2  wan_outage" in shown
    assert "2 of 2  wan_outage_fast" in shown
    table = shown[shown.index("wan_outage, wan_outage_fast, seed 0") : shown.index("report  ")]
    plain = re.sub(r"\x1b\[[0-9;]*m", "", table)
    assert all(len(row) <= 80 for row in plain.splitlines())
    assert "backlog" not in table


def test_a_single_scenario_has_the_folder_of_a_run(line):
    result = line.here("accept", "wan_outage", "--duration", "10", "--out", "run")
    assert "report  run/report.html" in result.stdout
    assert (line.folder / "run" / "manifest.json").is_file()
    assert not (line.folder / "run" / "suite.json").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--suite", "full", "wan_outage"), ("--suite full names its scenarios itself", "Give either")),
        (("--suite", "ful"), ("'ful' is not one of", *SUITES)),
        (("wan_outage", "wan_outage"), ("wan_outage is given twice", "--seed")),
        (("wan_outage", "own.yaml"), ("wan_outage is given twice",)),
        (("wan_outage", "nope"), ("Unknown scenario 'nope'", "wan_outage_fast")),
        (("wan_outage_fast", "wan_outage", "--broker", "mosquitto"), ("Add --clock wall",)),
    ],
)
def test_what_cannot_be_had_is_refused_before_anything_starts(line, args, words):
    (line.folder / "own.yaml").write_text("name: wan_outage\ntitle: Own\nduration_s: 100\n")
    assert_refused(line, line.here("accept", *args, "--out", "runs"), *words)
    assert not (line.folder / "runs").exists()


def test_the_default_and_the_suites_are_listed(line):
    result = line.here("list")
    for suite, names in SUITES.items():
        row = next(row for row in result.stdout.splitlines() if row.startswith(f"{suite} "))
        assert names[0] in row
    assert DEFAULT in result.stdout


def test_nothing_named_is_the_default_suite(line):
    (line.folder / "taken").mkdir()
    result = line.here("accept", "--duration", "10", "--out", "run")
    assert result.stdout.startswith(f"suite {DEFAULT}, seed 0\n")
    assert {path.name for path in (line.folder / "run").iterdir() if path.is_dir()} == set(SUITES[DEFAULT])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_interrupted_the_runs_that_are_whole_stay(line, number):
    tiny = {"name": "tiny", "title": "Tiny", "warm_up_s": 2, "duration_s": 4, "drain_s": 2}
    (line.folder / "tiny.yaml").write_text(yaml.safe_dump(tiny))
    process = line.start("accept", "tiny.yaml", "wan_outage", "--clock", "x10", "--out", "run")
    wait_for((line.folder / "run.partial" / "wan_outage.partial" / "ledger.jsonl").exists, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out) == (130, "")
    assert "the run in progress was discarded, and of 2 runs 1 had come to their verdict:" in err
    assert err.endswith("kept    run.partial/tiny\n")
    assert {path.name for path in line.folder.iterdir()} == {"tiny.yaml", "run.partial"}
    assert [path.name for path in (line.folder / "run.partial").iterdir()] == ["tiny"]
    assert list(line.temporary.iterdir()) == []
    assert line.run("verify", "run.partial/tiny").returncode == 0
    for command in ("verify", "replay"):
        refused = line.run(command, "run.partial")
        assert refused.returncode == 2
        assert "Give one of its runs: run.partial/tiny" in refused.stderr


@pytest.mark.slow
def test_a_lab_that_fails_in_one_run_does_not_keep_the_others_from_being_run(line):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (800_000, 800_000))  # only the fast one writes as much

    fast_first = ("wan_outage_fast", "wan_outage", "--duration", "30")
    result = line.run("accept", *fast_first, "--out", "run", preexec_fn=limit)
    assert result.returncode == 4
    assert "Traceback" not in result.stderr
    faults = [row for row in result.stdout.splitlines() if row.startswith("HARNESS_FAULT  wan_outage_fast")]
    assert len(faults) == 1
    assert "File too large" in faults[0]
    assert "wan_outage_fast.partial" in faults[0]
    assert "PASS  wan_outage  Integrity of what arrived" in result.stdout
    assert "repeat  shakedown accept wan_outage_fast wan_outage" in result.stdout
    assert not (line.folder / "run" / "wan_outage_fast.partial" / "verdict.json").exists()
    assert line.run("verify", "run/wan_outage").returncode == 0
    whole = line.run("verify", "run")
    assert (whole.returncode, "wan_outage_fast was not run to its end" in whole.stdout) == (1, True)
    refused = line.run("replay", "run")
    assert (refused.returncode, "Give the others one by one: run/wan_outage." in refused.stderr) == (2, True)
