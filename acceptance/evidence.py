"""What every criterion is given: the run, the join of offered and received, and whose the losses are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

from shakedown.acceptance.alarms.view import AlarmView, alarm_view
from shakedown.acceptance.attribution import Attribution
from shakedown.acceptance.join import Joined
from shakedown.acceptance.reconciliation import Passed
from shakedown.acceptance.run import Run


@dataclass
class Evidence:
    """Read by criteria, changed by none of them but for `malformed` and `passed`: what the reader of the wire met."""

    run: Run
    joined: Joined
    attribution: Attribution
    malformed: Counter[str] = field(default_factory=Counter)
    passed: Passed | None = None  # what the criterion that reads the wire has seen there

    @cached_property
    def alarms(self) -> AlarmView:
        """The annunciations of the run and of its baseline, labelled; made when first asked for."""
        return alarm_view(self.run, self.joined)
