"""SimPy on the running loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import Any

import pytest
import simpy

from shakedown.twin.clock import Deadlock, drive, now_ns, run


async def _driven(env: simpy.Environment, seconds: float) -> None:
    driver = asyncio.create_task(drive(env))
    await asyncio.sleep(seconds)
    driver.cancel()


def test_events_happen_at_their_absolute_time_without_drift() -> None:
    async def main() -> list[tuple[int, int]]:
        env = simpy.Environment()
        start_ns = now_ns()
        seen: list[tuple[int, int]] = []

        def ticker() -> Generator[Any, Any, None]:
            while True:
                yield env.timeout(100)
                seen.append((env.now, now_ns() - start_ns))

        env.process(ticker())
        await _driven(env, 3600.05)
        return seen

    seen = run(main())
    assert len(seen) == 36_000
    assert all(now_ms * 1_000_000 == elapsed_ns for now_ms, elapsed_ns in seen)


def test_it_works_on_the_wall_clock() -> None:
    async def main() -> list[int]:
        env = simpy.Environment()
        seen: list[int] = []

        def ticker() -> Generator[Any, Any, None]:
            for _ in range(10):
                yield env.timeout(20)
                seen.append(env.now)

        process = env.process(ticker())
        driver = asyncio.create_task(drive(env))
        async with asyncio.timeout(10):
            while process.is_alive:  # noqa: ASYNC110 (a process has no awaitable)
                await asyncio.sleep(0.01)
        driver.cancel()
        return seen

    before = time.monotonic()
    assert run(main(), clock="wall") == list(range(20, 201, 20))
    assert time.monotonic() - before >= 0.2


def test_what_asyncio_schedules_counts_from_now_and_wakes_the_driver() -> None:
    async def main() -> list[tuple[str, int]]:
        env = simpy.Environment()
        seen: list[tuple[str, int]] = []
        order = env.event()

        def worker() -> Generator[Any, Any, None]:
            yield order
            seen.append(("order", env.now))
            yield env.timeout(7)
            seen.append(("done", env.now))

        env.process(worker())
        env.timeout(60_000)  # a far event, which the driver sleeps for
        driver = asyncio.create_task(drive(env))
        await asyncio.sleep(2.5)
        order.succeed()
        await asyncio.sleep(1)
        driver.cancel()
        return seen

    assert run(main()) == [("order", 2500), ("done", 2507)]


def test_an_environment_without_events_waits_for_some() -> None:
    async def main() -> int:
        env = simpy.Environment()
        driver = asyncio.create_task(drive(env))
        await asyncio.sleep(5)
        timeout = env.timeout(1000)
        await asyncio.sleep(2)
        driver.cancel()
        assert timeout.processed
        return env.now

    assert run(main()) == 6000


def test_nothing_more_to_come_is_a_deadlock_like_any_other() -> None:
    async def main() -> None:
        await drive(simpy.Environment())

    with pytest.raises(Deadlock, match="simpy_drive"):
        run(main())


def test_an_error_of_a_process_is_raised() -> None:
    async def main() -> None:
        env = simpy.Environment()

        def broken() -> Generator[Any, Any, None]:
            yield env.timeout(10)
            raise ValueError("jammed")

        env.process(broken())
        await drive(env)

    with pytest.raises(ValueError, match="jammed"):
        run(main())


def test_the_environment_is_left_as_it_was() -> None:
    async def main() -> simpy.Environment:
        env = simpy.Environment()
        await _driven(env, 1)
        return env

    assert "schedule" not in vars(run(main()))
