"""How the bridge under test is run: in this process, or as a process of its own that can be killed for real."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path

from shakedown.bridge.app import Bridge
from shakedown.bridge.config import Site
from shakedown.twin.enterprise.mosquitto import die_with_parent
from shakedown.twin.network.model import Host

STOP_TIMEOUT_S = 15.0  # how long a bridge that was asked to stop may take

Addresses = Mapping[str, tuple[str, int]]
"""`host:port` of site.yaml to the address that must be dialled."""

BridgeFactory = Callable[[Site, Path, Addresses], Bridge]


class BridgeRunner(ABC):
    """The bridge's process: started, killed without warning, stopped politely."""

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def kill(self) -> None: ...

    @abstractmethod
    async def stop(self) -> None: ...

    @abstractmethod
    def is_running(self) -> bool: ...

    @abstractmethod
    def ended_with(self) -> str | None:
        """Why it ended although nobody asked it to; None while all is well."""


def our_bridge(site: Site, journal: Path, connect_to: Addresses) -> Bridge:
    """The bridge of this project as it ships."""
    return Bridge(site, journal_path=journal, connect_to=dict(connect_to))


class InProcessBridge(BridgeRunner):
    """The bridge as tasks of this process, on its own host of an in-memory network."""

    def __init__(
        self, host: Host, site: Site, journal: Path, connect_to: Addresses, factory: BridgeFactory
    ) -> None:
        self._host, self._site, self._journal, self._connect_to = host, site, journal, connect_to
        self._factory = factory
        self._bridge: Bridge | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._host.plug()
        self._bridge = self._factory(self._site, self._journal, self._connect_to)
        self._task = self._host.spawn(self._bridge.run(), name="bridge")

    async def kill(self) -> None:
        """Cut connections and disk first, so that the cancelled tasks can say no goodbye that anybody hears."""
        self._host.unplug()
        assert self._bridge is not None
        self._bridge.cut()
        await self._end()

    async def stop(self) -> None:
        await self._end()

    async def _end(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,), timeout=STOP_TIMEOUT_S)

    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def ended_with(self) -> str | None:
        if self._task is None or not self._task.done():
            return None
        if self._task.cancelled():
            return "it was cancelled"
        return repr(self._task.exception()) if self._task.exception() else "it returned"


class BridgeProcess(BridgeRunner):
    """The bridge as a process of its own: `python -m shakedown.bridge run site.yaml`."""

    def __init__(self, site_file: Path, journal: Path, log: Path, connect_to: Addresses) -> None:
        self._log = log
        routes = [f"--connect-to={place}={address}:{port}" for place, (address, port) in connect_to.items()]
        self._command = [
            sys.executable, "-m", "shakedown.bridge", "run", str(site_file), "--journal", str(journal), *routes
        ]  # fmt: skip
        self._process: asyncio.subprocess.Process | None = None
        self._asked_to_end = True

    async def start(self) -> None:
        self._asked_to_end = False
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the lab, which then stops its bridge
                preexec_fn=die_with_parent if sys.platform == "linux" else None,
            )

    async def kill(self) -> None:
        self._asked_to_end = True
        if self.is_running():
            assert self._process is not None
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()

    async def stop(self) -> None:
        self._asked_to_end = True
        if not self.is_running():
            return
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._process.wait()
        finally:  # Ctrl-C a second time: no more politeness, but nothing left behind
            await self.kill()

    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def ended_with(self) -> str | None:
        if self._asked_to_end or self._process is None or self._process.returncode is None:
            return None
        return f"its process ended with exit code {self._process.returncode}; see {self._log.name}"
