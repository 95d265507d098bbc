"""The table of all mutants: each is the healthy bridge with one small change, and names the criterion that catches it.

A mutant that no criterion catches shows a check that cannot fail.
"""

from __future__ import annotations

from tests.mutants.alarm_mutants import ALARMS
from tests.mutants.data_mutants import DATA
from tests.mutants.mutant import Mutant
from tests.mutants.oee_mutants import OEE
from tests.mutants.order_mutants import ORDERS
from tests.mutants.session_mutants import SESSION

MUTANTS: tuple[Mutant, ...] = (*DATA, *SESSION, *OEE, *ALARMS, *ORDERS)
