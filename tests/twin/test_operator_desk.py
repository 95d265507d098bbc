"""The operator at the alarm list, on both clocks, over a real broker: sees, acknowledges, presses again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import aiomqtt
import pytest

from shakedown.twin.clock import now_ns, run
from shakedown.twin.enterprise.broker import EmbeddedBroker
from shakedown.twin.enterprise.host import Display, PrimaryHost
from shakedown.twin.enterprise.jsonl import JsonLines
from shakedown.twin.enterprise.people.operator import CommandButton, OperatorDesk
from shakedown.twin.enterprise.people.operator_model import OperatorParameters
from shakedown.twin.enterprise.sparkplug import _Payload, decode
from shakedown.twin.network.memory import MemoryNetwork
from tests.twin.http_lab import CLOCKS

DEVICE = "filler.filler_1"


class Edge:
    """An edge node with one device and its alarms, as small as Sparkplug lets it be."""

    def __init__(self, client: aiomqtt.Client, alarms: tuple[str, ...]) -> None:
        self._client = client
        self._alarms = {alarm: ["normal", 0] for alarm in alarms}
        self._seq = 0
        self.commands: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.rebirths = 0

    async def birth(self) -> None:
        self._seq = 0
        payload = self._payload()
        payload.metrics.add(name="bdSeq", timestamp=self._ms(), datatype=8, long_value=0)
        await self._send("NBIRTH", "", payload)
        payload = self._payload()
        for alarm in self._alarms:
            self._add(payload, alarm)
        await self._send("DBIRTH", DEVICE, payload)

    async def move(self, alarm: str, state: str, *, again: bool = False, ms: int | None = None) -> None:
        """An alarm changes its state; `again`: it is annunciated."""
        self._alarms[alarm] = [state, self._alarms[alarm][1] + again]
        payload = self._payload()
        self._add(payload, alarm, ms)
        await self._send("DDATA", DEVICE, payload)

    async def skip(self) -> None:
        """A message of this edge node is lost."""
        self._seq += 1

    async def listen(self) -> None:
        await self._client.subscribe([("spBv1.0/+/DCMD/#", 0), ("spBv1.0/+/NCMD/#", 0)])
        with suppress(aiomqtt.MqttError):  # the broker goes first
            await self._obey()

    async def _obey(self) -> None:
        async for message in self._client.messages:
            [metric] = decode(bytes(message.payload)).metrics
            if metric.name == "Node Control/Rebirth":
                self.rebirths += 1
                await self.birth()
            else:
                self.commands.put_nowait((metric.name, str(metric.value)))

    def _payload(self) -> Any:
        payload = _Payload(timestamp=self._ms(), seq=self._seq % 256)
        self._seq += 1
        return payload

    def _add(self, payload: Any, alarm: str, ms: int | None = None) -> None:
        state, occurrence = self._alarms[alarm]
        ms = self._ms() if ms is None else ms
        payload.metrics.add(name=f"alarm/{alarm}", timestamp=ms, datatype=12, string_value=state)
        payload.metrics.add(name=f"alarm/{alarm}/occurrence", timestamp=ms, datatype=7, int_value=occurrence)

    async def _send(self, kind: str, device: str, payload: Any) -> None:
        topic = f"spBv1.0/hamburg.filling/{kind}/line1" + (f"/{device}" if device else "")
        await self._client.publish(topic, payload.SerializeToString(), 0)

    @staticmethod
    def _ms() -> int:
        return now_ns() // 1_000_000


class Enterprise(NamedTuple):
    """What stands above the edge."""

    broker: EmbeddedBroker
    host: PrimaryHost


Script = Callable[[Edge, OperatorDesk, Enterprise], Awaitable[None]]


def at_the_desk(
    clock: str, folder: Path, script: Script, alarms: tuple[str, ...] = ("hot",), **options: Any
) -> list[Any]:
    """Run `script` beside an operator; the acknowledgements in people.jsonl as (ns, data)."""
    median_s = 15.0 if clock == "virtual" else 0.02

    async def main() -> None:
        port = 18_831
        broker = EmbeddedBroker("127.0.0.1", port)
        await broker.start()
        log = JsonLines(folder / "people.jsonl")
        displays: list[Display] = []
        host = PrimaryHost(
            "127.0.0.1", port, host_id="scada", keep_alive_s=10, log=folder / "host.jsonl", displays=displays
        )
        given = {
            "is_true": lambda device, alarm: True,
            "parameters": OperatorParameters(median_s=median_s),
        } | options
        desk = OperatorDesk(CommandButton(host.command), seed=3, log=log, **given)
        displays.append(desk.show)
        tasks = [asyncio.create_task(host.run()), asyncio.create_task(desk.run())]
        try:
            async with asyncio.timeout(100_000 if clock == "virtual" else 20):
                await host.connected.wait()
                async with aiomqtt.Client("127.0.0.1", port, identifier="edge") as client:
                    edge = Edge(client, alarms)
                    tasks.append(asyncio.create_task(edge.listen()))
                    await edge.birth()
                    await script(edge, desk, Enterprise(broker, host))
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            log.close(now_ns())
            await broker.stop()

    async def in_memory() -> None:
        with MemoryNetwork(seed=1) as network:
            await network.add_host("desk", "enterprise").spawn(main())

    run(in_memory() if clock == "virtual" else main(), clock=clock)
    rows = [json.loads(line) for line in (folder / "people.jsonl").read_text().splitlines()]
    assert rows[-1][0] == "Z"
    assert all(row[0::2][:2] == ["K", "ack"] for row in rows[:-1])
    return [(row[1], row[3]) for row in rows[:-1]]


@pytest.mark.parametrize("clock", CLOCKS)
def test_an_alarm_is_seen_and_acknowledged_by_command(clock: str, tmp_path: Path) -> None:
    async def script(edge: Edge, desk: OperatorDesk, enterprise: Enterprise) -> None:
        for state in ("unacked", "rtn_unacked"):  # back to normal, and still to be acknowledged
            await edge.move("hot", state, again=state == "unacked")
        assert await edge.commands.get() == ("alarm/hot/ack", "operator")
        await edge.move("hot", "normal")
        await edge.move("hot", "latched_unacked", again=True)
        assert await edge.commands.get() == ("alarm/hot/ack", "operator")
        await edge.move("hot", "latched_acked")

    acks = at_the_desk(clock, tmp_path, script)
    assert [data["occurrence"] for _, data in acks] == [1, 2]
    for ns, data in acks:
        assert data | {"occurrence": 0, "seen_ns": 0} == {
            "device": DEVICE, "alarm": "hot", "occurrence": 0, "operator": "operator", "seen_ns": 0,
        }  # fmt: skip
        assert ns > data["seen_ns"]


@pytest.mark.slow
def test_it_takes_as_long_as_the_model_says(tmp_path: Path) -> None:
    async def script(edge: Edge, desk: OperatorDesk, enterprise: Enterprise) -> None:
        for _ in range(200):
            await edge.move("hot", "unacked", again=True)
            await edge.commands.get()
            await edge.move("hot", "acked")
            await asyncio.sleep(60)

    acks = at_the_desk("virtual", tmp_path, script)
    times = [(ns - data["seen_ns"]) / 1e9 for ns, data in acks]
    assert len(times) == 200
    assert sum(times) / 200 == pytest.approx(15 * 1.1972 / 0.7, rel=0.15)


@pytest.mark.slow
def test_who_is_always_called_in_vain_comes_late(tmp_path: Path) -> None:
    async def script(edge: Edge, desk: OperatorDesk, enterprise: Enterprise) -> None:
        for alarm in ("true", "false"):
            for _ in range(60):
                await edge.move(alarm, "unacked", again=True)
                await edge.commands.get()
                await edge.move(alarm, "acked")
                await asyncio.sleep(60)

    acks = at_the_desk(
        "virtual", tmp_path, script, ("true", "false"), is_true=lambda device, alarm: alarm == "true"
    )
    mean_s = {
        alarm: sum((ns - data["seen_ns"]) / 6e10 for ns, data in acks if data["alarm"] == alarm)
        for alarm in ("true", "false")
    }
    assert mean_s["false"] > mean_s["true"] + 40


def test_an_alarm_that_goes_away_by_itself_is_left_alone_and_the_urgent_one_comes_first(
    tmp_path: Path,
) -> None:
    async def script(edge: Edge, desk: OperatorDesk, enterprise: Enterprise) -> None:
        for alarm in ("first", "low", "gone", "high"):
            await edge.move(alarm, "unacked", again=True)
        await edge.move("gone", "suppressed")
        for _ in range(3):
            name, _ = await edge.commands.get()
            await edge.move(name.split("/")[1], "acked")
        await asyncio.sleep(600)

    priorities = {(DEVICE, "low"): "low", (DEVICE, "high"): "critical"}
    acks = at_the_desk("virtual", tmp_path, script, ("first", "low", "gone", "high"), priorities=priorities)
    assert [data["alarm"] for _, data in acks] == ["first", "high", "low"]


def test_a_button_that_does_nothing_is_pressed_again_and_given_up_in_the_end(tmp_path: Path) -> None:
    async def script(edge: Edge, desk: OperatorDesk, enterprise: Enterprise) -> None:
        await edge.move("hot", "unacked", again=True)
        for _ in range(3):
            await edge.commands.get()
        await edge.move("hot", "acked")
        await asyncio.sleep(60)
        assert edge.commands.empty()
        await edge.move("hot", "unacked", again=True)
        await asyncio.sleep(1_000)
        assert (edge.commands.qsize(), desk.given_up, desk.acknowledged) == (30, 1, 2)

    assert (
        len(at_the_desk("virtual", tmp_path, script)) == 2
    )  # one row an occurrence, however often it was pressed


def test_history_does_not_turn_the_list_back(tmp_path: Path) -> None:
    async def script(edge: Edge, desk: OperatorDesk, enterprise: Enterprise) -> None:
        await asyncio.sleep(10)
        await edge.move("hot", "acked")
        await edge.move("hot", "unacked", ms=now_ns() // 1_000_000 - 5_000)
        await asyncio.sleep(600)
        assert edge.commands.empty()

    assert at_the_desk("virtual", tmp_path, script) == []


def test_a_list_with_a_gap_is_drawn_anew(tmp_path: Path) -> None:
    async def script(edge: Edge, desk: OperatorDesk, enterprise: Enterprise) -> None:
        await edge.skip()
        await edge.move("hot", "unacked", again=True)  # not shown: it is ahead of a gap
        await asyncio.sleep(1)
        assert edge.rebirths == 0
        await edge.commands.get()
        assert edge.rebirths == 1

    assert [data["occurrence"] for _, data in at_the_desk("virtual", tmp_path, script)] == [1]


def test_without_a_broker_a_button_does_nothing_until_there_is_one(tmp_path: Path) -> None:
    async def script(edge: Edge, desk: OperatorDesk, enterprise: Enterprise) -> None:
        broker, host = enterprise
        await edge._client.publish("spBv1.0/a/NDATA/b", b"\xff\xff\xff", 0)
        await edge.move("hot", "unacked", again=True)
        await asyncio.sleep(1)
        assert host.malformed == 1
        await broker.crash()
        await asyncio.sleep(120)
        assert desk.presses
        assert not host.connected.is_set()
        await broker.start()
        await asyncio.wait_for(host.connected.wait(), 30)
        async with aiomqtt.Client("127.0.0.1", 18_831, identifier="edge-2") as client:
            after = Edge(client, ("hot",))
            listening = asyncio.create_task(after.listen())
            assert await after.commands.get() == ("alarm/hot/ack", "operator")
            assert desk.presses > 1
            listening.cancel()

    assert [data["occurrence"] for _, data in at_the_desk("virtual", tmp_path, script)] == [1]
