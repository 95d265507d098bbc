"""The join of a line and the OPC UA server that shows it to the world."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import simpy

from shakedown.twin.clock import drive
from shakedown.twin.enterprise.errors import LabServiceError
from shakedown.twin.ledger import Change, Chronicle
from shakedown.twin.line.line import Line
from shakedown.twin.line.plant import Plant
from shakedown.twin.line.signals import signals_of
from shakedown.twin.servers.methods import Method
from shakedown.twin.servers.opcua import OpcUaServer

SCANS_WAITING_MAX = 1_000  # scans that the server has not taken yet; more is a machine that cannot keep up


class Scans:
    """What a line has offered and `publish` has not taken yet.

    LabServiceError from `offer`, and so from the line, when SCANS_WAITING_MAX scans wait.
    """

    def __init__(self, plant: str, publish: Callable[[int, list[Change]], Awaitable[None]]) -> None:
        self._plant, self._publish = plant, publish
        self._waiting: asyncio.Queue[tuple[int, list[Change]]] = asyncio.Queue(SCANS_WAITING_MAX)

    def offer(self, source_ts_ns: int, changes: list[Change]) -> None:
        """Take a scan of the line."""
        try:
            self._waiting.put_nowait((source_ts_ns, changes))
        except asyncio.QueueFull:
            raise LabServiceError(
                f"the OPC UA server is {SCANS_WAITING_MAX} scans behind the line: this machine cannot carry plant "
                f"{self._plant} at this pace; give it a longer scan_ms, or fewer clients"
            ) from None

    async def run(self) -> None:
        """Hand every scan on, until cancelled."""
        while True:
            await self._publish(*await self._waiting.get())


class PlantServer:
    """A plant's OPC UA server at `address:port`, and the line behind it once it is `set_up`.

    With `with_methods` clients may call `Upsets/Trigger(id)` and `Faults/Repair(id)`; without it the address space
    holds the plant's tags alone. `run_line` and `publish` run until cancelled, each in a task of its caller's.
    LabServiceError from `run_line` when the server is SCANS_WAITING_MAX scans behind the line.
    """

    def __init__(self, plant: Plant, address: str, port: int, *, with_methods: bool = False) -> None:
        self.plant = plant
        methods = (_trigger(self), _repair(self)) if with_methods else ()
        self.server = OpcUaServer(
            address, port, signals_of(plant), endpoint_name=plant.plant, methods=methods
        )
        self._env = simpy.Environment()
        self._line: Line | None = None
        self._scans = Scans(plant.plant, self.server.publish)

    @property
    def line(self) -> Line:
        """The line. Raises RuntimeError before it is set up."""
        if self._line is None:
            raise RuntimeError(f"the line of {self.plant.plant} is not set up yet; try again in a moment")
        return self._line

    def set_up(self, seed: int, chronicle: Chronicle) -> Line:
        """The line, at its time zero: `chronicle` must have been made just now, and `run_line` must follow."""
        line = Line(self.plant, self._env, seed, chronicle)
        line.on_scan = self._scans.offer
        line.start()
        self._line = line
        return line

    async def run_line(self) -> None:
        """Let the line run in the loop's time."""
        await drive(self._env)

    async def publish(self) -> None:
        """Hand every scan to the server."""
        await self._scans.run()


def _trigger(served: PlantServer) -> Method:
    known = ", ".join(name for name, _ in served.plant.each_upset()) or "none, the plant file names no upset"
    return Method(
        "Upsets", "Trigger", "id", "Set off an upset now", f"One of: {known}", lambda id_: served.line.trigger(id_)
    )  # fmt: skip


def _repair(served: PlantServer) -> Method:
    return Method(
        "Faults", "Repair", "id", "Repair an open fault now", "Id of an open fault, as F0001",
        lambda id_: served.line.repair(id_),
    )  # fmt: skip
