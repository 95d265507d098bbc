"""A thin, far line: latency, jitter and limited bandwidth, nothing lost."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from shakedown.scenarios.faults.conduit_fault import ConduitFault
from shakedown.twin.network.model import Conduit


class Slow(ConduitFault):
    """A thin, far line: latency, jitter and limited bandwidth, nothing lost."""

    what: ClassVar[str] = "latency, jitter, thin bandwidth"
    cuts: ClassVar[bool] = False
    kind: Literal["slow"]
    latency_ms: float = Field(default=200, gt=0, le=60_000, description="Added to each direction")
    jitter_ms: float = Field(default=0, ge=0, le=10_000)
    bandwidth_kB_s: float | None = Field(default=None, gt=0, description="Kilobytes a second, each direction")  # noqa: N815

    async def put(self, conduit: Conduit) -> None:
        await conduit.latency(self.latency_ms, self.jitter_ms, self.direction)
        if self.bandwidth_kB_s is not None:
            await conduit.bandwidth(self.bandwidth_kB_s, self.direction)

    def shows_in(self, probe: dict[str, Any]) -> bool:
        ways = 2 if self.direction == "both" else 1
        least_ms = ways * max(self.latency_ms - self.jitter_ms, 0)
        return bool(probe["answered"] > 0 and probe["round_trip_ms"] >= 0.9 * least_ms)
