"""A CMMS that is no friend: whatever it answers is an answer, no answer or a refusal, in bounded time and size."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shakedown.bridge.north.cmms import (
    Adapter,
    Answer,
    CmmsRefused,
    CmmsUnavailable,
    EmbeddedAdapter,
    GenericAdapter,
)
from shakedown.bridge.north.cmms_http import ANSWER_BYTES_MAX, CmmsHttp
from shakedown.bridge.operations_config import CmmsConfig
from shakedown.bridge.yamlfile import ConfigError
from shakedown.twin.clock import run
from shakedown.twin.network.memory import MemoryNetwork
from tests.bridge.operations_rig import SITE, TEMPERATURE, Plant, with_plant
from tests.bridge.test_cmms_adapters import EMBEDDED, FOLLOWED, GENERIC, ORDER

WORDS = st.sampled_from(
    ["id", "state", "history", "items", "no", "st", "job", "done", "url", "physical_asset", "0"]
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=300)
    | st.sampled_from(["open", "closed", "NEW", "DONE", "7/8", -1, 2**63, "http://bridge:9000/hook/s", "WO\n1"])
)  # fmt: skip
ANSWERS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=20,
)
CALLS: list[Callable[[Adapter], Awaitable[Any]]] = [
    lambda a: a.asset(ORDER), lambda a: a.create(ORDER), lambda a: a.follow(FOLLOWED),
    lambda a: a.call_back("http://bridge:9000/hook/s", "key"),
]  # fmt: skip


class Said:
    """The HTTP of an adapter, with answers that were made up."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    async def ask(self, method: str, path: str, *, body: Any = None, headers: Any = None) -> Any:
        return self.answers.pop(0) if self.answers else None


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(ANSWERS, min_size=1, max_size=3))
def test_any_json_is_an_answer_or_none(answers: list[Any]) -> None:
    for make in (EmbeddedAdapter, lambda http: GenericAdapter(http, GENERIC.generic)):
        for call in CALLS:
            try:
                found = asyncio.run(_ask(call, make(Said(*answers))))
            except (CmmsUnavailable, CmmsRefused):
                continue
            if isinstance(found, Answer):
                assert found.id.isprintable()
                assert 0 < len(found.id) <= 200
                assert found.ended_ms is None or type(found.ended_ms) is int
            else:
                assert found is None or (found.isprintable() and len(found) <= 200)


async def _ask(call: Callable[[Adapter], Awaitable[Any]], adapter: Adapter) -> Any:
    return await call(adapter)


@pytest.mark.parametrize(
    "order",
    [
        {"id": "W", "state": {}}, {"id": "W", "state": ["open"]}, {"id": ["W"], "state": "open"},
        {"id": "", "state": "open"},
        {"id": "W" * 201, "state": "open"}, {"id": "W\n2026 ERROR", "state": "open"}, {"id": True, "state": "open"},
    ],
)  # fmt: skip
def test_an_order_of_the_wrong_types_is_no_answer(order: Any) -> None:
    with pytest.raises(CmmsUnavailable):
        asyncio.run(_ask(CALLS[1], EmbeddedAdapter(Said(order))))


@pytest.mark.parametrize(
    "history", [1, [1], [[]], [[1]], [["x", "closed"]], [[1, []]], [[-5, "closed"]], [None], {}]
)
def test_a_history_of_the_wrong_types_says_nothing(history: Any) -> None:
    order = {"id": "7/8", "state": "closed", "history": history}
    assert asyncio.run(_ask(CALLS[2], EmbeddedAdapter(Said(order)))) == Answer("7/8", "closed")


def test_an_order_that_was_not_asked_for_is_not_taken() -> None:
    with pytest.raises(CmmsUnavailable, match="asked for order 7/8, the CMMS tells of WO-9"):
        asyncio.run(_ask(CALLS[2], EmbeddedAdapter(Said({"id": "WO-9", "state": "closed"}))))


# ---- below HTTP: what comes over the wire

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
ORDER_JSON = json.dumps({"id": "WO-1", "state": "open"}).encode()


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"fff0\r\n" + b" " * 0xFFF0 + b"\r\n")
        await asyncio.sleep(0.001)


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"content-length: 1000000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" ")
        await asyncio.sleep(0.5)


async def dripping_head(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"x: y\r\n")
        await asyncio.sleep(0.5)


async def not_yet(writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        await asyncio.sleep(0.1)


async def silent(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def bomb(writer: asyncio.StreamWriter) -> None:
    content = gzip.compress(b" " * (64 << 20))
    writer.write(
        HEAD + f"content-encoding: gzip\r\ncontent-length: {len(content)}\r\n\r\n".encode() + content
    )
    await asyncio.Event().wait()


async def elsewhere(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 307 Go\r\nlocation: http://evil:8080/steal\r\ncontent-length: 0\r\n\r\n")


async def garbage(writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xff" * 50_000)


async def heads(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"".join(b"x%d: %s\r\n" % (i, b"y" * 1000) for i in range(1000)))
    await asyncio.Event().wait()


async def short(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"content-length: 1000\r\n\r\n" + ORDER_JSON)


Play = Callable[[asyncio.StreamWriter], Awaitable[None]]
PLAYS = [endless, dripping, dripping_head, not_yet, silent, bomb, elsewhere, garbage, heads, short]


@contextlib.asynccontextmanager
async def playing(network: MemoryNetwork, play: Play) -> Any:
    """A host `cmms` that answers any request with a play, and one `evil` that counts who comes."""
    seen = SimpleNamespace(evil=0, requests=[])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            seen.requests.append(await reader.readuntil(b"\r\n\r\n"))
            await play(writer)
        writer.close()

    async def lure(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.evil += 1
        writer.close()

    hosts = [(network.add_host("cmms", "enterprise"), serve), (network.add_host("evil", "enterprise"), lure)]
    servers = [await host.spawn(asyncio.start_server(f, host.name, 8080), name="serve") for host, f in hosts]
    try:
        yield seen
    finally:
        for server in servers:
            server.close()


@pytest.mark.parametrize("play", PLAYS)
def test_no_answer_takes_longer_or_more_than_allowed(play: Play) -> None:
    async def main() -> None:
        with MemoryNetwork() as network:
            network.add_conduit("wan", ("site", "enterprise"))
            bridge = network.add_host("bridge", "site")
            async with playing(network, play) as seen:
                http = CmmsHttp(EMBEDDED, None)
                begun_s = time.monotonic()
                with pytest.raises(CmmsUnavailable) as caught:
                    await bridge.spawn(EmbeddedAdapter(http).create(ORDER), name="create")
                assert time.monotonic() - begun_s <= EMBEDDED.timeout_s + 0.1
                assert seen.evil == 0
                if play is endless:
                    assert f"more than {ANSWER_BYTES_MAX:,} bytes" in str(caught.value)
                await http.close()

    run(main())


def test_cookies_are_not_kept() -> None:
    async def cookie(writer: asyncio.StreamWriter) -> None:
        writer.write(
            HEAD + b"set-cookie: a=b\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(ORDER_JSON)
        )
        writer.write(ORDER_JSON)

    async def main() -> None:
        with MemoryNetwork() as network:
            network.add_conduit("wan", ("site", "enterprise"))
            bridge = network.add_host("bridge", "site")
            async with playing(network, cookie) as seen:
                http = CmmsHttp(EMBEDDED, None)
                for _ in range(2):
                    assert (
                        await bridge.spawn(EmbeddedAdapter(http).create(ORDER), name="create")
                    ).id == "WO-1"
                assert len(seen.requests) == 2
                assert not any(b"cookie" in request.lower() for request in seen.requests)
                await http.close()

    run(main())


@pytest.mark.parametrize("play", [endless, dripping, garbage, elsewhere, bomb])
def test_the_bridge_goes_on_beside_a_hostile_cmms(play: Play, tmp_path: Path) -> None:
    """Alarms are told in time, nothing is believed; when a CMMS is back at last, there is one order."""

    async def case(plant: Plant) -> None:
        await plant.begin()
        await plant.fail("down")

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                await play(writer)
            writer.close()

        server = await plant.on("cmms", asyncio.start_server(serve, "cmms", 8080))
        hot_ms = await plant.change((TEMPERATURE, 90.0))
        await asyncio.sleep(60)
        assert plant.said("alarm/hot") == [(hot_ms + 5000, "unacked")]
        assert [value for _, value in plant.said("work_order/hot")] == ["pending"]
        assert plant.bridge.counters["work_orders.unavailable"] > 1
        server.close()
        await plant.heal("down")
        await plant.until(lambda: plant.said("work_order/hot")[-1][1].endswith("open"))
        assert len(await plant.orders()) == 1

    with_plant(tmp_path, case, SITE)


@pytest.mark.parametrize(
    "content", [b"", b"two words", b"line\nline", b"\xff", "gehei\u00df".encode(), b"x" * 5000]
)
def test_a_token_file_that_holds_no_token_is_named_without_it(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"cmms\.token_file: .*token holds no token") as caught:
        CmmsHttp(CmmsConfig(url="https://cmms", token_file=str(path)), None)
    assert "two words" not in str(caught.value)
