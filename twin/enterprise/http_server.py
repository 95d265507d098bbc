"""uvicorn as a library: HTTP on real sockets and, unmodified, in the in-memory network on the virtual clock."""

from __future__ import annotations

import asyncio
import ssl

import uvicorn
from starlette.types import ASGIApp

from shakedown.twin.enterprise.errors import LabServiceError

CONNECTIONS_MAX = 64  # and requests under way; one more is answered 503
HEADER_BYTES_MAX = 16 << 10
STOP_TIMEOUT_S = 1  # how long requests under way may take when the CMMS stops


class HttpServer:
    """Serves `app` at `address:port`, named `what` in errors; port 0 takes a free one.

    It is uvicorn without its loop that wakes ten times a second: an idle service costs no virtual time.
    """

    def __init__(
        self, app: ASGIApp, what: str, address: str, port: int, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._what = what
        self._tls = tls
        self._config = uvicorn.Config(
            app,
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
        """Listen; the port. Raises LabServiceError when that cannot be."""
        self._config.load()
        self._config.ssl = self._tls  # uvicorn would read it from files
        self._server.lifespan = self._config.lifespan_class(self._config)
        await self._server.on_tick(0)  # the headers of every answer
        try:
            await self._server.startup()
        except SystemExit:  # uvicorn's way to say that it cannot listen
            where = f"{self._config.host}:{self._config.port}"
            raise LabServiceError(
                f"{self._what} cannot listen on {where}; name a free port of this host"
            ) from None
        return int(self._server.servers[0].sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Refuse connections and end those there are, within STOP_TIMEOUT_S."""
        await self._server.shutdown()
        await asyncio.sleep(0)  # the transports of the last connections close
