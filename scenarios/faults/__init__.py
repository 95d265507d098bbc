"""The faults that a scenario can name: one file each, one row each in this table."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shakedown.scenarios.faults.blackhole import Blackhole
from shakedown.scenarios.faults.broker_restart import BrokerRestart
from shakedown.scenarios.faults.cmms_down import CmmsDown
from shakedown.scenarios.faults.down import Down
from shakedown.scenarios.faults.fault import Evidence, Fault, Ground
from shakedown.scenarios.faults.half_open_host import HalfOpenHost
from shakedown.scenarios.faults.kill_bridge import KillBridge
from shakedown.scenarios.faults.rebirth_request import RebirthRequest
from shakedown.scenarios.faults.slow import Slow
from shakedown.scenarios.faults.stall import Stall

FAULTS: tuple[type[Fault], ...] = (
    Blackhole,
    Stall,
    Down,
    Slow,
    HalfOpenHost,
    BrokerRestart,
    KillBridge,
    RebirthRequest,
    CmmsDown,
)

AnyFault = Annotated[
    Blackhole | Stall | Down | Slow | HalfOpenHost | BrokerRestart | KillBridge | RebirthRequest | CmmsDown,
    Field(discriminator="kind"),
]

__all__ = ["FAULTS", "AnyFault", "Evidence", "Fault", "Ground"]
