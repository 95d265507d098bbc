"""The two streams of the command line, and how a verdict looks on them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import chain

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

COLOURS = {
    "PASS": "green",
    "FAIL": "red",
    "INCONCLUSIVE": "yellow",
    "HARNESS_FAULT": "magenta",
    "NOT_APPLICABLE": "dim",
}
PROGRAM_WIDTH = 1000  # of a line that is not for a screen


_ORDERS = (range(9), range(11, 32), range(127, 160))  # all control characters but tab and the end of a line
_HALVES = range(0xD800, 0xE000)  # of surrogate pairs, which no stream can encode
CONTROLS = dict.fromkeys(chain(*_ORDERS, _HALVES), "\N{REPLACEMENT CHARACTER}")
"""What names and texts of others must not bring to a terminal."""


class _Output(Console):
    """A console whose reader may leave early: `| head` never changes an exit code. Texts in it give no orders."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(segment.text.translate(CONTROLS), segment.style)

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
