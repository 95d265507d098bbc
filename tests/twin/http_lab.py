"""A small HTTP client of our own, and a CMMS on either clock to drive with it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from shakedown.twin.clock import run
from shakedown.twin.enterprise.cmms.server import Cmms
from shakedown.twin.network.memory import MemoryNetwork

T = TypeVar("T")
CLOCKS = ("virtual", "wall")

logging.getLogger("httpx2").setLevel(logging.WARNING)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    port: int,
    method: str,
    target: str,
    body: Any = None,
    *,
    host: str = "127.0.0.1",
    raw: bytes | None = None,
    timeout_s: float = 5.0,
    **headers: str,
) -> Answer:
    """One request on a connection of its own; `body` goes out as JSON, `raw` as it is. TimeoutError, OSError."""
    content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
    fields = {"host": f"{host}:{port}", "connection": "close", "content-length": str(len(content))}
    if body is not None:
        fields["content-type"] = "application/json"
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in fields.items()
    )
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(head.encode() + b"\r\n" + content)
            return parse(await reader.read(-1))
        finally:
            writer.close()


def parse(message: bytes) -> Answer:
    """An answer with a body of known length. ConnectionError when it is not whole."""
    head, separator, body = message.partition(b"\r\n\r\n")
    if not separator:
        raise ConnectionError("no answer")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert len(body) == int(headers.get("content-length", "0")), (head, len(body))
    return Answer(int(status.split()[1]), headers, body)


Script = Callable[[Cmms], Awaitable[T]]


def with_cmms(clock: str, folder: Path, script: Script[T]) -> T:
    """Run `script` on the host of a running CMMS, on that clock."""
    return run(serve(clock, folder, script), clock=clock)


async def serve(clock: str, folder: Path, script: Script[T]) -> T:
    async def at_the_cmms() -> T:
        cmms = Cmms("127.0.0.1", 0, database=folder / "cmms.sqlite", name="cmms")
        await cmms.start()
        try:
            return await script(cmms)
        finally:
            await cmms.stop()

    if clock == "wall":
        return await at_the_cmms()
    with MemoryNetwork(seed=1) as network:
        return await network.add_host("cmms", "enterprise").spawn(at_the_cmms())


def new_order(**changes: Any) -> dict[str, Any]:
    """A work order as a bridge enters it."""
    return {
        "equipment": "HAM-FILL-L1-FILLER",
        "alarm": "bowl_temperature_high",
        "device": "filler.filler_1",
        "occurrence": 1,
        "priority": "high",
        "raised_ms": 1_767_592_800_000,
        "reason": {
            "metric": "bowl_temperature",
            "limit": 12.0,
            "value": 12.25,
            "unit": "CEL",
            "text": "Product in the bowl above 12 degrees",
        },
        "context": [
            {
                "metric": "bowl_temperature",
                "unit": "CEL",
                "samples": [[1_767_592_799_000, 11.75, 192], [1_767_592_800_000, 12.25, 192]],
            },
            {"metric": "product", "unit": "", "samples": [[1_767_592_799_000, "LAGER 0.5L", 192]]},
            {
                "metric": "good",
                "unit": "H87",
                "samples": [[1_767_592_799_000, 3, 192], [1_767_592_800_000, None, 0]],
            },
        ],
        **changes,
    }
