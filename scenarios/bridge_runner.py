"""How the bridge under test is run: what every runner can do, and the one that runs it in this process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from shakedown.bridge.app import Bridge
from shakedown.bridge.config import Site
from shakedown.twin.network.model import Host

_log = logging.getLogger("shakedown.bridge")  # which goes into bridge.log (run_logs.py)

KILL_TIMEOUT_S = 0.5  # the goodbyes that a killed bridge still tries to say are nobody's business
PUT_OUT_TRIES = 3
STOP_TIMEOUT_S = 15.0  # how long a bridge that was asked to stop may take

Addresses = Mapping[str, tuple[str, int]]
"""`host:port` of site.yaml to the address that must be dialled."""


class Runnable(Protocol):
    """A bridge in Python: it runs until it is cancelled.

    `cut()`, if it has it, comes first when the bridge is killed: as after a power cut nothing more reaches its disk.
    """

    async def run(self) -> None: ...


BridgeFactory = Callable[[Site, Path, Addresses], Runnable]


class BridgeRunner(ABC):
    """The bridge's process: started, killed without warning, frozen and let go on, stopped politely."""

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def kill(self) -> None: ...

    @abstractmethod
    async def freeze(self) -> None: ...

    @abstractmethod
    async def thaw(self) -> None: ...

    @abstractmethod
    async def stop(self) -> None: ...

    async def close(self) -> None:  # noqa: B027 (most keep nothing open)
        """The run is over: it is not started again."""

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
        self._bridge: Runnable | None = None
        self._task: asyncio.Task[None] | None = None
        self._cut: asyncio.Task[None] | None = None  # was cut, and holds the journal until it has ended
        self._conduct: str | None = None

    async def start(self) -> None:
        if self._cut is not None and not self._cut.done():
            await asyncio.wait((self._cut,), timeout=STOP_TIMEOUT_S)
        await self._put_out()
        self._host.plug()
        self._bridge = self._factory(self._site, self._journal, self._connect_to)
        self._task = self._host.spawn(_logged(self._bridge), name="bridge")

    async def kill(self) -> None:
        """Cut connections and disk first, so that the cancelled tasks can say no goodbye that anybody hears."""
        self._host.unplug()
        if (cut := getattr(self._bridge, "cut", None)) is not None:
            cut()
        await self._end(KILL_TIMEOUT_S)

    async def freeze(self) -> None:
        self._host.freeze()

    async def thaw(self) -> None:
        self._host.thaw()

    async def stop(self) -> None:
        self._conduct = self.ended_with()
        if not await self._end(STOP_TIMEOUT_S):
            self._conduct = f"it did not end within {STOP_TIMEOUT_S:g} s of being cancelled"

    async def close(self) -> None:
        await self._put_out()

    async def _end(self, within_s: float) -> bool:
        """Whether it has ended by then."""
        task, self._task = self._task, None
        if task is None:
            return True
        task.cancel()
        if hasattr(self._bridge, "cut"):  # of others nobody hears the goodbye, however long it takes
            self._cut = task
        _, pending = await asyncio.wait((task,), timeout=within_s)
        return not pending

    async def _put_out(self) -> None:
        """End what a life of the bridge left: nothing of it lives on beside the next one, or after the run."""
        for _ in range(PUT_OUT_TRIES):
            if not (left := self._host.tasks()):
                return
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=KILL_TIMEOUT_S)
        for task in self._host.tasks():  # it catches what cancels it
            with contextlib.suppress(RuntimeError):
                if (coroutine := task.get_coro()) is not None:
                    coroutine.close()
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            task.cancel()

    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def ended_with(self) -> str | None:
        if self._conduct is not None or self._task is None or not self._task.done():
            return self._conduct
        if self._task.cancelled():
            return "it was cancelled"
        return repr(self._task.exception()) if self._task.exception() else "it returned"


async def _logged(bridge: Runnable) -> None:
    """Run it; what it dies of goes into its log, as the last words of a process would."""
    try:
        await bridge.run()
    except Exception:
        _log.exception("the bridge ended by itself")
        raise
    except SystemExit as error:
        raise RuntimeError(f"it called sys.exit({error.code!r})") from None
