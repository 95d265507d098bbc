"""A Markdown summary for pull requests and chat."""

from __future__ import annotations

from shakedown.reports.facts import RunFacts

MARKS = {"PASS": "✅", "FAIL": "❌", "INCONCLUSIVE": "❔", "HARNESS_FAULT": "⚠️"}


def render_markdown(facts: RunFacts) -> str:
    """The run on less than a page."""
    verdict, manifest = facts.verdict, facts.manifest
    lines = [
        f"# {MARKS[verdict.verdict]} {verdict.verdict}: {manifest['scenario']}, seed {manifest['seed']}",
        "",
        f"{facts.headline} {manifest['title']}.",
        "",
        "| criterion | threshold | measured | verdict |",
        "|---|---|---|---|",
    ]
    for c in verdict.criteria:
        cells = (
            c.title,
            c.threshold,
            c.measured,
            f"{MARKS[c.verdict]} {c.verdict}{' (not counted)' if c.excused else ''}",
        )
        lines.append("| " + " | ".join(_cell(text) for text in cells) + " |")
    lines += ["", *(f"- **{c.title}**: {c.statement}" for c in verdict.criteria)]
    if verdict.harness:
        lines += ["", "## Faults of the lab", ""]
        lines += [f"- {fault.what} ({fault.where}). {fault.remedy}" for fault in verdict.harness]
    lines += ["", "## What was done", "", "| at | for | fault | seen to take effect |", "|---|---|---|---|"]
    for fault in facts.faults:
        begin, end = facts.second(fault["start_ns"]), facts.second(fault["end_ns"])
        seen = "yes" if fault["verified"] else "**no**"
        lines.append(
            f"| {begin:.0f} s | {end - begin:.0f} s | {fault['id']} ({fault['kind']} on {fault['target']}) | {seen} |"
        )
    lines += ["", f"Repeat it: `{facts.command}`", ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
