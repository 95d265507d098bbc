"""Webhooks of the CMMS: delivered in order, again after a failure, never without end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shakedown.twin.clock import now_ns
from shakedown.twin.enterprise.cmms import api
from shakedown.twin.enterprise.cmms.server import Cmms
from shakedown.twin.enterprise.cmms.webhooks import ATTEMPTS_MAX
from tests.twin.http_lab import CLOCKS, ask, new_order, with_cmms

HOOK_PORT = 18_099


class Receiver:
    """Takes what is posted to it; answers each request with the next of `statuses`, then with 204."""

    def __init__(self, statuses: tuple[int | None, ...] = ()) -> None:
        self.statuses = list(statuses)  # None: no answer at all
        self.got: list[dict[str, Any]] = []
        self.at_ns: list[int] = []
        self.arrived = asyncio.Condition()
        self.port = 0

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        size = next(
            int(line.split(":")[1])
            for line in head.split("\r\n")
            if line.lower().startswith("content-length")
        )
        body = await reader.readexactly(size)
        status = self.statuses.pop(0) if self.statuses else 204
        self.got.append(msgspec.json.decode(body))
        self.at_ns.append(now_ns())
        if status is not None:
            writer.write(
                f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\nlocation: /x\r\nconnection: close\r\n\r\n".encode()
            )
            writer.close()
        async with self.arrived:
            self.arrived.notify_all()
        if status is None:
            await reader.read(-1)
            writer.close()

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{self.port}/hook"
        finally:
            server.close()

    async def until(self, count: int) -> list[dict[str, Any]]:
        """What was received, once it is `count` requests."""
        async with asyncio.timeout(1000), self.arrived:
            await self.arrived.wait_for(lambda: len(self.got) >= count)
        return self.got


async def _hook(cmms: Cmms) -> dict[str, Any]:
    return (await ask(cmms.port, "GET", "/webhooks")).json[0]


@pytest.mark.parametrize("clock", CLOCKS)
def test_every_change_is_delivered_in_order(clock: str, tmp_path: Path) -> None:
    async def script(cmms: Cmms) -> None:
        receiver = Receiver()
        async with receiver.listening() as url:
            hook = (await ask(cmms.port, "POST", "/webhooks", {"url": url})).json["id"]
            order = (await ask(cmms.port, "POST", "/work-orders", new_order())).json
            path = f"/work-orders/{order['id']}"
            for _ in range(2):  # the second time it is no change
                await ask(cmms.port, "PATCH", path, {"state": "assigned", "by": "mia"})
            await ask(cmms.port, "POST", f"{path}/comments", {"by": "mia", "text": "on my way"})
            got = await receiver.until(3)
            assert [sent["event"] for sent in got] == [
                "work_order.created",
                "work_order.changed",
                "work_order.commented",
            ]
            assert got[0]["work_order"] == order
            assert got[1]["work_order"]["state"] == "assigned"
            assert len({sent["id"] for sent in got}) == 3

            assert (await ask(cmms.port, "DELETE", f"/webhooks/{hook}")).status == 204
            await ask(cmms.port, "PATCH", path, {"state": "in_progress", "by": "mia"})
            assert (await ask(cmms.port, "GET", "/webhooks")).json == []
            assert len(receiver.got) == 3

    with_cmms(clock, tmp_path, script)


def test_a_delivery_is_tried_again_until_it_is_taken(tmp_path: Path) -> None:
    async def script(cmms: Cmms) -> None:
        receiver = Receiver((500, 302, None, 204))
        async with receiver.listening() as url:
            await ask(cmms.port, "POST", "/webhooks", {"url": url})
            await ask(cmms.port, "POST", "/work-orders", new_order())
            await ask(cmms.port, "POST", "/work-orders", new_order(occurrence=2))
            got = await receiver.until(5)
            assert [sent["id"] for sent in got] == [got[0]["id"]] * 4 + [got[4]["id"]]
            pauses = [
                round((b - a) / 1e9) for a, b in zip(receiver.at_ns[:4], receiver.at_ns[1:4], strict=False)
            ]
            assert pauses == [1, 2, 14]  # the third attempt waited 10 s for an answer, then 4 s
            await asyncio.sleep(1)
            hook = await _hook(cmms)
            assert (hook["delivered"], hook["waiting"], hook["dropped"]) == (2, 0, 0)

    with_cmms("virtual", tmp_path, script)


def test_what_nobody_takes_is_given_up_and_counted(tmp_path: Path) -> None:
    async def script(cmms: Cmms) -> None:
        receiver = Receiver((503,) * ATTEMPTS_MAX)
        async with receiver.listening() as url:
            await ask(cmms.port, "POST", "/webhooks", {"url": url})
            for number in range(2):
                await ask(cmms.port, "POST", "/work-orders", new_order(occurrence=number))
            got = await receiver.until(ATTEMPTS_MAX + 1)
            assert [sent["work_order"]["occurrence"] for sent in got] == [0] * ATTEMPTS_MAX + [1]
            await asyncio.sleep(1)
            hook = await _hook(cmms)
            assert (hook["delivered"], hook["waiting"], hook["dropped"]) == (1, 0, 1)

    with_cmms("virtual", tmp_path, script)


def test_the_queue_of_a_webhook_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "DELIVERIES_WAITING_MAX", 3)

    async def script(cmms: Cmms) -> None:
        await ask(cmms.port, "POST", "/webhooks", {"url": f"http://127.0.0.1:{HOOK_PORT}/nobody"})
        for number in range(5):
            await ask(cmms.port, "POST", "/work-orders", new_order(occurrence=number))
        hook = await _hook(cmms)
        assert (hook["waiting"], hook["dropped"]) == (3, 2)

    with_cmms("virtual", tmp_path, script)


def test_what_waits_survives_a_restart_of_the_cmms(tmp_path: Path) -> None:
    async def script(cmms: Cmms) -> None:
        await ask(cmms.port, "POST", "/webhooks", {"url": f"http://127.0.0.1:{HOOK_PORT}/hook"})
        await ask(cmms.port, "POST", "/work-orders", new_order())
        await asyncio.sleep(2)
        await cmms.stop()
        receiver = Receiver()
        async with receiver.listening(HOOK_PORT):
            await cmms.start()
            assert [sent["event"] for sent in await receiver.until(1)] == ["work_order.created"]

    with_cmms("virtual", tmp_path, script)


def test_a_dead_webhook_does_not_hold_up_another(tmp_path: Path) -> None:
    async def script(cmms: Cmms) -> None:
        receiver = Receiver()
        async with receiver.listening() as url:
            await ask(cmms.port, "POST", "/webhooks", {"url": f"http://127.0.0.1:{HOOK_PORT}/nobody"})
            await ask(cmms.port, "POST", "/webhooks", {"url": url})
            began_ns = now_ns()
            await ask(cmms.port, "POST", "/work-orders", new_order())
            await receiver.until(1)
            assert now_ns() - began_ns < 1e9

    with_cmms("virtual", tmp_path, script)
