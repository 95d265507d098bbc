"""What a run looks like: each renderer reads the finished run folder and writes one file into it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from shakedown.reports.facts import RunFacts, read_facts
from shakedown.reports.html import render_html
from shakedown.reports.junit import render_junit
from shakedown.reports.markdown import render_markdown

RENDERERS: dict[str, Callable[[RunFacts], str]] = {
    "report.html": render_html,
    "junit.xml": render_junit,
    "summary.md": render_markdown,
}


def render(folder: Path) -> None:
    """Write every report of the run in `folder` from its files alone; the same folder gives the same bytes."""
    facts = read_facts(folder)
    for name, renderer in RENDERERS.items():
        (folder / name).write_text(renderer(facts), encoding="utf-8")


__all__ = ["RENDERERS", "RunFacts", "read_facts", "render"]
