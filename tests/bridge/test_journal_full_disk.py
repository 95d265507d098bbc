"""A disk that is really full: a small tmpfs of its own, with the journal on it and somebody else who takes the rest."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MOUNT = [
    "unshare",
    "--mount",
    "--map-root-user",
    "sh",
    "-c",
    'mount -t tmpfs -o size=13m none "$1" && shift && exec "$@"',
    "sh",
]

SCRIPT = """
import asyncio, os, sys
from pathlib import Path
from shakedown.bridge.core.model import Sample
from shakedown.bridge.journal.journal import Journal
from shakedown.bridge.journal.errors import JournalFull

folder = Path(sys.argv[1])

def samples(n, start):
    return [Sample(i % 7, i, i * 1.1) for i in range(start, start + n)]

def hog():
    # somebody else writes until nothing is left
    with (folder / "hog").open("ab", buffering=0) as file:
        try:
            while file.write(bytes(4096)) == 4096:
                pass
        except OSError:
            pass

async def opened():
    return await Journal.open(folder / "j", targets=["a"], rows_max=10**8)

async def refused(journal):
    try:
        await journal.append(samples(5000, journal.last_row), {"plc1": b"x"})
    except JournalFull as error:
        assert "Free space" in str(error)
        return True
    return False

async def fill():
    journal = await opened()
    while not await refused(journal):
        if journal.last_row == 50_000:
            hog()
    hog()  # also what the reserve has given back
    last = journal.last_row
    assert last >= 50_000
    # The WAN comes back: a session needs its number, its own notes and confirmations, and is in company of samples.
    for n in range(20):
        done = await asyncio.gather(
            journal.append(samples(5000, last)),
            journal.next_bd_seq("a"),
            journal.append([], {"bridge/note": b"%d" % n}),
            return_exceptions=True,
        )
        assert isinstance(done[0], JournalFull), done
        assert done[1:] == [n, range(last + 1, last + 1)], done
    assert len(await journal.read("a", 0, 1000)) == 1000
    print("filled", last, flush=True)
    os._exit(0)  # as after a kill

async def drain():
    journal = await opened()
    last = journal.last_row
    assert journal.get("bridge/note") == b"19"
    assert await journal.next_bd_seq("a") == 20
    row = 0
    while row < last:
        rows = await journal.read("a", row, 5000)
        assert [sample.ts_ms for _, sample in rows] == list(range(row, row + len(rows)))
        row = rows[-1][0]
        await journal.confirm("a", row)
    for _ in range(20):
        await journal.confirm("a", last)
        await journal.next_bd_seq("a")
    # What is free in the file is used again, on a disk that is as full as before.
    for _ in range(10):
        first = journal.last_row
        if not await refused(journal):
            assert journal.last_row == first + 5000
    assert journal.last_row >= last + 10_000
    await journal.close()
    (folder / "hog").unlink()
    journal = await opened()
    assert not await refused(journal)
    assert (folder / "j.reserve").stat().st_blocks * 512 >= 8 * 2**20
    await journal.close()
    print("drained", last)

asyncio.run(fill() if sys.argv[2] == "fill" else drain())
"""


def can_mount(folder: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*MOUNT, str(folder), "true"], capture_output=True, check=False).returncode == 0


def test_a_session_goes_on_while_the_disk_is_full(tmp_path: Path) -> None:
    """Filled, killed, started again, drained and used again, all without a byte more on the disk."""
    if not can_mount(tmp_path):
        pytest.skip("no unshare(1) that may mount a tmpfs: a full disk cannot be made")
    (tmp_path / "script.py").write_text(SCRIPT)
    disk = tmp_path / "disk"
    disk.mkdir()
    run = f'"{sys.executable}" "{tmp_path}/script.py" "{disk}"'
    done = subprocess.run(
        [*MOUNT, str(disk), "sh", "-c", f"{run} fill && {run} drain"],
        capture_output=True, text=True, timeout=120, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    filled, drained = done.stdout.split("\n")[:2]
    assert filled.split()[1] == drained.split()[1]
