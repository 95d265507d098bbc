"""UNECE Recommendation 20 unit codes, and the factor and offset from one to another.

Used while a configuration is compiled: at run time a value costs one multiplication and one addition. The factors are
the definitions' own (BIPM, *The International System of Units*, and NIST SP 811, appendix B.8), as fractions, so that
a conversion is rounded once. pint, which the tests compare them with, takes half a second to load.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

_BY_SI_UNIT: dict[str, dict[str, tuple[str, ...]]] = {
    "K": {"KEL": ("K", "1"), "CEL": ("Cel", "1", "273.15"), "FAH": ("[degF]", "5/9", "45967/180")},
    "1": {
        "C62": ("1", "1"),
        "H87": ("1", "1"),
        "NMB": ("1", "1"),
        "P1": ("%", "0.01"),
        "C81": ("rad", "1"),
        "DD": ("deg", "0.017453292519943295"),
    },
    "dB": {"2N": ("dB", "1")},  # of what, no code says
    "s": {
        "SEC": ("s", "1"),
        "C26": ("ms", "1e-3"),
        "B98": ("us", "1e-6"),
        "MIN": ("min", "60"),
        "HUR": ("h", "3600"),
        "DAY": ("d", "86400"),
    },
    "m": {
        "MTR": ("m", "1"),
        "MMT": ("mm", "1e-3"),
        "CMT": ("cm", "1e-2"),
        "4H": ("um", "1e-6"),
        "KMT": ("km", "1000"),
        "INH": ("[in_i]", "0.0254"),
        "FOT": ("[ft_i]", "0.3048"),
    },
    "m2": {"MTK": ("m2", "1")},
    "m3": {
        "MTQ": ("m3", "1"),
        "LTR": ("L", "1e-3"),
        "MLT": ("mL", "1e-6"),
        "HLT": ("hL", "0.1"),
        "GLL": ("[gal_us]", "0.003785411784"),
    },
    "m/s": {
        "MTS": ("m/s", "1"),
        "C16": ("mm/s", "1e-3"),
        "2X": ("m/min", "1/60"),
        "KMH": ("km/h", "5/18"),
        "FR": ("[ft_i]/min", "0.00508"),
    },
    "m/s2": {"MSK": ("m/s2", "1")},
    "1/s": {
        "HTZ": ("Hz", "1"),
        "KHZ": ("kHz", "1000"),
        "RPM": ("{rev}/min", "1/60"),
        "RPS": ("{rev}/s", "1"),
        "C97": ("1/s", "1"),
        "C94": ("1/min", "1/60"),
    },
    "m3/s": {
        "MQS": ("m3/s", "1"),
        "MQH": ("m3/h", "1/3600"),
        "L2": ("L/min", "1/60000"),
        "G51": ("L/s", "1e-3"),
        "E32": ("L/h", "1/3600000"),
    },
    "kg": {
        "KGM": ("kg", "1"),
        "GRM": ("g", "1e-3"),
        "MGM": ("mg", "1e-6"),
        "TNE": ("t", "1000"),
        "LBR": ("[lb_av]", "0.45359237"),
    },
    "N": {"NEW": ("N", "1"), "B47": ("kN", "1000")},
    "Pa": {
        "PAL": ("Pa", "1"),
        "KPA": ("kPa", "1000"),
        "MPA": ("MPa", "1e6"),
        "BAR": ("bar", "1e5"),
        "MBR": ("mbar", "100"),
        "PS": ("[psi]", "44482216152605/6451600000"),
    },
    "kg/s": {"KGS": ("kg/s", "1"), "E93": ("kg/h", "1/3600")},
    "A": {"AMP": ("A", "1"), "4K": ("mA", "1e-3")},
    "V": {"VLT": ("V", "1"), "2Z": ("mV", "1e-3"), "KVT": ("kV", "1000")},
    "Ohm": {"OHM": ("Ohm", "1")},
    "W": {
        "WTT": ("W", "1"),
        "KWT": ("kW", "1000"),
        "MAW": ("MW", "1e6"),
        "BHP": ("[HP]", "745.69987158227022"),
        "D46": ("V.A", "1"),
        "KVA": ("kV.A", "1000"),
    },
    "J": {
        "JOU": ("J", "1"),
        "KJO": ("kJ", "1000"),
        "WHR": ("W.h", "3600"),
        "KWH": ("kW.h", "3600000"),
        "NU": ("N.m", "1"),
    },
    "lx": {"LUX": ("lx", "1")},
}
"""SI unit to UNECE codes; of each its UCUM expression, the factor to the SI unit and the offset, where there is one."""

UCUM = {code: unit[0] for units in _BY_SI_UNIT.values() for code, unit in units.items()}
"""UNECE code to UCUM expression, for the units met on production lines."""


class UnitError(ValueError):
    """A unit is unknown, or two units do not measure the same thing."""


@lru_cache(maxsize=1024)
def conversion(vendor: str, canonical: str) -> tuple[float, float]:
    """Factor and offset: `canonical = vendor * factor + offset`, UNECE codes both; raises UnitError."""
    for code in (vendor, canonical):
        if code not in UCUM:
            raise UnitError(f"unit {code!r} is not a UNECE code known here")
    units = next(units for units in _BY_SI_UNIT.values() if vendor in units)
    if canonical not in units:
        raise UnitError(f"{vendor} ({UCUM[vendor]}) does not convert to {canonical} ({UCUM[canonical]})")
    (factor, offset), (scale, zero) = (
        (Fraction(unit[1]), Fraction(unit[2] if len(unit) > 2 else 0))
        for unit in (units[vendor], units[canonical])
    )
    return float(factor / scale), float((offset - zero) / scale)
