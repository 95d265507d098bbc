"""The figures of a closed shift as values of their own: what a dashboard shows is what the report says.

Beside each report that is open or closed the bridge publishes its factors and the OEE as Doubles, with the timestamp of
the report (docs/operations.md); a restated one comes alone. The value in force at the timestamp of the closed report is
held: of samples of the same timestamp, as of an open report of the very end, the one that arrived last. Where one of
them came as history, the order of arrival says nothing, and any of them may be the last.
"""

from __future__ import annotations

from typing import Any

from shakedown.acceptance.derived_rows import Row, rows_of
from shakedown.acceptance.run import Run

DOUBLES = ("availability", "effectiveness", "quality", "oee")
EXACT = 1e-9


def wrong_doubles(run: Run, line: str, closed: Row, report: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """(metric, published, figure of the report) of each Double that does not agree with the closed report."""
    topics = {figure: ("", f"oee/{line}/{figure}") for figure in DOUBLES}
    rows = rows_of(run, topics.values())
    found = []
    for figure, topic in topics.items():
        in_force = _in_force(rows[topic], closed.ts_ms)
        nothing: list[Row | None] = [None]
        if not any(_agrees(row, report.get(figure), closed.ts_ms) for row in in_force or nothing):
            published = in_force[-1].value if in_force else None
            found.append((topic[1], published, report.get(figure)))
    return found


def _in_force(rows: list[Row], ts_ms: int) -> list[Row]:
    """The samples that may be the last word at `ts_ms`, in order of arrival; none if there is no sample until then."""
    until = [row for row in rows if row.ts_ms <= ts_ms]
    newest_ms = max((row.ts_ms for row in until), default=0)
    newest = [row for row in until if row.ts_ms == newest_ms]
    return newest[-1:] if all(row.live for row in newest) else newest


def _agrees(row: Row | None, figure: Any, ts_ms: int) -> bool:
    """Whether a sample says what the report says; of a figure that is null there need be none."""
    if not _is_number(figure):
        return row is None or row.ts_ms != ts_ms or row.value is None
    return row is not None and _is_number(row.value) and abs(row.value - figure) <= EXACT


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
