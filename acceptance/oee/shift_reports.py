"""The reports of a line's shifts as the enterprise has them, and which of their samples may have come later."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np

from shakedown.acceptance.derived_rows import Row, rows_of
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.join import NEVER, TopicJoin
from shakedown.acceptance.oee.course import Span
from shakedown.acceptance.oee.figures import number
from shakedown.acceptance.run import Run
from shakedown.acceptance.site import Topic
from shakedown.acceptance.source_faults import away_from_source
from shakedown.acceptance.spans import MS, S
from shakedown.acceptance.sparkplug import GOOD

FLIGHT_S = 10.0  # what the source offered so shortly before need not have arrived
"""What a fault may affect without coming between the source and the bridge."""


class Report(NamedTuple):
    """A report as it arrived, and what it says: of the shift `[from_ns, to_ns)`, as far as `as_of_ns`."""

    row: Row
    content: dict[str, Any]
    from_ns: float
    to_ns: float
    as_of_ns: float

    @property
    def status(self) -> Any:
        """open, closed, restated, or something that no report is."""
        return self.content.get("status")

    @property
    def is_final(self) -> bool:
        """Whether it speaks of a shift that is over."""
        return self.status in ("closed", "restated")

    def is_of(self, name: str, from_ns: int, to_ns: int) -> bool:
        """Whether it speaks of this shift: of its name, and of a time that lies mostly in it."""
        overlap = min(self.to_ns, to_ns) - max(self.from_ns, from_ns)
        return self.content.get("shift") == name and overlap > 0.5 * (to_ns - from_ns)


def reports_of(run: Run, line: str) -> list[Report]:
    """The reports of a line in order of arrival; what is no report is left out."""
    topic = ("", f"oee/{line}/report")
    found = []
    for row in rows_of(run, [topic])[topic]:
        try:
            content = json.loads(str(row.value))
        except (ValueError, RecursionError):
            continue
        if isinstance(content, dict):
            times = [number(content.get(name)) for name in ("from_ms", "to_ms", "as_of_ms")]
            from_ms, to_ms, as_of_ms = times
            if from_ms is not None and to_ms is not None:
                until_ms = to_ms if as_of_ms is None else as_of_ms
                found.append(Report(row, content, from_ms * MS, to_ms * MS, until_ms * MS))
    return found


def part_of(evidence: Evidence, topic: Topic) -> TopicJoin:
    """What became of the samples of a topic."""
    return next(part for part in evidence.joined.topics if part.topic == topic)


def late_spans(evidence: Evidence, topics: list[Topic], report: Report) -> list[Span]:
    """From when on to when the bridge may not have known these topics as it wrote a report: late samples leave a gap.

    A sample may be late if the enterprise had it after the report, and it was offered in the last seconds or about a
    fault between source and bridge. Before the first birth of a topic the bridge may have known nothing.
    """
    until_ns = int(report.as_of_ns)
    run = evidence.run
    away = [*away_from_source(run), (until_ns - int(FLIGHT_S * S), until_ns)]
    found = []
    for topic in topics:
        part = part_of(evidence, topic)
        good = np.flatnonzero((part.quality == GOOD) & (part.ns < until_ns))
        ns, arrived = part.ns[good], part.received_ns[good]
        late = arrived >= report.row.received_ns
        late &= ~(part.coalescable[good] & (arrived == NEVER))
        held_up = np.zeros_like(late)
        for begin, end in away:
            held_up |= (ns >= begin) & (ns <= end)
        late &= held_up
        following = [*ns[1:].tolist(), until_ns]
        found += [(int(ns[index]), following[index]) for index in np.flatnonzero(late).tolist()]
        born_ns = part.first_birth_ns
        if born_ns is None or born_ns > report.from_ns:
            found.append((0, until_ns if born_ns is None else born_ns + S))
    return found
