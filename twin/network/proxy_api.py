"""Toxiproxy's HTTP API over the built-in proxy, and the process that serves it.

    python -m shakedown.twin.network.proxy_api --port 8474

answers as toxiproxy-server 2.12 does (status codes, JSON, error texts) and adds two addresses of its own:
`GET /counters` and `POST /proxies/{name}/reset`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shakedown.twin.network.proxy import Proxy, loopback_address, tcp_socket
from shakedown.twin.network.proxy_toxics import TOXICS, Toxic

VERSION = "2.12.0+shakedown"
BODY_BYTES_MAX = 1 << 20
PROXIES_MAX = 1000
TOXICS_MAX = 100
"""Toxics of one proxy."""
REQUESTS_MAX = 64
"""HTTP requests under way at a time."""


class ApiError(Exception):
    """An answer other than success."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error


class ProxyBody(msgspec.Struct):
    name: str = ""
    listen: str = ""
    upstream: str = ""
    enabled: bool = True


class ToxicBody(msgspec.Struct):
    name: str = ""
    type: str = ""
    stream: str = "downstream"
    toxicity: float = 1.0
    attributes: dict[str, Any] = {}


class ToxicUpdate(msgspec.Struct):
    toxicity: float | None = None
    attributes: dict[str, Any] = {}


class ProxyApi:
    """The proxies of one server, by name, and what each request does to them."""

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed
        self.proxies: dict[str, Proxy] = {}
        self._lock = asyncio.Lock()  # one change at a time: enabling awaits
        self.app = Starlette(routes=list(self._routes()), exception_handlers={ApiError: _answer_error})
        self.app.router.redirect_slashes = False

    async def close(self) -> None:
        """Close every listener and connection."""
        for proxy in self.proxies.values():
            await proxy.disable(keep_port=False)
        self.proxies.clear()

    def _routes(self) -> Iterator[Route]:
        table: list[tuple[str, dict[str, Callable[[Request], Awaitable[Response]]]]] = [
            ("/version", {"GET": self.version}),
            ("/counters", {"GET": self.counters}),
            ("/reset", {"POST": self.reset}),
            ("/populate", {"POST": self.populate}),
            ("/proxies", {"GET": self.list, "POST": self.create}),
            (
                "/proxies/{proxy}",
                {"GET": self.show, "POST": self.update, "PATCH": self.update, "DELETE": self.delete},
            ),
            ("/proxies/{proxy}/reset", {"POST": self.reset_connections}),
            ("/proxies/{proxy}/toxics", {"GET": self.list_toxics, "POST": self.create_toxic}),
            (
                "/proxies/{proxy}/toxics/{toxic}",
                {
                    "GET": self.show_toxic,
                    "POST": self.update_toxic,
                    "PATCH": self.update_toxic,
                    "DELETE": self.delete_toxic,
                },
            ),
        ]
        for path, verbs in table:
            yield Route(path, self._endpoint(verbs), methods=list(verbs))

    def _endpoint(
        self, verbs: dict[str, Callable[[Request], Awaitable[Response]]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            if request.headers.get("user-agent", "").startswith("Mozilla/"):
                # A web page that the user has open must not reach the lab (as in Toxiproxy).
                return Response("User agent not allowed\n", 403)
            if request.method not in verbs:
                return Response(status_code=405)
            async with self._lock:
                return await verbs[request.method](request)

        return endpoint

    async def version(self, request: Request) -> Response:
        return _answer({"version": VERSION})

    async def counters(self, request: Request) -> Response:
        return _answer({name: proxy.snapshot() for name, proxy in self.proxies.items()})

    async def list(self, request: Request) -> Response:
        return _answer({name: proxy.as_json() for name, proxy in self.proxies.items()})

    async def create(self, request: Request) -> Response:
        body = await _body(request, ProxyBody)
        proxy = await self._create(body)
        return _answer(proxy.as_json(), 201)

    async def populate(self, request: Request) -> Response:
        """Create what is missing and replace what differs; a proxy that matches is left alone."""
        made: list[dict[str, Any]] | None = None
        try:
            bodies = await _body(request, list[ProxyBody])
            for number, body in enumerate(bodies, 1):
                _require(body, f" at proxy {number}")
            for body in bodies:
                made = [*(made or []), (await self._populate_one(body)).as_json()]
        except ApiError as err:
            return _answer({"error": err.error, "status": err.status, "proxies": made}, err.status)
        return _answer({"proxies": made}, 201)

    async def show(self, request: Request) -> Response:
        return _answer(self._proxy(request).as_json())

    async def update(self, request: Request) -> Response:
        """Change `listen`, `upstream` or `enabled`; the first two drop the connections."""
        proxy = self._proxy(request)
        before = ProxyBody(proxy.name, proxy.listen, proxy.upstream, proxy.enabled)
        wanted = await _body(request, ProxyBody, before)
        if (wanted.listen, wanted.upstream) != (proxy.listen, proxy.upstream):
            await proxy.disable(keep_port=False)
            proxy.listen, proxy.upstream = wanted.listen, wanted.upstream
        if wanted.enabled:
            await _enable(proxy)
        else:
            await proxy.disable()
        return _answer(proxy.as_json())

    async def delete(self, request: Request) -> Response:
        proxy = self._proxy(request)
        await proxy.disable(keep_port=False)
        del self.proxies[proxy.name]
        return Response(status_code=204)

    async def reset(self, request: Request) -> Response:
        """Remove every toxic and enable every proxy."""
        for proxy in self.proxies.values():
            for toxic in list(proxy.toxics):
                proxy.remove_toxic(toxic)
            await _enable(proxy)
        return Response(status_code=204)

    async def reset_connections(self, request: Request) -> Response:
        """Our own: end the existing connections with RST."""
        return _answer({"connections": self._proxy(request).reset_connections()})

    async def list_toxics(self, request: Request) -> Response:
        return _answer(self._proxy(request).as_json()["toxics"])

    async def create_toxic(self, request: Request) -> Response:
        proxy = self._proxy(request)
        body = await _body(request, ToxicBody)
        if body.stream.lower() not in ("upstream", "downstream"):
            raise ApiError(400, "stream was invalid, can be either upstream or downstream")
        if body.type not in TOXICS:
            raise ApiError(400, "invalid toxic type")
        name = body.name or f"{body.type}_{body.stream}"
        attributes = _convert(body.attributes, TOXICS[body.type])
        if any(toxic.name == name for toxic in proxy.toxics):
            raise ApiError(409, "toxic already exists")
        if len(proxy.toxics) >= TOXICS_MAX:
            raise ApiError(400, f"no more than {TOXICS_MAX} toxics on one proxy")
        toxic = Toxic(name, body.type, body.stream, body.toxicity, attributes)
        proxy.add_toxic(toxic)
        return _answer(toxic.as_json())

    async def show_toxic(self, request: Request) -> Response:
        return _answer(self._toxic(request)[1].as_json())

    async def update_toxic(self, request: Request) -> Response:
        """Change attributes (those not named stay); toxicity holds for connections to come."""
        proxy, toxic = self._toxic(request)
        body = await _body(request, ToxicUpdate)
        merged = msgspec.to_builtins(toxic.attributes) | body.attributes
        toxic.attributes = _convert(merged, type(toxic.attributes))
        if body.toxicity is not None:
            toxic.toxicity = body.toxicity
        proxy.update_toxic(toxic)
        return _answer(toxic.as_json())

    async def delete_toxic(self, request: Request) -> Response:
        proxy, toxic = self._toxic(request)
        proxy.remove_toxic(toxic)
        return Response(status_code=204)

    def _proxy(self, request: Request) -> Proxy:
        proxy = self.proxies.get(request.path_params["proxy"])
        if proxy is None:
            raise ApiError(404, "proxy not found")
        return proxy

    def _toxic(self, request: Request) -> tuple[Proxy, Toxic]:
        proxy = self._proxy(request)
        for toxic in proxy.toxics:
            if toxic.name == request.path_params["toxic"]:
                return proxy, toxic
        raise ApiError(404, "toxic not found")

    async def _create(self, body: ProxyBody) -> Proxy:
        _require(body)
        if body.name in self.proxies:
            raise ApiError(409, "proxy already exists")
        if len(self.proxies) >= PROXIES_MAX:
            raise ApiError(400, f"no more than {PROXIES_MAX} proxies")
        proxy = Proxy(body.name, body.listen or "127.0.0.1:0", body.upstream, seed=self.seed)
        if body.enabled:
            await _enable(proxy)
        self.proxies[proxy.name] = proxy
        return proxy

    async def _populate_one(self, body: ProxyBody) -> Proxy:
        existing = self.proxies.get(body.name)
        if existing is not None:
            if (existing.listen, existing.upstream) == (body.listen, body.upstream):
                return existing
            await existing.disable(keep_port=False)
            del self.proxies[body.name]
        return await self._create(body)


def _answer(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def _answer_error(request: Request, err: Exception) -> Response:
    assert isinstance(err, ApiError)
    return _answer({"error": err.error, "status": err.status}, err.status)


def _require(body: ProxyBody, where: str = "") -> None:
    for field in ("name", "upstream"):
        if not getattr(body, field):
            raise ApiError(400, f"missing required field: {field}{where}")


async def _enable(proxy: Proxy) -> None:
    try:
        await proxy.enable()
    except OSError as err:
        raise ApiError(500, f"listen tcp {proxy.listen}: bind: {(err.strerror or str(err)).lower()}") from err
    except ValueError as err:
        raise ApiError(500, str(err)) from err


async def _body(request: Request, kind: Any, default: msgspec.Struct | None = None) -> Any:
    """The request's JSON as `kind`; null and what is absent keep their default, what is unknown is ignored."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise ApiError(400, f"bad request body: larger than {BODY_BYTES_MAX} bytes")
    try:
        raw = msgspec.json.decode(bytes(body))
    except (msgspec.DecodeError, RecursionError) as err:
        raise ApiError(400, f"bad request body: {err}") from err
    if default is not None and isinstance(raw, dict):
        raw = msgspec.to_builtins(default) | {k: v for k, v in raw.items() if v is not None}
    return _convert(raw, kind)


def _convert(raw: Any, kind: Any) -> Any:
    if isinstance(raw, list):
        raw = [_without_nulls(entry) for entry in raw]
    try:
        return msgspec.convert(_without_nulls(raw), kind)
    except msgspec.ValidationError as err:
        raise ApiError(400, f"bad request body: {err}") from err


def _without_nulls(raw: Any) -> Any:
    return {k: v for k, v in raw.items() if v is not None} if isinstance(raw, dict) else raw


async def serve(host: str, port: int, *, seed: int = 0, ended: asyncio.Event | None = None) -> None:
    """Serve the API on a loopback address until `ended` is set or the process is told to stop."""
    api = ProxyApi(seed=seed)
    sock = tcp_socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(loopback_address(f"{host}:{port}"))
    print(f"serving Toxiproxy's API on {host}:{sock.getsockname()[1]}", flush=True)
    config = uvicorn.Config(
        api.app,
        http="h11",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        limit_concurrency=REQUESTS_MAX,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    watcher = asyncio.get_running_loop().create_task(_stop_when(ended, server)) if ended else None
    try:
        await server.serve(sockets=[sock])
    finally:
        if watcher is not None:
            watcher.cancel()
        await api.close()


async def _stop_when(ended: asyncio.Event, server: uvicorn.Server) -> None:
    await ended.wait()
    server.should_exit = True


async def _serve_for_parent(host: str, port: int, seed: int) -> None:
    """Serve until standard input ends: whoever started this process is gone then."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def read_stdin() -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            loop.remove_reader(sys.stdin)
            ended.set()

    loop.add_reader(sys.stdin, read_stdin)
    await serve(host, port, seed=seed, ended=ended)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="A Toxiproxy-compatible proxy server on loopback")
    parser.add_argument("--host", default="127.0.0.1", help="loopback address of the HTTP API")
    parser.add_argument("--port", type=int, default=8474, help="port of the HTTP API; 0 picks a free one")
    parser.add_argument("--seed", type=int, default=0, help="seed of jitter, slices and toxicity")
    parser.add_argument("--until-stdin-ends", action="store_true", help="stop when standard input ends")
    given = parser.parse_args(arguments)
    run = _serve_for_parent if given.until_stdin_ends else serve
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(run(given.host, given.port, seed=given.seed))
    except (OSError, ValueError) as err:
        parser.exit(2, f"cannot serve on {given.host}:{given.port}: {err}; name a free loopback port\n")


if __name__ == "__main__":
    main()
