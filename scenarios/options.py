"""Kinds of values that options of the command line take."""

from __future__ import annotations

import math
import re
from typing import Any

import click

CLOCKS = "virtual, wall, or xN for N times real time, such as x60"


def is_clock(text: str) -> bool:
    """Whether `text` names a clock."""
    return text in ("virtual", "wall") or re.fullmatch(r"x0*[1-9][0-9]{0,8}", text) is not None


class FiniteRange(click.FloatRange):
    """A range of numbers without the two that no bound holds off: nan, and inf where there is no upper bound."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number
