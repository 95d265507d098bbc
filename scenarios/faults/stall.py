"""Nothing passes, nothing is lost: the bytes go on when it is healed."""

from __future__ import annotations

from typing import ClassVar, Literal

from shakedown.scenarios.faults.conduit_fault import ConduitFault
from shakedown.twin.network.model import Conduit


class Stall(ConduitFault):
    """Nothing passes, nothing is lost: the bytes go on when it is healed."""

    what: ClassVar[str] = "nothing passes, nothing is lost: the bytes go on at healing"
    kind: Literal["stall"]

    async def put(self, conduit: Conduit) -> None:
        await conduit.stall(self.direction)
