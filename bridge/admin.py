"""The bridge's own HTTP for people at the line, on a loopback address: alarms and their commands, OEE, work orders."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from shakedown.bridge.core.alarm_rates import figures
from shakedown.bridge.core.alarms import Alarm, CommandRefused
from shakedown.bridge.derived import Derived
from shakedown.bridge.journal_file import JournalError

BODY_BYTES_MAX = 4096
REQUESTS_MAX = 32
SHOWN = (
    "key", "device", "alarm", "occurrence", "raised_ms", "equipment", "physical_asset", "id", "state", "attempts",
)  # fmt: skip
KPI_NS = 24 * 3600 * 1_000_000_000


class Admin:
    """Serves until cancelled; `flush` makes a command durable before it is answered."""

    def __init__(self, derived: Derived, flush: Callable[[], Awaitable[None]], host: str, port: int) -> None:
        self._derived = derived
        self._flush = flush
        self._address = (host, port)
        self.app = Starlette(
            routes=[
                Route("/alarms", self._alarms),
                Route("/alarms/figures", self._figures),
                Route("/alarms/{device}/{name}/{verb}", self._command, methods=["POST"]),
                Route("/oee", self._oee),
                Route("/work-orders", self._work_orders),
            ]
        )

    async def run(self) -> None:
        """Listen; an address that is taken ends the bridge with OSError."""
        host, port = self._address
        config = uvicorn.Config(
            self.app,
            host=host,
            port=port,
            loop="none",
            http="h11",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            limit_concurrency=REQUESTS_MAX,
            timeout_graceful_shutdown=1,
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.on_tick(
            0
        )  # the headers of every answer; its own loop wakes ten times a second, this none
        try:
            await server.startup()
        except SystemExit:  # uvicorn's way to say that it cannot listen
            raise OSError(f"admin: cannot listen on {host}:{port} - configure a free port") from None
        try:
            await asyncio.Event().wait()
        finally:
            await server.shutdown()

    async def _alarms(self, request: Request) -> JSONResponse:
        return JSONResponse([_shown(alarm) for alarm in self._derived.alarms.alarms.values()])

    async def _figures(self, request: Request) -> JSONResponse:
        now_ns = time.time_ns()
        records = list(self._derived.rates.records)
        from_ns = max(now_ns - KPI_NS, min((r.raised_ns for r in records), default=now_ns - KPI_NS))
        return JSONResponse(figures(records, min(from_ns, now_ns - 1), now_ns))

    async def _oee(self, request: Request) -> JSONResponse:
        return JSONResponse(self._derived.reports)

    async def _work_orders(self, request: Request) -> JSONResponse:
        orders = self._derived.orders.orders.values()
        names = (
            "key",
            "device",
            "alarm",
            "occurrence",
            "raised_ms",
            "equipment",
            "physical_asset",
            "id",
            "state",
            "attempts",
        )
        return JSONResponse([{name: getattr(order, name) for name in names} for order in orders])

    async def _command(self, request: Request) -> JSONResponse:
        """ack, confirm, reset, shelve, remove, return; the body is `{"operator", "until_ms", "reason"}`."""
        device, name, verb = (request.path_params[key] for key in ("device", "name", "verb"))
        if (device, name) not in self._derived.alarms.alarms:
            return _problem(404, f"there is no alarm {name!r} on device {device!r}")
        try:
            given = _checked(await _body(request))
            self._derived.operate(verb, device, name, time.time_ns(), **given)
            await self._flush()
        except ValueError as error:
            return _problem(409 if isinstance(error, CommandRefused) else 400, str(error))
        except JournalError as error:
            return _problem(503, str(error))
        return JSONResponse(_shown(self._derived.alarms.alarms[device, name]))


def _shown(alarm: Alarm) -> dict[str, Any]:
    rule = alarm.rule
    return {
        "device": rule.device,
        "name": rule.name,
        "priority": rule.priority,
        "text": rule.text,
        "state": alarm.state.value,
        "occurrence": alarm.occurrence,
        "since_ms": alarm.changed_ns // 1_000_000,
        "value": alarm.value,
        **alarm.flags._asdict(),
    }


async def _body(request: Request) -> Any:
    content = bytearray()
    try:
        async for piece in request.stream():
            content += piece
            if len(content) > BODY_BYTES_MAX:
                raise ValueError(f"the body is longer than {BODY_BYTES_MAX} bytes")
    except ClientDisconnect:
        raise ValueError("the body is not whole") from None
    try:
        return json.loads(bytes(content))
    except RecursionError:
        raise ValueError("the body is nested too deeply") from None


def _checked(given: Any) -> dict[str, Any]:
    kinds = {"operator": str, "until_ms": int, "reason": str}
    if not isinstance(given, dict) or "operator" not in given:
        raise ValueError('the body must be {"operator": ...}; shelve takes until_ms and reason too')
    for name, value in given.items():
        if type(value) is not kinds.get(name):
            raise ValueError(
                f"{name!r} is unknown or of the wrong type: operator and reason are texts, until_ms a number"
            )
    return given


def _problem(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"status": status, "detail": detail}, status, media_type="application/problem+json")
