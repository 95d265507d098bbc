"""The asyncio loop in virtual time: when nothing is ready it jumps to the next timer."""

# A loop is made of asyncio's inner parts, which its stubs do not show.
# mypy: disable-error-code="attr-defined, override, misc"

from __future__ import annotations

import asyncio
import heapq
import select
import time
from asyncio import events
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any

from shakedown.twin.clock.deadlock import Deadlock, describe
from shakedown.twin.clock.holding import Holding
from shakedown.twin.clock.selector import MemorySelector

_real_monotonic_ns = time.monotonic_ns

MONOTONIC_START_NS = 1_000 * 10**9
"""What `time.monotonic` shows at the start: not 0, which some libraries take for "never"."""

TURNS_WITHOUT_TIME_MAX = 5_000_000
"""So many turns of the loop at one instant mean that something spins without ever waiting."""

_SIGNAL_POLL_EVERY = 1024
_CANCELLED_TIMERS_MIN = 100
_PACED_NAP_MAX_S = 3600.0
_CATCH_UP_MAX_NS = (
    250_000_000  # of real time: who watches a paced run is not hurried past what a busy moment delayed
)


class VirtualLoop(Holding, asyncio.SelectorEventLoop):
    """An asyncio loop whose time is an integer of nanoseconds that moves from timer to timer.

    Timers run in the order of (time, sequence). Executors run inline. `speed` holds virtual time to so many times
    the wall time at most (paced; what was delayed is hardly caught up); None lets it run free. `network` serves
    connections (see twin/network/memory.py).
    Raises Deadlock out of `run_forever` when nothing is scheduled and something is awaited.
    """

    def __init__(self, start_ns: int, speed: float | None = None) -> None:
        self.now_ns = start_ns
        self.network: Any = None
        self.on_jump: Callable[[int], None] | None = None
        self._monotonic_offset_ns = start_ns - MONOTONIC_START_NS
        self._speed = speed
        self._wall_start_ns = _real_monotonic_ns()
        self._start_ns = start_ns
        self._timers: list[tuple[int, int, events.TimerHandle]] = []
        self._timer_sequence = 0
        self._cancelled_timers = 0
        self._turns = 0
        self._turns_at_jump = 0
        self._task_sequence = 0
        super().__init__(selector=MemorySelector())
        self.descriptors: MemorySelector = self._selector
        self._clock_resolution = 1e-9

    # --- time

    def time(self) -> float:
        return (self.now_ns - self._monotonic_offset_ns) / 1e9

    def monotonic_ns(self) -> int:
        return self.now_ns - self._monotonic_offset_ns

    def advance_to(self, when_ns: int) -> None:
        """Move the clock to an instant not before now; timers that became due run on the next turn."""
        if when_ns > self.now_ns:
            delta_ns = when_ns - self.now_ns
            self.now_ns = when_ns
            self._turns_at_jump = self._turns
            if self.on_jump is not None:
                self.on_jump(delta_ns)

    def sleep_blocking(self, seconds: float) -> None:
        """What `time.sleep` does here: time passes and nobody else runs."""
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        self.advance_to(self.now_ns + round(seconds * 1e9))
        self._hold_to_pace(self.now_ns, interruptible=False)

    # --- timers

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> events.TimerHandle:
        # a delay that is left over from floating point moves time too, or who waits for it would spin
        delay_ns = max(round(delay * 1e9), 1) if delay > 0 else 0
        return self.call_at_ns(self.now_ns + delay_ns, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> events.TimerHandle:
        when_ns = round(when * 1e9) + self._monotonic_offset_ns
        if (when_ns - self._monotonic_offset_ns) / 1e9 < when:
            when_ns += 1  # never early by a rounding: who looks at `time()` then would wait again, for ever
        return self.call_at_ns(when_ns, callback, *args, context=context)

    def call_at_ns(
        self, when_ns: int, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> events.TimerHandle:
        """As `call_at`, at an instant in nanoseconds since the Unix epoch; exact."""
        self._check_closed()
        when = (when_ns - self._monotonic_offset_ns) / 1e9
        timer = events.TimerHandle(when, callback, args, self, context)
        timer._scheduled = True
        self._timer_sequence += 1
        heapq.heappush(self._timers, (when_ns, self._timer_sequence, timer))
        return timer

    def _timer_handle_cancelled(self, handle: events.TimerHandle) -> None:
        self._cancelled_timers += 1
        if self._cancelled_timers > _CANCELLED_TIMERS_MIN and self._cancelled_timers * 2 > len(self._timers):
            self._timers = [entry for entry in self._timers if not entry[2]._cancelled]
            heapq.heapify(self._timers)
            self._cancelled_timers = 0

    # --- one turn

    def _run_once(self) -> None:
        ready = self._ready
        if self.descriptors.touched:
            self._process_events(self.descriptors.select())
        if not ready and not self._stopping:
            self._jump()
        self._turns += 1
        if not self._turns % _SIGNAL_POLL_EVERY:
            self._look_outside()
        held = self.held
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not (handle._cancelled or (held and self.keeps(handle))):
                handle._run()
        handle = None  # breaks reference cycles when a callback raised

    def _jump(self) -> None:
        """Go to the next timer, and make ready everything that is due then."""
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
            self._cancelled_timers -= 1
        if not timers:
            self._read_from_self()
            if not self._ready:
                raise Deadlock("nothing is scheduled, so virtual time cannot go on", self.waiting())
            return
        when_ns = timers[0][0]
        if self._speed is not None and not self._hold_to_pace(when_ns):
            return
        self.advance_to(when_ns)
        now_ns = self.now_ns
        while timers and timers[0][0] <= now_ns:
            timer = heapq.heappop(timers)[2]
            timer._scheduled = False
            if timer._cancelled:
                self._cancelled_timers -= 1
            else:
                self._ready.append(timer)

    def _hold_to_pace(self, when_ns: int, *, interruptible: bool = True) -> bool:
        """Sleep until wall time has come to that instant; False when woken before (a signal)."""
        if self._speed is None:
            return True
        due_ns = self._wall_start_ns + round((when_ns - self._start_ns) / self._speed)
        while (late_ns := _real_monotonic_ns() - due_ns) < 0:
            nap_s = min(-late_ns / 1e9, _PACED_NAP_MAX_S)
            woken, _, _ = select.select([self._ssock] if interruptible else [], [], [], nap_s)
            if woken:
                self._read_from_self()
                if self._ready:
                    return False
        self._wall_start_ns += max(0, late_ns - _CATCH_UP_MAX_NS)
        return True

    def _look_outside(self) -> None:
        """Signals come in over the self-pipe, which is read now and then, not polled."""
        self._read_from_self()
        if self._turns - self._turns_at_jump > TURNS_WITHOUT_TIME_MAX:
            raise Deadlock("the loop spins and virtual time does not move", self.waiting())

    def waiting(self) -> list[str]:
        """One line for each task that is not done, in the order of their making."""
        return [describe(task, getattr(task, "made_in", None)) for task in self.tasks_in_order()]

    # --- tasks and executors

    def create_task(
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: Context | None = None,
        **options: Any,
    ) -> asyncio.Task[Any]:
        self._task_sequence += 1
        name = name or f"Task-{self._task_sequence}"
        task = super().create_task(coro, name=name, context=context, **options)
        task.sequence = self._task_sequence
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Run `func` here and now, whatever the executor; a done future is returned."""
        self._check_closed()
        future = self.create_future()
        try:
            result = copy_context().run(func, *args)
        except (KeyboardInterrupt, SystemExit):
            raise
        except StopIteration as error:
            future.set_exception(RuntimeError(f"{func!r} raised StopIteration: {error!r}"))
        except BaseException as error:  # the future carries whatever the function raised
            future.set_exception(error)
        else:
            future.set_result(result)
        return future

    # --- the network

    async def create_connection(self, protocol_factory: Any, *args: Any, **options: Any) -> Any:
        return await self._served().create_connection(protocol_factory, *args, **options)

    async def create_server(self, protocol_factory: Any, *args: Any, **options: Any) -> Any:
        return await self._served().create_server(protocol_factory, *args, **options)

    async def getaddrinfo(self, host: Any, port: Any, **_hints: Any) -> Any:
        return await self._served().getaddrinfo(host, port)

    def _served(self) -> Any:
        if self.network is None:
            raise RuntimeError(
                "virtual time has no network of its own; remedy: a MemoryNetwork, started on this loop"
            )
        return self.network

    # --- the outside world

    def _write_to_self(self) -> None:
        if self._speed is not None:  # only a paced loop ever sleeps and needs to be woken
            super()._write_to_self()

    def _add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> Any:
        if fd == self._self_pipe_fd():
            return None  # read by this loop itself, see `_look_outside`
        return super()._add_reader(fd, callback, *args)

    def _self_pipe_fd(self) -> int:
        return self._ssock.fileno() if self._ssock is not None else -1
