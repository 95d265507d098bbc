"""The CMMS as a service of the lab: on real sockets and, unmodified, on the virtual clock in the in-memory network."""

from __future__ import annotations

import asyncio
from pathlib import Path

import uvicorn

from shakedown.twin.services.cmms.api import CmmsApi
from shakedown.twin.services.cmms.failures import FailureSwitch
from shakedown.twin.services.cmms.store import Store
from shakedown.twin.services.cmms.webhooks import Webhooks
from shakedown.twin.services.errors import ServiceError

CONNECTIONS_MAX = 64  # and requests under way; one more is answered 503
HEADER_BYTES_MAX = 16 << 10
STOP_TIMEOUT_S = 1  # how long requests under way may take when the CMMS stops


class Cmms:
    """A CMMS at `address:port` over the SQLite file `database`, which survives `stop` and `start`.

    `failures` makes it fail while it runs; `stop` is a CMMS that is down: connections are refused. `port` 0 takes a
    free one, and `port` then says which. Raises ServiceError when it cannot listen.
    """

    def __init__(self, address: str, port: int, *, database: Path) -> None:
        self.address = address
        self.port = port
        self.database = database
        self.failures = FailureSwitch()
        self._running: tuple[_Server, Webhooks, Store] | None = None

    async def start(self) -> None:
        """Listen, and go on with the webhooks that wait."""
        store = Store(self.database)
        webhooks = Webhooks(store)
        api = CmmsApi(store, self.failures, webhooks.wake)
        server = _Server(api, self.address, self.port)
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


class _Server:
    """uvicorn without its loop that wakes ten times a second: an idle service costs no virtual time."""

    def __init__(self, api: CmmsApi, address: str, port: int) -> None:
        self._config = uvicorn.Config(
            api.app,
            host=address,
            port=port,
            loop="none",
            http="h11",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            date_header=False,
            limit_concurrency=CONNECTIONS_MAX,
            h11_max_incomplete_event_size=HEADER_BYTES_MAX,
            timeout_graceful_shutdown=STOP_TIMEOUT_S,
        )
        self._server = uvicorn.Server(self._config)

    async def start(self) -> int:
        self._config.load()
        self._server.lifespan = self._config.lifespan_class(self._config)
        await self._server.on_tick(0)  # the headers of every answer
        try:
            await self._server.startup()
        except SystemExit:  # uvicorn's way to say that it cannot listen
            where = f"{self._config.host}:{self._config.port}"
            raise ServiceError(f"the CMMS cannot listen on {where}; name a free port of this host") from None
        return int(self._server.servers[0].sockets[0].getsockname()[1])

    async def stop(self) -> None:
        await self._server.shutdown()
        await asyncio.sleep(0)  # the transports of the last connections close
