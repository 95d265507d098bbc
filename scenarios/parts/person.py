"""What the people of a line share: a log of what they do, and eyes for what is physically there."""

from __future__ import annotations

from collections.abc import Mapping

from shakedown.scenarios.parts.auditor import AuditorPart
from shakedown.scenarios.parts.line import LinePart
from shakedown.scenarios.parts.part import TaskPart
from shakedown.twin.enterprise.jsonl import JsonLines
from shakedown.twin.line.faults import MachineFault


class Person(TaskPart):
    """Somebody who works with the line."""

    cuts = False

    def log(self) -> JsonLines:
        return self.ground.find(AuditorPart, self.line).log

    def open_faults(self) -> Mapping[str, MachineFault]:
        line = self.ground.find(LinePart, self.line).line_
        return line.open_faults if line is not None else {}
