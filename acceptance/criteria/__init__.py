"""The acceptance criteria, one file each, in the order of the report.

A new one is a module with `NAME`, `TITLE`, `THRESHOLD` and `judge(evidence) -> CriterionResult`, and one row here; the
suite in tests/acceptance/test_criteria_suite.py then holds it to the rules of all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from shakedown.acceptance.criteria import freshness, integrity, loss, sparkplug_session
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.verdict import CriterionResult


class Criterion(NamedTuple):
    """One row of the table."""

    name: str
    title: str
    threshold: str
    judge: Callable[[Evidence], CriterionResult]


CRITERIA: tuple[Criterion, ...] = tuple(
    Criterion(module.NAME, module.TITLE, module.THRESHOLD, module.judge)
    for module in (freshness, loss, integrity, sparkplug_session)
)
