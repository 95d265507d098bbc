"""The judge's own table of UNECE Recommendation 20 unit codes, exact where the unit is (fractions, not floats).

It shares nothing with the bridge's unit library: a wrong factor there must not be repeated here.
"""

from __future__ import annotations

from fractions import Fraction
from math import pi

Scale = tuple[str, Fraction, Fraction]
"""(quantity, factor, offset): a value in this unit is `value * factor + offset` in the SI unit of the quantity."""


def _of(quantity: str, factor: str | float, offset: str = "0") -> Scale:
    return quantity, Fraction(factor), Fraction(offset)


UNITS: dict[str, Scale] = {
    "KEL": _of("temperature", "1"),
    "CEL": _of("temperature", "1", "273.15"),
    "FAH": _of("temperature", "5/9", "45967/180"),
    "C62": _of("ratio", "1"),
    "H87": _of("ratio", "1"),
    "NMB": _of("ratio", "1"),
    "P1": _of("ratio", "1/100"),
    "59": _of("ratio", "1e-6"),
    "SEC": _of("time", "1"),
    "C26": _of("time", "1/1000"),
    "MIN": _of("time", "60"),
    "HUR": _of("time", "3600"),
    "DAY": _of("time", "86400"),
    "B98": _of("time", "1e-6"),
    "MTR": _of("length", "1"),
    "MMT": _of("length", "1/1000"),
    "CMT": _of("length", "1/100"),
    "KMT": _of("length", "1000"),
    "4H": _of("length", "1e-6"),
    "MTK": _of("area", "1"),
    "MSK": _of("acceleration", "1"),
    "INH": _of("length", "0.0254"),
    "FOT": _of("length", "0.3048"),
    "MTS": _of("speed", "1"),
    "C16": _of("speed", "1/1000"),
    "2X": _of("speed", "1/60"),
    "KMH": _of("speed", "1000/3600"),
    "FS": _of("speed", "0.3048"),
    "FR": _of("speed", "0.00508"),
    "KGM": _of("mass", "1"),
    "GRM": _of("mass", "1/1000"),
    "TNE": _of("mass", "1000"),
    "LBR": _of("mass", "0.45359237"),
    "ONZ": _of("mass", "0.028349523125"),
    "MGM": _of("mass", "1e-6"),
    "KGS": _of("mass flow", "1"),
    "E93": _of("mass flow", "1/3600"),
    "PAL": _of("pressure", "1"),
    "KPA": _of("pressure", "1000"),
    "MPA": _of("pressure", "1000000"),
    "A97": _of("pressure", "100"),
    "BAR": _of("pressure", "100000"),
    "MBR": _of("pressure", "100"),
    "PS": _of("pressure", str(Fraction("0.45359237") * Fraction("9.80665") / Fraction("0.0254") ** 2)),
    "AMP": _of("current", "1"),
    "4K": _of("current", "1/1000"),
    "VLT": _of("voltage", "1"),
    "2Z": _of("voltage", "1/1000"),
    "KVT": _of("voltage", "1000"),
    "OHM": _of("resistance", "1"),
    "JOU": _of("energy", "1"),
    "KJO": _of("energy", "1000"),
    "WHR": _of("energy", "3600"),
    "KWH": _of("energy", "3600000"),
    "WTT": _of("power", "1"),
    "KWT": _of("power", "1000"),
    "MAW": _of("power", "1000000"),
    "D46": _of("apparent power", "1"),
    "KVA": _of("apparent power", "1000"),
    "BHP": _of("power", "745.69987158227022"),
    "HTZ": _of("frequency", "1"),
    "KHZ": _of("frequency", "1000"),
    "C97": _of("frequency", "1"),
    "C94": _of("frequency", "1/60"),
    "RPM": _of("frequency", "1/60"),
    "RPS": _of("frequency", "1"),
    "LTR": _of("volume", "1/1000"),
    "MLT": _of("volume", "1e-6"),
    "MTQ": _of("volume", "1"),
    "HLT": _of("volume", "1/10"),
    "GLL": _of("volume", "0.003785411784"),
    "L2": _of("flow", str(Fraction(1, 60_000))),
    "G51": _of("flow", "1/1000"),
    "E32": _of("flow", str(Fraction(1, 3_600_000))),
    "MQH": _of("flow", "1/3600"),
    "MQS": _of("flow", "1"),
    "G2": _of("flow", str(Fraction("0.003785411784") / 60)),
    "NU": _of("torque", "1"),
    "NEW": _of("force", "1"),
    "B47": _of("force", "1000"),
    "C81": _of("angle", "1"),
    "DD": _of("angle", pi / 180),
    "LUX": _of("illuminance", "1"),
    "2N": _of("level", "1"),
}


class UnknownUnit(ValueError):
    """A unit code, or a pair of them, that the judge cannot convert."""


def conversion(source: str, target: str) -> tuple[float, float]:
    """(factor, offset) of `target = source * factor + offset`. Raises `UnknownUnit`."""
    if source == target:
        return 1.0, 0.0
    for code in (source, target):
        if code not in UNITS:
            raise UnknownUnit(f"unit code {code!r} is not in the judge's table")
    quantity, factor, offset = UNITS[source]
    target_quantity, target_factor, target_offset = UNITS[target]
    if quantity != target_quantity:
        raise UnknownUnit(f"{source!r} is a {quantity}, {target!r} a {target_quantity}")
    return float(factor / target_factor), float((offset - target_offset) / target_factor)
