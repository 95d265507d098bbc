"""What the tests of shift runs share: a fresh day, the replays of the simulated operator, and what is concluded."""

from __future__ import annotations

import copy
from functools import cache

from shakedown.acceptance.alarms.operators import Call, Cell
from shakedown.acceptance.criteria import acknowledgement
from shakedown.acceptance.verdict import Verdict
from tests.acceptance import operations_day

SHIFT = ("oee", "nuisance", "false_alarms", "acknowledgement", "work_orders")

template = cache(operations_day.healthy)


def fresh_day() -> operations_day.Day:
    """A day without fault, to be broken."""
    return copy.deepcopy(template())


REPLAY = acknowledgement.replay


@cache
def _replayed(cell, policy, baseline, onsets, span_s):  # type: ignore[no-untyped-def]
    return REPLAY(cell, policy, baseline, dict(onsets), span_s)


def replay_once(
    cell: Cell,
    policy: list[Call],
    baseline: list[Call],
    onsets_s: dict[str, float],
    span_s: tuple[float, float],
) -> acknowledgement.Outcomes:
    """`acknowledgement.replay`, worked out once for the same calls: most tests break something else than the alarms."""
    return _replayed(cell, tuple(policy), tuple(baseline), tuple(onsets_s.items()), span_s)


def outcomes(verdict: Verdict) -> dict[str, str]:
    """Verdicts of the criteria of a shift, by name."""
    return {result.name: result.verdict for result in verdict.criteria if result.name in SHIFT}


def failed(verdict: Verdict) -> set[str]:
    """The criteria of a shift that failed."""
    return {name for name, outcome in outcomes(verdict).items() if outcome == "FAIL"}
