"""What the bridge needs of a source of readings, and what it gives to one. The kinds there are stand in `kinds.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from shakedown.bridge.core.model import Metric, Reading

OnReadings = Callable[[Sequence[Reading], Mapping[str, bytes | None]], Awaitable[None]]
"""`await on_readings(readings, entries)` returns when both are in the journal, in one transaction.

Only then may a source be asked to forget what it has sent. Either may be empty; an entry of None is removed. A south
delivers live values one call after the other, in the order of its source; a call that fills gaps may overlap them, and
what it brings is older than what was delivered of a metric. JournalError is answered with the same call a little later:
nothing of it was taken.
"""

OnEvent = Callable[[str, dict[str, Any]], None]
"""`on_event(kind, details)`: what goes on record; `gap` with `declared`: so many gaps stay unfilled."""


class South(Protocol):
    """One source of readings. Its life is `run()`: it connects, reads, and begins again, until it is cancelled.

    Whatever the source does or sends, `run` goes on; it ends by itself only where the configuration cannot be used.
    """

    @property
    def name(self) -> str: ...

    @property
    def counters(self) -> Mapping[str, int]: ...

    async def run(self) -> None: ...


class MakeSouth(Protocol):
    """Makes a south for the metrics of one entry of `south:`; nothing is connected before `run()`.

    `stored(key)` gives back an entry that went into the journal with readings. The keys of a south are its name, and
    `<name>/...`. `connect_to` maps `host:port` of the configuration to the address that is dialled. `on_alive(name)`
    says that data or signs of life arrive, `on_lost(name)` that they no longer do; each in turn, once. Raises
    ConfigError where a file or variable that the entry names is not there.
    """

    def __call__(
        self,
        name: str,
        config: Any,
        metrics: Sequence[Metric],
        stored: Callable[[str], bytes | None],
        *,
        connect_to: Mapping[str, tuple[str, int]] | None,
        on_readings: OnReadings,
        on_lost: Callable[[str], None],
        on_alive: Callable[[str], None],
        on_event: OnEvent,
    ) -> South: ...
