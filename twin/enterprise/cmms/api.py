"""The CMMS's HTTP interface: one table of operations, and the one way every request takes.

Nothing here waits but for the body of a request: a request is read, checked, done and answered within one transaction.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote

import msgspec
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from shakedown.twin.enterprise.cmms import model
from shakedown.twin.enterprise.cmms.failures import FailureSwitch
from shakedown.twin.enterprise.cmms.openapi import Operation, describe
from shakedown.twin.enterprise.cmms.page import render
from shakedown.twin.enterprise.cmms.store import Refused, Store, order_number
from shakedown.twin.enterprise.host_check import is_foreign_page
from shakedown.twin.enterprise.http_query import BadQueryError, Query, given

VERSION = "1"
BODY_BYTES_MAX = 4 << 20
ATTACHMENT_BYTES_MAX = 1 << 20
BODY_TIMEOUT_S = 30.0  # how long a client may take to send its body
PAGE_MAX = 500  # work orders in one answer
PAGE_ORDERS = 100  # the latest orders, on the page for people
WEBHOOKS_MAX = 20
DELIVERIES_WAITING_MAX = 1_000  # for one webhook; the next is dropped and counted

_SAFE_HEADERS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "cache-control": "no-store",
}


@dataclass
class Call:
    """A request that has been read: what its path, its query and its body say."""

    path: dict[str, str]
    query: dict[str, Any]
    body: Any = None
    raw: bytes = b""
    media_type: str = ""
    changed: list[tuple[str, dict[str, Any]]] = field(
        default_factory=list
    )  # (event, work order) for the webhooks
    link: str = ""

    @property
    def order(self) -> int:
        return order_number(self.path["id"])

    def number(self, name: str) -> int:
        """A whole number in the path. Raises Refused (404) for anything else."""
        text = self.path[name]
        if not (text.isascii() and text.isdigit() and len(text) <= 12):
            raise Refused(404, f"there is no {name} {text[:40]!r}")
        return int(text)


class CmmsApi:
    """The ASGI application `app` over a store; `on_change` is called when something waits for the webhooks."""

    def __init__(self, store: Store, failures: FailureSwitch, on_change: Callable[[], None]) -> None:
        self._store = store
        self._failures = failures
        self._on_change = on_change
        self.operations = self._table()
        self.app = Starlette(
            routes=list(self._routes()),
            exception_handlers={Refused: _answer_refused, HTTPException: _answer_http},
        )
        self.app.router.redirect_slashes = False

    @cached_property
    def description(self) -> dict[str, Any]:
        """The OpenAPI description, made when somebody asks for it."""
        return describe(self.operations, VERSION)

    def _table(self) -> tuple[Operation, ...]:
        equipment = Query("equipment", "string", "Only of this equipment")
        filters = (
            Query("state", "string", "Only in this state", choices=model.STATES),
            equipment,
            Query("device", "string", "Only of this device"),
            Query("alarm", "string", "Only of this alarm"),
            Query("after", "integer", "Only orders with a higher number", default=0),
            Query(
                "limit", "integer", "How many at most; Link: rel=next tells of more", 1, PAGE_MAX, default=100
            ),
        )
        at = Query("at_ms", "integer", "Only what holds at this moment")
        name = Query("name", "string", "Name of the file", is_required=True)
        return (
            Operation("GET", "/", "A page for people", self.show_page, gives="text/html"),
            Operation("GET", "/openapi.json", "This description", self.show_description, gives="application/json"),
            Operation("GET", "/assets", "All assets", self.list_assets, model.Asset, is_list=True),
            Operation("POST", "/assets", "Enter an asset", self.add_asset, model.Asset, body=model.Asset, status=201),
            Operation("GET", "/assignments", "Which asset does the work of which equipment, and when",
                      self.list_assignments, model.Assignment, is_list=True, query=(equipment, at)),
            Operation("POST", "/assignments", "Assign an asset to equipment; the open assignment there ends",
                      self.add_assignment, model.Assignment, body=model.NewAssignment, status=201),
            Operation("GET", "/work-orders", "Work orders by number", self.list_orders, model.WorkOrder, is_list=True,
                      query=filters),
            Operation("POST", "/work-orders", "Enter a work order", self.add_order, model.WorkOrder,
                      body=model.NewWorkOrder, status=201),
            Operation("GET", "/work-orders/{id}", "One work order", self.show_order, model.WorkOrder, refusals=(404,)),
            Operation("PATCH", "/work-orders/{id}", "Change the state of a work order", self.change_order,
                      model.WorkOrder, body=model.Change, refusals=(404, 409)),
            Operation("POST", "/work-orders/{id}/comments", "Comment on a work order", self.add_comment, model.Comment,
                      body=model.NewComment, status=201, refusals=(404,)),
            Operation("POST", "/work-orders/{id}/attachments", "Attach a file to a work order", self.add_attachment,
                      model.Attachment, takes_file=True, status=201, query=(name,), refusals=(404,)),
            Operation("GET", "/work-orders/{id}/attachments/{number}", "The content of an attached file",
                      self.show_attachment, gives="application/octet-stream", refusals=(404,)),
            Operation("GET", "/webhooks", "All webhooks", self.list_webhooks, model.Webhook, is_list=True),
            Operation("POST", "/webhooks", "Be told of every change of a work order", self.add_webhook, model.Webhook,
                      body=model.NewWebhook, status=201),
            Operation("DELETE", "/webhooks/{webhook}", "Remove a webhook", self.remove_webhook, status=204,
                      refusals=(404,)),
        )  # fmt: skip

    def _routes(self) -> Iterator[Route]:
        for operation in self.operations:
            route = Route(operation.path, self._endpoint(operation), methods=[operation.method])
            route.methods = {
                operation.method
            }  # without the HEAD that Starlette adds and the description does not know
            yield route

    # -- the way of a request ------------------------------------------------------------------------------------------

    def _endpoint(self, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            failure = self._failures.strike(request.method)
            if failure is not None and failure.when == "before":
                return await self._fail(failure.kind, failure.status)
            response = self._do(operation, request, await _read(operation, request))
            if failure is not None:
                return await self._fail(failure.kind, failure.status)
            return response

        return endpoint

    async def _fail(self, kind: str, status: int) -> Response:
        if kind == "time_out":
            await self._failures.hold()
            return _problem(504, "the lab had this request wait; try again")
        return _problem(status, "the lab has this service fail; try again later")

    def _do(self, operation: Operation, request: Request, raw: bytes) -> Response:
        _refuse_foreign_pages(request)
        call = Call(dict(request.path_params), _query(operation, request), raw=raw)
        call.media_type = request.headers.get("content-type", "application/octet-stream")[:200]
        if operation.body:
            call.body = _validated(operation.body, raw)
        key = _idempotency_key(request) if operation.is_idempotent_by_key else None
        fingerprint = hashlib.sha256(
            f"{request.method} {request.url.path}?{request.url.query}\n".encode() + raw
        ).digest()
        try:
            with self._store.transaction():
                known = self._store.answered(key, fingerprint) if key else None
                if known:
                    return _answer(known[1], known[0], {"idempotency-replayed": "true"})
                result = operation.handle(call)
                response = (
                    result if isinstance(result, Response) else _answer(_json(result), operation.status)
                )
                if key:
                    self._store.remember(key, fingerprint, response.status_code, bytes(response.body))
                for event, order in call.changed:
                    self._store.announce(event, order, DELIVERIES_WAITING_MAX)
        except sqlite3.OperationalError as error:  # a full disk, a file taken away
            return _problem(503, f"the CMMS cannot reach its database: {error}; free the disk and try again")
        if call.changed:
            self._on_change()
        if call.link:
            response.headers["link"] = call.link
        return response

    # -- operations ----------------------------------------------------------------------------------------------------

    def show_page(self, call: Call) -> Response:
        count = self._store.last_order_number()
        orders = self._store.orders({}, max(0, count - PAGE_ORDERS), PAGE_ORDERS)
        page = render(orders[::-1], count, self._store.assignments(), self._store.webhooks())
        return Response(page, media_type="text/html", headers=_SAFE_HEADERS)

    def show_description(self, call: Call) -> Any:
        return self.description

    def list_assets(self, call: Call) -> Any:
        return self._store.assets()

    def add_asset(self, call: Call) -> Any:
        return self._store.add_asset(call.body)

    def list_assignments(self, call: Call) -> Any:
        return self._store.assignments(call.query.get("equipment"), call.query.get("at_ms"))

    def add_assignment(self, call: Call) -> Any:
        return self._store.add_assignment(call.body)

    def list_orders(self, call: Call) -> Any:
        query = dict(call.query)
        after, limit = query.pop("after"), query.pop("limit")
        orders = self._store.orders(query, after, limit + 1)
        if len(orders) > limit:
            orders = orders[:limit]
            rest = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
            last = order_number(orders[-1]["id"])
            call.link = f'</work-orders?after={last}&limit={limit}{"&" * bool(rest)}{rest}>; rel="next"'
        return orders

    def add_order(self, call: Call) -> Any:
        order = self._store.add_order(call.body)
        call.changed.append(("work_order.created", order))
        return order

    def show_order(self, call: Call) -> Any:
        return self._store.order(call.order)

    def change_order(self, call: Call) -> Any:
        change = call.body
        order, is_changed = self._store.change_order(call.order, change.state, change.by, change.assigned_to)
        if is_changed:
            call.changed.append(("work_order.changed", order))
        return order

    def add_comment(self, call: Call) -> Any:
        comment = self._store.add_comment(call.order, call.body)
        call.changed.append(("work_order.commented", self._store.order(call.order)))
        return comment

    def add_attachment(self, call: Call) -> Any:
        return self._store.add_attachment(call.order, call.query["name"], call.media_type, call.raw)

    def show_attachment(self, call: Call) -> Response:
        attachment = self._store.attachment(call.order, call.number("number"))
        # Never what it says it is: a page attached by a stranger must not run here.
        headers = {**_SAFE_HEADERS, "content-disposition": "attachment"}
        return Response(attachment["content"], media_type="application/octet-stream", headers=headers)

    def list_webhooks(self, call: Call) -> Any:
        return self._store.webhooks()

    def add_webhook(self, call: Call) -> Any:
        hook = self._store.add_webhook(str(call.body.url), WEBHOOKS_MAX)
        self._on_change()
        return hook

    def remove_webhook(self, call: Call) -> Response:
        self._store.remove_webhook(call.number("webhook"))
        self._on_change()
        return Response(status_code=204)


async def _read(operation: Operation, request: Request) -> bytes:
    """The body of a request, of bounded size and within bounded time."""
    most = ATTACHMENT_BYTES_MAX if operation.takes_file else BODY_BYTES_MAX
    if (
        operation.body
        and request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json"
    ):
        raise Refused(415, "the body must be JSON; send Content-Type: application/json")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise Refused(413, f"the body is larger than {most} bytes; send less")
    except TimeoutError:
        raise Refused(408, f"the body did not come within {BODY_TIMEOUT_S:g} s") from None
    except ClientDisconnect:
        raise Refused(400, "the client went away") from None
    return bytes(body)


def _refuse_foreign_pages(request: Request) -> None:
    """A web page that somebody has open elsewhere must not write here."""
    if is_foreign_page(request):
        raise Refused(403, "a page of another origin may not use this service")


def _query(operation: Operation, request: Request) -> dict[str, Any]:
    try:
        return given(operation.query, request)
    except BadQueryError as error:
        raise Refused(400, str(error)) from None


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= 255 and all("!" <= letter <= "~" for letter in key)):
        raise Refused(400, "Idempotency-Key must be 1 to 255 visible ASCII characters")
    return key


def _validated(kind: type[BaseModel], raw: bytes) -> BaseModel:
    try:
        return kind.model_validate_json(raw)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        told = tuple(
            f"{'.'.join(map(str, problem['loc']))[:200]}: {problem['msg'][:200]}" for problem in problems[:20]
        )
        raise Refused(422, f"the body has {len(problems)} errors", told) from None


_json = msgspec.json.Encoder().encode


def _answer(content: bytes, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(content, status, {**_SAFE_HEADERS, **(headers or {})}, "application/json")


def _problem(status: int, detail: str, errors: tuple[str, ...] = ()) -> Response:
    content = _json(
        {
            "title": "Refused" if status < 500 else "Failed",
            "status": status,
            "detail": detail,
            "errors": errors,
        }
    )
    return Response(content, status, _SAFE_HEADERS, "application/problem+json")


async def _answer_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _problem(error.status, error.detail, error.errors)


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = _problem(error.status_code, str(error.detail))
    response.headers.update(error.headers or {})
    return response
