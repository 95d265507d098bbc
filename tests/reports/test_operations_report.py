"""The report of a shift: a section for each criterion that was judged, readable, bounded, and deaf to hostile text."""

import json
import re
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
import yaml

from shakedown.acceptance import judge, read_verdict
from shakedown.acceptance.verdict_file import UnknownFormat
from shakedown.reports import RENDERERS, render
from tests.acceptance import operations_day
from tests.acceptance.operations_plan import START_NS, S
from tests.acceptance.operations_report import open_reports_of

SECTIONS = ("oee", "nuisance", "false_alarms", "acknowledgement", "work_orders")
HOSTILE = "<script>alert(1)</script> | `x` \"'><img src=x>"
VOID = {"meta", "br", "img", "hr", "input", "link"}


class Balance(HTMLParser):
    """Tags that are closed in order; those left open or closed wrongly are noted."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open, self.wrong, self.tags = [], [], set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def manifest(seconds):
    return {
        "format": 1, "status": "complete", "scenario": "shift", "title": "A shift", "plant": "test", "seed": 7,
        "clock": "virtual", "broker": "embedded", "strict": False, "duration_s": seconds, "python": "3", "versions": {},
        "configuration_sha256": {}, "start_ns": START_NS, "end_ns": START_NS + seconds * S,
    }  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Eight hours of a small line with the report of each full minute, judged."""
    day = operations_day.healthy()
    day.reports += open_reports_of(day)
    folder = day.write(tmp_path_factory.mktemp("shift") / "run")
    (folder / "manifest.json").write_text(json.dumps(manifest(day.seconds)))
    (folder / "scenario.yaml").write_text(yaml.safe_dump({"description": "Denser than a real shift."}))
    judge(folder).write(folder / "verdict.json")
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A copy whose logs are shared with the others and whose small files are its own."""
    folder = tmp_path / "run"
    folder.mkdir()
    for path in finished.iterdir():
        if path.suffix == ".jsonl":
            (folder / path.name).symlink_to(path)
        else:
            (folder / path.name).write_bytes(path.read_bytes())
    return folder


def page_of(folder: Path) -> str:
    render(folder)
    return (folder / "report.html").read_text()


def change(folder: Path, edit) -> None:
    """Edit the verdict as it stands in its file."""
    document = json.loads((folder / "verdict.json").read_text())
    edit({criterion["name"]: criterion for criterion in document["criteria"]}, document)
    (folder / "verdict.json").write_text(json.dumps(document))


def keep(folder: Path, *names: str) -> None:
    """Leave only these criteria in the verdict."""

    def edit(_, document):
        document["criteria"] = [entry for entry in document["criteria"] if entry["name"] in names]

    change(folder, edit)


def words_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_each_criterion_of_a_shift_has_its_section_and_the_page_is_whole(run):
    page = page_of(run)
    for name in SECTIONS:
        assert f'<section id="{name}">' in page
    assert "What the machines did" in page
    balance = Balance(page)
    assert not balance.open
    assert not balance.wrong
    assert "script" not in balance.tags
    assert "Denser than a real shift." in page
    assert "Denser than a real shift." in (run / "summary.md").read_text()


def test_the_same_folder_gives_the_same_bytes(run):
    render(run)
    before = {name: (run / name).read_bytes() for name in RENDERERS}
    render(run)
    assert {name: (run / name).read_bytes() for name in RENDERERS} == before


@pytest.mark.parametrize("name", SECTIONS)
def test_a_criterion_alone_shows_its_own_section_alone(run, name):
    keep(run, "loss", name)
    page = page_of(run)
    assert re.findall(r'<section id="(\w+)">', page) == ["loss", name]


def test_a_scenario_that_cannot_be_read_takes_nothing_else_with_it(run):
    (run / "scenario.yaml").write_bytes(b"\xff: [}\n")
    assert "OEE accuracy" in page_of(run)


def test_the_figures_of_each_shift_stand_beside_each_other(run):
    verdict = read_verdict(run / "verdict.json")
    words = words_of(page_of(run))
    for row in verdict.criterion("oee").figures.shifts:
        assert f"Shift {row.shift} of {row.line}: RIGHT" in words
        oee = f"{100 * row.truth.oee:.1f} %"
        assert f"OEE {oee} {oee} 0" in words
        assert f"Parts made {row.truth.produced:,.0f} {row.truth.produced:,.0f} 0" in words


def test_the_first_lines_say_what_was_not_met(run):
    def edit(criteria, document):
        for criterion in criteria.values():
            criterion["verdict"] = "PASS"
        criteria["nuisance"] |= {"verdict": "FAIL"}
        criteria["work_orders"] |= {"verdict": "INCONCLUSIVE", "needs": "a longer run"}
        document["verdict"] = "FAIL"

    change(run, edit)
    header = words_of(page_of(run).split("<main>")[0])
    assert "Not met: Alarm nuisance." in header
    assert "Not decided: Alert to work order." in header
    assert "8 of 10 criteria met." in header
    for name in RENDERERS:
        assert "it needs a longer run" in (run / name).read_text()


def test_a_fault_of_the_lab_concludes_nothing_on_the_bridge(run):
    def edit(_, document):
        document["harness"] = [
            {"what": "the ledger is missing", "where": "ledger.jsonl", "remedy": "run again"}
        ]
        document["verdict"] = "HARNESS_FAULT"

    change(run, edit)
    header = words_of(page_of(run).split("<main>")[0])
    assert "Not met" not in header
    assert "criteria met" not in header


def test_a_verdict_on_nothing_has_its_reports_too(run):
    (run / "verdict.json").write_text(json.dumps({"format": 2, "verdict": "HARNESS_FAULT"}))
    assert "The lab itself failed" in page_of(run)


def test_the_grid_marks_the_judged_cell_and_says_simulated_operator(run):
    section = page_of(run).split('<section id="acknowledgement">')[1].split("<section")[0]
    assert section.count("(judged)") == 1
    assert section.count("nobody could keep up") == 2
    assert section.count("Simulated operator, who") == 2
    assert "No person took part" in section


def test_text_of_the_floor_is_shown_and_does_nothing(run):
    def edit(criteria, document):
        criteria["false_alarms"]["statement"] = f"{HOSTILE}\x01."
        criteria["false_alarms"]["blocks"] = json.loads(
            json.dumps(criteria["false_alarms"]["blocks"]).replace("filler", json.dumps(HOSTILE)[1:-1])
        )
        floor = document["blocks"][0]
        floor["lanes"][1] |= {"name": HOSTILE}
        floor["lanes"][0]["tracks"][0][0] |= {"name": HOSTILE}

    change(run, edit)
    page = page_of(run)
    balance = Balance(page)
    assert not balance.wrong
    assert not balance.tags & {"script", "img"}
    assert page.count("&lt;script&gt;") >= 5
    Xml.parse(run / "junit.xml")
    assert not re.search(r"(?<!\\)<script", (run / "summary.md").read_text())


def test_a_run_that_is_not_written_by_this_version_is_refused_in_one_line(run):
    change(run, lambda _, document: document.update(format=1))
    with pytest.raises(
        UnknownFormat, match=r"has format 1, this version reads 2\. Use the version of Shakedown"
    ):
        render(run)


BROKEN_WORDS = """<script>
addEventListener("load", () => {
  const broken = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  for (let text; text = texts.nextNode();) {
    if (!text.parentElement.closest("#oee .figures th")) continue
    for (const word of text.data.matchAll(/\\S+/g)) {
      const range = document.createRange()
      range.setStart(text, word.index)
      range.setEnd(text, word.index + word[0].length)
      if (new Set([...range.getClientRects()].map(r => r.top)).size > 1) broken.push(word[0])
    }
  }
  parent.document.title = "broken: " + broken.join(" ") + ";"
})</script></body>"""


@pytest.mark.slow
def test_on_a_telephone_the_words_of_the_oee_table_stay_whole(run, tmp_path, browser):
    render(run)
    page = tmp_path / "framed.html"
    inner = (run / "report.html").read_text().replace("</body>", BROKEN_WORDS)
    page.write_text(f'<iframe width="400" height="900" srcdoc="{escape(inner)}"></iframe>')
    dom = browser(page, "--dump-dom")
    assert re.search(r"<title>broken: (.*?);</title>", dom).group(1) == ""
