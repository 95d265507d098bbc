"""The figures of a report as values of their own: what a dashboard shows is what the reports say.

Beside each report that is open or closed the bridge publishes its factors and the OEE as Doubles, with the timestamp of
the report (docs/operations.md); a restated one comes alone. The value in force at the timestamp of each report is held:
of samples of the same timestamp, as of an open report of the very end, the one that arrived last. Where one of them
came as history, the order of arrival says nothing, and any of them may be the last. Between reports there is none.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from shakedown.acceptance.derived_rows import Row, rows_of
from shakedown.acceptance.oee.shift_reports import Report
from shakedown.acceptance.run import Run

DOUBLES = ("availability", "effectiveness", "quality", "oee")
EXACT = 1e-9


class Doubles:
    """The Doubles of a line by timestamp, in order of arrival."""

    def __init__(self, run: Run, line: str) -> None:
        self._topics = {figure: ("", f"oee/{line}/{figure}") for figure in DOUBLES}
        rows = rows_of(run, self._topics.values())
        self._rows: dict[str, dict[int, list[Row]]] = {figure: {} for figure in DOUBLES}
        for figure, topic in self._topics.items():
            for row in sorted(rows[topic], key=lambda row: row.ts_ms):
                self._rows[figure].setdefault(row.ts_ms, []).append(row)
        self._times = {figure: list(by_time) for figure, by_time in self._rows.items()}

    def wrong(self, report: Report) -> list[tuple[str, Any, Any]]:
        """(metric, published, figure of the report) of each Double that does not agree with a report."""
        ts_ms = report.row.ts_ms
        found = []
        for figure, topic in self._topics.items():
            in_force = self._in_force(figure, ts_ms)
            told = report.content.get(figure)
            nothing: list[Row | None] = [None]
            if not any(_agrees(row, told, ts_ms) for row in in_force or nothing):
                found.append((topic[1], in_force[-1].value if in_force else None, told))
        return found

    def between(self, reports: list[Report]) -> list[tuple[int, str, Any]]:
        """(timestamp in ms, metric, published) of each Double without a report of its time."""
        told = {report.row.ts_ms for report in reports}
        return [
            (ts_ms, self._topics[figure][1], row.value)
            for figure, by_time in self._rows.items()
            for ts_ms, rows in by_time.items()
            for row in rows
            if ts_ms not in told and row.value is not None
        ]

    def _in_force(self, figure: str, ts_ms: int) -> list[Row]:
        """The samples that may be the last word at `ts_ms`, in order of arrival; none if there is none until then."""
        times = self._times[figure]
        place = bisect_right(times, ts_ms)
        newest = self._rows[figure][times[place - 1]] if place else []
        return newest[-1:] if all(row.live for row in newest) else newest


def _agrees(row: Row | None, figure: Any, ts_ms: int) -> bool:
    """Whether a sample says what the report says; of a figure that is null there need be none."""
    if not _is_number(figure):
        return row is None or row.ts_ms != ts_ms or row.value is None
    return row is not None and _is_number(row.value) and abs(row.value - figure) <= EXACT


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
