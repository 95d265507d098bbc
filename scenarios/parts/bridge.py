"""The bridge under test: whatever a `BridgeRunner` runs."""

from __future__ import annotations

import asyncio

from shakedown.scenarios.bridge_runner import Addresses, BridgeRunner
from shakedown.scenarios.parts.line import LinePart
from shakedown.scenarios.parts.observer import ObserverPart
from shakedown.scenarios.parts.part import ANSWER_S, Ground, Part
from shakedown.scenarios.parts.plan import Plan
from shakedown.scenarios.parts.primary_host import PrimaryHostPart

LOOK_S = 0.1
FLOOD_FACTOR, FLOOD_ROWS = 20, 50_000  # more messages or values than this, for what was offered, are a flood


class BridgePart(Part):
    """The bridge under test; `use` says which."""

    kind = "bridge"
    what = "the bridge under test: SIGKILL, then a new start on what it has on disk"
    affects = "bridge"
    begins_with_line = True

    def __init__(self, plan: Plan, ground: Ground) -> None:
        super().__init__(plan, ground)
        self.runner: BridgeRunner | None = None

    def use(self, runner: BridgeRunner) -> None:
        """Take in the bridge; it is not started yet."""
        self.runner = runner

    async def addresses(self) -> Addresses:
        """What it must dial for each place that its site.yaml names."""
        found = {}
        for name in self.plan.dials:
            other = self.ground.parts[name]
            if other.plan.port:
                found[f"{other.plan.host}:{other.plan.port}"] = await self.dial(other)
        return found

    async def start(self) -> None:
        assert self.runner is not None
        await self.runner.start()

    async def stop(self) -> None:
        if self.runner is not None:
            await self.runner.stop()

    async def close(self) -> None:
        try:
            await super().close()
        finally:
            if self.runner is not None:
                await self.runner.close()

    async def crash(self) -> None:
        assert self.runner is not None
        await self.runner.kill()

    async def freeze(self) -> None:
        assert self.runner is not None
        await self.runner.freeze()

    async def thaw(self) -> None:
        if self.runner is not None:
            await self.runner.thaw()

    async def answers(self, within_s: float = ANSWER_S) -> bool:
        """Whether it runs, and anything of it is heard at the enterprise within that time."""
        if self.runner is None or not self.runner.is_running():
            return False
        before, tries = self._heard(), max(1, round(within_s / LOOK_S))
        for _ in range(tries):
            await asyncio.sleep(within_s / tries)
            if self._heard() != before:
                return True
        return False

    def _heard(self) -> int:
        if self.ground.json is not None:
            return self._enterprise.messages
        return self.ground.find(ObserverPart, self.line).heard(self.edge)

    @property
    def edge(self) -> str:
        """Its edge node, `group/node`."""
        return self.setup.edge

    def ask_rebirth(self) -> None:
        """Have its primary host ask it for a rebirth."""
        self._enterprise.ask_rebirth(self.edge)

    async def command(self, device: str, metric: str, text: str) -> None:
        """Have its primary host write to a metric of it. Raises OSError when no broker takes it."""
        await self._enterprise.command(self.edge, device, metric, text)

    @property
    def rebirths_asked(self) -> int:
        """Rebirth requests that its primary host has sent."""
        return self._enterprise.rebirths_asked

    def was_seen(self) -> bool:
        """Whether anything that it promises has arrived at the enterprise."""
        return self._enterprise.messages > 0

    def other_topics(self) -> list[str]:
        """Topics with messages that a bridge with plain JSON does not declare."""
        return self._enterprise.other_topics

    def bridge_ended_with(self) -> str | None:
        """Why it has ended by itself, which is the bridge's own matter and not the lab's."""
        return self.runner.ended_with() if self.runner is not None else None

    def flood(self) -> str | None:
        """What is wrong when the enterprise has many times what was ever offered; None while all is well."""
        host = self._enterprise
        offered = sum(self.ground.find(LinePart, line).samples for line in host.plan.lines)
        if max(host.samples, host.messages) <= FLOOD_FACTOR * offered + FLOOD_ROWS:
            return None
        return (
            f"it flooded the enterprise: {host.messages} messages with {host.samples} values, where {offered} were "
            "offered; it was stopped"
        )

    @property
    def _enterprise(self) -> PrimaryHostPart:
        return self.ground.find(PrimaryHostPart, self.line)
