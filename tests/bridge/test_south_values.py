"""Values, items, namespaces and security as servers really have them: nothing crashes, nothing is silent."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

from shakedown.bridge.core.model import Reading
from shakedown.bridge.journal.errors import JournalFull
from shakedown.bridge.south.decode import TICKS_1970, TICKS_MAX, DataValue, Malformed
from shakedown.bridge.south.position import GAP, Item, Position
from shakedown.bridge.south.readings import take
from shakedown.bridge.south.services import Server, node_id_of
from shakedown.twin.servers.limits import OpcUaLimits
from shakedown.twin.servers.opcua import OpcUaServer
from tests.bridge.south_rig import Rig, Tag, metric, play

NOW = TICKS_1970 + 10**17


def taken(
    *values: DataValue, position: Position | None = None
) -> tuple[list[Reading], Counter[str], Position]:
    position = position or Position(items=tuple(Item(f"d/m{i}", f"ns=2;s=T{i}", 10 + i) for i in range(3)))
    readings: list[Reading] = []
    counters: Counter[str] = Counter()
    take(position, values, readings, now_ticks=NOW, counters=counters)
    return readings, counters, position


@pytest.mark.parametrize(
    ("source", "server", "expected", "counted"),
    [
        (TICKS_1970 + 50, NOW, TICKS_1970 + 50, {}),  # a clock without battery: kept as it is
        (0, NOW - 5, NOW - 5, {"no_source_timestamp": 1}),
        (TICKS_1970 - 1, NOW - 5, NOW - 5, {"no_source_timestamp": 1}),
        (TICKS_MAX, NOW - 5, NOW - 5, {"no_source_timestamp": 1}),
        (-5, 0, NOW, {"no_source_timestamp": 1, "no_timestamp": 1}),
        (2**63 - 1, 2**63 - 1, NOW, {"no_source_timestamp": 1, "no_timestamp": 1}),
    ],
)
def test_time_of_a_value(source: int, server: int, expected: int, counted: dict[str, int]) -> None:
    readings, counters, _ = taken(DataValue(1, 1.0, 0, source, server))
    assert readings == [Reading(11, (expected - TICKS_1970) * 100, 1.0, 0)]
    assert dict(counters) == counted


def test_status_and_strange_values_are_handed_on() -> None:
    readings, _, _ = taken(
        DataValue(0, None, 0x8031_0000, NOW, NOW),
        DataValue(0, math.nan, 0, NOW, NOW),
        DataValue(0, None, 0, NOW, NOW),
        DataValue(0, "text", 0x4090_0000, NOW, NOW),
        DataValue(0, 1.0, 0x0480, NOW, NOW),  # Good with the Overflow bit is Good
    )
    assert [r.status for r in readings] == [0x8031_0000, 0, 0, 0x4090_0000, 0]
    assert [repr(r.value) for r in readings] == ["None", "nan", "None", "'text'", "1.0"]


def test_a_handle_that_was_never_given_out_is_malformed() -> None:
    with pytest.raises(Malformed, match="client handle 3 of 3"):
        taken(DataValue(3, 1.0, 0, NOW, NOW))


def test_the_value_that_a_new_subscription_begins_with_is_no_reading_when_it_is_known() -> None:
    readings, _, position = taken(DataValue(0, 1.0, 0, NOW, NOW))
    position.gap[0] = GAP
    again, counters, _ = taken(DataValue(0, 1.0, 0, NOW, NOW), position=position)
    assert (len(readings), again, counters["already_known"]) == (1, [], 1)
    once_more, _, _ = taken(DataValue(0, 1.0, 0, NOW, NOW), position=position)
    assert len(once_more) == 1  # without a gap the server means it


@pytest.mark.parametrize("other", [DataValue(0, 2.0, 0, NOW, NOW), DataValue(0, 1.0, 0x8031_0000, NOW, NOW)])
def test_another_value_with_the_same_time_is_a_reading(other: DataValue) -> None:
    _, _, position = taken(DataValue(0, 1.0, 0, NOW, NOW))
    position.gap[0] = GAP
    readings, _, position = taken(other, position=position)
    assert len(readings) == 1
    assert position.same[0] == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ns=2;s=A", "ns=3;s=A"),
        ("ns=1;i=7", "ns=1;i=7"),
        ("i=2258", "i=2258"),
        ("ns=3;s=A", ua.StatusCodes.BadNodeIdUnknown),  # its namespace is gone
        ("ns=9;s=A", ua.StatusCodes.BadNodeIdUnknown),
        ("rubbish", ua.StatusCodes.BadNodeIdInvalid),
    ],
)
def test_node_ids_follow_their_namespace(text: str, expected: Any) -> None:
    recorded, today = ("ua", "urn:x", "urn:plant", "urn:old"), ("ua", "urn:x", "urn:new", "urn:plant")
    found = node_id_of(text, recorded, Server(today, 100))
    assert (found.to_string() if isinstance(found, ua.NodeId) else found) == expected


# -- against the server -------------------------------------------------------------------------------------------


def test_one_item_that_is_refused_takes_no_other_down(tmp_path: Path) -> None:
    named = [
        metric(0, "T0"),
        metric(1, "NOPE"),
        metric(2, "T1"),
        replace(metric(3, "T2"), node_id="no node id"),
    ]

    async def scenario(rig: Rig) -> Any:
        rig.start_line()
        await rig.start_south()
        await asyncio.sleep(40)
        await rig.settle()
        await rig.stop_south()
        refused = [(d["metric"], d["status"]) for kind, d in rig.events if kind == "item_refused"]
        bad = [(r.metric_id, r.value, r.status) for r in rig.delivered if r.status]
        return refused, bad, Counter(r.metric_id for r in rig.delivered if not r.status)

    refused, bad, good = play(tmp_path, scenario, metrics=named)
    assert refused == [
        ("filler.filler_1/nope", "BadNodeIdUnknown"),
        ("filler.filler_1/t2", "BadNodeIdInvalid"),
    ]
    assert bad == [(1, None, ua.StatusCodes.BadNodeIdUnknown), (3, None, ua.StatusCodes.BadNodeIdInvalid)]
    assert good[0] == good[2] > 390
    assert set(good) == {0, 2}


def test_an_item_that_appears_later_is_found(tmp_path: Path) -> None:
    """The PLC is loaded anew: after its server came back there is one tag more."""

    async def scenario(rig: Rig) -> Any:
        await rig.start_south()
        await asyncio.sleep(5)
        assert {r.metric_id for r in rig.delivered if not r.status} == {0, 1}
        await rig.server.stop()
        rig.server = OpcUaServer(
            rig.server.host, rig.server.port, [Tag(f"T{i}") for i in range(3)], endpoint_name="line1"
        )
        await rig.network.host("plc").spawn(rig.server.start())
        await rig.scan()
        await asyncio.sleep(30)
        await rig.stop_south()
        return {r.metric_id for r in rig.delivered if not r.status}

    assert play(tmp_path, scenario, tags=2, metrics=[metric(i, f"T{i}") for i in range(3)]) == {0, 1, 2}


def test_limits_of_the_server_are_kept(tmp_path: Path) -> None:
    limits = OpcUaLimits(operations_per_call=2, publish_requests_per_session=2, notifications_per_publish=3)

    async def scenario(rig: Rig) -> Any:
        rig.start_line()
        await rig.start_south()
        await asyncio.sleep(10)
        await rig.settle()
        differences = await rig.differences()
        await rig.stop_south()
        return differences, rig.south.counters["items_refused"]

    assert play(tmp_path, scenario, tags=7, limits=limits) == (([], []), 0)


def test_strange_values_pass_through_the_whole_south(tmp_path: Path) -> None:
    strange = [
        (math.nan, 0),
        (None, 0x8031_0000),
        (None, 0),
        (math.inf, 0),
        (-0.0, 0x4090_0000),
        (1e308, 0x8000_0000),
    ]

    async def scenario(rig: Rig) -> list[tuple[str, int]]:
        await rig.start_south()
        await asyncio.sleep(3)
        rig.delivered.clear()
        for value, status in strange:
            await rig.server.publish(time.time_ns(), [(0, value, status)])
            await asyncio.sleep(0.2)
        for number, stamp_ns in enumerate((0, 10**9, -(10**18), 2**62)):  # 1970 twice, 1938, 2116
            await rig.server.publish(stamp_ns, [(0, float(number), 0)])
            await asyncio.sleep(0.2)
        await asyncio.sleep(3)
        await rig.stop_south()
        return [(repr(r.value), r.status) for r in rig.delivered]

    expected = [(repr(value), status) for value, status in strange] + [
        (f"{number}.0", 0) for number in range(4)
    ]
    assert play(tmp_path, scenario, tags=1) == expected


def test_a_full_journal_is_offered_the_same_again_and_nothing_is_acknowledged(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> Any:
        refusals = 0

        def refuse() -> None:
            nonlocal refusals
            if 5 < asyncio.get_running_loop().time() - began < 30:
                refusals += 1
                raise JournalFull("disk is full", rig.path, "Free space.")

        began = asyncio.get_running_loop().time()
        rig.before_append = refuse
        rig.start_line()
        await rig.start_south()
        await asyncio.sleep(40)
        await rig.settle()
        differences = await rig.differences()
        counters = rig.south.counters
        await rig.stop_south()
        return differences, refusals, counters["journal_refusals"], counters["connects"]

    differences, refusals, counted, connects = play(tmp_path, scenario, queue_size=5000)
    assert differences == ([], [])
    assert refusals == counted > 20
    assert connects == 1
