"""The way to a CMMS: what an adapter must do, one for the lab's CMMS, and one that is nothing but configuration."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import httpx2

from shakedown.bridge.config_shift import FIELD, CallConfig, CmmsConfig, GenericConfig
from shakedown.bridge.core.workorders import ENDED, WorkOrder
from shakedown.bridge.yamlfile import ConfigError

ANSWER_BYTES_MAX = 16 << 20
STATES = frozenset({"open", "assigned", "in_progress", "completed", "closed", "cancelled"})


class CmmsUnavailable(Exception):
    """No answer, or none that says what became of the request: it is tried again with the same key."""


class CmmsRefused(Exception):
    """The CMMS will not take the request as it is (4xx)."""


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

    async def close(self) -> None: ...


def adapter_of(config: CmmsConfig, address: tuple[str, int] | None = None) -> Adapter:
    """The adapter that is configured; `address` is dialled where the URL's host and port are meant."""
    http = _Http(config, address)
    return GenericAdapter(http, config.generic) if config.generic is not None else EmbeddedAdapter(http)


class _Http:
    """Requests with a time-out, whose outcome is one of three: an answer, unavailable, refused."""

    def __init__(self, config: CmmsConfig, address: tuple[str, int] | None) -> None:
        host, port = config.host_port
        url = config.url
        if address is not None and address != (host, port):
            rest = url.partition("://")[2].partition("/")[2]
            url = f"{url.partition('://')[0]}://{address[0]}:{address[1]}/{rest}"
        headers = {"Authorization": f"Bearer {_token(config.token_file)}"} if config.token_file else {}
        self._url = url.rstrip("/")
        self._timeout_s = config.timeout_s
        self._client = httpx2.AsyncClient(
            timeout=config.timeout_s,
            headers=headers,
            trust_env=False,
            limits=httpx2.Limits(max_connections=4, max_keepalive_connections=2),
        )

    async def ask(
        self, method: str, path: str, *, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """The decoded JSON of a 2xx answer."""
        try:
            async with asyncio.timeout(self._timeout_s):
                status, content = await self._exchange(method, path, body, headers)
            if 200 <= status < 300:
                return json.loads(content) if content else None
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, ValueError, RecursionError) as error:
            raise CmmsUnavailable(f"{method} {path}: {type(error).__name__} {error}".strip()) from error
        text = f"{method} {path}: {status} {content[:200].decode(errors='replace')}"
        if status in (401, 403, 408, 425, 429) or not 400 <= status < 500:
            raise CmmsUnavailable(text)
        raise CmmsRefused(text)

    async def _exchange(
        self, method: str, path: str, body: Any, headers: Mapping[str, str] | None
    ) -> tuple[int, bytes]:
        content = bytearray()
        async with self._client.stream(method, self._url + path, json=body, headers=headers) as answer:
            async for piece in answer.aiter_bytes():
                content += piece
                if len(content) > ANSWER_BYTES_MAX:
                    raise CmmsUnavailable(
                        f"{method} {path}: an answer of more than {ANSWER_BYTES_MAX:,} bytes"
                    )
        return answer.status_code, bytes(content)

    async def close(self) -> None:
        await self._client.aclose()


class EmbeddedAdapter:
    """The CMMS of docs/shift.md: it knows idempotency keys and time-bound assignments."""

    def __init__(self, http: _Http) -> None:
        self._http = http

    async def asset(self, order: WorkOrder) -> str:
        found = await self._http.ask(
            "GET", f"/assignments?equipment={quote(order.equipment, safe='')}&at_ms={order.raised_ms}"
        )
        return str(_at(found, "0.physical_asset") or "") if found else ""

    async def create(self, order: WorkOrder) -> Answer:
        return _answer(
            await self._http.ask(
                "POST", "/work-orders", body=order.body, headers={"Idempotency-Key": order.key}
            )
        )

    async def follow(self, order: WorkOrder) -> Answer:
        return _answer(await self._http.ask("GET", f"/work-orders/{quote(order.id, safe='')}"))

    async def close(self) -> None:
        await self._http.close()


def _answer(content: Any) -> Answer:
    order_id, state = _at(content, "id"), _at(content, "state")
    if not order_id or state not in STATES:
        raise CmmsUnavailable(f"the answer is no work order: {str(content)[:200]}")
    history = _at(content, "history")
    ended = [entry[0] for entry in history if entry[1] in ENDED] if isinstance(history, list) else []
    return Answer(str(order_id), state, ended[-1] if ended else None)


class GenericAdapter:
    """Any CMMS with an HTTP interface: requests are templates, answers are read by dotted paths.

    Every creation carries an Idempotency-Key. For a CMMS that does not know it, `find` is asked first.
    """

    def __init__(self, http: _Http, config: GenericConfig) -> None:
        self._http = http
        self._config = config

    async def asset(self, order: WorkOrder) -> str:
        call = self._config.asset
        if call is None:
            return ""
        return str(_at(await self._call(call, order), call.asset) or "")

    async def create(self, order: WorkOrder) -> Answer:
        find = self._config.find
        if find is not None and _at(found := await self._call(find, order), find.id):
            return self._read(find, found, order)
        call = self._config.create
        return self._read(call, await self._call(call, order, {"Idempotency-Key": order.key}), order)

    async def follow(self, order: WorkOrder) -> Answer:
        call = self._config.follow
        return self._read(call, await self._call(call, order), order)

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
        order_id = str(_at(content, call.id) or order.id) if call.id else order.id
        said = str(_at(content, call.state)) if call.state else "open"
        state = self._config.states.get(said, said)
        if not order_id or state not in STATES:
            raise CmmsUnavailable(
                f"the answer has no id at {call.id!r} or no known state at {call.state!r}: {said!r}"
            )
        ended_ms = _at(content, call.ended_ms) if call.ended_ms else None
        if not isinstance(ended_ms, int):
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
        elif isinstance(content, list) and step.isdigit() and int(step) < len(content):
            content = content[int(step)]
        else:
            return None
    return content


def _token(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise ConfigError(
            [
                f"cmms.token_file: {path} cannot be read: {error.strerror} - put the file there or mend the path"
            ]
        ) from None
