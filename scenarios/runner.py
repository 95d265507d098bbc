"""One run from request to verdict: the same lab on every clock, the judge and the reports afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from shakedown.acceptance.judging import judge
from shakedown.acceptance.verdict import Verdict
from shakedown.bridge.yamlfile import ConfigError
from shakedown.reports import render
from shakedown.scenarios import disk_space
from shakedown.scenarios.bridge_runner import BridgeFactory, our_bridge
from shakedown.scenarios.bridges.choice import Choice, OurBridge, Place
from shakedown.scenarios.collector import rare_collections
from shakedown.scenarios.errors import LAB_ERRORS, HarnessFault, RunFault, UsageError, in_words
from shakedown.scenarios.lab import Lab
from shakedown.scenarios.model import aligned
from shakedown.scenarios.progress import Progress
from shakedown.scenarios.run_folder import RunFolder
from shakedown.scenarios.run_logs import logs_into
from shakedown.scenarios.setups import Setup
from shakedown.scenarios.timeline import Timeline
from shakedown.twin.clock import START, run
from shakedown.twin.network.memory import MemoryNetwork
from shakedown.twin.network.model import Network
from shakedown.twin.network.wire import WireNetwork

NS_PER_S = 1_000_000_000
BEGIN_IN_S = 2  # when the lab is up, and its calendar with the line
MEMORY_DISK = Path("/dev/shm")  # fsync of a real disk would cap virtual time's speed by itself


@dataclass(frozen=True)
class Request:
    """What is asked of one run."""

    setup: Setup
    out: Path
    clock: str = "virtual"
    seed: int = 0
    broker: str = "embedded"
    toxiproxy: str | None = None
    strict: bool = False
    bridge: Choice = field(default_factory=OurBridge)

    @property
    def on_the_wall(self) -> bool:
        """Whether real sockets and real time are asked for."""
        return self.clock == "wall"

    @property
    def needed_bytes(self) -> int:
        """What the run will write, and as much again."""
        plant, scenario = self.setup.plant, self.setup.scenario
        return disk_space.needed(
            plant.scan_ms / 1000, sum(1 for _ in plant.each_signal()), scenario.duration_s
        )

    @property
    def is_repeatable(self) -> bool:
        """Whether the same run can be had again, byte for byte."""
        return not self.on_the_wall and self.broker == "embedded"


@dataclass(frozen=True)
class Outcome:
    """Where a finished run lies, and what was concluded."""

    folder: Path
    verdict: Verdict
    facts: dict[str, Any]


def _asked(request: Request) -> dict[str, Any]:
    """What a manifest says of how a run was asked for."""
    names = ("seed", "clock", "broker", "strict")
    return {name: getattr(request, name) for name in names} | {"bridge": request.bridge.manifest}


@rare_collections()
def accept(
    request: Request, console: Console, factory: BridgeFactory = our_bridge, *, which: str = ""
) -> Outcome:
    """Carry out a run, judge it and write its reports.

    `factory` makes our bridge on virtual and paced clocks; `which` tells who watches which of several runs this is.
    Raises UsageError when the run cannot be had as asked, RunFault when the lab itself fails (what was written stays,
    under a name that ends in `.partial`), and KeyboardInterrupt after everything was taken down and removed.
    """
    if factory is not our_bridge:
        request = replace(request, bridge=OurBridge(factory))
    request.bridge.check(request.setup, request.clock)
    request = replace(request, setup=request.bridge.promised(request.setup))
    folder = RunFolder(request.out)
    try:
        disk_space.check_start(folder.path, request.needed_bytes)
        folder.ask(request.setup, **_asked(request))
        with Progress(console, which) as progress, _scratch(request) as scratch, logs_into(folder.path):
            facts = run(
                _carry_out(request, folder, scratch, progress),
                clock=request.clock,
                seed=request.seed,
                start=datetime.now(UTC) if request.on_the_wall else START,
            )
            folder.note(status="complete", **facts)
            progress.say("judging")
            verdict = judge(folder.path, strict=request.strict)
            verdict.write(folder.path / "verdict.json")
            progress.say("writing the reports")
            render(folder.path)
        return Outcome(folder.finish(), verdict, facts)
    except (UsageError, ConfigError, KeyboardInterrupt, asyncio.CancelledError):
        folder.discard()
        raise
    except Exception as fault:
        folder.fail(f"{type(fault).__name__}: {fault}")
        if isinstance(fault, (HarnessFault, *LAB_ERRORS)):
            raise RunFault(in_words(fault).rstrip("."), folder.path) from fault
        raise


@contextlib.contextmanager
def _scratch(request: Request):  # type: ignore[no-untyped-def]
    """A folder for the bridge's journal, gone after the run. Raises UsageError when there is no room for a run."""
    in_memory = not request.on_the_wall and disk_space.is_roomy(MEMORY_DISK, request.needed_bytes)
    with tempfile.TemporaryDirectory(prefix="shakedown-", dir=MEMORY_DISK if in_memory else None) as folder:
        disk_space.check_start(Path(folder), request.needed_bytes)
        yield Path(folder)


async def _carry_out(
    request: Request, folder: RunFolder, scratch: Path, progress: Progress
) -> dict[str, Any]:
    network: Network[Any] = (
        WireNetwork(toxiproxy=request.toxiproxy) if request.on_the_wall else MemoryNetwork(seed=request.seed)
    )
    setup, folders = request.setup, {request.setup.name: folder.path}
    lab = Lab(
        setup.plans, setup.bridges, folders,
        network=network, seed=request.seed, broker=request.broker, scratch=scratch, json=request.bridge.json_mapping,
    )  # fmt: skip
    timeline = Timeline(setup.scenario, lab, setup.plans, folders)
    try:
        progress.say("starting the lab")
        await _start(lab)
        begins_ns = None
        if setup.site.oee:
            begins_ns = (time.time_ns() // NS_PER_S + BEGIN_IN_S) * NS_PER_S
            setup = aligned(setup, begins_ns)
            folder.ask(setup, **_asked(request))
        for bridge in lab.bridges:
            place = Place(
                lab.site_of(setup), bridge.host, folder.path, scratch, await bridge.addresses(), request.on_the_wall,
                bridge.was_seen, bridge.other_topics, progress.note,
            )  # fmt: skip
            bridge.use(request.bridge.runner(place))
        async with progress.follow(timeline, lambda: lab.backlog):
            await timeline.carry_out(setup.bridges, begins_ns)
    except BaseException:
        with contextlib.suppress(*LAB_ERRORS):  # it is the first error that is told
            await lab.stop(complete=False)
        raise
    await lab.stop(complete=True)
    facts: dict[str, Any] = {"start_ns": timeline.start_ns, "end_ns": lab.end_ns}
    for bridge in lab.bridges:
        if ended := timeline.bridges_ended.get(bridge.name) or bridge.bridge_ended_with():
            facts["bridge_ended"] = ended
    if isinstance(network, MemoryNetwork):
        facts["trace_sha256"] = network.trace_sha256()
    return facts


async def _start(lab: Lab) -> None:
    """Start the lab; what cannot even be started is a matter of what was asked, or of this machine."""
    try:
        await lab.start()
    except LAB_ERRORS as error:
        raise UsageError(f"The lab cannot be started: {in_words(error).rstrip('.')}.") from error
