"""The auditor of a line with people: what they did, what a ledger says of it, and the orders at the end."""

from __future__ import annotations

import time

from shakedown.scenarios.errors import HarnessFault
from shakedown.scenarios.parts.cmms import CmmsPart
from shakedown.scenarios.parts.part import ANSWER_S, Ground, Part
from shakedown.scenarios.parts.plan import Plan
from shakedown.twin.enterprise.cmms.export import write_log
from shakedown.twin.enterprise.errors import LabServiceError
from shakedown.twin.enterprise.jsonl import JsonLines
from shakedown.twin.enterprise.people.auditor import audit_ledger


class AuditorPart(Part):
    """Keeps people.jsonl, audits the ledger when all have gone home, and writes down what the CMMS then holds."""

    kind = "auditor"
    what = "the log of what people did, the audit of the ledger, and the orders at the end"
    is_evidence = True

    def __init__(self, plan: Plan, ground: Ground) -> None:
        super().__init__(plan, ground)
        self.log: JsonLines

    async def start(self) -> None:
        self.log = JsonLines(self.folder / "people.jsonl")

    async def stop(self) -> None:
        """Nothing to stop."""

    async def crash(self) -> None:
        """It cannot."""

    async def answers(self, within_s: float = ANSWER_S) -> bool:
        """Whether it writes."""
        return True

    async def close(self) -> None:
        """Raises HarnessFault when the CMMS does not answer any more."""
        if not self.ground.is_complete:
            self.log.cut()
            return
        audit_ledger(self.folder / "ledger.jsonl", self.log, self.ground.seed_of(self.line))
        self.log.close(time.time_ns())
        for cmms in self.ground.all_of(CmmsPart, self.line):
            try:
                url, log = await cmms.url_from(self.plan.host), self.folder / "cmms.jsonl"
                await self.here(write_log(url, log, tls=cmms.tls))
            except LabServiceError as error:
                raise HarnessFault(f"the CMMS's orders could not be read at the end: {error}") from error
