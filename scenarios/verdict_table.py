"""What `shakedown accept` prints at its end: a line a criterion that starts with its verdict, for eyes and grep."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from shakedown.scenarios.terminal import OUT, coloured, paragraph

if TYPE_CHECKING:
    from shakedown.scenarios.runner import Outcome, Request


def print_verdict(outcome: Outcome) -> None:
    """One line a criterion that starts with its verdict, for eyes and for grep; below it what was demanded."""
    verdict = outcome.verdict
    OUT.print(
        f"{verdict.scenario}, seed {verdict.seed}{', strict' if verdict.strict else ''}\n", style="bold"
    )
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for no_wrap in (True, True, False):
        table.add_column(no_wrap=no_wrap)
    for criterion in verdict.criteria:
        table.add_row(coloured(criterion.verdict), escape(criterion.title), escape(criterion.measured))
        table.add_row("", "", f"[dim]{escape(criterion.threshold)}[/]")
    OUT.print(table)
    OUT.print()
    for criterion in verdict.criteria:
        if criterion.verdict != "PASS":
            needs = f" It needs {criterion.needs}." if criterion.needs else ""
            paragraph(OUT, f"{criterion.title}: {escape(criterion.statement + needs)}")
    for fault in verdict.harness:
        paragraph(OUT, f"harness fault: {escape(fault.what)} ({escape(fault.where)}). {escape(fault.remedy)}")
    if ended := outcome.facts.get("bridge_ended"):
        paragraph(OUT, f"The bridge ended by itself: {escape(ended)}")


def print_where(outcome: Outcome, request: Request, scenario: str, duration: float | None) -> None:
    OUT.print(coloured(outcome.verdict.verdict, bold=True))
    OUT.print(f"report  {escape(str(outcome.folder / 'report.html'))}", soft_wrap=True)
    if request.is_repeatable:
        again = ["shakedown", "replay", str(outcome.folder)]
    else:
        again = ["shakedown", "accept", scenario, "--clock", request.clock, "--seed", str(request.seed)]
        again += ["--broker", request.broker] if request.broker != "embedded" else []
        again += ["--toxiproxy", request.toxiproxy] if request.toxiproxy else []
        again += ["--strict"] if request.strict else []
        again += ["--duration", f"{duration:g}"] if duration is not None else []
    OUT.print(f"repeat  {escape(shlex.join(again))}", soft_wrap=True)
