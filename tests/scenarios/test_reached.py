"""What no scenario reaches, no judge sees: the page says what the default suite reaches, and nothing is left out."""

from pathlib import Path

import pytest
from rich.console import Console

from shakedown.scenarios import model, reached
from shakedown.scenarios.runner import Request, accept
from shakedown.scenarios.suites import DEFAULT, SUITES

PAGE = Path(__file__).parents[2] / reached.PAGE
AGAIN = "make docs"


def table():
    """Name and counts of every line of the page."""
    lines = [
        line.strip("| ").split(" | ")
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line[:2] == "| "
    ]
    return [
        (name, dict(zip(SUITES[DEFAULT], map(_number, counts), strict=True)))
        for name, *counts in lines
        if counts[0] not in SUITES[DEFAULT]
    ]


def _number(text):
    return int(text.replace(",", ""))


def test_the_default_suite_reaches_everything():
    assert [name for name, _ in table()] == [name for names in reached.GROUPS.values() for name in names], (
        AGAIN
    )
    assert [name for name, counts in table() if not any(counts.values())] == []


@pytest.mark.slow
def test_the_page_is_of_runs_as_they_are(tmp_path):
    request = Request(model.set_up(model.find("wan_outage")), tmp_path / "run")
    found = reached.reached(accept(request, Console(quiet=True)).folder)
    said = {name for name, counts in table() if counts["wan_outage"]}
    assert {name for name, count in found.items() if count} == said, AGAIN
