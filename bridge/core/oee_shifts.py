"""The life of a shift's report: open while it lasts, closed after it, restated when late data says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shakedown.bridge.core.model import Sample
from shakedown.bridge.core.oee import CLOSE_NS, CLOSED_MAX, FORMULAS, REPORT_NS, Line, LineConfig
from shakedown.bridge.core.oee_calendar import Period


@dataclass(frozen=True, slots=True)
class Report:
    """Figures of one shift; `ts_ns` is the moment they are of."""

    line: str
    ts_ns: int
    status: str  # open, closed, restated
    content: dict[str, Any]


class Shifts:
    """The reports of one line. `take` samples and `tick` when `due_ns` has come."""

    def __init__(self, config: LineConfig) -> None:
        self.line = Line(config)
        self.due_ns = 0
        self._config = config
        self._open: Period | None = None
        self._closed: dict[int, tuple[Period, dict[str, Any]]] = {}  # from_ns: figures as last reported
        self._is_late = False
        self._has_data = False
        self._is_anew = False

    def take(self, sample: Sample) -> None:
        """Take a sample; one of a closed shift will restate it."""
        if self.line.take(sample):
            if not self._has_data:  # a shift is open from now on, though it may end before the minute does
                self._has_data, self.due_ns = True, 0
            ts_ns = sample.ts_ms * 1_000_000
            if any(ts_ns < period.to_ns for period, _ in self._closed.values()):
                self._is_late = True

    def tick(self, now_ns: int) -> list[Report]:
        """The reports that are due."""
        if now_ns < self.due_ns:
            return []
        if not self._has_data:
            self.due_ns = now_ns + REPORT_NS
            return []
        reports = self._restate(now_ns)
        calendar = self._config.calendar
        shift = self._open or calendar.period(now_ns) or calendar.following(now_ns)
        for _ in range(CLOSED_MAX):  # more than one only after an outage as long as a shift
            if shift is None or now_ns < shift.to_ns + CLOSE_NS:
                break
            reports.append(self._close(shift))
            shift = calendar.following(shift.to_ns)
        else:
            shift = calendar.period(now_ns) or calendar.following(now_ns)
        self._open, self.due_ns = shift, (now_ns // REPORT_NS + 1) * REPORT_NS
        if shift is None:
            return reports
        if shift.from_ns < now_ns:
            reports.append(self._report(shift, "open", min(now_ns, shift.to_ns), shift.to_ns))
        self.due_ns = min(self.due_ns, shift.to_ns + CLOSE_NS)
        return reports

    def _close(self, period: Period) -> Report:
        report = self._report(period, "closed", period.to_ns, period.to_ns)
        self._closed[period.from_ns] = (period, self.line.figures(period, period.to_ns))
        if len(self._closed) > CLOSED_MAX:
            del self._closed[min(self._closed)]
        self.line.forget(min(self._closed))
        return report

    def _restate(self, now_ns: int) -> list[Report]:
        if not self._is_late:
            return []
        self._is_late = False
        reports = []
        for from_ns, (period, known) in self._closed.items():
            figures = self.line.figures(period, period.to_ns)
            if figures != known:
                self._closed[from_ns] = (period, figures)
                reports.append(self._report(period, "restated", now_ns, period.to_ns))
        return reports

    def _report(self, period: Period, status: str, ts_ns: int, to_ns: int) -> Report:
        content = {
            "line": self._config.name,
            "shift": period.name,
            "status": status,
            "from_ms": period.from_ns // 1_000_000,
            "to_ms": to_ns // 1_000_000,
            "as_of_ms": min(ts_ns, to_ns) // 1_000_000,
            **self.line.figures(period, min(ts_ns, to_ns)),
            "lineage": {**self._config.lineage, "formulas": FORMULAS},
        }
        return Report(self._config.name, ts_ns, status, content)

    # ---- over a restart

    def save(self) -> dict[str, Any]:
        """What must be remembered, as plain data."""
        closed = [(period.from_ns, figures) for period, figures in self._closed.values()]
        return {"line": self.line.save(), "closed": closed, "open": self._open and self._open.from_ns}

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue with what was saved; a shift that the calendar no longer has is forgotten.

        So is everything of a line that is made from other metrics now: it begins anew, with time that is unknown.
        """
        self._is_anew = not self.line.restore(saved["line"])
        if self._is_anew:
            return
        self._has_data = True
        for from_ns, figures in saved["closed"]:
            if period := self._config.calendar.period(from_ns):
                self._closed[period.from_ns] = (period, figures)
        if saved["open"] is not None:
            self._open = self._config.calendar.period(saved["open"])

    def reported(self, content: dict[str, Any]) -> None:
        """A report found in the journal, newer than what was saved: it need not be said again."""
        period = self._config.calendar.period(content["from_ms"] * 1_000_000)
        if period is None or content["status"] == "open" or self._is_anew:
            return
        names = self.line.figures(period, period.to_ns).keys() & content.keys()
        self._closed[period.from_ns] = (period, {name: content[name] for name in names})
        self._is_late = True
        if self._open is not None and self._open.from_ns == period.from_ns:
            self._open = self._config.calendar.following(period.to_ns)
