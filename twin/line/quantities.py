"""Numbers of a plant file: each type knows what is possible, and says the remedy when it is not."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def within(low: float, high: float, remedy: str) -> AfterValidator:
    """A check that a number lies between `low` and `high`."""

    def check(number: float) -> float:
        if not low <= number <= high:  # also false for NaN
            raise ValueError(f"is outside {low:g} to {high:g} - {remedy}")
        return number

    return AfterValidator(check)


Seconds = Annotated[float, within(0.001, 1e8, "a time in seconds, a millisecond at least")]
SecondsOrNone = Annotated[float, within(0, 1e8, "a time in seconds, 0 for none")]
Fraction = Annotated[float, within(0, 1, "a fraction: 0 is nothing, 1 is all")]
Amount = Annotated[float, within(0, 1e12, "a rate or an amount cannot be negative")]
Size = Annotated[float, within(1e-9, 1e12, "a size or a rate must be greater than zero")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
Unit = Annotated[str, Field(pattern=r"^[A-Z0-9]{0,3}$", description="UNECE code, or empty")]


class Spec(BaseModel):
    """Part of a plant file: strict, frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Duration(Spec):
    """How long something takes: a mean, and how it scatters around it (`cv` is deviation by mean, lognormal only)."""

    distribution: Literal["constant", "exponential", "lognormal"] = "constant"
    mean_s: Seconds
    cv: Annotated[float, within(0.01, 5, "standard deviation divided by mean")] | None = None

    @model_validator(mode="after")
    def _cv_fits(self) -> Duration:
        if (self.cv is None) == (self.distribution == "lognormal"):
            raise ValueError(f"cv does not fit {self.distribution} - give cv with lognormal and only there")
        return self
