"""The bridge's HTTP servers: uvicorn, with a bound on everything that whoever connects can hold on to."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS_MAX = 64
"""One more is closed at once: open files are what the journal needs too."""

REQUESTS_MAX = 32
"""Under way at the same time; one more is answered 503."""

REQUEST_S = 10.0
"""A connection is cut that has not asked and been answered within this time, from its beginning or its last answer."""

HEADER_BYTES_MAX = 16 << 10
LOG_S = 60.0
"""How often the log tells of one kind of refusal, with the count of all."""

Refusal = tuple[int, str]


class CannotListen(OSError):
    """The address of one of the bridge's HTTP servers cannot be listened on."""


class Listener:
    """Serves `app` at `host:port`, named `what`; `check` may refuse a request with a status and a text.

    `port` 0 takes a free one, and `port` then says which. `counters` counts requests and refusals by kind.
    """

    def __init__(
        self,
        app: ASGIApp,
        what: str,
        host: str,
        port: int,
        log: logging.Logger,
        check: Callable[[Request], Refusal | None] = lambda request: None,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.port = port
        self._app = app
        self._what = what
        self._check = check
        self._log = log
        self._told_s: dict[str, float] = {}
        self._under_way = 0
        config = uvicorn.Config(
            self, host=host, port=port, loop="none", http=_Connection, ws="none", lifespan="off", access_log=False,
            log_config=None, proxy_headers=False, server_header=False, date_header=False, timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=HEADER_BYTES_MAX,
            headers=[("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")],
        )  # fmt: skip
        self._server = uvicorn.Server(config)

    async def start(self) -> None:
        """Listen. Raises CannotListen."""
        server, config = self._server, self._server.config
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.on_tick(0)  # the headers of every answer; uvicorn's own loop wakes ten times a second
        try:
            await server.startup()
        except SystemExit:  # uvicorn's way to say that it cannot listen
            where = f"{config.host}:{config.port}"
            text = f"{self._what}: cannot listen on {where} - give it an address of this host and a free port"
            raise CannotListen(text) from None
        self.port = int(server.servers[0].sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """End every connection, within a second."""
        await self._server.shutdown()

    async def run(self) -> None:
        """Listen until cancelled."""
        await self.start()
        try:
            await asyncio.Event().wait()
        finally:
            await self.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        self.counters["requests"] += 1
        refusal = self._check(request)
        if self._under_way >= REQUESTS_MAX:
            refusal = (503, f"{REQUESTS_MAX} requests are under way: try again")
        if refusal is not None:
            self.refused(f"{request.method} {request.url.path[:200]!r}: {refusal[1]}", refusal[0])
            await problem(*refusal)(scope, receive, send)
            return
        self._under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1

    def refused(self, text: str, status: int) -> None:
        """Count a refusal, and log it unless one of its kind was logged a moment ago."""
        self.counters[f"refused_{status}"] += 1
        self._note(f"refused_{status}", text)

    def cut(self, why: str) -> None:
        """A connection was cut."""
        self.counters["cut"] += 1
        self._note("cut", why)

    def _note(self, kind: str, text: str) -> None:
        now_s = time.monotonic()
        if now_s >= self._told_s.get(kind, -LOG_S) + LOG_S:
            self._told_s[kind] = now_s
            self._log.warning("%s: %s (%s: %d so far)", self._what, text, kind, self.counters[kind])


def problem(status: int, detail: str) -> JSONResponse:
    """An error as RFC 9457 has it; `detail` says what, and the remedy."""
    return JSONResponse({"status": status, "detail": detail}, status, media_type="application/problem+json")


class _Connection(H11Protocol):
    """uvicorn's connection, which by itself waits for ever for a request to be whole or an answer to be read."""

    _deadline: asyncio.TimerHandle | None = None

    @property
    def _owner(self) -> Listener:
        return cast(Listener, self.config.app)

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            self._owner.cut(f"more than {CONNECTIONS_MAX} connections")
            transport.abort()
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._wait()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        self._owner.refused("what came is no HTTP", 400)
        super().send_400_response(msg)

    def _wait(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(REQUEST_S, self._expire)

    def _expire(self) -> None:
        if not self.transport.is_closing():
            self._owner.cut(f"a connection without a whole request or answer within {REQUEST_S:g} s")
        self.transport.abort()
