"""What the faults of a conduit share: they are put on it, read back, seen by the probe, and healed."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from pydantic import Field

from shakedown.scenarios.faults.fault import Evidence, Fault, Targets
from shakedown.twin.network.model import Conduit, Direction


class ConduitFault(Fault):
    """A fault of one conduit, in one direction or both."""

    strikes: ClassVar[str] = "conduit"
    direction: Direction = Field(default="both", description="up is from who connects to who listens")

    @abstractmethod
    async def put(self, conduit: Conduit) -> None:
        """Put the fault on the conduit."""

    async def strike(self, targets: Targets) -> dict[str, Any]:
        await self.put(targets.conduit(self.target))
        return await targets.probe(self.target).settled()

    async def evidence(self, targets: Targets, before: dict[str, Any]) -> Evidence:
        read_back = await targets.conduit(self.target).read_back()
        probe = targets.probe(self.target).since(before)
        return Evidence(bool(read_back) and self.shows_in(probe), {"read_back": read_back, "probe": probe})

    def shows_in(self, probe: dict[str, Any]) -> bool:
        """Whether what the probe saw is what this fault does: by default, nothing passes in its direction."""
        return bool(probe["sent"] > 0 and probe["answered" if self.direction == "down" else "arrived"] == 0)

    async def heal(self, targets: Targets) -> None:
        await targets.conduit(self.target).heal()
