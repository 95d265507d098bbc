"""The HTTP interface of a served plant: the truth to compare with, and upsets to set off.

It asks nobody who they are.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from shakedown.twin.enterprise.host_check import is_foreign_page
from shakedown.twin.enterprise.http_query import BadQueryError, Query, given
from shakedown.twin.line.draw import draw_line
from shakedown.twin.line.plant import Plant
from shakedown.twin.web import state
from shakedown.twin.web.endpoints import Endpoints
from shakedown.twin.web.live import EVENTS_MAX
from shakedown.twin.web.openapi import Operation, describe
from shakedown.twin.web.overview import PlantOverview, Told, overview
from shakedown.twin.web.page import render

VERSION = "1"
BODY_BYTES_MAX = 64 << 10  # no operation needs a body; one that comes is read and ignored
BODY_TIMEOUT_S = 10.0
_JSON, _PROBLEM = "application/json", "application/problem+json"
_SAFE_HEADERS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}


class ServedPlant(Told):
    """The plant, the seed of this run, and where it is served."""

    plant: PlantOverview
    seed: int
    endpoints: Endpoints


class TwinApi:
    """The ASGI application `app`; until `now` is set, what concerns the line is answered 503."""

    def __init__(self, plant: Plant, seed: int) -> None:
        self.now: state.LineNow | None = None
        self.endpoints: Endpoints | None = None
        self._plant, self._seed = plant, seed
        self._overview = overview(plant)
        self._drawing = draw_line(plant)
        self.operations = self._table()
        self.description = describe(self.operations, plant.plant, VERSION)
        self.app = Starlette(
            routes=[Route(o.path, self._endpoint(o), methods=[o.method]) for o in self.operations],
            exception_handlers={HTTPException: _answer_problem},
        )
        self.app.router.redirect_slashes = False

    def _table(self) -> tuple[Operation, ...]:
        tail = (
            Query("limit", "integer", "How many at most", maximum=EVENTS_MAX, default=100),
            Query("kind", "string", "Only events of this kind", letters_max=64),
            Query("after", "integer", "Only events with a higher number", default=0),
        )
        return (
            Operation("GET", "/", "A page for people", self.show_page, gives="text/html"),
            Operation("GET", "/openapi.json", "This description", self.show_description),
            Operation("GET", "/drawing.svg", "The line as a drawing", self.show_drawing, gives="image/svg+xml"),
            Operation("GET", "/plant", "What the plant consists of, and where it is served", self.show_plant,
                      ServedPlant),
            Operation("GET", "/signals", "The last sample of every signal, as the ledger has it", self.list_signals,
                      state.SignalNow, is_list=True),
            Operation("GET", "/truth", "What is physically true now", self.show_truth, state.Truth),
            Operation("GET", "/upsets", "Every upset of the plant", self.list_upsets, state.UpsetNow, is_list=True),
            Operation("POST", "/upsets/{id}", "Set off an upset now; one in force goes on as it is", self.trigger_upset,
                      state.UpsetNow, status=202),
            Operation("POST", "/faults/{id}/repair", "Repair an open fault now", self.repair_fault, state.FaultNow,
                      status=202),
            Operation("GET", "/ledger", f"The last events, oldest first; {EVENTS_MAX:,} of each kind are held",
                      self.list_events, state.EventTold, is_list=True, query=tail),
        )  # fmt: skip

    @property
    def _line(self) -> state.LineNow:
        if self.now is None:
            raise HTTPException(503, "the line is not set up yet; try again in a moment")
        return self.now

    # -- the way of a request ------------------------------------------------------------------------------------------

    def _endpoint(self, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            if request.method == "POST":
                await _read(request)
                _refuse_foreign_pages(request)
            query = _query(operation, request)
            answer = operation.handle(**request.path_params, **query)
            if request.method == "POST" and "text/html" in request.headers.get("accept", ""):
                return RedirectResponse("/", 303, _SAFE_HEADERS)  # a button of the page
            content = answer if isinstance(answer, str) else _encoded(answer)
            return Response(content, operation.status, _SAFE_HEADERS, operation.gives)

        return endpoint

    # -- operations ----------------------------------------------------------------------------------------------------

    def show_page(self) -> str:
        line = self._line
        return render(self._overview, self.endpoints, self._drawing, line.truth(), line.upsets())

    def show_description(self) -> Any:
        return self.description

    def show_drawing(self) -> str:
        return self._drawing

    def show_plant(self) -> ServedPlant:
        if self.endpoints is None:
            raise HTTPException(503, "the plant is not served yet; try again in a moment")
        return ServedPlant(plant=self._overview, seed=self._seed, endpoints=self.endpoints)

    def list_signals(self) -> list[state.SignalNow]:
        return self._line.signals()

    def show_truth(self) -> state.Truth:
        return self._line.truth()

    def list_upsets(self) -> list[state.UpsetNow]:
        return self._line.upsets()

    def trigger_upset(self, id: str) -> state.UpsetNow:
        line = self._line
        try:
            line.line.trigger(id)
        except LookupError:
            known = ", ".join(upset.id for upset in line.upsets()) or "none"
            raise HTTPException(404, f"there is no upset {id[:40]!r}; this plant has: {known}") from None
        return line.upset(id)

    def repair_fault(self, id: str) -> state.FaultNow:
        line = self._line
        try:
            line.line.repair(id)
        except LookupError:
            known = ", ".join(line.line.open_faults) or "none"
            detail = f"there is no open fault {id[:40]!r}; open now: {known}. GET /truth tells of them."
            raise HTTPException(404, detail) from None
        return next(fault for fault in line.faults() if fault.id == id)

    def list_events(self, limit: int, after: int, kind: str | None = None) -> list[state.EventTold]:
        return self._line.events(limit, kind, after)


async def _read(request: Request) -> None:
    """Take the body in, of bounded size and within bounded time."""
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > BODY_BYTES_MAX:
                    raise HTTPException(413, f"the body is larger than {BODY_BYTES_MAX} bytes; send none")
    except TimeoutError:
        raise HTTPException(408, f"the body did not come within {BODY_TIMEOUT_S:g} s; send none") from None
    except ClientDisconnect:
        raise HTTPException(400, "the client went away") from None


def _refuse_foreign_pages(request: Request) -> None:
    """A web page that somebody has open elsewhere must not upset the plant."""
    if is_foreign_page(request):
        raise HTTPException(403, "a page of another origin may not use this service; ask it from a program")


def _query(operation: Operation, request: Request) -> dict[str, Any]:
    try:
        return given(operation.query, request)
    except BadQueryError as error:
        raise HTTPException(400, str(error)) from None


def _encoded(answer: Any) -> str:
    return json.dumps(answer, default=_plain) + "\n"


def _plain(told: BaseModel) -> Any:
    return told.model_dump(mode="json")


async def _answer_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = str(error.detail)
    if error.status_code == 404 and detail == "Not Found":
        detail = f"there is no {request.url.path[:100]}; GET /openapi.json tells what there is"
    if error.status_code == 405:
        detail = f"{request.method} is not for {request.url.path[:100]}; GET /openapi.json tells what is"
    title = "Refused" if error.status_code < 500 else "Not ready"
    content = json.dumps({"title": title, "status": error.status_code, "detail": detail}) + "\n"
    return Response(content, error.status_code, {**_SAFE_HEADERS, **(error.headers or {})}, _PROBLEM)
