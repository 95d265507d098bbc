"""What an adapter makes of a CMMS's answers: good ones, refusals, and those that say nothing."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shakedown.bridge.core.work_orders import WorkOrder
from shakedown.bridge.north.cmms import Adapter, Answer, CmmsRefused, CmmsUnavailable, adapter_of
from shakedown.bridge.operations_config import CallConfig, CmmsConfig, GenericConfig
from shakedown.twin.clock import run
from shakedown.twin.network.memory import MemoryNetwork
from tests.bridge.operations_rig import serving

REASON = {"metric": "c.a/t", "limit": 10.0, "value": 11.0, "unit": "CEL", "text": "hot & loud"}
ORDER = WorkOrder(
    "k/1", "c.a", "hot", 1, "high", 5000, "EQ 1/2", "kim", REASON, ({"samples": []},), "P-1", True
)
FOLLOWED = WorkOrder(**{**{f: getattr(ORDER, f) for f in ORDER.__dataclass_fields__}, "id": "7/8"})
EMBEDDED = CmmsConfig(url="http://cmms:8080", timeout_s=2)
GENERIC = CmmsConfig(
    url="http://cmms:8080/api/",
    adapter="generic",
    generic=GenericConfig(
        find=CallConfig(path="/jobs?ref={key}", id="items.0.no", state="items.0.st"),
        create=CallConfig(
            method="POST",
            path="/jobs",
            body={
                "ref": "{key}",
                "title": "{reason_text} at {equipment}",
                "why": "{reason}",
                "n": [1, "{occurrence}"],
            },
            id="job.no",
            state="job.st",
        ),
        follow=CallConfig(path="/jobs/{id}", state="st", ended_ms="done"),
        headers={"X-Plant": "acme"},
        states={"NEW": "open", "DONE": "closed"},
    ),
)


class Script:
    """A CMMS that gives the answers it was told to, and keeps what it was asked."""

    def __init__(self, *answers: tuple[int, Any]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, Any, dict[str, str]]] = []

    async def answer(self, request: Request) -> Response:
        raw = await request.body()
        path = request.scope["raw_path"].decode() + (f"?{request.url.query}" if request.url.query else "")
        self.asked.append((request.method, path, json.loads(raw) if raw else None, dict(request.headers)))
        status, content = self.answers.pop(0)
        return Response(content if isinstance(content, bytes) else json.dumps(content), status)


def ask(script: Script, config: CmmsConfig, work: Callable[[Adapter], Awaitable[Any]]) -> Any:
    app = Starlette(routes=[Route("/{path:path}", script.answer, methods=["GET", "POST", "PATCH"])])

    async def main() -> Any:
        with MemoryNetwork() as network:
            network.add_conduit("wan", ("site", "enterprise"))
            host = network.add_host("bridge", "site")

            async def call() -> Any:
                adapter = adapter_of(config)
                try:
                    return await work(adapter)
                finally:
                    await adapter.close()

            async with serving(app, network.add_host("cmms", "enterprise"), "cmms", 8080):
                return await host.spawn(call(), name="call")

    return run(main())


def test_the_embedded_adapter_sends_the_order_under_its_key() -> None:
    script = Script((201, {"id": "WO-1", "state": "open", "history": [[9, "open", "bridge"]]}))
    assert ask(script, EMBEDDED, lambda a: a.create(ORDER)) == Answer("WO-1", "open")
    ((method, path, body, headers),) = script.asked
    assert (method, path, headers["idempotency-key"]) == ("POST", "/work-orders", "k/1")
    assert body == json.loads(json.dumps(ORDER.body))


def test_the_embedded_adapter_asks_for_the_asset_of_that_moment_and_for_the_end() -> None:
    script = Script((200, [{"physical_asset": "P-9"}]), (200, []))
    assert ask(script, EMBEDDED, lambda a: a.asset(ORDER)) == "P-9"
    assert script.asked[0][1] == "/assignments?equipment=EQ%201%2F2&at_ms=5000"
    assert ask(script, EMBEDDED, lambda a: a.asset(ORDER)) == ""
    script = Script((200, {"id": "7/8", "state": "closed", "history": [[1, "open", ""], [4, "closed", ""]]}))
    assert ask(script, EMBEDDED, lambda a: a.follow(FOLLOWED)) == Answer("7/8", "closed", 4)
    assert script.asked[0][1] == "/work-orders/7%2F8"


def test_a_generic_cmms_is_asked_in_its_own_words() -> None:
    script = Script((200, {"items": []}), (200, {"job": {"no": 12, "st": "NEW"}}))
    assert ask(script, GENERIC, lambda a: a.create(ORDER)) == Answer("12", "open")
    find, create = script.asked
    assert find[:2] == ("GET", "/api/jobs?ref=k%2F1")
    assert create[:3] == (
        "POST", "/api/jobs", {"ref": "k/1", "title": "hot & loud at EQ 1/2", "why": REASON, "n": [1, 1]},
    )  # fmt: skip
    assert (create[3]["x-plant"], create[3]["idempotency-key"]) == ("acme", "k/1")


def test_a_generic_cmms_that_has_the_order_already_gets_no_second_one() -> None:
    script = Script((200, {"items": [{"no": 12, "st": "NEW"}]}))
    assert ask(script, GENERIC, lambda a: a.create(ORDER)) == Answer("12", "open")
    assert len(script.asked) == 1
    script = Script((200, {"st": "DONE", "done": 77}))
    assert ask(script, GENERIC, lambda a: a.follow(FOLLOWED)) == Answer("7/8", "closed", 77)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((500, {}), CmmsUnavailable), ((503, b""), CmmsUnavailable), ((429, {}), CmmsUnavailable),
        ((401, {}), CmmsUnavailable), ((302, b""), CmmsUnavailable),
        ((200, b"<html>"), CmmsUnavailable), ((200, b""), CmmsUnavailable), ((200, [1]), CmmsUnavailable),
        ((200, {"id": "1", "state": "lost"}), CmmsUnavailable), ((200, b"[" * 100_000), CmmsUnavailable),
        ((200, b"\xff\xfe"), CmmsUnavailable), ((200, b" " * ((16 << 20) + 1)), CmmsUnavailable),
        ((400, {}), CmmsRefused), ((404, {}), CmmsRefused), ((409, {}), CmmsRefused), ((422, b"no"), CmmsRefused),
    ],
)  # fmt: skip
def test_every_other_answer_is_either_no_answer_or_a_refusal(answer: tuple[int, Any], error: type) -> None:
    with pytest.raises(error):
        ask(Script(answer), EMBEDDED, lambda a: a.create(ORDER))


def test_nobody_there_is_no_answer() -> None:
    async def main() -> None:
        with MemoryNetwork() as network:
            network.add_conduit("wan", ("site", "enterprise"))
            network.add_host("cmms", "enterprise")
            with pytest.raises(CmmsUnavailable):
                await network.add_host("bridge", "site").spawn(
                    adapter_of(EMBEDDED).create(ORDER), name="call"
                )

    run(main())
