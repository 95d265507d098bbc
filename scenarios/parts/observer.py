"""The judge's passive observer at the broker of a line."""

from __future__ import annotations

from shakedown.acceptance.observer import Observer
from shakedown.scenarios.parts.broker import BrokerPart
from shakedown.scenarios.parts.part import ANSWER_S, Ground, TaskPart
from shakedown.scenarios.parts.plan import Plan


class ObserverPart(TaskPart):
    """An ordinary subscriber that writes down what passes at the broker of its line."""

    kind = "observer"
    what = "the judge's passive subscriber: what passed at the broker"
    is_evidence = True

    def __init__(self, plan: Plan, ground: Ground) -> None:
        super().__init__(plan, ground)
        self._observer: Observer | None = None

    async def start(self) -> None:
        address, port = await self.dial(self.ground.find(BrokerPart, self.line))
        own = self.own
        self._observer = Observer(
            address, port, log=self.folder / "observer.jsonl", name=self.name,
            tls=own.tls() if own else None, user=own.user if own else None,
        )  # fmt: skip
        await super().start()
        await self.ready("the observer's connection to the broker", self._observer.connected)

    async def run(self) -> None:
        assert self._observer is not None
        await self._observer.run()

    async def answers(self, within_s: float = ANSWER_S) -> bool:
        """Whether it has the broker."""
        return self._observer is not None and self._observer.connected.is_set()

    def heard(self, edge: str) -> int:
        """Messages of the edge node `group/node` so far, its deaths apart: these the broker says for it."""
        return self._observer.heard[edge] if self._observer is not None else 0
