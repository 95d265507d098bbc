"""The page for people: work orders with their reason, their history and the last minutes of their signals."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, select_autoescape

_WIDTH, _HEIGHT = 240, 40
_POINTS_MAX = 480  # of one curve: more cannot be seen

_environment = Environment(
    loader=PackageLoader("shakedown.twin.enterprise.cmms"),
    autoescape=select_autoescape(default=True, default_for_string=True),
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(
    orders: list[dict[str, Any]],
    count: int,
    assignments: list[dict[str, Any]],
    webhooks: list[dict[str, Any]],
) -> str:
    """The page with these orders, the latest first, of `count` in all."""
    shown = [
        {
            **order,
            "reason": msgspec.json.decode(order["reason"]),
            "context": msgspec.json.decode(order["context"]),
        }
        for order in orders
    ]
    return _environment.get_template("page.html.j2").render(
        orders=shown, count=count, assignments=assignments, webhooks=webhooks
    )


def _moment(ms: int | None) -> str:
    """Date and time of day in UTC; nothing for a moment that is not known."""
    if ms is None:
        return ""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError):
        return f"{ms} ms"


def _points(samples: list[list[Any]]) -> str:
    """The points of a signal's curve in an SVG of 240 by 40; "" when there is nothing to draw."""
    drawn = [(ts_ms, float(value)) for ts_ms, value, _ in samples if isinstance(value, (int, float))]
    if len(drawn) < 2:
        return ""
    drawn = drawn[:: -(-len(drawn) // _POINTS_MAX)]
    first, last = drawn[0][0], max(ts_ms for ts_ms, _ in drawn)
    low, high = min(value for _, value in drawn), max(value for _, value in drawn)
    across, up = _WIDTH / max(last - first, 1), (_HEIGHT - 4) / ((high - low) or 1.0)
    return " ".join(
        f"{(ts_ms - first) * across:.1f},{_HEIGHT - 2 - (value - low) * up:.1f}" for ts_ms, value in drawn
    )


def _lasted(ms: int) -> str:
    seconds = max(0, ms) // 1000
    return (
        f"{seconds // 3600} h {seconds // 60 % 60:02} min"
        if seconds >= 3600
        else f"{seconds // 60} min {seconds % 60:02} s"
    )


_environment.filters |= {"moment": _moment, "points": _points, "lasted": _lasted}
