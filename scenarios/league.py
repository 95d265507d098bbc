"""The league: every bridge through the same drills, each a run of its own, and what each lost in one table."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from shakedown.acceptance.join import NEVER, join
from shakedown.acceptance.rules import RULES
from shakedown.acceptance.run import load_run

WARM_UP_S = 15.0
AFTER_S = 12.0  # the line goes on so long after an outage
DRAIN_S = 75.0  # a bridge has a minute to deliver what an outage held up; then it counts as lost
DOWN_S = 3.0  # of a flapping link; shorter, and the lab's probe does not see it
STEADY_S = 60.0
RUN_S_MAX = 900.0
TRIES = 3  # of a run that the lab, or a busy machine, could not carry to its end
NORTH = {"keep_alive_s": 10, "host_keep_alive_s": 10, "reconnect_s": {"min": 0.5, "max": 5}}
SOUTH = {"plc1": {"publishing_interval_ms": 200, "sampling_interval_ms": 50}}

Fault = dict[str, Any]


def _flapping(outage_s: float) -> list[Fault]:
    return [_wan(f"cut_{n}", "down", 2 + n * (DOWN_S + outage_s / 3), DOWN_S) for n in range(4)]


def _wan(name: str, kind: str, at_s: float, for_s: float, target: str = "wan") -> Fault:
    return {"id": name, "kind": kind, "target": target, "at_s": WARM_UP_S + at_s, "for_s": for_s}


DRILLS: dict[str, tuple[str, Callable[[float], list[Fault]]]] = {
    "cut": ("the WAN is cut visibly", lambda s: [_wan("cut", "down", 2, s)]),
    "stall": ("the WAN stays connected, and nothing passes", lambda s: [_wan("stall", "stall", 2, s)]),
    "flapping": ("the WAN goes down four times for a moment", _flapping),
    "killed_in_outage": (
        "the WAN is cut, and the bridge killed (SIGKILL) in the middle of it",
        lambda s: [_wan("cut", "down", 2, s), _wan("kill", "crash", 2 + s / 2, 3, "bridge")],
    ),
    "opcua_cut": ("the way to the PLC is cut", lambda s: [_wan("cut", "down", 2, s, "cell")]),
    "killed": (
        "the bridge is killed (SIGKILL) and started again",
        lambda _: [_wan("kill", "crash", 2, 5, "bridge")],
    ),
}
"""Drills of the bottling line: what happens, and the faults for an outage of so many seconds."""

LOADS = {"counters_1hz": 1000, "counters_10hz": 100}
"""Loads of a thousand counters: the scan in milliseconds."""


@dataclass(frozen=True)
class Asked:
    """What is asked of the league."""

    bridges: tuple[str, ...]
    drills: tuple[str, ...]
    out: Path
    outage_s: float
    jobs: int
    broker: str


class Cell(msgspec.Struct, kw_only=True):
    """One bridge in one drill. Figures are None where the run has none; `trouble` says why there is no run."""

    bridge: str
    drill: str
    run: str
    verdict: str = ""
    trouble: str = ""
    offered: int | None = None
    lost: int | None = None
    pending: int = 0  # that still had time when the run ended: neither lost nor there
    duplicated: int | None = None
    out_of_order: int | None = None
    wrong: int | None = None
    fresh: str = ""
    recovery_s: float | None = None
    cpu_s_per_100k: float | None = None
    rss_mb: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    breaches: int | None = None


def scenario_of(drill: str, outage_s: float) -> dict[str, Any]:
    """The scenario file of a drill or a load, as data; it can be run by itself."""
    override: dict[str, Any] = {"site": {"south": SOUTH, "north": {"enterprise": NORTH}}}
    common = {
        "format": 1,
        "name": drill,
        "warm_up_s": WARM_UP_S,
        "may_be_inconclusive": ["freshness", "loss"],
    }
    network = {"cell": {"latency_ms": 0}, "wan": {"latency_ms": 0}}
    if drill in LOADS:
        title = f"A thousand counters every {LOADS[drill]} ms"
        override["plant"] = {"scan_ms": LOADS[drill]}
        return common | {
            "title": title, "plant": "counters", "duration_s": WARM_UP_S + STEADY_S, "drain_s": 15.0,
            "network": network, "override": override,
        }  # fmt: skip
    title, faults_of = DRILLS[drill]
    faults = faults_of(outage_s)
    end_s = max(fault["at_s"] + fault["for_s"] for fault in faults)
    return common | {
        "title": title[0].upper() + title[1:], "plant": "bottling", "duration_s": end_s + AFTER_S, "drain_s": DRAIN_S,
        "network": network, "override": override, "faults": faults,
    }  # fmt: skip


async def play(asked: Asked, say: Callable[[str], None]) -> list[Cell]:
    """Carry out every cell, `jobs` at a time, loads alone; a cell whose run is there already is not run again."""
    scenarios = asked.out / "scenarios"
    scenarios.mkdir(parents=True, exist_ok=True)
    for drill in asked.drills:
        text = yaml.safe_dump(scenario_of(drill, asked.outage_s), sort_keys=False)
        (scenarios / f"{drill}.yaml").write_text(text, encoding="utf-8")
    gate = asyncio.Semaphore(asked.jobs)
    cells: list[Cell] = []

    async def one(bridge: str, drill: str) -> None:
        async with gate:
            cells.append(await _play_one(asked, bridge, drill))
            say(
                f"{len(cells)} of {len(asked.bridges) * len(asked.drills)}  {bridge}, {drill}: {in_short(cells[-1])}"
            )

    drills = [drill for drill in asked.drills if drill in DRILLS]
    async with asyncio.TaskGroup() as group:
        for drill in drills:
            for bridge in asked.bridges:
                group.create_task(one(bridge, drill))
    for drill in (
        drill for drill in asked.drills if drill in LOADS
    ):  # what is measured has the machine to itself
        for bridge in asked.bridges:
            await one(bridge, drill)
    order = {bridge: number for number, bridge in enumerate(asked.bridges)}
    return sorted(cells, key=lambda cell: (asked.drills.index(cell.drill), order[cell.bridge]))


async def _play_one(asked: Asked, bridge: str, drill: str) -> Cell:
    folder = asked.out / _slug(bridge) / drill
    cell = Cell(bridge=bridge, drill=drill, run=str(folder.relative_to(asked.out)))
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        scenario = asked.out / "scenarios" / f"{drill}.yaml"
        command = [sys.executable, "-c", "from shakedown.scenarios.cli import main; main()", "accept", str(scenario),
                   "--bridge", bridge, "--clock", "wall", "--broker", asked.broker, "--out", str(folder)]  # fmt: skip
        for _ in range(TRIES):
            cell.trouble = await _run(command)
            if folder.exists():
                break
            shutil.rmtree(
                folder.with_name(f"{folder.name}.partial"), ignore_errors=True
            )  # the lab failed: again
    if folder.exists():
        await asyncio.to_thread(measure, folder, cell)
    return cell


async def _run(command: Sequence[str]) -> str:
    """Run it to its end; the last of what it said when it left no run."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE, env=os.environ | {"COLUMNS": "500"},
    )  # fmt: skip
    try:
        async with asyncio.timeout(RUN_S_MAX):
            _, errors = await process.communicate()
        return errors.decode(errors="replace").strip()[-600:]
    except TimeoutError:
        return f"did not end within {RUN_S_MAX:g} s"
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)  # it takes its lab down, and its bridge with it
            await process.wait()


def measure(folder: Path, cell: Cell) -> None:
    """Fill a cell with what its run says."""
    verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    counts = verdict["counts"]
    cell.verdict = verdict["verdict"]
    cell.trouble = "; ".join(problem["what"] for problem in verdict["harness"])
    cell.offered, cell.lost = counts["eligible"], counts["lost"] + counts["late"]
    cell.pending = counts["pending"]
    cell.duplicated, cell.out_of_order = counts["duplicated"], counts["out_of_order"]
    cell.wrong = counts["wrong"] + counts["unexpected"]
    criteria = {criterion["name"]: criterion for criterion in verdict["criteria"]}
    fresh = (criteria.get("freshness") or {}).get("figures") or {}
    if fresh:
        cell.fresh = f"{fresh['within_slo']}/{fresh['critical_topics']}"
        cell.p50_ms, cell.p99_ms = (_ms(fresh[name]) for name in ("latency_p50_s", "latency_p99_s"))
    session = criteria.get("session") or criteria.get("sparkplug_session") or {}
    if session.get("verdict") != "NOT_APPLICABLE" and session.get("figures"):
        breaches = session["figures"]["breaches"]
        cell.breaches = sum(count for rule, count in breaches.items() if RULES[rule][0] == "MUST")
    run = load_run(folder)
    parts = join(run).topics
    _recovery(run.cuts, parts, cell)
    warm_up, recovery = run.phase("warm_up"), run.phase("recovery")
    if warm_up is not None and recovery is not None:
        span = (warm_up.end_ns, recovery.end_ns)
        arrived = sum(
            int(((part.received_ns >= span[0]) & (part.received_ns < span[1])).sum()) for part in parts
        )
        _cost(folder / "bridge.jsonl", arrived, span, cell)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000)


def _recovery(cuts: list[Any], parts: list[Any], cell: Cell) -> None:
    """Seconds from the end of the last outage until the first new value; None if there was none."""
    if not cuts:
        return
    end_ns = max(cut.end_ns for cut in cuts)
    firsts = [
        part.received_ns[part.ns > end_ns].min()
        for part in parts
        if (part.eligible & (part.ns > end_ns)).any()
    ]
    if firsts and min(firsts) != NEVER:
        cell.recovery_s = round(int(min(firsts) - end_ns) / 1e9, 1)


def _cost(usage: Path, arrived: int, span: tuple[int, int], cell: Cell) -> None:
    """Memory at its most; CPU where nothing is struck, of what arrived between the warm-up and the line's end."""
    rows = (
        [json.loads(line) for line in usage.read_text(encoding="utf-8").splitlines()]
        if usage.exists()
        else []
    )
    used = [row for row in rows if row[0] == "U"]
    inside = [row for row in used if span[0] <= row[1] < span[1]]
    if used:
        cell.rss_mb = round(max(row[3] for row in used) / 1e6)
    if cell.drill in LOADS and arrived and len(inside) > 1:
        share = (inside[-1][1] - inside[0][1]) / (span[1] - span[0])
        cell.cpu_s_per_100k = round((inside[-1][2] - inside[0][2]) * 100_000 / (arrived * share), 2)


def in_short(cell: Cell) -> str:
    """One line for who waits."""
    pending = f", {cell.pending} missing" if cell.pending else ""
    return cell.trouble or f"{cell.lost} of {cell.offered} lost{pending}, {cell.duplicated} twice"


def _slug(bridge: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in Path(bridge).stem)
