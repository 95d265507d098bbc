"""The journal: durable rows, cursors, declared loss at the bound, and refusal to touch what is not its own."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sqlite3
from collections.abc import Callable, Coroutine
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shakedown.bridge.core.model import Metric, Sample
from shakedown.bridge.journal.errors import JournalError, JournalFull
from shakedown.bridge.journal.journal import Journal
from shakedown.bridge.journal.packing import BATCH_MAX
from shakedown.bridge.journal.store import DELETE_MAX
from shakedown.bridge.journal.tables import APPLICATION_ID
from shakedown.bridge.operations import TARGET
from shakedown.twin.clock import run


def samples(n: int, start: int = 0) -> list[Sample]:
    return [Sample(i % 7, 1_767_000_000_000 + i, float(i)) for i in range(start, start + n)]


def metrics(*names: str) -> list[Metric]:
    return [Metric(i, "filler.filler_1", name, 10) for i, name in enumerate(names)]


def play(
    path: Path,
    scenario: Callable[[Journal], Coroutine[Any, Any, Any]],
    *,
    clock: str = "wall",
    **options: Any,
) -> Any:
    """Open the journal, run the scenario, close it."""

    async def main() -> Any:
        journal = await Journal.open(
            path, **{"targets": ["enterprise", "site"], "rows_max": 1_000_000, **options}
        )
        try:
            return await scenario(journal)
        finally:
            await journal.close()

    return run(main(), clock=clock)


async def everything(journal: Journal, target: str = "enterprise", limit: int = 97) -> list[Sample]:
    found: list[Sample] = []
    row = journal.watermark(target)
    while rows := await journal.read(target, row, limit):
        found += [sample for _, sample in rows]
        row = rows[-1][0]
    return found


@pytest.mark.parametrize("clock", ["wall", "virtual"])
def test_rows_are_consecutive_and_survive_a_restart(tmp_path: Path, clock: str) -> None:
    async def write(journal: Journal) -> list[range]:
        return [
            await journal.append(samples(3)),
            await journal.append([]),
            await journal.append(samples(2, 3)),
        ]

    async def look(journal: Journal) -> tuple[int, list[tuple[int, Sample]]]:
        return journal.last_row, await journal.read("enterprise", 2, 10)

    assert play(tmp_path / "j", write, clock=clock) == [range(1, 4), range(4, 4), range(4, 6)]
    last_row, rows = play(tmp_path / "j", look, clock=clock)
    assert last_row == 5
    assert rows == list(zip(range(3, 6), samples(3, 2), strict=True))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -(2**63),
        2**63,
        2**64 - 1,
        1.0,
        -0.0,
        math.inf,
        5e-324,
        "",
        "größer\0",
        b"",
        b"\xff\0",
    ],
)
def test_values_come_back_as_they_were(tmp_path: Path, value: Any) -> None:
    sample = Sample(1, 5, value, 0, 0x8000_0000)

    async def scenario(journal: Journal) -> Any:
        await journal.append([sample])
        return await journal.read("site", 0, 1)

    assert repr(play(tmp_path / "j", scenario)) == repr([(1, sample)])


def test_not_a_number_comes_back(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> Any:
        await journal.append([Sample(1, 5, math.nan)])
        return await journal.read("site", 0, 1)

    assert math.isnan(play(tmp_path / "j", scenario)[0][1].value)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, "\ud800"])
def test_a_value_without_encoding_fails_its_own_append_only(tmp_path: Path, value: Any) -> None:
    async def scenario(journal: Journal) -> list[Any]:
        calls = [
            journal.append(samples(1)),
            journal.append([Sample(1, 5, value)]),
            journal.append(samples(1, 1)),
        ]
        results = await asyncio.gather(*calls, return_exceptions=True)
        return [*results, await everything(journal)]

    first, error, second, found = play(tmp_path / "j", scenario)
    assert (first, second, found) == (range(1, 2), range(2, 3), samples(2))
    assert isinstance(error, ValueError)


def test_appends_that_wait_are_committed_together(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> tuple[list[range], int]:
        commits = 0

        def count(statement: str) -> None:
            nonlocal commits
            commits += statement == "COMMIT"

        journal._connection.set_trace_callback(count)
        ranges = await asyncio.gather(*(journal.append(samples(2, 2 * i)) for i in range(50)))
        return ranges, commits

    ranges, commits = play(tmp_path / "j", scenario)
    assert [r.start for r in ranges] == list(range(1, 101, 2))
    assert commits <= 2


def test_a_cancelled_append_leaves_the_others_whole(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> list[Sample]:
        first = asyncio.create_task(journal.append(samples(1)))
        second = asyncio.create_task(journal.append(samples(1, 1)))
        third = asyncio.create_task(journal.append(samples(1, 2)))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([first, second, third])
        assert second.cancelled()
        assert third.result() == range(3, 4)
        return await everything(journal)

    assert play(tmp_path / "j", scenario) == samples(3)


def test_a_row_goes_when_every_target_has_it(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> list[int]:
        await journal.append(samples(10))
        await journal.confirm("enterprise", 6)
        first_for_site = (await journal.read("site", 0, 1))[0][0]
        await journal.confirm("site", 4)
        await journal.confirm("enterprise", 2)  # a cursor never goes back
        rows = [row for row, _ in await journal.read("site", 0, 100)]
        return [first_for_site, rows[0], journal.watermark("enterprise"), journal.watermark("site")]

    assert play(tmp_path / "j", scenario) == [1, 5, 6, 4]


def test_cursors_and_bd_seq_survive_a_restart(tmp_path: Path) -> None:
    async def first(journal: Journal) -> list[int]:
        await journal.append(samples(10))
        await journal.confirm("enterprise", 6)
        return [await journal.next_bd_seq("enterprise") for _ in range(255)]

    async def second(journal: Journal) -> list[int]:
        numbers = [await journal.next_bd_seq("enterprise") for _ in range(3)]
        return [*numbers, await journal.next_bd_seq("site"), journal.watermark("enterprise")]

    assert play(tmp_path / "j", first) == list(range(255))
    assert play(tmp_path / "j", second) == [255, 0, 1, 0, 6]


def test_what_a_caller_gets_wrong_is_named(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> None:
        with pytest.raises(ValueError, match=r"unknown target 'plant'.*enterprise"):
            journal.watermark("plant")
        with pytest.raises(ValueError, match="confirms row 1, the last one is 0"):
            await journal.confirm("site", 1)

    play(tmp_path / "j", scenario)


def test_position_is_stored_with_the_samples(tmp_path: Path) -> None:
    async def write(journal: Journal) -> None:
        await journal.append(samples(1), {"plc1": b"one", "plc2": b"x"})
        await journal.append(samples(1), {"plc1": b"two"})
        await journal.append([], {"plc3": b"alone"})

    async def look(journal: Journal) -> list[bytes | None]:
        return [journal.get(key) for key in ("plc1", "plc2", "plc3", "plc4")]

    play(tmp_path / "j", write)
    assert play(tmp_path / "j", look) == [b"two", b"x", b"alone", None]


def test_overflow_drops_the_oldest_and_says_so(tmp_path: Path) -> None:
    async def first(journal: Journal) -> tuple[int, list[Sample]]:
        await journal.append(samples(25))
        return journal.dropped, await everything(journal)

    async def second(journal: Journal) -> tuple[int, list[Sample]]:
        await journal.append(samples(5, 25))
        return journal.dropped, await everything(journal)

    assert play(tmp_path / "j", first, rows_max=20) == (2 * 5, samples(20, 5)), "5 for each of two targets"
    assert play(tmp_path / "j", second, rows_max=20) == (2 * 10, samples(20, 10))


def test_confirmed_rows_are_no_overflow(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> int:
        for start in range(0, 200, 10):
            last = (await journal.append(samples(10, start)))[-1]
            await journal.confirm("enterprise", last)
            await journal.confirm("site", last)
        return journal.dropped

    assert play(tmp_path / "j", scenario, rows_max=20) == 0


def test_space_is_used_again(tmp_path: Path) -> None:
    """Twenty times the bound is written; the file stays near what the bound needs."""
    path = tmp_path / "j"

    async def scenario(journal: Journal) -> int:
        peak = 0
        for start in range(0, 200_000, 1000):
            await journal.append(samples(1000, start))
            peak = max(peak, path.stat().st_size)
        return peak

    assert play(path, scenario, rows_max=10_000) < 30 * 10_000 * 2


def test_a_long_backlog_is_cleared_in_pieces(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> list[int]:
        for start in range(4 * DELETE_MAX):
            await journal.append(samples(1, start))
        counts = []
        for target in ("enterprise", "site"):
            await journal.confirm(target, journal.last_row)
        while True:
            counts.append(journal._connection.execute("SELECT count(*) FROM batch").fetchone()[0])
            if counts[-1] <= 1:
                return counts
            await journal.append([])

    counts = play(tmp_path / "j", scenario)
    assert max(a - b for a, b in pairwise(counts)) <= DELETE_MAX + 1
    assert len(counts) >= 4


def test_large_appends_are_split_and_read_in_any_piece(tmp_path: Path) -> None:
    n = 3 * BATCH_MAX + 7

    async def scenario(journal: Journal) -> list[list[Sample]]:
        await journal.append(samples(n))
        return [await everything(journal, limit=limit) for limit in (1_000_000, BATCH_MAX, 333)]

    assert play(tmp_path / "j", scenario) == [samples(n)] * 3


def test_rows_keep_their_metric_when_the_configuration_is_reordered(tmp_path: Path) -> None:
    async def write(journal: Journal) -> None:
        await journal.append([Sample(0, 1, 10.0), Sample(1, 2, 20.0), Sample(2, 3, 30.0)])

    async def look(journal: Journal) -> list[tuple[int, float]]:
        return [(row, s.metric_id, s.value) for row, s in await journal.read("site", 0, 10)]

    play(tmp_path / "j", write, metrics=metrics("level", "speed", "torque"))
    assert play(tmp_path / "j", look, metrics=metrics("new", "torque", "level")) == [
        (1, 2, 10.0),
        (3, 1, 30.0),
    ]
    assert play(tmp_path / "j", look, metrics=metrics("level", "speed", "torque")) == [
        (1, 0, 10.0),
        (2, 1, 20.0),
        (3, 2, 30.0),
    ]


def test_a_metric_that_is_not_configured_is_refused(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> None:
        with pytest.raises(ValueError, match=r"metric_id \[5\] is not in the configuration"):
            await journal.append([Sample(0, 1, 1.0), Sample(5, 1, 1.0)])

    play(tmp_path / "j", scenario, metrics=metrics("level"))


def test_a_target_that_comes_later_gets_what_is_there(tmp_path: Path) -> None:
    async def write(journal: Journal) -> None:
        await journal.append(samples(10))
        await journal.confirm("enterprise", 4)

    async def look(journal: Journal) -> tuple[int, list[Sample]]:
        return journal.watermark("site"), await everything(journal, "site")

    play(tmp_path / "j", write, targets=["enterprise"])
    assert play(tmp_path / "j", look) == (4, samples(6, 4))


# -- files that are not what they should be -----------------------------------------------------------------------


async def append_for_ever(journal: Journal) -> None:
    while True:
        rows = await journal.append(samples(100, journal.last_row))
        assert rows.stop - 1 == journal.last_row


async def nothing(journal: Journal) -> None:
    pass


def snapshot(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


@pytest.mark.parametrize("pragma", ["user_version = 99", f"application_id = {APPLICATION_ID + 7}"])
def test_a_foreign_file_is_refused_and_left_untouched(tmp_path: Path, pragma: str) -> None:
    path = tmp_path / "j"
    play(path, nothing)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA " + pragma)
    connection.close()
    before = snapshot(tmp_path)
    with pytest.raises(JournalError) as caught:
        play(path, nothing)
    assert str(path) in str(caught.value)
    assert caught.value.remedy
    assert snapshot(tmp_path) == before


def test_a_file_that_is_no_database_is_left_untouched(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_bytes(b"no database")
    with pytest.raises(JournalError, match=r"not a journal.*left untouched"):
        play(path, lambda journal: journal.append(samples(1)))
    assert path.read_bytes() == b"no database"
    assert [entry.name for entry in tmp_path.iterdir() if "corrupt" in entry.name] == []


def test_a_second_user_is_refused(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> None:
        await journal.append(samples(1))
        with pytest.raises(JournalError, match="in use by another process"):
            await Journal.open(tmp_path / "j", targets=["site"], rows_max=10)
        await journal.append(samples(1))  # the first one goes on

    play(tmp_path / "j", scenario)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="nowhere"):
        play(tmp_path / "nowhere" / "j", nothing)


def test_full_disk_loses_nothing_durable_and_heals(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> tuple[list[Sample], list[Sample], int]:
        pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
        journal._connection.execute(f"PRAGMA max_page_count = {pages + 10}")
        with pytest.raises(JournalFull, match="disk is full") as caught:
            await append_for_ever(journal)
        written = journal.last_row
        assert "Free space" in caught.value.remedy
        kept = await everything(journal)
        assert kept == samples(written)
        # Confirming works on a full disk, and makes room.
        await journal.confirm("enterprise", written)
        await journal.confirm("site", written)
        await journal.append(samples(100, written))
        return kept, await everything(journal), written

    kept, after, written = play(tmp_path / "j", scenario)
    assert after == samples(100, written)
    assert len(kept) == written > 0


def test_full_disk_keeps_the_position_of_what_is_durable(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> bytes | None:
        await journal.append(samples(1), {"plc1": b"before"})
        pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
        journal._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(JournalFull):
            await journal.append(samples(50_000), {"plc1": b"after"})
        return journal.get("plc1")

    async def look(journal: Journal) -> bytes | None:
        return journal.get("plc1")

    assert play(tmp_path / "j", scenario) == b"before"
    assert play(tmp_path / "j", look) == b"before"


FORMAT_1 = """
PRAGMA application_id = 0x53444A4C;
PRAGMA user_version = 1;
CREATE TABLE state (last_row INTEGER NOT NULL, dropped INTEGER NOT NULL, floor INTEGER NOT NULL);
INSERT INTO state VALUES (7, 0, 8);
CREATE TABLE target (name TEXT PRIMARY KEY, cursor INTEGER NOT NULL, bd_seq INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO target VALUES ('enterprise', 7, 3), ('derived', 5, 0);
CREATE TABLE metric (key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE position (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
INSERT INTO position VALUES ('plc1', 'there');
CREATE TABLE batch (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, samples BLOB NOT NULL);
"""
OUTBOX_1 = """
CREATE TABLE outbox (key TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
INSERT INTO outbox VALUES ('order/cell.a/hot', 'pending');
"""


@pytest.mark.parametrize("outbox", ["", OUTBOX_1])
def test_a_journal_of_format_1_goes_on_with_all_that_was_in_it(outbox: str, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "j")) as connection:
        connection.executescript(FORMAT_1 + outbox)

    async def look() -> None:
        for _ in range(2):
            journal = await Journal.open(tmp_path / "j", targets=["enterprise", TARGET], rows_max=1000)
            assert (journal.get("plc1"), journal.last_row) == ("there", 7)
            assert journal.entries("bridge/order/") == (
                {"bridge/order/cell.a/hot": "pending"} if outbox else {}
            )
            assert (journal.watermark("enterprise"), journal.watermark(TARGET)) == (7, 5)
            await journal.close()

    asyncio.run(look())
    assert (tmp_path / "j").read_bytes()[60:64] == (3).to_bytes(4), "an older bridge must refuse it"


FORMAT_2 = """
PRAGMA application_id = 0x53444A4C;
PRAGMA user_version = 2;
CREATE TABLE state (last_row INTEGER NOT NULL, dropped INTEGER NOT NULL, floor INTEGER NOT NULL);
INSERT INTO state VALUES (7, 11, 3);
CREATE TABLE target (name TEXT PRIMARY KEY, cursor INTEGER NOT NULL, bd_seq INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO target VALUES ('enterprise', 2, 3), ('site', 4, 255), ('gone', 1, 8);
CREATE TABLE metric (key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
INSERT INTO metric VALUES (1, 'filler.filler_1/speed'), (7, 'filler.filler_1/level');
CREATE TABLE entry (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
INSERT INTO entry VALUES ('plc1', x'00ff');
CREATE TABLE batch (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, samples BLOB NOT NULL);
"""


def test_a_journal_of_format_2_goes_on_without_loss(tmp_path: Path) -> None:
    """Its rows are read as they were written, new ones stand behind them."""
    old = [
        (7, 1_767_000_000_000 + n, value, 0 if n == 4 else 192, 0x8000_0000 if n == 4 else 0)
        for n, value in enumerate([1.5, True, None, "Running", math.inf, b"\0", 2**64 - 1])
    ]
    with contextlib.closing(sqlite3.connect(tmp_path / "j")) as connection:
        connection.executescript(FORMAT_2)
        for first, count in ((1, 5), (6, 2)):
            blob = msgspec.msgpack.encode(old[first - 1 : first - 1 + count])
            connection.execute("INSERT INTO batch VALUES (?, ?, ?)", (first, count, blob))
        connection.commit()

    async def look(journal: Journal) -> None:
        assert (journal.last_row, journal.dropped, journal.get("plc1")) == (7, 11, b"\0\xff")
        assert (journal.watermark("enterprise"), journal.watermark("site")) == (2, 4)
        assert await journal.read("enterprise", 0, 100) == [
            (row, Sample(0, *rest)) for row, (_, *rest) in enumerate(old, 1) if row > 2
        ]

    async def go_on(journal: Journal) -> None:
        assert await journal.next_bd_seq("site") == 255
        rows = await journal.append([Sample(1, 5, 1.0)], {"plc1": b"new"})
        assert (
            await journal.read("site", 7, 100) == [(8, Sample(1, 5, 1.0))] == [(rows[0], Sample(1, 5, 1.0))]
        )
        await journal.confirm("enterprise", 7)
        await journal.confirm("site", 7)

    model = metrics("level", "speed")
    for scenario in (look, look, go_on):
        play(tmp_path / "j", scenario, metrics=model)

    async def last(journal: Journal) -> None:
        assert await journal.read("enterprise", 0, 100) == [(8, Sample(1, 5, 1.0))]
        assert (await journal.next_bd_seq("enterprise"), await journal.next_bd_seq("site")) == (3, 0)

    play(tmp_path / "j", last, metrics=model)
    assert play(tmp_path / "j", lambda journal: journal.next_bd_seq("gone"), targets=["gone"]) == 8


# -- what is lost -------------------------------------------------------------------------------------------------


def spoil(path: Path, first: int, at: int) -> None:
    """Flip one bit of a batch, as a worn flash card does."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        [(blob,)] = connection.execute("SELECT samples FROM batch WHERE first = ?", (first,))
        blob = blob[:at] + bytes([blob[at] ^ 4]) + blob[at + 1 :]
        connection.execute("UPDATE batch SET samples = ? WHERE first = ?", (blob, first))


@pytest.mark.parametrize("at", [0, 1, 5, 20, -1])
def test_a_damaged_batch_is_set_aside_and_the_rest_goes_on(tmp_path: Path, at: int) -> None:
    async def write(journal: Journal) -> None:
        for start in (0, 10, 20):
            await journal.append(samples(10, start))
        await journal.confirm("enterprise", 14)

    async def look(journal: Journal) -> tuple[list[Sample], list[tuple[int, ...]], int, int]:
        found = await everything(journal, "site")
        lost = (journal.declared("enterprise"), journal.declared("site"))
        await journal.append(samples(1, 30))
        [count] = journal._connection.execute("SELECT count FROM poisoned").fetchone()
        return found, lost, journal.dropped, count

    path = tmp_path / "j"
    play(path, write)
    spoil(path, 11, at)
    assert play(path, look) == (samples(10) + samples(10, 20), (6, 10), 16, 10)
    assert play(path, everything) == samples(11, 20), "what was lost is behind it"


def test_a_damaged_entry_is_missing_and_the_rest_is_there(tmp_path: Path) -> None:
    async def write(journal: Journal) -> None:
        await journal.append([], {"a": b"one", "b": b"two"})

    async def look(journal: Journal) -> dict[str, bytes]:
        return journal.entries("")

    play(tmp_path / "j", write)
    with contextlib.closing(sqlite3.connect(tmp_path / "j", isolation_level=None)) as connection:
        connection.execute("UPDATE entry SET value = ? WHERE key = 'a'", (b"ore",))
    assert play(tmp_path / "j", look) == {"b": b"two"}


def test_what_a_target_would_rather_lose_goes_first(tmp_path: Path) -> None:
    """64 batches of 10 fill it; 30 more rows cost what is spare, in that order, and then the oldest."""

    async def scenario(journal: Journal) -> None:
        heard: list[tuple[Any, ...]] = []
        journal.on_dropped = lambda *loss: heard.append(loss)
        for start in range(0, 640, 10):
            await journal.append(samples(10, start))
        journal.spare("enterprise", [(305, 320), (101, 110)])
        await journal.append(samples(10, 640))
        await journal.append(samples(20, 650))
        assert heard == [
            ("enterprise", 311, 320, 1_767_000_000_310, 1_767_000_000_319),
            ("enterprise", 101, 110, 1_767_000_000_100, 1_767_000_000_109),
            ("enterprise", 1, 10, 1_767_000_000_000, 1_767_000_000_009),
        ]
        assert journal.dropped == 0, "nobody has declared it yet"
        assert journal.gone("enterprise") == ((1, 10), (101, 110), (311, 320))
        assert await journal.declare("enterprise", [(1, 300)]) == 20
        await journal.settle("enterprise", [(311, 315)])

    async def look(journal: Journal) -> None:
        assert (journal.dropped, journal.declared("enterprise")) == (20, 20)
        assert journal.gone("enterprise") == ((316, 320),)
        await journal.confirm("enterprise", 400)
        assert journal.gone("enterprise") == (), "they have arrived"
        assert await journal.declare("enterprise", [(1, 400)]) == 0

    play(tmp_path / "j", scenario, targets=["enterprise"], rows_max=640)
    play(tmp_path / "j", look, targets=["enterprise"], rows_max=640)


def test_a_batch_that_is_spare_for_two_reasons_goes_before_one_that_is_needed(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> list[int]:
        for start in range(0, 640, 10):
            await journal.append(samples(10, start))
        journal.spare("enterprise", [(301, 304), (305, 315)])
        await journal.append(samples(10, 640))
        return [row for row, _ in await journal.read("enterprise", 0, 1000)]

    rows = play(tmp_path / "j", scenario, targets=["enterprise"], rows_max=640)
    assert rows == [*range(1, 301), *range(311, 651)]


def test_what_one_target_spares_another_may_need(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> list[int]:
        for start in range(0, 640, 10):
            await journal.append(samples(10, start))
        journal.spare("enterprise", [(201, 300)])
        await journal.settle("site", [(241, 250)])
        await journal.append(samples(20, 640))
        return [row for row, _ in await journal.read("site", 0, 1000)]

    rows = play(tmp_path / "j", scenario, rows_max=640)
    assert rows == [*range(11, 241), *range(251, 661)], "one that nobody minds, then the oldest"


def test_rows_that_only_the_bridge_itself_holds_back_are_no_loss(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> int:
        for start in range(0, 200, 10):
            await journal.confirm("enterprise", (await journal.append(samples(10, start)))[-1])
        assert len(await journal.read(TARGET, 0, 1000)) == 20
        return journal.dropped

    assert play(tmp_path / "j", scenario, targets=["enterprise", TARGET], rows_max=20) == 0


def test_rows_beyond_the_cursor_that_have_arrived_make_room(tmp_path: Path) -> None:
    async def write(journal: Journal) -> None:
        for start in range(0, 100, 10):
            await journal.append(samples(10, start))
        for target in ("enterprise", "site"):
            await journal.settle(target, [(21, 45)])
        assert [row for row, _ in await journal.read("site", 0, 1000)] == [*range(1, 21), *range(41, 101)]

    async def look(journal: Journal) -> tuple[tuple[int, int], ...]:
        await journal.confirm("site", 23)
        return journal.settled("site")

    play(tmp_path / "j", write)
    assert play(tmp_path / "j", look) == ((24, 45),)


def test_entries_are_written_removed_and_found_by_their_prefix(tmp_path: Path) -> None:
    async def write(journal: Journal) -> dict[str, bytes]:
        await journal.append([], {"b/2": b"two", "b/1": b"one", "bb": b"other"})
        await journal.append(samples(1), {"b/3": b"three", "b/1": None, "absent": None})
        return journal.entries("b/")

    async def look(journal: Journal) -> dict[str, bytes]:
        return journal.entries("b/")

    assert play(tmp_path / "j", write) == play(tmp_path / "j", look) == {"b/2": b"two", "b/3": b"three"}
