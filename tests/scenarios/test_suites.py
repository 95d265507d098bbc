"""Suites: several runs judged as one, each whole in its own folder, and nothing half that looks like a whole."""

import io
import json
import shutil
from xml.etree import ElementTree as Xml

import pytest
from rich.console import Console

from shakedown.acceptance import judge
from shakedown.bridge.app import Bridge
from shakedown.reports import RENDERERS, render
from shakedown.reports.suite import Suite, SuiteRun, worst
from shakedown.scenarios import model, run_folder, suite_folder
from shakedown.scenarios.bridge_runner import our_bridge
from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.runner import Request, accept
from shakedown.scenarios.suite_runner import SuiteInterrupted, accept_all
from shakedown.scenarios.suites import DEFAULT, SUITES
from shakedown.scenarios.verification import verify

QUIET = Console(file=io.StringIO())
NAMES = ("wan_outage", "wan_outage_fast")


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_names_shipped_scenarios_once_each(suite):
    names = SUITES[suite]
    assert len(names) == len(set(names)) > 1
    if not model.shipped().keys() & set(names) - {"wan_outage"}:
        pytest.skip(f"none of the shift's scenarios is shipped yet: {', '.join(names)}")
    for name in names:
        assert model.set_up(model.find(name)).scenario.name == name


def test_the_default_suite_is_there():
    assert DEFAULT in SUITES


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (("PASS", "PASS"), 0),
        (("INCONCLUSIVE", "PASS"), 3),
        (("PASS", "INCONCLUSIVE", "FAIL"), 1),
        (("FAIL", "HARNESS_FAULT", "INCONCLUSIVE"), 4),
    ],
)
def test_the_worst_verdict_is_the_suites(verdicts, code):
    runs = [SuiteRun(scenario=f"s{n}", title="", verdict=verdict) for n, verdict in enumerate(verdicts)]
    suite = Suite(
        suite="", verdict=worst(runs), seed=0, clock="virtual", broker="embedded", strict=False, runs=runs
    )
    assert suite.exit_code == code


def requests(duration_s, **options):
    setups = [model.shortened(model.set_up(model.find(name)), duration_s) for name in NAMES]
    return [Request(setup, None, **options) for setup in setups]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A suite of two short runs that nobody may change; copy it."""
    out = tmp_path_factory.mktemp("suites") / "suite"
    outcome = accept_all("short", requests(40, seed=3), out, QUIET)
    assert outcome.folder == out
    return out


@pytest.fixture
def suite(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "suite")


def test_a_suite_folder_holds_whole_runs_and_what_they_say_together(finished):
    files = {path.name for path in finished.iterdir()}
    assert files == {*NAMES, "suite.json", "index.html", "junit.xml", "chain.json"}
    assert not list(finished.parent.glob("**/*.partial"))
    suite = Suite.read(finished / "suite.json")
    assert [run.scenario for run in suite.runs] == list(NAMES)
    for run in suite.runs:
        alone = json.loads((finished / run.folder / "verdict.json").read_text())
        assert run.verdict == alone["verdict"]
        assert [c.name for c in run.criteria] == [c["name"] for c in alone["criteria"]]
        assert [c.excused for c in run.criteria] == [c["excused"] for c in alone["criteria"]]
    assert (suite.suite, suite.seed, suite.verdict) == ("short", 3, "INCONCLUSIVE")


def test_a_run_in_a_suite_is_the_run_alone_byte_for_byte(finished, tmp_path):
    request = requests(40, seed=3)[1]
    alone = accept(Request(request.setup, tmp_path / "run", seed=3), QUIET).folder
    in_suite = run_folder.read_manifest(finished / NAMES[1])
    assert in_suite["trace_sha256"] == run_folder.read_manifest(alone)["trace_sha256"]
    assert (finished / NAMES[1] / "verdict.json").read_bytes() == (alone / "verdict.json").read_bytes()


def test_an_untouched_suite_fits(finished):
    assert verify(finished) == []


def _edit(file, before, after):
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda s: _edit(s / "suite.json", "INCONCLUSIVE", "PASS"), "suite.json was changed"),
        (lambda s: (s / "index.html").write_text("PASS"), "index.html does not follow"),
        (lambda s: (s / "junit.xml").unlink(), "junit.xml is missing"),
        (lambda s: (s / "extra").mkdir(), "extra is not part of the suite"),
        (lambda s: shutil.rmtree(s / "wan_outage"), "wan_outage is not a run folder"),
        (
            lambda s: (s / "wan_outage" / "host.jsonl").write_text(""),
            "wan_outage: host.jsonl was changed",
        ),
        (lambda s: _rechain(s / "wan_outage"), "wan_outage is not the run that the suite was concluded from"),
    ],
)
def test_every_later_change_is_found(suite, change, found):
    change(suite)
    assert any(found in problem for problem in verify(suite))


def _rechain(folder):
    """Change a run and make its own chain fit again."""
    (folder / "bridge.log").write_text("all is well")
    judge(folder).write(folder / "verdict.json")
    run_folder.write_chain(folder, RENDERERS)
    render(folder)
    assert verify(folder) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "", "not the index of a suite"),
        (lambda text: "{}", "not the index of a suite"),
        (lambda text: text.replace('"format": 1', '"format": 2', 1), "has format 2"),
        (lambda text: text.replace('"folder": "wan_outage"', '"folder": "../x"', 1), "not the name of a folder"),
    ],
)  # fmt: skip
def test_an_index_that_is_none_is_a_usage_error(suite, change, words):
    file = suite / "suite.json"
    changed = change(file.read_text())
    assert changed != file.read_text()
    file.write_text(changed)
    with pytest.raises(UsageError, match=words):
        suite_folder.runs_in(suite)


class LosesHalf(Bridge):
    async def _on_readings(self, readings, entries):
        await super()._on_readings(readings[::2], entries)


@pytest.mark.slow
def test_after_a_run_that_fails_the_others_still_run(tmp_path):
    made = []

    def factory(site, journal, connect_to):
        made.append(LosesHalf if not made else Bridge)
        return made[-1](site, journal_path=journal, connect_to=dict(connect_to))

    outcome = accept_all("", requests(20), tmp_path / "suite", QUIET, factory)
    assert [run.verdict for run in outcome.suite.runs] == ["FAIL", "INCONCLUSIVE"]
    assert outcome.suite.exit_code == 1
    assert verify(outcome.folder) == []


def test_a_run_that_cannot_be_had_any_more_is_a_harness_fault_of_the_suite(tmp_path):
    out = tmp_path / "suite"

    def factory(site, journal, connect_to):
        (tmp_path / "suite.partial" / NAMES[1]).mkdir()  # the place of the second run is taken meanwhile
        return our_bridge(site, journal, connect_to)

    outcome = accept_all("", requests(20), out, QUIET, factory)
    assert [run.verdict for run in outcome.suite.runs] == ["INCONCLUSIVE", "HARNESS_FAULT"]
    assert outcome.suite.exit_code == 4
    assert "exists already" in outcome.suite.runs[1].harness[0].what
    junit = Xml.parse(out / "junit.xml").getroot()
    assert sum(int(e.get("errors")) for e in junit) == len(junit.findall(".//error")) == 1
    assert f"{NAMES[1]} was not run to its end: it holds no verdict" in verify(out)
    with pytest.raises(UsageError, match=f"{NAMES[1]} did not come to a verdict"):
        suite_folder.runs_in(out)


@pytest.mark.parametrize("taken", ["suite", "suite.partial"])
def test_a_suite_never_overwrites(tmp_path, taken):
    (tmp_path / taken).mkdir()
    (tmp_path / taken / "precious").write_text("kept")
    with pytest.raises(UsageError, match="exists already"):
        accept_all("", requests(20), tmp_path / "suite", QUIET)
    assert [path.name for path in tmp_path.rglob("*")] == [taken, "precious"]


def interrupting(run):
    """A factory of bridges that presses Ctrl-C when run number `run` begins."""
    made = []

    def factory(site, journal, connect_to):
        made.append(site)
        if len(made) == run:
            raise KeyboardInterrupt
        return our_bridge(site, journal, connect_to)

    return factory


def test_interrupted_in_its_first_run_a_suite_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt) as interrupted:
        accept_all("", requests(20), tmp_path / "suite", QUIET, interrupting(1))
    assert not isinstance(interrupted.value, SuiteInterrupted)
    assert list(tmp_path.iterdir()) == []


def test_interrupted_later_a_suite_keeps_its_whole_runs_and_says_nothing_as_a_whole(tmp_path):
    with pytest.raises(SuiteInterrupted) as interrupted:
        accept_all("", requests(20), tmp_path / "suite", QUIET, interrupting(2))
    partial = tmp_path / "suite.partial"
    assert interrupted.value.whole == (partial / NAMES[0],)
    assert [path.name for path in tmp_path.iterdir()] == ["suite.partial"]
    assert [path.name for path in partial.iterdir()] == [NAMES[0]]
    assert verify(partial / NAMES[0]) == []
    with pytest.raises(UsageError, match=rf"did not come to its end.*{NAMES[0]}"):
        suite_folder.runs_in(partial)
