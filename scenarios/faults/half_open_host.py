"""The primary host's machine dies without a word: the broker goes on serving a connection that nobody reads."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from shakedown.scenarios.faults.fault import Evidence, Fault, Ground


class HalfOpenHost(Fault):
    """The primary host's machine dies without a word: the broker goes on serving a connection that nobody reads."""

    kind: Literal["half_open_host"]
    affects: ClassVar[tuple[str, ...]] = ("host",)

    @property
    def what(self) -> str:
        return "primary host"

    async def strike(self, ground: Ground) -> dict[str, Any]:
        await ground.unplug_host()
        return {"host_rows": ground.host_rows()}

    async def evidence(self, ground: Ground, before: dict[str, Any]) -> Evidence:
        grown = ground.host_rows() - before["host_rows"]
        return Evidence(grown == 0, {"rows_kept_by_the_host_meanwhile": grown})

    async def heal(self, ground: Ground) -> None:
        await ground.replug_host()
