"""Another primary host says that it is offline: whoever waits for its own one must not care."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from shakedown.scenarios.faults.fault import Evidence, Fault, Targets


class ForeignState(Fault):
    """Another primary host says that it is offline, and says so no more at healing (Sparkplug B 3.0, 6.4.24)."""

    strikes: ClassVar[str] = "primary_host"
    what: ClassVar[str] = "at its broker another primary host, `host`, has a retained STATE that says offline"
    cuts: ClassVar[bool] = False
    hinders: ClassVar[bool] = False

    kind: Literal["foreign_state"]
    host: str = Field(default="historian", pattern=r"^[a-z][a-z0-9_]*$", description="Of whom the STATE is")

    async def strike(self, targets: Targets) -> dict[str, Any]:
        return {"acknowledged": await targets.part(self.target).say_of(self.host, online=False)}

    async def evidence(self, targets: Targets, before: dict[str, Any]) -> Evidence:
        return Evidence(before["acknowledged"], before)

    async def heal(self, targets: Targets) -> None:
        await targets.part(self.target).say_of(self.host, online=None)
