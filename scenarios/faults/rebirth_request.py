"""The primary host asks the edge node for a rebirth, as a host does that has met data it cannot read."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from shakedown.scenarios.faults.fault import Evidence, Fault, Targets


class RebirthRequest(Fault):
    """The primary host asks the edge node for a rebirth, as a host does that has met data it cannot read."""

    strikes: ClassVar[str] = "bridge"
    what: ClassVar[str] = "the primary host asks it for a rebirth"
    cuts: ClassVar[bool] = False
    hinders: ClassVar[bool] = False

    kind: Literal["rebirth_request"]

    async def strike(self, targets: Targets) -> dict[str, Any]:
        bridge = targets.part(self.target)
        asked = bridge.rebirths_asked
        bridge.ask_rebirth()
        return {"asked": asked}

    async def evidence(self, targets: Targets, before: dict[str, Any]) -> Evidence:
        asked = targets.part(self.target).rebirths_asked - before["asked"]
        return Evidence(asked > 0, {"rebirth_requests_sent": asked})

    async def heal(self, targets: Targets) -> None:
        """Nothing to undo: what follows is the edge node's to do."""
