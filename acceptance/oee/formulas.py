"""The factors of a report as formulas of its own times and counts, each of which is held on its own.

What the parts should have taken (PRI * PQ), and how many of the good ones went through twice, is the judge's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shakedown.acceptance.oee.figures import FACTOR_PP, NOTHING, ROUNDED, Breaches, Within, number
from shakedown.acceptance.oee.oracle import ratio
from shakedown.acceptance.spans import S


def formulas(
    report: Mapping[str, Any],
    standard_ns: tuple[int, int],
    reworked: tuple[int, int] | None,
    true: Mapping[str, float | None],
    *,
    is_line: bool = False,
) -> dict[str, Within]:
    """What each factor of a report may be; without `reworked` no first pass is held. `true` are those of the truth."""
    own = {name: number(report.get(name)) or 0.0 for name in OWN}
    apt_s, known_s, produced = own["apt_s"], own["pbt_s"] - own["unknown_s"], own["produced"]
    factors = [number(report.get(name)) for name in ("availability", "effectiveness", "quality")]
    least, most = (ratio(ns / S, apt_s) for ns in standard_ns)
    oee = 0.0 if is_line and known_s > 0 and not (apt_s and produced) else _product(*factors)
    within = {
        "availability": _near(ratio(apt_s, known_s), true.get("availability")),
        "effectiveness": _between(least, most, true.get("effectiveness")),
        "quality": _near(ratio(own["good"], produced), true.get("quality")),
        "oee": _near(oee, true.get("oee")),
        **nee(report),
    }
    if reworked is not None:
        fewest, all_good = (ratio(own["good"] - again, produced) for again in reversed(reworked))
        within["fpy"] = _between(fewest, all_good, true.get("fpy"))
    return within


OWN = ("pbt_s", "unknown_s", "apt_s", "aust_s", "good", "produced")


def nee(report: Mapping[str, Any]) -> dict[str, Within]:
    """(APT + AUST) / (PBT - unknown) * E * Q, of the report's own figures."""
    own = {name: number(report.get(name)) or 0.0 for name in OWN}
    set_up = ratio(own["apt_s"] + own["aust_s"], own["pbt_s"] - own["unknown_s"])
    value = _product(set_up, number(report.get("effectiveness")), number(report.get("quality")))
    return {"nee": _near(value, value)}


def held(report: Mapping[str, Any], within: Mapping[str, Within]) -> Breaches:
    """Every figure of a report that is not within what it may be."""
    return [
        (name, report.get(name), span.true)
        for name, span in within.items()
        if not span.holds(number(report.get(name)), 1e-6)
        or (report.get(name) is not None and number(report[name]) is None)
    ]


def _near(value: float | None, true: float | None) -> Within:
    return NOTHING if value is None else Within(value - ROUNDED, value + ROUNDED, False, true)


def _between(least: float | None, most: float | None, true: float | None) -> Within:
    if least is None or most is None:
        return NOTHING
    return Within(least - FACTOR_PP, most + FACTOR_PP, False, true)


def _product(*factors: float | None) -> float | None:
    result = 1.0
    for factor in factors:
        if factor is None:
            return None
        result *= factor
    return result
