"""The operator shelves an alarm, takes it out of service or resets it, at the primary host."""

from __future__ import annotations

import json
import time
from typing import Any, ClassVar, Literal

from pydantic import Field

from shakedown.scenarios.faults.fault import Evidence, Fault, Targets

OPERATOR, REASON = "operator", "works on the sensor"


class AlarmCommand(Fault):
    """The operator shelves an alarm, takes it out of service or resets it, at the primary host."""

    strikes: ClassVar[str] = "bridge"
    what: ClassVar[str] = (
        "the operator shelves its `alarm`, takes it out of service (`verb: remove`) until healing, or resets it"
    )
    cuts: ClassVar[bool] = False
    hinders: ClassVar[bool] = False

    kind: Literal["alarm_command"]
    device: str = Field(description="Device of the alarm, cell.asset")
    alarm: str = Field(description="Its name in site.yaml")
    verb: Literal["shelve", "remove", "reset"] = "shelve"

    async def strike(self, targets: Targets) -> dict[str, Any]:
        until_ms = time.time_ns() // 1_000_000 + round(self.for_s * 1000)
        shelf = json.dumps({"operator": OPERATOR, "until_ms": until_ms, "reason": REASON})
        text = OPERATOR if self.verb == "reset" else shelf
        await targets.part(self.target).command(self.device, f"alarm/{self.alarm}/{self.verb}", text)
        return {"alarm": f"{self.device}/{self.alarm}", "verb": self.verb}

    async def evidence(self, targets: Targets, before: dict[str, Any]) -> Evidence:
        return Evidence(True, before)  # the command went out: `strike` raises where no broker takes it

    async def heal(self, targets: Targets) -> None:
        """Nothing to undo: it ends by itself."""
