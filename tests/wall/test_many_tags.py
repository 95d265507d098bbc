"""Many tags over an absence: the bridge killed where the server refuses to hand a subscription over, and a cut."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.wall.tag_plant import DEVICES, Plant, plant

pytestmark = [pytest.mark.wall, pytest.mark.timeout(400)]

PATIENCE_S = 120
AWAY_S = 5


async def restarted(rig: Plant) -> tuple[float, float, float]:
    """Seconds until every tag is live, that were missed, and until nothing is missing."""
    await rig.start_bridge()
    await rig.until(lambda: rig.is_live(1), PATIENCE_S)
    seen = rig.newest.min() + 5 * rig.per_s
    await rig.until(lambda: rig.is_live(seen), PATIENCE_S)
    await rig.kill_bridge()
    killed_s, _ = time.monotonic(), rig.kinds.clear()
    await asyncio.sleep(AWAY_S)
    away = rig.newest.max() + AWAY_S * rig.per_s
    began_s = time.monotonic()
    await rig.start_bridge()
    live_s = await rig.until(lambda: rig.is_live(away), PATIENCE_S)
    missed_s = time.monotonic() - killed_s
    await rig.until(lambda: rig.missing() == 0, PATIENCE_S)
    return live_s, missed_s, time.monotonic() - began_s


def hold_births(rig: Plant) -> None:
    assert rig.kinds["NBIRTH"] <= 3
    assert rig.kinds["DBIRTH"] <= 3 * DEVICES
    assert rig.kinds["DDEATH"] == 0
    assert rig.gaps("declared") == 0


@pytest.mark.slow
def test_a_restart_is_no_birth_storm_and_loses_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with plant(tmp_path, 1000) as rig:
            await restarted(rig)
            hold_births(rig)

    asyncio.run(main())


@pytest.mark.long
def test_ten_thousand_tags_restarted(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    """Live after at most twice what a bare client needs; the backlog within three times what was missed."""

    async def main() -> tuple[float, float, float, float]:
        async with plant(tmp_path, 10_000) as rig:
            bare_s = await rig.bare_client_s()
            figures = await restarted(rig)
            hold_births(rig)
            return bare_s, *figures

    bare_s, live_s, missed_s, drained_s = asyncio.run(main())
    print(
        f"bare client {bare_s:.1f} s, live {live_s:.1f} s, missed {missed_s:.1f} s, drained {drained_s:.1f} s"
    )
    assert live_s <= 2 * bare_s
    assert drained_s <= 3 * missed_s


@pytest.mark.long
def test_a_cut_longer_than_the_queues_is_filled_once(tmp_path: Path) -> None:
    """20 s with room for 20 s: what overflows does so once for each node, and not again while it is filled."""

    async def main() -> tuple[int, int]:
        async with plant(tmp_path, 2000, per_s=5, queue_size=100) as rig:
            await rig.start_bridge()
            await rig.until(lambda: rig.is_live(20), PATIENCE_S)
            await rig.line.disable()
            await asyncio.sleep(20)
            seen = rig.newest.max() + 120
            await rig.line.enable()
            await rig.until(lambda: rig.is_live(seen), PATIENCE_S)
            await rig.until(lambda: rig.missing() == 0, PATIENCE_S)
            return rig.gaps("filled"), rig.gaps("declared")

    filled, declared = asyncio.run(main())
    assert (filled <= 2000, declared) == (True, 0)
