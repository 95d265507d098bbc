"""The lab of one run: its parts, put up in the order in which they need each other and taken down in reverse."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shakedown.bridge.config import Site
from shakedown.scenarios import disk_space
from shakedown.scenarios.bridges.model import NO_TOPICS, Topics
from shakedown.scenarios.errors import HarnessFault
from shakedown.scenarios.parts.bridge import BridgePart
from shakedown.scenarios.parts.kinds import kind_of
from shakedown.scenarios.parts.line import LinePart
from shakedown.scenarios.parts.part import Ground, Part
from shakedown.scenarios.parts.plan import Plan, far_host
from shakedown.scenarios.parts.primary_host import PrimaryHostPart
from shakedown.scenarios.parts.probe import Probe
from shakedown.scenarios.security import Security
from shakedown.scenarios.setups import Setup
from shakedown.twin.enterprise.json_mapping import JsonMapping
from shakedown.twin.network.model import Conduit, Network


class Lab:
    """Every part of one run, the bridges among them, on any clock and any network."""

    def __init__(
        self,
        plans: Mapping[str, Plan],
        setups: Mapping[str, Setup],
        folders: Mapping[str, Path],
        *,
        network: Network[Any],
        seed: int,
        broker: str,
        scratch: Path,
        json: JsonMapping | None = None,
        besides: Topics = NO_TOPICS,
    ) -> None:
        self.network = network
        is_secure = next(iter(setups.values())).scenario.secure
        security = Security(scratch) if is_secure else None
        self._ground = Ground(
            network, dict(setups), dict(folders), scratch, seed, broker, json, security, besides
        )
        self._plans = plans
        self._up: list[Part] = []  # in the order of their start
        self._taken_down = contextlib.AsyncExitStack()
        self.end_ns = 0

    # -- putting it up and taking it down -------------------------------------------------------------------------

    async def start(self) -> None:
        """Put up the network and every part but those that begin with the line, which stands still.

        Whether it raises or not, `stop` takes down what was started.
        """
        self._wire()
        self._taken_down.push_async_callback(self.network.close)
        await self.network.start()
        for plan in self._plans.values():
            self._ground.parts[plan.name] = kind_of(plan.kind)(plan, self._ground)
        await self._put_up(with_line=False)

    def _wire(self) -> None:
        scenario = next(iter(self._ground.setups.values())).scenario
        for name, conduit in scenario.network.items():
            near, far = conduit.zones or ("", "")
            self.network.add_conduit(name, (near, far), **conduit.model_dump(exclude={"zones"}))
            self.network.add_host(far_host(name), far)
        for plan in self._plans.values():
            if plan.host not in self.network.hosts:
                self.network.add_host(plan.host, plan.zone)
        for zone in sorted({host.zone for host in self.network.hosts.values()}):
            self.network.add_host(f"asks-{zone}", zone)

    async def begin(self, setups: Mapping[str, Setup]) -> None:
        """Let the lines run, by the `setups` that are now settled, and start what begins with them."""
        self._ground.setups.update(setups)
        await self._put_up(with_line=True)

    async def _put_up(self, *, with_line: bool) -> None:
        for part in self._ground.parts.values():
            if part.begins_with_line is with_line:
                self._up.append(part)
                self._taken_down.push_async_callback(part.close)
                await part.start()

    def site_of(self, setup: Setup, scratch: Path) -> Site:
        """The site of a bridge as it runs here; what it may know of the run's secrets is in `scratch`."""
        security = self._ground.security
        return setup.site if security is None else security.site(setup, scratch)

    async def stop_lines(self) -> None:
        """Let the lines stand still; their servers go on serving what they have."""
        for line in self.lines:
            await line.stop()

    async def stop(self, *, complete: bool) -> None:
        """Take down whatever was started, each part whatever becomes of the others.

        The logs get their last records; the ledgers only if the run was `complete`, so that no half one is judged.
        """
        self.end_ns = time.time_ns()
        self._ground.is_complete = complete
        await self._taken_down.aclose()

    # -- what goes on ---------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise HarnessFault when a part of the lab has died by itself, or is about to run out of disk."""
        disk_space.check_run(*self._ground.folders.values(), self._ground.scratch)
        for part in self._up:
            if why := part.ended_with():
                raise HarnessFault(f"the lab's {part.name} ended by itself: {why}")

    @property
    def bridges(self) -> list[BridgePart]:
        """The bridges under test."""
        return self._ground.all_of(BridgePart)

    @property
    def lines(self) -> list[LinePart]:
        """The lines, one for each bridge."""
        return self._ground.all_of(LinePart)

    @property
    def backlog(self) -> int:
        """Samples offered that no primary host holds yet."""
        held = sum(host.samples for host in self._ground.all_of(PrimaryHostPart))
        return max(0, sum(line.samples for line in self.lines) - held)

    # -- what faults, people and pages lay hands on ---------------------------------------------------------------

    def part(self, name: str) -> Part:
        """The part of that name; KeyError when there is none."""
        return self._ground.parts[name]

    def conduit(self, name: str) -> Conduit:
        """The conduit of that name. Raises NetworkError when there is none."""
        conduit: Conduit = self.network.conduit(name)
        return conduit

    def probe(self, conduit: str) -> Probe:
        """What watches that conduit."""
        return next(probe for probe in self._ground.all_of(Probe) if probe.conduit == conduit)
