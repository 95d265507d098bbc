"""The whole stack in virtual time: plant, OPC UA, bridge, journal, MQTT, host, judge and reports, beside real time."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from shakedown.bridge.config import Site
from shakedown.scenarios import model
from shakedown.scenarios.runner import Request, accept

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]


def children_s() -> float:
    """CPU seconds of the processes that this one started and that have ended."""
    spent = os.times()
    return spent.children_user + spent.children_system


def note(benchmark: Any, what: str, scenario: model.Scenario, values: int) -> None:
    if benchmark.stats:
        simulated_s, took_s = scenario.duration_s + scenario.drain_s, benchmark.stats.stats.median
        benchmark.extra_info.update(
            what=what,
            times_real_time=round(simulated_s / took_s),
            values=values,
            us_per_value=round(1e6 * took_s / values),
        )


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("signals", [48, 68])
def test_the_whole_stack(benchmark: Any, tmp_path: Path, signals: int) -> None:
    """A calm run of 20 minutes at 1 Hz, from start to report; OPC UA's standard nodes are there from the warm-up."""
    setup = _with_signals(tmp_path, signals)
    numbers = itertools.count()

    def whole_run() -> Any:
        return accept(Request(setup, tmp_path / f"run{next(numbers)}"), Console(quiet=True))

    outcome = benchmark.pedantic(whole_run, rounds=3, warmup_rounds=1)
    assert outcome.verdict.verdict == "PASS"
    offered = outcome.verdict.counts["offered"]
    note(benchmark, f"whole stack, {signals} signals, calm", setup.scenario, offered)


@pytest.mark.benchmark(timer=children_s)
def test_a_run_as_a_command(benchmark: Any, tmp_path: Path) -> None:
    """`shakedown accept wan_outage`: 68 signals, six outages, in a process of its own with all that it has to load."""
    numbers = itertools.count()

    def command() -> None:
        out = tmp_path / f"run{next(numbers)}"
        program = "from shakedown.scenarios.cli import main; main()"
        subprocess.run(
            [sys.executable, "-c", program, "accept", "wan_outage", "--out", str(out)],
            check=True,
            capture_output=True,
        )

    benchmark.pedantic(command, rounds=2)
    setup = model.set_up(model.find("wan_outage"))
    ledger = (tmp_path / "run0" / "ledger.jsonl").read_bytes()
    note(benchmark, "wan_outage as a command", setup.scenario, ledger.count(b'\n["S"'))


def _with_signals(folder: Path, count: int) -> model.Setup:
    """The bottling line with `count` of its signals read by the bridge, those that change most, nothing going wrong."""
    file = folder / "calm.yaml"
    file.write_text("format: 1\nname: calm\ntitle: A calm shift\nduration_s: 1200\ndrain_s: 30\n")
    setup = model.set_up(file)
    document = setup.documents["site"]
    assets = [asset for cell in document["cells"].values() for asset in cell.values()]
    entries = [entry for asset in assets for entry in asset["metrics"].values()]
    entries.sort(
        key=lambda entry: entry["type"] in ("String", "UInt16")
    )  # these change once in minutes: last
    kept = [entry["node"] for entry in entries[:count]]
    assert len(kept) == count
    for asset in assets:
        asset["metrics"] = {name: e for name, e in asset["metrics"].items() if e["node"] in kept}
    for cell in document["cells"].values():
        for name in [name for name, asset in cell.items() if not asset["metrics"]]:
            del cell[name]
    document["cells"] = {name: cell for name, cell in document["cells"].items() if cell}
    return setup.model_copy(update={"site": Site.model_validate(document)})
