"""The parts of a report on people and their orders: the grid of the simulated operator, and alert to work order."""

from __future__ import annotations

from typing import Any

from shakedown.acceptance.alarms.operators import GRID, PRIMARY
from shakedown.acceptance.criteria.acknowledgement import CUT_MIN, bound_in_words
from shakedown.acceptance.criteria.work_orders import KINDS, LIMIT_S
from shakedown.reports.facts import RunFacts
from shakedown.reports.formatting import number, percent, seconds
from shakedown.reports.strip import bar

EXAMPLES_MAX = 4


def acknowledgement(facts: RunFacts) -> dict[str, Any] | None:
    """What the template shows; None if the run was not judged on it."""
    details = facts.details("acknowledgement")
    if not details:
        return None
    by_name = {row["cell"]: row for row in details["cells"]}
    bases = sorted({cell.base for cell in GRID})
    low = details.get("cut_lower_95")
    primary = by_name.get(PRIMARY.name)
    bound = "" if low is None else bound_in_words(low)
    return {
        "primary": _cell(primary) if primary else None,
        "primary_name": (
            f"{PRIMARY.median_s:g} s an alarm, {PRIMARY.base:g} needless calls in ten minutes, trust learned"
        ),
        "bound": f"{bound[:1].upper()}{bound[1:]}",
        "demanded": percent(CUT_MIN, 0),
        "bases": bases,
        "grids": [
            {
                "trust": trust,
                "rows": [
                    {
                        "median": f"{median:g} s",
                        "cells": [
                            _cell(by_name.get(cell.name))
                            for cell in sorted(GRID, key=lambda cell: cell.base)
                            if (cell.median_s, cell.ppv) == (median, trust)
                        ],
                    }
                    for median in sorted({cell.median_s for cell in GRID})
                ],
            }
            for trust in (True, False)
        ],
        "breaches": details.get("breaches", []),
        "recorded": details.get("recorded"),
        "per_10_min": number(details.get("baseline_per_10_min"), 1),
        "cap": f"{details.get('cap_s', 0) / 60:g}",
    }


def _cell(row: dict[str, Any] | None) -> dict[str, Any] | None:
    """One cell of the grid, None for one where nobody could keep up."""
    if row is None or row.get("mean_s") is None:
        return None
    cut = row["cut"]
    return {
        "ours": seconds(row["mean_s"], 0),
        "naive": seconds(row["baseline_mean_s"], 0),
        "p95": seconds(row["p95_s"], 0),
        "naive_p95": seconds(row["baseline_p95_s"], 0),
        "change": f"{percent(abs(cut), 0)} {'sooner' if cut >= 0 else 'later'}",
        "kind": "sooner" if cut >= CUT_MIN else "later" if cut < 0 else "",
        "primary": bool(row.get("primary")),
    }


def work_orders(facts: RunFacts) -> dict[str, Any] | None:
    """What the template shows; None if the run was not judged on it."""
    details = facts.details("work_orders")
    if not details:
        return None
    times, raw = details["times"], details["times_without_restart"]
    return {
        "needed": details["alarms_that_need_one"],
        "orders": details["orders"],
        "pending": details.get("still_to_come", 0),
        "times": times,
        "scale": _scale(times) if times.get("orders") else [],
        "restarted": times != raw,
        "raw_max": seconds(raw.get("max_s")),
        "breaches": [
            {"words": KINDS.get(kind, kind), "count": count, "examples": _examples(facts, details, kind)}
            for kind, count in details["breaches"].items()
            if count
        ],
        "kinds": len(KINDS),
        "slowest": [
            {
                "alarm": row["alarm"],
                "text": facts.alarm_texts.get(row["alarm"], ""),
                "order": row["order"],
                "elapsed": seconds(row["elapsed_s"]),
                "late": row["elapsed_s"] >= LIMIT_S,
                "raw": seconds(row["without_restart_s"]),
            }
            for row in details.get("slowest", [])
        ],
    }


def _examples(facts: RunFacts, details: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The first breaches of a kind, of those that the verdict lists."""
    found = [row for row in details.get("examples", []) if row["kind"] == kind]
    return [row | {"text": facts.alarm_texts.get(row["alarm"], "")} for row in found[:EXAMPLES_MAX]]


def _scale(times: dict[str, Any]) -> list[dict[str, Any]]:
    """How soon: bars on a scale that shows the limit, longer where one took longer."""
    most = max(1.1 * LIMIT_S, times["max_s"])
    names = {"min_s": "the fastest", "p50_s": "half within", "p95_s": "95 % within", "max_s": "the slowest"}
    return [
        {
            "words": words,
            "value": seconds(times[name]),
            "bar": bar(
                times[name], most, "late" if times[name] >= LIMIT_S else "ours", words, [("limit", LIMIT_S)]
            ),
        }
        for name, words in names.items()
    ]
