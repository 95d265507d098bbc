"""One run as the judge has it in hand: what was asked, offered, received and done, and the window that is judged."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shakedown.acceptance.files import RERUN, Problem, read_json, read_yaml
from shakedown.acceptance.oee.plan import unplanned
from shakedown.acceptance.operations_logs import People, WorkOrder, read_cmms, read_people
from shakedown.acceptance.operations_site import OperationsSite, read_operations_site
from shakedown.acceptance.promises import Bridge, read_bridge
from shakedown.acceptance.readers import (
    HostLog,
    Ledger,
    TimelineEntry,
    WireLog,
    read_host,
    read_ledger,
    read_timeline,
)
from shakedown.acceptance.site import Site, Topic, read_site
from shakedown.acceptance.spans import S, union

GRACE_S = 60.0  # a sample may arrive this long after its source time, or after the end of the outage that held it up
# ... or this many times what draining the backlog takes at the link's rate, if that is longer
DRAIN_FACTOR = 2.0
DRAIN_PER_S = 10_000.0  # samples a second, over a link without a bandwidth of its own
# Of a sample on a link, framing included: four of Sparkplug's by alias, one of JSON with its name
SAMPLE_BYTES = 100
KEEP_ALIVE_FACTOR = 1.5  # a dead connection may go unnoticed for this many keep-alives (MQTT-3.1.2-24)
BIRTH_BOUND_S = 60.0  # judged from here on even if no birth came, where no warm-up phase says when
DRAIN_MARGIN_S = 10.0  # samples of the last seconds are not judged, where no drain phase says which


class Unjudgeable(Exception):
    """The run cannot be judged; `problems` say why."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(problem.what for problem in problems))
        self.problems = problems


@dataclass(frozen=True)
class Outage:
    """An interruption, and until when what it held up may arrive: `deadline_ns`."""

    fault: TimelineEntry
    from_ns: int  # its start less the time that a dead connection may go unnoticed
    until_ns: int  # samples offered in [from_ns, until_ns) are counted to it: it, and the way back from it
    deadline_ns: int

    @property
    def end_ns(self) -> int:
        return self.fault.end_ns


@dataclass
class Run:
    """Everything that criteria read. `problems` are the run's own faults: they make it a harness fault."""

    folder: Path
    strict: bool
    manifest: dict[str, Any]
    site: Site
    ledger: Ledger
    host: HostLog
    wire: WireLog | None
    timeline: list[TimelineEntry]
    problems: list[Problem] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    server: dict[str, Any] = field(default_factory=dict)
    counters: dict[str, Any] = field(default_factory=dict)  # server.json as a whole
    operations: OperationsSite = field(default_factory=OperationsSite)
    people: People = field(default_factory=People)
    work_orders: list[WorkOrder] = field(default_factory=list)
    bridge: Bridge = field(default_factory=Bridge)
    scenario: dict[str, Any] = field(default_factory=dict)  # scenario.yaml as data

    @property
    def neighbours(self) -> frozenset[str]:
        """The edge nodes of the other bridges at the same broker: what they say is judged in their own runs."""
        run = self.manifest.get("run") or {}
        bridges = run.get("bridges") or {}
        here = bridges.get(run.get("bridge"), {}).get("broker")
        there = {str(bridge.get("edge")) for bridge in bridges.values() if bridge.get("broker") == here}
        return frozenset(there - {self.site.edge})

    @property
    def drain_per_s(self) -> float:
        """Samples a second that the way to the enterprise carries: what its thinnest conduit does, shared by the
        bridges of the run, and `DRAIN_PER_S` at most. What a bridge allows itself (`replay_per_s`) is not asked."""
        network = self.scenario.get("network")
        conduits = network.values() if isinstance(network, dict) else ()
        asked = [c.get("bandwidth_kB_s") for c in conduits if isinstance(c, dict)]
        thinnest = min((b for b in asked if isinstance(b, (int, float)) and b > 0), default=math.inf)
        bridges = max(1, len((self.manifest.get("run") or {}).get("bridges") or {}))
        return min(DRAIN_PER_S, thinnest * 1000 / SAMPLE_BYTES / bridges)

    @property
    def topics(self) -> tuple[Topic, ...]:
        return self.site.topics

    @property
    def end_ns(self) -> int:
        """When the enterprise stopped listening."""
        return self.host.end_ns or self.ledger.end_ns

    @property
    def window_end_ns(self) -> int:
        """Samples from here on are not judged: the start of the phase `drain`, or the last ten seconds."""
        drain = self.phase("drain")
        if drain:
            return drain.start_ns
        return min(self.end_ns, self.ledger.end_ns) - int(DRAIN_MARGIN_S * S)

    @property
    def window_s(self) -> float:
        """How long what is judged was offered."""
        return max(0.0, (self.window_end_ns - self.ledger.start_ns) / S)

    def window_start_ns(self, first_birth_ns: int | None) -> int:
        """Samples before are not judged: a device counts from its first birth, at the latest from the warm-up's end."""
        warm_up = self.phase("warm_up")
        latest = warm_up.end_ns if warm_up else self.ledger.start_ns + int(BIRTH_BOUND_S * S)
        return latest if first_birth_ns is None else min(first_birth_ns, latest)

    def phase(self, name: str) -> TimelineEntry | None:
        """The phase of that name, if the timeline has it."""
        return next((entry for entry in self.timeline if entry.is_phase and entry.id == name), None)

    @property
    def cuts(self) -> list[TimelineEntry]:
        """The faults that interrupt the way of the data."""
        return [entry for entry in self.timeline if entry.cut and not entry.is_phase]

    def deadlines_ns(self, ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Until when each sample offered at `ns` must have arrived."""
        base = ns
        for outage in self.outages:
            base = np.where((base >= outage.from_ns) & (base < outage.end_ns), outage.end_ns, base)
        deadline = free_time_later(base, int(GRACE_S * S), self.cuts)
        for outage in self.outages:
            held = (ns >= outage.from_ns) & (ns <= outage.deadline_ns)
            deadline = np.where(held, np.maximum(deadline, outage.deadline_ns), deadline)
        return deadline


def free_time_later(ns: NDArray[np.int64], wait_ns: int, cuts: list[TimelineEntry]) -> NDArray[np.int64]:
    """The moments `wait_ns` after `ns`, by a clock that stands still during `cuts` (in order of their start)."""
    spans = union((cut.start_ns, cut.end_ns) for cut in cuts)
    if not spans:
        return ns + wait_ns
    start, end = np.array(spans).T
    before = np.concatenate([[0], np.cumsum(end - start)])  # time cut before each, and in all
    index = np.searchsorted(start, ns, side="right")
    inside = np.where(index > 0, np.minimum(ns, end[index - 1]) - start[index - 1], 0)
    free_ns = ns - before[np.maximum(index - 1, 0)] - inside
    due_ns = free_ns + wait_ns
    return due_ns + before[np.searchsorted(start - before[:-1], due_ns, side="left")]


def unmatched(run: Run) -> str:
    """What arrived on topics that the mapping of a JSON bridge does not match, in a sentence; "" if nothing did."""
    topics = [str(details.get("topic", "")) for _, kind, details in run.host.events if kind == "unmapped"]
    if not topics:
        return ""
    them = "1 topic" if len(topics) == 1 else f"{len(topics):,} topics"
    return f"{them} arrived that the declared mapping does not match, the first {topics[0]}."


def load_run(folder: Path, *, strict: bool = False) -> Run:
    """Read a run folder. Raises `Unjudgeable` when a part without which nothing can be said is missing."""
    problems: list[Problem] = []
    manifest = read_json(folder / "manifest.json", problems) or {}
    parsed = read_yaml(folder / "site.yaml", problems)
    ledger = read_ledger(folder / "ledger.jsonl", problems)
    if parsed is None or ledger is None:
        raise Unjudgeable(problems)
    site = read_site(parsed, ledger.signals, problems)
    if site is None or not site.topics:
        if site is not None:
            problems.append(Problem("site.yaml and ledger have no signal in common", "site.yaml", RERUN))
        raise Unjudgeable(problems)
    host = read_host(folder / "host.jsonl", problems)
    timeline = read_timeline(folder / "timeline.jsonl", problems)
    logs = [folder / name for name in ("broker.jsonl", "observer.jsonl")]
    wire = next((WireLog(path) for path in logs if path.is_file()), None)
    if wire is None:
        problems.append(Problem("neither broker.jsonl nor observer.jsonl is there", "observer.jsonl", RERUN))
    run = Run(folder, strict, manifest, site, ledger, host, wire, timeline, problems)
    run.bridge = read_bridge(manifest, problems)
    if (folder / "scenario.yaml").is_file():
        run.scenario = read_yaml(folder / "scenario.yaml", problems) or {}
    run.outages = _outages(run)
    _read_operations(run, parsed)
    if (folder / "server.json").is_file():
        run.counters = read_json(folder / "server.json", problems) or {}
        counters = run.counters.get("server")
        run.server = counters if isinstance(counters, dict) else {}
    return run


def _read_operations(run: Run, parsed: dict[str, Any]) -> None:
    """What `site.yaml` says of alarms, OEE and work orders, and the logs that only such a run has."""
    try:
        run.operations = read_operations_site(parsed, run.topics, run.scenario.get("rules_beside"))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        text = f"alarms, oee or cmms of site.yaml cannot be understood: {type(error).__name__}: {error}"
        run.problems.append(Problem(text, "site.yaml", "validate it with `shakedown bridge check site.yaml`"))
        return
    run.problems += [problem for line in run.operations.lines for problem in unplanned(line, run.ledger)]
    if run.operations.alarms or run.operations.lines:
        run.people = read_people(run.folder / "people.jsonl", run.problems)
    if run.operations.work_orders is not None:
        run.work_orders = read_cmms(run.folder / "cmms.jsonl", run.problems)


def _outages(run: Run) -> list[Outage]:
    """Cuts with the deadlines of what they hold up: time enough to drain the backlog, later cuts not counted."""
    ns = np.frombuffer(run.ledger.ns, dtype=np.int64)
    outages: list[Outage] = []
    for cut in run.cuts:
        from_ns = cut.start_ns - int(KEEP_ALIVE_FACTOR * run.site.keep_alive_s * S)
        backlog = int(np.count_nonzero((ns >= from_ns) & (ns <= cut.end_ns)))
        drain_s = DRAIN_FACTOR * backlog / run.drain_per_s
        wait_ns = int(max(GRACE_S, drain_s) * S)
        deadline_ns = int(free_time_later(np.array([cut.end_ns]), wait_ns, run.cuts)[0])
        outages.append(Outage(cut, from_ns, cut.end_ns, deadline_ns))
    return _apart(outages)


def _apart(outages: list[Outage]) -> list[Outage]:
    """The same outages, each with samples of its own: up to the next one's start, and none of the one before."""
    found: list[Outage] = []
    for outage, following in zip_longest(outages, outages[1:]):
        until_ns = outage.end_ns + int(GRACE_S * S)
        if following is not None:
            until_ns = max(outage.end_ns, min(until_ns, following.fault.start_ns))
        from_ns = max(outage.from_ns, found[-1].until_ns if found else outage.from_ns)
        found.append(replace(outage, from_ns=min(from_ns, outage.fault.start_ns), until_ns=until_ns))
    return found
