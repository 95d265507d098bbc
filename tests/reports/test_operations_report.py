"""The report of a shift: a section for each criterion that was judged, readable, bounded, and deaf to hostile text."""

import json
import re
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
import yaml

from shakedown.acceptance import judge
from shakedown.acceptance.verdict import Verdict
from shakedown.reports import RENDERERS, render
from tests.acceptance import shift_day
from tests.acceptance.shift_plan import START_NS, S

SECTIONS = {
    "The shift: what the machines did": None,
    "OEE: what happened": "oee",
    "Alarms: what people were called for": "nuisance",
    "False alarms, and faults that were told": "false_alarms",
    "Acknowledgement: how soon": "acknowledgement",
    "Work orders: from the alert": "work_orders",
}
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
    """Eight hours of a small line, judged."""
    day = shift_day.healthy()
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
    for title in SECTIONS:
        assert title in page
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


def test_a_run_without_a_shift_shows_nothing_of_it(run):
    keep(run, "freshness", "loss", "integrity", "session")
    page = page_of(run)
    for title in SECTIONS:
        assert title not in page
    assert "simulated operator" not in page


@pytest.mark.parametrize("name", [name for name in SECTIONS.values() if name])
def test_a_criterion_alone_shows_its_own_section_alone(run, name):
    keep(run, "loss", name)
    page = page_of(run)
    for title, owner in SECTIONS.items():
        assert (title in page) == (owner in (None, name))


@pytest.mark.parametrize("name", ["ledger.jsonl", "people.jsonl", "cmms.jsonl", "scenario.yaml", "site.yaml"])
def test_a_file_that_is_absent_or_nonsense_takes_nothing_else_with_it(run, name):
    (run / name).unlink()
    assert "OEE: what happened" in page_of(run)
    (run / name).write_bytes(b'["P",1,"state"]\n["P",1,"fault","x",{"phase":7}]\n{"\xff\n: [}\n')
    assert "OEE: what happened" in page_of(run)


def test_the_figures_of_each_shift_stand_beside_each_other(run):
    verdict = Verdict.read(run / "verdict.json")
    words = words_of(page_of(run))
    for row in verdict.criterion("oee").details["shifts"]:
        assert f"Shift {row['shift']} of {row['line']}" in words
        oee = f"{100 * row['truth']['oee']:.1f} %"
        assert f"OEE {oee} {oee} 0" in words
        assert f"Parts made {row['truth']['produced']:,} {row['truth']['produced']:,} 0" in words


def test_a_wrong_figure_and_a_report_that_never_came_are_marked(run):
    def edit(criteria, _):
        details = criteria["oee"]["details"]
        early, late = details["shifts"]
        early["reported"]["good"] -= 5
        breach = {
            "line": early["line"],
            "shift": early["shift"],
            "figure": "good",
            "true": early["truth"]["good"],
        }
        details["breaches"] = [breach | {"reported": early["reported"]["good"]}]
        late["reported"] = None
        criteria["oee"]["verdict"] = "FAIL"

    change(run, edit)
    page = page_of(run)
    assert "WRONG" in page
    assert "NO REPORT" in page
    wrong = re.findall(r'<tr class="\w+ wrong">.*?</tr>', page)
    assert len(wrong) == 1
    assert "\N{MINUS SIGN}5 !" in wrong[0]


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
    assert "7 of 9 criteria met." in header
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
    (run / "verdict.json").write_text(json.dumps({"verdict": "HARNESS_FAULT"}))
    assert "The lab itself failed" in page_of(run)


def test_the_grid_marks_the_judged_cell_and_says_simulated_operator(run):
    page = page_of(run)
    section = page.split("Acknowledgement: how soon")[1].split("<section>")[0]
    assert section.count(" primary") == section.count("(judged)") == 1
    assert section.count("nobody could keep up") == 2
    assert all("Simulated operator" in caption for caption in re.findall("<caption>(.*?)</caption>", section))
    assert "No person took part" in section


def test_a_fault_told_late_or_missed_stands_first_and_is_marked(run):
    def edit(criteria, _):
        details = criteria["false_alarms"]["details"]
        first = details["delays"]["worst"][0]
        slow = {"fault": "F7", "delay_s": 99.0, "baseline_s": None, "bound_s": 60.0}
        details["delays"]["worst"] = [first, slow, slow | {"fault": "F8", "delay_s": None}]
        details["missed"] = [
            {"fault": "F8", "mode": "jam", "machine": "filler", "critical": True, "onset_ns": START_NS + 90 * S,
             "why": "nothing spoke"}
        ]  # fmt: skip
        details["vetoes"] = ["the same", "the same", "another"]

    change(run, edit)
    page = page_of(run)
    rows = re.findall(r'<tr[^>]*><th scope="row">(F\w*).*?</tr>', page.split("How soon faults were told")[1])
    assert rows[:2] == ["F8", "F7"]
    assert "missed !" in page
    assert "99.0 s !" in page
    assert "<li>the same (2 times)</li><li>another</li>" in page
    assert "nothing spoke" in page


def test_orders_that_are_wrong_are_counted_by_kind_and_named(run):
    def edit(criteria, _):
        details = criteria["work_orders"]["details"]
        details["breaches"]["late"] = 2
        details["examples"] = [
            {"kind": "late", "alarm": "a", "order": "WO-000009", "what": "200 s after the alarm"}
        ]
        details["times"]["max_s"] = 200.0

    change(run, edit)
    words = words_of(page_of(run))
    assert "a work order later than three minutes WO-000009, a (a): 200 s after the alarm 2" in words
    assert "none was found" not in words


def test_text_of_the_site_and_the_floor_is_shown_and_does_nothing(run):
    site = yaml.safe_load((run / "site.yaml").read_text())
    for rule in site["alarms"].values():
        rule["text"] = HOSTILE
    tag = next(iter(site["alarms"]))
    site["alarms"][HOSTILE] = {"text": HOSTILE}
    (run / "site.yaml").write_text(yaml.safe_dump(site))
    (run / "scenario.yaml").write_text(yaml.safe_dump({"description": HOSTILE}))

    def edit(criteria, _):
        criteria["nuisance"]["details"]["baseline"]["worst"] = {HOSTILE: 3, tag: 2}
        criteria["false_alarms"]["details"]["vetoes"] = [HOSTILE]
        criteria["false_alarms"]["statement"] = f"{HOSTILE}\x01."
        criteria["acknowledgement"]["details"]["breaches"] = [HOSTILE]
        criteria["oee"]["details"]["shifts"][0] |= {"line": HOSTILE, "shift": HOSTILE}
        criteria["work_orders"]["details"]["examples"] = [
            {"kind": "late", "alarm": tag, "order": HOSTILE, "what": HOSTILE}
        ]
        criteria["work_orders"]["details"]["breaches"]["late"] = 1

    change(run, edit)
    with (run / "ledger.jsonl").open() as file:
        rows = file.read().splitlines()
    (run / "ledger.jsonl").unlink()
    fault = {"phase": "onset", "id": HOSTILE, "mode": HOSTILE, "critical": True}
    rows.insert(1, json.dumps(["P", START_NS, "fault", HOSTILE, fault], separators=(",", ":")))
    rows.insert(
        1,
        json.dumps(["P", START_NS, "shift", "", {"phase": "start", "name": HOSTILE}], separators=(",", ":")),
    )
    (run / "ledger.jsonl").write_text("\n".join(rows))
    page = page_of(run)
    balance = Balance(page)
    assert not balance.wrong
    assert not balance.tags & {"script", "img"}
    assert page.count("&lt;script&gt;") >= 9
    Xml.parse(run / "junit.xml")
    assert not re.search(r"(?<!\\)<script", (run / "summary.md").read_text())


def test_a_long_and_restless_run_makes_a_page_of_bounded_size(run):
    shift_s = 28_800
    (run / "manifest.json").write_text(json.dumps(manifest(shift_s)))
    (run / "ledger.jsonl").unlink()
    with (run / "ledger.jsonl").open("w") as file:
        for second in range(0, shift_s, 4):
            ns = START_NS + second * S
            for machine in ("filler", "capper", "labeller", "packer", "palletizer"):
                change_of = {"from": 6, "to": (6, 5, 9)[second // 4 % 3], "reason": 0}
                file.write(json.dumps(["P", ns, "state", machine, change_of]) + "\n")
                if second % 20 == 0:
                    name = {"id": f"{machine}{second}", "mode": "jam"}
                    file.write(json.dumps(["P", ns, "fault", machine, name | {"phase": "onset"}]) + "\n")
                    file.write(
                        json.dumps(["P", ns + S, "fault", machine, name | {"phase": "repaired"}]) + "\n"
                    )
    page = page_of(run)
    assert "7,200 true faults" in page
    assert len(page) < 500_000


BROKEN_WORDS = """<script>
addEventListener("load", () => {
  const broken = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  for (let text; text = texts.nextNode();) {
    if (!text.parentElement.closest(".shift th")) continue
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


def with_orders(criteria, *, reported=True):
    """The first shift told by order: two, of which one is reported with a case too many, or nothing is."""
    early = criteria["oee"]["details"]["shifts"][0]
    true = {"pbt_s": 600.0, "produced": 148, "good": 147, "oee": 0.4563}
    early["orders"] = [
        {"order": "ORD-0001", "products": ["water_500"], "truth": true, "reported": true},
        {
            "order": HOSTILE,
            "products": [HOSTILE],
            "truth": true,
            "reported": true | {"produced": 149, "good": HOSTILE} if reported else None,
        },
    ]
    told = {"line": early["line"], "shift": early["shift"], "reported": 149, "true": 148}
    criteria["oee"]["details"]["breaches"] = [told | {"figure": f"produced of {HOSTILE}"}]


def test_the_orders_of_a_shift_stand_beside_each_other_and_a_wrong_one_is_marked(run):
    change(run, lambda criteria, _: with_orders(criteria))
    page = page_of(run)
    assert "ORD-0001 water_500 10:00 148 147 45.6 %" in words_of(page)
    wrong = re.findall(r'<tr class="wrong">.*?</tr>', page)
    assert len(wrong) == 1
    assert "149 (was 148)" in wrong[0]
    assert "at fault, or waiting in an order" in page
    assert "script" not in Balance(page).tags
    change(run, lambda criteria, _: with_orders(criteria, reported=False))
    assert "not told (was 148)" in page_of(run)


def test_a_shift_that_is_not_told_by_order_has_no_such_table(run):
    page = page_of(run)
    assert "Order, as reported" not in page
    assert "waiting in an order" not in page
