"""A Markdown summary for pull requests and chat."""

from __future__ import annotations

import re

from shakedown.acceptance.blocks import Table
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
    lines.append("")
    for table in (block for block in verdict.blocks if isinstance(block, Table)):
        lines += _table(table)
    lines += [f"Repeat it: `{facts.command}`", ""]
    if facts.head:
        lines += [f"Head of the evidence: `{facts.head}` (`shakedown verify RUN --head ...`)", ""]
    return "\n".join(lines)


def _table(table: Table) -> list[str]:
    """A table, what a cell has in small print left out."""
    heads = " | ".join(_cell(column.title) for column in table.columns)
    rows = [[cell if isinstance(cell, str) else cell.text for cell in row.cells] for row in table.rows]
    lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return [
        f"## {_plain(text.plain(table.title))}",
        "",
        f"| {heads} |",
        "|---" * len(table.columns) + "|",
        *lines,
        "",
    ]


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


def _plain(text: str) -> str:
    """Text on one line, in which nothing is a tag, a link or a picture, whatever backslashes stand before."""
    return re.sub(r"\\(?=[\\\[<|])|\[|<(?=[A-Za-z/!?])", r"\\\g<0>", " ".join(text.split()))
