"""Nothing passes, nothing is lost: the bytes go on when it is healed."""

from __future__ import annotations

from typing import Literal

from shakedown.scenarios.faults.conduit_fault import ConduitFault
from shakedown.twin.network.model import Conduit


class Stall(ConduitFault):
    """Nothing passes, nothing is lost: the bytes go on when it is healed."""

    kind: Literal["stall"]

    async def put(self, conduit: Conduit) -> None:
        await conduit.stall(self.direction)
