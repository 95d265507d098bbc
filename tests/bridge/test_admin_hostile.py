"""The bridge's HTTP against what is no friend of it: bounded, logged, and the bridge goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shakedown.bridge.listener import CONNECTIONS_MAX, REQUEST_S
from tests.bridge.operations_rig import TEMPERATURE, Plant, with_plant

PATH = "/alarms/cell.a/hot/ack"
JSON = {"content-type": "application/json"}
KIM = b'{"operator": "kim"}'


async def exchange(request: bytes) -> tuple[int, bytes]:
    """Send bytes as they are; status (0: no answer) and body of the first answer, until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", 8090)
    try:
        writer.write(request)
        answer = await reader.read(-1)
    except ConnectionError:
        return 0, b""
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split()[1]) if answer else 0), body


def request(
    body: bytes = KIM, *, method: str = "POST", path: str = PATH, host: str = "127.0.0.1:8090", **headers: str
) -> bytes:
    fields = {"host": host, "connection": "close", "content-length": str(len(body)), **JSON}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items() if v), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


async def standing(plant: Plant) -> None:
    """An alarm that waits for the operator."""
    await plant.begin()
    await plant.change((TEMPERATURE, 90.0))
    await plant.until(lambda: plant.said("alarm/hot"))


async def is_well(plant: Plant) -> None:
    """The bridge runs, nothing has been acknowledged by a stranger, and its operator is served."""
    assert not plant.task.done()
    assert [value for _, value in plant.said("alarm/hot")] == ["unacked"]
    assert (await plant.on("bridge", exchange(request())))[0] == 200
    await plant.until(lambda: [value for _, value in plant.said("alarm/hot")] == ["unacked", "acked"])


BODIES = [
    (b"", 400), (b"{", 400), (b"\xff\xfe", 400), (b"[" * 4000, 400), (b"1" * 4000, 400), (b"[]", 400), (b"null", 400),
    (b'{"operator": null}', 400), (b'{"operator": ["kim"]}', 400), (b'{"operator": "kim", "root": true}', 400),
    (b'{"operator": "kim", "until_ms": 1.5}', 400), (b'{"operator": "kim", "until_ms": true}', 400),
    (b'{"operator": "kim", "until_ms": NaN}', 400), (b'{"operator": "' + b"k" * 5000 + b'"}', 413),
    (b'{"operator": ""}', 409), (b'{"operator": "' + b"k" * 300 + b'"}', 409), (b'{"operator": "\\ud800"}', 409),
    (b'{"operator": "kim\\n2026-01-05 ERROR the sky falls"}', 409), (b'{"operator": "\\u0000"}', 409),
]  # fmt: skip


@pytest.mark.slow
def test_a_body_that_is_wrong_is_refused_and_does_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def case(plant: Plant) -> None:
        await standing(plant)
        for body, status in BODIES:
            found, answer = await plant.on("bridge", exchange(request(body)))
            assert (found, body[:40]) == (status, body[:40])
            assert json.loads(answer)["status"] == status
        soon_ms = time.time_ns() // 1_000_000 + 60_000
        for body in (
            f'{{"operator": "kim", "until_ms": {soon_ms}, "reason": "\\ud800"}}',
            '{"operator": "kim", "until_ms": 0, "reason": "\\ud800"}',
            '{"operator": "kim", "until_ms": -1, "reason": "x"}',
            f'{{"operator": "kim", "until_ms": {10**30}, "reason": "x"}}',
        ):
            path = PATH.replace("ack", "shelve")
            assert (await plant.on("bridge", exchange(request(body.encode(), path=path))))[0] == 409
        for path in ("/alarms/cell.a/no/ack", f"/alarms/cell.a/{'x' * 2000}/ack", "/alarms/%2e%2e/hot/ack"):
            assert (await plant.on("bridge", exchange(request(path=path))))[0] == 404
        await is_well(plant)

    with caplog.at_level(logging.WARNING, logger="shakedown.bridge"):
        with_plant(tmp_path, case)
    lines = [r.getMessage() for r in caplog.records if r.getMessage().startswith("admin:")]
    assert 4 <= len(lines) < 15  # of thirty refusals: the first of a kind in a minute
    assert all(line.isprintable() for line in lines)


def test_a_shelve_command_over_sparkplug_with_what_has_no_encoding_is_refused(tmp_path: Path) -> None:
    async def case(plant: Plant) -> None:
        await standing(plant)
        until_ms = time.time_ns() // 1_000_000 + 60_000
        for text in ('"\\ud800"', '"a\\nb"'):
            said = f'{{"operator": "kim", "until_ms": {until_ms}, "reason": {text}}}'
            await plant.command("alarm/hot/shelve", said)
        await plant.until(lambda: plant.bridge.counters.get("commands_refused") == 2)
        await is_well(plant)

    with_plant(tmp_path, case)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example:8090"}, 421), ({"host": "evil.example@127.0.0.1.evil"}, 421), ({"host": "["}, 421),
        ({"origin": "http://evil.example"}, 403), ({"origin": "null"}, 403), ({"origin": "http://127.0.0.1:3000"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403), ({"sec_fetch_site": "same-site"}, 403),
        ({"content_type": "text/plain"}, 415), ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"content_type": ""}, 415), ({"content_type": "multipart/form-data; boundary=x"}, 415),
    ],
)  # fmt: skip
def test_a_web_page_cannot_press_a_button(headers: dict[str, str], status: int, tmp_path: Path) -> None:
    async def case(plant: Plant) -> None:
        await standing(plant)
        assert (await plant.on("bridge", exchange(request(**headers))))[0] == status
        if status != 415:
            get = request(b"", method="GET", path="/alarms", **headers)
            assert (await plant.on("bridge", exchange(get)))[0] == status
        for host in ("localhost:8090", "[::1]:8090", "127.0.0.1"):
            get = request(b"", method="GET", path="/alarms", host=host, origin=f"http://{host}")
            assert (await plant.on("bridge", exchange(get)))[0] == 200
        await is_well(plant)

    with_plant(tmp_path, case)


@contextlib.asynccontextmanager
async def connections(count: int) -> AsyncIterator[list[asyncio.StreamReader]]:
    opened = [await asyncio.open_connection("127.0.0.1", 8090) for _ in range(count)]
    try:
        yield [reader for reader, _ in opened]
    finally:
        for _, writer in opened:
            writer.close()


def test_who_only_connects_keeps_nobody_out(tmp_path: Path) -> None:
    async def hold(plant: Plant) -> None:
        begun_s = time.monotonic()
        async with connections(3 * CONNECTIONS_MAX) as readers:
            await asyncio.sleep(1)
            assert plant.bridge.counters["admin.cut"] == 2 * CONNECTIONS_MAX
            for reader in readers:
                with contextlib.suppress(ConnectionError):
                    assert await reader.read(-1) == b""
            assert time.monotonic() - begun_s <= REQUEST_S + 2

    async def case(plant: Plant) -> None:
        await standing(plant)
        await plant.on("bridge", hold(plant))
        await is_well(plant)

    with_plant(tmp_path, case)


@pytest.mark.parametrize("part", ["head", "body"])
def test_who_sends_a_byte_a_second_is_cut(part: str, tmp_path: Path) -> None:
    async def drip() -> tuple[float, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", 8090)
        text = request(b"x" * 3000, path=PATH)
        begun_s = time.monotonic()
        begin = text.index(b"\r\n\r\n") + 4 if part == "body" else 0
        writer.write(text[:begin])
        answer = asyncio.ensure_future(reader.read(-1))
        for byte in text[begin:]:
            if answer.done():
                break
            writer.write(bytes([byte]))
            await asyncio.sleep(1)
        with contextlib.suppress(ConnectionError):
            await answer
        writer.close()
        return time.monotonic() - begun_s, b"" if answer.exception() else answer.result()

    async def case(plant: Plant) -> None:
        await standing(plant)
        async with asyncio.TaskGroup() as group:
            slow = [group.create_task(plant.on("bridge", drip())) for _ in range(20)]
        for task in slow:
            duration_s, answer = task.result()
            assert duration_s <= 2 * REQUEST_S + 2
            assert (b"408" in answer) is (part == "body")
        await is_well(plant)

    with_plant(tmp_path, case)


def test_what_is_no_http_is_answered_or_cut(tmp_path: Path) -> None:
    get = request(b"", method="GET", path="/alarms")
    pieces = [
        b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"\x00" * 100_000, b"GET /alarms HTTP/9.9\r\n\r\n",
        b"GET /alarms HTTP/1.1\r\nhost: 127.0.0.1\r\nx: " + b"y" * 100_000,
        b"GET /alarms HTTP/1.1\r\n\r\n", b"GET /alarms HTTP/1.0\r\n\r\n",
        b"POST " + PATH.encode() + b" HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        request(content_length="-1"), request(content_length="99999999999999999999"),
        get.replace(b"connection: close", b"connection: upgrade\r\nupgrade: websocket"),
    ]  # fmt: skip

    async def case(plant: Plant) -> None:
        await standing(plant)
        for piece in pieces:
            status, _ = await plant.on("bridge", exchange(piece))
            assert status in (0, 200 if b"websocket" in piece else 400, 400, 408, 413, 421), piece[:60]
        endless = (
            request(content_length="", transfer_encoding="chunked")[: -len(KIM)] + b"fff\r\n" + b" " * 4095
        )
        assert (await plant.on("bridge", exchange(endless + b"\r\nfff\r\n" + b" " * 4095)))[0] == 413
        many = get.replace(b"connection: close", b"connection: keep-alive") * 500 + get
        assert (await plant.on("bridge", exchange(many)))[0] == 200
        await is_well(plant)

    with_plant(tmp_path, case)
