"""The line itself, which no fault of the lab can strike, and its ledger: what physically happened."""

from __future__ import annotations

import asyncio
import time

import msgspec
import simpy

from shakedown.scenarios.parts.broker import BrokerPart
from shakedown.scenarios.parts.cmms import CmmsPart
from shakedown.scenarios.parts.part import ANSWER_S, Ground, TaskPart, why_ended
from shakedown.scenarios.parts.plan import Plan
from shakedown.scenarios.parts.plc import Plc
from shakedown.twin.clock import drive
from shakedown.twin.ledger import Change, Ledger
from shakedown.twin.line.line import Line
from shakedown.twin.web.plant_server import Scans


class LinePart(TaskPart):
    """The line, offering its scans to its PLCs, and the ledger of the run."""

    kind = "line"
    what = "what is physically there, and the ledger of it"
    is_evidence = True
    begins_with_line = True

    def __init__(self, plan: Plan, ground: Ground) -> None:
        super().__init__(plan, ground)
        self.line_: Line | None = None
        self.ledger: Ledger | None = None
        self._handing_on: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Let the line run: from now on it offers samples."""
        plant = self.setup.plant
        self._plcs = self.ground.all_of(Plc, self.line)
        self._scans = Scans(plant.plant, self._publish)
        self._env = simpy.Environment()
        self.ledger = Ledger(self.folder / "ledger.jsonl", start_ns=time.time_ns())
        self.line_ = Line(plant, self._env, self.ground.seed_of(self.line), self.ledger)
        self.line_.on_scan = self._scans.offer
        self.line_.start()
        self._handing_on = self.host.spawn(self._scans.run(), name=f"scans of {self.name}")
        await super().start()

    async def run(self) -> None:
        await drive(self._env)

    def ended_with(self) -> str | None:
        return super().ended_with() or why_ended(self._handing_on)

    async def _publish(self, source_ts_ns: int, changes: list[Change]) -> None:
        for plc in self._plcs:
            await plc.publish(source_ts_ns, changes)

    async def answers(self, within_s: float = ANSWER_S) -> bool:
        """Whether it goes on."""
        return self.is_running()

    @property
    def begins_ns(self) -> int:
        """When the line began."""
        assert self.ledger is not None
        return self.ledger.start_ns

    @property
    def samples(self) -> int:
        """Samples that it has offered."""
        return self.ledger.samples_written if self.ledger is not None else 0

    async def close(self) -> None:
        """Let it stand still; the ledger is whole only if the run is complete, so that no half one is judged."""
        await self.stop()
        if self.ledger is not None and self._handing_on is not None:
            self.ledger.close(complete=self.ground.is_complete)
            self._handing_on.cancel()
            await asyncio.wait((self._handing_on,))
            self._write_counters()

    def _write_counters(self) -> None:
        servers = [vars_of(plc.counters) for plc in self._plcs]
        total = {name: sum(server[name] for server in servers) for name in servers[0]}
        broker = self.ground.find(BrokerPart, self.line)
        held = {plc.name: plc.held for plc in self._plcs}
        remembered = {plc.name: plc.remembered for plc in self._plcs}
        assert self.line_ is not None
        happened = {"events": self.line_.events}
        counters = {"line": happened, "server": total, "held": held, "remembered": remembered}
        counters["broker"] = broker.counters
        for cmms in self.ground.all_of(CmmsPart, self.line):
            counters["cmms"] = {"work_orders": cmms.work_orders}
        encoded = msgspec.json.encode(counters, enc_hook=vars)
        (self.folder / "server.json").write_bytes(msgspec.json.format(encoded))


def vars_of(counters: object) -> dict[str, int]:
    """Counters as data."""
    return dict(msgspec.to_builtins(counters))
