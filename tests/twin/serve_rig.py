"""A served plant in virtual time, asked over HTTP on the host it runs on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from shakedown.twin.clock import run
from shakedown.twin.line import Plant
from shakedown.twin.network.memory import MemoryNetwork
from shakedown.twin.web.endpoints import Endpoints
from shakedown.twin.web.serve import Serving, serve
from tests.twin.http_lab import Answer, ask
from tests.twin.line_rig import document

T = TypeVar("T")
UPSETS = {
    "vibration_stuck": {"kind": "stuck", "signals": ["filler.vibration"], "lasts_s": 30},
    "filler_jams": {"kind": "jam", "machine": "filler", "mode": "jam"},
    "filler_wears": {"kind": "bearing_wear", "machine": "filler", "mode": "wear"},
    "all_run_away": {
        "kind": "trip",
        "machine": "filler",
        "mode": "trip",
        "shifts": {"filler.temperature": 20, "packer.pressure": 100},
    },
}

ASSETS = {"filler": {"equipment": "HAM-FILLER", "assignments": [{"physical_asset": "KR-1"}]}}


class Desk:
    """Somebody who asks the served plant."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints
        self.port = int(endpoints.http.rpartition(":")[2])

    async def ask(self, method: str, target: str, **more: Any) -> Answer:
        return await ask(self.port, method, target, **more)

    async def get(self, target: str) -> Any:
        answer = await self.ask("GET", target)
        assert answer.status == 200, answer.body
        return answer.json

    async def post(self, target: str) -> Any:
        answer = await self.ask("POST", target)
        assert answer.status == 202, answer.body
        return answer.json


def plant(**changes: Any) -> Plant:
    return Plant.model_validate(document(**{"upsets": UPSETS, "assets": ASSETS, "crew": True, **changes}))


def served(
    script: Callable[[Desk], Awaitable[T]], *, seed: int = 1, upsets: dict[str, Any] = UPSETS, **asked: Any
) -> T:
    """Serve a plant, run `script`, end the serving as a signal does; the script's result."""

    async def main() -> T:
        ready: asyncio.Future[Endpoints] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(Serving(plant(upsets=upsets), seed, **asked), ready.set_result))
        await asyncio.wait((serving, ready), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
        try:
            return await script(Desk(ready.result()))
        finally:
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving

    return on_a_host(main())


def on_a_host(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on a host of its own, in virtual time."""

    async def there() -> T:
        with MemoryNetwork(seed=1) as network:
            return await network.add_host("plc", "cell").spawn(main)

    return run(there())


def names_in(folder: Path) -> list[str]:
    """What is in the folder."""
    return sorted(path.name for path in folder.iterdir())
