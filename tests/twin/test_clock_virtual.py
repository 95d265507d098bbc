"""The loop in virtual time: jumps, order, executors, threads, deadlock, interruption."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import signal
import threading
import time
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta

import pytest

from shakedown.twin.clock import START, Deadlock, VirtualLoop, now_ns, run
from shakedown.twin.network.model import current_host

START_NS = 1_767_592_800 * 10**9


def test_every_clock_follows_the_jump() -> None:
    async def main() -> None:
        monotonic, counter = time.monotonic(), time.perf_counter_ns()
        assert time.time_ns() == now_ns() == START_NS
        await asyncio.sleep(86_400.5)
        assert time.monotonic() == monotonic + 86_400.5
        assert time.perf_counter_ns() == counter + 86_400_500_000_000
        assert time.time() == START_NS / 1e9 + 86_400.5
        assert datetime.now(UTC) == START + timedelta(days=1, seconds=0.5)
        assert time.gmtime().tm_mday == 6
        assert asyncio.get_running_loop().time() == time.monotonic()

    before = time.monotonic()
    run(main())
    assert time.monotonic() - before < 5


def test_nanoseconds_are_exact_over_many_jumps() -> None:
    async def main() -> int:
        for _ in range(36_000):
            await asyncio.sleep(0.1)
        assert time.time_ns() == now_ns()
        return now_ns() - START_NS

    assert run(main()) == 3600 * 10**9


def test_start_is_the_callers_and_aware() -> None:
    async def main() -> datetime:
        return datetime.now(UTC)

    start = datetime(2031, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
    assert run(main(), start=start) == start
    with pytest.raises(ValueError, match="no time zone"):
        run(main(), start=datetime(2031, 5, 6))


@pytest.mark.parametrize("clock", ["fast", "x", "x0", "x-1", "60"])
def test_an_unknown_clock_is_named(clock: str) -> None:
    async def main() -> None: ...

    with pytest.raises(ValueError, match=r"unknown clock.*remedy"):
        run(main(), clock=clock)


def test_timers_of_one_instant_run_in_the_order_of_their_making() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        ran: list[int] = []
        at = loop.time() + 1
        for number in range(50):
            loop.call_at(at, ran.append, number)
        cancelled = loop.call_at(at, ran.append, -1)
        cancelled.cancel()
        loop.call_at(at - 0.5, ran.append, 99)
        await asyncio.sleep(2)
        return ran

    assert run(main()) == [99, *range(50)]


def test_cancelled_timers_do_not_pile_up() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        for _ in range(10_000):
            loop.call_later(3600, print).cancel()
        return len(loop._timers)

    assert run(main()) <= 200


def test_timeouts_fire_in_virtual_time() -> None:
    async def main() -> float:
        before = time.monotonic()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 900)
        return time.monotonic() - before

    assert run(main()) == 900


def test_executors_run_inline_in_the_callers_context() -> None:
    host: ContextVar[str] = ContextVar("host")

    def work(number: int) -> tuple[int, str]:
        return number * 2, host.get()

    def fail() -> None:
        raise KeyError("no such thing")

    async def main() -> None:
        host.set("plc1")
        loop = asyncio.get_running_loop()
        pool = concurrent.futures.ThreadPoolExecutor()
        assert await loop.run_in_executor(pool, work, 21) == (42, "plc1")
        assert await asyncio.to_thread(work, 1) == (2, "plc1")
        with pytest.raises(KeyError):
            await loop.run_in_executor(None, fail)
        with pytest.raises(RuntimeError, match=r"started under virtual time.*remedy"):
            pool.submit(work, 1)

    run(main())


def test_a_blocking_sleep_lets_time_pass_for_everybody() -> None:
    async def main() -> float:
        before = time.monotonic()
        late = asyncio.create_task(asyncio.sleep(1))
        await asyncio.sleep(0)
        time.sleep(5)  # noqa: ASYNC251 (the very thing)
        await late
        return time.monotonic() - before

    assert run(main()) == 5


def test_deadlock_names_tasks_hosts_and_lines() -> None:
    class Plc:
        name = "plc1"

    async def inner() -> None:
        await asyncio.Event().wait()

    async def outer() -> None:
        await inner()

    async def main() -> None:
        current_host.set(Plc())  # type: ignore[arg-type]
        await asyncio.create_task(outer(), name="collector")

    with pytest.raises(Deadlock) as caught:
        run(main())
    collector = next(line for line in caught.value.waiting if line.startswith("collector"))
    line = inner.__code__.co_firstlineno + 1
    assert collector.startswith(f"collector on plc1 at {__file__}:{line} in ")
    assert len(caught.value.waiting) == 2
    assert "nothing is scheduled" in str(caught.value)


def test_deadlock_lets_tasks_clean_up() -> None:
    cleaned = []

    async def main() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)
            await asyncio.Event().wait()  # a second deadlock must not hide the first

    with pytest.raises(Deadlock):
        run(main())
    assert cleaned == [True]


def test_a_loop_that_spins_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shakedown.twin.clock.loop.TURNS_WITHOUT_TIME_MAX", 10_000)

    async def main() -> None:
        while True:  # noqa: ASYNC110 (the very thing)
            await asyncio.sleep(0)

    with pytest.raises(Deadlock, match="spins and virtual time does not move"):
        run(main())


def test_tasks_left_over_are_cancelled_in_the_order_of_their_making() -> None:
    ended: list[int] = []

    async def worker(number: int) -> None:
        try:
            await asyncio.sleep(1e6)
        finally:
            await asyncio.sleep(0.01)
            ended.append(number)

    async def main() -> None:
        main.tasks = [asyncio.create_task(worker(number)) for number in range(20)]  # type: ignore[attr-defined]
        await asyncio.sleep(1)

    run(main())
    assert ended == list(range(20))


@pytest.mark.parametrize("clock", ["virtual", "x1", "wall"])
def test_ctrl_c_cancels_main_which_cleans_up(clock: str) -> None:
    cleaned = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                await asyncio.sleep(0.01 if clock == "wall" else 3600)
                if clock == "virtual" and loop.time() > 40_000:
                    os.kill(os.getpid(), signal.SIGINT)
        finally:
            await asyncio.sleep(0.001)
            cleaned.append(True)

    before = time.monotonic()
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    if clock != "virtual":
        timer.start()
    with pytest.raises(KeyboardInterrupt):
        run(main(), clock=clock)
    assert cleaned == [True]
    assert time.monotonic() - before < 5
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_paced_time_is_held_to_the_wall() -> None:
    async def main() -> None:
        for _ in range(30):
            await asyncio.sleep(1)

    before = time.monotonic()
    run(main(), clock="x100")
    assert 0.3 <= time.monotonic() - before < 3


def test_what_delayed_paced_time_is_not_caught_up() -> None:
    async def main() -> None:
        ends = time.clock_gettime(time.CLOCK_MONOTONIC) + 0.6
        while time.clock_gettime(time.CLOCK_MONOTONIC) < ends:
            pass  # the lab is put up
        for _ in range(40):
            await asyncio.sleep(1)

    before = time.monotonic()
    run(main(), clock="x100")
    assert time.monotonic() - before >= 0.6 + 0.4 - 0.26


def test_the_wall_clock_is_plain_asyncio() -> None:
    async def main() -> tuple[type, int]:
        return type(asyncio.get_running_loop()), now_ns()

    before = time.time_ns()
    loop_type, reading = run(main(), clock="wall")
    assert loop_type is not VirtualLoop
    assert before <= reading <= time.time_ns()


def test_a_signal_handler_of_the_loop_is_called() -> None:
    async def main() -> bool:
        loop = asyncio.get_running_loop()
        called = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, called.set)
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(1e6):
            while not called.is_set():  # noqa: ASYNC110 (virtual time must not end meanwhile)
                await asyncio.sleep(0.1)
        return loop.remove_signal_handler(signal.SIGTERM)

    assert run(main()) is True


def test_a_real_socket_is_refused_with_a_remedy() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="no network of its own; remedy"):
            await asyncio.open_connection("127.0.0.1", 1)
        reader, writer = os.pipe()
        try:
            with pytest.raises(RuntimeError, match=r"real one.*remedy"):
                asyncio.get_running_loop().add_reader(reader, print)
        finally:
            os.close(reader)
            os.close(writer)

    run(main())


def test_a_timer_is_never_early_by_a_rounding() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        early = []
        for number in range(1, 3000):
            when = loop.time() + number * 0.0110000037
            fired = loop.create_future()
            loop.call_at(when, fired.set_result, None)
            await fired
            if loop.time() < when:
                early.append(when)
        return early

    assert run(main()) == []
