"""The page for people: the drawing, what the line does just now, and its upsets to set off."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup

from shakedown.twin.web.endpoints import Endpoints
from shakedown.twin.web.overview import PlantOverview
from shakedown.twin.web.state import Truth, UpsetNow

_environment = Environment(
    loader=PackageLoader("shakedown.twin.web"),
    autoescape=select_autoescape(default=True, default_for_string=True),
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(
    plant: PlantOverview, endpoints: Endpoints | None, drawing: str, truth: Truth, upsets: Sequence[UpsetNow]
) -> str:
    """The page; `drawing` is an SVG of our own making."""
    return _environment.get_template("page.html.j2").render(
        plant=plant,
        endpoints=endpoints,
        drawing=Markup(drawing),
        truth=truth,
        upsets=upsets,
        now=datetime.fromtimestamp(truth.ts_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S"),
    )


def _lasted(seconds: float) -> str:
    minutes = int(seconds) // 60
    return (
        f"{minutes // 60} h {minutes % 60:02} min"
        if minutes >= 60
        else f"{minutes} min {int(seconds) % 60:02} s"
    )


_environment.filters |= {"lasted": _lasted}
