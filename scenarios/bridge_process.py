"""The bridge under test as processes of its own: a command, what it starts, its output, and what it costs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import psutil

from shakedown.scenarios.bridge_runner import STOP_TIMEOUT_S, BridgeRunner
from shakedown.scenarios.errors import UsageError
from shakedown.twin.enterprise.jsonl import JsonLines
from shakedown.twin.enterprise.mosquitto import die_with_parent_and_adopt

LOG_BYTES_MAX = 64 << 20  # of a bridge's output; what comes after is read and dropped
LAST_LINES = 8  # of its output, in an error
LINE_CHARACTERS_MAX = 300
MARK = (
    "SHAKEDOWN_BRIDGE_RUN"  # in its environment: what it starts is known by it, whatever session that makes
)
END_S = 5.0  # how long the kernel may take to end what was killed
POLL_S = 0.05
MEASURE_S = 1.0


@dataclass(frozen=True)
class Launch:
    """How a bridge is started, known to be ready, and stopped. `ready` has its first sign of life, if it needs one."""

    name: str
    command: Sequence[str]
    log: Path
    usage: Path
    folder: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_log: re.Pattern[str] | None = None
    ready: Callable[[], bool] | None = None
    ready_within_s: float = 60.0
    ready_sign: Callable[[], str] = str  # what is missed, for an error
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within_s: float = STOP_TIMEOUT_S
    restarted_by_itself: bool = False
    secrets: Sequence[str] = ()  # what its log must not show
    broker: tuple[str, int] | None = None  # what it dials for its MQTT session


class BridgeProcess(BridgeRunner):
    """A bridge as a process, with all its children: killed together, and nothing of them is left after `stop`.

    `start` raises UsageError when the command cannot be started, and the first time also when it ends before it is
    ready or never is.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._mark = uuid.uuid4().hex
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self._logged = 0
        self._saw_ready_line = False
        self._was_ready = False
        self._asked_to_end = True
        self._conduct: str | None = None
        self._struck: list[psutil.Process] | None = None  # what held its session, of what was killed
        self._holders: set[psutil.Process] = set()  # of a supervised bridge: what holds its session
        self._cpu_s: dict[int, float] = {}
        # what bears no mark (`env -i setsid`), seen while it had its parent
        self._seen: set[psutil.Process] = set()
        self._usage = JsonLines(launch.usage)

    # -- the verbs --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        self._struck = None
        self._asked_to_end = False
        if self._launch.restarted_by_itself and self._leader_runs():
            return
        await self._spawn()
        if not self._was_ready:
            await self._wait_until_ready()
            self._was_ready = True

    async def kill(self) -> None:
        """SIGKILL for everything; a supervisor stays, and starts its bridge again when it likes.

        Raises UsageError when what is said to be a supervisor holds the MQTT session itself.
        """
        struck = self._processes()
        self._look_for_holders(struck)
        if self._launch.restarted_by_itself and self._leader_runs():
            assert self._process is not None
            if any(process.pid == self._process.pid for process in self._holders):
                raise UsageError(
                    f"Bridge {self._launch.name} is not a supervisor: its command holds the MQTT session itself, and a "
                    "kill would strike what it started alone. Remove restarted_by_itself from its bridge file."
                )
            struck = [process for process in struck if process.pid != self._process.pid]
            self._struck = [process for process in struck if self._has_held(process)]
            await _end(struck)
            return
        self._struck = [process for process in struck if self._has_held(process)]
        self._asked_to_end = True
        await self._end_everything()

    async def freeze(self) -> None:
        self._signal_all(signal.SIGSTOP)

    async def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, what: signal.Signals) -> None:
        for process in self._processes() if self._leader_runs() else []:
            with contextlib.suppress(psutil.Error):
                process.send_signal(what)

    async def stop(self) -> None:
        if not self._asked_to_end and self.ended_with() is not None:
            self._conduct = self.ended_with()
        was_asked, self._asked_to_end = self._asked_to_end, True
        try:
            if self._leader_runs():
                assert self._process is not None
                self._tree()
                self._process.send_signal(self._launch.stop_signal)
                if not await self._leader_ends(self._launch.stop_within_s):
                    self._conduct = (
                        f"it did not end within {self._launch.stop_within_s:g} s of {self._launch.stop_signal.name}, "
                        "and was killed"
                    )
                elif not was_asked and (left := self._processes()):
                    names = ", ".join(sorted({_name(process) for process in left}))
                    self._conduct = (
                        f"it left {len(left)} processes behind when stopped ({names}); they were killed"
                    )
        finally:  # Ctrl-C a second time: no more politeness, but nothing left behind
            await self._end_everything()

    async def close(self) -> None:
        self._usage.close(time.time_ns())

    def is_running(self) -> bool:
        """Whether it runs; after a kill, whether what held its session lives, or was never among its processes."""
        if self._struck is None:
            return self._leader_runs()
        return not self._struck or any(map(_lives, self._struck))

    def ended_with(self) -> str | None:
        if self._conduct is not None:
            return self._conduct
        if self._asked_to_end or self._process is None or self._leader_runs():
            return None
        return f"its process ended with {self._exit()}{self._last_words()}"

    # -- starting ---------------------------------------------------------------------------------------------------

    async def _spawn(self) -> None:
        launch = self._launch
        read_end, write_end = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *launch.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                cwd=launch.folder,
                env={**os.environ, **launch.environment, MARK: self._mark},
                start_new_session=True,  # Ctrl-C reaches the lab, which then stops its bridge
                preexec_fn=die_with_parent_and_adopt if sys.platform == "linux" else None,
            )
        except OSError as error:
            os.close(read_end)
            raise UsageError(
                f"Bridge {launch.name} cannot be started: {launch.command[0]}: {error.strerror}. Check its command and "
                "working_folder, or install it: shakedown bridges."
            ) from error
        finally:
            os.close(write_end)
        self._tasks = [
            asyncio.create_task(self._follow_output(read_end), name="bridge output"),
            asyncio.create_task(self._measure(), name="bridge usage"),
        ]

    async def _wait_until_ready(self) -> None:
        launch = self._launch
        try:
            async with asyncio.timeout(launch.ready_within_s):
                while not self._is_ready():
                    if not self._leader_runs():
                        await asyncio.wait(self._tasks[:1], timeout=1)  # its last words
                        raise UsageError(f"Bridge {launch.name} ended with {self._exit()} before it was ready"
                                         f"{self._last_words()}.")  # fmt: skip
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise UsageError(
                f"Bridge {launch.name} was not ready within {launch.ready_within_s:g} s: {launch.ready_sign()}"
                f"{self._last_words()}. Mend its configuration, or `ready` in its bridge file."
            ) from None

    def _is_ready(self) -> bool:
        if self._launch.ready_log is not None:
            return self._saw_ready_line
        return self._launch.ready is None or self._launch.ready()

    async def _follow_output(self, read_end: int) -> None:
        reader = asyncio.StreamReader()
        pipe = os.fdopen(read_end, "rb", buffering=0)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        rest = b""
        try:
            with self._launch.log.open("ab", buffering=0) as log:
                while block := await reader.read(1 << 16):
                    *lines, rest = (rest + block).split(b"\n")
                    self._write(log, b"".join(line + b"\n" for line in lines))
                    rest = self._open(rest)
                    self._write(log, rest[:-LINE_CHARACTERS_MAX])  # what is kept may end within a secret
                    rest = rest[-LINE_CHARACTERS_MAX:]
                    for line in lines[-1000:]:
                        self._on_line(self._open(line)[:LINE_CHARACTERS_MAX].decode(errors="replace"))
                self._write(log, rest)
        finally:
            transport.close()

    def _write(self, log: BinaryIO, text: bytes) -> None:
        log.write(self._open(text)[: max(0, LOG_BYTES_MAX - self._logged)])
        self._logged += len(text)

    def _open(self, text: bytes) -> bytes:
        """The same without the secrets that the bridge was given."""
        for secret in self._launch.secrets:
            text = text.replace(secret.encode(), b"***")
        return text

    def _on_line(self, line: str) -> None:
        if line.strip():
            self._lines.append(line.strip())
        if self._launch.ready_log is not None and self._launch.ready_log.search(line):
            self._saw_ready_line = True

    # -- watching and ending ----------------------------------------------------------------------------------------

    async def _measure(self) -> None:
        """Once a second: CPU seconds since the start of the run, of all its processes, and their memory now."""
        while True:
            rss, tree = 0, self._tree()
            self._look_for_holders(tree)
            for process in tree:
                with contextlib.suppress(psutil.Error):
                    times = process.cpu_times()
                    self._cpu_s[process.pid] = times.user + times.system
                    rss += process.memory_info().rss
            self._usage.write(["U", time.time_ns(), round(sum(self._cpu_s.values()), 2), rss])
            await asyncio.sleep(MEASURE_S)

    def _tree(self) -> list[psutil.Process]:
        """Its process and the children of it, cheaply."""
        if self._process is None:
            return []
        with contextlib.suppress(psutil.Error):
            leader = psutil.Process(self._process.pid)
            tree = [leader, *leader.children(recursive=True)]
            self._seen = {process for process in self._seen if _lives(process)}.union(tree)
            return tree
        return []

    def _look_for_holders(self, processes: Sequence[psutil.Process]) -> None:
        """See who holds the MQTT session; a supervisor hides the end of its bridge, which is the end of that one."""
        launch = self._launch
        if launch.broker is None:
            return
        gone = {process for process in self._holders if not _lives(process)}
        if gone and launch.restarted_by_itself and self._struck is None and not self._asked_to_end:
            self._conduct = self._conduct or f"it ended under its supervisor{self._last_words()}"
        new = (p for p in processes if p not in self._holders and _is_connected(p, launch.broker))
        self._holders = (self._holders - gone).union(new)

    def _has_held(self, process: psutil.Process) -> bool:
        """Whether it is known to hold the MQTT session; any does where the broker is not known."""
        return self._launch.broker is None or process in self._holders

    def _processes(self) -> list[psutil.Process]:
        """Everything alive that bears the mark of this bridge, is of its session, or was seen among its children."""
        self._tree()
        leader = self._process.pid if self._process is not None else -1
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if (
                    process in self._seen
                    or os.getsid(process.pid) == leader
                    or process.environ().get(MARK) == self._mark
                ):
                    found.append(process)
        return found

    async def _end_everything(self) -> None:
        if self._process is not None:
            self._tree()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await _end(self._processes())
            await self._leader_ends(END_S)
        for task in self._tasks:
            if task.get_name() != "bridge output":
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)  # its last words
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=1)
        self._tasks = []

    async def _leader_ends(self, within_s: float) -> bool:
        assert self._process is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._process.wait()
        return not self._leader_runs()

    def _leader_runs(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def _exit(self) -> str:
        assert self._process is not None
        code = self._process.returncode or 0
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def _last_words(self) -> str:
        if not self._lines:
            return f", without a word (see {self._launch.log.name})"
        return f"; the last lines of its log: {' / '.join(self._lines)}"


async def _end(processes: Sequence[psutil.Process]) -> None:
    """Kill them and wait until they are gone, within bounds."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    until = time.monotonic() + END_S
    while time.monotonic() < until and any(_lives(process) for process in processes):  # noqa: ASYNC110
        await asyncio.sleep(POLL_S)


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _is_connected(process: psutil.Process, address: tuple[str, int]) -> bool:
    with contextlib.suppress(psutil.Error):
        peers = (connection.raddr for connection in process.net_connections("tcp") if connection.raddr)
        return any((peer.ip.removeprefix("::ffff:"), peer.port) == address for peer in peers)
    return False


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return str(process.name())
    return "?"
