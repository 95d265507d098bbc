"""The ledger on a real disk: its exact lines, its bound, and what happens when it cannot be written."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shakedown.twin.ledger import ROWS_MAX, Ledger, LedgerError, _explain
from shakedown.twin.line import Signal

START_NS = 1_767_592_800_000_000_000
SIGNAL = Signal(
    "FILLER.TT101.PV", "ns=2;s=FILLER.TT101.PV", "Double", "FAH", 32.0, 212.0, "filler", 1000, "Bowl"
)


def test_lines_are_those_of_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with Ledger(path, start_ns=START_NS) as ledger:
        ledger.header("bottling", 7, [SIGNAL])
        ledger.samples(START_NS, [(0, 68.25, 0), (1, True, 0), (2, "WATER", 0), (3, 41, 0)])
        ledger.event(START_NS + 5_000_000, "part", "filler", {"id": 1, "good": True})
        ledger.samples(START_NS + 1_000_000_000, [(0, None, 0x808C0000)])
    header, *lines = path.read_text().splitlines()
    assert json.loads(header) == {
        "kind": "header", "format": 1, "plant": "bottling", "seed": 7, "start_ns": START_NS,
        "signals": [{"tag": "FILLER.TT101.PV", "node_id": "ns=2;s=FILLER.TT101.PV", "machine": "filler",
                     "data_type": "Double", "unit": "FAH", "eu_low": 32.0, "eu_high": 212.0, "scan_ms": 1000}],
    }  # fmt: skip
    assert lines == [
        '["S",1767592800000000000,0,68.25,0]',
        '["S",1767592800000000000,1,true,0]',
        '["S",1767592800000000000,2,"WATER",0]',
        '["S",1767592800000000000,3,41,0]',
        '["P",1767592800005000000,"part","filler",{"id":1,"good":true}]',
        '["S",1767592801000000000,0,null,2156658688]',
        '["Z",1767592801000000000,{"samples":5,"events":1}]',
    ]


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-300, 123456789.123456789, 12.300000190734863, -40.0])
def test_values_come_back_bit_for_bit(tmp_path: Path, value: float) -> None:
    with Ledger(tmp_path / "l", start_ns=0) as ledger:
        ledger.samples(0, [(0, value, 0)])
    assert json.loads((tmp_path / "l").read_text().splitlines()[0])[3] == value


def test_start_is_cut_to_whole_milliseconds(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l", start_ns=START_NS + 999_999) as ledger:
        assert ledger.start_ns == START_NS


def test_buffer_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with Ledger(path, start_ns=0) as ledger:
        for scan in range(ROWS_MAX):
            ledger.samples(scan, [(0, scan, 0)])
            assert len(ledger._rows) < ROWS_MAX
        assert path.read_bytes().count(b"\n") == ROWS_MAX


def test_an_error_in_the_block_leaves_the_ledger_incomplete(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"

    def interrupted_run() -> None:
        with Ledger(path, start_ns=0) as ledger:
            ledger.samples(0, [(0, 1, 0)])
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        interrupted_run()
    assert path.read_text() == '["S",0,0,1,0]\n'


def test_closing_twice_writes_one_last_line_and_writing_after_it_is_refused(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l", start_ns=0)
    ledger.close()
    ledger.close()
    assert (tmp_path / "l").read_text() == '["Z",0,{"samples":0,"events":0}]\n'
    with pytest.raises(LedgerError, match="closed"):
        ledger.flush()


def test_a_file_that_exists_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text("evidence")
    with pytest.raises(LedgerError, match=r"ledger\.jsonl .*never overwritten; choose another run folder"):
        Ledger(path, start_ns=0)
    assert path.read_text() == "evidence"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"folder does not exist; create it"):
        Ledger(tmp_path / "no" / "ledger.jsonl", start_ns=0)


def test_a_full_disk_is_named() -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert _explain(Path("ledger.jsonl"), full) == (
        "Ledger ledger.jsonl cannot be written (No space left on device): the disk is full; free space there, or put "
        "the run folder on another disk."
    )


LIMITED = """
import resource, sys
from shakedown.twin.ledger import Ledger, LedgerError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
ledger = Ledger(sys.argv[1], start_ns=0)
try:
    for scan in range(100_000):
        ledger.samples(scan, [(0, scan, 0)])
except LedgerError as error:
    print(error)
ledger.close()
try:
    ledger.flush()
except LedgerError as error:
    print(error)
"""


def test_a_write_that_the_system_refuses_ends_the_ledger_as_a_prefix_of_the_truth(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    done = subprocess.run([sys.executable, "-c", LIMITED, path], capture_output=True, text=True, check=True)
    refused, closed = done.stdout.splitlines()
    assert "File too large" in refused
    assert "raise the limit" in refused
    assert "is closed" in closed
    whole = "".join(f'["S",{scan},0,{scan},0]\n' for scan in range(10_000))
    written = path.read_text()
    assert len(written) == 100_000
    assert whole.startswith(written)


def test_nan_and_infinity_stand_in_the_ledger(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.jsonl", start_ns=0) as ledger:
        ledger.header("plant", 1, [])
        ledger.samples(1_000_000, [(0, math.nan, 0), (1, 2.5, 0), (2, -math.inf, 0)])
    _, *rows, _ = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert [row[3] for row in rows[1:]] == [2.5, -math.inf]
    assert math.isnan(rows[0][3])
