"""The acceptance criteria, one file each, in the order of the report.

A new one is a module with `NAME`, `TITLE`, `THRESHOLD` and `judge(evidence) -> CriterionResult`, and one row here; the
suite in tests/acceptance/test_criteria_suite.py then holds it to the rules of all. Where a module has `applies(run)`,
runs of which it says no are not judged on it: the criterion is absent from their verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from shakedown.acceptance.criteria import (
    acknowledgement,
    false_alarms,
    freshness,
    integrity,
    loss,
    nuisance,
    oee,
    sparkplug_session,
    work_orders,
)
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.run import Run
from shakedown.acceptance.verdict import CriterionResult


def always(run: Run) -> bool:
    """What every run is judged on."""
    return True


class Criterion(NamedTuple):
    """One row of the table."""

    name: str
    title: str
    threshold: str
    judge: Callable[[Evidence], CriterionResult]
    applies: Callable[[Run], bool] = always


CRITERIA: tuple[Criterion, ...] = (
    *(
        Criterion(module.NAME, module.TITLE, module.THRESHOLD, module.judge)
        for module in (freshness, loss, integrity, sparkplug_session)
    ),
    *(
        Criterion(module.NAME, module.TITLE, module.THRESHOLD, module.judge, module.applies)
        for module in (oee, nuisance, false_alarms, acknowledgement, work_orders)
    ),
)
