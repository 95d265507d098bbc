"""Line charts as static SVG: no script, no font, no network; they print, and follow the page's colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 960, 220
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 14, 34
LABEL_ROWS_MAX = 4
LABEL_WIDTH_PER_LETTER = 5.0


@dataclass(frozen=True)
class Line:
    """One line of a chart; `x` in seconds, strictly ascending, `y` of the same length, None for no value."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]


@dataclass(frozen=True)
class Band:
    """A stretch of time that is shaded and named."""

    name: str
    begin: float
    end: float


def ticks(high: float, about: int = 5) -> list[float]:
    """Round values from 0 to `high`: steps of 1, 2 or 5 times a power of ten."""
    if not high > 0:
        return [0.0, 1.0]
    raw = high / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    return [step * index for index in range(math.ceil(high / step - 1e-9) + 1)]


def chart(lines: Sequence[Line], bands: Sequence[Band], *, y_label: str, title: str, x_max: float) -> str:
    """An SVG figure of `lines` over `x_max` seconds with `bands` behind them."""
    top = max((y for line in lines for y in line.y if y is not None), default=1.0)
    y_ticks = ticks(top)
    y_max = y_ticks[-1]
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def at(x: float) -> float:
        return round(LEFT + width * min(max(x / x_max, 0), 1), 1)

    def up(y: float) -> float:
        return round(TOP + height * (1 - min(y / y_max, 1)), 1)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}" class="chart">']
    for band, row in zip(bands, _label_rows(bands, at), strict=True):
        x, w = at(band.begin), max(at(band.end) - at(band.begin), 1)
        parts.append(f'<g class="band"><title>{escape(band.name)}</title>')
        parts.append(f'<rect x="{x}" y="{TOP}" width="{w:.1f}" height="{height}"/>')
        parts.append(f'<text x="{x + 3}" y="{TOP + 10 + 11 * row}">{escape(band.name)}</text></g>')
    for y in y_ticks:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(y)}" y2="{up(y)}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 6}" y="{up(y) + 3}" text-anchor="end">{number(y)}</text>'
        )
    for x in time_ticks(x_max):
        if x <= x_max:
            parts.append(
                f'<text class="tick" x="{at(x)}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle">{clock(x)}</text>'
            )
    for index, line in enumerate(lines):
        parts.append(f'<path class="line line{index}" d="{_path(line, at, up)}"/>')
        parts.append(
            f'<text class="key key{index}" x="{LEFT + 4 + 240 * index}" y="{HEIGHT - 4}">{escape(line.name)}</text>'
        )
    parts.append(
        f'<text class="tick" x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{escape(y_label)}</text>'
    )
    parts.append("</svg>")
    return "".join(parts)


def time_ticks(high_s: float, about: int = 10) -> list[float]:
    """Round moments from 0 to `high_s`: steps that a clock has."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
    step = next((step for step in steps if step * about >= high_s), steps[-1])
    return [float(step * index) for index in range(int(high_s // step) + 1)]


def _label_rows(bands: Sequence[Band], at) -> list[int]:  # type: ignore[no-untyped-def]
    """For each band the row of its name, so that names that stand close do not cover each other."""
    ends = [0.0] * LABEL_ROWS_MAX
    rows: list[int] = []
    for band in bands:
        x = at(band.begin)
        row = next((row for row, end in enumerate(ends) if end <= x), LABEL_ROWS_MAX - 1)
        ends[row] = x + LABEL_WIDTH_PER_LETTER * len(band.name) + 6
        rows.append(row)
    return rows


def _path(line: Line, at, up) -> str:  # type: ignore[no-untyped-def]
    steps: list[str] = []
    pen = "M"
    for x, y in zip(line.x, line.y, strict=True):
        if y is None:
            pen = "M"
        else:
            steps.append(f"{pen}{at(x)} {up(y)}")
            pen = "L"
    return "".join(steps)


def number(value: float) -> str:
    """A number as an axis shows it."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.10g}"


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds, or hours where there are any."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{whole // 60}:{whole % 60:02}"
