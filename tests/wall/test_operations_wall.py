"""Alarms, commands and orders on real sockets: the bridge and the CMMS are processes, the bridge is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiomqtt
import httpx2
import pytest
import uvicorn

from shakedown.bridge.config import compile_all, load_site
from shakedown.twin.enterprise.broker import EmbeddedBroker
from shakedown.twin.enterprise.cmms.api import CmmsApi
from shakedown.twin.enterprise.cmms.failures import FailureSwitch
from shakedown.twin.enterprise.cmms.store import Store
from shakedown.twin.servers.opcua import OpcUaServer
from tests.bridge.north_rig import Watch, certificates, free_port
from tests.bridge.operations_rig import SITE, STATE, TAGS, TEMPERATURE

pytestmark = pytest.mark.wall

WAIT_S = 20.0
ENVIRONMENT = {**os.environ, "PYTHONSAFEPATH": "1"}
CMMS_URL = 'url: "http://cmms:8080"'


class Process:
    """A process of its own, whose lines on stderr can be waited for."""

    def __init__(self, process: asyncio.subprocess.Process, stream: asyncio.StreamReader) -> None:
        self.process, self._stream = process, stream
        self.lines: list[str] = []

    async def says(self, text: str) -> str:
        """The next line that holds a text."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                while line := (await self._stream.readline()).decode():
                    self.lines.append(line)
                    if text in line:
                        return line
        raise AssertionError(f"it did not say {text!r}:\n{''.join(self.lines)}")

    async def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        self.lines.append((await self._stream.read()).decode())
        return await self.process.wait()


class Wall:
    """A plant on loopback; the bridge is started as in a plant, and dials `cmms` through `way`."""

    def __init__(self, folder: Path, site: str, way: int) -> None:
        self.admin = free_port()
        self.file = folder / "site.yaml"
        self.file.write_text(
            site.replace("port: 8090", f"port: {self.admin}").replace("on_delay_s: 5", "on_delay_s: 1")
        )
        self.way = way
        self.watch = Watch()
        self.server = OpcUaServer("127.0.0.1", 0, TAGS, endpoint_name="plc")
        self.broker = EmbeddedBroker("127.0.0.1", 0)
        self.bridges: list[Process] = []
        model, _ = compile_all(load_site(self.file))
        self.aliases = {f"{m.device}/{m.name}".lstrip("/"): m.metric_id for m in model.metrics}

    async def start(self) -> Process:
        plc = self.server.url.removeprefix("opc.tcp://").partition("/")[0]
        routes = {
            "plc:4840": plc,
            "broker:1883": f"127.0.0.1:{self.broker.port}",
            "cmms:8080": f"127.0.0.1:{self.way}",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "shakedown.bridge", "run", str(self.file),
            *(f"--connect-to={place}={target}" for place, target in routes.items()),
            stderr=asyncio.subprocess.PIPE, env=ENVIRONMENT,
        )  # fmt: skip
        assert process.stderr is not None
        self.bridges.append(Process(process, process.stderr))
        await self.bridges[-1].says("alive")
        return self.bridges[-1]

    async def change(self, *changes: tuple[int, Any]) -> None:
        now_ns = time.time_ns() // 10**6 * 10**6
        await self.server.publish(now_ns, [(i, value, 0) for i, value in changes])

    def said(self, name: str) -> list[Any]:
        alias = self.aliases[name]
        found = {
            m.timestamp: getattr(m, str(m.WhichOneof("value")))
            for seen in self.watch.seen
            if seen.kind in ("DDATA", "NDATA")
            for m in seen.message.metrics
            if m.alias == alias and not m.is_null
        }
        return [value for _, value in sorted(found.items())]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_S):
            await self.watch.until(condition)

    async def press(self, verb: str, **body: Any) -> int:
        async with httpx2.AsyncClient(trust_env=False) as client:
            url = f"http://127.0.0.1:{self.admin}/alarms/cell.a/hot/{verb}"
            return (await client.post(url, json={"operator": "kim", **body})).status_code


@contextlib.asynccontextmanager
async def wall(folder: Path, site: str, way: int) -> AsyncIterator[Wall]:
    plant = Wall(folder, site, way)
    await plant.server.start()
    await plant.broker.start()
    watching = asyncio.create_task(plant.watch.run(aiomqtt.Client("127.0.0.1", plant.broker.port)))
    try:
        await asyncio.wait_for(plant.watch.ready.wait(), WAIT_S)
        yield plant
    finally:
        for bridge in plant.bridges:
            if bridge.process.returncode is None:
                bridge.process.kill()
                await bridge.process.wait()
        watching.cancel()
        await asyncio.wait([watching])
        await plant.server.stop()
        await plant.broker.stop()


@contextlib.asynccontextmanager
async def cmms_process(folder: Path) -> AsyncIterator[int]:
    """The CMMS as a process; its port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shakedown.twin.enterprise.cmms", "--port", "0", "--name", "cmms",
        "--database", str(folder / "cmms.sqlite"),
        stdout=asyncio.subprocess.PIPE, env=ENVIRONMENT,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), WAIT_S)
        yield int(line.decode().strip().rpartition(":")[2])
    finally:
        process.kill()
        await process.wait()


class Way:
    """A way to the CMMS that can lose answers: requests arrive, are done, and nobody is told."""

    def __init__(self, port: int) -> None:
        self.loses = False
        self.lost = asyncio.Event()
        self._port = port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(
                self._carry(reader, far_writer, False), self._carry(far_reader, writer, True)
            )

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_answer: bool
    ) -> None:
        while piece := await reader.read(1 << 16):
            if is_answer and self.loses and b"WO-" in piece:
                self.lost.set()
                continue
            writer.write(piece)
            await writer.drain()
        writer.close()


async def orders(port: int) -> list[dict[str, Any]]:
    async with httpx2.AsyncClient(trust_env=False) as client:
        return (await client.get(f"http://127.0.0.1:{port}/work-orders")).json()


def test_one_order_although_its_answer_was_lost_and_the_bridge_killed(tmp_path: Path) -> None:
    hook_port = free_port()
    site = SITE.replace(CMMS_URL, f"{CMMS_URL}, webhook: {{port: {hook_port}}}")

    async def main() -> None:
        async with cmms_process(tmp_path) as port:
            way = Way(port)
            listener = await asyncio.start_server(way.serve, "127.0.0.1", 0)
            async with wall(tmp_path, site, listener.sockets[0].getsockname()[1]) as plant:
                await case(plant, way, port)
            listener.close()

    async def case(plant: Wall, way: Way, port: int) -> None:
        bridge = await plant.start()
        await plant.change((STATE, 6), (TEMPERATURE, 20.0))
        await plant.until(lambda: plant.said("cell.a/temperature") == [20.0])
        way.loses = True
        await plant.change((TEMPERATURE, 90.0))
        await asyncio.wait_for(way.lost.wait(), WAIT_S)
        assert await bridge.end(signal.SIGKILL) == -signal.SIGKILL
        assert len(await orders(port)) == 1
        bridge = await plant.start()
        way.lost.clear()
        await asyncio.wait_for(way.lost.wait(), WAIT_S)  # asked again under the same key, lost again
        way.loses = False
        await plant.until(lambda: plant.said("cell.a/work_order/hot")[-1:] == ["WO-000001 open"])
        assert plant.said("cell.a/work_order/hot") == ["pending", "WO-000001 open"]
        (order,) = await orders(port)
        assert (order["id"], order["alarm"], order["occurrence"]) == ("WO-000001", "hot", 1)
        assert plant.said("alarms/in_10_min") == [1]
        assert await plant.press("ack") == 200
        assert await plant.press("ack") == 409
        until_ms = time.time_ns() // 1_000_000 + 3_600_000
        assert await plant.press("shelve", until_ms=until_ms, reason="sensor is being changed") == 200
        await plant.until(lambda: plant.said("cell.a/alarm/hot") == ["unacked", "acked", "shelved"])
        async with httpx2.AsyncClient(trust_env=False, base_url=f"http://127.0.0.1:{port}") as client:
            (hook,) = (await client.get("/webhooks")).json()
            assert hook["url"].startswith(f"http://127.0.0.1:{hook_port}/hook/")
            assert (
                await client.patch(f"/work-orders/{order['id']}", json={"state": "assigned", "by": "crew"})
            ).is_success
            await plant.until(lambda: plant.said("cell.a/work_order/hot")[-1] == "WO-000001 assigned")
        assert await bridge.end(signal.SIGTERM) == 0
        log = "".join(line for each in plant.bridges for line in each.lines)
        assert "Traceback" not in log
        assert hook["url"].rpartition("/")[2] not in log

    asyncio.run(main())


# ---- HTTPS with a CA of the plant's own, and a bearer token

TOKEN = "right-0123456789abcdef"


@contextlib.asynccontextmanager
async def cmms_behind_tls(folder: Path, context: ssl.SSLContext) -> AsyncIterator[tuple[int, Store]]:
    """The CMMS as it is behind a front that ends TLS and knows one token; its port, and what it holds."""
    store = Store(folder / "cmms.sqlite")
    api = CmmsApi(store, FailureSwitch(), lambda: None)

    async def front(
        scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        given = dict(scope["headers"]).get(b"authorization", b"")
        if given == f"Bearer {TOKEN}".encode():
            await api.app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b"who is " + given})  # a front that says too much

    config = uvicorn.Config(
        front, host="127.0.0.1", port=0, lifespan="off", log_config=None, loop="none", http="h11"
    )
    config.load()
    config.ssl = context  # uvicorn would read it from files
    server = uvicorn.Server(config)
    server.lifespan = server.config.lifespan_class(server.config)
    await server.on_tick(0)
    await server.startup()
    try:
        yield server.servers[0].sockets[0].getsockname()[1], store
    finally:
        await server.shutdown()
        store.close()


def secure_site(folder: Path, ca: str) -> str:
    options = f'url: "https://cmms:8080", tls: {{ca: "{ca}"}}, token_file: "{folder / "token"}"'
    return SITE.replace(CMMS_URL, options)


def test_https_with_a_token_that_is_renewed(tmp_path: Path) -> None:
    context, tls = certificates(tmp_path, "cmms")
    (tmp_path / "token").write_text("wrong-0123456789abcdef\n")

    async def main() -> None:
        async with (
            cmms_behind_tls(tmp_path, context) as (port, store),
            wall(tmp_path, secure_site(tmp_path, tls.ca), port) as plant,
        ):
            bridge = await plant.start()
            await plant.change((STATE, 6), (TEMPERATURE, 90.0))
            line = await bridge.says(" 401 ")
            assert (
                f"the CMMS does not accept the token of cmms.token_file ({tmp_path / 'token'}): renew it"
                in line
            )
            assert store.last_order_number() == 0
            (tmp_path / "token").write_text(f"{TOKEN}\n")
            await plant.until(lambda: plant.said("cell.a/work_order/hot")[-1:] == ["WO-000001 open"])
            assert store.last_order_number() == 1
            assert await bridge.end(signal.SIGTERM) == 0
            log = "".join(bridge.lines)
            assert "wrong-0123" not in log
            assert TOKEN not in log
            assert "Traceback" not in log

    asyncio.run(main())


def test_https_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """The same name, another CA: not even the token is sent."""
    context, _ = certificates(tmp_path, "cmms")
    (tmp_path / "other").mkdir()
    _, other = certificates(tmp_path / "other", "cmms")
    (tmp_path / "token").write_text(TOKEN)

    async def main() -> None:
        async with (
            cmms_behind_tls(tmp_path, context) as (port, store),
            wall(tmp_path, secure_site(tmp_path, other.ca), port) as plant,
        ):
            bridge = await plant.start()
            await plant.change((STATE, 6), (TEMPERATURE, 90.0))
            assert "CERTIFICATE_VERIFY_FAILED" in await bridge.says("work order")
            assert await bridge.end(signal.SIGTERM) == 0
            assert store.last_order_number() == 0
            assert TOKEN not in "".join(bridge.lines)

    asyncio.run(main())
