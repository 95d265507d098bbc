"""The passive observer, unchanged on real sockets and in virtual time: what passes is written, and it comes back."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from shakedown.acceptance.observer import Observer
from shakedown.twin.clock import run
from shakedown.twin.enterprise.broker import EmbeddedBroker
from shakedown.twin.network.memory import MemoryNetwork

ADDRESS = "127.0.0.1"
BOUND_S = 20.0

Case = Callable[[EmbeddedBroker, Observer], Awaitable[None]]


def observe(clock: str, log: Path, case: Case) -> list[list[Any]]:
    """Run `case` beside a broker and an observer; the records of the log."""
    port = 1883 if clock == "virtual" else _free_port()

    async def on_host() -> None:
        broker = EmbeddedBroker(ADDRESS, port)
        await broker.start()
        observer = Observer(ADDRESS, port, log=log)
        task = asyncio.create_task(observer.run())
        try:
            async with asyncio.timeout(BOUND_S):
                await observer.connected.wait()
                await case(broker, observer)
        finally:
            task.cancel()
            await asyncio.wait((task,))
            await broker.stop()

    async def virtual() -> None:
        with MemoryNetwork() as network:
            await network.add_host("judge", "enterprise").spawn(on_host(), name="case")

    run(virtual() if clock == "virtual" else on_host(), clock=clock)
    return [json.loads(line) for line in log.read_text().splitlines()]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND_S):
        while not condition():  # noqa: ASYNC110 - what is waited for is a count of the observer
            await asyncio.sleep(0.01)


async def _publish(broker: EmbeddedBroker, *messages: tuple[str, bytes, int, bool]) -> None:
    async with aiomqtt.Client(ADDRESS, broker.port, identifier="edge") as client:
        for topic, payload, qos, retain in messages:
            await client.publish(topic, payload, qos, retain)


@pytest.fixture(params=["virtual", pytest.param("wall", marks=pytest.mark.wall)])
def clock(request) -> str:
    return request.param


def test_writes_what_passes_and_how(clock: str, tmp_path: Path) -> None:
    async def case(broker: EmbeddedBroker, observer: Observer) -> None:
        await _publish(
            broker,
            ("spBv1.0/g/NBIRTH/e", b"\x00\xff\x12", 0, False),
            ("spBv1.0/g/NDEATH/e", b"", 1, False),
            ("spBv1.0/STATE/scada", b'{"online":true}', 1, True),
            ("elsewhere/barrier", b"x", 1, False),
        )
        await _until(lambda: observer.messages == 3)

    records = observe(clock, tmp_path / "observer.jsonl", case)
    assert records[0][0::2] == ["E", "connected"]
    seen = [(topic, base64.b64decode(payload), qos) for _, _, topic, payload, qos, _ in records[1:-1]]
    assert seen == [
        ("spBv1.0/g/NBIRTH/e", b"\x00\xff\x12", 0),
        ("spBv1.0/g/NDEATH/e", b"", 1),
        ("spBv1.0/STATE/scada", b'{"online":true}', 1),
    ]
    assert (records[-1][0], records[-1][2]) == ("Z", {"messages": 3})
    times_ns = [record[1] for record in records]
    assert times_ns == sorted(times_ns)


def test_comes_back_to_a_broker_that_died(clock: str, tmp_path: Path) -> None:
    async def case(broker: EmbeddedBroker, observer: Observer) -> None:
        await _publish(broker, ("spBv1.0/g/DDATA/e/d", b"before", 0, False))
        await _until(lambda: observer.messages == 1)
        await broker.crash()
        await _until(lambda: not observer.connected.is_set())
        await broker.start()
        await observer.connected.wait()
        await _publish(broker, ("spBv1.0/g/DDATA/e/d", b"after", 0, False))
        await _until(lambda: observer.messages == 2)

    records = observe(clock, tmp_path / "observer.jsonl", case)
    assert [record[2] for record in records if record[0] == "E"] == ["connected", "disconnected", "connected"]
    assert records[-1][2] == {"messages": 2}


def test_is_back_within_a_second_of_a_long_outage(tmp_path: Path) -> None:
    loop_times: list[float] = []

    async def case(broker: EmbeddedBroker, observer: Observer) -> None:
        await broker.crash()
        await asyncio.sleep(15)
        await broker.start()
        loop_times.append(asyncio.get_running_loop().time())
        await observer.connected.wait()
        loop_times.append(asyncio.get_running_loop().time())

    observe("virtual", tmp_path / "observer.jsonl", case)
    assert loop_times[1] - loop_times[0] <= 1.5


def test_never_writes_over_a_log(tmp_path: Path) -> None:
    (tmp_path / "observer.jsonl").write_text("")
    with pytest.raises(FileExistsError):
        Observer(ADDRESS, 1883, log=tmp_path / "observer.jsonl")
