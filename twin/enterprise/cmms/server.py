"""The CMMS as a service of the lab: on real sockets and, unmodified, on the virtual clock in the in-memory network."""

from __future__ import annotations

import ssl
from pathlib import Path

from shakedown.twin.enterprise.cmms.api import CmmsApi
from shakedown.twin.enterprise.cmms.failures import FailureSwitch
from shakedown.twin.enterprise.cmms.store import Store
from shakedown.twin.enterprise.cmms.webhooks import Webhooks
from shakedown.twin.enterprise.host_check import only_under
from shakedown.twin.enterprise.http_server import HttpServer


class Cmms:
    """A CMMS at `address:port` over the SQLite file `database`, which survives `stop` and `start`.

    `failures` makes it fail while it runs; `stop` is a CMMS that is down: connections are refused. `port` 0 takes a
    free one, and `port` then says which. `name` is a host name that clients know it by. `tls` is a server-side
    context. Raises LabServiceError when it cannot listen.
    """

    def __init__(
        self, address: str, port: int, *, database: Path, name: str = "", tls: ssl.SSLContext | None = None
    ) -> None:
        self.address = address
        self.port = port
        self.database = database
        self._names = {address.lower(), name.lower()} - {""}
        self._tls = tls
        self.failures = FailureSwitch()
        self._running: tuple[HttpServer, Webhooks, Store] | None = None

    @property
    def work_orders(self) -> int:
        """How many orders have been made, by the number of the last one; 0 while it is down."""
        return self._running[2].last_order_number() if self._running is not None else 0

    async def start(self) -> None:
        """Listen, and go on with the webhooks that wait."""
        store = Store(self.database)
        webhooks = Webhooks(store)
        api = CmmsApi(store, self.failures, webhooks.wake)
        server = HttpServer(
            only_under(self._names, api.app), "the CMMS", self.address, self.port, tls=self._tls
        )
        try:
            self.port = await server.start()
        except BaseException:
            store.close()
            raise
        await webhooks.start()
        self._running = server, webhooks, store

    async def stop(self) -> None:
        """Refuse connections and end those there are; requests that a failure holds back are let go."""
        if self._running is None:
            return
        server, webhooks, store = self._running
        self._running = None
        self.failures.heal()
        await webhooks.stop()
        await server.stop()
        store.close()
