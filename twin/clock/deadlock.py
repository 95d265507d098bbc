"""The end of a run that can never go on, and the naming of who waits for what."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from contextvars import Context
from types import CodeType
from typing import Any

from shakedown.twin.clock.holding import current_host

_ASYNCIO_FOLDER = os.path.dirname(asyncio.__file__)
_TASKS_NAMED_MAX = 50


class Deadlock(RuntimeError):
    """Nothing is scheduled and something is awaited: under virtual time nobody can ever wake it.

    `waiting` holds one line for each waiting task: its name, its host if it has one, the file and line it waits at.
    """

    def __init__(self, reason: str, waiting: Iterable[str]) -> None:
        self.waiting = tuple(waiting)
        named = self.waiting[:_TASKS_NAMED_MAX]
        more = len(self.waiting) - len(named)
        lines = [f"{reason}; {len(self.waiting)} task(s) wait:", *(f"  {line}" for line in named)]
        super().__init__("\n".join([*lines, f"  and {more} more"] if more else lines))


def describe(task: asyncio.Task[Any], context: Context | None) -> str:
    """One line on a waiting task, e.g. `bridge.south on plc1 at /path/south.py:88 in read_loop`."""
    host = _host_name(context)
    where = _waits_at(task.get_coro())
    return f"{task.get_name()}{f' on {host}' if host else ''} at {where}"


def _host_name(context: Context | None) -> str | None:
    host = context.get(current_host) if context is not None else None
    return None if host is None else str(host.name)


def _waits_at(awaitable: Any) -> str:
    """Follow the chain of awaits inwards to the last line that is not asyncio's own."""
    where = "a place unknown"
    while awaitable is not None:
        frame = _first(awaitable, "cr_frame", "gi_frame", "ag_frame")
        if frame is not None:
            code: CodeType = frame.f_code
            if not code.co_filename.startswith(_ASYNCIO_FOLDER) or where == "a place unknown":
                where = f"{code.co_filename}:{frame.f_lineno} in {code.co_qualname}"
        awaitable = _first(awaitable, "cr_await", "gi_yieldfrom", "ag_await")
    return where


def _first(thing: Any, *names: str) -> Any:
    return next((value for name in names if (value := getattr(thing, name, None)) is not None), None)
