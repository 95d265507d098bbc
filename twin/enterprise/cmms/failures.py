"""How the lab makes the CMMS fail: it answers 5xx or not at all, before or after it has done what was asked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Literal

HOLD_S_MAX = 300.0  # a request that gets no answer is let go after this time, with 504


@dataclass(frozen=True)
class Failure:
    """`error` answers `status`, `time_out` does not answer; `after` the commit the work is done all the same.

    It strikes requests with one of `methods`, so many of them (`requests`, None: until healed).
    """

    kind: Literal["error", "time_out"]
    when: Literal["before", "after"] = "before"
    status: int = 503
    requests: int | None = None
    methods: frozenset[str] = frozenset({"GET", "POST", "PATCH", "DELETE"})

    def __post_init__(self) -> None:
        if self.kind not in ("error", "time_out") or self.when not in ("before", "after"):
            raise ValueError(
                f"failure {self.kind!r} {self.when!r}: a failure is an error or a time_out, before or after"
            )
        if not 500 <= self.status <= 599:
            raise ValueError(f"failure with status {self.status}: use one from 500 to 599")


@dataclass
class FailureSwitch:
    """The failure in force, if any, and how many requests it struck since the CMMS was made: the evidence."""

    failure: Failure | None = None
    struck: int = 0
    _left: int | None = None
    _healed: asyncio.Event = field(default_factory=asyncio.Event)

    def set(self, failure: Failure) -> None:
        """Fail like this from now on; what an earlier failure holds back is let go."""
        self.heal()
        self.failure, self._left, self._healed = failure, failure.requests, asyncio.Event()

    def heal(self) -> None:
        """Work again; requests that are held back end with 504."""
        self.failure = None
        self._healed.set()

    def strike(self, method: str) -> Failure | None:
        """The failure for a request that begins now, counted."""
        failure = self.failure
        if failure is None or method not in failure.methods or self._left == 0:
            return None
        self.struck += 1
        if self._left is not None:
            self._left -= 1
        return failure

    async def hold(self) -> None:
        """Keep a client waiting until the failure is healed, HOLD_S_MAX at most."""
        try:
            async with asyncio.timeout(HOLD_S_MAX):
                await self._healed.wait()
        except TimeoutError:
            return
