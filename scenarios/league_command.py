"""`shakedown league`: all bridges through all drills, and the table of what each lost."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.interruption import terminated_like_interrupted
from shakedown.scenarios.options import FiniteRange
from shakedown.scenarios.terminal import ERR, OUT

if TYPE_CHECKING:
    from shakedown.scenarios.league import Cell

COLUMNS: tuple[tuple[str, str], ...] = (
    ("lost", "lost"), ("offered", "of"), ("pending", "missing"), ("duplicated", "twice"),
    ("out_of_order", "out of order"), ("wrong", "wrong"), ("fresh", "topics fresh"), ("recovery_s", "recovery, s"),
    ("cpu_s_per_100k", "CPU-s per 100,000"), ("rss_mb", "memory, MB"), ("p50_ms", "p50, ms"), ("p99_ms", "p99, ms"),
    ("breaches", "Sparkplug breaches"),
)  # fmt: skip


@click.command("league", epilog="""\b
Examples:
  shakedown league --out runs/league
  shakedown league ours naive telegraf_best --drill cut --drill killed
  shakedown league ours my_bridge.yaml --outage 20""")  # fmt: skip
@click.argument("bridges", nargs=-1, metavar="[BRIDGE]...")
@click.option(
    "--drill",
    "drills",
    multiple=True,
    metavar="NAME",
    help="a drill or a load; may be repeated  [default: all]",
)
@click.option("--outage", "outage_s", type=FiniteRange(min=5, max=600), default=30, show_default=True, metavar="S",
              help="how long an outage lasts")  # fmt: skip
@click.option("--jobs", type=click.IntRange(1, 32), default=1, show_default=True, metavar="N",
              help="drills at a time; loads always run alone")  # fmt: skip
@click.option(
    "--broker",
    default="mosquitto",
    show_default=True,
    metavar="embedded|mosquitto",
    help="the enterprise broker",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
              help="the folder of all runs; what is there is not run again  [default: runs/league-...]")  # fmt: skip
def league(
    bridges: tuple[str, ...],
    drills: tuple[str, ...],
    outage_s: float,
    jobs: int,
    broker: str,
    out: Path | None,
) -> None:
    """Send each BRIDGE (ours and every installed one, if none is given) through every drill, in real time."""
    from shakedown.scenarios.bridges.choice import choose
    from shakedown.scenarios.league import DRILLS, LOADS, Asked, play

    known = (*DRILLS, *LOADS)
    if unknown := [drill for drill in drills if drill not in known]:
        raise UsageError(f"Unknown drill {', '.join(unknown)}. There are: {', '.join(known)}.")
    bridges = bridges or _installed()
    for bridge in bridges:
        choose(bridge)
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    folder = (out or Path("runs") / f"league-{stamp}").resolve()
    asked = Asked(bridges, drills or known, folder, outage_s, jobs, broker)
    with terminated_like_interrupted():
        cells = asyncio.run(play(asked, lambda text: ERR.print(text, markup=False, soft_wrap=True)))
    (folder / "league.json").write_bytes(msgspec.json.format(msgspec.json.encode(cells)))
    text = as_markdown(cells, asked.drills, outage_s)
    (folder / "league.md").write_text(text, encoding="utf-8")
    OUT.print(text, markup=False, highlight=False, soft_wrap=True)


def _installed() -> tuple[str, ...]:
    from shakedown.scenarios.bridges.find import find_bridge, shipped_bridges
    from shakedown.scenarios.bridges.install import missing

    names = ["ours"]
    for name in shipped_bridges():
        file = find_bridge(name).file
        if file.is_external:
            continue
        if file.install is not None and missing(file.install):
            ERR.print(
                f"{name} is left out: it is not installed (shakedown bridges install {name})", markup=False
            )
            continue
        names.append(name)
    return tuple(names)


def as_markdown(cells: Sequence[Cell], drills: Sequence[str], outage_s: float) -> str:
    """A table for each drill; every cell links its run folder, and the name of a bridge its report."""
    from shakedown.scenarios.league import DRILLS, LOADS

    lines = [f"Outages of {outage_s:g} s; {platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python "
             f"{platform.python_version()}."]  # fmt: skip
    lines += ["", "What was lost, of what was offered (and is missing, with time left when the run ended), "
                  "and in brackets what arrived twice:", ""]  # fmt: skip
    lines += ["| bridge | " + " | ".join(drills) + " |", "|---" * (len(drills) + 1) + "|"]
    of = {(cell.bridge, cell.drill): cell for cell in cells}
    for bridge in dict.fromkeys(cell.bridge for cell in cells):
        lines.append(f"| {bridge} | " + " | ".join(_lost(of.get((bridge, drill))) for drill in drills) + " |")
    for drill in drills:
        title = (
            DRILLS[drill][0] if drill in DRILLS else f"a thousand counters every {LOADS[drill]} ms, no fault"
        )
        lines += ["", f"### {drill}: {title}", ""]
        lines += [
            "| bridge | " + " | ".join(name for _, name in COLUMNS) + " |",
            "|---" * (len(COLUMNS) + 1) + "|",
        ]
        for cell in (cell for cell in cells if cell.drill == drill):
            link = f"[{cell.bridge}]({cell.run}/report.html)"
            if cell.trouble:
                lines.append(f"| {cell.bridge} | no run: {cell.trouble[:200]} |" + " |" * (len(COLUMNS) - 1))
                continue
            lines.append(
                f"| {link} | "
                + " | ".join(_shown(getattr(cell, name), cell.run) for name, _ in COLUMNS)
                + " |"
            )
    return "\n".join(lines) + "\n"


def _lost(cell: Cell | None) -> str:
    if cell is None or cell.lost is None or cell.trouble:
        return "no run"
    pending = f", {cell.pending:,} missing" if cell.pending else ""
    twice = f" ({cell.duplicated:,})" if cell.duplicated else ""
    return f"[{cell.lost:,} of {cell.offered:,}]({cell.run}/report.html){pending}{twice}"


def _shown(value: object, run: str) -> str:
    if value in (None, ""):
        return ""
    return f"[{value:,}]({run}/)" if isinstance(value, int) else f"[{value}]({run}/)"
