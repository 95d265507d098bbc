"""A broken lab is never the bridge's fault: each run ends with 4 and names the part and both counts."""

import re

import pytest

from tests.mutants.drills import verdict_of
from tests.mutants.labs import LABS, PAGE, row_of

AGAIN = "run `python -m tests.mutants.labs`, which writes docs/broken_labs.md"


def _lab(lab):
    return pytest.param(lab, id=lab.name, marks=[] if lab.quick else [pytest.mark.slow])


def test_a_whole_lab_passes(tmp_path):
    verdict = verdict_of(tmp_path / "run", drill="lab.yaml")
    assert (verdict.verdict, verdict.harness) == ("PASS", [])


@pytest.mark.parametrize("lab", [_lab(lab) for lab in LABS])
def test_a_broken_lab_is_a_harness_fault(tmp_path, lab):
    verdict = lab.verdict(tmp_path / "run")
    assert (verdict.verdict, verdict.exit_code) == ("HARNESS_FAULT", 4)
    assert any(lab.says in problem.what for problem in verdict.harness), verdict.harness
    assert _without_counts(row_of(lab, verdict)) in _without_counts(PAGE.read_text(encoding="utf-8")), AGAIN


def _without_counts(text):
    """They follow from every change of the bridge; that there are two, and of what, does not."""
    return re.sub(r"\d[\d,]*", "N", text)


def test_the_page_has_each_lab_once():
    rows = [row for row in PAGE.read_text(encoding="utf-8").splitlines() if row.startswith("| ")][2:]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == [lab.name for lab in LABS], AGAIN
