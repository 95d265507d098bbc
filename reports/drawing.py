"""Bars, timelines and line charts as static SVG: no script, no font, no network; they follow the page's colours.

What is drawn is bounded by its blocks (acceptance/blocks.py), not by the length of a run. Bars and timelines stretch to
the width of the page, and their words stand beside them in HTML.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from markupsafe import Markup

from shakedown.acceptance.blocks import Bar, Lane, Series, Span
from shakedown.acceptance.wording import clock

WIDTH, HEIGHT = 960, 220
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 14, 34
EDGE = 24  # a label of time centred nearer to the right edge would be cut off there
LABEL_ROWS_MAX = 4
LABEL_WIDTH_PER_LETTER = 6.0
FIRST_H, TRACK_H, GAP_H = 14, 5, 2
MARK_W_MIN = 1.5


def bar(drawn: Bar) -> Markup:
    """One bar of parts, one after the other, with its mark across."""
    parts, x = [], 0.0
    for tone, share in drawn.parts:
        parts.append(f'<rect class="{tone}" x="{x:.2f}" y="1" width="{100 * share:.2f}" height="8"/>')
        x += 100 * share
    if drawn.mark is not None:
        parts.append(
            f'<rect class="limit" x="{min(100 * drawn.mark, 99.4):.2f}" y="0" width="0.6" height="10"/>'
        )
    return Markup(_open("bar", 100, 10, "bar") + "".join(parts) + "</svg>")


def lane(drawn: Lane, to_s: float) -> Markup:
    """The tracks of one lane below each other, each span at least a mark wide, with its name as a title."""
    per_s = WIDTH / (to_s or 1.0)
    tops = [0, *(FIRST_H + GAP_H + row * (TRACK_H + GAP_H) for row in range(len(drawn.tracks) - 1))]
    parts = []
    for y, track in zip(tops, drawn.tracks, strict=True):
        height = TRACK_H if y else FIRST_H
        parts += [_span(span, y, height, per_s) for span in track]
    height = FIRST_H + (len(drawn.tracks) - 1) * (GAP_H + TRACK_H)
    return Markup(
        _open(drawn.name, WIDTH, height, f"strip tracks{len(drawn.tracks)}") + "".join(parts) + "</svg>"
    )


def _span(span: Span, y: int, height: int, per_s: float) -> str:
    x = min(max(span.from_s * per_s, 0.0), WIDTH - MARK_W_MIN)
    width = max(MARK_W_MIN, min(span.to_s * per_s, WIDTH) - x)
    rect = f'<rect class="{span.tone}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}"'
    if span.name == span.tone:
        return rect + "/>"
    words = f"{span.name}, {clock(span.from_s)} to {clock(span.to_s)}"
    return f"{rect}><title>{escape(words)}</title></rect>"


def _open(title: str, width: int, height: int, kind: str) -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(title)}">'
    )


def chart(series: Series) -> Markup:
    """A figure of the lines over their time, with bands behind them."""
    count = max(map(len, series.lines.values()), default=0)
    x_max = series.from_s + series.step_s * count
    y_ticks = ticks(max((y for line in series.lines.values() for y in line if y is not None), default=1.0))
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def at(x: float) -> float:
        return round(LEFT + width * min(max(x / x_max, 0), 1), 1)

    def up(y: float) -> float:
        return round(TOP + height * (1 - min(y / y_ticks[-1], 1)), 1)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(series.title)}" class="chart">'
    ]
    for band, row in zip(series.bands, _label_rows(series.bands, at), strict=True):
        x, w = at(band.from_s), max(at(band.to_s) - at(band.from_s), 1)
        parts.append(f'<g class="band"><title>{escape(band.name)}</title>')
        parts.append(f'<rect x="{x}" y="{TOP}" width="{w:.1f}" height="{height}"/>')
        parts.append(f'<text x="{x + 3}" y="{TOP + 10 + 11 * row}">{escape(band.name)}</text></g>')
    for y in y_ticks:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(y)}" y2="{up(y)}"/>')
        parts.append(_text("tick", LEFT - 6, up(y) + 3, f"{y:,.0f}" if y == int(y) else f"{y:,.10g}", "end"))
    parts += [
        _text("tick", at(x), HEIGHT - BOTTOM + 14, clock(x), "end" if at(x) > WIDTH - EDGE else "middle")
        for x in time_ticks(x_max)
        if x <= x_max
    ]
    for index, (name, line) in enumerate(series.lines.items()):
        xs = [at(series.from_s + series.step_s * number) for number in range(len(line))]
        parts.append(f'<path class="line line{index}" d="{_path(xs, line, up)}"/>')
        parts.append(_text(f"key key{index}", LEFT + 4 + 240 * index, HEIGHT - 4, name, "start"))
    parts.append(_text("tick", WIDTH - RIGHT, HEIGHT - 4, series.unit, "end"))
    return Markup("".join(parts) + "</svg>")


def _text(kind: str, x: float, y: float, words: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


def ticks(high: float, about: int = 5) -> list[float]:
    """Round values from 0 to `high`: steps of 1, 2 or 5 times a power of ten."""
    if not high > 0:
        return [0.0, 1.0]
    raw = high / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    return [step * index for index in range(math.ceil(high / step - 1e-9) + 1)]


def time_ticks(high_s: float, about: int = 10) -> list[float]:
    """Round moments from 0 to `high_s`: steps that a clock has."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
    step = next((step for step in steps if step * about >= high_s), steps[-1])
    return [float(step * index) for index in range(int(high_s // step) + 1)]


def axis(to_s: float) -> list[tuple[float, str]]:
    """(share of the whole, words) of round moments."""
    return [(at_s / to_s, clock(at_s)) for at_s in time_ticks(to_s, about=7) if at_s < 0.97 * to_s]


def _label_rows(bands: Sequence[Span], at: Callable[[float], float]) -> list[int]:
    """For each band the row of its name, so that names that stand close do not cover each other."""
    ends = [0.0] * LABEL_ROWS_MAX
    rows: list[int] = []
    for band in bands:
        x = at(band.from_s)
        row = next((row for row, end in enumerate(ends) if end <= x), LABEL_ROWS_MAX - 1)
        ends[row] = x + LABEL_WIDTH_PER_LETTER * len(band.name) + 6
        rows.append(row)
    return rows


def _path(xs: Sequence[float], line: Sequence[float | None], up: Callable[[float], float]) -> str:
    steps: list[str] = []
    pen = "M"
    for x, y in zip(xs, line, strict=True):
        if y is None:
            pen = "M"
        else:
            steps.append(f"{pen}{x} {up(y)}")
            pen = "L"
    return "".join(steps)
