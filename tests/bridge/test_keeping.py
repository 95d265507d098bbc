"""The forwarding and a real journal at its bound: what was delivered is not declared, and what is declared is lost."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from shakedown.bridge.core.datatypes import DOUBLE
from shakedown.bridge.core.forwarding import NS, Forwarding, ForwardingConfig
from shakedown.bridge.core.model import Metric, Sample
from shakedown.bridge.journal.journal import Journal
from shakedown.bridge.north.keeping import Keeper

METRICS = (Metric(0, "cell.a", "temperature", DOUBLE, "plc1"),)
POLICY = ForwardingConfig(retention_s=20.0)
LOG = logging.getLogger("shakedown.bridge")


class Rig:
    """A journal of 64 rows, so that each row is a batch of its own, with one target."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.keeper = Keeper("enterprise", POLICY, journal, Forwarding, LOG)
        self.forwarding = self.keeper.forwarding
        journal.on_dropped = lambda name, *span: self.keeper.dropped(*span)

    @classmethod
    async def open(cls, folder: Path) -> Rig:
        path = folder / "journal"
        return cls(await Journal.open(path, targets=["enterprise"], rows_max=64, metrics=METRICS))

    async def append(self, count: int, *, live: bool) -> None:
        after = self.journal.last_row
        rows = await self.journal.append([Sample(0, 1000 * (after + n), 0.5) for n in range(1, count + 1)])
        self.forwarding.journaled(rows[0], rows[-1])
        if live:
            self.forwarding.live(rows[0], rows[-1])

    async def acked(self, now_s: int) -> None:
        self.forwarding.is_unsaved = False
        barrier = self.forwarding.barrier(now_s * NS)
        assert barrier is not None
        self.forwarding.barrier_acked(barrier.token, now_s * NS)
        await self.keeper.keep()


def at_the_bound(folder: Path, case) -> None:
    """40 rows were sent and acknowledged, 40 more never sent: 16 of the first are not in the journal any more."""

    async def main() -> None:
        rig = await Rig.open(folder)
        rig.forwarding.host(1, is_live=False)
        rig.forwarding.opened(0, can_tell=True)
        await rig.append(40, live=True)
        await rig.acked(1)
        await rig.append(40, live=False)
        await rig.keeper.keep()
        assert rig.journal.gone("enterprise") == ((1, 16),)
        assert rig.journal.dropped == 0
        await case(rig)

    asyncio.run(main())


def test_what_was_delivered_and_dropped_is_not_declared(tmp_path: Path) -> None:
    async def case(rig: Rig) -> None:
        await rig.acked(22)
        assert rig.journal.watermark("enterprise") == 40
        assert rig.journal.dropped == 0
        assert rig.journal.gone("enterprise") == ()
        await rig.journal.close()

    at_the_bound(tmp_path, case)


def test_what_was_dropped_is_declared_once_doubt_falls_on_it(tmp_path: Path, caplog) -> None:
    async def case(rig: Rig) -> None:
        rig.forwarding.host(2, is_live=True)
        await rig.keeper.keep()
        assert rig.journal.declared("enterprise") == 16
        assert rig.journal.watermark("enterprise") == 16
        assert rig.forwarding.backlog == 64
        assert "16 rows are lost (1970-01-01 00:00:01 to 1970-01-01 00:00:16)" in caplog.text
        await rig.journal.close()

    at_the_bound(tmp_path, case)


@pytest.mark.parametrize("is_saved", [True, False])
def test_a_next_process_knows_what_was_acknowledged_before_it_was_dropped(
    tmp_path: Path, is_saved: bool
) -> None:
    async def case(rig: Rig) -> None:
        if is_saved:
            await rig.keeper.save()
        await rig.journal.close()
        after = await Rig.open(tmp_path)
        await after.keeper.keep()
        assert after.journal.dropped == (0 if is_saved else 16)
        assert after.forwarding.backlog == (40 if is_saved else 64)
        await after.journal.close()

    at_the_bound(tmp_path, case)


def test_rows_that_have_arrived_make_room_beyond_the_watermark(tmp_path: Path) -> None:
    async def main() -> None:
        rig = await Rig.open(tmp_path)
        await rig.append(10, live=False)
        rig.forwarding.opened(0, can_tell=True)
        await rig.append(50, live=True)
        await rig.acked(1)
        await rig.acked(22)
        assert rig.journal.settled("enterprise") == ((11, 60),)
        await rig.append(40, live=False)
        await rig.keeper.keep()
        assert rig.journal.gone("enterprise") == ()
        assert rig.forwarding.backlog == 50
        await rig.journal.close()

    asyncio.run(main())
