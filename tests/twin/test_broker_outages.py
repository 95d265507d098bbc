"""Subscriber outages on the conduit before the broker: of 2,500 QoS 1 messages none is lost, whatever the fault."""

from __future__ import annotations

import asyncio

import pytest

from shakedown.twin.clock import run
from shakedown.twin.enterprise.broker import EmbeddedBroker
from shakedown.twin.network.memory import MemoryNetwork
from shakedown.twin.network.model import Conduit
from tests.twin import mqtt_wire as wire
from tests.twin.mqtt_wire import PINGRESP, PUBACK, PUBLISH, Client

MESSAGES = 2_500
KEEP_ALIVE_S = 5
FAULTS = {
    "black hole": (Conduit.blackhole, "both"),
    "black hole towards the broker": (Conduit.blackhole, "up"),
    "black hole from the broker": (Conduit.blackhole, "down"),
    "stall": (Conduit.stall, "both"),
    "stall towards the broker": (Conduit.stall, "up"),
    "stall from the broker": (Conduit.stall, "down"),
}


@pytest.mark.parametrize("outage_s", [pytest.param(2, marks=pytest.mark.slow), 12])
@pytest.mark.parametrize("fault", [*FAULTS, "down", "reset", "unplugged"])
def test_subscriber_outages_lose_nothing(fault: str, outage_s: int) -> None:
    """[MQTT-4.3.2-1] [MQTT-4.4.0-1], over two outages shorter than the keep-alive or longer than it."""
    seen: dict[bytes, None] = {}

    async def subscribe(address: tuple[str, int]) -> None:
        while len(seen) < MESSAGES:
            try:
                await subscribe_once(address)
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.5)

    async def subscribe_once(address: tuple[str, int]) -> None:
        async with asyncio.timeout(KEEP_ALIVE_S):
            client = await Client.dial(*address)
            assert await client.connect("s", clean=False, keep_alive_s=KEEP_ALIVE_S) == 0
            if not client.session_present:
                client.send(wire.subscribe([("t", 1)]))
        pings = asyncio.create_task(ping(client))
        try:
            while len(seen) < MESSAGES:
                got = await client.receive(wait_s=1.5 * KEEP_ALIVE_S)
                if got.kind == PUBLISH:
                    assert got.dup or got.payload not in seen
                    seen[got.payload] = None
                    client.send(wire.acknowledge(PUBACK, got.packet_id))
                else:
                    assert got.kind in (wire.SUBACK, PINGRESP)
        finally:
            pings.cancel()
            client.cut()

    async def ping(client: Client) -> None:
        while True:
            await asyncio.sleep(KEEP_ALIVE_S / 2)
            client.send(wire.packet(wire.PINGREQ))

    async def publish(address: tuple[str, int]) -> None:
        publisher = await Client.dial(*address)
        assert await publisher.connect("p") == 0
        for number in range(MESSAGES):
            await publisher.publish("t", b"%d" % number)
            await asyncio.sleep(0.02)

    async def main() -> None:
        with MemoryNetwork() as network:
            site, enterprise = network.add_host("site", "site"), network.add_host("broker", "enterprise")
            wan = network.add_conduit("wan", ("site", "enterprise"), latency_ms=20)
            broker = EmbeddedBroker(*await network.listen_address("broker", 1883))
            await enterprise.spawn(broker.start(), name="start")
            subscriber = site.spawn(subscribe(await network.route("site", "broker", 1883)), name="subscribe")
            await asyncio.sleep(1)
            publisher = enterprise.spawn(publish(("broker", 1883)), name="publish")
            for _ in range(2):
                await asyncio.sleep(8)
                if fault in FAULTS:
                    act, direction = FAULTS[fault]
                    await act(wan, direction)
                elif fault == "unplugged":
                    site.unplug()
                else:
                    await getattr(wan, fault)()
                await asyncio.sleep(outage_s)
                site.plug()
                await wan.heal()
            await publisher
            async with asyncio.timeout(60):
                await subscriber
            await enterprise.spawn(broker.stop(), name="stop")
            dropped = broker.counters.dropped
            assert sum(dropped.values()) == dropped["broker_ended"] <= 1  # the last PUBACK may not have come

    run(main())
    assert list(seen) == [b"%d" % number for number in range(MESSAGES)]
