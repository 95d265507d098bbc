"""What a person sees while a run goes on: simulated time, phase, backlog, speed. In a pipe a line each minute."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable

from rich.console import Console
from rich.live import Live
from rich.text import Text

from shakedown.scenarios.timeline import Timeline

STEP_S = 5.0  # of the run's own time between two looks
REDRAW_S = 0.1  # of real time between two redraws
LINE_S = 60.0  # of real time between two lines in a pipe


class Progress:
    """One line on a terminal's standard error, redrawn in place; it begins with `which` run of several it is.

    What is no terminal gets a new line when the run begins, and one each minute.
    """

    def __init__(self, console: Console, which: str = "", name: str = "") -> None:
        self._console, self._which, self._name = console, which, which or name
        self._live = (
            Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        )

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """Show what goes on before and after the line runs."""
        if self._live:
            line = f"{self._which}  {text}" if self._which else text
            self._live.update(Text(line, no_wrap=True, overflow="ellipsis"), refresh=True)

    def note(self, text: str) -> None:
        """Print what somebody has to read, and to act on; it stays."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextlib.asynccontextmanager
    async def follow(self, timeline: Timeline, backlog: Callable[[], int]) -> AsyncIterator[None]:
        """Show the timeline meanwhile; `backlog` is called for the number of samples under way."""
        task = asyncio.create_task(self._watch(timeline, backlog), name="progress")
        try:
            yield
        finally:
            task.cancel()

    async def _watch(self, timeline: Timeline, backlog: Callable[[], int]) -> None:
        began, shown = real_monotonic(), -math.inf
        every_s = REDRAW_S if self._live else LINE_S
        while True:
            now = real_monotonic()
            if now - shown >= every_s:
                shown = now
                elapsed, total = timeline.elapsed_s, timeline.total_s
                share = f"{elapsed / max(total, 1e-9):4.0%}  {_clock(elapsed)} of {_clock(total)}"
                told = pace(elapsed, total, now - began)
                line = f"{share}  {told}backlog {backlog():,}  {timeline.now}"
                if self._live:
                    self.say(line)
                else:
                    self.note(f"{self._name}  {line}")
            await asyncio.sleep(min(STEP_S, max(timeline.total_s / 200, 0.2)))


def real_monotonic() -> float:
    """Seconds as the wall has them, whatever clock the run is on."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def pace(elapsed_s: float, total_s: float, real_s: float) -> str:
    """How fast the run goes and how long a person still waits; nothing before that can be told."""
    if real_s < REDRAW_S or elapsed_s <= 0:
        return ""
    left_s = max(0.0, total_s - elapsed_s) * real_s / elapsed_s
    return f"{elapsed_s / real_s:,.0f}x real time, {_clock(left_s)} left  "


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
