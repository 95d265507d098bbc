"""The embedded CMMS on the wire."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from shakedown.scenarios.parts.part import ANSWER_S, Ground, Part
from shakedown.scenarios.parts.plan import Plan
from shakedown.twin.enterprise.cmms.failures import FailureSwitch

if TYPE_CHECKING:
    from shakedown.twin.enterprise.cmms.server import Cmms


class CmmsPart(Part):
    """The embedded CMMS; its orders outlive a stop and a crash."""

    kind = "cmms"
    what = "the CMMS; down, it refuses connections, and goes on with the orders that it had"
    affects = "cmms"
    cuts = False

    def __init__(self, plan: Plan, ground: Ground) -> None:
        super().__init__(plan, ground)
        self._service: Cmms | None = None

    async def start(self) -> None:
        if self._service is None:
            from shakedown.twin.enterprise.cmms.server import Cmms  # and a web server: most runs have no CMMS

            database = self.ground.scratch / f"{self.name}.sqlite"
            security = self.ground.security
            tls = security.serving(self.plan.host, self.names, clients_too=False) if security else None
            self._service = Cmms(*await self.bind(), database=database, name=self.plan.host, tls=tls)
        await self.here(self._service.start())

    async def stop(self) -> None:
        if self._service is not None:
            await self._service.stop()

    async def crash(self) -> None:
        """Its machine dies: who waits for an answer hears nothing, and nothing more is written."""
        self.host.unplug()
        await self.stop()
        self.host.plug()

    async def answers(self, within_s: float = ANSWER_S) -> bool:
        """Whether an ordinary request gets an ordinary answer."""
        return await self.ask(self._get(within_s), self.asker, within_s)

    async def _get(self, within_s: float) -> bool:
        import httpx2

        try:
            async with httpx2.AsyncClient(
                timeout=within_s, trust_env=False, verify=self.tls or True
            ) as client:
                return (await client.get(f"{await self.url_from(self.asker)}/assets")).is_success
        except httpx2.HTTPError:
            return False

    async def url_from(self, host: str) -> str:
        """Its address as `host` dials it."""
        address, port = await self.ground.network.route(host, self.plan.host, self.plan.port)
        return f"{'https' if self.ground.security else 'http'}://{address}:{port}"

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What a client of it trusts, if the run is secure."""
        return self.ground.security.trusting() if self.ground.security is not None else None

    @property
    def failures(self) -> FailureSwitch:
        """What makes it fail while it runs."""
        assert self._service is not None
        return self._service.failures

    @property
    def work_orders(self) -> int:
        """How many orders have been made, by its own number of the last one."""
        assert self._service is not None
        return self._service.work_orders
