"""The primary host asks the edge node for a rebirth, as a host does that has met data it cannot read."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from shakedown.scenarios.faults.fault import Evidence, Fault, Ground


class RebirthRequest(Fault):
    """The primary host asks the edge node for a rebirth, as a host does that has met data it cannot read."""

    kind: Literal["rebirth_request"]
    cut: ClassVar[bool] = False

    @property
    def what(self) -> str:
        return "edge node"

    async def strike(self, ground: Ground) -> dict[str, Any]:
        asked = ground.rebirth_requests()
        ground.ask_for_rebirth()
        return {"asked": asked}

    async def evidence(self, ground: Ground, before: dict[str, Any]) -> Evidence:
        asked = ground.rebirth_requests() - before["asked"]
        return Evidence(asked > 0, {"rebirth_requests_sent": asked})

    async def heal(self, ground: Ground) -> None:
        """Nothing to undo: what follows is the edge node's to do."""
