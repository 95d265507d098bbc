"""Blocks as lines of plain text, for terminal, Markdown and JUnit: what is wrong, and as much of it as is read."""

from __future__ import annotations

from shakedown.acceptance.blocks import Cell, Row, Sentence, Table
from shakedown.acceptance.verdict import CriterionResult

LINES_MAX = 12


def wrong(result: CriterionResult) -> list[str]:
    """What a criterion that failed marks as bad, a line each: points of a sentence, rows with the heads of columns."""
    lines: list[str] = []
    for block in result.blocks if result.verdict == "FAIL" else ():
        if isinstance(block, Sentence) and block.tone == "bad":
            lines += [block.text, *(f"  {item}" for item in block.items)]
        elif isinstance(block, Table):
            rows = [_line(block, row) for row in block.rows if row.tone == "bad"]
            lines += (
                [f"{plain(block.title)}:", *(f"  {line}" for line in rows)] if rows and block.title else rows
            )
    more = len(lines) - LINES_MAX
    return [*lines[:LINES_MAX], f"and {more} more lines, in report.html"] if more > 0 else lines


def _line(table: Table, row: Row) -> str:
    name, *rest = map(plain, row.cells)
    named = (
        f"{column.title} {text}".strip() for column, text in zip(table.columns[1:], rest, strict=True) if text
    )
    return ": ".join(filter(None, [name, ", ".join(named)]))


def plain(cell: str | Cell) -> str:
    """The words of a cell."""
    return cell if isinstance(cell, str) else " ".join(filter(None, [cell.text, cell.small]))
