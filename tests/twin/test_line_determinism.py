"""The same plant, seed and start give the same ledger, byte for byte; another seed gives another."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import simpy

from shakedown.bridge.yamlfile import read
from shakedown.twin.clock import drive, now_ns, run
from shakedown.twin.ledger import Ledger
from shakedown.twin.line import Line, Plant
from shakedown.twin.line.randomness import stream

BOTTLING = Path(__file__).parents[2] / "scenarios" / "plants" / "bottling" / "plant.yaml"

RUN = """
import sys, simpy
from shakedown.bridge.yamlfile import load
from shakedown.twin.clock import drive, now_ns, run
from shakedown.twin.ledger import Ledger
from shakedown.twin.line import Line, Plant
with Ledger(sys.argv[2], start_ns=0) as ledger:
    env = simpy.Environment()
    line = Line(load(sys.argv[1], Plant), env, 7, ledger)
    line.start()
    env.run(until=900_001)
"""


def _ledger(path: Path, seed: int, seconds: int = 900, **changes: object) -> bytes:
    document, _ = read(BOTTLING)
    env = simpy.Environment()
    with Ledger(path, start_ns=0) as ledger:
        Line(Plant.model_validate({**document, **changes}), env, seed, ledger).start()
        env.run(until=seconds * 1_000 + 1)
    return path.read_bytes()


def test_same_seed_same_bytes_and_another_seed_other_bytes(tmp_path: Path) -> None:
    first, again, other = (
        _ledger(tmp_path / name, seed) for name, seed in (("first", 7), ("again", 7), ("other", 8))
    )
    assert first == again
    assert first.count(b'"part"') > 3_000, "a line that stands still would prove nothing"
    assert first.splitlines()[1:] != other.splitlines()[1:]


def test_bytes_do_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    found = {hashlib.sha256(_ledger(tmp_path / "here", 7)).hexdigest()}
    for hash_seed in ("0", "4294967295"):
        path = tmp_path / hash_seed
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        subprocess.run([sys.executable, "-c", RUN, BOTTLING, path], env=environment, check=True)
        found.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(found) == 1


@pytest.mark.slow
def test_a_faster_scan_shows_the_same_machines_more_often(tmp_path: Path) -> None:
    """What is physical does not depend on who looks: parts, states and stops are equal at 1 Hz and at 10 Hz."""
    slow, fast = (
        [
            line
            for line in _ledger(tmp_path / str(scan_ms), 7, 600, scan_ms=scan_ms).splitlines()
            if b'["P"' in line
        ]
        for scan_ms in (1_000, 100)
    )
    assert slow == fast
    assert len(slow) > 2_000


def test_the_virtual_clock_gives_the_bytes_of_a_bare_environment(tmp_path: Path) -> None:
    """Stepped from the event loop, with a source timestamp that is the loop's own time."""
    document, _ = read(BOTTLING)
    plant = Plant.model_validate(document)
    late_ns: set[int] = set()

    async def driven() -> int:
        env = simpy.Environment()
        with Ledger(tmp_path / "driven", start_ns=now_ns()) as ledger:
            line = Line(plant, env, 7, ledger)
            line.on_scan = lambda source_ts_ns, _: late_ns.add(now_ns() - source_ts_ns)
            line.start()
            driver = asyncio.ensure_future(drive(env))
            await asyncio.sleep(300.0005)
            driver.cancel()
            await asyncio.wait([driver])
        return ledger.start_ns

    start_ns = run(driven())
    env = simpy.Environment()
    with Ledger(tmp_path / "bare", start_ns=start_ns) as ledger:
        Line(plant, env, 7, ledger).start()
        env.run(until=300_001)
    assert (tmp_path / "driven").read_bytes() == (tmp_path / "bare").read_bytes()
    assert all(abs(late) < 10_000 for late in late_ns), "a scan is late on the loop's clock"


def test_another_signal_changes_nothing_that_is_there_already(tmp_path: Path) -> None:
    document, _ = read(BOTTLING)
    added = {"tag": "X", "type": "Double", "range": [0, 1], "response": {"noise": 0.1, "resolution": 0.01}}
    document["signals"]["air_receiver"]["added"] = added
    before = _ledger(tmp_path / "before", 7, 300).splitlines()[1:-1]
    after = _ledger(tmp_path / "after", 7, 300, signals=document["signals"]).splitlines()[1:-1]
    assert before == [line for line in after if json.loads(line)[:1] + json.loads(line)[2:3] != ["S", 69]]
    assert len(after) > len(before)


def test_streams_are_told_apart_by_name_and_seed() -> None:
    def draws(seed: int, name: str) -> list[float]:
        return stream(seed, name).standard_normal(4).tolist()

    assert draws(1, "filler/cycle") == draws(1, "filler/cycle")
    assert draws(1, "filler/cycle") != draws(1, "filler/quality")
    assert draws(1, "filler/cycle") != draws(2, "filler/cycle")
    pairs = np.corrcoef(stream(1, "a").standard_normal(20_000), stream(1, "b").standard_normal(20_000))
    assert abs(pairs[0, 1]) < 4 / np.sqrt(20_000)


def test_a_stream_never_changes_between_versions() -> None:
    """Guards replays: these numbers may only change together with the ledger's format."""
    assert stream(0, "filler/cycle").integers(0, 1_000_000, 4).tolist() == [320083, 283743, 744862, 667818]


@pytest.mark.slow
def test_a_shift_with_every_upset_awake_is_the_same_again(tmp_path: Path) -> None:
    document, _ = read(BOTTLING)
    awake = {name: {**upset, "per_hour": 12} for name, upset in document["upsets"].items()}
    old = {"kind": "roll_over", "signals": ["packer.total"], "bits": 32, "left": 300}
    changes = {"upsets": {**awake, "packer_rolls_over": old}, "crew": False, "scan_ms": 2_000}
    first, again = (_ledger(tmp_path / name, 11, 3_600, **changes) for name in ("first", "again"))
    assert first == again
    rows = [json.loads(line) for line in first.splitlines()[1:]]
    disturbed = {row[4]["upset"] for row in rows if row[2] == "upset"}
    failed = {row[4]["mode"] for row in rows if row[2] == "fault"}
    assert disturbed == {upset["kind"] for upset in [*awake.values(), old]} - {"jam", "bearing_wear"}
    assert {"cap_jam", "turret_bearing", "main_trip"} <= failed
