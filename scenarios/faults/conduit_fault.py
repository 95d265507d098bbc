"""What the faults of a conduit share: they are put on it, read back, seen by the probe, and healed."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from pydantic import Field

from shakedown.scenarios.faults.fault import ConduitName, Evidence, Fault, Ground
from shakedown.twin.network.model import Conduit, Direction


class ConduitFault(Fault):
    """A fault of one conduit, in one direction or both."""

    target: ConduitName = Field(description="The conduit that is struck")
    direction: Direction = Field(default="both", description="up is from who connects to who listens")

    @property
    def what(self) -> str:
        return self.target

    @property
    def affects(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.target,)

    @abstractmethod
    async def put(self, conduit: Conduit) -> None:
        """Put the fault on the conduit."""

    async def strike(self, ground: Ground) -> dict[str, Any]:
        await self.put(ground.conduit(self.target))
        return await ground.probe(self.target).settled()

    async def evidence(self, ground: Ground, before: dict[str, Any]) -> Evidence:
        read_back = await ground.conduit(self.target).read_back()
        probe = ground.probe(self.target).since(before)
        return Evidence(bool(read_back) and self.shows_in(probe), {"read_back": read_back, "probe": probe})

    def shows_in(self, probe: dict[str, Any]) -> bool:
        """Whether what the probe saw is what this fault does: by default, nothing passes in its direction."""
        return probe["sent"] > 0 and probe["answered" if self.direction == "down" else "arrived"] == 0

    async def heal(self, ground: Ground) -> None:
        await ground.conduit(self.target).heal()
