"""The bridge is killed (SIGKILL on the wall clock) and started again on what it has on disk."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from shakedown.scenarios.faults.fault import Evidence, Fault, Ground


class KillBridge(Fault):
    """The bridge is killed (SIGKILL on the wall clock) and started again on what it has on disk."""

    kind: Literal["kill_bridge"]
    affects: ClassVar[tuple[str, ...]] = ("bridge",)

    @property
    def what(self) -> str:
        return "bridge"

    async def strike(self, ground: Ground) -> dict[str, Any]:
        await ground.kill_bridge()
        return {}

    async def evidence(self, ground: Ground, before: dict[str, Any]) -> Evidence:
        running = ground.bridge_is_running()
        return Evidence(not running, {"running_meanwhile": running})

    async def heal(self, ground: Ground) -> None:
        await ground.start_bridge()
