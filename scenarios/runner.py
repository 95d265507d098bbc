"""One run from request to verdict: the same lab on every clock, the judge and the reports afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from shakedown.acceptance.judging import judge
from shakedown.acceptance.verdict import Verdict
from shakedown.bridge.yamlfile import ConfigError
from shakedown.scenarios import disk_space
from shakedown.scenarios.bridge_runner import BridgeFactory, our_bridge
from shakedown.scenarios.bridges.choice import Choice, OurBridge, Place
from shakedown.scenarios.collector import rare_collections
from shakedown.scenarios.errors import LAB_ERRORS, HarnessFault, RunFault, UsageError, in_words
from shakedown.scenarios.lab import Lab
from shakedown.scenarios.model import aligned
from shakedown.scenarios.parts.bridge import BridgePart
from shakedown.scenarios.progress import Progress
from shakedown.scenarios.run_folder import RunFolder
from shakedown.scenarios.run_folders import RunFolders
from shakedown.scenarios.run_logs import logs_into
from shakedown.scenarios.scratch import scratch_in
from shakedown.scenarios.setups import Setup
from shakedown.scenarios.timeline import Timeline
from shakedown.twin.clock import START, run
from shakedown.twin.network.memory import MemoryNetwork
from shakedown.twin.network.model import Network

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
    named: str = ""  # how the scenario was asked for: a shipped name or a path
    duration_s: float | None = None  # what it was shortened to

    @property
    def on_the_wall(self) -> bool:
        """Whether real sockets and real time are asked for."""
        return self.clock == "wall"

    @property
    def needed_bytes(self) -> int:
        """What the run will write, and as much again."""
        duration_s = self.setup.scenario.duration_s
        plants = [one.plant for one in self.setup.bridges.values()]
        return sum(
            disk_space.needed(plant.scan_ms / 1000, sum(1 for _ in plant.each_signal()), duration_s)
            for plant in plants
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
    words: dict[str, Any] = {
        "scenario": request.named or request.setup.scenario.name,
        "bridge": request.bridge.asked,
        "toxiproxy": request.toxiproxy,
        "duration_s": request.duration_s,
    }
    words = {name: value for name, value in words.items() if value is not None}
    return {name: getattr(request, name) for name in names} | {
        "bridge": request.bridge.manifest,
        "asked": words,
    }


def accept(
    request: Request, console: Console, factory: BridgeFactory = our_bridge, *, which: str = ""
) -> Outcome:
    """Carry out a run with one bridge, judge it and write its reports, as `accept_each` does."""
    return accept_each(request, console, factory, which=which)[request.setup.name]


@rare_collections()
def accept_each(
    request: Request, console: Console, factory: BridgeFactory = our_bridge, *, which: str = ""
) -> dict[str, Outcome]:
    """Carry out a run, judge each bridge by itself and write its reports; the outcomes by bridge.

    `factory` makes our bridge on virtual and paced clocks; `which` tells who watches which of several runs this is.
    Raises UsageError when the run cannot be had as asked, RunFault when the lab itself fails (what was written stays,
    under a name that ends in `.partial`), and KeyboardInterrupt after everything was taken down and removed.
    """
    if factory is not our_bridge:
        request = replace(request, bridge=OurBridge(factory))
    request.bridge.check(request.setup, request.clock, request.broker)
    request = replace(request, setup=request.setup.each(request.bridge.promised))
    folders = RunFolders(request.out, request.setup)
    try:
        disk_space.check_start(request.out.parent, request.needed_bytes)
        folders.ask(request.setup, **_asked(request))
        with (
            Progress(console, which, request.setup.scenario.name) as progress,
            _scratch(request) as scratch,
            logs_into(folders.paths, request.bridge.package),
        ):
            began_s = time.perf_counter()
            facts = run(
                _carry_out(request, folders, scratch, progress),
                clock=request.clock,
                seed=request.seed,
                start=datetime.now(UTC) if request.on_the_wall else START,
            )
            folders.note(facts)
            run_s = round(time.perf_counter() - began_s, 3)
            verdicts = {
                bridge: _judge(folder, run_s, request, progress) for bridge, folder in folders.of.items()
            }
        return {
            bridge: Outcome(folders.of[bridge].finish(), verdict, facts[bridge])
            for bridge, verdict in verdicts.items()
        }
    except (UsageError, ConfigError, KeyboardInterrupt, asyncio.CancelledError):
        folders.discard()
        raise
    except Exception as fault:
        seen = folders.fail(f"{type(fault).__name__}: {fault}")
        if isinstance(fault, (HarnessFault, *LAB_ERRORS)):
            raise RunFault(in_words(fault).rstrip("."), seen) from fault
        raise


def _judge(folder: RunFolder, run_s: float, request: Request, progress: Progress) -> Verdict:
    progress.say("judging")
    criteria: dict[str, float] = {}
    began_s = time.perf_counter()
    verdict = judge(folder.path, strict=request.strict, took_s=criteria)
    judge_s = round(time.perf_counter() - began_s, 3)
    folder.note(took_s={"run": run_s, "judge": judge_s, "criteria": criteria})
    verdict.write(folder.path / "verdict.json")
    progress.say("writing the reports")
    folder.seal()
    return verdict


@contextlib.contextmanager
def _scratch(request: Request) -> Iterator[Path]:
    """A folder for the bridge's journal, gone after the run. Raises UsageError when there is no room for a run."""
    in_memory = not request.on_the_wall and disk_space.is_roomy(MEMORY_DISK, request.needed_bytes)
    with scratch_in(MEMORY_DISK if in_memory else Path(tempfile.gettempdir())) as folder:
        disk_space.check_start(folder, request.needed_bytes)
        yield folder


def _network(request: Request) -> Network[Any]:
    if not request.on_the_wall:
        return MemoryNetwork(seed=request.seed)
    from shakedown.twin.network.wire import (
        WireNetwork,
    )  # and toxiproxy-python with requests, which takes a while

    return WireNetwork(toxiproxy=request.toxiproxy)


async def _carry_out(
    request: Request, folders: RunFolders, scratch: Path, progress: Progress
) -> dict[str, dict[str, Any]]:
    network = _network(request)
    setup = request.setup
    lab = Lab(
        setup.plans, setup.bridges, folders.paths,
        network=network, seed=request.seed, broker=request.broker, scratch=scratch, json=request.bridge.json_mapping,
        besides=request.bridge.topics,
    )  # fmt: skip
    timeline = Timeline(setup.scenario, lab, setup.plans, folders.paths)
    try:
        progress.say("starting the lab")
        await _start(lab)
        begins_ns = None
        if any(one.site.oee for one in setup.bridges.values()):
            begins_ns = (time.time_ns() // NS_PER_S + BEGIN_IN_S) * NS_PER_S
            setup = aligned(setup, begins_ns)
            folders.ask(setup, **_asked(request))
        for bridge in lab.bridges:
            (own := scratch / bridge.name).mkdir()
            place = Place(
                lab.site_of(setup.bridges[bridge.name], own), bridge.host, folders.paths[bridge.name], own,
                await bridge.addresses(), request.on_the_wall, bridge.was_seen, bridge.other_topics, progress.note,
            )  # fmt: skip
            bridge.use(request.bridge.runner(place))
        async with progress.follow(timeline, lambda: lab.backlog):
            await timeline.carry_out(setup.bridges, begins_ns)
    except BaseException:
        with contextlib.suppress(*LAB_ERRORS):  # it is the first error that is told
            await lab.stop(complete=False)
        raise
    await lab.stop(complete=True)
    return {bridge.name: _facts(bridge, timeline, lab) for bridge in lab.bridges}


def _facts(bridge: BridgePart, timeline: Timeline, lab: Lab) -> dict[str, Any]:
    facts: dict[str, Any] = {"status": "complete", "start_ns": timeline.start_ns, "end_ns": lab.end_ns}
    if ended := timeline.bridges_ended.get(bridge.name) or bridge.bridge_ended_with():
        facts["bridge_ended"] = ended
    if isinstance(lab.network, MemoryNetwork):
        facts["trace_sha256"] = lab.network.trace_sha256()
    return facts


async def _start(lab: Lab) -> None:
    """Start the lab; what cannot even be started is a matter of what was asked, or of this machine."""
    try:
        await lab.start()
    except LAB_ERRORS as error:
        raise UsageError(f"The lab cannot be started: {in_words(error).rstrip('.')}.") from error
