"""`run`: one coroutine, on whichever clock."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

from shakedown.twin.clock.deadlock import Deadlock
from shakedown.twin.clock.holding import WallLoop
from shakedown.twin.clock.loop import VirtualLoop
from shakedown.twin.clock.patches import virtual_world

T = TypeVar("T")

START = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)
"""When virtual runs begin: a Monday, at the change to the early shift."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def run(main: Coroutine[Any, Any, T], *, clock: str = "virtual", seed: int = 0, start: datetime = START) -> T:
    """Run `main` to its end and return its result.

    `clock` is `virtual`, `xK` (virtual time held to K times the wall time, e.g. `x60`) or `wall` (plain asyncio).
    `start` (aware) and `seed` matter to the first two alone. Ctrl-C cancels `main`, which may clean up, and then
    KeyboardInterrupt is raised. Raises Deadlock (virtual, paced) and ValueError for a clock unknown.
    """
    try:
        speed = _speed(clock)
        start_ns = _epoch_ns(start)
    except ValueError:
        main.close()
        raise
    if clock == "wall":
        with asyncio.Runner(loop_factory=WallLoop) as runner:
            return runner.run(main)
    loop = VirtualLoop(start_ns, speed)
    try:
        with virtual_world(loop, seed):
            return _run_on(loop, main)
    finally:
        loop.close()


def _run_on(loop: VirtualLoop, main: Coroutine[Any, Any, T]) -> T:
    runner = asyncio.Runner(loop_factory=lambda: loop)
    try:
        result = runner.run(main)
    except BaseException:
        _end_tasks(loop, hide_deadlock=True)
        raise
    else:
        _end_tasks(loop, hide_deadlock=False)
        return result
    finally:
        runner.close()


def _end_tasks(loop: VirtualLoop, *, hide_deadlock: bool) -> None:
    """Cancel what is left in the order of its making, and let it clean up."""
    tasks = loop.tasks_in_order()
    for task in tasks:
        task.cancel()
    try:
        if tasks:
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    except Deadlock:
        if not hide_deadlock:
            raise


def now_ns() -> int:
    """Nanoseconds since the Unix epoch as the running clock has it."""
    loop = asyncio._get_running_loop()
    return loop.now_ns if isinstance(loop, VirtualLoop) else time.time_ns()


def _speed(clock: str) -> float | None:
    if clock in ("virtual", "wall"):
        return None
    match = re.fullmatch(r"x(\d+(?:\.\d+)?)", clock)
    if match is None or float(match[1]) == 0:
        raise ValueError(
            f"unknown clock {clock!r}; remedy: virtual, wall, or xK such as x60 (60 times real time)"
        )
    return float(match[1])


def _epoch_ns(start: datetime) -> int:
    if start.tzinfo is None:
        raise ValueError(f"start {start} has no time zone; remedy: datetime(..., tzinfo=UTC)")
    since = start - _EPOCH
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1_000
