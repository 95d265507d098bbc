"""The page of the night says what ran, what was missing, and what did not run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tests.nightly import Part, page

JUNIT = """<testsuites><testsuite>
<testcase name="a"><properties><property name="inconclusive" value="['oee', 'loss']"/></properties></testcase>
<testcase name="b"><failure message="no">no</failure></testcase>
<testcase name="c"><error message="no">no</error></testcase>
<testcase name="d"><skipped type="pytest.skip" message="no toxiproxy-server">there is none</skipped></testcase>
<testcase name="e"><skipped type="pytest.xfail" message="">known</skipped></testcase>
</testsuite></testsuites>"""


def test_a_part_that_did_not_run_says_so_and_nothing_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "junit.xml").write_text(JUNIT)
    ran = Part("what ran", [], took="3.0 min")
    ran.result = ran.read(tmp_path / "junit.xml")
    text = page({"one": ran, "two": Part("what did not", [])}, datetime(2026, 1, 5, tzinfo=UTC), "abc1234")
    said = "2 failed, 1 failed as a bare library is known to, 1 passed, 1 skipped"
    assert f"| one | what ran | {said}; loss inconclusive in 1; oee inconclusive in 1 | 3.0 min |" in text
    assert "| two | what did not | not run |  |" in text
    assert "- 1: no toxiproxy-server" in text
    assert "| commit | abc1234 |" in text
    assert "- `.b`\n- `.c`\n" in text
