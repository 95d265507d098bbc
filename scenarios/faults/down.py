"""A clean cut: connections close visibly and new ones are refused."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from shakedown.scenarios.faults.conduit_fault import ConduitFault
from shakedown.twin.network.model import Conduit


class Down(ConduitFault):
    """A clean cut: connections close visibly and new ones are refused."""

    what: ClassVar[str] = "a clean cut: connections close visibly, new ones are refused"
    kind: Literal["down"]
    direction: Literal["both"] = "both"

    async def put(self, conduit: Conduit) -> None:
        await conduit.down()

    def shows_in(self, probe: dict[str, Any]) -> bool:
        return probe["refused"] > 0 and probe["arrived"] == 0
