"""Append and read of the journal on a real disk, beside bare sqlite3; `values_per_s` is in the extra info of each."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from shakedown.bridge.core.model import Metric, Sample
from shakedown.bridge.journal.journal import Journal
from shakedown.bridge.south.position import Item, Position

pytestmark = pytest.mark.bench

ROUNDS = 96


def batch(size: int) -> list[Sample]:
    return [Sample(i % 48, 1_767_000_000_000 + i, 20.5 + i) for i in range(size)]


@pytest.mark.parametrize("callers", [1, 16])
@pytest.mark.parametrize("size", [1, 48, 100, 1000])
def test_append(benchmark: Any, tmp_path: Path, size: int, callers: int) -> None:
    """One caller waits for the disk each time; several share a transaction."""
    samples, values = batch(size), ROUNDS // callers * callers * size
    with asyncio.Runner() as runner:
        journal = runner.run(Journal.open(tmp_path / "journal", targets=["enterprise"], rows_max=5_000_000))

        async def append() -> None:
            for _ in range(ROUNDS // callers):
                appends = (journal.append(samples, {"plc1": bytes(1000)}) for _ in range(callers))
                await asyncio.gather(*appends)

        benchmark.pedantic(lambda: runner.run(append()), rounds=5, warmup_rounds=1)
        if benchmark.stats:
            benchmark.extra_info["values_per_s"] = round(values / benchmark.stats.stats.median)
        assert journal.last_row % values == 0
        runner.run(journal.close())


@pytest.mark.parametrize("size", [48, 1000])
def test_bare_sqlite(benchmark: Any, tmp_path: Path, size: int) -> None:
    """As durable, a row for each value and a transaction for each batch, from the caller's own thread."""
    rows = [tuple(sample) for sample in batch(size)]
    with contextlib.closing(sqlite3.connect(tmp_path / "bare", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE sample (metric, ts_ms, value, quality, status)")

        def append() -> None:
            for _ in range(ROUNDS):
                connection.execute("BEGIN")
                connection.executemany("INSERT INTO sample VALUES (?, ?, ?, ?, ?)", rows)
                connection.execute("COMMIT")

        benchmark.pedantic(append, rounds=5, warmup_rounds=1)
    if benchmark.stats:
        benchmark.extra_info["values_per_s"] = round(ROUNDS * size / benchmark.stats.stats.median)


def test_read(benchmark: Any, tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        journal = runner.run(Journal.open(tmp_path / "journal", targets=["enterprise"], rows_max=5_000_000))
        for _ in range(ROUNDS):
            runner.run(journal.append(batch(1000)))

        async def read() -> int:
            row = 0
            while rows := await journal.read("enterprise", row, 1000):
                row = rows[-1][0]
            return row

        assert benchmark.pedantic(lambda: runner.run(read()), rounds=5, warmup_rounds=1) == ROUNDS * 1000
        if benchmark.stats:
            benchmark.extra_info["values_per_s"] = round(ROUNDS * 1000 / benchmark.stats.stats.median)
        runner.run(journal.close())


def test_bytes_written(benchmark: Any, tmp_path: Path) -> None:
    """1,000 nodes at 10 Hz, published twice a second, arrived 20 s later: `bytes_per_value` in the extra info."""
    items = tuple(Item(f"cell.asset/m{i}", f"ns=2;s=T{i}", i) for i in range(1000))
    metrics = [Metric(i, "cell.asset", f"m{i}", 10) for i in range(1000)]
    draw = random.Random(1)

    async def scenario() -> float:
        journal = await Journal.open(
            tmp_path / "journal", targets=["enterprise"], rows_max=5_000_000, metrics=metrics
        )
        position = Position(1, items=items)
        before = _written_b()
        for number in range(1, 201):
            draft = position.copy()
            samples = []
            for handle in range(1000):
                ts_ms = 1_767_000_000_000 + 500 * number + handle % 7
                samples += [Sample(handle, ts_ms + 100 * n, draw.random()) for n in range(5)]
                draft.ticks[handle], draft.same[handle] = ts_ms * 10_000, 1
                draft.check[handle] = draw.getrandbits(32)
            await journal.append(samples, draft.entries("plc1", position))
            position = draft
            if number % 2 == 0:
                await journal.confirm("enterprise", max(0, 5000 * (number - 40)))
        await journal.close()
        return (_written_b() - before) / journal.last_row

    written = benchmark.pedantic(lambda: asyncio.run(scenario()), rounds=1)
    benchmark.extra_info["bytes_per_value"] = round(written, 1)
    assert written <= 40, "0 on a memory disk"


def _written_b() -> int:
    """What this process has had written to disks, ever."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])
