"""What a criterion, or a run, shows beside its verdict: four kinds of blocks that every rendering knows.

Terminal, HTML, Markdown, JUnit and the live page render blocks; none of them knows a criterion. So what a block says is
ready to be read: numbers are words already (wording.py), and the figures themselves stand beside it in `verdict.json`.
Times are seconds since the line began.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Tone = Literal[
    "", "good", "bad", "unsure", "quiet",
    "ours", "other",  # what is judged, and what it is held against
    "run", "idle", "changeover", "fault",  # states of a machine
    "trouble", "upset", "moment", "pause",
]  # fmt: skip
"""What a renderer may colour by; nothing is said by a tone alone, but for `bad`: it is what a short rendering keeps."""

ROWS_MAX = 20  # of a table, as criteria cut them
SPANS_MAX = 1_000  # of one track of a timeline


class Sentence(msgspec.Struct, frozen=True, tag="sentence"):
    """A paragraph, and the points below it if it has any."""

    text: str
    items: list[str] = []
    tone: Tone = ""


class Bar(msgspec.Struct, frozen=True):
    """Parts of a bar, one after the other, as shares of its width, and a mark across it."""

    parts: list[tuple[Tone, float]]
    mark: float | None = None


class Cell(msgspec.Struct, frozen=True):
    """A cell with more than plain text: words in small print behind it, a tone, bars below each other."""

    text: str = ""
    small: str = ""
    tone: Tone = ""
    bars: list[Bar] = []


class Key(msgspec.Struct, frozen=True):
    """What a colour stands for."""

    tone: Tone
    text: str


class Column(msgspec.Struct, frozen=True):
    """The head of a column, and what it holds."""

    title: str = ""
    kind: Literal["text", "number", "bars"] = "text"


class Row(msgspec.Struct, frozen=True):
    """One row, its first cell its name; `tone` "bad" marks what is wrong."""

    cells: list[str | Cell]
    tone: Tone = ""


class Table(msgspec.Struct, frozen=True, kw_only=True, tag="table"):
    """Rows under their columns; `folded` where only who looks closer wants it."""

    columns: list[Column]
    rows: list[Row]
    title: str | Cell = ""
    keys: list[Key] = []
    note: str = ""
    folded: bool = False


class Span(msgspec.Struct, frozen=True):
    """A stretch of time with its name."""

    name: str
    from_s: float
    to_s: float
    tone: Tone = ""


class Series(msgspec.Struct, frozen=True, kw_only=True, tag="series"):
    """Lines over time: value i of each covers `step_s` from `from_s + i * step_s` on, None where there is none."""

    title: str
    unit: str
    from_s: float
    step_s: float
    lines: dict[str, list[float | None]]
    bands: list[Span] = []


class Lane(msgspec.Struct, frozen=True):
    """One line of a timeline: tracks below each other, the first of them the tallest; `named` shows names in it."""

    name: str
    tracks: list[list[Span]]
    named: bool = False


class Timeline(msgspec.Struct, frozen=True, kw_only=True, tag="timeline"):
    """What happened when, lane by lane, from 0 to `to_s`."""

    title: str
    to_s: float
    lanes: list[Lane]
    keys: list[Key] = []
    note: str = ""


Block = Sentence | Table | Series | Timeline


def text(*titles: str) -> list[Column]:
    """Columns of text."""
    return [Column(title) for title in titles]


def numbers(*titles: str) -> list[Column]:
    """Columns of numbers."""
    return [Column(title, "number") for title in titles]


BARS = Column("", "bars")


def bar(value: float, most: float, tone: Tone, mark: float | None = None) -> Bar:
    """A bar of `value` on a scale that ends at `most`, marked at the value `mark`."""
    share = min(max(value / most, 0.0), 1.0) if most > 0 else 0.0
    return Bar([(tone, share)], None if mark is None or most <= 0 else min(mark / most, 1.0))


def stacked(parts: list[tuple[Tone, float]]) -> Bar:
    """A bar that its parts fill together."""
    whole = sum(max(0.0, value) for _, value in parts) or 1.0
    return Bar([(tone, max(0.0, value) / whole) for tone, value in parts if value > 0])
