"""A part is stopped politely, and started again."""

from __future__ import annotations

from typing import ClassVar, Literal

from shakedown.scenarios.faults.fault import Struck
from shakedown.scenarios.faults.part_fault import PartFault


class Restart(PartFault):
    """A part is stopped politely, and started again."""

    what: ClassVar[str] = "it is stopped politely, is away meanwhile, and is started again at healing"
    kind: Literal["restart"]

    async def put(self, part: Struck) -> None:
        await part.stop()
