"""The bridge's own HTTP for people at the line, on a loopback address: alarms and their commands, OEE, work orders.

Whoever is on this host may use it; a web page that is open in a browser here may not: it would come with an Origin,
under a name of its own, or with a body that a form can send.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from shakedown.bridge.core.alarm import Alarm, CommandRefused
from shakedown.bridge.core.alarm_rates import figures
from shakedown.bridge.core.alarm_rule import RATIONALE
from shakedown.bridge.journal.errors import JournalError
from shakedown.bridge.listener import Listener, Refusal, problem
from shakedown.bridge.operations import Operations

BODY_BYTES_MAX = 4096
BODY_S = 5.0
"""How long a body may take."""

SHOWN = (
    "key", "device", "alarm", "occurrence", "raised_ms", "equipment", "physical_asset", "id", "state", "attempts",
)  # fmt: skip
KPI_NS = 24 * 3600 * 1_000_000_000


class Admin:
    """Serves until cancelled; `flush` makes a command durable before it is answered."""

    def __init__(
        self,
        operations: Operations,
        flush: Callable[[], Awaitable[None]],
        host: str,
        port: int,
        log: logging.Logger,
    ) -> None:
        self._operations = operations
        self._flush = flush
        app = Starlette(
            routes=[
                Route("/alarms", self._alarms),
                Route("/alarms/figures", self._figures),
                Route("/alarms/{device}/{name}/{verb}", self._command, methods=["POST"]),
                Route("/oee", self._oee),
                Route("/work-orders", self._work_orders),
            ]
        )
        self._listener = Listener(app, "admin", host, port, log, _foreign)

    @property
    def counters(self) -> Counter[str]:
        return self._listener.counters

    async def run(self) -> None:
        """Listen; an address that is taken ends the bridge with CannotListen."""
        await self._listener.run()

    async def _alarms(self, request: Request) -> JSONResponse:
        return JSONResponse([_shown(alarm) for alarm in self._operations.alarms.alarms.values()])

    async def _figures(self, request: Request) -> JSONResponse:
        now_ns = time.time_ns()
        records = list(self._operations.rates.records)
        from_ns = max(now_ns - KPI_NS, min((r.raised_ns for r in records), default=now_ns - KPI_NS))
        return JSONResponse(figures(records, min(from_ns, now_ns - 1), now_ns))

    async def _oee(self, request: Request) -> JSONResponse:
        return JSONResponse(self._operations.reports)

    async def _work_orders(self, request: Request) -> JSONResponse:
        orders = self._operations.work_orders.by_place.values()
        return JSONResponse([{name: getattr(order, name) for name in SHOWN} for order in orders])

    async def _command(self, request: Request) -> JSONResponse:
        """ack, confirm, reset, shelve, remove, return; the body is `{"operator", "until_ms", "reason"}`."""
        device, name, verb = (request.path_params[key] for key in ("device", "name", "verb"))
        if (device, name) not in self._operations.alarms.alarms:
            return self._refused(404, f"there is no alarm {name[:80]!r} on device {device[:80]!r}")
        try:
            given = _checked(await _body(request))
            self._operations.operate(verb, device, name, time.time_ns(), **given)
            await self._flush()
        except _Refused as error:
            return self._refused(error.status, str(error))
        except CommandRefused as error:
            return self._refused(409, str(error))
        except JournalError as error:
            return problem(503, str(error))
        return JSONResponse(_shown(self._operations.alarms.alarms[device, name]))

    def _refused(self, status: int, detail: str) -> JSONResponse:
        self._listener.refused(detail, status)
        return problem(status, detail)


class _Refused(Exception):
    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def _foreign(request: Request) -> Refusal | None:
    """Why a request is not from this host, or may have been made by a web page."""
    host = request.headers.get("host", "")
    if not _is_loopback(host):
        return 421, f"the Host is {host[:80]!r}: ask for localhost, 127.0.0.1 or [::1]"
    origin = request.headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return 403, f"a page of {origin[:80]!r} may not use this service"
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return 403, "a page of another site may not use this service"
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method == "POST" and media_type != "application/json":
        return 415, "the body must be JSON: send Content-Type: application/json"
    return None


def _is_loopback(authority: str) -> bool:
    try:
        name = urlsplit(f"//{authority}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _shown(alarm: Alarm) -> dict[str, Any]:
    rule = alarm.rule
    return {
        "device": rule.device,
        "name": rule.name,
        "priority": rule.priority,
        "text": rule.text,
        **{name: getattr(rule, name) for name in RATIONALE},
        "state": alarm.shown.value,
        "occurrence": alarm.occurrence,
        "since_ms": alarm.changed_ns // 1_000_000,
        "value": alarm.value,
        **alarm.flags._asdict(),
        "shelved_until_ms": alarm.shelved_until_ns // 1_000_000,
        "out_of_service_until_ms": alarm.removed_until_ns // 1_000_000,
    }


async def _body(request: Request) -> Any:
    content = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.stream():
                content += piece
                if len(content) > BODY_BYTES_MAX:
                    raise _Refused(413, f"the body is longer than {BODY_BYTES_MAX} bytes")
        return json.loads(bytes(content))
    except ClientDisconnect:
        raise _Refused(400, "the body is not whole") from None
    except TimeoutError:
        raise _Refused(408, f"the body did not come within {BODY_S:g} s") from None
    except RecursionError:
        raise _Refused(400, "the body is nested too deeply") from None
    except ValueError as error:
        raise _Refused(400, f"the body is no JSON: {error}") from None


def _checked(given: Any) -> dict[str, Any]:
    kinds = {"operator": str, "until_ms": int, "reason": str}
    if not isinstance(given, dict) or "operator" not in given:
        raise _Refused(400, 'the body must be {"operator": ...}; shelve takes until_ms and reason too')
    for name, value in given.items():
        if type(value) is not kinds.get(name):
            remedy = "operator and reason are texts, until_ms a number"
            raise _Refused(400, f"{name[:80]!r} is unknown or of the wrong type: {remedy}")
    return given
