"""The classes of the kinds of part, imported when they are asked for."""

from __future__ import annotations

from shakedown.scenarios import plug_ins
from shakedown.scenarios.parts.part import Part
from shakedown.scenarios.parts.table import GROUP, kinds


def kind_of(name: str) -> type[Part]:
    """The class of a kind. Raises UsageError for one of an installed package that cannot be had."""
    found: type[Part] = plug_ins.load(kinds()[name], Part, GROUP, name)
    return found
