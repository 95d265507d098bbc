"""What every part of the lab is: a name, a kind, a zone, what it listens on and dials, and its verbs."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
import zlib
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from shakedown.scenarios.bridges.model import NO_TOPICS, Topics
from shakedown.scenarios.errors import HarnessFault, in_words
from shakedown.scenarios.parts.plan import BRIDGE, Plan
from shakedown.scenarios.security import PROBE, Security
from shakedown.scenarios.setups import Setup
from shakedown.twin.authority import Credentials
from shakedown.twin.enterprise.json_mapping import JsonMapping
from shakedown.twin.network.model import Host, Network

P = TypeVar("P", bound="Part")
T = TypeVar("T")

READY_TIMEOUT_S = 30.0  # how long each part may take to be ready, or to end
ANSWER_S = 2.0  # how long a part may take to answer a probe


@dataclass
class Ground:
    """What the parts of one run share. `setups` and `folders` are by bridge; `json` is how plain JSON is read,
    `security` is there if the run is secure, and `besides` is what a bridge may do beside what it promises."""

    network: Network[Any]
    setups: dict[str, Setup]
    folders: dict[str, Path]
    scratch: Path
    seed: int
    broker: str
    json: JsonMapping | None = None
    security: Security | None = None
    besides: Topics = NO_TOPICS
    parts: dict[str, Part] = field(default_factory=dict)
    is_complete: bool = False

    def seed_of(self, line: str) -> int:
        """The seed of a line: two lines of one plant are no twins."""
        return self.seed if line == BRIDGE else (self.seed + zlib.crc32(line.encode())) % 2**32

    def find(self, kind: type[P], line: str) -> P:
        """The part of that kind that belongs to the line of the bridge `line`."""
        return next(p for p in self.parts.values() if isinstance(p, kind) and line in p.plan.lines)

    def all_of(self, kind: type[P], line: str | None = None) -> list[P]:
        """Every part of that kind, or of that kind and that line."""
        parts = [part for part in self.parts.values() if isinstance(part, kind)]
        return [part for part in parts if line is None or line in part.plan.lines]


class Part(ABC):
    """One part of the lab. A kind of part is a subclass, with one row in the table of kinds."""

    kind: ClassVar[str]
    what: ClassVar[str]  # one line for the documentation
    affects: ClassVar[str] = ""  # what the judge calls that which suffers when it is struck
    cuts: ClassVar[bool] = True  # whether data do not flow while it is down
    is_evidence: ClassVar[bool] = False  # it sees what is judged, and cannot be struck
    begins_with_line: ClassVar[bool] = False

    def __init__(self, plan: Plan, ground: Ground) -> None:
        self.plan, self.ground = plan, ground
        self.name = plan.name
        self.host: Host = ground.network.host(plan.host)

    # -- the verbs

    @abstractmethod
    async def start(self) -> None:
        """Start it, also again after a stop or a crash; it serves when this returns."""

    @abstractmethod
    async def stop(self) -> None:
        """End it politely; does nothing when it does not run."""

    @abstractmethod
    async def crash(self) -> None:
        """End it as a power cut or SIGKILL does: nothing more is said, nothing more is written."""

    async def freeze(self) -> None:
        """Let it be alive and silent, as after SIGSTOP."""
        self.host.freeze()

    async def thaw(self) -> None:
        """Let it go on; does nothing when it is not frozen."""
        self.host.thaw()

    @abstractmethod
    async def answers(self, within_s: float = ANSWER_S) -> bool:
        """Whether it really serves, seen from outside within that time."""

    # -- what the lab asks

    def ended_with(self) -> str | None:
        """Why it has ended although nobody asked it to; None while all is well."""
        return None

    async def close(self) -> None:
        """Take it down for good, and close its logs."""
        await self.thaw()
        await self.stop()

    # -- for subclasses

    @property
    def line(self) -> str:
        """The bridge to whose line it belongs (the first of several)."""
        return self.plan.lines[0]

    @property
    def setup(self) -> Setup:
        """The setup of that line."""
        return self.ground.setups[self.line]

    @property
    def folder(self) -> Path:
        """Where the run of that line is written."""
        return self.ground.folders[self.line]

    def share(self, name: str) -> None:
        """Give what this part has written to the folders of the other lines that it serves."""
        for line in self.plan.lines[1:]:
            with contextlib.suppress(FileNotFoundError):  # it never came to write
                shutil.copyfile(self.folder / name, self.ground.folders[line] / name)

    async def here(self, coro: Coroutine[Any, Any, T]) -> T:
        """What `coro` returns, carried out on this part's host. Raises HarnessFault when that takes too long."""
        try:
            async with asyncio.timeout(READY_TIMEOUT_S) as limit:
                return await self.host.spawn(coro)
        except TimeoutError:
            if not limit.expired():
                raise
            raise HarnessFault(f"{self.name} was not ready within {READY_TIMEOUT_S:g} s") from None

    async def ask(self, coro: Coroutine[Any, Any, bool], host: str, within_s: float) -> bool:
        """What `coro` finds on `host` within that time; False when it does not come to an end, or cannot connect."""
        asking = self.ground.network.host(host).spawn(coro)
        await asyncio.wait(
            (asking,), timeout=within_s
        )  # on a frozen host it does not even hear that it is cancelled
        if not asking.done():
            asking.cancel()
            return False
        error = asking.exception()
        if error is not None and not isinstance(error, OSError):
            raise error
        return error is None and asking.result()

    @property
    def asker(self) -> str:
        """A host of its zone from which it is asked whether it serves."""
        return f"asks-{self.plan.zone}"

    async def bind(self) -> tuple[str, int]:
        """What it listens on."""
        return await self.ground.network.listen_address(self.plan.host, self.plan.port)

    @property
    def names(self) -> tuple[str, ...]:
        """How others may dial its host."""
        return self.ground.network.names_of(self.plan.host)

    @property
    def own(self) -> Credentials | None:
        """What it shows to who asks who it is, if the run is secure."""
        return self.ground.security.client(self.name) if self.ground.security is not None else None

    @property
    def askers_own(self) -> Credentials | None:
        """The same of who asks it whether it serves."""
        return self.ground.security.client(PROBE) if self.ground.security is not None else None

    async def dial(self, other: Part) -> tuple[str, int]:
        """What this part dials to reach another."""
        return await self.ground.network.route(self.plan.host, other.plan.host, other.plan.port)


class TaskPart(Part):
    """A part that is one task on its host."""

    def __init__(self, plan: Plan, ground: Ground) -> None:
        super().__init__(plan, ground)
        self._task: asyncio.Task[None] | None = None
        self._is_unplugged = False

    @abstractmethod
    async def run(self) -> None:
        """What it does until it is cancelled."""

    async def start(self) -> None:
        await self._end()
        if self._is_unplugged:
            self._is_unplugged = False
            self.host.plug()
        self._task = self.host.spawn(self.run(), name=self.name)

    async def stop(self) -> None:
        await self._end()

    async def crash(self) -> None:
        self.host.unplug()
        self._is_unplugged = True
        if self._task is not None:
            self._task.cancel()

    async def answers(self, within_s: float = ANSWER_S) -> bool:
        """Whether its host still does anything for it."""
        return self.is_running() and await self.ask(_yes(), self.plan.host, within_s)

    def is_running(self) -> bool:
        """Whether its task is there and was not asked to end."""
        return self._task is not None and not self._task.done() and not self._task.cancelling()

    def ended_with(self) -> str | None:
        return why_ended(self._task)

    async def ready(self, what: str, event: asyncio.Event) -> None:
        """Wait for `event`. Raises HarnessFault when it does not come, or the part ends before."""
        assert self._task is not None
        waiting = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait(
                (waiting, self._task), timeout=READY_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            waiting.cancel()
        if event.is_set():
            return
        if why := self.ended_with():
            raise HarnessFault(f"the lab's {self.name} ended by itself: {why}")
        raise HarnessFault(f"{what} was not ready within {READY_TIMEOUT_S:g} s")

    async def _end(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,), timeout=READY_TIMEOUT_S)


def why_ended(task: asyncio.Task[None] | None) -> str | None:
    """Why a task has ended that nobody asked to; None while all is well."""
    if task is None or not task.done() or task.cancelling():
        return None
    error = None if task.cancelled() else task.exception()
    return in_words(error) if error else "nobody asked it to"


async def _yes() -> bool:
    return True


async def bytes_come(
    address: str, port: int, said: bytes, answer: bytes, tls: ssl.SSLContext | None = None
) -> bool:
    """Whether who listens there answers `said` with something that begins with `answer`."""
    reader, writer = await asyncio.open_connection(address, port, ssl=tls)
    try:
        writer.write(said)
        with contextlib.suppress(asyncio.IncompleteReadError):
            return await reader.readexactly(len(answer)) == answer
        return False
    finally:
        writer.close()
