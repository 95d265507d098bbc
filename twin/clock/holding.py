"""Holding back what a host would do: it is alive and silent, as after SIGSTOP, and goes on where it was."""

# A loop is made of asyncio's inner parts, which its stubs do not show.
# mypy: disable-error-code="arg-type, attr-defined, misc"

from __future__ import annotations

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Coroutine
from contextvars import Context, ContextVar, copy_context
from selectors import SelectorKey
from typing import Any

current_host: ContextVar[Any] = ContextVar("current_host", default=None)
"""The host whose task, or whose callback, is running."""


class Holding:
    """A part of an event loop: callbacks in the context of a held host wait, in their order, until it is let go.

    Its sockets stay open, and the kernel (or the network in memory) fills their buffers. A loop asks `keeps` about each
    callback before it runs it, and only while `held` is not empty.
    """

    def __init__(self, **options: Any) -> None:
        self.held: dict[Any, list[events.Handle]] = {}
        self._resting: dict[Any, list[SelectorKey]] = {}
        super().__init__(**options)

    def hold(self, host: Any) -> None:
        """From now on nothing of `host` runs."""
        self.held.setdefault(host, [])

    def let_go(self, host: Any) -> None:
        """Let it go on with everything that waits, in order; nothing happens when it is not held."""
        self._ready.extend(self.held.pop(host, ()))
        for key in self._resting.pop(host, ()):
            # whoever closed the socket meanwhile has cancelled, or registered anew
            handles = [handle for handle in key.data if handle is not None]
            if any(handle._cancelled for handle in handles) or key.fd in self._selector.get_map():
                continue
            self._selector.register(key.fd, key.events, key.data)

    def create_task(
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: Context | None = None,
        **options: Any,
    ) -> asyncio.Task[Any]:
        context = copy_context() if context is None else context
        task: asyncio.Task[Any] = super().create_task(coro, name=name, context=context, **options)
        task.made_in = context
        return task

    def tasks_in_order(self) -> list[asyncio.Task[Any]]:
        """Every task that is not done, oldest first where the loop counts them (asyncio's own set has no order)."""
        return sorted(asyncio.all_tasks(self), key=lambda task: getattr(task, "sequence", 0))

    def tasks_of(self, host: Any) -> list[asyncio.Task[Any]]:
        """Those that were made on `host`."""
        return [task for task in self.tasks_in_order() if _host_of(task) is host]

    def keeps(self, handle: events.Handle) -> bool:
        """Whether the callback is of a held host; then it waits here."""
        waiting = self.held.get(handle._context.get(current_host))
        if waiting is None:
            return False
        waiting.append(handle)
        return True

    def _process_events(self, event_list: list[tuple[SelectorKey, int]]) -> None:
        if self.held:
            event_list = [event for event in event_list if not self._rests(event[0])]
        super()._process_events(event_list)

    def _rests(self, key: SelectorKey) -> bool:
        """Whether the socket is of a held host; it is not looked at again before that is let go, or it would spin."""
        for handle in key.data:
            host = handle._context.get(current_host) if handle is not None else None
            if host is not None and host in self.held:
                self._selector.unregister(key.fileobj)
                self._resting.setdefault(host, []).append(key)
                return True
        return False


def _host_of(task: asyncio.Task[Any]) -> Any:
    made_in: Context | None = getattr(task, "made_in", None)  # a task that its library made itself has none
    return made_in.get(current_host) if made_in is not None else None


class _Ready(deque[events.Handle]):
    """What a loop of asyncio is about to run; a callback that is kept gives way to one that does nothing."""

    def __init__(self, loop: WallLoop) -> None:
        super().__init__()
        self._loop = loop
        self._nothing = events.Handle(lambda: None, (), loop)

    def popleft(self) -> events.Handle:
        handle = super().popleft()
        return self._nothing if self._loop.held and self._loop.keeps(handle) else handle


class WallLoop(Holding, asyncio.SelectorEventLoop):
    """asyncio's own loop in real time, on which a host can be held."""

    def __init__(self) -> None:
        super().__init__()
        self._ready = _Ready(self)
