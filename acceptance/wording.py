"""Numbers in words, as statements and reports say them; what is not there is said in a word."""

from __future__ import annotations

import math
from typing import Any

NONE = "none"
MINUS = "\N{MINUS SIGN}"


def percent(value: Any, digits: int = 1) -> str:
    """A share as a percentage."""
    return NONE if value is None else f"{100 * value:.{digits}f} %"


def number(value: Any, digits: int = 0) -> str:
    """A number with thousands set off; digits only where they say something."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NONE if value is None else str(value)
    return f"{value:,.0f}" if value == int(value) else f"{value:,.{digits}f}"


def seconds(value: Any, digits: int = 1) -> str:
    """Seconds."""
    return NONE if value is None else f"{value:,.{digits}f} s"


def signed(value: Any, unit: str = "", digits: int = 1) -> str:
    """A difference with its sign; nothing is 0, without a unit."""
    if value is None:
        return NONE
    rounded = round(float(value), digits)
    if rounded == 0:
        return "0"
    return f"{'+' if rounded > 0 else MINUS}{abs(rounded):,.{digits}f}{unit}"


def counted(count: int, one: str, many: str = "") -> str:
    """A count with its noun."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def clock(at_s: float) -> str:
    """Seconds as minutes and seconds, or hours where there are any."""
    whole = round(at_s)
    if whole >= 3600:
        return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{whole // 60}:{whole % 60:02}"


def lasting(seconds: float) -> str:
    """How long somebody has to wait, rounded up: in seconds, or minutes where it takes a few."""
    return f"{math.ceil(seconds):,} s" if seconds < 100 else f"{math.ceil(seconds / 60):,} minutes"


def capital(text: str) -> str:
    """The same, as a sentence begins."""
    return text[:1].upper() + text[1:]


def in_times(count: int) -> str:
    """A count of occasions in words."""
    return {0: "never", 1: "once"}.get(count, f"{count:,} times")


def grouped(texts: list[str]) -> list[str]:
    """The same said several times is said once, with how often."""
    return [
        text if texts.count(text) == 1 else f"{text} ({texts.count(text)} times)"
        for text in dict.fromkeys(texts)
    ]


def plainly(value: Any) -> str:
    """Nested facts in a line of plain words."""
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {plainly(entry)}" for key, entry in value.items())
    if isinstance(value, list):
        return "; ".join(map(plainly, value)) or NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else number(value)
