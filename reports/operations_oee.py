"""The OEE part of a report: of each shift what happened, what was reported, and what a clipboard audit would say."""

from __future__ import annotations

from typing import Any

from shakedown.reports.facts import RunFacts
from shakedown.reports.formatting import NONE, number, percent, signed
from shakedown.reports.strip import shares
from shakedown.reports.svg import clock

SHIFTS_MAX = 6
RATIOS = {
    "oee": "OEE",
    "availability": "Availability",
    "effectiveness": "Effectiveness",
    "quality": "Quality",
    "fpy": "First pass yield",
}
TIMES = {
    "pbt_s": "Planned busy time",
    "apt_s": "running",
    "aust_s": "changing over",
    "adet_s": "at fault",
    "adot_s": "idle",
}
COUNTS = {"produced": "Parts made", "good": "good", "reject": "rejected"}
BY_ORDER = {"adet_s": "at fault, or waiting in an order", "adot_s": "idle without an order"}
"""What these times are where the shift is told by order."""
PARTS = {"apt_s": "run", "aust_s": "changeover", "adet_s": "fault", "adot_s": "idle"}
ORDERS_MAX = 12
CAUSES = ("sampling", "transport", "calculation")


def oee(facts: RunFacts) -> dict[str, Any] | None:
    """What the template shows; None if the run was not judged on OEE."""
    details = facts.details("oee")
    if not details:
        return None
    rows = details.get("shifts") or []
    breaches = details.get("breaches") or []
    judged = [_shift(facts, row, breaches) for row in rows]
    shown = sorted(judged, key=lambda shift: not shift["wrong"])[:SHIFTS_MAX]
    shown.sort(key=lambda shift: (shift["from_ms"], shift["line"]))
    return {
        "shifts": shown,
        "more": len(judged) - len(shown),
        "pending": details.get("shifts_still_to_be_reported") or 0,
    }


def _shift(facts: RunFacts, row: dict[str, Any], breaches: list[dict[str, Any]]) -> dict[str, Any]:
    truth, reported, audit = row["truth"], row.get("reported"), row.get("audit") or {}
    own = [breach for breach in breaches if (breach["line"], breach["shift"]) == (row["line"], row["shift"])]
    wrong = {breach["figure"] for breach in own if _is_about(breach, truth, reported)}
    begin_s, end_s = (facts.second(row[edge] * 1_000_000) for edge in ("from_ms", "to_ms"))
    orders = row.get("orders") or []
    times = TIMES | (BY_ORDER if orders else {})
    figures = [
        {
            "name": words,
            "kind": kind,
            "true": show(truth.get(name)),
            "reported": show((reported or {}).get(name)),
            "off": _off(truth.get(name), (reported or {}).get(name), kind),
            "audit": show(audit[name]) if name in audit else "",
            "wrong": name in wrong,
        }
        for kind, show, names in (
            ("ratio", percent, RATIOS),
            ("time", _time, times),
            ("count", number, COUNTS),
        )
        for name, words in names.items()
    ]
    next(figure for figure in figures if figure["name"] == "running")["audit"] = _time(audit.get("run_s"))
    if not audit:
        for figure in figures:
            figure["audit"] = ""
    bars = [("happened", truth)] + ([("reported", reported)] if reported else [])
    named = RATIOS.keys() | TIMES.keys() | COUNTS.keys()
    return {
        "line": row["line"],
        "shift": row["shift"],
        "from_ms": row["from_ms"],
        "from": clock(begin_s),
        "to": clock(end_s),
        "wrong": bool(wrong) or not reported or any(breach["figure"] not in named for breach in own),
        "arrived": reported is not None,
        "figures": figures,
        "stops": truth.get("stops"),
        "audit": _audit(audit),
        "bars": [(words, shares(_parts(of, is_by_order=bool(orders)), words)) for words, of in bars],
        "other": [breach for breach in own if breach["figure"] not in named and reported],
        "orders": [_order(entry, own) for entry in orders[:ORDERS_MAX]],
        "more_orders": max(0, len(orders) - ORDERS_MAX),
        "variance": _variance(row.get("variance") or {}, times),
    }


def _order(entry: dict[str, Any], breaches: list[dict[str, Any]]) -> dict[str, Any]:
    """One order of a shift: what was made for it, and its OEE."""
    name, truth, reported = entry["order"], entry["truth"], entry.get("reported")
    cells = [_time((reported or truth).get("pbt_s"))]
    for figure, show in (("produced", number), ("good", number), ("oee", percent)):
        true, told = truth.get(figure), (reported or {}).get(figure)
        words = "not told" if reported is None else show(told) if _is_number(told) else NONE
        cells.append(words if words == show(true) else f"{words} (was {show(true)})")
    figures = [breach["figure"] for breach in breaches]
    return {
        "name": name,
        "products": ", ".join(entry.get("products") or []),
        "cells": cells,
        "wrong": any(figure == f"order {name}" or figure.endswith(f" of {name}") for figure in figures),
    }


def _parts(times: dict[str, Any], *, is_by_order: bool) -> list[tuple[str, float]]:
    """The planned time by what the machine did; where ADET has what was waited inside of orders, that is idle time."""
    parts = {part: _float(times.get(name)) for name, part in PARTS.items()}
    if is_by_order and _is_number(times.get("unplanned_downtime_s")):
        waited_s = max(0.0, parts["fault"] - _float(times["unplanned_downtime_s"]))
        parts |= {"fault": parts["fault"] - waited_s, "idle": parts["idle"] + waited_s}
    return list(parts.items())


def _is_about(breach: dict[str, Any], truth: dict[str, Any], reported: dict[str, Any] | None) -> bool:
    """Whether a breach is of this shift, and not of one of the same name on another day."""
    figure = breach["figure"]
    return (reported or {}).get(figure) == breach["reported"] and truth.get(figure) == breach["true"]


def _audit(audit: dict[str, Any]) -> str:
    """What the person with the clipboard got wrong themselves."""
    if not audit or audit.get("oee_off") is None:
        return ""
    return (
        f"The clipboard audit itself was off by {signed(audit.get('produced_off'), digits=0)} parts and"
        f" {signed(audit.get('run_off_s'), ' s')} of run time, and its OEE by"
        f" {signed(100 * audit['oee_off'], ' %', 2)}."
    )


def _variance(steps: dict[str, dict[str, float]], times: dict[str, str]) -> list[dict[str, Any]]:
    """Where each difference arose; figures without any are left out."""
    names = times | COUNTS
    found = []
    for name, causes in steps.items():
        values = [_float(causes.get(cause)) for cause in CAUSES]
        if any(values):
            unit, digits = (" s", 1) if name in times else ("", 0)
            steps_of = [signed(value, unit, digits) for value in (sum(values), *values)]
            found.append({"name": names.get(name, name), "values": steps_of})
    return found


def _off(true: Any, reported: Any, kind: str) -> str:
    if not _is_number(true) or not _is_number(reported):
        return ""
    if kind == "ratio":
        return signed(100 * (reported - true), " pp", 2)
    return signed(reported - true, " s", 1) if kind == "time" else signed(reported - true, digits=0)


def _time(value: Any) -> str:
    return clock(value) if _is_number(value) else NONE


def _float(value: Any) -> float:
    return float(value) if _is_number(value) else 0.0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
