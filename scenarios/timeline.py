"""Carries out a scenario's phases and faults on a lab, and writes down what was done and what was seen of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from shakedown.scenarios.errors import LAB_ERRORS, HarnessFault, UsageError
from shakedown.scenarios.faults import Fault
from shakedown.scenarios.lab import Lab
from shakedown.scenarios.parts.plan import Plan
from shakedown.scenarios.parts.ways import suffering
from shakedown.scenarios.scenario import Scenario
from shakedown.scenarios.setups import Setup
from shakedown.twin.enterprise.jsonl import JsonLines

LATE_S_MAX = 0.5  # how long after the beginning of its calendar a line may begin
WAIT_S = 5.0  # how often a fault that is held open is looked at
HEALED_S = 60.0  # how long before the next fault of its target, or the end, it is healed all the same
WATCH_S = 1.0  # how often the lab is looked after for parts that died


class Timeline:
    """The timeline of one run; `phase` says in a word what goes on now."""

    def __init__(
        self, scenario: Scenario, lab: Lab, plans: Mapping[str, Plan], folders: Mapping[str, Path]
    ) -> None:
        self._scenario, self._lab, self._plans = scenario, lab, plans
        self._logs = {bridge: JsonLines(folder / "timeline.jsonl") for bridge, folder in folders.items()}
        self.phase = "starting"
        self._active: list[str] = []
        self.start_ns = 0
        self.bridges_ended: dict[str, str] = {}

    @property
    def elapsed_s(self) -> float:
        """Seconds since the line began."""
        return (time.time_ns() - self.start_ns) / 1e9 if self.start_ns else 0.0

    @property
    def total_s(self) -> float:
        """Seconds from the line's beginning to the end of the drain."""
        return self._scenario.duration_s + self._scenario.drain_s

    @property
    def now(self) -> str:
        """The phase, and the faults in force."""
        return f"{self.phase}: {', '.join(self._active)}" if self._active else self.phase

    async def carry_out(self, setups: Mapping[str, Setup], begins_ns: int | None = None) -> None:
        """Run the lines through warm-up, faults, recovery and drain, from `begins_ns` on or at once.

        Raises HarnessFault when the lab itself fails, UsageError for a bridge that cannot be had as its file says.
        """
        if begins_ns is not None:
            await _wait_for_begin(begins_ns)
        await self._lab.begin(setups)
        self.start_ns = time.time_ns()  # when the bridge is ready, which of some takes a while
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._watch(), name="watch over the lab")
                faults = [
                    group.create_task(self._fault(f), name=f"fault {f.id}") for f in self._scenario.faults
                ]
                await self._phases()
                await asyncio.gather(*faults)
                watch.cancel()
        except* (UsageError, HarnessFault, *LAB_ERRORS) as errors:
            raise _first(errors) from None
        for log in self._logs.values():
            log.cut()

    async def _phases(self) -> None:
        scenario = self._scenario
        calm_s = max((f.at_s + f.for_s for f in scenario.faults), default=scenario.warm_up_s)
        ends = {
            "warm_up": scenario.warm_up_s,
            "faults": calm_s,
            "recovery": scenario.duration_s,
            "drain": self.total_s,
        }
        begin_s = 0.0
        for phase, end_s in ends.items():
            self.phase = phase.replace("_", "-")
            if phase == "drain":
                await self._lab.stop_lines()
            await self._sleep_until(end_s)
            row = {"id": phase, "kind": "phase", "start_ns": self._at(begin_s), "end_ns": self._at(end_s)}
            for log in self._logs.values():
                log.write(row)
            begin_s = end_s

    async def _fault(self, fault: Fault) -> None:
        await self._sleep_until(fault.at_s)
        start_ns = time.time_ns()
        self._active.append(fault.id)
        before = await fault.strike(self._lab)
        await self._sleep_until(fault.at_s + max(fault.for_s - fault.look_s, fault.for_s / 2))
        evidence = await fault.evidence(self._lab, before)
        await self._sleep_until(fault.at_s + fault.for_s)
        while fault.waits and not evidence.verified and self.elapsed_s < self._latest_s(fault):
            await asyncio.sleep(WAIT_S)
            evidence = await fault.evidence(self._lab, before)
        await fault.heal(self._lab)
        self._active.remove(fault.id)
        plan = self._plans.get(fault.target)
        struck = {"target": fault.target, "target_kind": plan.kind if plan else "conduit"}
        done = {"asked": fault.asked, "verified": evidence.verified, "evidence": evidence.seen}
        times = {"start_ns": start_ns, "end_ns": time.time_ns()}
        for bridge, log in self._logs.items():
            affects, cut = suffering(fault, self._plans, self._scenario.network, bridge)
            row = {
                "id": fault.id,
                "kind": fault.kind,
                **struck,
                **times,
                "cut": cut,
                "affects": affects,
                **done,
            }
            log.write(row)

    def _latest_s(self, fault: Fault) -> float:
        """When a fault must be healed that waits: shortly before its target is struck again, or the line stops."""
        ends = (other.at_s for other in self._scenario.faults if other.target == fault.target)
        return min((at_s for at_s in ends if at_s > fault.at_s), default=self._scenario.duration_s) - HEALED_S

    async def _watch(self) -> None:
        while True:
            self._lab.check()
            for bridge in self._lab.bridges:
                why = bridge.bridge_ended_with()
                if why is None and bridge.name not in self.bridges_ended and (why := bridge.flood()):
                    await bridge.crash()
                if why is not None:
                    self.bridges_ended.setdefault(bridge.name, why)
            await asyncio.sleep(WATCH_S)

    def _at(self, seconds: float) -> int:
        return self.start_ns + round(seconds * 1e9)

    async def _sleep_until(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, (self._at(seconds) - time.time_ns()) / 1e9))


async def _wait_for_begin(begins_ns: int) -> None:
    """Wait for the agreed moment. Raises HarnessFault when it has long passed."""
    await asyncio.sleep((begins_ns - time.time_ns()) / 1e9)
    late_s = (time.time_ns() - begins_ns) / 1e9
    if late_s > LATE_S_MAX:
        raise HarnessFault(
            f"the line began {late_s:.1f} s after its first shift did; this machine was too busy to start the lab "
            "in time, so run it when it is not"
        )


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
