"""What the faults of any part share: the part is asked whether it still serves."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from shakedown.scenarios.faults.fault import Evidence, Fault, Struck, Targets

LOOK_S = 2.0


class PartFault(Fault):
    """A fault of one part, by one of its verbs."""

    strikes: ClassVar[str] = "part"
    look_s: ClassVar[float] = LOOK_S

    @abstractmethod
    async def put(self, part: Struck) -> None:
        """Strike the part."""

    async def strike(self, targets: Targets) -> dict[str, Any]:
        await self.put(targets.part(self.target))
        return {}

    async def evidence(self, targets: Targets, before: dict[str, Any]) -> Evidence:
        answers = await targets.part(self.target).answers(min(self.look_s, self.for_s / 2))
        return Evidence(not answers, {"answers_meanwhile": answers})

    async def heal(self, targets: Targets) -> None:
        await targets.part(self.target).start()
