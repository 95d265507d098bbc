"""A part is alive and silent, as after SIGSTOP: it keeps its connections and says nothing."""

from __future__ import annotations

from typing import ClassVar, Literal

from shakedown.scenarios.faults.fault import Struck, Targets
from shakedown.scenarios.faults.part_fault import PartFault


class Freeze(PartFault):
    """A part is alive and silent, as after SIGSTOP: it keeps its connections and says nothing."""

    what: ClassVar[str] = (
        "it is alive and silent, as after SIGSTOP, keeps its connections, and goes on at healing"
    )
    kind: Literal["freeze"]

    async def put(self, part: Struck) -> None:
        await part.freeze()

    async def heal(self, targets: Targets) -> None:
        await targets.part(self.target).thaw()
