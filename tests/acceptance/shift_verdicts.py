"""What the tests of shift runs share: a fresh day each, and what was concluded of it."""

from __future__ import annotations

import copy
from functools import cache

from shakedown.acceptance.verdict import Verdict
from tests.acceptance import shift_day

SHIFT = ("oee", "nuisance", "false_alarms", "acknowledgement", "work_orders")

template = cache(shift_day.healthy)


def fresh_day() -> shift_day.Day:
    """A day without fault, to be broken."""
    return copy.deepcopy(template())


def outcomes(verdict: Verdict) -> dict[str, str]:
    """Verdicts of the criteria of a shift, by name."""
    return {result.name: result.verdict for result in verdict.criteria if result.name in SHIFT}


def failed(verdict: Verdict) -> set[str]:
    """The criteria of a shift that failed."""
    return {name for name, outcome in outcomes(verdict).items() if outcome == "FAIL"}
