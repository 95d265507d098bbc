"""What a report says that it was made from: the tags, metrics and planned times of `site.yaml`, and its formulas."""

from __future__ import annotations

from typing import Any

from shakedown.acceptance.oee.figures import Breaches
from shakedown.acceptance.operations_site import OeeLine

FIGURES = frozenset(
    {"availability", "effectiveness", "quality", "oee", "nee", "fpy", "mttr_s", "mtbf_s", "changeover_s_mean",
     "unplanned_downtime_s"}
)  # fmt: skip
"""What a reader cannot recompute without being told how."""


def wrong_lineage(line: OeeLine, report: dict[str, Any]) -> Breaches:
    """What of a report's lineage is not that of `site.yaml`."""
    if report.get("line") != line.name:
        return [("line", report.get("line"), line.name)]
    told = report.get("lineage")
    if not isinstance(told, dict):
        return [("lineage", told, "tags, metrics, ideal_s and formulas")]
    found: Breaches = []
    for kind, expected in line.lineage.items():
        entries = told.get(kind)
        if entries != expected:
            said: Any = entries
            if isinstance(entries, dict):
                names = [name for name in {**expected, **entries} if entries.get(name) != expected.get(name)]
                kind, said, expected = f"{kind}.{names[0]}", entries.get(names[0]), expected.get(names[0])
            found.append((f"lineage.{kind}", said, expected))
    formulas = told.get("formulas")
    unexplained = sorted(name for name in FIGURES if not (isinstance(formulas, dict) and formulas.get(name)))
    if unexplained:
        found.append(("lineage.formulas", None, f"a formula of {', '.join(unexplained)}"))
    return found
