"""Speed of the line: the whole model beside a bare SimPy kernel that handles as many events, and the ledger alone.

`extra_info` says what times mean: `times_real_time` is simulated by CPU seconds, `us_per_value` what a sample costs.
"""

from __future__ import annotations

import itertools
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
    def run(env: simpy.Environment, ledger: Ledger, line: Line) -> None:
        with ledger:
            env.run(until=SECONDS * 1_000 + 1)

    env, ledger, line = _line(fresh())
    run(env, ledger, line)
    signals, samples = len(line.signals), ledger.samples_written
    benchmark.pedantic(run, setup=lambda: (_line(fresh()), {}), rounds=8, warmup_rounds=1)
    if benchmark.stats:
        median_s = benchmark.stats["median"]
        benchmark.extra_info.update(
            what=f"line alone, {signals} signals, with its ledger",
            times_real_time=round(SECONDS / median_s),
            us_per_value=round(median_s / samples * 1e6, 1),
        )


def test_ledger_alone(benchmark: Any, fresh: Callable[[], Path]) -> None:
    changes = [(index, 20.0 + index / 100, 0) for index in range(60)]

    def run(ledger: Ledger) -> None:
        with ledger:
            for scan in range(SAMPLES // len(changes)):
                ledger.samples(scan, changes)

    benchmark.pedantic(run, setup=lambda: ((Ledger(fresh(), start_ns=0),), {}), rounds=8, warmup_rounds=1)
    if benchmark.stats:
        benchmark.extra_info["us_per_value"] = round(benchmark.stats["median"] / SAMPLES * 1e6, 3)
