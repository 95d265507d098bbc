"""The people of a shift and the CMMS they work with: operator, crew, storekeeper, auditor (docs/cmms.md)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2

from shakedown.bridge.config import Site
from shakedown.scenarios.errors import HarnessFault
from shakedown.twin.enterprise.cmms.export import write_log
from shakedown.twin.enterprise.cmms.failures import FailureSwitch
from shakedown.twin.enterprise.cmms.server import Cmms
from shakedown.twin.enterprise.errors import LabServiceError
from shakedown.twin.enterprise.jsonl import JsonLines
from shakedown.twin.enterprise.people.auditor import audit_ledger
from shakedown.twin.enterprise.people.crew import Crew, CrewParameters
from shakedown.twin.enterprise.people.operator import CommandButton, OperatorDesk
from shakedown.twin.enterprise.people.storekeeper import Storekeeper
from shakedown.twin.line.faults import MachineFault
from shakedown.twin.line.header import described

if TYPE_CHECKING:
    from shakedown.scenarios.lab import Lab

ANSWER_S = 2.0


def are_needed(site: Site) -> bool:
    """Whether this site has alarms, OEE or a CMMS, so that there is something for people to do."""
    return bool(site.alarms or site.oee or site.cmms)


def places(site: Site) -> dict[str, str]:
    """The hosts of people and CMMS, and the zone of each."""
    found = {"crew": "enterprise"} if are_needed(site) else {}
    return found | ({site.cmms.host_port[0]: "enterprise"} if site.cmms else {})


class LabCmms:
    """The embedded CMMS on its host, and what a fault may do to it."""

    def __init__(self, lab: Lab, host: str, service: Cmms, url: str) -> None:
        self._lab, self._host, self._service = lab, host, service
        self.url = url  # as the crew dials it

    @property
    def failures(self) -> FailureSwitch:
        """What makes it fail while it runs."""
        return self._service.failures

    async def start(self) -> None:
        """Start it; it goes on with what it had."""
        await self._lab.on(self._host, self._service.start())

    async def stop(self) -> None:
        """It is down: connections are refused."""
        await self._service.stop()

    async def answers(self) -> bool:
        """Whether an ordinary request gets an ordinary answer, soon."""
        return await self._lab.at("crew", self._ask())

    async def _ask(self) -> bool:
        try:
            async with httpx2.AsyncClient(timeout=ANSWER_S, trust_env=False) as client:
                return (await client.get(f"{self.url}/assets")).is_success
        except httpx2.HTTPError:
            return False


class People:
    """Operator, crew, storekeeper and auditor of one run in `lab`, and the CMMS on the wire."""

    def __init__(self, lab: Lab, scratch: Path) -> None:
        self._lab, self._scratch = lab, scratch
        self._site = lab.setup.site
        self._log = JsonLines(lab.folder / "people.jsonl")
        self.cmms: LabCmms | None = None

    async def start(self) -> None:
        """Start the CMMS, and put the operator before the alarm list; the others follow with the line."""
        if self._site.cmms is not None:
            await self._start_cmms(*self._site.cmms.host_port)
        desk = OperatorDesk(
            CommandButton(self._lab.command), seed=self._lab.seed, log=self._log, is_true=self._is_true,
            priorities=self._priorities(),
        )  # fmt: skip
        self._lab.displays.append(desk.show)
        self._lab.serve("operator", "scada", desk.run())

    async def _start_cmms(self, host: str, port: int) -> None:
        address, free_port = await self._lab.network.listen_address(host, port)
        service = Cmms(address, free_port, database=self._scratch / "cmms.sqlite", name=host)
        dialled = await self._lab.network.route("crew", host, port)
        self.cmms = LabCmms(self._lab, host, service, "http://{}:{}".format(*dialled))
        await self.cmms.start()

    def _is_true(self, device: str, alarm: str) -> bool:
        """What the operator finds out by looking: whether something is really the matter."""
        return any(alarm in fault.alarms for fault in self._open_faults().values())

    def _open_faults(self) -> Mapping[str, MachineFault]:
        return self._lab.line.open_faults

    def _priorities(self) -> dict[tuple[str, str], str]:
        return {
            (alarm.metric.rpartition("/")[0], name): alarm.priority
            for name, alarm in self._site.alarms.items()
        }

    def follow_line(self) -> None:
        """The line has started: storekeeper and crew begin."""
        if self.cmms is None:
            return
        line, start_ns = self._lab.line, self._lab.ledger.start_ns
        assets = described(self._lab.setup.plant, start_ns)["assets"]
        crew = Crew(
            self.cmms.url,
            seed=self._lab.seed,
            log=self._log,
            open_faults=self._open_faults,
            repair=line.repair,
            parameters=CrewParameters(**self._lab.setup.scenario.people.crew.model_dump()),
        )
        self._lab.serve("storekeeper", "crew", Storekeeper(self.cmms.url, assets).run())
        self._lab.serve("crew", "crew", crew.run())

    async def finish(self, *, complete: bool) -> None:
        """Send people home and write down what they did and what the CMMS holds; the ledger is closed by now.

        Raises HarnessFault when the CMMS does not answer any more.
        """
        for name in ("operator", "crew", "storekeeper"):
            await self._lab.end(name)
        if not complete:
            self._log.cut()
            return
        audit_ledger(self._lab.folder / "ledger.jsonl", self._log, self._lab.seed)
        self._log.close(time.time_ns())
        if self.cmms is not None:
            try:
                await self._lab.on("crew", write_log(self.cmms.url, self._lab.folder / "cmms.jsonl"))
            except LabServiceError as error:
                raise HarnessFault(f"the CMMS's orders could not be read at the end: {error}") from error

    async def close(self) -> None:
        """Take the CMMS down."""
        if self.cmms is not None:
            await self.cmms.stop()
