"""An MQTT broker: the embedded one, a Mosquitto of its own, or one that is there already."""

from __future__ import annotations

import time
from typing import Any

from shakedown.scenarios.brokers import Broker, foreign_address
from shakedown.scenarios.parts.part import ANSWER_S, Ground, Part, bytes_come
from shakedown.scenarios.parts.plan import Plan
from shakedown.twin.enterprise.broker import EmbeddedBroker
from shakedown.twin.enterprise.jsonl import JsonLines
from shakedown.twin.enterprise.mosquitto import CONNECT, ForeignBroker, MosquittoBroker

CONNACK = b"\x20\x02\x00\x00"


class AcceptanceLog:
    """broker.jsonl of every line on a broker: each PUBLISH that the embedded broker accepted."""

    def __init__(self, logs: list[JsonLines]) -> None:
        self._logs = logs
        self.messages = 0

    def on_accept(self, ns: int, client_id: str, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        self.messages += 1
        for log in self._logs:  # msgspec writes bytes as base64
            log.write(["A", ns, client_id, topic, bytes(payload), qos, retain])

    def close(self) -> None:
        for log in self._logs:
            log.close(time.time_ns(), messages=self.messages)


class BrokerPart(Part):
    """An MQTT broker; sessions and messages of the embedded one are gone after a stop and after a crash."""

    kind = "broker"
    what = (
        "an MQTT broker; the embedded one comes back with an empty memory, Mosquitto with what it had saved"
    )
    affects = "broker"

    def __init__(self, plan: Plan, ground: Ground) -> None:
        super().__init__(plan, ground)
        self._broker: Broker | None = None
        self._log: AcceptanceLog | None = None

    async def start(self) -> None:
        if self._broker is None:
            self._broker = self._make(*await self.bind())
        await self.here(self._broker.start())

    def _make(self, address: str, port: int) -> Broker:
        choice = self.ground.broker
        if choice == "embedded":
            folders = [self.ground.folders[line] for line in self.plan.lines]
            self._log = AcceptanceLog([JsonLines(folder / "broker.jsonl") for folder in folders])
            return EmbeddedBroker(address, port, on_accept=self._log.on_accept)
        if choice == "mosquitto":
            return MosquittoBroker(address, port, self.folder)
        return ForeignBroker(*foreign_address(choice))

    async def stop(self) -> None:
        if self._broker is not None:
            await self._broker.stop()

    async def crash(self) -> None:
        assert self._broker is not None
        await self._broker.crash()

    async def freeze(self) -> None:
        if isinstance(self._broker, MosquittoBroker):
            self._broker.freeze()
        else:
            await super().freeze()

    async def thaw(self) -> None:
        if isinstance(self._broker, MosquittoBroker):
            self._broker.thaw()
        await super().thaw()

    async def answers(self, within_s: float = ANSWER_S) -> bool:
        """Whether it takes a CONNECT."""
        return await self.ask(self._connect(), self.asker, within_s)

    async def _connect(self) -> bool:
        address, port = await self.ground.network.route(self.asker, self.plan.host, self.plan.port)
        return await bytes_come(address, port, CONNECT, CONNACK)

    async def close(self) -> None:
        await super().close()
        if self._log is not None:
            self._log.close()

    @property
    def counters(self) -> Any:
        """What it did, where it counts."""
        return getattr(self._broker, "counters", None)
