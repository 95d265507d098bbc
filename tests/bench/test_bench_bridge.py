"""What our own code costs for each value on its way north: normalise, journal, session, payload, publish."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shakedown.bridge.config import NorthConfig
from shakedown.bridge.core import events as ev
from shakedown.bridge.core import payload
from shakedown.bridge.core.datatypes import DOUBLE
from shakedown.bridge.core.model import Metric, Model, Reading, Sample
from shakedown.bridge.core.normalise import normalise
from shakedown.bridge.core.session import Session, SessionConfig
from shakedown.bridge.journal.journal import Journal
from shakedown.bridge.north.enterprise import EnterpriseTarget
from shakedown.bridge.north.mqtt import MqttConnection

pytestmark = [pytest.mark.bench, pytest.mark.benchmark(timer=time.process_time)]

DEVICES, PER_DEVICE = 5, 20
BATCH = DEVICES * PER_DEVICE
T0_MS = 1_767_600_000_000
MODEL = Model(
    "site.area",
    "line",
    tuple(
        Metric(d * PER_DEVICE + n, f"cell.d{d}", f"m{n}", DOUBLE, "plc1", factor=5 / 9, offset=-160 / 9)
        for d in range(DEVICES)
        for n in range(PER_DEVICE)
    ),
    tuple(f"cell.d{d}" for d in range(DEVICES)),
)


def readings(round_: int) -> list[Reading]:
    return [Reading(i, (T0_MS + round_) * 1_000_000, 20.5 + i, 0) for i in range(BATCH)]


def samples(round_: int) -> list[Sample]:
    return [Sample(i, T0_MS + round_, 20.5 + i) for i in range(BATCH)]


def rounds() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


def online() -> Session:
    session = Session(MODEL, SessionConfig())
    session.step(ev.SouthUp("plc1"), T0_MS * 1_000_000)
    for event in (ev.Start(), ev.BdSeqTaken(0), ev.Connected(), ev.Subscribed((1,))):
        session.step(event, T0_MS * 1_000_000)
    assert session.is_online
    return session


def test_normalise_100_values(benchmark) -> None:
    batch, metrics = readings(0), MODEL.metrics
    result = benchmark(lambda: [normalise(metrics[r[0]], r) for r in batch])
    assert len(result) == BATCH


def test_encode_100_values(benchmark) -> None:
    encoder = payload.Encoder(MODEL.metrics)
    batch = [(sample, False) for sample in samples(0)]
    assert len(benchmark(encoder.data, T0_MS, 0, batch)) > 1000


def test_session_100_values_of_5_devices(benchmark) -> None:
    session, number = online(), rounds()

    def step() -> int:
        n = next(number)
        return len(session.step(ev.Live(samples(n)), (T0_MS + n) * 1_000_000))

    assert benchmark(step) == DEVICES


class _Writer(asyncio.Transport):
    """Takes what is written; the socket behind it is not ours to measure."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0

    def set_write_buffer_limits(self, high=None, low=None) -> None: ...

    def is_closing(self) -> bool:
        return False

    def write(self, data) -> None:
        self.written += len(data)

    def abort(self) -> None: ...

    def close(self) -> None: ...


def test_from_reading_to_socket_100_values(benchmark, tmp_path: Path) -> None:
    """The whole way of a batch, its journal on the disk: the figure that is compared with asyncua's client."""
    loop = asyncio.new_event_loop()
    journal = loop.run_until_complete(Journal.open(tmp_path / "j", targets=["t"], rows_max=10**7))
    target = EnterpriseTarget("t", NorthConfig(broker="mqtt://b"), MODEL, journal)
    target.session = online()
    writer = _Writer()

    async def connect() -> None:
        will = ev.Publish("w", b"w", 1)
        connection = MqttConnection(target, client_id="b", keep_alive_s=30, will=will)
        connection.connection_made(writer)
        connection._client.connect("b", 1883, 30)
        connection.data_received(b"\x20\x02\x00\x00")
        target._connection = connection

    async def one_batch(number: int) -> None:
        batch = [normalise(MODEL.metrics[r[0]], r) for r in readings(number)]
        target.deliver(await journal.append(batch), batch)

    loop.run_until_complete(connect())
    number = rounds()
    benchmark(lambda: loop.run_until_complete(one_batch(next(number))))
    assert writer.written > 1000
    loop.run_until_complete(journal.close())
    loop.close()
