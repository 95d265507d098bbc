"""Mutual TLS, users and least privilege: the embedded broker on both clocks, and Mosquitto configured the same way."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from itertools import product
from pathlib import Path

import pytest

from shakedown.twin.authority import Authority, KeyPair
from shakedown.twin.clock import run
from shakedown.twin.enterprise.broker import EmbeddedBroker
from shakedown.twin.enterprise.broker_access import User, covers
from shakedown.twin.enterprise.mosquitto import MosquittoBroker, MosquittoSecurity, mosquitto_missing
from shakedown.twin.enterprise.server_tls import serving_context
from shakedown.twin.network.memory import MemoryNetwork
from tests.twin.mqtt_lab import ADDRESS, free_port, payloads
from tests.twin.mqtt_wire import CONNACK, PUBLISH, Client, Will, connect

USERS = {
    "edge": User(
        "edge's", publish=("spBv1.0/g/+/e/#",), subscribe=("spBv1.0/g/NCMD/e", "spBv1.0/STATE/scada")
    ),
    "other": User("other's", publish=("spBv1.0/g/+/o/#",), subscribe=("spBv1.0/g/NCMD/o",)),
    "scada": User("scada's", publish=("spBv1.0/STATE/scada", "spBv1.0/+/NCMD/#"), subscribe=("spBv1.0/#",)),
}
REFUSED = 0x80


class Lab:
    """A secured broker, and clients with or without what it asks for."""

    def __init__(self, broker: EmbeddedBroker | MosquittoBroker, authority: Authority, port: int) -> None:
        self.broker, self.port, self.authority = broker, port, authority
        self._pairs: dict[str, KeyPair] = {}
        self.refusals: list[tuple[str, str, str, str]] = []

    @property
    def is_ours(self) -> bool:
        return isinstance(self.broker, EmbeddedBroker)

    def tls(self, certificate: str | None = "client", authority: Authority | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.ca))
        if certificate is not None:
            if certificate not in self._pairs:
                self._pairs[certificate] = (authority or self.authority).issue(certificate)
            context.load_cert_chain(self._pairs[certificate].certificate, self._pairs[certificate].key)
        return context

    async def dial(self, tls: ssl.SSLContext | None = None) -> Client:
        return await Client.dial(ADDRESS, self.port, tls=tls or self.tls(), server_hostname="broker")

    async def client(self, name: str, client_id: str = "", will: Will | None = None) -> Client:
        client = await self.dial()
        assert await client.connect(client_id or name, user=(name, USERS[name].password), will=will) == 0
        return client

    def refused(self, what: str) -> int:
        return self.broker.counters.refused[what] if isinstance(self.broker, EmbeddedBroker) else -1


Case = Callable[[Lab, Path], Awaitable[None]]
KINDS = ("embedded", "embedded-wall", "mosquitto")


@pytest.fixture(params=[pytest.param(k, marks=[pytest.mark.wall] if k != "embedded" else []) for k in KINDS])
def on(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Case], None]:
    """Carry a case out on one kind of broker."""
    kind = request.param
    if kind == "mosquitto" and (missing := mosquitto_missing()):
        pytest.skip(missing)
    authority = Authority(tmp_path / "secrets")
    pair = authority.issue("broker")
    port = 1883 if kind == "embedded" else free_port()

    async def on_host(case: Case) -> None:
        broker: EmbeddedBroker | MosquittoBroker
        lab: Lab
        if kind == "mosquitto":
            files = MosquittoSecurity(pair.certificate, pair.key, authority.ca, USERS, tmp_path / "secrets")
            broker = MosquittoBroker(ADDRESS, port, tmp_path / "broker", security=files)
        else:
            tls = serving_context(pair.certificate, pair.key, clients=authority.ca)
            broker = EmbeddedBroker(
                ADDRESS,
                port,
                tls=tls,
                users=USERS,
                on_refuse=lambda ns, *refusal: lab.refusals.append(refusal),
            )
        lab = Lab(broker, authority, port)
        await broker.start()
        try:
            await case(lab, tmp_path)
        finally:
            await broker.stop()

    async def virtual(case: Case) -> None:
        with MemoryNetwork() as network:
            await network.add_host("lab", "enterprise").spawn(on_host(case), name="case")

    def carry_out(case: Case) -> None:
        if kind == "embedded":
            run(virtual(case))
        else:
            run(on_host(case), clock="wall")

    return carry_out


def test_a_publish_beyond_ones_own_is_acknowledged_and_goes_nowhere(on: Callable[[Case], None]) -> None:
    async def case(lab: Lab, folder: Path) -> None:
        scada, edge = await lab.client("scada"), await lab.client("edge")
        assert await scada.subscribe(("spBv1.0/#", 1)) == [1]
        for topic in ("spBv1.0/g/DDATA/o/d", "spBv1.0/STATE/scada", "spBv1.0/g/NCMD/o", "other"):
            for qos in (0, 1, 2):
                await edge.publish(topic, b"forged", qos)
        await edge.publish("spBv1.0/STATE/scada", b"forged", 1, retain=True)
        await edge.publish("spBv1.0/g/DDATA/e/d", b"own", 1)
        assert payloads(await scada.fence()) == [b"own"]
        late = await lab.client("scada", "late")
        assert await late.subscribe(("spBv1.0/STATE/scada", 1)) == [1]
        assert await late.fence() == []
        if lab.is_ours:
            assert lab.refused("publish") == 13
            assert lab.refusals[0] == ("publish", "edge", "edge", "spBv1.0/g/DDATA/o/d")

    on(case)


def test_a_wildcard_reads_no_more_than_was_granted(on: Callable[[Case], None]) -> None:
    async def case(lab: Lab, folder: Path) -> None:
        scada, edge = await lab.client("scada"), await lab.client("edge")
        filters = ("#", "spBv1.0/#", "+/+/+/+", "spBv1.0/g/NCMD/+", "spBv1.0/g/NCMD/e/#", "spBv1.0/g/NCMD/#")
        granted = [await edge.subscribe((topic_filter, 1)) for topic_filter in filters]
        if lab.is_ours:  # Mosquitto grants what it then does not deliver
            assert granted == [[REFUSED]] * len(filters)
            assert lab.refused("subscribe") == len(filters)
        await scada.publish("spBv1.0/g/NCMD/o", b"another's", 1)
        assert await edge.fence() == []
        assert await edge.subscribe(("spBv1.0/g/NCMD/e", 1), ("spBv1.0/STATE/scada", 1)) == [1, 1]
        await scada.publish("spBv1.0/g/NCMD/e", b"own", 1)
        assert set(payloads(await edge.fence())) == {b"own"}

    on(case)


def test_a_will_beyond_ones_own_is_not_published(on: Callable[[Case], None]) -> None:
    async def case(lab: Lab, folder: Path) -> None:
        scada = await lab.client("scada")
        assert await scada.subscribe(("spBv1.0/#", 1)) == [1]
        forger = await lab.client("edge", "forger", Will("spBv1.0/g/NDEATH/o", b"forged", 1, retain=True))
        honest = await lab.client("edge", "honest", Will("spBv1.0/g/NDEATH/e", b"own", 1))
        forger.cut()
        honest.cut()
        got = await scada.receive()
        assert (got.kind, got.payload) == (PUBLISH, b"own")
        assert await scada.fence() == []
        if lab.is_ours:
            assert lab.refusals == [("will", "edge", "forger", "spBv1.0/g/NDEATH/o")]

    on(case)


@pytest.mark.parametrize("user", [None, ("edge", "wrong"), ("edge", ""), ("nobody", "edge's"), ("", "")])
def test_who_is_not_a_user_is_refused(on: Callable[[Case], None], user: tuple[str, str] | None) -> None:
    async def case(lab: Lab, folder: Path) -> None:
        stranger = await lab.dial()
        assert await stranger.connect("x", user=user) == 5
        assert lab.refused("user") == (1 if lab.is_ours else -1)
        assert "edge's" not in str(lab.refusals)

    on(case)


@pytest.mark.parametrize("certificate", ["none", "foreign", "clear"])
def test_who_shows_no_certificate_of_the_run_is_refused(on: Callable[[Case], None], certificate: str) -> None:
    async def case(lab: Lab, folder: Path) -> None:
        edge = await lab.client("edge")
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await intrude(lab, certificate, folder)
        assert await edge.fence() == []  # nobody else suffers
        assert lab.refused("tls") == (1 if lab.is_ours else -1)

    on(case)


async def intrude(lab: Lab, certificate: str, folder: Path) -> None:
    """Say CONNECT with a user's password and without a certificate of the run; raises what the broker makes of it."""
    if certificate == "clear":
        stranger = await Client.dial(ADDRESS, lab.port)
    else:
        foreign = Authority(folder / "foreign")
        stranger = await lab.dial(lab.tls(None if certificate == "none" else "foreign", foreign))
    stranger.send(connect("x", user=("edge", "edge's")))
    assert (await stranger.receive()).kind != CONNACK


def test_a_client_identifier_is_its_first_users_own() -> None:
    users = {"edge": User("1", publish=("t",)), "thief": User("2")}

    async def main() -> None:
        broker = EmbeddedBroker(ADDRESS, 1883, users=users)
        await broker.start()
        edge = await Client.dial(ADDRESS, 1883)
        assert await edge.connect("edge", user=("edge", "1")) == 0
        thief = await Client.dial(ADDRESS, 1883)
        assert await thief.connect("edge", user=("thief", "2")) == 2  # identifier rejected
        assert await edge.fence() == []
        again = await Client.dial(ADDRESS, 1883)
        assert await again.connect("edge", user=("edge", "1")) == 0  # its own take-over
        assert (broker.counters.refused["client_id"], broker.counters.taken_over) == (1, 1)
        await broker.stop()

    async def on_host() -> None:
        with MemoryNetwork() as network:
            await network.add_host("lab", "enterprise").spawn(main(), name="case")

    run(on_host())


def matches(topic_filter: str, topic: str) -> bool:
    """MQTT 3.1.1, 4.7, told another way."""
    if not topic_filter:
        return not topic
    if topic_filter == "#":
        return True
    if topic_filter.endswith("/#") and topic == topic_filter[:-2] and "+" not in topic_filter:
        return True
    levels, parts = topic_filter.split("/"), topic.split("/")
    if levels[-1] == "#" and len(parts) >= len(levels) - 1:
        levels, parts = levels[:-1], parts[: len(levels) - 1]
    return len(levels) == len(parts) and all(a in ("+", b) for a, b in zip(levels, parts, strict=True))


def test_a_grant_covers_exactly_the_filters_whose_topics_it_matches() -> None:
    topics = ["/".join(levels) for depth in (1, 2, 3, 4) for levels in product("ab", repeat=depth)]
    filters = [
        "/".join(levels)
        for depth in (1, 2, 3)
        for levels in product("ab+#", repeat=depth)
        if "#" not in levels[:-1]
    ]
    for granted, wanted in product(filters, repeat=2):
        expected = all(matches(granted, topic) for topic in topics if matches(wanted, topic))
        if (granted, wanted) != ("+/#", "#"):  # another way to write #, refused: who means all may say so
            assert covers(granted, wanted) == expected, (granted, wanted)
    assert not covers("#", "$SYS/broker")
    assert not covers("+/broker", "$SYS/broker")
