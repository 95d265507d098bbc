"""Bytes vanish without a word; who waits learns of it by a time-out, and at healing by RST."""

from __future__ import annotations

from typing import ClassVar, Literal

from shakedown.scenarios.faults.conduit_fault import ConduitFault
from shakedown.twin.network.model import Conduit


class Blackhole(ConduitFault):
    """Bytes vanish without a word; who waits learns of it by a time-out, and at healing by RST."""

    what: ClassVar[str] = "bytes vanish without a word; at healing the connections are reset"
    kind: Literal["blackhole"]

    async def put(self, conduit: Conduit) -> None:
        await conduit.blackhole(self.direction)
