"""After a run, however it ended, the process is exactly as before."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import importlib
import os
import random
import secrets
import sys
import threading
import time
import types
import uuid
from collections.abc import Callable
from pathlib import Path
from time import monotonic as captured_monotonic
from typing import Any

import pytest
import time_machine
from paho.mqtt import client as paho

from shakedown.twin.clock import Deadlock, run

PATCHED: dict[str, Callable[[], Any]] = {
    "time.monotonic": lambda: time.monotonic,
    "time.monotonic_ns": lambda: time.monotonic_ns,
    "time.perf_counter": lambda: time.perf_counter,
    "time.perf_counter_ns": lambda: time.perf_counter_ns,
    "time.sleep": lambda: time.sleep,
    "os.urandom": lambda: os.urandom,
    "random._urandom": lambda: random._urandom,  # type: ignore[attr-defined]
    "paho.time_func": lambda: paho.time_func,  # type: ignore[attr-defined]
    "captured monotonic": lambda: captured_monotonic,
    "threading.Thread.start": lambda: threading.Thread.__dict__["start"],
}


async def _ends() -> None:
    await asyncio.sleep(1)


async def _raises() -> None:
    await asyncio.sleep(1)
    raise KeyError("on purpose")


async def _deadlocks() -> None:
    await asyncio.Event().wait()


async def _is_interrupted() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("patched", PATCHED)
@pytest.mark.parametrize("main", [_ends, _raises, _deadlocks, _is_interrupted])
def test_a_patch_is_taken_back(patched: str, main: Callable[[], Any]) -> None:
    before = PATCHED[patched]()
    with contextlib.suppress(KeyError, Deadlock, KeyboardInterrupt):
        run(main())
    assert PATCHED[patched]() is before


@pytest.mark.parametrize("patched", PATCHED)
def test_a_patch_is_in_force_meanwhile(patched: str) -> None:
    before = PATCHED[patched]()

    async def main() -> bool:
        return PATCHED[patched]() is not before

    assert run(main())


def test_wall_time_comes_back() -> None:
    run(_ends())
    assert not time_machine.escape_hatch.is_travelling()
    assert datetime.datetime.now(datetime.UTC).timestamp() == pytest.approx(time.time(), abs=5)


def test_a_module_imported_meanwhile_does_not_keep_the_virtual_clock() -> None:
    name = "module_made_in_virtual_time"

    async def main() -> None:
        module = types.ModuleType(name)
        exec("from time import monotonic as clock\nfrom os import urandom", module.__dict__)
        sys.modules[name] = module

    try:
        run(main())
        assert sys.modules[name].clock is time.monotonic
        assert sys.modules[name].urandom is os.urandom
    finally:
        del sys.modules[name]


def test_a_function_kept_elsewhere_falls_back_to_the_real_clock() -> None:
    async def main() -> Callable[[], float]:
        return time.monotonic

    kept = run(main())
    assert kept is not time.monotonic
    assert kept() == pytest.approx(time.monotonic(), abs=5)


def test_other_threads_keep_the_real_clock() -> None:
    readings: list[float] = []
    go, done = threading.Event(), threading.Event()

    def look() -> None:
        go.wait(10)
        readings.append(time.monotonic())
        done.set()

    thread = threading.Thread(target=look)
    thread.start()

    async def main() -> None:
        await asyncio.sleep(1e6)
        go.set()
        done.wait(10)

    before = time.monotonic()
    run(main())
    thread.join(10)
    assert before <= readings[0] <= time.monotonic()


def _chance() -> tuple[Any, ...]:
    return os.urandom(8), uuid.uuid4(), uuid.uuid1().time, secrets.token_hex(4), random.random()


def test_chance_follows_the_seed() -> None:
    async def main() -> tuple[Any, ...]:
        return _chance()

    assert run(main(), seed=1) == run(main(), seed=1)
    assert all(a != b for a, b in zip(run(main(), seed=1)[:2], run(main(), seed=2)[:2], strict=True))


def test_what_a_module_draws_while_it_is_imported_does_not_shift_the_chance_of_the_run(
    tmp_path: Path,
) -> None:
    (tmp_path / "drawing_module.py").write_text("import os\ndrawn = os.urandom(16)\n")

    async def main() -> bytes:
        importlib.import_module("drawing_module")
        return os.urandom(8)

    sys.path.insert(0, str(tmp_path))
    try:
        first_run = run(main())
        assert run(main()) == first_run
    finally:
        sys.path.remove(str(tmp_path))
        del sys.modules["drawing_module"]


def test_the_global_generator_goes_on_as_if_nothing_had_been() -> None:
    random.seed(5)
    expected = [random.random(), random.random()]
    random.seed(5)
    first = random.random()
    run(_ends(), seed=9)
    assert [first, random.random()] == expected
