"""UNECE Recommendation 20 unit codes, and the factor and offset from one to another.

Used while a configuration is compiled: at run time a value costs one multiplication and one addition.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ucumvert import PintUcumRegistry

UCUM = {
    # temperature, ratio, time
    "CEL": "Cel",
    "FAH": "[degF]",
    "KEL": "K",
    "P1": "%",
    "C62": "1",
    "H87": "1",
    "NMB": "1",
    "SEC": "s",
    "C26": "ms",
    "B98": "us",
    "MIN": "min",
    "HUR": "h",
    "DAY": "d",
    # length, area, volume
    "MTR": "m",
    "MMT": "mm",
    "CMT": "cm",
    "4H": "um",
    "KMT": "km",
    "INH": "[in_i]",
    "FOT": "[ft_i]",
    "MTK": "m2",
    "MTQ": "m3",
    "LTR": "L",
    "MLT": "mL",
    "HLT": "hL",
    "GLL": "[gal_us]",
    # speed, acceleration, frequency, flow
    "MTS": "m/s",
    "C16": "mm/s",
    "2X": "m/min",
    "KMH": "km/h",
    "FR": "[ft_i]/min",
    "MSK": "m/s2",
    "HTZ": "Hz",
    "KHZ": "kHz",
    "RPM": "{rev}/min",
    "RPS": "{rev}/s",
    "C97": "1/s",
    "C94": "1/min",
    "L2": "L/min",
    "G51": "L/s",
    "E32": "L/h",
    "MQH": "m3/h",
    "MQS": "m3/s",
    # mass, force, torque, pressure
    "KGM": "kg",
    "GRM": "g",
    "MGM": "mg",
    "TNE": "t",
    "LBR": "[lb_av]",
    "NEW": "N",
    "B47": "kN",
    "NU": "N.m",
    "PAL": "Pa",
    "KPA": "kPa",
    "MPA": "MPa",
    "BAR": "bar",
    "MBR": "mbar",
    "PS": "[psi]",
    "KGS": "kg/s",
    "E93": "kg/h",
    # electricity, energy, power
    "AMP": "A",
    "4K": "mA",
    "VLT": "V",
    "2Z": "mV",
    "KVT": "kV",
    "OHM": "Ohm",
    "WTT": "W",
    "KWT": "kW",
    "MAW": "MW",
    "BHP": "[HP]",
    "JOU": "J",
    "KJO": "kJ",
    "WHR": "W.h",
    "KWH": "kW.h",
    "D46": "V.A",
    "KVA": "kV.A",
    "DD": "deg",
    "C81": "rad",
    "LUX": "lx",
    "2N": "dB",
}
"""UNECE code to UCUM expression, for the units met on production lines."""


class UnitError(ValueError):
    """A unit is unknown, or two units do not measure the same thing."""


@lru_cache(maxsize=1)
def _registry() -> PintUcumRegistry:
    from ucumvert import PintUcumRegistry  # costs 0.7 s: only a configuration that converts pays for it

    return PintUcumRegistry()


@lru_cache(maxsize=1024)
def conversion(vendor: str, canonical: str) -> tuple[float, float]:
    """Factor and offset: `canonical = vendor * factor + offset`, UNECE codes both; raises UnitError."""
    for code in (vendor, canonical):
        if code not in UCUM:
            raise UnitError(f"unit {code!r} is not a UNECE code known here")
    if UCUM[vendor] == UCUM[canonical]:
        return 1.0, 0.0
    import pint

    units = _registry()
    source, target = (units.from_ucum(UCUM[code]) for code in (vendor, canonical))
    try:
        at_zero, at_thousand = (
            units.Quantity(number * source.magnitude, source.units).to(target.units).magnitude
            for number in (0, 1000)
        )
    except pint.DimensionalityError:
        raise UnitError(
            f"{vendor} ({UCUM[vendor]}) does not convert to {canonical} ({UCUM[canonical]})"
        ) from None
    scale = float(target.magnitude)
    return _tidy((at_thousand - at_zero) / 1000 / scale), _tidy(at_zero / scale)


def _tidy(number: float) -> float:
    """The simple fraction (5/9, -160/9) that a chain of roundings has missed by a hair."""
    simple = float(Fraction(number).limit_denominator(100_000))
    return simple if abs(simple - number) <= 1e-12 * max(1.0, abs(number)) and simple else number
