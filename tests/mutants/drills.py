"""Runs a bridge, whole or broken, through a drill of this folder, and has the run judged."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from shakedown.acceptance.verdict import Verdict
from shakedown.bridge.app import Bridge, Parts
from shakedown.bridge.config import Site
from shakedown.scenarios import model
from shakedown.scenarios.runner import Request, accept

HERE = Path(__file__).parent
QUIET = Console(file=open("/dev/null", "w"))  # noqa: SIM115 (for the life of the process)


def verdict_of(
    folder: Path,
    bridge: type[Bridge] = Bridge,
    parts: Parts | None = None,
    drill: str = "drill.yaml",
    seed: int = 0,
) -> Verdict:
    """The verdict on a bridge in a drill; `folder` must not exist."""

    def factory(site, journal, connect_to):
        return bridge(site, journal_path=journal, connect_to=dict(connect_to), parts=parts)

    return accept(Request(setup_of(drill), folder, seed=seed), QUIET, factory).verdict


def setup_of(drill: str) -> model.Setup:
    """A drill as it is run: one with alarms reads only what its alarms, OEE and work orders look at."""
    setup = model.set_up(HERE / drill)
    if not setup.site.alarms:
        return setup
    site = _with_metrics(setup.documents["site"], _looked_at(setup.site))
    return setup.model_copy(
        update={"site": Site.model_validate(site), "documents": setup.documents | {"site": site}}
    )


def _looked_at(site: Site) -> set[str]:
    """Names of the metrics, as `cell.asset/metric`, that the shift half of a site uses."""
    names = {name for alarm in site.alarms.values() for name in (alarm.metric, *alarm.context)}
    for line in site.oee.values():
        own = {name for name in line.model_dump().values() if isinstance(name, str)}
        names |= own | {f"{unit}/{name.partition('/')[2]}" for unit in line.work_units for name in own}
    return names | {f"{name.rpartition('/')[0]}/state" for name in names}


def _with_metrics(site: dict, names: set[str]) -> dict:
    cells = {
        cell: {
            asset: content | {"metrics": kept}
            for asset, content in assets.items()
            if (kept := {k: v for k, v in content["metrics"].items() if f"{cell}.{asset}/{k}" in names})
        }
        for cell, assets in site["cells"].items()
    }
    return site | {"cells": {cell: assets for cell, assets in cells.items() if assets}}
