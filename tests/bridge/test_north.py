"""The enterprise target on real MQTT bytes: virtual and wall clock, TLS and plain, embedded broker and Mosquitto."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from shakedown.bridge.config import TlsConfig
from shakedown.bridge.core import payload
from shakedown.bridge.core.model import Sample
from shakedown.bridge.core.transitions import State
from shakedown.bridge.north.tls import tls_context
from shakedown.bridge.yamlfile import ConfigError
from shakedown.twin.clock import run
from shakedown.twin.network.memory import MemoryNetwork
from tests.bridge.north_rig import Broker, Rig, certificates, kinds, on


@kinds()
def test_births_data_barrier_confirmation_and_goodbye(kind: str, tmp_path: Path) -> None:
    async def case(rig: Rig, broker: Broker) -> None:
        await rig.observe()
        rig.start()
        await rig.watch.until(lambda: rig.watch.count("DBIRTH"))
        assert [seen.kind for seen in rig.watch.seen] == ["NBIRTH", "DBIRTH"]
        assert rig.watch.seen[0].bd_seq == 0
        for n in range(3):
            await rig.deliver(Sample(0, 1000 + n, n / 2), Sample(1, 1000 + n, "ü" * n))
        await rig.watch.until(lambda: len(rig.watch.values()) == 6)
        assert rig.watch.values(historical=True) == []
        await rig.until(lambda: rig.journal.watermark("enterprise") == 6)
        assert rig.watch.count("barrier") >= 1
        await rig.stop()
        await rig.watch.until(lambda: rig.watch.count("NDEATH"))
        assert rig.target.session.state is State.STOPPED
        await rig.say("spBv1.0/site.area/NCMD/line", b"")
        await rig.watch.until(lambda: rig.watch.count("NCMD"))
        assert rig.watch.count("NDEATH") == 1, "after a DISCONNECT the broker must not publish the Will"
        assert rig.watch.seen[-2].bd_seq == 0

    on(kind, tmp_path, case)


@kinds()
def test_a_crash_of_the_broker_costs_nothing(kind: str, tmp_path: Path) -> None:
    async def case(rig: Rig, broker: Broker) -> None:
        await rig.observe()
        rig.start()
        await rig.watch.until(lambda: rig.watch.count("DBIRTH"))
        await rig.deliver(Sample(0, 1000, 0.0))
        await broker.crash()
        await rig.until(lambda: not rig.target.session.is_online)
        for n in range(1, 50):
            await rig.deliver(Sample(0, 1000 + n, float(n)))
        await broker.start()
        await rig.observe()
        await rig.watch.until(lambda: rig.watch.count("NBIRTH") == 2)
        await rig.watch.until(lambda: len(rig.watch.values(historical=True)) >= 50)
        second = [seen for seen in rig.watch.seen if seen.kind == "NBIRTH"][-1]
        assert second.bd_seq > 0
        values = [float(n) for n in range(50)]
        assert [v[2] for v in rig.watch.values(historical=True)] == values[1:] + values[:1], (
            "never sent, doubtful"
        )
        await rig.deliver(Sample(0, 2000, 50.0))
        await rig.watch.until(lambda: (0, 2000, 50.0) in rig.watch.values(historical=False))
        await rig.until(lambda: rig.journal.watermark("enterprise") == 51)

    on(kind, tmp_path, case)


@pytest.mark.parametrize("kind", ["virtual", pytest.param("mosquitto", marks=pytest.mark.wall)])
def test_rows_are_confirmed_over_short_connections_and_none_is_repeated(kind: str, tmp_path: Path) -> None:
    """R is 3.5 s, and no connection lives longer than a second and a half: the broker gives back the barriers."""

    async def case(rig: Rig, broker: Broker) -> None:
        rig.config = rig.config.model_copy(update={"host_keep_alive_s": 2.0})
        await rig.observe()
        rig.start()
        await rig.watch.until(lambda: rig.watch.count("DBIRTH"))
        await rig.deliver(*(Sample(0, 1000 + n, float(n)) for n in range(3)))
        while rig.journal.watermark("enterprise") < 3:
            await rig.until(lambda: rig.target.session.is_online and rig.target.forwarding.memory().acked)
            await asyncio.sleep(1.5)
            assert rig.target._connection is not None
            rig.target._connection.abort()
            rig.target.lost("cut")
        assert rig.watch.count("NBIRTH") >= 3
        assert len(rig.watch.values()) == 3

    on(kind, tmp_path, case)


@kinds()
def test_a_cut_bridge_leaves_its_will_and_a_new_one_goes_on(kind: str, tmp_path: Path) -> None:
    async def case(rig: Rig, broker: Broker) -> None:
        await rig.observe()
        rig.start()
        await rig.watch.until(lambda: rig.watch.count("DBIRTH"))
        await rig.deliver(Sample(0, 1000, 1.0))
        rig.target.cut()
        await rig.watch.until(lambda: rig.watch.count("NDEATH"))
        assert [s.bd_seq for s in rig.watch.seen if s.kind == "NDEATH"] == [0]
        await rig.stop()
        rig.start()
        await rig.watch.until(lambda: rig.watch.values(historical=True))
        assert [s.bd_seq for s in rig.watch.seen if s.kind == "NBIRTH"] == [0, 1]
        assert rig.watch.values(historical=True) == [(0, 1000, 1.0)]

    on(kind, tmp_path, case)


@pytest.mark.parametrize("kind", ["virtual", pytest.param("mosquitto", marks=pytest.mark.wall)])
def test_after_a_rebirth_command_births_come_before_any_data(kind: str, tmp_path: Path) -> None:
    command = payload.Payload()
    metric = command.metrics.add()
    metric.name, metric.boolean_value = "Node Control/Rebirth", True

    async def case(rig: Rig, broker: Broker) -> None:
        await rig.observe()
        rig.start()
        await rig.watch.until(lambda: rig.watch.count("DBIRTH"))
        sending = asyncio.create_task(_send_steadily(rig))
        await rig.watch.until(lambda: rig.watch.count("DDATA") > 20)
        await rig.say("spBv1.0/site.area/NCMD/line", command.SerializeToString())
        await rig.watch.until(lambda: rig.watch.count("NBIRTH") == 2)
        await rig.watch.until(lambda: rig.watch.seen[-1].kind == "DDATA" and rig.watch.count("DBIRTH") == 2)
        enough.set()
        await sending
        kinds_seen = [s.kind for s in rig.watch.seen if s.kind not in ("barrier", "NCMD")]
        second = kinds_seen.index("NBIRTH", 1)
        assert kinds_seen[second : second + 3] == ["NBIRTH", "DBIRTH", "DDATA"]
        births = [s for s in rig.watch.seen if s.kind == "NBIRTH"]
        assert [s.bd_seq for s in births] == [0, 0]
        await rig.watch.until(lambda: {v[1] for v in rig.watch.values()} >= set(range(rig.journal.last_row)))

    enough = asyncio.Event()  # a delivery is never broken off between journal and target

    async def _send_steadily(rig: Rig) -> None:
        n = 0
        while not enough.is_set():
            await rig.deliver(Sample(0, n, float(n)))
            n += 1
            await asyncio.sleep(0.02)

    on(kind, tmp_path, case)


@pytest.mark.parametrize("fault", ["blackhole", "stall"])
def test_silence_is_noticed_within_one_and_a_half_keep_alives(fault: str, tmp_path: Path) -> None:
    async def main() -> None:
        with MemoryNetwork() as network:
            rig, broker, task = await _lab(network, tmp_path)
            await rig.deliver(Sample(0, 1000, 1.0))
            await asyncio.sleep(1)
            start_s = asyncio.get_running_loop().time()
            await getattr(network.conduit("wan"), fault)()
            await rig.deliver(Sample(0, 1001, 2.0))
            await rig.until(lambda: not rig.target.session.is_online)
            assert asyncio.get_running_loop().time() - start_s <= 1.5 * rig.config.keep_alive_s
            await network.conduit("wan").heal()
            await rig.watch.until(lambda: {v[1] for v in rig.watch.values()} == {1000, 1001})
            await _end(rig, broker, task)

    run(main())


@pytest.mark.slow
def test_back_pressure_holds_live_data_and_everything_arrives(tmp_path: Path) -> None:
    """A stall shorter than the keep-alive: the connection survives, what did not fit waits in the journal."""

    async def main() -> None:
        with MemoryNetwork() as network:
            rig, broker, task = await _lab(network, tmp_path)
            await network.conduit("wan").stall()
            total = 2000
            for n in range(total):
                await rig.deliver(Sample(1, n, f"{n:0200d}"))
            assert rig.target.forwarding.backlog > 0, "the connection was never blocked"
            held = rig.target.forwarding.backlog
            await asyncio.sleep(2)
            await network.conduit("wan").heal()
            await rig.watch.until(lambda: len({v[1] for v in rig.watch.values()}) == total)
            assert rig.watch.count("NBIRTH") == 1, "the connection was lost"
            live, history = rig.watch.values(historical=False), rig.watch.values(historical=True)
            assert live[-1][1] == total - 1, "the present value comes as live data"
            assert len(history) == held - 1, "what went ahead is not sent again"
            assert [v[1] for v in history] == sorted(v[1] for v in history)
            await rig.until(lambda: rig.journal.watermark("enterprise") == total)
            await _end(rig, broker, task)

    run(main())


async def _lab(network: MemoryNetwork, folder: Path):
    """Bridge and broker on two sides of `wan`; the watcher sits beside the broker. Returns when births were seen."""
    from shakedown.twin.enterprise.broker import EmbeddedBroker

    network.add_conduit("wan", ("site", "enterprise"))
    broker_host, bridge_host = network.add_host("broker", "enterprise"), network.add_host("bridge", "site")
    broker = EmbeddedBroker("broker", 1883)
    await broker_host.spawn(broker.start(), name="broker")
    rig = Rig(folder, 1883, None, "broker")
    await rig.open()
    await broker_host.spawn(rig.observe(), name="observer")

    async def start() -> None:
        rig.start()

    await bridge_host.spawn(start(), name="bridge")
    await rig.watch.until(lambda: rig.watch.count("DBIRTH"))
    return rig, broker, broker_host


async def _end(rig: Rig, broker, broker_host) -> None:
    await rig.close()
    await broker_host.spawn(broker.stop(), name="broker")


# ---- brokers that misbehave

CONNACK = b"\x20\x02\x00\x00"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"\x20\x02\x00\x05", "Not authorized"),
        (b"\x20\x02\x00\x01", "protocol error"),
        (b"", "no answer from the broker within 10 s"),
        (CONNACK, "no answer from the broker within 10 s"),
        (b"\x00\x00", "lost"),
        (b"\x20\xff\xff\xff\xff\x7f", "lost"),
        (CONNACK + b"\x30\xff\xff\xff\x7f", "larger than 1,048,576 bytes"),
        (CONNACK + b"\x30\x05\x00\x09ab\xff", "protocol error"),
        (CONNACK + b"\x32\x04\x00\x02\xff\xfe", "lost"),
        (CONNACK + b"\x90\x01\x00", "lost"),
        (CONNACK + b"\x40\x01\x00", "lost"),
        (None, "closed by the broker"),
    ],
)
def test_hostile_brokers_are_left_and_tried_again(
    answer: bytes | None, reason: str, tmp_path: Path, caplog
) -> None:
    async def main() -> None:
        connects = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connects
            await reader.read(1000)
            connects += 1
            if answer is None:
                writer.close()
                return
            writer.write(answer)
            await reader.read()
            writer.close()

        with MemoryNetwork() as network:
            network.add_conduit("wan", ("site", "enterprise"))
            host, bridge = network.add_host("broker", "enterprise"), network.add_host("bridge", "site")
            server = await host.spawn(asyncio.start_server(serve, "broker", 1883), name="broker")

            async def on_bridge() -> None:
                rig = Rig(tmp_path, 1883, None, "broker")
                await rig.open()
                rig.start()
                await asyncio.sleep(30)
                assert rig.target.session.state is not State.ONLINE
                await rig.deliver(Sample(0, 1, 1.0))
                await rig.close()

            await bridge.spawn(on_bridge(), name="bridge")
            assert connects >= 2
            server.close()

    with caplog.at_level("WARNING", logger="shakedown.bridge"):
        run(main())
    assert reason in caplog.text


def test_an_absent_broker_is_named_and_tried_again(tmp_path: Path, caplog) -> None:
    async def main() -> None:
        with MemoryNetwork() as network:
            network.add_conduit("wan", ("site", "enterprise"))
            network.add_host("broker", "enterprise")

            async def on_bridge() -> None:
                rig = Rig(tmp_path, 1883, None, "broker")
                await rig.open()
                rig.start()
                await asyncio.sleep(5)
                await rig.close()

            await network.add_host("bridge", "site").spawn(on_bridge(), name="bridge")

    with caplog.at_level("WARNING", logger="shakedown.bridge"):
        run(main())
    assert caplog.text.count("broker broker:1883 cannot be reached") >= 5


# ---- TLS


def test_a_broker_with_another_name_is_refused(tmp_path: Path, caplog) -> None:
    server, tls = certificates(tmp_path, name="impostor")

    async def main() -> None:
        with MemoryNetwork() as network:
            network.add_conduit("wan", ("site", "enterprise"))
            host = network.add_host("broker", "enterprise")
            listening = asyncio.start_server(lambda r, w: None, "broker", 1883, ssl=server)
            listener = await host.spawn(listening, name="broker")

            async def on_bridge() -> None:
                rig = Rig(tmp_path, 1883, tls, "broker")
                await rig.open()
                rig.start()
                await asyncio.sleep(3)
                assert rig.target.session.counters["connections_lost"] > 0
                await rig.close()

            await network.add_host("bridge", "site").spawn(on_bridge(), name="bridge")
            listener.close()

    with caplog.at_level("WARNING", logger="shakedown.bridge"):
        run(main())
    assert "Hostname mismatch" in caplog.text


def test_missing_and_foreign_certificates_are_configuration_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"north\.enterprise\.tls\.ca: .*none\.pem cannot be read"):
        tls_context(TlsConfig(ca=str(tmp_path / "none.pem")), "north.enterprise.tls")
    (tmp_path / "text.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match=r"north\.enterprise\.tls: cannot be used"):
        tls_context(TlsConfig(ca=str(tmp_path / "text.pem")), "north.enterprise.tls")
