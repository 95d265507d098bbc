"""The CMMS's interface as it describes itself, and what it does with input that nobody should send."""

from __future__ import annotations

import asyncio
import json
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from shakedown.twin.clock import now_ns
from shakedown.twin.enterprise.cmms import api
from shakedown.twin.enterprise.cmms.failures import FailureSwitch
from shakedown.twin.enterprise.cmms.openapi import Operation
from shakedown.twin.enterprise.cmms.server import Cmms
from shakedown.twin.enterprise.cmms.store import Store
from shakedown.twin.enterprise.http_server import CONNECTIONS_MAX
from tests.twin.http_lab import Answer, ask, new_order, parse, with_cmms


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> api.CmmsApi:
    store = Store(tmp_path_factory.mktemp("cmms") / "cmms.sqlite")
    made = api.CmmsApi(store, FailureSwitch(), lambda: None)
    yield made
    store.close()


def test_the_description_names_exactly_the_routes(described: api.CmmsApi, tmp_path: Path) -> None:
    async def script(cmms: Cmms) -> Any:
        return (await ask(cmms.port, "GET", "/openapi.json")).json

    served = with_cmms("virtual", tmp_path, script)
    told = {(path, method.upper()) for path, methods in served["paths"].items() for method in methods}
    routed = {(route.path, method) for route in described.app.routes for method in route.methods}
    assert told == routed
    assert served["openapi"].startswith("3.1")
    names = [entry["operationId"] for methods in served["paths"].values() for entry in methods.values()]
    assert len(set(names)) == len(names)
    references = set(_values(served, "$ref"))
    assert references
    for reference in references:
        assert reference.removeprefix("#/components/schemas/") in served["components"]["schemas"]
    for path, methods in served["paths"].items():
        for method, entry in methods.items():
            in_path = {given["name"] for given in entry["parameters"] if given["in"] == "path"}
            assert all("{" + name + "}" in path for name in in_path)
            assert path.count("{") == len(in_path)
            assert ("Idempotency-Key" in [given["name"] for given in entry["parameters"]]) == (
                method == "post"
            )


def _values(document: Any, key: str) -> list[str]:
    """Every value of `key`, however deep."""
    parts = (
        document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    )
    here = [document[key]] if isinstance(document, dict) and key in document else []
    return here + [value for part in parts for value in _values(part, key)]


def test_methods_and_paths_that_are_not_described_are_refused(tmp_path: Path) -> None:
    async def script(cmms: Cmms) -> None:
        assert (await ask(cmms.port, "PUT", "/assets", {"id": "P"})).status == 405
        assert (await ask(cmms.port, "DELETE", "/work-orders/WO-000001")).status == 405
        for path in (
            "/nothing",
            "/work-orders/",
            "/work-orders/1",
            "/work-orders/WO-1",
            "/work-orders/WO-000001",
        ):
            answer = await ask(cmms.port, "GET", path)
            assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
            assert answer.json["detail"]
        assert (await ask(cmms.port, "GET", "/work-orders/WO-000001/attachments/x")).status == 404
        assert (await ask(cmms.port, "DELETE", "/webhooks/7")).status == 404

    with_cmms("virtual", tmp_path, script)


def _without(key: str) -> dict[str, Any]:
    return {name: value for name, value in new_order().items() if name != key}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (_without("alarm"), "alarm"),
        (new_order(equipment=""), "equipment"),
        (new_order(equipment="x" * 201), "equipment"),
        (new_order(occurrence=-1), "occurrence"),
        (new_order(occurrence="1"), None),  # a number as text is taken
        (new_order(priority="urgent"), "priority"),
        (new_order(raised_ms=2**70), "raised_ms"),
        (new_order(surprise=1), "surprise"),
        (new_order(context=[{"metric": "a", "samples": [[1, {}, 192]]}]), "context"),
        (new_order(context=[{"metric": "a"}] * 101), "context"),
        ([], ""),
    ],
)
def test_an_order_that_is_not_one_is_refused_with_the_place(
    body: Any, error: str | None, tmp_path: Path
) -> None:
    async def script(cmms: Cmms) -> None:
        answer = await ask(cmms.port, "POST", "/work-orders", body)
        if error is None:
            assert answer.status == 201
        else:
            assert answer.status == 422
            assert any(told.startswith(error) for told in answer.json["errors"]), answer.json

    with_cmms("virtual", tmp_path, script)


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"id": "\\ud800"}', b'{"id": NaN}', b"null", b'{"id":1e999}'],
)
def test_json_that_is_none_is_refused(raw: bytes, tmp_path: Path) -> None:
    async def script(cmms: Cmms) -> None:
        answer = await ask(cmms.port, "POST", "/assets", raw=raw, content_type="application/json")
        assert answer.status == 422

    with_cmms("virtual", tmp_path, script)


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(cmms: Cmms) -> None:
        order = (await ask(cmms.port, "POST", "/work-orders", new_order())).json["id"]
        large = b" " * (api.BODY_BYTES_MAX + 1)
        assert (
            await ask(cmms.port, "POST", "/assets", raw=large, content_type="application/json")
        ).status == 413
        path = f"/work-orders/{order}/attachments?name=a"
        assert (await ask(cmms.port, "POST", path, raw=b" " * (api.ATTACHMENT_BYTES_MAX + 1))).status == 413
        statuses = [(await ask(cmms.port, "POST", path, raw=b"x")).status for _ in range(21)]
        assert statuses == [201] * 20 + [507]
        assert (await ask(cmms.port, "POST", f"/work-orders/{order}/attachments", raw=b"x")).status == 400
        for _ in range(api.WEBHOOKS_MAX):
            assert (await ask(cmms.port, "POST", "/webhooks", {"url": "http://127.0.0.1:9/"})).status == 201
        assert (await ask(cmms.port, "POST", "/webhooks", {"url": "http://127.0.0.1:9/"})).status == 507
        assert (await ask(cmms.port, "POST", "/webhooks", {"url": "file:///etc/passwd"})).status == 422
        reader, writer = await asyncio.open_connection("127.0.0.1", cmms.port)
        writer.write(b"GET /assets HTTP/1.1\r\nx: " + b"y" * 100_000)  # a header without end
        assert (await reader.read(-1)).startswith(b"HTTP/1.1 400 ")
        writer.close()
        for key in ("", "k" * 256, "a key"):
            assert (await ask(cmms.port, "POST", "/assets", {"id": "P"}, idempotency_key=key)).status == 400
        for query in (
            "limit=0",
            "limit=501",
            "limit=x",
            "after=-1",
            "state=gone",
            "colour=red",
            "equipment=" + "x" * 201,
        ):
            assert (await ask(cmms.port, "GET", f"/work-orders?{query}")).status == 400, query

    with_cmms("virtual", tmp_path, script)


def test_the_oldest_idempotency_key_is_forgotten_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shakedown.twin.enterprise.cmms.store.IDEMPOTENCY_KEYS_MAX", 3)

    async def script(cmms: Cmms) -> None:
        for number in range(4):
            await ask(cmms.port, "POST", "/work-orders", new_order(), idempotency_key=f"k{number}")
        assert (
            "idempotency-replayed"
            in (await ask(cmms.port, "POST", "/work-orders", new_order(), idempotency_key="k1")).headers
        )
        again = await ask(cmms.port, "POST", "/work-orders", new_order(), idempotency_key="k0")
        assert again.json["id"] == "WO-000005"

    with_cmms("virtual", tmp_path, script)


def test_a_page_of_another_origin_may_not_write(tmp_path: Path) -> None:
    async def script(cmms: Cmms) -> None:
        for origin, status in (
            ("http://evil.example", 403),
            ("null", 403),
            (f"http://127.0.0.1:{cmms.port}", 201),
        ):
            answer = await ask(cmms.port, "POST", "/assets", {"id": origin}, origin=origin)
            assert answer.status == status
        form = await ask(cmms.port, "POST", "/assets", raw=b'{"id": "P"}', content_type="text/plain")
        assert form.status == 415

    with_cmms("virtual", tmp_path, script)


def test_a_page_under_a_name_of_its_own_is_refused(tmp_path: Path) -> None:
    async def script(cmms: Cmms) -> None:
        for host, status in (("127.0.0.1:1", 200), ("[::1]", 200), ("localhost", 200), ("cmms:8080", 200),
                             ("evil.example", 421), ("evil.example:80", 421), ("[::", 421)):  # fmt: skip
            head = f"GET /assets HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
            reader, writer = await asyncio.open_connection("127.0.0.1", cmms.port)
            writer.write(head.encode())
            assert parse(await reader.read(-1)).status == status, host
            writer.close()

    with_cmms("virtual", tmp_path, script)


def test_a_body_that_does_not_come_is_given_up_and_crowds_are_refused(tmp_path: Path) -> None:
    async def script(cmms: Cmms) -> None:
        head = b"POST /assets HTTP/1.1\r\nhost: cmms\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"
        began_ns = now_ns()
        reader, writer = await asyncio.open_connection("127.0.0.1", cmms.port)
        writer.write(head)
        assert parse(await reader.read(65536)).status == 408
        assert (now_ns() - began_ns) / 1e9 == pytest.approx(api.BODY_TIMEOUT_S, abs=1)
        writer.close()

        crowd = [await asyncio.open_connection("127.0.0.1", cmms.port) for _ in range(CONNECTIONS_MAX)]
        for _, slow in crowd:
            slow.write(head)
        assert (await ask(cmms.port, "GET", "/assets")).status == 503
        for _, slow in crowd:
            slow.close()
        await asyncio.sleep(1)
        assert (await ask(cmms.port, "GET", "/assets")).status == 200

    with_cmms("virtual", tmp_path, script)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_orders_and_runs_nothing_that_a_client_sent(tmp_path: Path) -> None:
    attack = "<script>alert(1)</script>"

    async def script(cmms: Cmms) -> Answer:
        assert "No work order yet" in (await ask(cmms.port, "GET", "/")).body.decode()
        await ask(cmms.port, "POST", "/assets", {"id": attack})
        await ask(
            cmms.port,
            "POST",
            "/assignments",
            {"equipment": attack, "physical_asset": attack, "from_ms": 2**53},
        )
        reason = {"metric": attack, "value": attack, "limit": attack, "unit": attack, "text": attack}
        made = await ask(
            cmms.port, "POST", "/work-orders", new_order(equipment=attack, alarm=attack, reason=reason)
        )
        path = f"/work-orders/{made.json['id']}"
        await ask(cmms.port, "POST", f"{path}/comments", {"by": attack, "text": attack})
        await ask(cmms.port, "POST", f"{path}/attachments?name=%3Cscript%3E", raw=attack.encode())
        page = await ask(cmms.port, "GET", "/")
        for _ in range(api.PAGE_ORDERS):
            await ask(cmms.port, "POST", "/work-orders", new_order())
        assert f"the latest {api.PAGE_ORDERS} shown" in (await ask(cmms.port, "GET", "/")).body.decode()
        return page

    page = with_cmms("virtual", tmp_path, script)
    tags = _Tags()
    tags.feed(page.body.decode())
    assert "script" not in tags.seen
    assert "polyline" in tags.seen  # the curve of the context
    assert attack in tags.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


# -- anything at all ---------------------------------------------------------------------------------------------------

_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
_json = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
)


@st.composite
def _order(draw: st.DrawFn) -> dict[str, Any]:
    """A work order of which a few keys hold anything."""
    order = new_order()
    for key in draw(st.sets(st.sampled_from(sorted(order)), max_size=2)):
        order[key] = draw(_json)
    return order


_bodies = (
    _json
    | _order()
    | st.fixed_dictionaries({"id": st.text(max_size=20)})
    | st.fixed_dictionaries(
        {
            "equipment": st.sampled_from(["A", "B"]),
            "physical_asset": st.sampled_from(["P", "Q"]),
            "from_ms": st.integers(0, 9),
            "to_ms": st.none() | st.integers(0, 9),
        }
    )
    | st.fixed_dictionaries(
        {"state": st.sampled_from(["assigned", "closed", "cancelled"]), "by": st.text(max_size=3)}
    )
    | st.fixed_dictionaries({"by": st.text(max_size=3), "text": st.text(max_size=3)})
    | st.fixed_dictionaries({"url": st.sampled_from(["http://127.0.0.1:9/x", "http://[", "ftp://x", ""])})
)
_ids = st.sampled_from(
    ["WO-000001", "WO-000002", "WO-000009", "WO-1", "x", "%00", "..%2f", "%ff", "1", "999999999999999"]
)


@pytest.mark.slow
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_whatever_is_sent_is_answered_as_described(described: api.CmmsApi, data: st.DataObject) -> None:
    async def script(cmms: Cmms) -> None:
        await ask(cmms.port, "POST", "/assets", {"id": "P"})
        await ask(cmms.port, "POST", "/work-orders", new_order())
        for _ in range(8):
            operation = data.draw(st.sampled_from(described.operations))
            target = operation.path
            while "{" in target:
                target = target[: target.index("{")] + data.draw(_ids) + target[target.index("}") + 1 :]
            if operation.query and data.draw(st.booleans()):
                query = data.draw(st.sampled_from(operation.query))
                value = data.draw(
                    st.sampled_from(["1", "P", "open", "-1", "%00", "99999999999999999999", "", "%ff"])
                )
                target += f"?{query.name}={value}"
            headers = data.draw(st.sampled_from([{}, {"idempotency_key": "k"}])) | {
                "content_type": "application/json"
            }
            raw = data.draw(st.binary(max_size=50)) if operation.takes_file else b""
            if operation.body:
                raw = json.dumps(data.draw(_bodies)).encode()
            _check(operation, await ask(cmms.port, operation.method, target, raw=raw, **headers))

    with TemporaryDirectory() as folder:
        with_cmms("virtual", Path(folder), script)


def _check(operation: Operation, answer: Answer) -> None:
    described = {operation.status, 400, 403, *operation.refusals}
    if operation.body:
        described |= {422} | ({409} if operation.method == "POST" else set())
    if operation.takes_file:
        described |= {409}
    assert answer.status in described, (operation.path, answer)
    if answer.status >= 400:
        assert answer.json["status"] == answer.status
        assert answer.json["detail"]
    elif operation.answer:
        kind = list[operation.answer] if operation.is_list else operation.answer  # type: ignore[name-defined]
        _adapter(kind).validate_json(answer.body)
        json.loads(answer.body)


_adapter = cache(TypeAdapter)
