"""The acceptance criteria, one file each, in the order of the report.

A new one is a file with its `CRITERION`, and one row here; the suite in tests/acceptance/test_criteria_suite.py then
holds it to the rules of all. People's own come by entry points of the group `shakedown.criteria`, each a `Criterion`.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from shakedown.acceptance.criteria import (
    acknowledgement,
    bridge_ran,
    false_alarms,
    freshness,
    integrity,
    loss,
    nuisance,
    oee,
    sparkplug_session,
    work_orders,
)
from shakedown.acceptance.criterion import Criterion
from shakedown.acceptance.files import Problem

GROUP = "shakedown.criteria"
CRITERIA: tuple[Criterion, ...] = (
    bridge_ran.CRITERION,
    freshness.CRITERION,
    loss.CRITERION,
    integrity.CRITERION,
    sparkplug_session.CRITERION,
    oee.CRITERION,
    nuisance.CRITERION,
    false_alarms.CRITERION,
    acknowledgement.CRITERION,
    work_orders.CRITERION,
)


@cache
def all_criteria() -> tuple[tuple[Criterion, ...], tuple[Problem, ...]]:
    """The table with people's own behind it; what is wrong with one of theirs is a problem, and leaves it out."""
    found: dict[str, Criterion] = {criterion.name: criterion for criterion in CRITERIA}
    problems = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        try:
            criterion = _loaded(entry)
            if criterion.name in found:
                raise ValueError(f"its name {criterion.name!r} is taken")
        except Exception as error:  # it is not our code: whatever it raises is said
            what = (
                f"criterion {entry.name!r} of {entry.value} cannot be used: {type(error).__name__}: {error}"
            )
            remedy = "correct it, or remove the package that brings it"
            problems.append(Problem(what, f"entry point {entry.name} of group {GROUP}", remedy))
        else:
            found[criterion.name] = criterion
    return tuple(found.values()), tuple(problems)


def _loaded(entry: EntryPoint) -> Criterion:
    criterion = entry.load()
    if not isinstance(criterion, Criterion):
        raise TypeError(f"it is {type(criterion).__name__}, not shakedown.acceptance.criterion.Criterion")
    return criterion
