"""Journals that a disk has damaged: what can be read is saved, the rest declared, and the bridge goes on."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from shakedown.bridge.core.model import Metric, Sample
from shakedown.bridge.journal.errors import JournalDamaged, JournalError
from shakedown.bridge.journal.journal import Journal
from tests.bridge.test_journal import FORMAT_2

METRICS = [Metric(i, "filler.filler_1", f"signal_{i}", 10) for i in range(7)]
ROWS = 30_000
CONFIRMED = 1234


def sample(row: int) -> Sample:
    return Sample(row % 7, 1_767_000_000_000 + row, row * 1.1, 0 if row % 1000 == 0 else 192)


def opened(path: Path) -> Journal:
    return asyncio.run(Journal.open(path, targets=["enterprise"], rows_max=10**6, metrics=METRICS))


async def write(path: Path) -> None:
    journal = await Journal.open(path, targets=["enterprise"], rows_max=10**6, metrics=METRICS)
    for first in range(1, ROWS, 300):
        await journal.append([sample(row) for row in range(first, first + 300)], {"plc1": b"%d" % first})
    await journal.append([], {"bridge/forwarding/enterprise": b"acknowledged"})
    await journal.next_bd_seq("enterprise")
    await journal.confirm("enterprise", CONFIRMED)
    await journal.close()


async def look(path: Path) -> tuple[list[tuple[int, Sample]], int]:
    """What is there, and how many rows are declared lost; the journal goes on where it was."""
    journal = await Journal.open(path, targets=["enterprise"], rows_max=10**6, metrics=METRICS)
    try:
        rows = await journal.read("enterprise", 0, 10**6)
        last = journal.last_row
        assert (await journal.append([sample(last + 1)]))[0] == last + 1
        return [row for row in rows if row[0] > CONFIRMED], journal.declared("enterprise")
    finally:
        await journal.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "j"
    asyncio.run(write(path))
    return path


def leaves(path: Path) -> Iterator[int]:
    """Where in the file the leaf pages of the batches begin (SQLite file format, 1.6)."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        [(root,)] = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'batch'")
    content = path.read_bytes()
    page = content[4096 * (root - 1) : 4096 * root]
    for cell in range(int.from_bytes(page[3:5])):
        at = int.from_bytes(page[12 + 2 * cell : 14 + 2 * cell])
        yield 4096 * (int.from_bytes(page[at : at + 4]) - 1)


@pytest.mark.parametrize("place", [0, 5, -1])
def test_of_a_corrupt_journal_the_rest_is_saved(whole: Path, tmp_path: Path, place: int) -> None:
    """A page of the batches is overwritten: its rows are declared lost, to the row."""
    path = tmp_path / "j"
    content = bytearray(whole.read_bytes())
    at = list(leaves(whole))[place]
    content[at : at + 4096] = bytes(4096)
    path.write_bytes(content)
    rows, lost = asyncio.run(look(path))
    assert 0 < lost < 10_000
    assert len(rows) + lost == ROWS - CONFIRMED
    assert all(found == sample(row) for row, found in rows)
    assert (tmp_path / "j.corrupt-1").read_bytes() == content

    async def go_on() -> None:
        journal = await Journal.open(path, targets=["enterprise"], rows_max=10**6, metrics=METRICS)
        assert (journal.get("plc1"), journal.watermark("enterprise")) == (b"%d" % (ROWS - 299), CONFIRMED)
        assert (journal.last_row, journal.dropped) == (ROWS + 1, lost)
        assert await journal.next_bd_seq("enterprise") == 1
        await journal.close()

    asyncio.run(go_on())


def test_a_corrupt_journal_of_format_2_is_saved_too(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(FORMAT_2)
        connection.execute("DELETE FROM target WHERE name != 'enterprise'")
        connection.execute("UPDATE state SET last_row = 30000, floor = 3, dropped = 11")
        names = [(number + 1, f"filler.filler_1/signal_{number}") for number in range(7)]
        connection.execute("DELETE FROM metric")
        connection.executemany("INSERT INTO metric VALUES (?, ?)", names)
        for first in range(1, ROWS, 300):
            rows = [(sample(row).metric_id + 1, *sample(row)[1:]) for row in range(first, first + 300)]
            blob = msgspec.msgpack.encode(rows)
            connection.execute("INSERT INTO batch VALUES (?, ?, ?)", (first, len(rows), blob))
        connection.commit()
    content = bytearray(path.read_bytes())
    at = list(leaves(path))[3]
    content[at : at + 4096] = bytes(4096)
    path.write_bytes(content)

    async def read() -> None:
        journal = await Journal.open(path, targets=["enterprise"], rows_max=10**6, metrics=METRICS)
        rows = await journal.read("enterprise", 0, 10**6)
        assert all(found == sample(row) for row, found in rows)
        assert journal.dropped == 11 + journal.declared("enterprise") > 11
        assert len(rows) + journal.declared("enterprise") == ROWS - 2
        assert (journal.get("plc1"), await journal.next_bd_seq("enterprise")) == (b"\0\xff", 3)
        await journal.close()

    asyncio.run(read())


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_of_a_journal_that_was_cut_short_the_rest_is_saved(whole: Path, tmp_path: Path, share: float) -> None:
    content = whole.read_bytes()
    path = tmp_path / "j"
    path.write_bytes(content[: round(share * len(content))])
    rows, lost = asyncio.run(look(path))
    assert lost > 0
    assert len(rows) + lost == ROWS - CONFIRMED
    assert all(found == sample(row) for row, found in rows)


@pytest.mark.parametrize("seed", range(4))
def test_one_flipped_bit_is_never_another_value(whole: Path, tmp_path: Path, seed: int) -> None:
    """Wherever it is: the journal opens, what is read was written, what is not there is declared."""
    draw = random.Random(seed)
    content = whole.read_bytes()
    for number in range(20):
        path = tmp_path / f"j{number}"
        # The state is on page 2, which is one of a hundred: what it says is known to the tests that aim at it.
        at = draw.randrange(2 * 4096, len(content))
        spoilt = bytearray(content)
        spoilt[at] ^= 1 << draw.randrange(8)
        path.write_bytes(spoilt)
        rows, lost = asyncio.run(look(path))
        assert all(found == sample(row) for row, found in rows), at
        assert [row for row, _ in rows] == sorted({row for row, _ in rows}), at
        assert len(rows) + lost == ROWS - CONFIRMED, at


@pytest.mark.parametrize("seed", range(4))
def test_one_flipped_bit_of_the_first_page_costs_nothing(whole: Path, tmp_path: Path, seed: int) -> None:
    """Unless it is that of the version: then the file may be of a later bridge, and is left alone."""
    draw = random.Random(seed)
    content = whole.read_bytes()
    for number in range(20):
        path = tmp_path / f"j{number}"
        at = draw.choice([*range(60), *range(64, 100), *range(100, 4096, 50)])
        spoilt = bytearray(content)
        spoilt[at] ^= 1 << draw.randrange(8)
        path.write_bytes(spoilt)
        rows, lost = asyncio.run(look(path))
        assert (len(rows), lost) == (ROWS - CONFIRMED, 0), at
        assert all(found == sample(row) for row, found in rows), at


def test_an_older_version_over_the_tables_of_this_one_is_a_flipped_bit(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "j"
    content = bytearray(whole.read_bytes())
    content[63] = 2
    path.write_bytes(content)
    rows, lost = asyncio.run(look(path))
    assert (len(rows), lost) == (ROWS - CONFIRMED, 0)


def test_a_state_that_is_damaged_is_made_from_the_rows(
    whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "j"
    shutil.copy(whole, path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE state SET last_row = last_row + 4096")
    journal = opened(path)
    assert journal.entries("").keys() == {"plc1"}, (
        "row numbers may be used again: what was known of them is void"
    )
    asyncio.run(journal.close())
    rows, lost = asyncio.run(look(path))
    assert [row for row, _ in rows] == list(range(CONFIRMED + 1, ROWS + 1))
    assert lost == 0
    assert "perhaps more" in caplog.text


def test_a_cursor_that_is_damaged_confirms_nothing(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "j"
    shutil.copy(whole, path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE target SET cursor = cursor + 16384")
    rows, _ = asyncio.run(look(path))
    assert [row for row, _ in rows] == list(range(CONFIRMED + 1, ROWS + 1))


def test_rows_whose_metric_has_lost_its_name_are_lost(whole: Path, tmp_path: Path) -> None:
    """Never given to another metric."""
    path = tmp_path / "j"
    shutil.copy(whole, path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE metric SET name = 'filler.filler_1/signal_z' WHERE key = 3")
    assert asyncio.run(look(path)) == ([], ROWS - CONFIRMED)


def test_a_write_ahead_log_without_its_journal_is_not_joined_to_a_new_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "j"

    async def write_some() -> None:
        journal = await Journal.open(path, targets=["enterprise"], rows_max=1000)
        await journal.append([sample(row) for row in range(100)])
        shutil.copy(f"{path}-wal", tmp_path / "kept")  # as a crash leaves it
        await journal.close()

    asyncio.run(write_some())
    path.unlink()
    shutil.move(tmp_path / "kept", f"{path}-wal")
    log = Path(f"{path}-wal").read_bytes()

    async def begin() -> None:
        journal = await Journal.open(path, targets=["enterprise"], rows_max=1000)
        assert (journal.last_row, await journal.read("enterprise", 0, 1000)) == (0, [])
        await journal.close()

    asyncio.run(begin())
    assert (tmp_path / "j.corrupt-1-wal").read_bytes() == log
    assert "write-ahead log was moved" in caplog.text


def test_damage_while_it_runs_is_no_error_that_another_try_mends(whole: Path, tmp_path: Path) -> None:
    """The bridge ends with it, and not as with a wrong configuration; the next start saves what can be read."""
    path = tmp_path / "j"
    shutil.copy(whole, path)
    at = list(leaves(whole))[5]

    async def main() -> None:
        journal = await Journal.open(path, targets=["enterprise"], rows_max=10**6, metrics=METRICS)
        with path.open("r+b") as file:
            file.seek(at)
            file.write(bytes(4096))
        journal._connection.execute("PRAGMA cache_size = 0")
        with pytest.raises(JournalDamaged, match="Start again"):
            await journal.read("enterprise", 0, 10**6)
        await journal.close()
        assert not issubclass(JournalDamaged, JournalError)

    asyncio.run(main())
    rows, lost = asyncio.run(look(path))
    assert len(rows) + lost == ROWS - CONFIRMED
