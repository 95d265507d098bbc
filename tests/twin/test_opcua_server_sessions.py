"""Sessions, subscriptions and connections: lifetimes, limits, and who waits for whom (Part 4, 5.7 and 5.14)."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import Client, ua, uamethod

from shakedown.twin.servers.corrected import require_corrected_version
from shakedown.twin.servers.limits import OpcUaLimits
from tests.twin.opcua_rig import (
    Lab,
    Peer,
    Tag,
    code_of,
    contrast,
    data_values,
    on_both_servers,
    plain,
    play,
    status_of,
)


def inner_server(lab: Lab) -> Any:
    """The asyncua Server inside either."""
    return getattr(lab.server, "server", None) or lab.server._server


@contrast(bare=True, corrected=False)
def test_slow_method_does_not_block_the_connection(kind: str, expected: bool) -> None:
    """A method that takes 2 s, and a read and a publish behind it on the same connection."""

    async def scenario(lab: Lab) -> bool:
        @uamethod
        async def slow(parent: ua.NodeId) -> None:
            await asyncio.sleep(2)

        server = inner_server(lab)
        method = await server.nodes.objects.add_method(2, "slow", slow, [], [])
        peer = await lab.connect()
        await peer.subscribe()
        await lab.write(1.0)
        await peer.monitor(0)
        started = asyncio.get_running_loop().time()
        request = ua.CallMethodRequest(server.nodes.objects.nodeid, method.nodeid)
        call = asyncio.ensure_future(peer.session.call([request]))
        await asyncio.sleep(0)
        await peer.read("ns=2;s=T0")
        assert plain(data_values(await peer.publish())) == [1.0]
        waited_s = asyncio.get_running_loop().time() - started
        assert (await call)[0].StatusCode.is_good()
        return waited_s > 1.5

    assert play(kind, scenario) is expected


@contrast(bare=(100.0, 100.0), corrected=(100.0, 400.0))
def test_modify_subscription_takes_effect(kind: str, expected: tuple[float, float]) -> None:
    async def scenario(lab: Lab) -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        peer = await lab.connect()
        await peer.subscribe(100, keep_alive=1)
        await peer.publish()
        await peer.publish()
        before = loop.time()
        await peer.publish()
        interval_ms = (loop.time() - before) * 1000
        request = ua.ModifySubscriptionRequest()
        request.Parameters = ua.ModifySubscriptionParameters(peer.subscription_id, 400.0, 1000, 1, 0, 0)
        await peer.request(request, ua.ModifySubscriptionResponse)
        await peer.publish()
        await peer.publish()
        before = loop.time()
        await peer.publish()
        return round(interval_ms), round((loop.time() - before) * 1000)

    assert play(kind, scenario) == expected


@on_both_servers
def test_keep_alive_every_max_keep_alive_count(kind: str) -> None:
    async def scenario(lab: Lab) -> list[float]:
        loop = asyncio.get_running_loop()
        peer = await lab.connect()
        await peer.subscribe(100, keep_alive=5)
        times = []
        for _ in range(4):
            result = await peer.publish()
            assert not data_values(result)
            assert result.NotificationMessage.SequenceNumber == 1  # the next one, not used up
            times.append(round(loop.time(), 3))
        return [round(b - a, 3) for a, b in itertools.pairwise(times)]

    assert play(kind, scenario)[1:] == [0.5, 0.5]


@contrast(bare="BadNoSubscription", corrected="BadTimeout")
def test_expired_subscription_says_bad_timeout(kind: str, expected: str) -> None:
    """The client is there, but sends no publish request for the subscription's lifetime (30 cycles)."""

    async def scenario(lab: Lab) -> str:
        peer = await lab.connect()
        await peer.subscribe(100, lifetime=30, keep_alive=10)
        for _ in range(10):  # the session stays alive meanwhile
            await asyncio.sleep(1)
            await peer.read("ns=2;s=T0")
        try:
            return status_of(await peer.publish()) or "nothing"
        except ua.UaStatusCodeError as error:
            return ua.StatusCode(error.code).name

    assert play(kind, scenario) == expected


@contrast(bare=[20, 20], corrected=[20, 0])
def test_abandoned_subscriptions_end(kind: str, expected: list[int]) -> None:
    """20 clients ask for the longest life, close their sessions and leave the subscriptions behind."""

    async def scenario(lab: Lab) -> list[int]:
        for _ in range(20):
            peer = await lab.connect()
            await peer.subscribe(10_000, lifetime=1_000_000, keep_alive=100_000)
            await peer.monitor(0)
            await peer.session.close_session(False)
            peer.kill()
        service = inner_server(lab).iserver.subscription_service
        await asyncio.sleep(50)
        soon = len(service.subscriptions)
        await asyncio.sleep(3600)
        return [soon, len(service.subscriptions)]

    assert play(kind, scenario, limits=OpcUaLimits(subscription_lifetime_s_max=100.0)) == expected


def test_killed_clients_leave_nothing_behind() -> None:
    """20 clients die without a word: first their sessions end, then their subscriptions."""

    async def scenario(lab: Lab) -> list[tuple[int, int]]:
        for _ in range(20):
            peer = await lab.connect()
            await peer.subscribe(1000, lifetime=1_000_000, keep_alive=100_000)
            await peer.monitor(0)
            peer.kill()
        seen = []
        for wait_s in (30, 50, 50):
            await asyncio.sleep(wait_s)
            counters = lab.server.counters
            seen.append((counters.sessions, counters.subscriptions))
        return seen

    limits = OpcUaLimits(subscription_lifetime_s_max=100.0)
    assert play("corrected", scenario, limits=limits) == [(20, 20), (0, 20), (0, 0)]


def test_subscription_outlives_its_session() -> None:
    """The session times out, the subscription does not, and a later session takes it over (5.14.1.2)."""

    async def scenario(lab: Lab) -> list[float]:
        peer = await lab.connect()
        await peer.subscribe(100, lifetime=100_000)
        await lab.write(1.0)
        await peer.monitor(0)
        peer.kill()
        await asyncio.sleep(90)
        assert lab.server.counters.sessions == 0
        await lab.write(2.0)
        heir = await lab.connect()
        assert (await heir.transfer(peer.subscription_id, initial=False)).StatusCode.is_good()
        return plain(await heir.drain())

    assert play("corrected", scenario) == [1.0, 2.0]


@contrast(bare="Good", corrected="BadTooManySessions")
def test_sessions_are_limited(kind: str, expected: str) -> None:
    async def scenario(lab: Lab) -> str:
        for _ in range(3):
            await lab.connect()
        return await code_of(lab.connect())

    assert play(kind, scenario, limits=OpcUaLimits(sessions=3)) == expected


def test_subscriptions_items_and_publish_requests_are_limited() -> None:
    async def scenario(lab: Lab) -> list[str]:
        peer = await lab.connect()
        await peer.subscribe(keep_alive=1000)
        codes = [await code_of(peer.subscribe())]
        codes += [r.StatusCode.name for r in await peer.monitor(0, 1, 2)]
        await peer.publish()
        requests = [peer.publishing() for _ in range(4)]
        done, _ = await asyncio.wait(requests, timeout=5)
        codes += [ua.StatusCode(task.exception().code).name for task in done]
        for task in requests:
            task.cancel()
        return codes

    limits = OpcUaLimits(subscriptions=1, monitored_items_per_subscription=2, publish_requests_per_session=2)
    assert play("corrected", scenario, limits=limits) == [
        "BadTooManySubscriptions",
        "Good",
        "Good",
        "BadTooManyMonitoredItems",
        "BadTooManyPublishRequests",
    ]


@contrast(bare="open", corrected="closed")
def test_oversized_chunk_is_refused_by_its_header(kind: str, expected: str) -> None:
    """A header that announces 2 GB: the bare server collects them all."""

    async def scenario(lab: Lab) -> str:
        peer = Peer(lab.url)
        await peer.open()
        transport = peer.client.uaclient.protocol.transport
        transport.write(b"MSGF" + (2**31 - 1).to_bytes(4, "little") + bytes(200_000))
        await asyncio.sleep(1)
        return "closed" if transport.is_closing() else "open"

    assert play(kind, scenario) == expected


@contrast(bare=False, corrected=True)
def test_client_that_does_not_read_is_not_served_on(kind: str, expected: bool) -> None:
    """Answers of 10 MB are asked for and not fetched: what the server buffers of them stays small."""

    async def scenario(lab: Lab) -> bool:
        await lab.write("x" * 200_000)
        peer = await lab.connect()
        protocol = inner_server(lab).bserver.clients[0]
        await lab.network.cable("client").stall("down")
        reads = [asyncio.ensure_future(peer.read("ns=2;s=T0")) for _ in range(50)]
        await asyncio.sleep(5)
        buffered = protocol.transport.get_write_buffer_size()
        await lab.network.cable("client").heal()
        await asyncio.gather(*reads)  # the stall over, everything is answered
        return buffered < 1_000_000

    assert play(kind, scenario, tags=(Tag("T0", "String", eu_low=None, eu_high=None),)) is expected


def test_reads_write_nothing_and_forget_no_timestamp() -> None:
    async def scenario(lab: Lab) -> tuple[str, list[str]]:
        await lab.write(5.0)
        peer = await lab.connect()
        value, unknown = await peer.read("ns=2;s=T0", "ns=2;s=GONE")
        assert value.Value.Value == 5.0
        assert value.SourceTimestamp is not None
        assert value.ServerTimestamp is not None
        written = await peer.session.write_attributes([ua.NodeId("T0", 2)], [ua.DataValue(6.0)])
        assert (await peer.read("ns=2;s=T0"))[0].Value.Value == 5.0
        return unknown.StatusCode.name, [status.name for status in written]

    assert play("corrected", scenario) == ("BadNodeIdUnknown", ["BadUserAccessDenied"])


def test_crash_says_nothing_and_a_restart_serves_again() -> None:
    async def scenario(lab: Lab) -> tuple[bool, list[float], int]:
        await lab.write(1.0)
        peer = await lab.connect()
        await peer.subscribe()
        await peer.monitor(0)
        await peer.drain()
        waiting = peer.publishing()
        await asyncio.sleep(0.1)
        plc = lab.network.host("plc")
        await plc.spawn(lab.server.crash(), name="crash")
        done, _ = await asyncio.wait([waiting], timeout=5)
        lost = bool(done) and isinstance(waiting.exception(), ConnectionError)
        await lab.write(2.0)  # the line goes on
        await plc.spawn(lab.server.start(), name="restart")
        again = await lab.connect()
        history = await again.client.get_node("ns=2;s=T0").read_raw_history(numvalues=10, starttime=EARLY)
        await again.subscribe()
        await again.monitor(0)
        assert plain(await again.drain()) == [2.0]
        return lost, plain(history), lab.server.counters.subscriptions

    assert play("corrected", scenario) == (True, [1.0, 2.0], 1)


EARLY = datetime(2000, 1, 1, tzinfo=UTC)


class Collect:
    """A handler of asyncua's high-level client."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def datachange_notification(self, node: Any, value: float, data: Any) -> None:
        self.values.append(value)

    def status_change_notification(self, status: ua.StatusChangeNotification) -> None:
        """Nothing to collect."""


def test_asyncua_client_loses_nothing_over_two_cuts_and_a_stall() -> None:
    """asyncua's own client with auto_reconnect at 10 Hz, its connection cut twice and held back once."""

    async def scenario(lab: Lab) -> tuple[list[float], int]:
        await lab.write(0.0)
        handler = Collect()
        client = Client(lab.url, timeout=4, watchdog_intervall=5)
        client.session_timeout = 120_000
        await client.connect(auto_reconnect=True, reconnect_max_delay=2)
        subscription = await client.create_subscription(200, handler)
        await subscription.subscribe_data_change(client.get_node("ns=2;s=T0"), queuesize=1000)
        number = 0.0
        cable = lab.network.cable("client")
        for fault, duration_s in ((cable.down, 3), (cable.down, 5), (cable.stall, 8)):
            for phase in (None, fault, cable.heal):
                if phase is not None:
                    await phase()
                for _ in range((duration_s if phase is fault else 15) * 10):
                    number += 1
                    await lab.write(number)
                    await asyncio.sleep(0.1)
        await asyncio.sleep(30)
        await client.disconnect()
        return handler.values, int(number)

    values, last = play("corrected", scenario, tags=(Tag("T0"),))
    assert sorted(set(values)) == [float(n) for n in range(last + 1)]


def test_corrections_refuse_another_asyncua() -> None:
    require_corrected_version("2.1.7")
    with pytest.raises(RuntimeError, match=r"asyncua 2\.2\.0 is installed.*2\.1\.x"):
        require_corrected_version("2.2.0")
