"""Speed of the line: the whole model beside a bare SimPy kernel that handles as many events, and the ledger alone.

`extra_info` says what the times mean: `real_time` is simulated by wall seconds, `real_time_of_one_core` by seconds of a
core (the same on a machine that does nothing else), `us_per_sample` what a sample costs.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import simpy

from shakedown.bridge.yamlfile import load
from shakedown.twin.ledger import Ledger
from shakedown.twin.line import Line, Plant

pytestmark = [pytest.mark.bench, pytest.mark.benchmark(timer=time.process_time)]

BOTTLING = Path(__file__).parents[2] / "scenarios" / "plants" / "bottling" / "plant.yaml"
SECONDS = 1_200
SAMPLES = 100_000


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[], Path]:
    """A new file name at each call: a ledger never overwrites."""
    numbers = itertools.count()
    return lambda: tmp_path / f"{next(numbers)}.jsonl"


def _line(path: Path) -> tuple[simpy.Environment, Ledger, Line]:
    env = simpy.Environment()
    ledger = Ledger(path, start_ns=0)
    line = Line(load(BOTTLING, Plant), env, 7, ledger)
    line.start()
    return env, ledger, line


def _events(path: Path) -> int:
    """How many kernel events the line handles in SECONDS."""
    env, ledger, _ = _line(path)
    handled = 0
    while env.peek() <= SECONDS * 1_000:
        env.step()
        handled += 1
    ledger.close()
    return handled


def test_bare_kernel_with_as_many_events(benchmark: Any, fresh: Callable[[], Path]) -> None:
    events = _events(fresh())

    def ticks(env: simpy.Environment) -> Generator[simpy.Event, Any, None]:
        while True:
            yield env.timeout(1)

    def run() -> None:
        env = simpy.Environment()
        env.process(ticks(env))
        env.run(until=events)

    benchmark(run)
    benchmark.extra_info["events"] = events


def test_whole_line_with_its_ledger(benchmark: Any, fresh: Callable[[], Path]) -> None:
    cpu_s: list[float] = []

    def run(env: simpy.Environment, ledger: Ledger, line: Line) -> None:
        begun_s = time.process_time()
        with ledger:
            env.run(until=SECONDS * 1_000 + 1)
        cpu_s.append(time.process_time() - begun_s)

    env, ledger, line = _line(fresh())
    run(env, ledger, line)
    benchmark.extra_info.update(signals=len(line.signals), samples=ledger.samples_written)
    benchmark.pedantic(run, setup=lambda: (_line(fresh()), {}), rounds=8, warmup_rounds=1)
    if benchmark.stats:
        benchmark.extra_info["real_time"] = round(SECONDS / benchmark.stats["median"])
        benchmark.extra_info["real_time_of_one_core"] = round(SECONDS / statistics.median(cpu_s))


def test_ledger_alone(benchmark: Any, fresh: Callable[[], Path]) -> None:
    changes = [(index, 20.0 + index / 100, 0) for index in range(60)]

    def run(ledger: Ledger) -> None:
        with ledger:
            for scan in range(SAMPLES // len(changes)):
                ledger.samples(scan, changes)

    benchmark.pedantic(run, setup=lambda: ((Ledger(fresh(), start_ns=0),), {}), rounds=8, warmup_rounds=1)
    if benchmark.stats:
        benchmark.extra_info["us_per_sample"] = round(benchmark.stats["median"] / SAMPLES * 1e6, 3)
