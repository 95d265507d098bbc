"""The enterprise broker dies and comes back: every session and every message in it is gone."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from shakedown.scenarios.faults.fault import Evidence, Fault, Ground


class BrokerRestart(Fault):
    """The enterprise broker dies and comes back: every session and every message in it is gone."""

    kind: Literal["broker_restart"]
    affects: ClassVar[tuple[str, ...]] = ("broker",)

    @property
    def what(self) -> str:
        return "enterprise broker"

    async def strike(self, ground: Ground) -> dict[str, Any]:
        await ground.crash_broker()
        return {}

    async def evidence(self, ground: Ground, before: dict[str, Any]) -> Evidence:
        answers = await ground.broker_answers()
        return Evidence(not answers, {"accepts_connections_meanwhile": answers})

    async def heal(self, ground: Ground) -> None:
        await ground.start_broker()
