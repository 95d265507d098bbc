"""A line of one machine, the packer, whose truth a ledger tells."""

from __future__ import annotations

from shakedown.acceptance.oee.line_truth import Known, LineTruth
from shakedown.acceptance.oee.oracle import Machine
from shakedown.acceptance.operations_site import OeeLine, WorkUnit
from shakedown.acceptance.readers import Ledger
from shakedown.acceptance.site import Topic


def one_machine(
    ledger: Ledger, scan_ms: int = 1000, unseen_until_ns: int = 0, *, has_orders: bool = False
) -> LineTruth:
    """What is right of it; `has_orders` where it shows which order it is on."""
    topics = {"order": Topic("packer", "order", 0, "String")} if has_orders else {}
    unit = WorkUnit("packer", topics)
    machine = Machine(ledger, "packer", scan_ms, unseen_until_ns)
    return LineTruth(ledger, OeeLine("line1", (unit,), unit), {"packer": Known(machine)})
