"""Which assumption of the operator model carries what it says: cells that differ from the judged one in one thing."""

from __future__ import annotations

from collections.abc import Mapping

from shakedown.acceptance.alarms.operators import PRIMARY, Cell
from shakedown.acceptance.wording import counted


def carried_by(cuts: Mapping[Cell, float], wanted: float) -> str:
    """In sentences: in how many cells the mean falls by `wanted`, and without which assumption it would not.

    `cuts` are those of every cell that one person can keep up with, the judged one among them.
    """
    held = sum(cut >= wanted for cut in cuts.values())
    holds = f"A cut of {wanted:.0%} holds in {held} of {counted(len(cuts), 'cell')} of the model."
    if cuts[PRIMARY] < wanted:
        return holds
    weak = [
        f"{_assumed(cell)} {_changed(cut)}"
        for cell, cut in cuts.items()
        if cut < wanted and _differs(cell) == 1
    ]
    if not weak:
        return f"No one assumption of the model carries it. {holds}"
    return f"It rests on the assumption {', and '.join(weak)}. {holds}"


def _differs(cell: Cell) -> int:
    """In how many of its three assumptions a cell is not the judged one."""
    return sum((cell.median_s != PRIMARY.median_s, cell.base != PRIMARY.base, cell.ppv != PRIMARY.ppv))


def _assumed(cell: Cell) -> str:
    """What is assumed in the judged cell and not in this one."""
    if cell.ppv != PRIMARY.ppv:
        return "that the operator learns which alarms to trust: without it the same shift is"
    if cell.base != PRIMARY.base:
        return f"of {PRIMARY.base:g} needless calls in ten minutes: with {cell.base:g} the same shift is"
    return f"that an alarm takes {PRIMARY.median_s:g} s: with {cell.median_s:g} s the same shift is"


def _changed(cut: float) -> str:
    return f"{-cut:.0%} slower" if cut < 0 else f"{cut:.0%} faster and no more"
