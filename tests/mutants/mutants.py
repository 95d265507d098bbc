"""The table of all mutants: each is the healthy bridge with one small change, and names the criterion that catches it.

A mutant that no criterion catches shows a check that cannot fail.
"""

from __future__ import annotations

from tests.mutants.alarm_mutants import ALARMS
from tests.mutants.data_mutants import DATA
from tests.mutants.line_mutants import LINE
from tests.mutants.mutant import Mutant
from tests.mutants.oee_mutants import OEE
from tests.mutants.order_mutants import ORDERS
from tests.mutants.session_mutants import SESSION

MUTANTS: tuple[Mutant, ...] = (*DATA, *SESSION, *OEE, *LINE, *ALARMS, *ORDERS)


def _first_of_each_kind() -> frozenset[str]:
    quick = {mutant.kind: mutant.name for mutant in reversed(MUTANTS) if mutant.quick}
    first = {mutant.kind: mutant.name for mutant in reversed(MUTANTS)}
    return frozenset((first | quick).values())


REPRESENTATIVE: frozenset[str] = _first_of_each_kind()
"""Names of those that CI runs: one for each criterion and each part of the bridge whose breaking it catches."""
