"""SimPy on the running loop, whatever its clock."""

from __future__ import annotations

import asyncio
from typing import Any

import simpy

_STEPS_PER_TURN_MAX = 1_000


class _Driver:
    """Steps one environment; notices events that are scheduled from outside of it."""

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._origin_ms = env.now
        self._schedule = env.schedule
        self._stepping = False
        self._wake: asyncio.Future[None] | None = None

    def _now_ms(self) -> int:
        # a microsecond of grace: the loop's time is a float, and a timer must not come a step too early
        return int(self._origin_ms) + int((self._loop.time() - self._start + 1e-6) * 1000)

    def schedule(self, *args: Any, **kwargs: Any) -> None:
        """Stands in for `env.schedule`: what asyncio code schedules is counted from now, and wakes the driver."""
        if self._stepping:
            self._schedule(*args, **kwargs)
            return
        self.env._now = max(self.env.now, min(self._now_ms(), self.env.peek()))
        self._schedule(*args, **kwargs)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def step_until_now(self) -> bool:
        """Process what is due; False when there is more of it than one turn of the loop should bear."""
        self._stepping = True
        try:
            now_ms = self._now_ms()
            for _ in range(_STEPS_PER_TURN_MAX):
                if self.env.peek() > now_ms:
                    return True
                self.env.step()
            return False
        finally:
            self._stepping = False

    async def wait_for_next(self) -> None:
        """Sleep until the absolute time of the next event, or until one is scheduled from outside."""
        self._wake = self._loop.create_future()
        next_ms = self.env.peek()
        timer = None
        if next_ms != simpy.core.Infinity:
            due = self._start + (next_ms - self._origin_ms) / 1000
            timer = self._loop.call_at(due, _set, self._wake)
        try:
            await self._wake
        finally:
            self._wake = None
            if timer is not None:
                timer.cancel()


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def drive(env: simpy.Environment) -> None:
    """Step a SimPy environment (integer ms, from `env.now` on) in the running loop's time until cancelled.

    Events that asyncio code schedules meanwhile (`env.timeout`, `event.succeed`, `env.process`) count from now.
    An exception of a SimPy process is raised here.
    """
    driver = _Driver(env)
    env.schedule = driver.schedule
    try:
        while True:
            if driver.step_until_now():
                await driver.wait_for_next()
            else:
                await asyncio.sleep(0)
    finally:
        del env.schedule  # the class's own method shows again
