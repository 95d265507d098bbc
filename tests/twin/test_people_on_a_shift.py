"""Line, CMMS, crew and auditor together: the machine waits for the hands, and the clipboard is near the truth."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import simpy
import yaml

from shakedown.twin.clock import drive, now_ns, run
from shakedown.twin.enterprise.cmms.export import write_log
from shakedown.twin.enterprise.cmms.server import Cmms
from shakedown.twin.enterprise.jsonl import JsonLines
from shakedown.twin.enterprise.people.auditor import AuditorParameters, audit_ledger
from shakedown.twin.enterprise.people.crew import Crew, CrewParameters
from shakedown.twin.ledger import Ledger
from shakedown.twin.line.line import Line
from shakedown.twin.line.plant import Plant
from shakedown.twin.network.memory import MemoryNetwork
from tests.twin.http_lab import ask, new_order

pytestmark = pytest.mark.slow

PLANT = Path(__file__).parents[2] / "scenarios/plants/bottling/plant.yaml"
PERFECT = AuditorParameters(missed=0, counted_twice=0, shortest_stop_s=0, watch_s=1e-9)
HOURS = 2.0
CALENDAR = [
    {
        "name": "early",
        "begins_s": 0,
        "lasts_s": 7_000,
        "breaks": [{"name": "tea", "begins_s": 3_000, "lasts_s": 600}],
    }
]


async def shift(folder: Path, seed: int) -> None:
    """Two hours of the bottling line; whoever stands at the alarm list writes an order for each fault that is open."""
    document = yaml.safe_load(PLANT.read_text()) | {"crew": True, "calendar": CALENDAR}
    with MemoryNetwork(seed=seed) as network:
        network.add_conduit("wan", ("site", "enterprise"), latency_ms=20)
        hosts = {
            name: network.add_host(name, zone) for name, zone in (("cmms", "enterprise"), ("shop", "site"))
        }
        cmms = Cmms("cmms", 8080, database=folder / "cmms.sqlite")
        await hosts["cmms"].spawn(cmms.start())
        log = JsonLines(folder / "people.jsonl")
        with Ledger(folder / "ledger.jsonl", start_ns=now_ns()) as ledger:
            env = simpy.Environment()
            line = Line(Plant.model_validate(document), env, seed, ledger)
            line.start()
            crew = Crew(
                "http://cmms:8080",
                seed=seed,
                log=log,
                open_faults=lambda: line.open_faults,
                repair=line.repair,
                parameters=CrewParameters(people=2),
            )
            running = [hosts["shop"].spawn(work) for work in (drive(env), crew.run(), write_orders(line))]
            await asyncio.sleep(HOURS * 3600)
            for task in running:
                assert not task.done()
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        audit_ledger(folder / "ledger.jsonl", log, seed)
        log.close(now_ns())
        await hosts["shop"].spawn(write_log("http://cmms:8080", folder / "cmms.jsonl"))
        await hosts["cmms"].spawn(cmms.stop())


async def write_orders(line: Line) -> None:
    told: set[str] = set()
    while True:
        for name, fault in line.open_faults.items():
            if fault.maintenance and name not in told:
                told.add(name)
                order = new_order(alarm=fault.alarms[0], equipment=fault.machine, occurrence=len(told))
                await ask(8080, "POST", "/work-orders", order, host="cmms", idempotency_key=name)
        await asyncio.sleep(5)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    made = [tmp_path_factory.mktemp(name) for name in ("a", "b")]
    for folder in made:
        run(shift(folder, 11), seed=11)
    return made


def rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_machine_stands_until_the_crew_has_repaired_it(folders: list[Path]) -> None:
    faults = [row for row in rows(folders[0] / "ledger.jsonl")[1:] if row[:1] == ["P"] and row[2] == "fault"]
    needy = {row[4]["id"] for row in faults if row[4]["maintenance"]}
    ended = {row[4]["id"]: row[1] for row in faults if row[4]["phase"] == "repaired"}
    repairs = {row[3]["fault"]: row for row in rows(folders[0] / "people.jsonl")[:-1] if row[2] == "repair"}
    assert len(repairs) >= 3
    assert set(repairs) == needy & set(ended)  # nobody else repaired one, and no repair was in vain
    for name, (_, ns, _, data) in repairs.items():
        assert ended[name] == pytest.approx(ns, abs=1e6)  # the line lives in milliseconds
        assert data["begun_ns"] < ns
    orders = {order["id"]: order for order in rows(folders[0] / "cmms.jsonl")[:-1]}
    for row in repairs.values():
        assert orders[row[3]["order"]]["state"] in ("in_progress", "completed", "closed")
    assert len(orders) == len(needy)


def test_the_clipboard_is_near_the_truth(folders: list[Path], tmp_path: Path) -> None:
    [told] = [row[3] for row in rows(folders[0] / "people.jsonl")[:-1] if row[2] == "audit"]
    log = JsonLines(tmp_path / "perfect.jsonl")
    [true] = audit_ledger(folders[0] / "ledger.jsonl", log, 0, PERFECT)
    log.cut()
    assert true["produced"] > 500
    assert told["produced"] == pytest.approx(true["produced"], rel=0.01)
    assert told["run_s"] == pytest.approx(true["run_s"], rel=0.1)
    assert 0 < told["stops"] < true["stops"]


def test_the_same_seed_gives_the_same_shift(folders: list[Path]) -> None:
    for name in ("people.jsonl", "cmms.jsonl", "ledger.jsonl"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name
