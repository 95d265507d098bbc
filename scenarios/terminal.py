"""The two streams of the command line, and how a verdict looks on them."""

from __future__ import annotations

import os

from rich.console import Console
from rich.table import Table

COLOURS = {
    "PASS": "green",
    "FAIL": "red",
    "INCONCLUSIVE": "yellow",
    "HARNESS_FAULT": "magenta",
    "NOT_APPLICABLE": "dim",
}
PROGRAM_WIDTH = 1000  # of a line that is not for a screen


class _Output(Console):
    """A console whose reader may leave early: `| head` never changes an exit code."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


OUT = _Output(highlight=False)
ERR = _Output(stderr=True, highlight=False)


def coloured(verdict: str, *, bold: bool = False) -> str:
    return f"[{'bold ' if bold else ''}{COLOURS.get(verdict, 'white')}]{verdict}[/]"


def paragraph(console: Console, text: str) -> None:
    """Wrapped at words for a person, one line for a program."""
    console.print(text, soft_wrap=not console.is_terminal)


def rows(console: Console, table: Table) -> None:
    """Wrapped at words for a person, each row one line for a program."""
    before = console.width
    if not console.is_terminal:
        console.width = PROGRAM_WIDTH
    console.print(table)
    console.width = before
