"""The embedded MQTT 3.1.1 broker of the lab: amqtt, corrected, on any clock and network."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping

from amqtt.errors import BrokerError

from shakedown.twin.enterprise.broker_access import Access, User
from shakedown.twin.enterprise.broker_amqtt import CorrectedBroker, OnAccept, OnRefuse, Retained
from shakedown.twin.enterprise.broker_limits import BrokerCounters, BrokerLimits
from shakedown.twin.enterprise.errors import LabServiceError


class EmbeddedBroker:
    """An MQTT 3.1.1 broker in this process.

    `on_accept(ns, client_id, topic, payload, qos, retain)` is called once for each PUBLISH that the broker takes
    from a client, before it is handed on, and for each will. A QoS 1 PUBLISH that a client repeats with DUP is
    taken again, as MQTT allows, and reported again; `counters.duplicates` says how many there were. QoS 2 is
    reported once.

    Nothing is persistent: after `stop()` and after `crash()` alike, a new `start()` begins without sessions,
    subscriptions and retained messages (a host's retained STATE is lost too; publishers must send it again). Neither
    publishes wills: whoever could have received them is cut off at the same moment. With `saves_retained_s` what is
    retained is saved every so many seconds (0: each message at once) and at `stop()`, and is there again: a STATE
    may then say online of a host that died meanwhile.
    Every bound is in `limits`, what was dropped at one in `counters.dropped`.

    `port` 0 takes a free port; `port` tells it after `start()`. `tls` is a server-side context. With `users` nobody
    else is admitted, and each may do what it was granted: a PUBLISH or a will beyond that goes nowhere although MQTT
    3.1.1 has it acknowledged, a SUBSCRIBE gets 0x80, a client identifier stays its first user's. `counters.refused`
    counts it and `on_refuse(ns, what, username, client_id, detail)` reports it.
    """

    def __init__(
        self,
        address: str,
        port: int,
        *,
        on_accept: OnAccept | None = None,
        tls: ssl.SSLContext | None = None,
        users: Mapping[str, User] | None = None,
        on_refuse: OnRefuse | None = None,
        limits: BrokerLimits | None = None,
        saves_retained_s: float | None = None,
    ) -> None:
        self.address = address
        self.port = port
        self.counters = BrokerCounters()
        self.limits = limits or BrokerLimits()
        self._on_accept = on_accept
        self._tls = tls
        self._access = Access(users)
        self._on_refuse = on_refuse
        self._saves_retained_s = saves_retained_s
        self._saving: asyncio.Task[None] | None = None
        self._retained: Retained = {}
        self._broker: CorrectedBroker | None = None

    async def start(self) -> None:
        """Listen. Raises LabServiceError when the address cannot be listened on, or when running already."""
        if self._broker is not None:
            raise LabServiceError(
                f"MQTT broker on {self.address}:{self.port} is running already; stop it first"
            )
        broker = CorrectedBroker(
            self.address, self.port, self._tls, self._on_accept, self.limits, self.counters,
            access=self._access, on_refuse=self._on_refuse, retained=self._retained,
        )  # fmt: skip
        try:
            await broker.start()
        except BrokerError as error:
            raise LabServiceError(
                f"MQTT broker cannot listen on {self.address}:{self.port}: {error.__cause__}; "
                "choose another port, or end what is using it"
            ) from error
        self._broker = broker
        if self._saves_retained_s:
            self._saving = asyncio.create_task(self._save(broker, self._saves_retained_s))
        if not self.port:
            self.port = broker.port

    async def stop(self) -> None:
        """Close every connection and the listener. Does nothing when not running."""
        broker, self._broker = self._broker, None
        if broker is not None:
            await self._end(broker, crash=False)

    async def crash(self) -> None:
        """Die: every connection is reset at once, and all that was in memory is lost."""
        broker, self._broker = self._broker, None
        if broker is None:
            raise LabServiceError(
                f"MQTT broker on {self.address}:{self.port} cannot crash: it is not running"
            )
        await self._end(broker, crash=True)

    async def _end(self, broker: CorrectedBroker, *, crash: bool) -> None:
        if self._saving is not None:
            self._saving.cancel()
        if self._saves_retained_s == 0 or (self._saves_retained_s and not crash):
            self._retained = dict(broker.retained_messages)
        await broker.end(crash=crash)

    async def _save(self, broker: CorrectedBroker, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            self._retained = dict(broker.retained_messages)
