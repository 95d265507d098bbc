"""A plant of many tags and the bridge as processes, a line between them, and a broker here that notes what it gets."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from shakedown.acceptance import sparkplug
from shakedown.twin.enterprise.broker import EmbeddedBroker
from shakedown.twin.network.proxy import Proxy

DEVICES = 10
CHANGES_MAX = 5000
HERE = Path(__file__).parent

SITE = """
format: 1
enterprise: acme
site: bench
area: tags
line: line1
south:
  plc1: {{endpoint: "opc.tcp://plc:4840/tags", publishing_interval_ms: 500, sampling_interval_ms: 50, queue_size: {}}}
north:
  enterprise: {{broker: "mqtt://broker:1883", keep_alive_s: 10, host_keep_alive_s: 10}}
cells:
  rack:
"""
DEVICE = """
    rack_{device}:
      metrics:
        t{{{first}..{last}}}: {{south: plc1, node: "ns=2;s=T{{}}", type: Double}}
"""


class Plant:
    """What the broker got: `seen[change, tag]`, the `newest` live change of each tag, messages by kind."""

    def __init__(self, folder: Path, tags: int, per_s: int, queue_size: int) -> None:
        self.folder, self.tags, self.per_s = folder, tags, per_s
        self.kinds: Counter[str] = Counter()
        self.seen = np.zeros((CHANGES_MAX, tags), np.bool_)
        self.newest = np.zeros(tags)
        self.first_seen, self.newest_seen = np.full(tags, CHANGES_MAX), np.full(tags, -1)
        self._count = 0
        self.broker = EmbeddedBroker("127.0.0.1", 0, on_accept=self._accepted)
        self.url = ""
        self.line: Proxy = None  # type: ignore[assignment]
        self._tag_of: dict[int, int] = {}
        self._changed = asyncio.Event()
        self._server: asyncio.subprocess.Process | None = None
        self._bridge: asyncio.subprocess.Process | None = None
        each = tags // DEVICES
        devices = (DEVICE.format(device=d, first=d * each, last=(d + 1) * each - 1) for d in range(DEVICES))
        (folder / "site.yaml").write_text(SITE.format(queue_size) + "".join(devices))

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def gaps(self, what: str) -> int:
        """How many gaps the log says were `filled` or `declared`."""
        return sum(int(count) for count in re.findall(rf" gap south.* {what}=(\d+)", self.log))

    async def start(self) -> None:
        await self.broker.start()
        self._server = await _python("tag_server.py", str(self.tags), str(self.per_s))
        assert self._server.stdout is not None
        self.url = (await self._server.stdout.readline()).decode().strip()
        self.line = Proxy("plc", "127.0.0.1:0", self.url.split("/")[2])
        await self.line.enable()

    async def stop(self) -> None:
        for process in (self._bridge, self._server):
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()
        if self.line is not None:
            await self.line.disable()
        await self.broker.stop()

    async def bare_client_s(self) -> float:
        """How long a client needs from its start until it has a value of every tag."""
        process = await _python("tag_client.py", self.url, str(self.tags), str(time.time()))
        return float((await process.communicate())[0])

    async def start_bridge(self) -> None:
        routes = {"plc:4840": self.line.listen, "broker:1883": f"127.0.0.1:{self.broker.port}"}
        with (self.folder / "log").open("ab") as log:
            self._bridge = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "shakedown.bridge", "run", str(self.folder / "site.yaml"),
                *(word for route in routes.items() for word in ("--connect-to", "=".join(route))),
                stderr=log,
            )  # fmt: skip

    async def kill_bridge(self) -> None:
        assert self._bridge is not None
        self._bridge.send_signal(signal.SIGKILL)
        await self._bridge.wait()

    async def until(self, condition: Callable[[], bool], within_s: float) -> float:
        """Wait until it holds; how long that took."""
        began_s = time.monotonic()
        async with asyncio.timeout(within_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()
        return time.monotonic() - began_s

    def missing(self) -> int:
        """Changes that have not come, of those between the first and the last of each tag that have."""
        return int((self.newest_seen - self.first_seen + 1).sum()) - self._count

    def is_live(self, since: float) -> bool:
        """Whether every tag has a live value of after change number `since`."""
        return bool((self.newest > since).all())

    def _accepted(self, ns: int, client_id: str, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        _, _, kind, *_ = [*topic.split("/"), "", ""]
        self.kinds[kind] += 1
        if kind in ("DBIRTH", "DDATA"):
            for metric in sparkplug.decode(payload).metrics:
                if kind == "DBIRTH" and metric.name is not None and metric.alias is not None:
                    self._tag_of[metric.alias] = int(metric.name[1:])
                if metric.alias is None or not isinstance(metric.value, float):
                    continue
                tag, number = self._tag_of[metric.alias], int(metric.value)
                self._count += not self.seen[number, tag]
                self.seen[number, tag] = True
                self.first_seen[tag] = min(self.first_seen[tag], number)
                self.newest_seen[tag] = max(self.newest_seen[tag], number)
                if not metric.historical and kind == "DDATA":
                    self.newest[tag] = max(self.newest[tag], number)
        self._changed.set()


@asynccontextmanager
async def plant(folder: Path, tags: int, *, per_s: int = 1, queue_size: int = 1000) -> AsyncIterator[Plant]:
    """A plant that runs; nothing of it is left afterwards, however it came about."""
    made = Plant(folder, tags, per_s, queue_size)
    try:
        await made.start()
        yield made
    finally:
        await made.stop()


async def _python(name: str, *arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    root = str(HERE.parents[1])
    return await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / name), *arguments,
        stdin=pipe, stdout=pipe, cwd=root, env=os.environ | {"PYTHONPATH": root},
    )  # fmt: skip
