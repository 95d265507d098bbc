"""A small echo across a conduit: it sees for itself whether bytes pass, whatever the network says of itself."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from dataclasses import asdict, dataclass

from shakedown.scenarios.parts.part import Ground, TaskPart
from shakedown.scenarios.parts.plan import Plan, far_host

PORT = 7  # echo (RFC 862)
PERIOD_S = 1.0
CONNECT_TIMEOUT_S = 3.0
_STAMP = struct.Struct(">q")


@dataclass(slots=True)
class Counts:
    """What the probe has seen since it began."""

    connected: int = 0
    sent: int = 0
    arrived: int = 0
    answered: int = 0
    refused: int = 0
    round_trip_ms: float = 0.0  # of the last answer


class Probe(TaskPart):
    """Sends a stamp over the conduit once a second and counts what arrives there and what comes back."""

    kind = "probe"
    what = "an echo across a conduit, which sees whether bytes pass"
    is_evidence = True

    def __init__(self, plan: Plan, ground: Ground) -> None:
        super().__init__(plan, ground)
        self.counts = Counts()
        self.conduit = plan.options["conduit"]
        self._far = ground.network.host(far_host(self.conduit))
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Start the echo at the far end, and what asks it at the near one."""
        address, port = await self.ground.network.listen_address(self._far.name, PORT)
        self._server = await self._far.spawn(asyncio.start_server(self._echo, address, port))
        await super().start()

    async def close(self) -> None:
        await super().close()
        if self._server is not None:
            self._server.close()

    def now(self) -> dict[str, float]:
        """The counts."""
        return asdict(self.counts)

    async def settled(self) -> dict[str, float]:
        """The counts once what was under way when it was called has passed (one period later)."""
        await asyncio.sleep(PERIOD_S)
        return self.now()

    def since(self, before: dict[str, float]) -> dict[str, float]:
        """How far the counts have grown since `before`; the round trip is the last one."""
        now = self.now()
        return {key: now[key] if key == "round_trip_ms" else now[key] - before[key] for key in now}

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # cancelled only when the loop ends; asyncio's streams (3.11) would report that as an error
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while stamp := await reader.readexactly(_STAMP.size):
                self.counts.arrived += 1
                writer.write(stamp)
                await writer.drain()
        writer.close()

    async def run(self) -> None:
        address, port = await self.ground.network.route(self.plan.host, self._far.name, PORT)
        while True:
            try:
                reader, writer = await self._dial(address, port)
            except (OSError, TimeoutError):
                self.counts.refused += 1
                await asyncio.sleep(PERIOD_S)
                continue
            self.counts.connected += 1
            answers = asyncio.create_task(self._answers(reader), name="probe answers")
            try:
                while not answers.done():
                    writer.write(_STAMP.pack(time.monotonic_ns()))
                    self.counts.sent += 1
                    await asyncio.wait((answers,), timeout=PERIOD_S)
                if answers.result() == 0:
                    self.counts.refused += (
                        1  # accepted and closed without a word: a proxy in front of nothing
                    )
                    await asyncio.sleep(PERIOD_S)
            finally:
                answers.cancel()
                writer.close()

    async def _dial(self, address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect; each period spent waiting counts as one more try, as TCP repeats its SYN."""
        dialling = asyncio.create_task(asyncio.open_connection(address, port), name="probe dials")
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                while not dialling.done():
                    self.counts.sent += 1
                    await asyncio.wait((dialling,), timeout=PERIOD_S)
            return dialling.result()
        finally:
            dialling.cancel()

    async def _answers(self, reader: asyncio.StreamReader) -> int:
        count = 0
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                (stamp_ns,) = _STAMP.unpack(await reader.readexactly(_STAMP.size))
                count += 1
                self.counts.answered += 1
                self.counts.round_trip_ms = (time.monotonic_ns() - stamp_ns) / 1e6
        return count
