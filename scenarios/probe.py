"""A small echo across a conduit: it sees for itself whether bytes pass, whatever the network says of itself."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from dataclasses import asdict, dataclass

from shakedown.twin.network.model import Host, Network

PORT = 7  # echo (RFC 862)
PERIOD_S = 1.0
CONNECT_TIMEOUT_S = 3.0
_STAMP = struct.Struct(">q")


@dataclass(slots=True)
class Counts:
    """What the probe has seen since it began."""

    sent: int = 0
    arrived: int = 0
    answered: int = 0
    refused: int = 0
    round_trip_ms: float = 0.0  # of the last answer


class Probe:
    """Sends a stamp over the conduit once a second and counts what arrives there and what comes back."""

    def __init__(self, network: Network, name: str, near_zone: str, far_zone: str) -> None:  # type: ignore[type-arg]
        self.counts = Counts()
        self._network = network
        self._near: Host = network.add_host(f"probe-{name}-near", near_zone)
        self._far: Host = network.add_host(f"probe-{name}-far", far_zone)
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Start the echo at the far end."""
        address, port = await self._network.listen_address(self._far.name, PORT)
        self._server = await self._far.spawn(asyncio.start_server(self._echo, address, port))

    def close(self) -> None:
        """Stop listening; the near end stops when its task is cancelled."""
        if self._server is not None:
            self._server.close()

    def start(self) -> asyncio.Task[None]:
        """Start the near end; it goes on until it is cancelled."""
        return self._near.spawn(self._run(), name=f"probe {self._near.name}")

    async def settled(self) -> dict[str, float]:
        """The counts once what was under way when it was called has passed (one period later)."""
        await asyncio.sleep(PERIOD_S)
        return asdict(self.counts)

    def since(self, before: dict[str, float]) -> dict[str, float]:
        """How far the counts have grown since `before`; the round trip is the last one."""
        now = asdict(self.counts)
        return {key: now[key] if key == "round_trip_ms" else now[key] - before[key] for key in now}

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # cancelled only when the loop ends; asyncio's streams (3.11) would report that as an error
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while stamp := await reader.readexactly(_STAMP.size):
                self.counts.arrived += 1
                writer.write(stamp)
                await writer.drain()
        writer.close()

    async def _run(self) -> None:
        address, port = await self._network.route(self._near.name, self._far.name, PORT)
        while True:
            try:
                reader, writer = await self._dial(address, port)
            except (OSError, TimeoutError):
                self.counts.refused += 1
                await asyncio.sleep(PERIOD_S)
                continue
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
