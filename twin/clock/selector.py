"""The selector of the virtual loop: descriptors that exist in memory only."""

from __future__ import annotations

import selectors
from collections.abc import Mapping
from typing import Any, Protocol

FIRST_DESCRIPTOR = 1 << 30
"""In-memory descriptors start here, far above what the system hands out."""


class Pollable(Protocol):
    """What has an in-memory descriptor: it answers which of EVENT_READ and EVENT_WRITE it is ready for."""

    def ready_events(self) -> int: ...


class MemorySelector(selectors.BaseSelector):
    """Level-triggered like epoll, for descriptors that `open` gave out; it never blocks.

    A pollable calls `touch(fd)` whenever it may have become ready; only touched descriptors are looked at.
    """

    def __init__(self) -> None:
        self._next = FIRST_DESCRIPTOR
        self._pollables: dict[int, Pollable] = {}
        self._keys: dict[int, selectors.SelectorKey] = {}
        self.touched: dict[int, None] = {}

    def open(self, pollable: Pollable) -> int:
        """Give a descriptor to an in-memory socket."""
        self._next += 1
        self._pollables[self._next] = pollable
        return self._next

    def forget(self, fd: int) -> None:
        """Take the descriptor back: the socket was closed."""
        self._pollables.pop(fd, None)
        self._keys.pop(fd, None)
        self.touched.pop(fd, None)

    def touch(self, fd: int) -> None:
        if fd in self._keys:
            self.touched[fd] = None

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        if fd not in self._pollables:
            raise RuntimeError(
                f"descriptor {fd} is a real one, and virtual time cannot wait for the real world; "
                "remedy: connect through a MemoryNetwork, or run on the wall clock"
            )
        key = self._keys[fd] = selectors.SelectorKey(fileobj, fd, events, data)
        self.touch(fd)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        self.touched.pop(fd, None)
        return self._keys.pop(fd)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready of what was touched, in the order of touching; never waits."""
        found = []
        for fd in list(self.touched):
            key = self._keys[fd]
            if events := key.events & self._pollables[fd].ready_events():
                found.append((key, events))
            else:
                del self.touched[fd]
        return found

    def close(self) -> None:
        self._keys.clear()
        self._pollables.clear()
        self.touched.clear()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """The key registered for a descriptor; KeyError as asyncio expects."""
        return self._keys[fileobj if isinstance(fileobj, int) else fileobj.fileno()]
