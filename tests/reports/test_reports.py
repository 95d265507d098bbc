"""The reports of a run: from its folder alone, the same bytes each time, hostile text harmless, readable by tools."""

import io
import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from rich.console import Console

from shakedown.acceptance import read_verdict
from shakedown.acceptance.blocks import Series, Span
from shakedown.acceptance.wording import clock
from shakedown.reports import RENDERERS, read_facts, render
from shakedown.reports.drawing import chart, ticks, time_ticks
from shakedown.scenarios import model
from shakedown.scenarios.runner import Request, accept


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports") / "run"
    setup = model.shortened(model.set_up(model.find("wan_outage_fast")), 40)
    return accept(Request(setup, folder), Console(file=io.StringIO())).folder


@pytest.fixture
def run(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "run"))


def rewrite(folder, **criteria):
    """Give criteria of the run other verdicts."""
    verdict = read_verdict(folder / "verdict.json")
    for name, outcome in criteria.items():
        verdict.criterion(name).verdict = outcome
    verdict.write(folder / "verdict.json")


@pytest.mark.parametrize("name", RENDERERS)
def test_every_report_is_made_and_comes_out_the_same_again(run, name):
    before = (run / name).read_bytes()
    assert len(before) > 500
    (run / name).unlink()
    render(run)
    assert (run / name).read_bytes() == before


def test_the_page_needs_no_network_and_no_script(run):
    page = (run / "report.html").read_text()
    assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", page)
    assert "<script" not in page


def test_the_page_says_what_was_concluded_done_and_how_to_repeat_it(run):
    page = (run / "report.html").read_text()
    verdict = read_verdict(run / "verdict.json")
    for criterion in verdict.criteria:
        assert criterion.title in page
        assert criterion.measured in page
    assert "black_hole" in page
    assert page.count("<svg") == 3
    assert read_facts(run).command in page


def test_the_command_that_repeats_a_run_has_the_words_that_were_asked(run):
    manifest = json.loads((run / "manifest.json").read_text())
    assert read_facts(run).command == "shakedown accept wan_outage_fast --seed 0"
    manifest |= {
        "asked": {
            "scenario": "own/my wall.yaml",
            "bridge": "own/mine.yaml",
            "toxiproxy": "http://[::1]:1",
            "duration_s": 30.0,
        },
        "bridge": {"name": "mine"},
        "clock": "wall",
    }
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert read_facts(run).command == (
        "shakedown accept 'own/my wall.yaml' --seed 0 --clock wall --bridge own/mine.yaml "
        "--toxiproxy 'http://[::1]:1' --duration 30"
    )


def test_hostile_text_is_shown_and_does_nothing(run):
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["title"] = r"<script>alert(1)</script> | `x` **y** \<img src=x> ![p](http://e) \[q](http://e)"
    (run / "manifest.json").write_text(json.dumps(manifest))
    render(run)
    assert "<script" not in (run / "report.html").read_text()
    assert "&lt;script&gt;" in (run / "report.html").read_text()
    Xml.parse(run / "junit.xml")
    assert r"\\\<img src=x> !\[p](http://e) \\\[q](http://e)" in (run / "summary.md").read_text()


def test_half_a_surrogate_pair_in_the_json_of_others_keeps_no_verdict_from_being_written(run):
    verdict = read_verdict(run / "verdict.json")
    verdict.criterion("loss").measured = json.loads(r'"operator \ud800, \ud83d\ude00"')
    verdict.write(run / "verdict.json")
    render(run)
    assert read_verdict(run / "verdict.json").criterion("loss").measured == "operator ?, \N{GRINNING FACE}"


@pytest.mark.parametrize(
    ("outcomes", "failures", "errors"),
    [({}, 1, 0), ({"loss": "FAIL", "session": "INCONCLUSIVE"}, 2, 0), ({"integrity": "HARNESS_FAULT"}, 1, 1)],
)
def test_junit_counts_what_is_not_passed(run, outcomes, failures, errors):
    rewrite(run, **outcomes)
    render(run)
    suite = Xml.parse(run / "junit.xml").getroot()
    assert (int(suite.get("tests")), int(suite.get("failures")), int(suite.get("errors"))) == (
        5,
        failures,
        errors,
    )
    assert len(suite.findall(".//failure")) == failures
    assert len(suite.findall(".//skipped")) == int(suite.get("skipped")) == 1  # freshness, as announced
    assert len(suite.findall(".//error")) == errors
    took_s = read_facts(run).took_s
    assert float(suite.get("time")) == pytest.approx(took_s["run"] + took_s["judge"], abs=2e-3)
    times = {case.get("name"): float(case.get("time")) for case in suite.iter("testcase")}
    assert times == took_s["criteria"]
    assert 0 < sum(times.values()) <= took_s["judge"]


def test_what_is_not_promised_is_skipped_and_never_passed(run):
    rewrite(run, loss="NOT_APPLICABLE")
    render(run)
    suite = Xml.parse(run / "junit.xml").getroot()
    assert len(suite.findall(".//skipped")) == int(suite.get("skipped")) == 2
    assert "➖ NOT APPLICABLE" in (run / "summary.md").read_text()
    page = (run / "report.html").read_text()
    assert (
        "Not promised by this bridge, or never put to the test, and so not judged: Loss across outages."
        in page
    )
    assert "3 of 5 criteria met." in page


def test_what_is_wrong_is_said_in_every_report(run):
    document = json.loads((run / "verdict.json").read_text())
    criterion = document["criteria"][0]
    criterion |= {"verdict": "FAIL", "statement": "The bridge ended.", "blocks": [
        {"type": "sentence", "text": "Last lines:", "items": ["out of memory"], "tone": "bad"},
        {"type": "sentence", "text": "Nothing to see here."},
        {"type": "table", "title": "Wrong", "columns": [{"title": "what"}, {"title": "how often", "kind": "number"}],
         "rows": [{"cells": ["seq", "3"], "tone": "bad"}, {"cells": ["alias", "0"]}]},
    ]}  # fmt: skip
    document["verdict"] = "FAIL"
    (run / "verdict.json").write_text(json.dumps(document))
    render(run)
    for name in ("junit.xml", "summary.md"):
        text = (run / name).read_text()
        for line in ("The bridge ended.", "Last lines:", "out of memory", "Wrong:", "seq: how often 3"):
            assert line in text, (name, line)
        assert "Nothing to see" not in text
        assert "alias" not in text
    assert "out of memory" in (run / "report.html").read_text()


def test_the_summary_has_a_row_for_each_criterion_and_fault(run):
    lines = (run / "summary.md").read_text().splitlines()
    verdict = read_verdict(run / "verdict.json")
    for criterion in verdict.criteria:
        assert sum(line.startswith(f"| {criterion.title} |") for line in lines) == 1
    assert sum("| black_hole (blackhole) | wan | yes |" in line for line in lines) == 1


def test_faults_of_the_lab_are_named_in_every_report(run):
    document = json.loads((run / "verdict.json").read_text())
    document["harness"] = [{"what": "the echo was deaf", "where": "timeline.jsonl", "remedy": "mend it"}]
    document["verdict"] = "HARNESS_FAULT"
    (run / "verdict.json").write_text(json.dumps(document))
    render(run)
    for name in RENDERERS:
        assert "the echo was deaf" in (run / name).read_text()


@pytest.mark.slow
def test_a_browser_shows_the_page(run, tmp_path, browser):
    picture = tmp_path / "page.png"
    page, size = run / "report.html", "--window-size=1000,900"
    browser(page, size, f"--screenshot={picture}")
    assert picture.stat().st_size > 20_000
    assert "Backlog" in browser(page, size, "--dump-dom")


def test_ticks_are_round_and_cover_the_values():
    assert ticks(9.3) == [0, 2, 4, 6, 8, 10]
    assert ticks(0) == [0, 1]
    assert ticks(0.04)[-1] >= 0.04
    assert time_ticks(1290) == [0, 300, 600, 900, 1200]
    assert [clock(x) for x in (0, 75, 3661)] == ["0:00", "1:15", "1:01:01"]


def test_a_line_with_gaps_is_drawn_in_pieces():
    lines, bands = {"a": [1, None, 2, 3]}, [Span("cut", 1, 2)]
    drawn = chart(Series(title="t", unit="s", from_s=0, step_s=1, lines=lines, bands=bands))
    path = re.search(r'class="line line0" d="([^"]*)"', drawn).group(1)
    assert path.count("M") == 2
    assert path.count("L") == 1
    Xml.fromstring(drawn)


@pytest.mark.parametrize(("seconds", "anchor"), [(840, "end"), (900, "middle")])
def test_the_label_at_the_end_of_the_time_is_not_cut_off(seconds, anchor):
    lines = {"a": [1] * seconds}
    drawn = chart(Series(title="t", unit="s", from_s=0, step_s=1, lines=lines, bands=[]))
    assert re.search(r'text-anchor="(\w+)">14:00<', drawn).group(1) == anchor
