"""The kinds of part that there are: one row each, and those of installed packages (entry points `shakedown.parts`)."""

from __future__ import annotations

from functools import cache

from shakedown.scenarios import plug_ins

GROUP = "shakedown.parts"
HERE = "shakedown.scenarios.parts"
OURS = {
    "plc": f"{HERE}.plc:Plc",
    "broker": f"{HERE}.broker:BrokerPart",
    "primary_host": f"{HERE}.primary_host:PrimaryHostPart",
    "observer": f"{HERE}.observer:ObserverPart",
    "line": f"{HERE}.line:LinePart",
    "bridge": f"{HERE}.bridge:BridgePart",
    "cmms": f"{HERE}.cmms:CmmsPart",
    "auditor": f"{HERE}.auditor:AuditorPart",
    "operator": f"{HERE}.operator:OperatorPart",
    "crew": f"{HERE}.crew:CrewPart",
    "storekeeper": f"{HERE}.storekeeper:StorekeeperPart",
    "probe": f"{HERE}.probe:Probe",
}
"""Each kind's class. They are imported when they are needed, for that takes seconds."""


@cache
def kinds() -> dict[str, str]:
    """Every kind and its class, ours and those of installed packages. Raises UsageError for a name taken."""
    return plug_ins.beside(OURS, GROUP)
