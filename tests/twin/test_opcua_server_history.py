"""HistoryRead of raw values: ranges, directions, pages, and what is refused (Part 11, 6.5.3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st

from shakedown.twin.servers.history import Continuation, read_raw
from shakedown.twin.servers.limits import OpcUaLimits
from shakedown.twin.servers.monitored_item import Sample
from tests.twin.opcua_rig import Lab, Peer, code_of, plain, play

START = datetime(2026, 1, 5, tzinfo=UTC)
START_NS = int(START.timestamp()) * 10**9
SECOND = 10**9


def sample(ticks: int, value: float) -> Sample:
    return Sample(value, 0, ticks, b"")


stamps = st.lists(st.integers(0, 9), max_size=30)
bound = st.none() | st.integers(-1, 10)


@given(stamps, bound, bound, st.integers(1, 7))
def test_pages_together_are_the_whole(
    ticks: list[int], start: int | None, end: int | None, page: int
) -> None:
    """Nothing is lost or repeated at a page's end, however many values share a source timestamp."""
    samples = [sample(t, float(n)) for n, t in enumerate(ticks)]
    whole, more = read_raw(samples, start, end, len(samples) + 1, None)
    assert more is None
    paged: list[Sample] = []
    after: Continuation | None = None
    for _ in range(len(samples) + 1):
        part, after = read_raw(samples, start, end, page, after)
        paged += part
        if after is None:
            break
        after = Continuation.decode(after.encode())
    assert [s.value for s in paged] == [s.value for s in whole]


async def history(
    peer: Peer, start_s: float | None, end_s: float | None, count: int = 0, node: str = "T0"
) -> tuple[list[float], list[int]]:
    """All pages of a raw read: the values, and the sizes of the pages."""
    moment = [ua.get_win_epoch() if s is None else START + timedelta(seconds=s) for s in (start_s, end_s)]
    details = ua.ReadRawModifiedDetails(False, moment[0], moment[1], count, False)
    values: list[float] = []
    pages: list[int] = []
    point = None
    while True:
        request = ua.HistoryReadParameters(details, ua.TimestampsToReturn.Both, False, [])
        request.NodesToRead = [ua.HistoryReadValueId(ua.NodeId(node, 2), ContinuationPoint=point)]
        result = (await peer.session.history_read(request))[0]
        result.StatusCode.check()
        page = result.HistoryData.DataValues
        values += plain(page)
        pages.append(len(page))
        point = result.ContinuationPoint
        if not point:
            return values, pages


async def fill(lab: Lab) -> Peer:
    for number in range(10):
        await lab.server.publish(START_NS + number * SECOND, [(0, float(number), 0)])
    return await lab.connect()


@pytest.mark.parametrize(
    ("start_s", "end_s", "count", "values", "pages"),
    [
        (2, 5, 0, [2.0, 3.0, 4.0, 5.0], [4]),
        (5, 2, 0, [5.0, 4.0, 3.0, 2.0], [4]),
        (7, None, 5, [7.0, 8.0, 9.0], [3]),
        (None, 2, 5, [2.0, 1.0, 0.0], [3]),
        (0, 9, 4, [float(n) for n in range(10)], [4, 4, 2]),
        (0, 9, 0, [float(n) for n in range(10)], [6, 4]),
        (100, 200, 0, [], [0]),
    ],
)
def test_raw_read(
    start_s: float | None, end_s: float | None, count: int, values: list[float], pages: list[int]
) -> None:
    async def scenario(lab: Lab) -> tuple[list[float], list[int]]:
        return await history(await fill(lab), start_s, end_s, count)

    assert play("corrected", scenario, limits=OpcUaLimits(history_values_per_read=6)) == (values, pages)


def test_status_and_timestamps_are_kept() -> None:
    async def scenario(lab: Lab) -> list[tuple[str, datetime]]:
        await lab.server.publish(START_NS, [(0, None, ua.StatusCodes.BadNoCommunication)])
        await lab.server.publish(START_NS, [(0, 2.0, 0)])
        peer = await lab.connect()
        values = await peer.client.get_node("ns=2;s=T0").read_raw_history(START, START + timedelta(1))
        return [(v.StatusCode.name, v.SourceTimestamp) for v in values]

    assert play("corrected", scenario) == [("BadNoCommunication", START), ("Good", START)]


def test_oldest_is_discarded_at_the_bound() -> None:
    async def scenario(lab: Lab) -> list[float]:
        return (await history(await fill(lab), 0, 9))[0]

    assert play("corrected", scenario, limits=OpcUaLimits(history_values_per_node=3)) == [7.0, 8.0, 9.0]


def test_what_cannot_be_read_is_refused() -> None:
    async def scenario(lab: Lab) -> list[str]:
        peer = await fill(lab)
        forged = ua.HistoryReadValueId(ua.NodeId("T0", 2), ContinuationPoint=b"nonsense")
        details = ua.ReadRawModifiedDetails(False, START, START + timedelta(1), 0, False)
        answer = await peer.session.history_read(
            ua.HistoryReadParameters(details, ua.TimestampsToReturn.Both, False, [forged])
        )
        return [
            await code_of(history(peer, 0, 9, node="GONE")),
            await code_of(history(peer, 0, 9, node="/line1")),
            await code_of(history(peer, None, None, 5)),
            await code_of(history(peer, 0, None, 0)),
            answer[0].StatusCode.name,
        ]

    assert play("corrected", scenario) == [
        "BadNodeIdUnknown",
        "BadHistoryOperationUnsupported",
        "BadInvalidArgument",
        "BadInvalidArgument",
        "BadContinuationPointInvalid",
    ]
