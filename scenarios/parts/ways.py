"""What a fault means to one line: who suffers, in the words that the judge makes allowances by."""

from __future__ import annotations

from collections.abc import Mapping

from shakedown.scenarios.faults import Fault
from shakedown.scenarios.parts.kinds import kind_of
from shakedown.scenarios.parts.plan import Plan
from shakedown.scenarios.scenario import ConduitModel

WAYS = {"plc": "cell", "broker": "wan", "cmms": "cmms"}
"""What is cut when the way from a bridge to a part of that kind is."""
NO_DATA = frozenset({"cmms"})
"""What carries no samples: freshness makes no allowance for it."""


def suffering(
    fault: Fault, plans: Mapping[str, Plan], network: Mapping[str, ConduitModel], bridge: str
) -> tuple[list[str], bool]:
    """What suffers on the line of `bridge` (`affects` of a row of the timeline), and whether its data are cut."""
    if not fault.hinders:
        return [], False
    if fault.target in network:
        affects = _on_the_way(set(network[fault.target].zones or ()), plans, bridge)
        return affects, fault.cuts and bool(set(affects) - NO_DATA)
    struck = plans[fault.target]
    kind = kind_of(struck.kind)
    if bridge not in struck.lines or not kind.affects:
        return [], False
    return [kind.affects], fault.cuts and kind.cuts


def _on_the_way(zones: set[str], plans: Mapping[str, Plan], bridge: str) -> list[str]:
    """What the conduit between two zones carries for a line."""
    found = [WAYS[plans[other].kind] for other in plans[bridge].dials
             if plans[other].kind in WAYS and {plans[bridge].zone, plans[other].zone} == zones]  # fmt: skip
    for one in plans.values():
        if (
            one.kind == "primary_host"
            and bridge in one.lines
            and {one.zone, plans[one.dials[0]].zone} == zones
        ):
            found.append("host")
    if "wan" in found:
        found = [
            what for what in found if what != "cmms"
        ]  # who has lost the enterprise has lost the CMMS too
    return sorted(set(found))
