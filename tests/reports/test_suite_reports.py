"""The index of a suite: every criterion in one table, links to the runs, hostile text harmless, narrow screens."""

import re
import shutil
from html import escape
from xml.etree import ElementTree as Xml

import pytest
from rich.console import Console

from shakedown.acceptance.files import Problem
from shakedown.reports.suite import Suite, faulty, render_suite, worst
from shakedown.scenarios import model
from shakedown.scenarios.runner import Request
from shakedown.scenarios.suite_runner import accept_all


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    setups = [model.shortened(model.set_up(model.find(n)), 20) for n in ("wan_outage", "wan_outage_fast")]
    requests = [Request(setup, None) for setup in setups]
    folder = tmp_path_factory.mktemp("reports") / "suite"
    return accept_all("short", requests, folder, Console(quiet=True)).folder


@pytest.fixture
def suite(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "suite")


def with_a_fault(folder, text="the echo was deaf"):
    """Add a run that the lab could not carry to its end."""
    suite = Suite.read(folder / "suite.json")
    suite.runs.append(faulty("third", text, Problem(text, "third.partial", "Run it again alone.")))
    suite.verdict = worst(suite.runs)
    suite.write(folder / "suite.json")
    render_suite(folder)
    return suite


@pytest.mark.slow
@pytest.mark.parametrize("name", ["index.html", "junit.xml"])
def test_the_same_folder_gives_the_same_bytes(suite, name):
    before = (suite / name).read_bytes()
    (suite / name).unlink()
    render_suite(suite)
    assert (suite / name).read_bytes() == before


def test_the_index_has_every_criterion_once_and_its_links_lead_to_the_reports(suite):
    page = (suite / "index.html").read_text()
    index = Suite.read(suite / "suite.json")
    assert page.count('<th scope="row">') == sum(len(run.criteria) for run in index.runs) == 10
    links = re.findall(r'href="([^"]*)"', page)
    assert links == ["wan_outage/report.html", "wan_outage_fast/report.html"]
    assert all((suite / link).is_file() for link in links)
    assert "<script" not in page
    assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", page)


def test_junit_is_the_runs_junit_joined(suite):
    joined = Xml.parse(suite / "junit.xml").getroot()
    alone = [Xml.parse(suite / name / "junit.xml").getroot() for name in ("wan_outage", "wan_outage_fast")]
    assert [(e.attrib.pop("package"), e.attrib.pop("id")) for e in joined] == [
        ("shakedown", "0"),
        ("shakedown", "1"),
    ]
    assert [Xml.tostring(e).split() for e in joined] == [Xml.tostring(e).split() for e in alone]
    assert sum(int(e.get("failures")) for e in joined) == len(joined.findall(".//failure")) > 0


def test_no_row_of_the_index_has_the_colour_of_a_state_of_the_line(suite):
    page = (suite / "index.html").read_text()
    rules = re.findall(r"([^\s{}][^{}]*) \{ fill:[^}]*background:", page)
    assert {":is(rect, i).run", ":is(rect, i).fault"} <= set(rules)
    assert all(rule.startswith(":is(rect, i).") for rule in rules)


def test_a_run_without_a_verdict_is_told_everywhere(suite):
    index = with_a_fault(suite)
    assert index.exit_code == 4
    page = (suite / "index.html").read_text()
    assert "the echo was deaf (third.partial)" in page
    assert "The lab itself failed" in page
    assert 'href="third' not in page
    joined = Xml.parse(suite / "junit.xml").getroot()
    assert sum(int(e.get("errors")) for e in joined) == len(joined.findall(".//error")) == 1


def test_hostile_text_is_shown_and_does_nothing(suite):
    with_a_fault(suite, "<script>alert(1)</script>")
    page = (suite / "index.html").read_text()
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 2  # the title and the fault
    Xml.parse(suite / "junit.xml")


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_the_index_without_scrolling_sideways(suite, tmp_path, browser, width):
    with_a_fault(suite)
    page = tmp_path / "framed.html"
    # in a frame, because a window has a least width
    page.write_text(
        f'<iframe width="{width}" style="border:0" srcdoc="{escape((suite / "index.html").read_text())}" '
        'onload="document.title = contentDocument.documentElement.scrollWidth"></iframe>'
    )
    dom = browser(page, "--window-size=1400,900", "--dump-dom")
    assert int(re.search(r"<title>(\d+)</title>", dom).group(1)) <= width
