"""Whether a south is alive, judged by what arrives from it and by nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

ANSWERS_S = 60.0
"""How long answers alone keep a south alive: a server that answers and never notifies has lost the subscription."""


class Life:
    """Calls `on_alive` at the first beat and `on_lost` when none came for `lost_after_s`, each once until the other.

    A south that never was there is declared lost after the same time. An answer of the server is no beat, it puts off
    the loss: a server that is asked for much has to answer that before it notifies.
    """

    def __init__(
        self, lost_after_s: float, on_lost: Callable[[], None], on_alive: Callable[[], None]
    ) -> None:
        self.alive: bool | None = None  # None: not known yet
        self._lost_after_s = lost_after_s
        self._on_lost = on_lost
        self._on_alive = on_alive
        self.last_s = 0.0  # of what showed life
        self._beat_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to watch; needs a running loop."""
        self.last_s = self._beat_s = asyncio.get_running_loop().time()
        self._watch()

    def beat(self) -> None:
        """Data or a keep-alive arrived."""
        self.last_s = self._beat_s = asyncio.get_running_loop().time()
        if not self.alive:
            self.alive = True
            self._on_alive()
            if self._timer is None:
                self._watch()

    def answered(self) -> None:
        """The server answered something."""
        now_s = asyncio.get_running_loop().time()
        if self.alive is not False and now_s - self._beat_s < ANSWERS_S:
            self.last_s = now_s

    def stop(self) -> None:
        """End watching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(self.last_s + self._lost_after_s, self._check)

    def _check(self) -> None:
        self._timer = None
        # A millisecond is within what a loop's clock may be early by: without it the timer could run in circles.
        if asyncio.get_running_loop().time() - self.last_s < self._lost_after_s - 0.001:
            self._watch()
        elif self.alive is not False:
            self.alive = False
            self._on_lost()
