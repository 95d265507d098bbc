"""Forged evidence: the chain may fit again, and what does not follow from the logs is named all the same."""

import json
import os
import shutil
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from shakedown.acceptance import judge, read_verdict
from shakedown.reports import RENDERERS, render
from shakedown.reports.suite import RENDERERS as SUITE_RENDERERS
from shakedown.reports.suite import Suite, render_suite
from shakedown.scenarios import model
from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.run_folder import chain_head, write_chain
from shakedown.scenarios.runner import Request
from shakedown.scenarios.suite_runner import accept_all
from shakedown.scenarios.verification import verify
from tests.scenarios.test_suites import QUIET

NAMES = ("wan_outage_fast", "network_cuts")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("verify") / "suite"
    setups = [model.shortened(model.set_up(model.find(name)), 40) for name in NAMES]
    return accept_all("", [Request(setup, out) for setup in setups], out, QUIET).folder


@pytest.fixture
def suite(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "suite"))


@pytest.fixture
def run(finished, tmp_path):
    return Path(shutil.copytree(finished / NAMES[0], tmp_path / "run"))


def edit(file, change):
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def hides_a_fail(run):
    verdict = read_verdict(run / "verdict.json")
    for result in verdict.criteria:
        result.verdict = "PASS"
    verdict.verdict = "PASS"
    verdict.write(run / "verdict.json")


def changes_the_title(run):
    edit(run / "manifest.json", lambda m: m.update(title="Everything was cut, and nothing lost"))


def excuses_more(run):
    edit(run / "manifest.json", lambda m: m["may_be_inconclusive"].append("loss"))


def says_another_scenario(run):
    file = run / "scenario.yaml"
    file.write_text(file.read_text().replace("title: ", "title: A calm day, no "))


def says_another_seed(run):
    edit(run / "manifest.json", lambda m: m.update(seed=7))


def says_a_date_that_is_none(run):
    (run / "scenario.yaml").write_text("title: 2026-99-99\n")


def nests_without_end(run):
    (run / "scenario.yaml").write_text("[" * 100_000)


def rechain(run, *, rendered=True):
    write_chain(run, RENDERERS)
    if rendered:
        render(run)


def test_an_untouched_run_and_suite_follow_from_their_logs(finished):
    assert verify(finished, chain_head(finished)) == []
    assert verify(finished / NAMES[1], chain_head(finished / NAMES[1])) == []


@pytest.mark.parametrize(
    ("forge", "found"),
    [
        (hides_a_fail, "verdict.json does not follow from the logs: it says PASS, and they say INCONCLUSIVE"),
        (changes_the_title, "manifest.json, title: 'Everything was cut"),
        (excuses_more, "manifest.json, may_be_inconclusive"),
        (says_another_scenario, "scenario.yaml is not what manifest.json says was asked"),
        (says_another_seed, "manifest.json, seed: 7 is not 0, which ledger.jsonl says"),
        (says_a_date_that_is_none, "scenario.yaml cannot be read: "),
        (nests_without_end, "nested deeper than 50 levels"),
    ],
)
def test_a_forged_file_is_named_although_chain_and_reports_fit_it(run, forge, found):
    forge(run)
    rechain(run)
    assert any(found in problem for problem in verify(run))


@pytest.mark.parametrize("name", RENDERERS)
def test_a_forged_report_is_named_although_the_chain_fits(run, name):
    (run / name).write_text((run / name).read_text().replace("INCONCLUSIVE", "PASS"))
    rechain(run, rendered=False)
    assert verify(run) == [f"{name} does not follow from manifest.json and verdict.json"]


def test_only_the_head_shows_that_a_log_and_all_that_follows_was_forged(run):
    head = chain_head(run)
    assert verify(run, head) == []
    (run / "bridge.log").write_text("nothing happened\n")
    assert verify(run) == ["bridge.log was changed"]
    judge(run).write(run / "verdict.json")
    rechain(run)
    assert verify(run) == []
    assert [problem.split(":")[1] for problem in verify(run, head)] == [
        " it is not the folder that was written"
    ]


def test_what_others_put_into_the_folder_is_named(run):
    (run / "approved.pdf").write_text("signed")
    (run / "attachments").mkdir()
    assert verify(run) == ["approved.pdf is not part of the run", "attachments is not part of the run"]


def is_a_link(file):
    file.rename(file.parent.parent / file.name)
    file.symlink_to(file.parent.parent / file.name)


def is_a_pipe(file):
    file.unlink()
    os.mkfifo(file)


def has_no_end(file):
    os.truncate(file, 1 << 40)


@pytest.mark.parametrize(
    ("forge", "name", "found"),
    [
        (is_a_link, "ledger.jsonl", "is a link: what it leads to is not in the folder"),
        (is_a_link, "report.html", "is a link: what it leads to is not in the folder"),
        (is_a_pipe, "bridge.log", "is not a file, but a pipe, a socket or a device"),
        (is_a_pipe, "manifest.json", "is not a file, but a pipe, a socket or a device"),
        (has_no_end, "report.html", "is larger than 268,435,456 bytes, as none that a run writes"),
    ],
)
def test_what_is_no_file_of_a_run_is_named_and_not_opened(run, forge, name, found):
    forge(run / name)
    assert verify(run) == [f"{name} {found}"]


@pytest.mark.parametrize(
    "facts", [{"versions": [1]}, {"title": 5}, {"start_ns": 10**30}, {"configuration_sha256": ["x"]}]
)
def test_a_manifest_of_another_shape_is_refused_in_one_line(run, facts):
    edit(run / "manifest.json", lambda m: m.update(facts))
    with pytest.raises(UsageError, match=f"is not the manifest of a run .*{next(iter(facts))}"):
        verify(run)


def test_the_head_stands_outside_of_the_chain(run):
    head = chain_head(run)
    assert head in (run / "summary.md").read_text()
    chain = Xml.parse(run / "junit.xml").find("properties/property[@name='chain']")
    assert chain.get("value") == head
    assert not set(json.loads((run / "chain.json").read_text())["files"]) & set(RENDERERS)


def passes_in_its_index(suite):
    index = Suite.read(suite / "suite.json")
    index.verdict = index.runs[0].verdict = "PASS"
    index.write(suite / "suite.json")


def has_another_seed(suite):
    edit(suite / "suite.json", lambda index: index.update(seed=7))


def swaps_its_runs(suite):
    """Each run under the other's name."""
    index = Suite.read(suite / "suite.json")
    one, other = index.runs
    (suite / NAMES[0]).rename(suite / "between")
    (suite / NAMES[1]).rename(suite / NAMES[0])
    (suite / "between").rename(suite / NAMES[1])
    for run, name in ((one, NAMES[1]), (other, NAMES[0])):
        run.scenario = run.folder = name
    index.write(suite / "suite.json")


def has_a_run_twice(suite):
    index = Suite.read(suite / "suite.json")
    index.runs[1:] = index.runs[:1]
    index.write(suite / "suite.json")
    shutil.rmtree(suite / NAMES[1])


def calls_itself_another(suite):
    edit(suite / "suite.json", lambda index: index.update(suite="default"))


@pytest.mark.parametrize(
    ("forge", "found"),
    [
        (swaps_its_runs, "suite.json says of wan_outage_fast what its run does not"),
        (has_a_run_twice, "suite.json has a run twice"),
        (calls_itself_another, "suite.json says suite default, and has no run of shift_short"),
        (passes_in_its_index, "suite.json says of wan_outage_fast what its run does not"),
        (has_another_seed, "suite.json, seed: 7 is not 0, which wan_outage_fast says"),
    ],
)
def test_a_forged_suite_is_named_although_its_chain_fits(suite, forge, found):
    forge(suite)
    write_chain(suite, SUITE_RENDERERS)
    render_suite(suite)
    assert found in verify(suite)


@pytest.mark.parametrize("name", SUITE_RENDERERS)
def test_a_forged_report_of_a_suite_is_named(suite, name):
    (suite / name).write_text((suite / name).read_text().replace("INCONCLUSIVE", "PASS"))
    assert verify(suite) == [f"{name} does not follow from suite.json and the runs"]


def test_the_command_takes_the_head(line, run):
    head = chain_head(run)
    right = line.here("verify", str(run), "--head", head)
    assert (right.returncode, "unchanged" in right.stdout) == (0, True)
    wrong = line.here("verify", str(run), "--head", "0" * 64)
    assert (wrong.returncode, f"its chain is {head} and not" in wrong.stdout) == (1, True)
    assert line.here("verify", str(run), "--head", "abc").returncode == 2
