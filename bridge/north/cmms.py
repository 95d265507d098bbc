"""The way to a CMMS: what an adapter must do, one for the lab's CMMS, and one that is nothing but configuration."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from shakedown.bridge.core.work_orders import ENDED, WorkOrder
from shakedown.bridge.north.cmms_http import CmmsHttp, CmmsRefused, CmmsUnavailable
from shakedown.bridge.operations_config import FIELD, CallConfig, CmmsConfig, GenericConfig

__all__ = ["Adapter", "Answer", "CmmsRefused", "CmmsUnavailable", "adapter_of"]

STATES = frozenset({"open", "assigned", "in_progress", "completed", "closed", "cancelled"})

TEXT_MAX = 200
"""Longest id or name that is taken from a CMMS."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the CMMS says of an order; `ended_ms` is since when it is closed or cancelled."""

    id: str
    state: str
    ended_ms: int | None = None


class Adapter(Protocol):
    """What the bridge needs of a CMMS; each raises CmmsUnavailable or CmmsRefused."""

    async def asset(self, order: WorkOrder) -> str:
        """The physical asset that does the work of the order's equipment when its alarm was raised; "" for none."""
        ...

    async def create(self, order: WorkOrder) -> Answer:
        """Enter an order; entering it again under the same key must not make a second one."""
        ...

    async def follow(self, order: WorkOrder) -> Answer:
        """How the order is now."""
        ...

    async def call_back(self, url: str, key: str) -> str | None:
        """Be called at `url`, which nobody else has, when an order changes; the id of that, None: not known here.

        Entering it again must not make a second one; `key` is the idempotency key.
        """
        ...

    async def close(self) -> None: ...


def adapter_of(config: CmmsConfig, address: tuple[str, int] | None = None) -> Adapter:
    """The adapter that is configured; `address` is dialled where the URL's host and port are meant."""
    http = CmmsHttp(config, address)
    return GenericAdapter(http, config.generic) if config.generic is not None else EmbeddedAdapter(http)


class EmbeddedAdapter:
    """The CMMS of docs/operations.md: it knows idempotency keys, time-bound assignments and webhooks."""

    def __init__(self, http: CmmsHttp) -> None:
        self._http = http

    async def asset(self, order: WorkOrder) -> str:
        path = f"/assignments?equipment={quote(order.equipment, safe='')}&at_ms={order.raised_ms}"
        found = await self._http.ask("GET", path)
        return _text(_at(found, "0.physical_asset"), "physical_asset") if found else ""

    async def create(self, order: WorkOrder) -> Answer:
        headers = {"Idempotency-Key": order.key}
        return _answer(await self._http.ask("POST", "/work-orders", body=order.body, headers=headers))

    async def follow(self, order: WorkOrder) -> Answer:
        return _same(_answer(await self._http.ask("GET", f"/work-orders/{quote(order.id, safe='')}")), order)

    async def call_back(self, url: str, key: str) -> str | None:
        listed = await self._http.ask("GET", "/webhooks")
        hooks = [(_at(hook, "id"), _at(hook, "url")) for hook in listed] if isinstance(listed, list) else []
        ours = [(i, at) for i, at in hooks if type(i) is int and type(at) is str and _path(at) == _path(url)]
        kept = next((i for i, at in ours if _place(at) == _place(url)), None)
        for i in (i for i, _ in ours if i != kept):  # at another port, before a restart
            await self._http.ask("DELETE", f"/webhooks/{i}")
        if kept is None:
            answer = await self._http.ask(
                "POST", "/webhooks", body={"url": url}, headers={"Idempotency-Key": key}
            )
            kept = _at(answer, "id")
            if type(kept) is not int:
                raise CmmsUnavailable("POST /webhooks: the answer is not a webhook")
        return str(kept)

    async def close(self) -> None:
        await self._http.close()


def _answer(content: Any) -> Answer:
    order_id, state, history = (_at(content, name) for name in ("id", "state", "history"))
    state = _known(state)
    ended = [
        entry[0]
        for entry in (history if isinstance(history, list) else [])
        if isinstance(entry, list) and len(entry) > 1 and entry[1] in tuple(ENDED)
    ]
    return Answer(_text(order_id, "id"), state, _moment(ended[-1]) if ended else None)


def _same(answer: Answer, order: WorkOrder) -> Answer:
    if answer.id != order.id:
        raise CmmsUnavailable(f"asked for order {order.id}, the CMMS tells of {answer.id}")
    return answer


def _known(state: Any) -> str:
    if not isinstance(state, str) or state not in STATES:
        raise CmmsUnavailable(f"the answer has no known state: {ascii(state)[:TEXT_MAX]}")
    return state


def _text(value: Any, what: str) -> str:
    """An id or a name, a text or a whole number; what else a CMMS may say is no answer."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not 0 < len(text) <= TEXT_MAX or not text.isprintable():
        raise CmmsUnavailable(f"the answer has no {what}: {ascii(value)[:TEXT_MAX]}")
    return text


def _moment(value: Any) -> int | None:
    """Milliseconds since the epoch; None if it is no such thing."""
    return value if type(value) is int and 0 <= value < 2**53 else None


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def _place(url: str) -> tuple[str, str, int | None]:
    """Where a URL leads, however it is written."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return "", "", None
    return parts.scheme, parts.hostname or "", port


class GenericAdapter:
    """Any CMMS with an HTTP interface: requests are templates, answers are read by dotted paths.

    Every creation carries an Idempotency-Key. For a CMMS that does not know it, `find` is asked first.
    """

    def __init__(self, http: CmmsHttp, config: GenericConfig) -> None:
        self._http = http
        self._config = config

    async def asset(self, order: WorkOrder) -> str:
        call = self._config.asset
        if call is None:
            return ""
        found = _at(await self._call(call, order), call.asset)
        return _text(found, "asset") if found else ""

    async def create(self, order: WorkOrder) -> Answer:
        find = self._config.find
        if find is not None and _at(found := await self._call(find, order), find.id):
            return self._read(find, found, order)
        call = self._config.create
        return self._read(call, await self._call(call, order, {"Idempotency-Key": order.key}), order)

    async def follow(self, order: WorkOrder) -> Answer:
        call = self._config.follow
        return _same(self._read(call, await self._call(call, order), order), order)

    async def call_back(self, url: str, key: str) -> str | None:
        return None

    async def close(self) -> None:
        await self._http.close()

    async def _call(
        self, call: CallConfig, order: WorkOrder, headers: Mapping[str, str] | None = None
    ) -> Any:
        values = {**order.body, "id": order.id, "key": order.key, "physical_asset": order.physical_asset}
        values |= {f"reason_{name}": value for name, value in order.reason.items()}
        path = FIELD.sub(lambda match: quote(str(values[match[1]]), safe=""), call.path)
        body = _fill(call.body, values)
        return await self._http.ask(
            call.method, path, body=body, headers={**self._config.headers, **(headers or {})}
        )

    def _read(self, call: CallConfig, content: Any, order: WorkOrder) -> Answer:
        found = _at(content, call.id) if call.id else None
        order_id = _text(found or order.id, f"id at {call.id!r}")
        said = _at(content, call.state) if call.state else "open"
        said = str(said) if isinstance(said, str | int) else ""
        state = _known(self._config.states.get(said, said))
        ended_ms = _moment(_at(content, call.ended_ms)) if call.ended_ms else None
        if ended_ms is None:
            ended_ms = time.time_ns() // 1_000_000
        return Answer(order_id, state, ended_ms if state in ENDED else None)


def _fill(template: Any, values: Mapping[str, Any]) -> Any:
    """Fill a template: a text that is nothing but `{name}` becomes the value itself."""
    if isinstance(template, dict):
        return {key: _fill(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [_fill(value, values) for value in template]
    if not isinstance(template, str):
        return template
    if match := FIELD.fullmatch(template):
        return values[match[1]]
    return FIELD.sub(lambda match: str(values[match[1]]), template)


def _at(content: Any, path: str) -> Any:
    """What stands at a dotted path; None if nothing does."""
    for step in path.split("."):
        if isinstance(content, dict):
            content = content.get(step)
        elif isinstance(content, list) and step.isdecimal() and int(step) < len(content):
            content = content[int(step)]
        else:
            return None
    return content
