"""Bars and strips as static SVG that stretch to the width of the page; their words stand beside them in HTML.

What is drawn is bounded by the width of a strip, not by the length of a run: a strip has `COLUMNS` columns, and each
shows the state that took most of it, or a fault if there was one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from markupsafe import Markup

from shakedown.reports.physical_events import Floor, Span
from shakedown.reports.svg import clock, time_ticks

COLUMNS = 960
STATE_H, LANE_H, GAP_H = 14, 5, 2
MARKS_MAX = 300  # named marks in one lane; more are drawn without a name
STATES = ("run", "changeover", "fault", "idle")


def strips(floor: Floor) -> list[tuple[str, Markup]]:
    """A (label, figure) for each machine, and one for what people and the CMMS did."""
    rows = []
    for machine in floor.machines:
        lanes = [
            [span for span in spans if span.machine == machine] for spans in (floor.faults, floor.upsets)
        ]
        rows.append((machine or "line", _machine(machine, floor.states.get(machine, []), lanes, floor.end_s)))
    for label, moments in (("answered", floor.acks_s), ("work orders", floor.orders_s)):
        if moments:
            rows.append((label, _moments(label, moments, floor.end_s)))
    return rows


def stretches(spans: Sequence[Span], end_s: float) -> list[tuple[str, float, float]]:
    """(name, begin, width) of spans as shares of the whole, to be placed by the page."""
    whole = end_s or 1.0
    found = []
    for span in spans[:MARKS_MAX]:
        begin, end = (min(max(at_s, 0.0), whole) / whole for at_s in (span.begin_s, span.end_s))
        found.append((span.name, begin, end - begin))
    return found


def axis(end_s: float) -> list[tuple[float, str]]:
    """(share of the whole, words) of round moments."""
    return [(at_s / end_s, clock(at_s)) for at_s in time_ticks(end_s, about=7) if at_s < 0.97 * end_s]


def raster(spans: Iterable[Span], end_s: float) -> list[str]:
    """The name shown in each column: a fault where there was one, else what took most of it; "" for nothing."""
    shown, most = [""] * COLUMNS, [0.0] * COLUMNS
    per_s = COLUMNS / (end_s or 1.0)
    for span in spans:
        begin, end = max(0.0, span.begin_s * per_s), min(COLUMNS, span.end_s * per_s)
        for column in range(int(begin), min(COLUMNS, math.ceil(end))):
            share = min(end, column + 1) - max(begin, column) + (2.0 if span.name == "fault" else 0.0)
            if share > most[column]:
                shown[column], most[column] = span.name, share
    return shown


def _machine(machine: str, states: Sequence[Span], lanes: Sequence[Sequence[Span]], end_s: float) -> Markup:
    height = STATE_H + 2 * (GAP_H + LANE_H)
    parts = [_open(f"states, faults and upsets of {machine or 'the line'}", height)]
    shown = raster(states, end_s)
    for state in STATES:
        path = _path(shown, state)
        if path:
            parts.append(f'<path class="{state}" d="{path}"/>')
    for index, (kind, spans) in enumerate(zip(("trouble", "upset"), lanes, strict=True)):
        y = STATE_H + GAP_H + index * (LANE_H + GAP_H)
        parts += [_mark(span, kind, y, end_s) for span in spans[:MARKS_MAX]]
        if len(spans) > MARKS_MAX:
            rest = [Span("x", span.begin_s, span.end_s) for span in spans[MARKS_MAX:]]
            path = _path(raster(rest, end_s), "x", y, LANE_H)
            parts.append(f'<path class="{kind}" d="{path}"/>')
    return Markup("".join(parts) + "</svg>")


def _path(shown: Sequence[str], state: str, y: int = 0, height: int = STATE_H) -> str:
    """Rectangles over the columns that show `state`, neighbours as one."""
    found, column = [], 0
    while column < len(shown):
        if shown[column] != state:
            column += 1
            continue
        begin = column
        while column < len(shown) and shown[column] == state:
            column += 1
        found.append(f"M{begin} {y}h{column - begin}v{height}h{begin - column}z")
    return "".join(found)


def _mark(span: Span, kind: str, y: int, end_s: float) -> str:
    per_s = COLUMNS / (end_s or 1.0)
    x = min(max(span.begin_s * per_s, 0.0), COLUMNS - 1.5)
    width = max(1.5, min(span.end_s * per_s, COLUMNS) - x)
    words = f"{span.id} {span.name}, {clock(span.begin_s)} to {clock(span.end_s)}"
    critical = " critical" if span.critical else ""
    return (
        f'<rect class="{kind}{critical}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{LANE_H}">'
        f"<title>{escape(words)}</title></rect>"
    )


def _moments(label: str, moments: Sequence[float], end_s: float) -> Markup:
    marked = [Span("x", at_s, at_s + 1.5 * end_s / COLUMNS) for at_s in moments]
    path = _path(raster(marked, end_s), "x", 2, 10)
    return Markup(_open(label, STATE_H) + f'<path class="moment" d="{path}"/></svg>')


def _open(title: str, height: int, width: int = COLUMNS, kind: str = "strip") -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(title)}">'
    )


def shares(parts: Sequence[tuple[str, float]], title: str) -> Markup:
    """One bar made of (class, value) parts that fill it together."""
    whole = sum(max(0.0, value) for _, value in parts) or 1.0
    drawn, x = [], 0.0
    for name, value in parts:
        width = 100 * max(0.0, value) / whole
        if width > 0:
            drawn.append(f'<rect class="{name}" x="{x:.2f}" y="0" width="{width:.2f}" height="10"/>')
        x += width
    return Markup(_open(title, 10, 100, "bar") + "".join(drawn) + "</svg>")


def bar(value: float, most: float, kind: str, title: str, marks: Sequence[tuple[str, float]] = ()) -> Markup:
    """A bar of `value` on a scale that ends at `most`, with (class, value) marks across it; beyond the end is cut."""

    def at(number: float) -> float:
        return 100 * min(max(number / most, 0.0), 1.0) if most > 0 else 0.0

    drawn = f'<rect class="{kind}" x="0" y="2" width="{at(value):.2f}" height="6"/>'
    for name, number in marks:
        drawn += f'<rect class="{name}" x="{min(at(number), 99.4):.2f}" y="0" width="0.6" height="10"/>'
    return Markup(_open(title, 10, 100, "bar") + drawn + "</svg>")
