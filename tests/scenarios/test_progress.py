"""How fast a run goes and how long it will take, and how much room it asks for."""

from __future__ import annotations

import asyncio
import io
import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from shakedown.scenarios import disk_space, model, progress
from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.progress import Progress, pace
from shakedown.scenarios.runner import Request
from shakedown.twin.clock import run


@pytest.mark.parametrize(
    ("elapsed_s", "total_s", "real_s", "told"),
    [
        (0.001, 1290, 0.00001, ""),  # the first look would tell a hundred thousand times real time
        (0, 1290, 5, ""),
        (300, 1200, 3, "100x real time, 0:00:09 left  "),
        (60, 11_580, 60, "1x real time, 3:12:00 left  "),
        (1201, 1200, 3, "400x real time, 0:00:00 left  "),
    ],
)
def test_the_pace_is_told_when_it_is_known(elapsed_s, total_s, real_s, told):
    assert pace(elapsed_s, total_s, real_s) == told


def test_in_a_pipe_a_run_says_what_it_is_at_once_and_how_far_each_minute(monkeypatch):
    now = itertools.count(0, 25)
    monkeypatch.setattr(progress, "real_monotonic", lambda: float(next(now)))
    console = Console(file=io.StringIO())
    timeline = SimpleNamespace(elapsed_s=60.0, total_s=600.0, now="recovery")

    async def watched():
        async with Progress(console, name="wan").follow(timeline, lambda: 5):
            await asyncio.sleep(30)  # of virtual time: ten looks, 25 s of real time apart

    run(watched())
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "wan   10%  0:01:00 of 0:10:00  2x real time, 0:03:45 left  backlog 5  recovery"
    assert len(lines) == 4  # of 250 s


def request(name: str) -> Request:
    return Request(model.set_up(model.find(name)), Path("run"), "virtual", 0, "embedded", None, False)


def test_a_long_run_asks_for_the_room_that_it_will_fill():
    assert disk_space.needed(1.0, 68, 30) == 64 * disk_space.MIB
    measured = 118_000_000  # what shift_short leaves in its folder
    assert measured < request("shift_short").needed_bytes < 4 * measured
    assert request("shift").needed_bytes > 3 * request("shift_short").needed_bytes


def test_a_disk_without_that_room_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"MiB free, and this run needs 953,674,316 MiB\. Free space there"):
        disk_space.check_start(tmp_path, 10**15)
    assert not disk_space.is_roomy(tmp_path, 10**15)
    assert disk_space.is_roomy(tmp_path, 1)
