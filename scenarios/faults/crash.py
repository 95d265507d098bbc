"""A part dies without a word, as at a power cut or by SIGKILL, and is started again."""

from __future__ import annotations

from typing import ClassVar, Literal

from shakedown.scenarios.faults.fault import Struck
from shakedown.scenarios.faults.part_fault import PartFault


class Crash(PartFault):
    """A part dies without a word, as at a power cut or by SIGKILL, and is started again."""

    what: ClassVar[str] = (
        "it dies without a word, as at a power cut or by SIGKILL, and is started again at healing"
    )
    kind: Literal["crash"]

    async def put(self, part: Struck) -> None:
        await part.crash()
