"""One run from request to verdict: the same lab on every clock, the judge and the reports afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from shakedown.acceptance.judging import judge
from shakedown.acceptance.verdict import Verdict
from shakedown.reports import render
from shakedown.scenarios.bridge_runner import BridgeFactory, BridgeProcess, InProcessBridge, our_bridge
from shakedown.scenarios.errors import HarnessFault, UsageError
from shakedown.scenarios.lab import Lab
from shakedown.scenarios.logs import logs_into
from shakedown.scenarios.model import Setup
from shakedown.scenarios.progress import Progress
from shakedown.scenarios.run_folder import RunFolder
from shakedown.scenarios.timeline import Timeline
from shakedown.twin.clock import START, run
from shakedown.twin.network.memory import MemoryNetwork
from shakedown.twin.network.model import Network
from shakedown.twin.network.wire import WireNetwork

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

    @property
    def on_the_wall(self) -> bool:
        """Whether real sockets and real time are asked for."""
        return self.clock == "wall"


@dataclass(frozen=True)
class Outcome:
    """Where a finished run lies, and what was concluded."""

    folder: Path
    verdict: Verdict
    facts: dict[str, Any]


def accept(request: Request, console: Console, factory: BridgeFactory = our_bridge) -> Outcome:
    """Carry out a run, judge it and write its reports.

    `factory` makes the bridge on virtual and paced clocks. Raises UsageError when the run cannot be had as asked,
    HarnessFault when the lab itself fails (what was written stays, under a name that ends in `.partial`), and
    KeyboardInterrupt after everything was taken down and removed.
    """
    folder = RunFolder(request.out)
    try:
        folder.ask(
            request.setup,
            seed=request.seed,
            clock=request.clock,
            broker=request.broker,
            strict=request.strict,
        )
        with Progress(console) as progress, _scratch(request) as scratch, logs_into(folder.path):
            facts = run(
                _carry_out(request, folder, scratch, progress, factory),
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
    except (UsageError, KeyboardInterrupt, asyncio.CancelledError):
        folder.discard()
        raise
    except Exception as fault:
        folder.note(status="harness fault", fault=f"{type(fault).__name__}: {fault}")
        if isinstance(fault, HarnessFault):
            raise HarnessFault(f"{fault}. What was seen until then is in {folder.path}") from fault
        raise


@contextlib.contextmanager
def _scratch(request: Request):  # type: ignore[no-untyped-def]
    """A folder for the bridge's journal, gone after the run."""
    in_memory = not request.on_the_wall and os.access(MEMORY_DISK, os.W_OK)
    with tempfile.TemporaryDirectory(prefix="shakedown-", dir=MEMORY_DISK if in_memory else None) as folder:
        yield Path(folder)


async def _carry_out(
    request: Request, folder: RunFolder, scratch: Path, progress: Progress, factory: BridgeFactory
) -> dict[str, Any]:
    network: Network = (
        WireNetwork(toxiproxy=request.toxiproxy) if request.on_the_wall else MemoryNetwork(seed=request.seed)
    )  # type: ignore[type-arg]
    lab = Lab(request.setup, request.seed, network, folder.path, request.broker)
    timeline = Timeline(request.setup.scenario, lab, folder.path / "timeline.jsonl")
    progress.say("starting the lab")
    await lab.start()
    addresses = await lab.addresses()
    if request.on_the_wall:
        journal, log = scratch / "journal.sqlite", folder.path / "bridge.log"
        lab.bridge = BridgeProcess(folder.path / "site.yaml", journal, log, addresses)
    else:
        journal = scratch / "journal.sqlite"
        lab.bridge = InProcessBridge(network.host("bridge"), request.setup.site, journal, addresses, factory)
    following = asyncio.create_task(progress.follow(timeline, lambda: lab.backlog), name="progress")
    try:
        await timeline.carry_out()
    finally:
        following.cancel()
        await lab.stop()
    facts: dict[str, Any] = {"start_ns": timeline.start_ns, "end_ns": lab.end_ns}
    if timeline.bridge_ended:
        facts["bridge_ended"] = timeline.bridge_ended
    if isinstance(network, MemoryNetwork):
        facts["trace_sha256"] = network.trace_sha256()
    return facts
