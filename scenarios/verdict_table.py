"""What `shakedown accept` prints at its end: a line a criterion that starts with its verdict, for eyes and grep."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from shakedown.reports import text
from shakedown.reports.facts import accept_command
from shakedown.scenarios.run_folder import chain_head
from shakedown.scenarios.terminal import OUT, coloured, paragraph

if TYPE_CHECKING:
    from shakedown.acceptance.verdict import Conclusion
    from shakedown.reports.suite import Suite, SuiteRun
    from shakedown.scenarios.runner import Outcome, Request
    from shakedown.scenarios.suite_runner import SuiteOutcome


def print_verdict(outcome: Outcome) -> None:
    """One line a criterion that starts with its verdict, for eyes and for grep; below it what was demanded."""
    verdict = outcome.verdict
    OUT.print(
        f"{verdict.scenario}, seed {verdict.seed}{', strict' if verdict.strict else ''}\n", style="bold"
    )
    criteria = verdict.criteria
    _print_rows([[(c.verdict, escape(c.title), _measured(c), escape(c.threshold)) for c in criteria]])
    OUT.print()
    for criterion in verdict.criteria:
        if criterion.verdict != "PASS":
            paragraph(OUT, _explained(criterion))
            for line in text.wrong(criterion):
                OUT.print(f"  {escape(line)}", style="dim", soft_wrap=True)
    for fault in verdict.harness:
        paragraph(OUT, f"harness fault: {escape(fault.what)} ({escape(fault.where)}). {escape(fault.remedy)}")


def print_suite(suite: Suite) -> None:
    """Every criterion of every run in one table: a line each, with the verdict first and then the scenario."""
    name = f"suite {suite.suite}" if suite.suite else suite.name
    OUT.print(f"{name}, seed {suite.seed}{', strict' if suite.strict else ''}\n", style="bold")
    _print_rows([[(v, run.scenario, *said) for v, *said in _criteria(run)] for run in suite.runs])
    OUT.print()
    for run in suite.runs:
        for criterion in run.criteria:
            if criterion.verdict != "PASS":
                paragraph(OUT, f"{run.scenario}, {_explained(criterion)}")


def _print_rows(runs: Sequence[Sequence[tuple[str, ...]]]) -> None:
    """Verdict, name, what was measured and demanded: in columns for a person, for a program one line each."""
    if not OUT.is_terminal:
        for verdict, name, measured, demanded in chain.from_iterable(runs):
            line = "  ".join(filter(None, [verdict, name, measured, demanded and f"({demanded})"]))
            OUT.print(" ".join(line.splitlines()), soft_wrap=True)
        return
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for no_wrap in (True, True, False):
        table.add_column(no_wrap=no_wrap)
    for number, run in enumerate(runs):
        if number:
            table.add_row()
        for verdict, name, measured, demanded in run:
            table.add_row(coloured(verdict), name, measured)
            if demanded:
                table.add_row("", "", f"[dim]{demanded}[/]")
    OUT.print(table)


def _criteria(run: SuiteRun) -> Iterator[tuple[str, str, str]]:
    for criterion in run.criteria:
        said = f"{escape(criterion.title)}: {_measured(criterion)}"
        yield criterion.verdict, said, escape(criterion.threshold)
    for fault in run.harness:
        yield "HARNESS_FAULT", f"{escape(fault.what)} ({escape(fault.where)}). {escape(fault.remedy)}", ""


def _measured(criterion: Conclusion) -> str:
    return escape(criterion.measured) + (" (not counted)" if criterion.excused else "")


def _explained(criterion: Conclusion) -> str:
    return f"{criterion.title}: {escape(criterion.in_full)}"


def print_where(outcome: Outcome, request: Request) -> None:
    """The verdict once more, the report, and how to have the run again."""
    again = _replay(outcome.folder) if request.is_repeatable else _accept(request, [request.named])
    _print_end(outcome.verdict.verdict, outcome.folder / "report.html", again)


def print_suite_where(outcome: SuiteOutcome, request: Request, named: Sequence[str]) -> None:
    """The verdict of the suite, its index, and how to have it again; `named` is what selects the suite."""
    whole = all(run.folder for run in outcome.suite.runs)
    again = _replay(outcome.folder) if request.is_repeatable and whole else _accept(request, named)
    _print_end(outcome.suite.verdict, outcome.folder / "index.html", again)


def _print_end(verdict: str, report: Path, again: str) -> None:
    OUT.print(coloured(verdict, bold=True))
    OUT.print(f"report  {escape(str(report))}", soft_wrap=True)
    OUT.print(f"repeat  {escape(again)}", soft_wrap=True)
    OUT.print(f"head    {chain_head(report.parent)}", soft_wrap=True)


def _replay(folder: Path) -> str:
    return shlex.join(["shakedown", "replay", str(folder)])


def _accept(request: Request, named: Sequence[str]) -> str:
    return accept_command(
        named, clock=request.clock, seed=request.seed, broker=request.broker, strict=request.strict,
        bridge=request.bridge.asked, toxiproxy=request.toxiproxy, duration_s=request.duration_s,
    )  # fmt: skip
