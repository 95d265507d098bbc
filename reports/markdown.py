"""A Markdown summary for pull requests and chat."""

from __future__ import annotations

import re

from shakedown.reports import text
from shakedown.reports.facts import WORDS, RunFacts

MARKS = {"PASS": "✅", "FAIL": "❌", "INCONCLUSIVE": "❔", "HARNESS_FAULT": "⚠️", "NOT_APPLICABLE": "➖"}


def render_markdown(facts: RunFacts) -> str:
    """The run on a page: what was concluded, what was done, and how to repeat it."""
    verdict, manifest = facts.verdict, facts.manifest
    lines = [
        f"# {MARKS[verdict.verdict]} {verdict.verdict}: {manifest['scenario']}, seed {manifest['seed']}",
        "",
        f"{facts.headline} {_plain(manifest['title'])}.",
        "",
        *([_plain(facts.description), ""] if facts.description else []),
        "| criterion | verdict | measured | demanded |",
        "|---|---|---|---|",
    ]
    for c in verdict.criteria:
        outcome = f"{MARKS[c.verdict]} {WORDS[c.verdict]}{' (not counted)' if c.excused else ''}"
        lines.append(
            "| " + " | ".join(_cell(words) for words in (c.title, outcome, c.measured, c.threshold)) + " |"
        )
    lines.append("")
    for c in verdict.criteria:
        lines.append(f"- **{_plain(c.title)}**: {_plain(c.in_full)}")
        lines += [f"  - {_plain(line)}" for line in text.wrong(c)]
    if verdict.harness:
        lines += ["", "## Faults of the lab", ""]
        lines += [f"- {_plain(f'{fault.what} ({fault.where}). {fault.remedy}')}" for fault in verdict.harness]
    lines += ["", "## What was done", "", *_done(facts), "", f"Repeat it: `{facts.command}`", ""]
    return "\n".join(lines)


def _done(facts: RunFacts) -> list[str]:
    if not facts.faults:
        return ["Nothing: no fault was injected."]
    lines = ["| at | for | fault | seen to take effect |", "|---|---|---|---|"]
    for fault in facts.faults:
        begin, end = facts.second(fault["start_ns"]), facts.second(fault["end_ns"])
        seen = "yes" if fault["verified"] else "**no**"
        lines.append(
            f"| {begin:.0f} s | {end - begin:.0f} s | {fault['id']} ({fault['kind']} on {fault['target']}) | {seen} |"
        )
    return lines


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


def _plain(text: str) -> str:
    """Text on one line, in which nothing is a tag."""
    return re.sub(r"<(?=[A-Za-z/!?])", r"\\<", " ".join(text.split()))
