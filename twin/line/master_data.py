"""What planning and engineering know of a line: shifts, items, recipes, and which physical asset stands where."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import Field, model_validator

from shakedown.twin.line.quantities import Amount, Fraction, Name, Seconds, SecondsOrNone, Size, Spec, Unit

SHARE_TOLERANCE = 1e-6  # how far the shares of a recipe's steps may be from 1 together


class Break(Spec):
    """A pause of everybody on the line; in seconds since the line's start."""

    name: str = Field(default="break", min_length=1, max_length=64)
    begins_s: SecondsOrNone
    lasts_s: Seconds

    @property
    def ends_s(self) -> float:
        """When work goes on."""
        return self.begins_s + self.lasts_s


class Shift(Spec):
    """A time in which the line is meant to work, in seconds since the line's start; its breaks lie within it."""

    name: str = Field(min_length=1, max_length=64)
    begins_s: SecondsOrNone
    lasts_s: Seconds
    breaks: list[Break] = Field(default_factory=list)

    @property
    def ends_s(self) -> float:
        """When the shift is over."""
        return self.begins_s + self.lasts_s

    @model_validator(mode="after")
    def _breaks_fit(self) -> Shift:
        after_s = self.begins_s
        for pause in self.breaks:
            if pause.begins_s < after_s or pause.ends_s > self.ends_s:
                raise ValueError(
                    f"break from {pause.begins_s:g} to {pause.ends_s:g} s is not within the shift, after the break "
                    f"before it ({after_s:g} to {self.ends_s:g} s) - breaks count from the line's start, in order"
                )
            after_s = pause.ends_s
        return self


class Item(Spec):
    """A material: its unit of quantity, and how much comes in one lot."""

    description: str = Field(default="", max_length=200)
    unit: Unit = "H87"
    lot_quantity: Size


class Parameter(Spec):
    """A set-point of a recipe and the limits between which the machine's controller accepts it."""

    value: float
    low: float
    high: float
    unit: Unit = ""

    @model_validator(mode="after")
    def _inside(self) -> Parameter:
        if not self.low <= self.value <= self.high:
            raise ValueError(
                f"value {self.value:g} is not between low {self.low:g} and high {self.high:g} - the controller would "
                "refuse the recipe; change value or limits"
            )
        return self


class Step(Spec):
    """One step of a machine's cycle and its share of the cycle's time."""

    name: Name
    share: Fraction


class Recipe(Spec):
    """How one machine makes one product; downloaded at changeover."""

    steps: list[Step] = Field(default_factory=list)
    parameters: dict[Name, Parameter] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _shares_add_up(self) -> Recipe:
        total = sum(step.share for step in self.steps)
        if self.steps and abs(total - 1) > SHARE_TOLERANCE:
            raise ValueError(f"steps have shares of {total:g} together - their shares must add up to 1")
        return self


class Assignment(Spec):
    """A physical asset (its serial number) that stands in a place from `from_s` on, until the next one does."""

    physical_asset: str = Field(min_length=1, max_length=64)
    from_s: SecondsOrNone = 0.0


class Asset(Spec):
    """The role of a machine in the plant (`equipment`) and the physical assets that fill it, one after the other."""

    equipment: str = Field(pattern=r"^[A-Za-z0-9_\-]+$", max_length=64)
    assignments: list[Assignment] = Field(min_length=1)

    @model_validator(mode="after")
    def _in_order(self) -> Asset:
        starts = [assignment.from_s for assignment in self.assignments]
        if starts[0] != 0 or any(late <= early for early, late in pairwise(starts)):
            raise ValueError(
                f"assignments begin at {starts} s - the first begins at 0, each later than the one before"
            )
        return self


class Energy(Spec):
    """What a machine draws from the mains: by state, and for each part that it finishes."""

    run_kw: Amount
    idle_kw: Amount = 0.0
    per_part_kj: Amount = 0.0


Bill = dict[Name, dict[Name, Annotated[float, Field(gt=0, le=1e9)]]]
"""What one part consumes at a machine: `{machine: {item: quantity}}`, the quantity in the item's unit."""
