"""The embedded broker as a lab service: what it reports, and how it ends."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import aiomqtt
import amqtt
import pytest

from shakedown.twin.authority import Authority
from shakedown.twin.clock import now_ns, run
from shakedown.twin.enterprise.broker import EmbeddedBroker
from shakedown.twin.enterprise.broker_limits import BrokerLimits
from shakedown.twin.enterprise.errors import LabServiceError
from shakedown.twin.enterprise.server_tls import serving_context
from shakedown.twin.network.memory import MemoryNetwork
from tests.twin import mqtt_wire as wire
from tests.twin.broker_lab import ADDRESS, PORT, client, on_virtual_time, subscriber
from tests.twin.mqtt_wire import PUBACK, PUBLISH, Client, Will

# -- evidence


def test_on_accept_reports_every_publish_and_will_once() -> None:
    accepted: list[tuple[Any, ...]] = []
    began_ns: list[int] = []

    async def case(broker: EmbeddedBroker) -> None:
        began_ns.append(now_ns())
        publisher = await client("p", will=Will("will", b"w", 1, retain=True))
        await publisher.publish("t/0", b"a", 0)
        await publisher.publish("t/1", b"b", 1, retain=True)
        await publisher.publish("t/2", b"c", 2)
        publisher.send(wire.publish("t/1", b"d", 1, dup=True, packet_id=9))
        await publisher.expect(PUBACK)
        publisher.cut()
        watcher = await subscriber("watcher", "will", 0)
        assert [got.payload for got in await watcher.fence()] in ([b"w"], [])
        await asyncio.sleep(0.01)
        assert broker.counters.sessions == 1

    broker = on_virtual_time(case, on_accept=lambda *what: accepted.append(what))
    assert [what[1:] for what in accepted] == [
        ("p", "t/0", b"a", 0, False),
        ("p", "t/1", b"b", 1, True),
        ("p", "t/2", b"c", 2, False),
        ("p", "t/1", b"d", 1, False),
        ("p", "will", b"w", 1, True),
    ]
    assert all(began_ns[0] <= what[0] < began_ns[0] + 10**9 for what in accepted)
    counters = broker.counters
    assert (counters.accepted, counters.duplicates, counters.wills) == (5, 1, 1)


def test_every_accepted_message_is_delivered_or_counted_as_dropped() -> None:
    async def case(broker: EmbeddedBroker) -> None:
        fast = await subscriber("fast", "#", 1)
        persistent = await subscriber("persistent", "#", 1, clean=False)
        await persistent.disconnect()
        publisher = await client("p")
        for _ in range(10):
            await publisher.publish("t", b"x", 1)
            await publisher.publish("t", b"x", 0)
        assert len(await fast.fence()) == 20
        await broker.stop()

    counters = on_virtual_time(case).counters
    assert counters.accepted == 20
    assert counters.delivered == 20
    assert counters.dropped == {"offline": 10, "broker_ended": 20}  # 10 unacknowledged, 10 queued


def test_evidence_that_cannot_be_written_is_not_swallowed() -> None:
    faults: list[BaseException] = []

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async def case(broker: EmbeddedBroker) -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: faults.append(context["exception"])
        )
        publisher = await client("p")
        publisher.send(wire.publish("t", b"x", 1))
        assert await publisher.expect_end() == []  # it was not acknowledged
        assert await (await client("q")).fence() == []

    on_virtual_time(case, on_accept=full)
    assert [str(fault) for fault in faults] == ["[Errno 28] No space left on device"]


# -- life


def test_a_crash_resets_every_connection_and_loses_everything() -> None:
    async def case(broker: EmbeddedBroker) -> None:
        watcher = await subscriber("watcher", "will", 1, clean=False)
        victim = await client("victim", will=Will("will", b"w"))
        await victim.publish("kept", b"x", retain=True)
        silent = await Client.dial(ADDRESS, PORT)
        victim.send(wire.publish("t", b"unread"))
        await broker.crash()
        for connection in (watcher, victim, silent):
            with pytest.raises(ConnectionResetError):
                await connection.receive()
        with pytest.raises(ConnectionRefusedError):
            await Client.dial(ADDRESS, PORT)
        with pytest.raises(LabServiceError, match="not running"):
            await broker.crash()
        await broker.start()
        again = await client("watcher", clean=False)
        assert not again.session_present
        again.send(wire.subscribe([("kept", 0)]))
        assert [got.kind for got in await again.fence()] == [wire.SUBACK]

    counters = on_virtual_time(case).counters
    assert (counters.wills, counters.accepted) == (0, 1)


@pytest.mark.parametrize(
    ("saves_s", "end", "kept"),
    [
        (0, EmbeddedBroker.crash, b"two"),
        (0, EmbeddedBroker.stop, b"two"),
        (5, EmbeddedBroker.crash, b"one"),
        (5, EmbeddedBroker.stop, b"two"),
    ],
)
def test_a_broker_has_again_what_it_had_saved_of_what_was_retained(saves_s, end, kept) -> None:
    async def case(broker: EmbeddedBroker) -> None:
        host = await client("host", will=Will("state", b"offline", qos=1, retain=True))
        await host.publish("state", b"one", retain=True)
        await asyncio.sleep(5.5)
        await host.publish("state", b"two", retain=True)
        for _ in range(2):
            await end(broker)
            await broker.start()
        reader = await client("reader")
        reader.send(wire.subscribe([("state", 0)]))
        assert [(got.kind, got.payload) for got in await reader.fence()][1:] == [(wire.PUBLISH, kept)]

    assert on_virtual_time(case, saves_retained_s=saves_s).counters.wills == 0


def test_a_stop_closes_politely_after_the_last_bytes() -> None:
    async def case(broker: EmbeddedBroker) -> None:
        watcher = await subscriber("watcher", "t", 0)
        victim = await client("victim", will=Will("t", b"w"))
        await (await client("p")).publish("t", b"last")
        await broker.stop()
        assert [got.payload for got in await watcher.expect_end()] == [b"last"]
        assert await victim.expect_end() == []
        await broker.stop()
        await broker.start()
        with pytest.raises(LabServiceError, match="running already"):
            await broker.start()

    assert on_virtual_time(case).counters.wills == 0


@pytest.mark.wall
def test_a_taken_port_is_an_error_with_a_remedy() -> None:
    async def main() -> None:
        first = EmbeddedBroker(ADDRESS, 0)
        await first.start()
        try:
            with pytest.raises(
                LabServiceError, match=rf"cannot listen on {ADDRESS}:{first.port}.*another port"
            ):
                await EmbeddedBroker(ADDRESS, first.port).start()
        finally:
            await first.stop()
        second = EmbeddedBroker(ADDRESS, first.port)
        await second.start()
        await second.stop()

    run(main(), clock="wall")


@pytest.mark.wall
def test_a_crash_is_a_reset_on_real_sockets() -> None:
    async def main() -> None:
        broker = EmbeddedBroker(ADDRESS, 0)
        await broker.start()
        connection = await Client.dial(ADDRESS, broker.port)
        assert await connection.connect("a") == 0
        await broker.crash()
        with pytest.raises(ConnectionResetError):
            await connection.receive()

    run(main(), clock="wall")


def test_corrections_refuse_another_amqtt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amqtt, "__version__", "0.13.0")

    async def main() -> None:
        with pytest.raises(LabServiceError, match=r"0\.13\.0.*install amqtt>=0\.12\.1"):
            await EmbeddedBroker(ADDRESS, 0).start()

    run(main(), clock="wall")


def test_ordinary_clients_and_the_same_seed_give_the_same_bytes() -> None:
    async def subscribe(name: str) -> int:
        async with aiomqtt.Client("broker", PORT, identifier=name, keepalive=10) as ordinary:
            await ordinary.subscribe("t/#", qos=1)
            got = 0
            async for _ in ordinary.messages:
                got += 1
                if got == 50:
                    return got
        return 0

    async def publish() -> None:
        async with aiomqtt.Client("broker", PORT, keepalive=10) as ordinary:  # its identifier is random
            for number in range(50):
                await ordinary.publish(f"t/{number % 7}", b"x", qos=number % 3)
                await asyncio.sleep(0.1)

    async def main() -> tuple[list[int], str]:
        with MemoryNetwork(seed=1) as network:
            site, enterprise = network.add_host("site", "site"), network.add_host("broker", "enterprise")
            network.add_conduit("wan", ("site", "enterprise"), latency_ms=20, jitter_ms=5)
            broker = EmbeddedBroker("broker", PORT)
            await enterprise.spawn(broker.start(), name="start")
            subscribers = [site.spawn(subscribe(name), name=name) for name in ("a", "b", "c")]
            await asyncio.sleep(1)
            await site.spawn(publish(), name="publish")
            got = [await subscriber for subscriber in subscribers]
            await enterprise.spawn(broker.stop(), name="stop")
            return got, network.trace_sha256()

    first, second = run(main(), seed=1), run(main(), seed=1)
    assert first == second
    assert first[0] == [50, 50, 50]


def test_a_stop_waits_for_nobody_who_does_not_read() -> None:
    async def case(broker: EmbeddedBroker) -> None:
        stalled = await client("stalled")
        stalled.writer.transport.pause_reading()
        for number in range(60_000):
            stalled.send(wire.publish("t", b"", 1, packet_id=number % 65_535 + 1))
        await asyncio.sleep(1)
        async with asyncio.timeout(BrokerLimits().close_timeout_s + 1):
            await broker.stop()

    on_virtual_time(case, limits=BrokerLimits(write_buffer_bytes_max=1_000))


# -- TLS


@pytest.mark.wall
def test_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "secrets")
    pair = authority.issue("broker", hosts=(ADDRESS,))
    server_tls = serving_context(pair.certificate, pair.key)
    client_tls = ssl.create_default_context(cafile=str(authority.ca))

    async def main() -> None:
        broker = EmbeddedBroker(ADDRESS, 0, tls=server_tls)
        await broker.start()
        try:
            secure = await Client.dial(ADDRESS, broker.port, tls=client_tls)
            assert await secure.connect("a") == 0
            await secure.subscribe(("t", 1))
            secure.send(wire.publish("t", b"x" * 100_000, 0))
            assert (await secure.expect(PUBLISH)).payload == b"x" * 100_000
            plain = await Client.dial(ADDRESS, broker.port)
            plain.send(wire.connect("b"))
            assert all(got.kind != wire.CONNACK for got in await plain.expect_end())
            assert await secure.fence() == []
        finally:
            await broker.crash()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await secure.receive()

    run(main(), clock="wall")
