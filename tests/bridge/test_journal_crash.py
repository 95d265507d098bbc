"""SIGKILL in the middle of appending: what `append` returned is on disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shakedown.bridge.core.model import Sample
from shakedown.bridge.journal.errors import JournalError
from shakedown.bridge.journal.journal import Journal
from shakedown.twin.clock import run

WRITER = """
import asyncio, sys
from shakedown.bridge.core.model import Sample
from shakedown.bridge.journal.journal import Journal

async def main():
    journal = await Journal.open(sys.argv[1], targets=["a"], rows_max=10**6)
    n = journal.last_row
    while True:
        rows = await journal.append(
            [Sample(i % 5, i, float(i)) for i in range(n, n + 37)], {"plc1": str(n + 37).encode()}
        )
        n = rows.stop - 1
        print(n, flush=True)  # told to the outside: durable

asyncio.run(main())
"""


def kill_a_writer(path: Path, after_lines: int) -> int:
    """Let a writer append until it reported so often, kill it; return the last row that it reported."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    reported = 0
    for _ in range(after_lines):
        reported = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    rest = process.stdout.read().split("\n")[:-1]  # what was reported before the kill took effect
    process.wait(timeout=30)
    return int(rest[-1]) if rest else reported


@pytest.mark.wall
def test_what_was_reported_durable_is_there_after_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "j"

    async def look() -> tuple[int, bytes | None, list[tuple[int, Sample]]]:
        journal = await Journal.open(path, targets=["a"], rows_max=10**6)
        try:
            return journal.last_row, journal.get("plc1"), await journal.read("a", 0, 10**6)
        finally:
            await journal.close()

    for after_lines in (1, 40, 7):
        reported = kill_a_writer(path, after_lines)
        last_row, position, rows = run(look(), clock="wall")
        assert last_row >= reported
        assert last_row % 37 == 0  # a transaction is there as a whole
        assert position == str(last_row).encode()
        assert rows == [(i + 1, Sample(i % 5, i, float(i))) for i in range(last_row)]


@pytest.mark.wall
def test_another_process_is_refused_while_one_writes(tmp_path: Path) -> None:
    path = tmp_path / "j"

    async def attempt() -> None:
        await Journal.open(path, targets=["a"], rows_max=10)

    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        with pytest.raises(JournalError, match="in use by another process"):
            run(attempt(), clock="wall")
    finally:
        process.kill()
        process.communicate(timeout=30)
