"""MQTT 3.1.1, clause by clause: the embedded broker and a real Mosquitto pass the same tests.

Each test names the normative statements it stands for. `amqtt` is the library as it comes: where it is known to
fail, the test must fail (strict), so that we notice when it has been mended and a correction can go.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session

from shakedown.twin.clock import run
from shakedown.twin.network.memory import MemoryNetwork
from shakedown.twin.services.broker import EmbeddedBroker
from shakedown.twin.services.mosquitto import MosquittoBroker, mosquitto_missing
from tests.twin import mqtt_wire as wire
from tests.twin.mqtt_wire import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Client, Packet, Will

ADDRESS = "127.0.0.1"


class Everybody(BaseAuthPlugin):
    """Admits everybody as somebody: amqtt keeps no session of a client that came in as anonymous."""

    async def authenticate(self, *, session: Session) -> bool:
        return True


class BareAmqtt:
    """The library without our corrections."""

    def __init__(self, address: str, port: int) -> None:
        self._bind = f"{address}:{port}"

    async def start(self) -> None:
        logging.getLogger("amqtt").setLevel(logging.CRITICAL + 1)
        plugins = {f"{__name__}.Everybody": {}}
        self._broker = Broker(
            BrokerConfig(listeners={"default": ListenerConfig(bind=self._bind)}, plugins=plugins)
        )
        await self._broker.start()

    async def stop(self) -> None:
        await self._broker.shutdown()
        logging.getLogger("amqtt").setLevel(logging.NOTSET)


class Lab:
    """A running broker of one kind, and clients that dial it."""

    def __init__(self, port: int, is_virtual: bool) -> None:
        self.port = port
        self.is_virtual = is_virtual
        self._clients: list[Client] = []

    async def dial(self) -> Client:
        """A connection that has said nothing yet."""
        client = await Client.dial(ADDRESS, self.port)
        client.settle_s = 0.5 if self.is_virtual else 0.0
        self._clients.append(client)
        return client

    async def client(self, client_id: str, **options: Any) -> Client:
        """A connected client."""
        client = await self.dial()
        assert await client.connect(client_id, **options) == 0
        return client

    async def subscriber(self, client_id: str, *filters: tuple[str, int], **options: Any) -> Client:
        client = await self.client(client_id, **options)
        assert await client.subscribe(*filters) == [qos for _, qos in filters]
        return client

    def close(self) -> None:
        for client in self._clients:
            client.cut()


Case = Callable[..., Awaitable[None]]
KINDS = ("embedded", "embedded-wall", "mosquitto", "amqtt")
VIRTUAL = ("embedded", "amqtt")


def conforms(*clauses: str, fails: tuple[str, ...] = ()) -> Callable[[Case], Callable[..., None]]:
    """Run an async case against each kind of broker; on those in `fails` it must fail."""

    def parametrise(case: Case) -> Callable[..., None]:
        @functools.wraps(case)
        def test(kind: str, tmp_path: Path, **values: Any) -> None:
            run_case(kind, functools.partial(case, **values), tmp_path)

        # What pytest asks for is what the case takes, with the lab replaced by what makes one.
        _, *others = inspect.signature(case).parameters.values()
        wanted = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in ("kind", "tmp_path")]
        test.__signature__ = inspect.Signature([*(p.replace(kind=p.KEYWORD_ONLY) for p in others), *wanted])
        test.__doc__ = f"[{'] ['.join(clauses)}]"
        strict = pytest.mark.xfail(strict=True, reason=f"does not keep {', '.join(clauses)}")
        return pytest.mark.parametrize(
            "kind", [pytest.param(kind, marks=[strict] if kind in fails else []) for kind in KINDS]
        )(test)

    return parametrise


def run_case(kind: str, case: Case, folder: Path) -> None:
    if kind == "mosquitto" and (missing := mosquitto_missing()):
        pytest.skip(missing)
    is_virtual = kind in VIRTUAL
    port = 1883 if is_virtual else free_port()
    make = {"amqtt": BareAmqtt, "mosquitto": functools.partial(MosquittoBroker, folder=folder)}

    async def on_host() -> None:
        broker = make.get(kind, EmbeddedBroker)(ADDRESS, port)
        lab = Lab(port, is_virtual)
        await broker.start()
        try:
            await case(lab)
        finally:
            lab.close()
            await broker.stop()

    async def virtual() -> None:
        with MemoryNetwork() as network:
            await network.add_host("lab", "enterprise").spawn(on_host(), name="case")

    run(virtual() if is_virtual else on_host(), clock="virtual" if is_virtual else "wall")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return probe.getsockname()[1]


def payloads(packets: list[Packet]) -> list[bytes]:
    assert all(got.kind == PUBLISH for got in packets), packets
    return [got.payload for got in packets]


# -- CONNECT


@conforms("MQTT-3.2.2-1", "MQTT-3.2.2-2", "MQTT-3.2.2-3", "MQTT-3.1.2-6", fails=("amqtt",))
async def test_session_present_and_clean_session(lab: Lab) -> None:
    first = await lab.client("a", clean=False)
    assert not first.session_present
    await first.disconnect()
    second = await lab.client("a", clean=False)
    assert second.session_present
    await second.disconnect()
    clean = await lab.client("a", clean=True)
    assert not clean.session_present
    await clean.disconnect()
    assert not (await lab.client("a", clean=False)).session_present


@conforms("MQTT-3.1.0-1", fails=("amqtt",))
async def test_first_packet_must_be_connect(lab: Lab) -> None:
    client = await lab.dial()
    client.send(wire.packet(wire.PINGREQ))
    assert await client.expect_end() == []


@conforms("MQTT-3.1.0-2")
async def test_second_connect_ends_the_connection(lab: Lab) -> None:
    client = await lab.client("a")
    client.send(wire.connect("a"))
    assert await client.expect_end() == []


@conforms("MQTT-3.1.2-2")
async def test_unknown_protocol_level_is_answered(lab: Lab) -> None:
    client = await lab.dial()
    assert await client.connect("a", level=99) == 1
    assert await client.expect_end() == []


@conforms("MQTT-3.1.3-8", "MQTT-3.1.3-9")
async def test_empty_client_id_needs_clean_session(lab: Lab) -> None:
    client = await lab.dial()
    assert await client.connect("", clean=False) == 2
    assert await client.expect_end() == []
    assert await (await lab.dial()).connect("", clean=True) == 0


@conforms("MQTT-3.1.4-5")
async def test_packets_sent_before_the_connack_are_served(lab: Lab) -> None:
    client = await lab.dial()
    client.send(wire.connect("a"), wire.subscribe([("t", 0)]), wire.publish("t", b"x"))
    assert (await client.expect(wire.CONNACK)).body == b"\0\0"
    await client.expect(wire.SUBACK)
    assert (await client.expect(PUBLISH)).payload == b"x"


# -- keep-alive, wills, take-over


@conforms("MQTT-3.1.2-24", "MQTT-3.1.2-8", fails=("amqtt",))
async def test_silence_of_one_and_a_half_keep_alives_is_a_failed_network(lab: Lab) -> None:
    watcher = await lab.subscriber("watcher", ("will", 1))
    silent = await lab.client("silent", keep_alive_s=1, will=Will("will", b"gone", 1))
    clock = asyncio.get_running_loop().time
    silent_since_s = clock()
    assert await silent.expect_end() == []
    assert clock() - silent_since_s >= 1.0
    assert (await watcher.expect(PUBLISH)).payload == b"gone"


@conforms("MQTT-3.1.2-24")
async def test_a_client_that_pings_is_alive(lab: Lab) -> None:
    client = await lab.client("a", keep_alive_s=1)
    until_s = asyncio.get_running_loop().time() + 2.5
    while asyncio.get_running_loop().time() < until_s:
        assert await client.fence() == []
        with pytest.raises(TimeoutError):
            await client.receive(wait_s=0.7)  # silence, and not the end of the connection


@conforms("MQTT-3.1.2-8", "MQTT-3.1.2-16", "MQTT-3.1.2-17")
async def test_will_is_published_when_the_connection_breaks(lab: Lab) -> None:
    watcher = await lab.subscriber("watcher", ("will/+", 1))
    (await lab.client("a", will=Will("will/a", b"a", 1, retain=True))).cut()
    got = await watcher.expect(PUBLISH)
    assert (got.payload, got.qos, got.retain) == (b"a", 1, False)
    late = await lab.client("late")
    late.send(wire.subscribe([("will/a", 1)]))
    retained = next(got for got in await late.fence() if got.kind == PUBLISH)
    assert (retained.payload, retained.retain) == (b"a", True)


@conforms("MQTT-3.1.2-10", "MQTT-3.14.4-3")
async def test_disconnect_discards_the_will(lab: Lab) -> None:
    watcher = await lab.subscriber("watcher", ("will", 1))
    await (await lab.client("a", will=Will("will", b"a"))).disconnect()
    assert await watcher.fence() == []


@conforms("MQTT-3.1.2-8", "MQTT-4.8.0-1", fails=("amqtt",))
async def test_will_is_published_after_a_protocol_error(lab: Lab) -> None:
    watcher = await lab.subscriber("watcher", ("will", 0))
    client = await lab.client("a", will=Will("will", b"a"))
    client.send(wire.packet(wire.CONNACK, 0, b"\0\0"))
    assert await client.expect_end() == []
    assert (await watcher.expect(PUBLISH)).payload == b"a"


@conforms("MQTT-3.1.4-2", "MQTT-3.1.2-8", fails=("amqtt",))
async def test_take_over_closes_the_old_connection_and_publishes_its_will(lab: Lab) -> None:
    watcher = await lab.subscriber("watcher", ("will", 1))
    old = await lab.client("a", will=Will("will", b"old"))
    new = await lab.client("a", will=Will("will", b"new"))
    assert await old.expect_end() == []
    assert (await watcher.expect(PUBLISH)).payload == b"old"
    assert await watcher.fence() == []
    assert await new.fence() == []
    new.cut()
    assert (await watcher.expect(PUBLISH)).payload == b"new"


@conforms("MQTT-3.1.4-2", "MQTT-3.1.2-8", fails=("mosquitto", "amqtt"))
async def test_take_over_of_a_persistent_session(lab: Lab) -> None:
    watcher = await lab.subscriber("watcher", ("will", 1))
    old = await lab.client("a", clean=False, will=Will("will", b"old"))
    new = await lab.client("a", clean=False, will=Will("will", b"new"))
    assert new.session_present
    assert await old.expect_end() == []
    assert [got.payload for got in await watcher.fence()] == [b"old"]
    new.cut()
    assert (await watcher.expect(PUBLISH)).payload == b"new"


@conforms("MQTT-3.1.4-2", fails=("amqtt",))
async def test_take_over_does_not_publish_the_new_will(lab: Lab) -> None:
    watcher = await lab.subscriber("watcher", ("will", 1))
    old = await lab.client("a", clean=False, will=Will("will", b"old"))
    await lab.client("a", clean=False, will=Will("will", b"new"))
    assert await old.expect_end() == []
    assert b"new" not in [got.payload for got in await watcher.fence()]


@conforms("MQTT-3.1.2-8", fails=("amqtt",))
async def test_the_will_is_that_of_the_last_connect(lab: Lab) -> None:
    watcher = await lab.subscriber("watcher", ("will", 0))
    await (await lab.client("a", clean=False, will=Will("will", b"1"))).disconnect()
    (await lab.client("a", clean=False, will=Will("will", b"2", retain=True))).cut()
    assert (await watcher.expect(PUBLISH)).payload == b"2"
    (await lab.client("a", clean=False)).cut()
    late = await lab.client("late")
    late.send(wire.subscribe([("will", 0)]))
    assert [got.payload for got in await late.fence() if got.kind == PUBLISH] == [b"2"]
    assert await watcher.fence() == []


# -- PUBLISH and acknowledgements


@conforms("MQTT-4.3.1-1", "MQTT-4.3.2-2", "MQTT-4.3.3-2", fails=("amqtt",))
async def test_every_qos_reaches_a_subscriber_at_the_lower_of_both(lab: Lab) -> None:
    publisher = await lab.client("publisher")
    for granted in (0, 1, 2):
        subscriber = await lab.subscriber(f"s{granted}", ("t", granted))
        for qos in (0, 1, 2):
            await publisher.publish("t", b"x", qos)
            got = await subscriber.expect(PUBLISH)
            assert (got.topic, got.payload, got.qos, got.dup) == ("t", b"x", min(qos, granted), False)
            if got.qos == 1:
                subscriber.send(wire.acknowledge(PUBACK, got.packet_id))
            elif got.qos == 2:
                subscriber.send(wire.acknowledge(PUBREC, got.packet_id))
                assert (await subscriber.expect(PUBREL)).packet_id == got.packet_id
                subscriber.send(wire.acknowledge(PUBCOMP, got.packet_id))
        assert await subscriber.fence() == []
        await subscriber.disconnect()


@conforms("MQTT-4.3.3-2", fails=("amqtt",))
async def test_qos_2_is_taken_once(lab: Lab) -> None:
    subscriber = await lab.subscriber("s", ("t", 0))
    publisher = await lab.client("p")
    for dup in (False, True):
        publisher.send(wire.publish("t", b"x", 2, dup=dup, packet_id=7))
        assert (await publisher.expect(PUBREC)).packet_id == 7
    publisher.send(wire.acknowledge(PUBREL, 7))
    assert (await publisher.expect(PUBCOMP)).packet_id == 7
    publisher.send(wire.acknowledge(PUBREL, 7))
    assert (await publisher.expect(PUBCOMP)).packet_id == 7
    await publisher.publish("t", b"y", 2)
    assert [(await subscriber.expect(PUBLISH)).payload for _ in "xy"] == [b"x", b"y"]
    assert await subscriber.fence() == []


@conforms("MQTT-4.3.2-1", "MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-4.6.0-1", fails=("amqtt",))
async def test_unacknowledged_messages_come_again_with_dup_and_in_order(lab: Lab) -> None:
    subscriber = await lab.subscriber("s", ("t", 1), clean=False)
    publisher = await lab.client("p")
    for number in range(5):
        await publisher.publish("t", bytes((number,)))
    first = [await subscriber.expect(PUBLISH) for _ in range(5)]
    subscriber.send(wire.acknowledge(PUBACK, first[0].packet_id))
    await subscriber.fence()
    subscriber.cut()
    await publisher.publish("t", b"\5")
    again = await lab.client("s", clean=False)
    got = [await again.expect(PUBLISH) for _ in range(5)]
    assert payloads(got) == [bytes((number,)) for number in range(1, 6)]
    assert all(one.dup for one in got[:4])
    assert [one.packet_id for one in got[:4]] == [one.packet_id for one in first[1:]]


@conforms("MQTT-4.4.0-1", "MQTT-4.3.3-1", fails=("amqtt",))
async def test_qos_2_goes_on_where_the_connection_broke(lab: Lab) -> None:
    subscriber = await lab.subscriber("s", ("t", 2), clean=False)
    publisher = await lab.client("p")
    await publisher.publish("t", b"x", 2)
    got = await subscriber.expect(PUBLISH)
    subscriber.send(wire.acknowledge(PUBREC, got.packet_id))
    assert (await subscriber.expect(PUBREL)).packet_id == got.packet_id
    subscriber.cut()
    again = await lab.client("s", clean=False)
    assert (await again.expect(PUBREL)).packet_id == got.packet_id
    again.send(wire.acknowledge(PUBCOMP, got.packet_id))
    assert await again.fence() == []
    again.cut()
    assert await (await lab.client("s", clean=False)).fence() == []


@conforms("MQTT-4.3.2-1", fails=("amqtt",))
async def test_a_message_is_kept_however_long_its_acknowledgement_takes(lab: Lab) -> None:
    subscriber = await lab.subscriber("s", ("t", 1), clean=False)
    await (await lab.client("p")).publish("t", b"x")
    await subscriber.expect(PUBLISH)
    with pytest.raises(TimeoutError):
        await subscriber.receive(wait_s=6.0 if lab.is_virtual else 0.1)
    subscriber.cut()
    got = await (await lab.client("s", clean=False)).expect(PUBLISH)
    assert (got.payload, got.dup) == (b"x", True)


@conforms("MQTT-3.1.2-4", "MQTT-3.1.2-5", fails=("amqtt",))
async def test_messages_wait_for_a_persistent_session(lab: Lab) -> None:
    await (await lab.subscriber("s", ("t", 1), clean=False)).disconnect()
    publisher = await lab.client("p")
    for number in range(100):
        await publisher.publish("t", bytes((number,)))
    again = await lab.client("s", clean=False)
    got = [await again.expect(PUBLISH) for _ in range(100)]
    assert payloads(got) == [bytes((number,)) for number in range(100)]
    assert not any(one.dup or one.retain for one in got)


OUTAGE_MESSAGES = 2_500


async def outage(lab: Lab, go_silent: Callable[[Client], None]) -> None:
    """A persistent QoS 1 subscriber fails a fifth into a stream; it must get all of it, repeats marked DUP."""
    subscriber = await lab.subscriber("s", ("t", 1), clean=False, keep_alive_s=600)
    publisher = await lab.client("p")
    seen: dict[bytes, int] = {}

    def take(got: Packet) -> None:
        assert got.kind == PUBLISH
        assert got.dup or got.payload not in seen
        seen[got.payload] = seen.get(got.payload, 0) + 1

    for number in range(OUTAGE_MESSAGES):
        publisher.send(wire.publish("t", b"%d" % number, 1, packet_id=number + 1))
        if number == OUTAGE_MESSAGES // 5:
            for _ in range(OUTAGE_MESSAGES // 10):
                take(got := await subscriber.receive())
                subscriber.send(wire.acknowledge(PUBACK, got.packet_id))
            go_silent(subscriber)
    acknowledged = {(await publisher.expect(PUBACK)).packet_id for _ in range(OUTAGE_MESSAGES)}
    assert len(acknowledged) == OUTAGE_MESSAGES
    if lab.is_virtual:
        await asyncio.sleep(30)
    if go_silent is not stall:
        subscriber = await lab.client("s", clean=False)
        assert subscriber.session_present
    while len(seen) < OUTAGE_MESSAGES:
        take(got := await subscriber.receive())
        subscriber.send(wire.acknowledge(PUBACK, got.packet_id))
    assert list(seen) == [b"%d" % number for number in range(OUTAGE_MESSAGES)]
    assert await subscriber.fence() == []


def stall(_: Client) -> None:
    """Read nothing for a while, then go on."""


def black_hole(_: Client) -> None:
    """Read nothing any more; the connection stays open on the broker's side until it is taken over."""


@conforms("MQTT-4.3.2-1", "MQTT-4.4.0-1", "MQTT-4.6.0-1")
async def test_a_stalled_subscriber_loses_nothing(lab: Lab) -> None:
    await outage(lab, stall)


@conforms("MQTT-4.3.2-1", "MQTT-4.4.0-1", "MQTT-4.6.0-1", fails=("amqtt",))
async def test_a_black_holed_subscriber_loses_nothing(lab: Lab) -> None:
    await outage(lab, black_hole)


@conforms("MQTT-4.3.2-1", "MQTT-4.4.0-1", "MQTT-4.6.0-1", fails=("amqtt",))
async def test_a_subscriber_that_was_cut_off_loses_nothing(lab: Lab) -> None:
    await outage(lab, Client.cut)


# -- subscriptions


@conforms("MQTT-3.3.5-1", fails=("amqtt",))
async def test_overlapping_subscriptions_deliver_once_at_the_highest_qos(lab: Lab) -> None:
    subscriber = await lab.subscriber("s", ("t/#", 0), ("t/a", 1), ("+/a", 0))
    await (await lab.client("p")).publish("t/a", b"x")
    got = await subscriber.expect(PUBLISH)
    assert got.qos == 1
    assert await subscriber.fence() == []


@conforms("MQTT-3.8.4-3", fails=("amqtt",))
async def test_a_repeated_subscription_replaces_the_first_and_sends_retained_again(lab: Lab) -> None:
    publisher = await lab.client("p")
    await publisher.publish("t", b"kept", retain=True)
    subscriber = await lab.client("s")
    for qos in (1, 0):
        subscriber.send(wire.subscribe([("t", qos)]))
        got = {one.kind: one for one in await subscriber.fence()}
        assert got[wire.SUBACK].body[2:] == bytes((qos,))
        assert (got[PUBLISH].payload, got[PUBLISH].qos, got[PUBLISH].retain) == (b"kept", qos, True)
    await publisher.publish("t", b"x")
    assert [(got.payload, got.qos) for got in await subscriber.fence()] == [(b"x", 0)]


@conforms("MQTT-3.8.4-4", "MQTT-3.8.4-5", "MQTT-3.9.3-1")
async def test_several_filters_are_answered_in_their_order(lab: Lab) -> None:
    client = await lab.client("a")
    client.send(wire.subscribe([("a", 2), ("b", 0), ("c", 1)], packet_id=77))
    got = await client.expect(wire.SUBACK)
    assert (got.packet_id, got.body[2:]) == (77, b"\2\0\1")


@conforms("MQTT-3.10.4-1", "MQTT-3.10.4-4", "MQTT-3.10.4-5")
async def test_unsubscribe_ends_delivery_and_is_always_answered(lab: Lab) -> None:
    client = await lab.subscriber("a", ("t", 1), ("u", 0))
    client.send(wire.unsubscribe(["t", "never"], packet_id=9))
    assert (await client.expect(wire.UNSUBACK)).packet_id == 9
    publisher = await lab.client("p")
    await publisher.publish("t", b"x")
    await publisher.publish("u", b"y")
    assert payloads(await client.fence()) == [b"y"]


@conforms("MQTT-4.7.1-2", "MQTT-4.7.1-3", "MQTT-4.7.3-4")
@pytest.mark.parametrize(
    ("topic_filter", "topic", "matches"),
    [
        ("sport/#", "sport", True),
        ("sport/#", "sport/a/b", True),
        ("sport/#", "sports", False),
        ("#", "a/b", True),
        ("+", "a", True),
        ("+", "/a", False),
        ("/+", "/a", True),
        ("+/+", "/a", True),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a/b/b/c", False),
        ("Case", "case", False),
        ("with space", "with space", True),
        ("\u00fcml\u00e4ut/+", "\u00fcml\u00e4ut/\u96ea", True),
    ],
)
async def test_topic_matching(lab: Lab, topic_filter: str, topic: str, matches: bool) -> None:
    client = await lab.subscriber("a", (topic_filter, 0))
    await (await lab.client("p")).publish(topic, b"x")
    assert payloads(await client.fence()) == [b"x"] * matches


@conforms("MQTT-4.7.2-1", fails=("amqtt",))
async def test_wildcards_do_not_match_dollar_topics(lab: Lab) -> None:
    client = await lab.subscriber("a", ("#", 0), ("+/x", 0))
    exact = await lab.subscriber("b", ("$lab/x", 0))
    publisher = await lab.client("p")
    await publisher.publish("$lab/x", b"dollar")
    await publisher.publish("lab/x", b"plain")
    assert payloads(await client.fence()) == [b"plain"]
    assert payloads(await exact.fence()) == [b"dollar"]


@conforms("MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.1-3")
@pytest.mark.parametrize("topic_filter", ["a/#/b", "a#", "#/a", "a+", "+a/b"])
async def test_malformed_filters_are_not_granted(lab: Lab, topic_filter: str) -> None:
    client = await lab.client("a")
    client.send(wire.subscribe([(topic_filter, 0)]))
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):  # closing is as good
        assert (await client.expect(wire.SUBACK)).body[2:] == b"\x80"


# -- retained messages


@conforms("MQTT-3.3.1-5", "MQTT-3.3.1-8", "MQTT-3.3.1-9", fails=("amqtt",))
async def test_retain_flag_is_set_for_a_new_subscription_only(lab: Lab) -> None:
    early = await lab.subscriber("early", ("t", 1))
    await (await lab.client("p")).publish("t", b"x", retain=True)
    assert not (await early.expect(PUBLISH)).retain
    late = await lab.client("late")
    late.send(wire.subscribe([("t", 1)]))
    assert [got.retain for got in await late.fence() if got.kind == PUBLISH] == [True]


@conforms("MQTT-3.3.1-6", "MQTT-3.3.1-8", fails=("amqtt",))
async def test_retained_messages_go_to_the_new_subscription_only(lab: Lab) -> None:
    publisher = await lab.client("p")
    await publisher.publish("t", b"x", retain=True)
    bystander = await lab.subscriber("bystander", ("other", 1), clean=False)
    subscriber = await lab.client("s")
    subscriber.send(wire.subscribe([("t", 1)]))
    assert [got.payload for got in await subscriber.fence() if got.kind == PUBLISH] == [b"x"]
    assert await (await lab.client("newcomer")).fence() == []
    assert await bystander.fence() == []
    await bystander.disconnect()
    assert await (await lab.client("bystander", clean=False)).fence() == []


@conforms("MQTT-3.3.1-8", fails=("amqtt",))
async def test_a_resumed_session_gets_no_retained_message_again(lab: Lab) -> None:
    subscriber = await lab.subscriber("s", ("t", 1), clean=False)
    await subscriber.disconnect()
    await (await lab.client("p")).publish("t", b"x", retain=True)
    again = await lab.client("s", clean=False)
    got = await again.expect(PUBLISH)
    assert (got.payload, got.retain) == (b"x", False)
    assert await again.fence() == []


@conforms("MQTT-3.3.1-10", "MQTT-3.3.1-11")
async def test_an_empty_payload_deletes_the_retained_message(lab: Lab) -> None:
    publisher = await lab.client("p")
    await publisher.publish("t", b"x", retain=True)
    early = await lab.client("early")
    early.send(wire.subscribe([("t", 1)]))
    assert [got.payload for got in await early.fence() if got.kind == PUBLISH] == [b"x"]
    await publisher.publish("t", b"", retain=True)
    assert [(got.payload, got.retain) for got in await early.fence()] == [(b"", False)]
    assert await (await lab.subscriber("late", ("t", 1))).fence() == []


@conforms("MQTT-3.3.1-5", "MQTT-3.3.1-12")
async def test_the_last_retained_message_counts_and_others_leave_it_alone(lab: Lab) -> None:
    publisher = await lab.client("p")
    await publisher.publish("t", b"1", retain=True)
    await publisher.publish("t", b"2", retain=True)
    await publisher.publish("t", b"3")
    late = await lab.client("late")
    late.send(wire.subscribe([("t", 1)]))
    assert [got.payload for got in await late.fence() if got.kind == PUBLISH] == [b"2"]


@conforms("MQTT-3.3.1-5", "MQTT-3.8.4-6", fails=("amqtt",))
async def test_retained_messages_come_at_the_lower_of_both_qos(lab: Lab) -> None:
    publisher = await lab.client("p")
    for qos in (0, 1, 2):
        await publisher.publish(f"t/{qos}", b"x", qos, retain=True)
    for granted in (0, 1, 2):
        late = await lab.client(f"late{granted}")
        late.send(wire.subscribe([("t/+", granted)]))
        got = {one.topic: one.qos for one in await late.fence() if one.kind == PUBLISH}
        assert got == {f"t/{qos}": min(qos, granted) for qos in (0, 1, 2)}


# -- malformed packets: the connection ends, the broker lives

RESERVED_TYPES = {
    "reserved packet type 0 (2.2.1)": b"\x00\x00",
    "reserved packet type 15 (2.2.1)": b"\xf0\x00",
}
MALFORMED = {
    "remaining length of five bytes (2.2.3)": b"\x30\xff\xff\xff\xff\x01",
    "SUBSCRIBE flags (MQTT-3.8.1-1)": wire.packet(8, 0, b"\0\1\0\1t\0"),
    "UNSUBSCRIBE flags (MQTT-3.10.1-1)": wire.packet(10, 0, b"\0\1\0\1t"),
    "PUBREL flags (MQTT-3.6.1-1)": wire.packet(6, 0, b"\0\1"),
    "PUBLISH at QoS 3 (MQTT-3.3.1-4)": wire.packet(3, 6, b"\0\1t\0\1x"),
    "PUBLISH to a wildcard (MQTT-3.3.2-2)": wire.publish("a/#"),
    "PUBLISH to no topic (MQTT-4.7.3-1)": wire.publish(""),
    "PUBLISH with U+0000 (MQTT-1.5.3-2)": wire.publish("a\0b"),
    "PUBLISH to a topic that is not UTF-8 (MQTT-1.5.3-1)": wire.publish(b"\xff\xfe"),
    "PUBLISH to a surrogate (MQTT-1.5.3-1)": wire.publish(b"\xed\xa0\x80"),
    "PUBLISH shorter than its topic": wire.packet(3, 0, b"\0\x09abc"),
    "PUBLISH without an identifier (MQTT-2.3.1-1)": wire.publish("t", b"", 1, packet_id=0),
    "SUBSCRIBE without a filter (MQTT-3.8.3-3)": wire.subscribe([]),
    "SUBSCRIBE at QoS 3 (MQTT-3.8.3-4)": wire.subscribe([("t", 3)]),
    "SUBSCRIBE to an empty filter (MQTT-4.7.3-1)": wire.subscribe([("", 0)]),
    "SUBSCRIBE longer than its packet": wire.packet(8, 2, b"\0\1\0\x09t\0"),
    "SUBSCRIBE without an identifier (MQTT-2.3.1-1)": wire.subscribe([("t", 0)], packet_id=0),
    "UNSUBSCRIBE without a filter (MQTT-3.10.3-2)": wire.unsubscribe([]),
    "CONNACK from a client": wire.packet(2, 0, b"\0\0"),
}


@conforms("MQTT-4.8.0-1", "MQTT-2.2.2-2")
@pytest.mark.parametrize("what", RESERVED_TYPES)
async def test_a_reserved_packet_type_ends_its_connection_only(lab: Lab, what: str) -> None:
    await malformed(lab, RESERVED_TYPES[what])


@conforms("MQTT-4.8.0-1", fails=("amqtt",))
@pytest.mark.parametrize("what", MALFORMED)
async def test_a_malformed_packet_ends_its_connection_only(lab: Lab, what: str) -> None:
    await malformed(lab, MALFORMED[what])


async def malformed(lab: Lab, data: bytes) -> None:
    watcher = await lab.subscriber("watcher", ("#", 0))
    client = await lab.client("a")
    client.send(data)
    assert await client.expect_end() == []
    await (await lab.client("b")).publish("t", b"alive")
    assert payloads(await watcher.fence()) == [b"alive"]


FORBIDDEN_FLAGS = {
    "reserved flag (MQTT-3.1.2-3)": (b"\x03", b""),
    "password without a user name (MQTT-3.1.2-22)": (b"\x42", wire.text("secret")),
}
MALFORMED_CONNECT = {
    "will QoS without a will (MQTT-3.1.2-13)": (b"\x0a", b""),
    "will retain without a will (MQTT-3.1.2-15)": (b"\x22", b""),
    "user name that is not there": (b"\x82", b""),
    "client identifier that is not UTF-8 (MQTT-1.5.3-1)": (b"\x02", b"\0\1\xff"),
    "something behind its last field": (b"\x02", b"\0\1ab"),
}


@conforms("MQTT-4.8.0-1")
@pytest.mark.parametrize("what", FORBIDDEN_FLAGS)
async def test_forbidden_connect_flags_are_not_accepted(lab: Lab, what: str) -> None:
    flags, tail = FORBIDDEN_FLAGS[what]
    await malformed_connect(lab, flags, wire.text("a") + tail)


@conforms("MQTT-4.8.0-1", fails=("amqtt",))
@pytest.mark.parametrize("what", MALFORMED_CONNECT)
async def test_a_malformed_connect_is_not_accepted(lab: Lab, what: str) -> None:
    flags, payload = MALFORMED_CONNECT[what]
    await malformed_connect(lab, flags, payload or wire.text("a"))


async def malformed_connect(lab: Lab, flags: bytes, payload: bytes) -> None:
    client = await lab.dial()
    client.send(wire.packet(wire.CONNECT, 0, wire.text("MQTT") + b"\4" + flags + b"\0\0" + payload))
    assert all(got.kind == wire.CONNACK and got.body[1] for got in await client.expect_end())
    assert await (await lab.client("b")).fence() == []
