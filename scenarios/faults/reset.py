"""The connections that cross a conduit are reset, once; new ones are made at once."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from shakedown.scenarios.faults.conduit_fault import ConduitFault
from shakedown.scenarios.faults.fault import Evidence, Targets
from shakedown.twin.network.model import Conduit


class Reset(ConduitFault):
    """The connections that cross a conduit are reset, once; new ones are made at once."""

    what: ClassVar[str] = "the connections that cross it end in RST, once; new ones are accepted at once"
    kind: Literal["reset"]
    direction: Literal["both"] = "both"

    async def put(self, conduit: Conduit) -> None:
        await conduit.reset()

    async def strike(self, targets: Targets) -> dict[str, Any]:
        before = targets.probe(self.target).now()
        await self.put(targets.conduit(self.target))
        return before

    async def evidence(self, targets: Targets, before: dict[str, Any]) -> Evidence:
        probe = targets.probe(self.target).since(before)
        return Evidence(probe["connected"] > 0, {"probe": probe})  # it had to connect anew

    async def heal(self, targets: Targets) -> None:
        """Nothing to undo: who was cut off connects again."""
