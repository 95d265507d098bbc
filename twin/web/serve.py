"""Serve one plant on the wall clock until told to stop: line, OPC UA, HTTP and, if asked for, a CMMS."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from shakedown.twin.enterprise.cmms.server import Cmms
from shakedown.twin.enterprise.errors import LabServiceError
from shakedown.twin.enterprise.host_check import only_under
from shakedown.twin.enterprise.http_server import HttpServer
from shakedown.twin.enterprise.people.storekeeper import Storekeeper
from shakedown.twin.ledger import NS_PER_MS, Ledger
from shakedown.twin.line.header import described
from shakedown.twin.line.plant import Plant
from shakedown.twin.web.api import TwinApi
from shakedown.twin.web.endpoints import Endpoints
from shakedown.twin.web.live import LiveLedger
from shakedown.twin.web.plant_server import PlantServer
from shakedown.twin.web.state import LineNow

T = TypeVar("T")
EVERYWHERE = "0.0.0.0"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Serving:
    """What is to be served and where; port 0 takes a free one, `cmms_port` None is no CMMS. Both files are optional."""

    plant: Plant
    seed: int = 0
    host: str = "127.0.0.1"
    port: int = 0
    http_port: int = 0
    cmms_port: int | None = None
    endpoints: Path | None = None
    ledger: Path | None = None


async def serve(asked: Serving, on_ready: Callable[[Endpoints], None]) -> None:
    """Serve until cancelled, then take everything down; `on_ready` is told once everything listens and the line runs.

    The ledger ends with its last line only if the serving ended because it was told to. Raises LabServiceError (a port
    that is taken, a line that the machine cannot carry), LedgerError, OSError.
    """
    async with contextlib.AsyncExitStack() as started:
        served = PlantServer(asked.plant, asked.host, asked.port, with_methods=True)
        try:
            await served.server.start()
        except OSError as error:
            raise LabServiceError(_cannot_listen(asked, error)) from error
        started.push_async_callback(served.server.stop)
        api = TwinApi(asked.plant, asked.seed)
        http = HttpServer(
            only_under({asked.host}, api.app), "the HTTP interface", asked.host, asked.http_port
        )
        http_port = await _listening(http.start(), "--http-port")
        started.push_async_callback(http.stop)
        cmms = await _start_cmms(asked, started)
        ledger = _ledger(asked, started)
        if cmms is not None:
            _enter_assets(asked, cmms, ledger.start_ns, started)
        api.endpoints = Endpoints(
            plant=asked.plant.plant,
            pid=os.getpid(),
            started_ms=ledger.start_ns // NS_PER_MS,
            opcua=_url("opc.tcp", asked.host, served.server.port) + f"/{asked.plant.plant}",
            http=_url("http", asked.host, http_port),
            cmms=_url("http", asked.host, cmms.port) if cmms is not None else None,
        )
        api.now = LineNow(asked.plant, served.set_up(asked.seed, ledger), ledger)
        await _run(served, asked, api.endpoints, on_ready)


async def _run(
    served: PlantServer, asked: Serving, endpoints: Endpoints, on_ready: Callable[[Endpoints], None]
) -> None:
    tasks = {
        asyncio.create_task(served.run_line(), name="line"),
        asyncio.create_task(served.publish(), name="opc ua publishing"),
    }
    try:
        if asked.endpoints is not None:
            _write(endpoints, asked.endpoints)
        on_ready(endpoints)
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        raise LabServiceError(f"the {done.pop().get_name()} ended by itself; nobody asked it to")
    finally:
        if asked.endpoints is not None:
            endpoints.remove(asked.endpoints)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _cannot_listen(asked: Serving, error: OSError) -> str:
    """Why the OPC UA server, which is the first to listen, cannot, and the option that helps."""
    foreign = error.errno == errno.EADDRNOTAVAIL
    remedy = (
        "give --host an address of this machine" if foreign else "give another --port, or 0 for a free one"
    )
    why = os.strerror(error.errno or 0)
    return f"the OPC UA server cannot listen on {asked.host}:{asked.port} ({why}): {remedy}."


def _write(endpoints: Endpoints, path: Path) -> None:
    try:
        endpoints.write(path)
    except OSError as error:
        raise LabServiceError(
            f"{path} cannot be written: {error.strerror}. Give --endpoints a file in a folder that is yours."
        ) from error


async def _listening(start: Awaitable[T], option: str) -> T:
    """Start a service; what it says when it cannot listen names the option that helps."""
    try:
        return await start
    except LabServiceError as error:
        raise LabServiceError(f"{error}: give another {option}, or 0 for a free one.") from error


async def _start_cmms(asked: Serving, started: contextlib.AsyncExitStack) -> Cmms | None:
    """A CMMS over a database that goes when it goes."""
    if asked.cmms_port is None:
        return None
    folder = started.enter_context(tempfile.TemporaryDirectory(prefix="shakedown-cmms-"))
    cmms = Cmms(asked.host, asked.cmms_port, database=Path(folder) / "cmms.sqlite")
    await _listening(cmms.start(), "--cmms-port")
    started.push_async_callback(cmms.stop)
    return cmms


def _enter_assets(asked: Serving, cmms: Cmms, start_ns: int, started: contextlib.AsyncExitStack) -> None:
    """Tell the CMMS which asset does the work of which equipment, unless a client has told it otherwise."""
    assets = described(asked.plant, start_ns)["assets"]
    task = asyncio.create_task(
        Storekeeper(_url("http", asked.host, cmms.port), assets).run(), name="storekeeper"
    )

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("the CMMS has refused an asset, the rest is not entered: %s", error)

    async def end() -> None:
        task.cancel()
        await asyncio.wait([task])

    task.add_done_callback(ended)
    started.push_async_callback(end)


def _ledger(asked: Serving, started: contextlib.AsyncExitStack) -> LiveLedger:
    start_ns = time.time_ns()
    file = Ledger(asked.ledger, start_ns=start_ns) if asked.ledger is not None else None
    if file is not None:

        def close(kind: type[BaseException] | None, *_: object) -> None:
            file.close(complete=kind is not None and issubclass(kind, asyncio.CancelledError))

        started.push(close)
    return LiveLedger(start_ns, file)


def _url(scheme: str, host: str, port: int) -> str:
    """Where to dial from this machine."""
    return f"{scheme}://{'127.0.0.1' if host == EVERYWHERE else host}:{port}"
