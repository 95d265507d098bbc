"""Outages between the server and the bridge: nothing is lost, nothing comes twice, what is missing is declared."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import ServiceError

from shakedown.bridge.south.backfill import Backfill
from shakedown.twin.servers.history import Continuation, RawHistory
from shakedown.twin.servers.limits import OpcUaLimits
from tests.bridge.south_rig import Rig, metric, play

Fault = Callable[[Rig], Awaitable[None]]


async def reset(rig: Rig) -> None:
    await rig.cell.reset()
    await asyncio.sleep(5)


async def blackhole(rig: Rig) -> None:
    await rig.cell.blackhole()
    await asyncio.sleep(25)
    await rig.cell.heal()
    await asyncio.sleep(10)


async def blackhole_up(rig: Rig) -> None:
    """The server hears nothing, the bridge still does."""
    await rig.cell.blackhole("up")
    await asyncio.sleep(25)
    await rig.cell.heal()
    await asyncio.sleep(10)


async def blackhole_down(rig: Rig) -> None:
    """The server hears everything, its answers vanish."""
    await rig.cell.blackhole("down")
    await asyncio.sleep(25)
    await rig.cell.heal()
    await asyncio.sleep(10)


async def stall(rig: Rig) -> None:
    await rig.cell.stall()
    await asyncio.sleep(20)
    await rig.cell.heal()
    await asyncio.sleep(10)


async def short_stall(rig: Rig) -> None:
    """Shorter than the watchdog: the connection goes on."""
    await rig.cell.stall()
    await asyncio.sleep(3)
    await rig.cell.heal()
    await asyncio.sleep(10)


async def down(rig: Rig) -> None:
    await rig.cell.down()
    await asyncio.sleep(60)
    await rig.cell.heal()
    await asyncio.sleep(10)


async def flapping(rig: Rig) -> None:
    for _ in range(5):
        await rig.cell.down()
        await asyncio.sleep(1.3)
        await rig.cell.heal()
        await asyncio.sleep(1.7)
    await asyncio.sleep(10)


async def restarted_bridge(rig: Rig) -> None:
    await rig.stop_south()
    await asyncio.sleep(20)
    await rig.start_south()
    await asyncio.sleep(10)


async def killed_bridge(rig: Rig) -> None:
    await rig.kill_south()
    await asyncio.sleep(20)
    await rig.start_south()
    await asyncio.sleep(10)


async def killed_bridge_during_a_cut(rig: Rig) -> None:
    await rig.cell.blackhole()
    await asyncio.sleep(7.3)
    await rig.kill_south()
    await rig.cell.heal()
    await asyncio.sleep(5)
    await rig.start_south()
    await asyncio.sleep(10)


async def crashed_server(rig: Rig) -> None:
    """Sessions and subscriptions are gone; the PLC goes on, and its history with it."""
    await rig.server.crash()
    await asyncio.sleep(12)
    await rig.network.host("plc").spawn(rig.server.start())
    await asyncio.sleep(20)


async def unplugged_server(rig: Rig) -> None:
    """It dies without a word: no FIN, no RST."""
    rig.network.host("plc").unplug()
    await rig.server.crash()
    await asyncio.sleep(12)
    rig.network.host("plc").plug()
    await rig.network.host("plc").spawn(rig.server.start())
    await asyncio.sleep(20)


async def lifetime_over(rig: Rig) -> None:
    """The cut outlasts session and subscription."""
    await rig.cell.down()
    await asyncio.sleep(300)
    await rig.cell.heal()
    await asyncio.sleep(20)


FAULTS: list[Fault] = [
    reset, blackhole, blackhole_up, blackhole_down, stall, short_stall, down, flapping, restarted_bridge,
    killed_bridge, killed_bridge_during_a_cut, crashed_server, unplugged_server, lifetime_over,
]  # fmt: skip


def outage(*faults: Fault) -> Callable[[Rig], Any]:
    async def scenario(rig: Rig) -> tuple[list[Any], list[Any], bool, int, int]:
        rig.start_line()
        await rig.start_south()
        await asyncio.sleep(10.05)
        for fault in faults:
            await fault(rig)
        await rig.settle()
        missing, surplus = await rig.differences()
        count = len(await rig.journalled())
        in_order = await rig.in_order()
        declared = sum(details["declared"] for kind, details in rig.events if kind == "gap")
        await rig.stop_south()
        return missing, surplus, in_order, declared, count

    return scenario


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_nothing_is_lost_or_repeated(tmp_path: Path, fault: Fault) -> None:
    missing, surplus, in_order, declared, count = play(tmp_path, outage(fault), queue_size=5000)
    assert (missing, surplus, in_order, declared) == ([], [], True, 0)
    assert count > 300


@pytest.mark.slow
@pytest.mark.parametrize("second", FAULTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("first", [blackhole, killed_bridge, crashed_server], ids=lambda f: f.__name__)
def test_second_outages_do_not_break_what_first_ones_do_not(
    tmp_path: Path, first: Fault, second: Fault
) -> None:
    result = play(tmp_path, outage(first, second), queue_size=5000, seed=1)
    assert result[:4] == ([], [], True, 0)


def test_a_cut_is_bridged_by_republish_and_not_by_history(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> dict[str, int]:
        await outage(blackhole_down)(rig)
        return dict(rig.south.counters)

    counters = play(tmp_path, scenario)
    assert counters["republished"] >= 1
    assert counters["subscriptions"] == 1
    assert counters["resumed"] == 1
    assert "history_reads" not in counters


def test_a_restarted_bridge_takes_its_subscription_over(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> tuple[int, int, int]:
        await outage(killed_bridge)(rig)
        return (
            rig.south.counters["subscriptions"],
            rig.south.counters["resumed"],
            rig.server.counters.subscriptions,
        )

    assert play(tmp_path, scenario) == (0, 1, 1)


def test_a_restarted_server_is_filled_from_its_history(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> dict[str, int]:
        await outage(crashed_server)(rig)
        return dict(rig.south.counters)

    counters = play(tmp_path, scenario)
    assert counters["subscriptions"] == 2
    assert counters["gaps_filled"] == 3
    assert counters["values_recovered"] >= 3 * 100


def test_a_queue_that_overflows_is_filled_from_history(tmp_path: Path) -> None:
    """25 s without a connection at ten values a second, and room for 20."""

    async def scenario(rig: Rig) -> tuple[Any, dict[str, int]]:
        result = await outage(blackhole)(rig)
        return result, dict(rig.south.counters)

    (missing, surplus, in_order, declared, _), counters = play(tmp_path, scenario, queue_size=20)
    assert (missing, surplus, in_order, declared) == ([], [], True, 0)
    assert counters["overflows"] >= 3
    assert counters["gaps_filled"] >= 3


def test_what_history_no_longer_has_is_declared(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> tuple[Any, list[str]]:
        result = await outage(blackhole)(rig)
        reasons = [reason for kind, d in rig.events if kind == "gap" for reason in d["reasons"]]
        return result, reasons

    limits = OpcUaLimits(history_values_per_node=50)
    (missing, surplus, in_order, declared, _), reasons = play(
        tmp_path, scenario, queue_size=20, limits=limits
    )
    assert missing
    assert (surplus, in_order) == ([], True)
    assert declared == 3
    assert set(reasons) == {"history does not reach back far enough"}


def test_messages_that_cannot_be_had_again_are_declared_and_filled(tmp_path: Path) -> None:
    """The server keeps one message for retransmission, the cut swallows four."""
    limits = OpcUaLimits(retransmission_messages=1)

    async def scenario(rig: Rig) -> tuple[Any, int]:
        result = await outage(blackhole_down)(rig)
        return result, rig.south.counters["messages_lost"]

    (missing, surplus, _, declared, _), lost = play(tmp_path, scenario, limits=limits)
    assert lost >= 1
    assert (missing, surplus, declared) == ([], [], 0)


def slow_history(patch: pytest.MonkeyPatch, each_s: float) -> list[int]:
    """Have each HistoryRead take so long, and what follows it wait; returns how many nodes each one asked for."""
    asked: list[int] = []
    read = RawHistory.read_history

    async def later(self: RawHistory, params: ua.HistoryReadParameters) -> list[ua.HistoryReadResult]:
        asked.append(len(params.NodesToRead))
        await asyncio.sleep(each_s)
        return await read(self, params)

    patch.setattr(RawHistory, "read_history", later)
    return asked


def test_live_values_do_not_wait_for_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six values an answer, one answer in 0.4 s: while that goes on, each tag has more values than come back."""

    async def scenario(rig: Rig) -> tuple[list[int], Any]:
        slow_history(monkeypatch, 0.4)
        rig.start_line()
        await rig.start_south()
        await asyncio.sleep(5)
        await rig.server.crash()
        await asyncio.sleep(3)
        await rig.network.host("plc").spawn(rig.server.start())
        await asyncio.sleep(8)
        assert rig.south.counters["gaps_filled"] == 0
        found = await rig.journalled()
        now_ms = time.time_ns() // 10**6
        ages_ms = [now_ms - max(ts_ms for number, ts_ms, _ in found if number == i) for i in range(3)]
        await rig.settle()
        differences = await rig.differences()
        assert await rig.in_order()
        await rig.stop_south()
        return ages_ms, differences

    ages_ms, differences = play(tmp_path, scenario, limits=OpcUaLimits(history_values_per_read=6))
    assert max(ages_ms) < 1500
    assert differences == ([], [])


def test_filling_goes_on_where_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten values an answer, one answer a second, and killed again and again."""

    async def scenario(rig: Rig) -> tuple[list[Any], list[Any], bool, int, int]:
        asked = slow_history(monkeypatch, 0.4)
        rig.start_line()
        await rig.start_south()
        await asyncio.sleep(5)
        await rig.server.crash()
        await asyncio.sleep(20)
        await rig.network.host("plc").spawn(rig.server.start())
        for _ in range(4):
            await asyncio.sleep(7.3)
            await rig.kill_south()
            assert len(asked) < 60, "it was over before it was killed"
            await rig.start_south()
        await asyncio.sleep(60)
        await rig.settle()
        missing, surplus = await rig.differences()
        declared = sum(details["declared"] for kind, details in rig.events if kind == "gap")
        in_order = await rig.in_order()
        await rig.stop_south()
        return missing, surplus, in_order, declared, len(asked)

    *result, asked = play(tmp_path, scenario, limits=OpcUaLimits(history_values_per_read=10))
    assert result == [[], [], True, 0]
    assert 60 < asked < 80  # 3 tags x 200 values in tens: hardly any was read twice


def test_continuation_points_are_those_of_a_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection breaks in each pause between two pages."""
    encode, given = Continuation.encode, set()
    decode = Continuation.decode

    async def scenario(rig: Rig) -> Any:
        def give(self: Continuation) -> bytes:
            given.add((rig.south.counters["connects"], encode(self)))
            return encode(self)

        def take(point: bytes) -> Continuation:
            if (rig.south.counters["connects"], point) not in given:
                raise ServiceError(ua.StatusCodes.BadContinuationPointInvalid)
            return decode(point)

        async def pause(self: Backfill, took_s: float) -> None:
            await rig.cell.reset()
            await asyncio.sleep(4)

        monkeypatch.setattr(Continuation, "encode", give)
        monkeypatch.setattr(Continuation, "decode", take)
        monkeypatch.setattr(Backfill, "_give_way", pause)
        return await outage(crashed_server)(rig)

    result = play(tmp_path, scenario, limits=OpcUaLimits(history_values_per_read=120))
    assert result[:4] == ([], [], True, 0)


@pytest.mark.parametrize("status", ["BadTooManyOperations", "BadOutOfMemory"])
def test_a_server_that_takes_fewer_nodes_than_it_says_is_asked_for_fewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    read, sizes = RawHistory.read_history, []

    async def refuse(self: RawHistory, params: ua.HistoryReadParameters) -> list[ua.HistoryReadResult]:
        sizes.append(len(params.NodesToRead))
        if len(params.NodesToRead) > 2:
            raise ServiceError(getattr(ua.StatusCodes, status))
        return await read(self, params)

    monkeypatch.setattr(RawHistory, "read_history", refuse)
    result = play(tmp_path, outage(crashed_server), tags=10)
    assert result[:4] == ([], [], True, 0)
    assert sizes[0] == 10
    assert sizes[-1] <= 2


def test_many_nodes_go_into_one_history_read_as_far_as_the_server_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(rig: Rig) -> tuple[Any, list[int]]:
        asked = slow_history(monkeypatch, 0.0)
        return await outage(crashed_server)(rig), asked

    result, asked = play(tmp_path, scenario, tags=90, limits=OpcUaLimits(operations_per_call=40))
    assert result[:4] == ([], [], True, 0)
    assert asked == [40, 40, 10]


def test_refilling_does_not_feed_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue for two seconds, and a history that takes half a second an answer: each queue overflows once."""

    async def scenario(rig: Rig) -> tuple[Any, int, int]:
        slow_history(monkeypatch, 0.5)
        result = await outage(blackhole)(rig)
        return result, rig.south.counters["overflows"], rig.south.counters["gaps_filled"]

    result, overflows, filled = play(
        tmp_path, scenario, tags=40, queue_size=20, limits=OpcUaLimits(history_values_per_read=500)
    )
    assert result[:4] == ([], [], True, 0)
    assert (overflows, filled) == (40, 40)


def test_a_slow_journal_loses_nothing(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> Any:
        rig.delay_s = 2.0
        return await outage(blackhole)(rig)

    assert play(tmp_path, scenario, queue_size=5000)[:4] == ([], [], True, 0)


def test_life_is_reported_by_what_arrives(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> list[tuple[float, str]]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        await outage(blackhole, short_stall)(rig)
        return [(round(at - start), what) for at, what in rig.life]

    life = play(tmp_path, scenario)
    assert [what for _, what in life] == ["alive", "lost", "alive"]
    assert life[1][0] == pytest.approx(10 + 10, abs=2)  # 10 s after the last arrival
    assert life[2][0] <= 10 + 25 + 6  # and soon after healing


def test_the_same_seed_gives_the_same_order(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> Any:
        await outage(blackhole, crashed_server)(rig)
        return rig.delivered, rig.events, rig.network.trace_sha256()

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert play(tmp_path / "a", scenario, seed=3) == play(tmp_path / "b", scenario, seed=3)


def test_metrics_may_change_while_the_bridge_is_down(tmp_path: Path) -> None:
    """Kept: T1 under another number. Gone: T0. New: T2."""

    async def scenario(rig: Rig) -> tuple[set[int], list[Any], list[Any]]:
        rig.start_line()
        await rig.start_south()
        await asyncio.sleep(10)
        await rig.kill_south()
        await asyncio.sleep(5)
        before = len(rig.delivered)
        await rig.start_south([metric(0, "T2"), metric(1, "T1", "t1")])
        await asyncio.sleep(10)
        await rig.settle()
        after = rig.delivered[before:]
        offered = {(r.source_ts_ns, r.value) for r in rig.offered if r.metric_id == 1}
        kept = [
            (r.source_ts_ns, r.value) for r in rig.delivered if r.value is not None and r.value % 1000 == 1
        ]
        await rig.stop_south()
        return (
            {r.metric_id for r in after},
            sorted(offered - set(kept)),
            [k for k in kept if kept.count(k) > 1],
        )

    ids, missing, twice = play(tmp_path, scenario, metrics=[metric(0, "T0"), metric(1, "T1")])
    assert ids == {0, 1}
    assert (missing, twice) == ([], [])


def test_a_source_that_is_behind_says_so_once_and_once_when_it_has_recovered(tmp_path: Path) -> None:
    """A journal that takes four hundred values in two seconds, of the three hundred that are offered each second."""

    async def scenario(rig: Rig) -> tuple[list[Any], int, int, int]:
        rig.start_line()
        await rig.start_south()
        await asyncio.sleep(20)
        before = rig.south.counters["lag_ms"]
        rig.delay_s = 2.0
        await asyncio.sleep(40)
        behind = rig.south.counters["lag_ms"]
        rig.delay_s = 0.0
        await asyncio.sleep(20)
        after = rig.south.counters["lag_ms"]
        await rig.stop_south()
        said = [kind for kind, _ in rig.events if kind.startswith("source_")]
        return said, before, behind, after

    limits = OpcUaLimits(notifications_per_publish=100)
    said, before, behind, after = play(tmp_path, scenario, tags=30, limits=limits)
    assert said == ["source_behind", "source_caught_up"]
    assert max(before, after) < 1000 < 5000 < behind
