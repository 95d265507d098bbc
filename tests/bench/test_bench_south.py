"""What one value costs the south, beside asyncua's own client: decoding alone, and everything up to the journal.

The first ones are fed the same bytes, `VALUES` values in one PublishResponse: divide by VALUES. The last one has the
real server below it, and asyncua's iterator subscription beside the south.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from shakedown.bridge.core.model import Reading, Sample
from shakedown.bridge.journal.journal import Journal
from shakedown.bridge.south import decode
from shakedown.bridge.south.position import Item, Position
from shakedown.bridge.south.readings import take
from tests.bridge.south_rig import Rig, play

pytestmark = [pytest.mark.bench, pytest.mark.benchmark(timer=time.process_time)]

VALUES = 1000


def response() -> bytes:
    stamp = datetime(2026, 1, 5, 6, tzinfo=UTC)
    notification = ua.DataChangeNotification()
    notification.MonitoredItems = [
        ua.MonitoredItemNotification(
            handle, ua.DataValue(ua.Variant(20.5 + handle), SourceTimestamp=stamp, ServerTimestamp=stamp)
        )
        for handle in range(VALUES)
    ]
    publish = ua.PublishResponse()
    publish.Parameters.NotificationMessage.SequenceNumber = 1
    publish.Parameters.NotificationMessage.NotificationData = [notification]
    return struct_to_binary(publish)


RAW = response()


def test_decode_asyncua(benchmark: Any) -> None:
    answer = benchmark(lambda: struct_from_binary(ua.PublishResponse, Buffer(RAW)))
    assert len(answer.Parameters.NotificationMessage.NotificationData[0].MonitoredItems) == VALUES


def test_decode_ours(benchmark: Any) -> None:
    _, notification = benchmark(lambda: decode.publish_response(Buffer(RAW)))
    assert len(notification.values) == VALUES


def test_take(benchmark: Any) -> None:
    """From decoded values to readings and position."""
    _, notification = decode.publish_response(Buffer(RAW))
    items = tuple(Item(f"f.d/m{i}", f"ns=2;s=T{i}", i) for i in range(VALUES))
    position = Position(1, items=items)

    def to_readings() -> list[Reading]:
        readings: list[Reading] = []
        take(position.copy(), notification.values, readings, now_ticks=0, counters=Counter())
        return readings

    assert len(benchmark(to_readings)) == VALUES


def test_position_state(benchmark: Any) -> None:
    position = Position(1, items=tuple(Item(f"f.d/m{i}", f"ns=2;s=T{i}", i) for i in range(VALUES)))
    assert len(benchmark(position.state)) == 8 + VALUES * 17


def test_to_the_journal_ours(benchmark: Any, tmp_path: Path) -> None:
    """Bytes in, values durable on the disk: everything of the south but the socket."""
    items = tuple(Item(f"f.d/m{i}", f"ns=2;s=T{i}", i) for i in range(VALUES))
    with asyncio.Runner() as runner:
        journal = runner.run(Journal.open(tmp_path / "journal", targets=["enterprise"], rows_max=5_000_000))
        position = Position(1, items=items)

        async def receive() -> None:
            nonlocal position
            _, notification = decode.publish_response(Buffer(RAW))
            draft = position.copy()
            readings: list[Reading] = []
            take(draft, notification.values, readings, now_ticks=0, counters=Counter())
            await journal.append(
                [Sample(r.metric_id, r.source_ts_ns // 10**6, r.value) for r in readings],
                draft.entries("plc1", position),
            )
            position = draft

        benchmark(lambda: runner.run(receive()))
        assert journal.last_row % VALUES == 0
        runner.run(journal.close())


SCANS, TAGS = 100, 100


@pytest.mark.parametrize("client", ["none", "asyncua", "ours"])
def test_with_the_server(benchmark: Any, tmp_path: Path, client: str) -> None:
    """The twin's server, the network in memory and a client: 10,000 values. `none` is what the others stand on."""

    async def run_ours(rig: Rig) -> int:
        await rig.start_south()
        await asyncio.sleep(2)
        await scan(rig)
        await asyncio.sleep(2)
        await rig.stop_south()
        return len(rig.delivered)

    async def run_asyncua(rig: Rig) -> int:
        async def receive() -> int:
            count = 0
            async with Client(rig.config.endpoint) as opcua:
                subscription = await opcua.create_subscription(500, queue_maxsize=2 * SCANS * TAGS)
                async with subscription:
                    nodes = [opcua.get_node(metric.node_id) for metric in rig.metrics]
                    await subscription.subscribe_data_change(nodes, queuesize=1000)
                    async for _ in subscription:
                        count += 1
                        if count == (SCANS + 1) * TAGS:
                            break
            return count

        task = rig.network.host("bridge").spawn(receive())
        await asyncio.sleep(2)
        await scan(rig)
        return await task

    async def run_none(rig: Rig) -> int:
        await asyncio.sleep(2)
        await scan(rig)
        return (SCANS + 1) * TAGS

    async def scan(rig: Rig) -> None:
        for _ in range(SCANS):
            await rig.scan()
            await asyncio.sleep(0.1)

    scenario = {"none": run_none, "asyncua": run_asyncua, "ours": run_ours}[client]
    rounds = iter(range(1000))

    def once() -> int:
        folder = tmp_path / str(next(rounds))
        folder.mkdir()
        return play(folder, scenario, tags=TAGS)

    assert benchmark.pedantic(once, rounds=5, warmup_rounds=1) == (SCANS + 1) * TAGS
