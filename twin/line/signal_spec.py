"""One signal of a plant file: the vendor's tag, its type, and where its value comes from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from shakedown.twin.line.quantities import Amount, SecondsOrNone, Size, Spec, Unit

DataType = Literal[
    "Boolean", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float", "Double", "String"
]
Register = Literal[
    "state", "stop_reason", "product", "order", "heartbeat", "infeed", "good", "reject", "total",
    "reworked", "step", "starved", "blocked", "running", "parts", "refilling",
]  # fmt: skip

INTEGERS = {"Int16": 15, "UInt16": 16, "Int32": 31, "UInt32": 32, "Int64": 63, "UInt64": 64}
"""Integer types and how many bits of magnitude they hold."""
UNSIGNED = ("UInt16", "UInt32", "UInt64")

MACHINE_REGISTERS = {
    "state": tuple(INTEGERS),
    "stop_reason": tuple(INTEGERS),
    "product": ("String",),
    "order": ("String",),
    "heartbeat": UNSIGNED,
    "infeed": UNSIGNED,
    "good": UNSIGNED,
    "reject": UNSIGNED,
    "total": UNSIGNED,
    "reworked": UNSIGNED,
    "step": UNSIGNED,
    "starved": ("Boolean",),
    "blocked": ("Boolean",),
}
CONVEYOR_REGISTERS = {"heartbeat": UNSIGNED, "running": ("Boolean",), "parts": UNSIGNED}
RESERVOIR_REGISTERS = {"heartbeat": UNSIGNED, "refilling": ("Boolean",)}
"""What a controller shows without a sensor, and the types that can carry it."""

COUNTERS = ("infeed", "good", "reject", "total", "reworked")
"""Registers that only count up."""


class Response(Spec):
    """An analogue quantity that follows `base` plus the sum of gain times driver, with a first-order lag `tau_s`.

    `gains` are by driver; `a*b` is the product of two drivers. `noise` is the standard deviation of the sensor and
    `resolution` its smallest step, in the vendor's unit.
    """

    base: float = 0.0
    gains: dict[str, float] = Field(default_factory=dict)
    tau_s: SecondsOrNone = 0.0
    noise: Amount = 0.0
    resolution: Size


class Totaliser(Spec):
    """A meter: the integral over time of the sum of gain times driver (`gains` per second), shown in whole steps."""

    gains: dict[str, Amount] = Field(min_length=1)
    resolution: Size


class SignalSpec(Spec):
    """One vendor tag and where its value comes from: exactly one of `show`, `response` and `totaliser`."""

    tag: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$", max_length=120)
    type: DataType
    unit: Unit = Field(default="", description="UNECE code of the vendor's unit")
    range: list[float] | None = Field(
        default=None, min_length=2, max_length=2, description="EURange: low and high"
    )
    description: str = Field(default="", max_length=200)
    show: Register | None = None
    response: Response | None = None
    totaliser: Totaliser | None = None

    @model_validator(mode="after")
    def _one_source(self) -> SignalSpec:
        sources = [name for name in ("show", "response", "totaliser") if getattr(self, name) is not None]
        if len(sources) != 1:
            raise ValueError(
                f"signal source is {' and '.join(sources) or 'missing'} - give one of show, response, totaliser"
            )
        if problem := _type_problem(self):
            raise ValueError(problem)
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range {self.range} is upside down - give [low, high] with low below high")
        return self

    @property
    def gains(self) -> dict[str, float]:
        """The gains of a measured quantity, whichever its source; of a register none."""
        source = self.response or self.totaliser
        return source.gains if source is not None else {}


def _type_problem(spec: SignalSpec) -> str | None:
    """Why a signal's type cannot carry its source, or None."""
    if spec.show is not None:
        tables = (MACHINE_REGISTERS, CONVEYOR_REGISTERS, RESERVOIR_REGISTERS)
        allowed = next(table[spec.show] for table in tables if spec.show in table)
        if spec.type not in allowed:
            return f"type {spec.type} cannot show {spec.show} - use {' or '.join(allowed)}"
        return None
    if spec.type in ("Boolean", "String"):
        return f"type {spec.type} cannot show a measured quantity - use Double, Float or an integer type"
    if spec.range is None:
        return "range is missing - a sensor has one, give [low, high] in the vendor's unit"
    source = spec.response or spec.totaliser
    if spec.type in INTEGERS:
        least, most = integer_limits(spec.type)
        if not least <= spec.range[0] <= spec.range[1] <= most:
            return f"range {spec.range} does not fit type {spec.type} ({least} to {most}) - use a wider type"
    if spec.type in INTEGERS and source is not None and source.resolution % 1:
        return f"resolution {source.resolution:g} does not fit type {spec.type} - use a whole number, or type Double"
    return None


def integer_limits(data_type: str) -> tuple[int, int]:
    """The least and the greatest number of an integer type."""
    bits = INTEGERS[data_type]
    return (0 if data_type in UNSIGNED else -(1 << bits)), (1 << bits) - 1
