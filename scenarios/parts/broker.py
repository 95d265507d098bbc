"""An MQTT broker: the embedded one, a Mosquitto of its own, or one that is there already."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from shakedown.scenarios.brokers import Broker, foreign_address
from shakedown.scenarios.parts.part import ANSWER_S, Ground, Part, bytes_come
from shakedown.scenarios.parts.plan import Plan
from shakedown.scenarios.security import Security, users_of
from shakedown.twin.enterprise.broker import EmbeddedBroker
from shakedown.twin.enterprise.broker_access import User
from shakedown.twin.enterprise.jsonl import JsonLines
from shakedown.twin.enterprise.mosquitto import (
    ForeignBroker,
    MosquittoBroker,
    MosquittoSecurity,
    connect_packet,
)

CONNACK = b"\x20\x02\x00\x00"
REFUSALS_MAX = 1_000  # that are written down


class AcceptanceLog:
    """broker.jsonl: every PUBLISH that the embedded broker accepted, and who was refused."""

    def __init__(self, path: Path) -> None:
        self._log = JsonLines(path)
        self._refused = 0
        self.messages = 0

    def on_accept(self, ns: int, client_id: str, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        self.messages += 1
        # msgspec writes bytes as base64
        self._log.write(["A", ns, client_id, topic, bytes(payload), qos, retain])

    def on_refuse(self, ns: int, what: str, username: str, client_id: str, detail: str) -> None:
        self._refused += 1
        if self._refused <= REFUSALS_MAX:  # the counters say how many there were
            self._log.write(["R", ns, what, username[:200], client_id[:200], detail[:200]])

    def close(self) -> None:
        self._log.close(time.time_ns(), messages=self.messages)


class BrokerPart(Part):
    """An MQTT broker; sessions of the embedded one are gone after a stop and after a crash, and all messages but those
    that it is asked to keep."""

    kind = "broker"
    what = (
        "an MQTT broker; the embedded one comes back with an empty memory, or with the retained messages "
        "that it had saved (`saves_retained_s`), Mosquitto with what it had saved"
    )
    affects = "broker"

    def __init__(self, plan: Plan, ground: Ground) -> None:
        super().__init__(plan, ground)
        self._broker: Broker | None = None
        self._log: AcceptanceLog | None = None
        if ground.broker not in ("embedded", "mosquitto"):
            ground.network.stands_at(plan.host, plan.port, foreign_address(ground.broker))

    async def start(self) -> None:
        if self._broker is None:
            self._broker = self._make(*await self.bind())
        await self.here(self._broker.start())

    def _make(self, address: str, port: int) -> Broker:
        choice = self.ground.broker
        if choice == "embedded":
            self._log = AcceptanceLog(self.folder / "broker.jsonl")
            return EmbeddedBroker(
                address, port, on_accept=self._log.on_accept, on_refuse=self._log.on_refuse,
                saves_retained_s=self.plan.options.get("saves_retained_s"), **self._access(),
            )  # fmt: skip
        if choice == "mosquitto":
            return MosquittoBroker(address, port, self.folder, security=self._security_of_mosquitto())
        return ForeignBroker(address, port)

    def _access(self) -> dict[str, Any]:
        """Who may what, and by which certificate, if the run is secure."""
        security = self.ground.security
        if security is None:
            return {}
        return {
            "tls": security.serving(self.plan.host, self.names, clients_too=True),
            "users": self._users(security),
        }

    def _users(self, security: Security) -> dict[str, User]:
        plans = [part.plan for part in self.ground.parts.values()]
        return users_of(self.plan, plans, self.ground.setups, security, self.ground.json, self.ground.besides)

    def _security_of_mosquitto(self) -> MosquittoSecurity | None:
        security = self.ground.security
        if security is None:
            return None
        pair = security.server(self.plan.host, self.names)
        folder = pair.key.parent
        return MosquittoSecurity(pair.certificate, pair.key, security.ca, self._users(security), folder)

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
        own = self.askers_own
        if own is None:
            return await bytes_come(address, port, connect_packet(), CONNACK)
        return await bytes_come(address, port, connect_packet(own.user), CONNACK, own.tls())

    async def close(self) -> None:
        await super().close()
        if self._log is not None:
            self._log.close()
            self.share("broker.jsonl")

    @property
    def counters(self) -> Any:
        """What it did, where it counts."""
        return getattr(self._broker, "counters", None)
