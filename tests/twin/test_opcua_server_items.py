"""Monitored items: filters, sampling, queues and monitoring mode (Part 4, 5.13 and 7.22)."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from asyncua import ua

from shakedown.twin.servers.encoding import INFO_OVERFLOW
from shakedown.twin.servers.limits import OpcUaLimits
from tests.twin.opcua_rig import Lab, Tag, contrast, data_values, on_both_servers, plain, play

ABSOLUTE, PERCENT = ua.DeadbandType.Absolute, ua.DeadbandType.Percent


def deadband(kind: ua.DeadbandType, value: float) -> ua.DataChangeFilter:
    return ua.DataChangeFilter(ua.DataChangeTrigger.StatusValue, kind, value)


async def ramp(lab: Lab, values: list[Any], **item: Any) -> list[Any]:
    """What is reported of a series of changes, the first before the item exists."""
    await lab.write(values[0])
    peer = await lab.connect()
    await peer.subscribe(50)
    await peer.monitor(0, **item)
    for value in values[1:]:
        await lab.write(value)
        await asyncio.sleep(0.1)
    return plain(await peer.drain())


@contrast(bare=[0.0], corrected=[0.0, 3.0, 6.0])
def test_absolute_deadband_is_taken_from_the_last_reported_value(kind: str, expected: list[float]) -> None:
    values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    assert play(kind, lambda lab: ramp(lab, values, mfilter=deadband(ABSOLUTE, 2.0))) == expected


@contrast(bare=[0.0, 10.0, 20.0, 21.0, 30.0], corrected=[0.0, 21.0])
def test_percent_deadband_is_taken_from_the_eu_range(kind: str, expected: list[float]) -> None:
    """10 % of 0..200: a change of more than 20."""
    values = [0.0, 10.0, 20.0, 21.0, 30.0]
    assert play(kind, lambda lab: ramp(lab, values, mfilter=deadband(PERCENT, 10.0))) == expected


def test_deadband_never_hides_a_status_or_a_nan() -> None:
    async def scenario(lab: Lab) -> list[tuple[Any, int]]:
        await lab.write(1.0)
        peer = await lab.connect()
        await peer.subscribe(50)
        await peer.monitor(0, mfilter=deadband(ABSOLUTE, 100.0))
        bad = ua.StatusCodes.BadSensorFailure
        for value, status in (
            (2.0, 0),
            (2.0, bad),
            (None, bad),
            (3.0, 0),
            (math.nan, 0),
            (math.nan, 0),
            (3.0, 0),
        ):
            await lab.write(value, status)
        return [(v.Value.Value, v.StatusCode.value) for v in await peer.drain()]

    bad = ua.StatusCodes.BadSensorFailure
    seen = play("corrected", scenario)
    assert str(seen) == str([(1.0, 0), (2.0, bad), (None, bad), (3.0, 0), (math.nan, 0), (3.0, 0)])


@pytest.mark.parametrize(
    ("mfilter", "code"),
    [
        (deadband(PERCENT, 101.0), "BadDeadbandFilterInvalid"),
        (deadband(ABSOLUTE, -1.0), "BadDeadbandFilterInvalid"),
        (deadband(ABSOLUTE, math.nan), "BadDeadbandFilterInvalid"),
        (deadband(3, 1.0), "BadMonitoredItemFilterUnsupported"),
        (ua.AggregateFilter(), "BadMonitoredItemFilterUnsupported"),
        (ua.EventFilter(), "BadFilterNotAllowed"),
    ],
)
def test_filter_that_the_server_does_not_have_is_refused(mfilter: Any, code: str) -> None:
    async def scenario(lab: Lab) -> str:
        peer = await lab.connect()
        await peer.subscribe()
        return (await peer.monitor(0, mfilter=mfilter))[0].StatusCode.name

    assert play("corrected", scenario) == code


@contrast(bare=["Good", "Good"], corrected=["BadMonitoredItemFilterUnsupported", "BadFilterNotAllowed"])
def test_deadband_is_refused_where_it_means_nothing(kind: str, expected: list[str]) -> None:
    """Percent without an EURange, and any deadband on a text."""
    tags = (Tag("T0", eu_low=None, eu_high=None), Tag("T1", "String", eu_low=None, eu_high=None))

    async def scenario(lab: Lab) -> list[str]:
        peer = await lab.connect()
        await peer.subscribe()
        percent = await peer.monitor(0, mfilter=deadband(PERCENT, 1.0))
        text = await peer.monitor(1, mfilter=deadband(ABSOLUTE, 1.0))
        return [percent[0].StatusCode.name, text[0].StatusCode.name]

    assert play(kind, scenario, tags=tags) == expected


async def overflow(lab: Lab, **item: Any) -> list[tuple[float, bool]]:
    """Six changes into a queue while nobody publishes: what is left, and which carries the Overflow bit."""
    await lab.write(0.0)
    peer = await lab.connect()
    await peer.subscribe()
    await peer.publish()  # the first message, so that the queue is not sent before it is full
    await peer.monitor(0, **item)
    await peer.drain()
    for value in range(1, 7):
        await lab.write(float(value))
    return [
        (v.Value.Value, v.StatusCode.value & INFO_OVERFLOW == INFO_OVERFLOW)
        for v in data_values(await peer.publish())
    ]


@contrast(
    bare=[(4.0, False), (5.0, False), (6.0, False)],
    corrected=[(4.0, True), (5.0, False), (6.0, False)],
)
def test_overflow_discards_the_oldest_and_says_so(kind: str, expected: list[tuple[float, bool]]) -> None:
    assert play(kind, lambda lab: overflow(lab, queue=3)) == expected


@contrast(
    bare=[(4.0, False), (5.0, False), (6.0, False)],
    corrected=[(1.0, False), (2.0, False), (6.0, True)],
)
def test_overflow_discards_the_newest_and_says_so(kind: str, expected: list[tuple[float, bool]]) -> None:
    assert play(kind, lambda lab: overflow(lab, queue=3, discard_oldest=False)) == expected


@contrast(bare=[(6.0, False)], corrected=[(6.0, False)])
def test_queue_of_one_is_a_buffer_without_overflow(kind: str, expected: list[tuple[float, bool]]) -> None:
    assert play(kind, lambda lab: overflow(lab, queue=1, discard_oldest=False)) == expected


@contrast(bare=[10_000, 7, 10_000], corrected=[1, 7, 10_000])
def test_queue_size_is_revised(kind: str, expected: list[int]) -> None:
    """0 asks for the default, which is 1 for data (7.21); what is too much becomes the server's maximum."""

    async def scenario(lab: Lab) -> list[int]:
        peer = await lab.connect()
        await peer.subscribe()
        return [(await peer.monitor(0, queue=size))[0].RevisedQueueSize for size in (0, 7, 1_000_000)]

    assert play(kind, scenario) == expected


def test_overflow_is_counted() -> None:
    async def scenario(lab: Lab) -> tuple[int, ...]:
        await overflow(lab, queue=3)
        counters = lab.server.counters
        return counters.offered, counters.queued, counters.overflowed, counters.sent

    assert play("corrected", scenario) == (7, 7, 3, 4)


@contrast(bare=(100.0, 31), corrected=(500.0, 7))
def test_sampling_interval_is_honoured(kind: str, expected: tuple[float, int]) -> None:
    """30 changes at 10 Hz, sampled every 500 ms: the value at each sampling instant, and the first one."""

    async def scenario(lab: Lab) -> tuple[float, int]:
        await lab.write(0.0)
        peer = await lab.connect()
        await peer.subscribe(100)
        revised = (await peer.monitor(0, sampling_ms=450))[0].RevisedSamplingInterval
        for value in range(1, 31):
            await asyncio.sleep(0.1)
            await lab.write(float(value))
        values = plain(await peer.drain())
        if kind == "corrected":
            assert values == [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0]
        return revised, len(values)

    assert play(kind, scenario) == expected


@pytest.mark.parametrize(("asked_ms", "revised_ms"), [(0, 100), (1, 100), (100, 100), (101, 200), (-1, 300)])
def test_sampling_at_the_scan_or_faster_takes_every_change(asked_ms: float, revised_ms: float) -> None:
    """A jitter of the scan must not lose one: the server samples with the scan, not beside it."""

    async def scenario(lab: Lab) -> tuple[float, list[float]]:
        await lab.write(0.0)
        peer = await lab.connect()
        await peer.subscribe(250)
        revised = (await peer.monitor(0, sampling_ms=asked_ms))[0].RevisedSamplingInterval
        for value in range(1, 10):
            await asyncio.sleep(0.06 if value % 2 else 0.14)
            await lab.write(float(value))
        return revised, plain(await peer.drain())

    revised, values = play("corrected", scenario)
    assert revised == revised_ms
    if revised_ms == 100:
        assert values == [float(n) for n in range(10)]
    assert values[-1] == 9.0


def test_last_value_before_a_silence_is_sampled() -> None:
    """A change between two sampling instants is reported at the next one, although nothing changes any more."""

    async def scenario(lab: Lab) -> list[float]:
        await lab.write(0.0)
        peer = await lab.connect()
        await peer.subscribe(100, keep_alive=100)
        await peer.monitor(0, sampling_ms=1000)
        await peer.publish()
        await lab.write(1.0)
        await lab.write(2.0)
        return plain(data_values(await peer.publish()))

    assert play("corrected", scenario) == [2.0]


@contrast(bare=[10], corrected=[4, 4, 2])
def test_max_notifications_per_publish(kind: str, expected: list[int]) -> None:
    async def scenario(lab: Lab) -> list[int]:
        await lab.write(0.0)
        peer = await lab.connect()
        await peer.subscribe(per_publish=4)
        await peer.monitor(0)
        await peer.publish()
        for value in range(10):
            await lab.write(float(value + 1))
        sizes, more, seen = [], True, []
        while more:
            result = await peer.publish()
            seen += plain(data_values(result))
            sizes.append(len(data_values(result)))
            more = result.MoreNotifications
        assert seen == [float(n) for n in range(1, 11)]
        return sizes

    assert play(kind, scenario) == expected


@contrast(bare=[[1.0, 2.0], []], corrected=[[], [1.0, 2.0]])
def test_sampling_mode_queues_and_reporting_mode_sends(kind: str, expected: list[list[float]]) -> None:
    async def scenario(lab: Lab) -> list[list[float]]:
        await lab.write(1.0)
        peer = await lab.connect()
        await peer.subscribe()
        item = (await peer.monitor(0, mode=ua.MonitoringMode.Sampling))[0].MonitoredItemId
        await lab.write(2.0)
        while_sampling = plain(await peer.drain())
        request = ua.SetMonitoringModeRequest()
        request.Parameters = ua.SetMonitoringModeParameters(
            peer.subscription_id, ua.MonitoringMode.Reporting, [item]
        )
        await peer.request(request, ua.SetMonitoringModeResponse)
        return [while_sampling, plain(await peer.drain())]

    assert play(kind, scenario) == expected


@contrast(bare=3, corrected=2)
def test_nan_after_nan_is_no_change(kind: str, expected: int) -> None:
    async def scenario(lab: Lab) -> int:
        await lab.write(1.0)
        peer = await lab.connect()
        await peer.subscribe()
        await peer.monitor(0)
        await lab.write(math.nan)
        await lab.write(math.nan)
        return len(await peer.drain())

    assert play(kind, scenario) == expected


@on_both_servers
def test_bad_status_and_source_timestamp_arrive_as_given(kind: str) -> None:
    async def scenario(lab: Lab) -> tuple[Any, ...]:
        await lab.write(1.0)
        peer = await lab.connect()
        await peer.subscribe()
        await peer.monitor(0)
        await peer.drain()
        await lab.server.publish(1_700_000_000_123_456_000, [(0, None, ua.StatusCodes.BadNoCommunication)])
        value = (await peer.drain())[0]
        return value.StatusCode.name, value.Value, value.SourceTimestamp.timestamp()

    status, value, stamp = play(kind, scenario)
    assert (status, stamp) == ("BadNoCommunication", 1_700_000_000.123456)
    assert value is None or value.Value is None


@contrast(bare=False, corrected=True)
def test_server_timestamp_is_set(kind: str, expected: bool) -> None:
    async def scenario(lab: Lab) -> bool:
        await lab.write(1.0)
        peer = await lab.connect()
        await peer.subscribe()
        await peer.monitor(0)
        return data_values(await peer.publish())[0].ServerTimestamp is not None

    assert play(kind, scenario) is expected


@on_both_servers
def test_one_unknown_node_leaves_the_others_monitored(kind: str) -> None:
    tags = tuple(Tag(f"T{i}") for i in range(50))

    async def scenario(lab: Lab) -> tuple[list[str], int]:
        peer = await lab.connect()
        await peer.subscribe()
        await peer.publish()
        names = [tag.node_id for tag in tags]
        names[17] = "ns=2;s=GONE"
        results = await peer.monitor(node_ids=names)
        values = await peer.drain()
        return [r.StatusCode.name for r in results if not r.StatusCode.is_good()], len(values)

    assert play(kind, scenario, tags=tags) == (["BadNodeIdUnknown"], 49)


@contrast(bare=["Good", "Good"], corrected=["BadTooManyOperations", "BadNothingToDo"])
def test_items_per_call_are_limited(kind: str, expected: list[str]) -> None:
    async def scenario(lab: Lab) -> list[str]:
        peer = await lab.connect()
        await peer.subscribe()
        codes = []
        for count in (11, 0):
            request = ua.CreateMonitoredItemsRequest()
            request.Parameters.SubscriptionId = peer.subscription_id
            item = ua.MonitoredItemCreateRequest(ua.ReadValueId(ua.NodeId("T0", 2), ua.AttributeIds.Value))
            request.Parameters.ItemsToCreate = [item] * count
            try:
                await peer.request(request, ua.CreateMonitoredItemsResponse)
                codes.append("Good")
            except ua.UaStatusCodeError as error:
                codes.append(ua.StatusCode(error.code).name)
        return codes

    assert play(kind, scenario, limits=OpcUaLimits(operations_per_call=10)) == expected


@contrast(bare="BadInternalError", corrected="BadMonitoredItemIdInvalid")
def test_modifying_an_unknown_item_is_an_item_error(kind: str, expected: str) -> None:
    async def scenario(lab: Lab) -> str:
        peer = await lab.connect()
        await peer.subscribe()
        await peer.monitor(0)
        request = ua.ModifyMonitoredItemsRequest()
        request.Parameters.SubscriptionId = peer.subscription_id
        request.Parameters.ItemsToModify = [ua.MonitoredItemModifyRequest(4711)]
        try:
            answer = await peer.request(request, ua.ModifyMonitoredItemsResponse)
        except ua.UaStatusCodeError as error:
            return ua.StatusCode(error.code).name
        return answer.Results[0].StatusCode.name

    assert play(kind, scenario) == expected


def test_modified_item_keeps_what_still_fits() -> None:
    async def scenario(lab: Lab) -> tuple[int, list[tuple[float, bool]]]:
        await lab.write(0.0)
        peer = await lab.connect()
        await peer.subscribe()
        item = (await peer.monitor(0))[0].MonitoredItemId
        await peer.drain()
        for value in range(1, 7):
            await lab.write(float(value))
        request = ua.ModifyMonitoredItemsRequest()
        request.Parameters.SubscriptionId = peer.subscription_id
        request.Parameters.ItemsToModify = [
            ua.MonitoredItemModifyRequest(item, ua.MonitoringParameters(9, 0.0, None, 2, True))
        ]
        result = (await peer.request(request, ua.ModifyMonitoredItemsResponse)).Results[0]
        values = data_values(await peer.publish())
        return result.RevisedQueueSize, [
            (v.Value.Value, bool(v.StatusCode.value & INFO_OVERFLOW)) for v in values
        ]

    assert play("corrected", scenario) == (2, [(5.0, True), (6.0, False)])
