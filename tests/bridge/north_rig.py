"""A journal, an enterprise target and a watching subscriber, on the virtual or the wall clock, with TLS or without."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiomqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shakedown.bridge.config import NorthConfig, ReconnectConfig, TlsConfig
from shakedown.bridge.core import payload
from shakedown.bridge.core.datatypes import DOUBLE, STRING, UINT64
from shakedown.bridge.core.model import Metric, Model, Sample
from shakedown.bridge.journal.journal import Journal
from shakedown.bridge.north.enterprise import EnterpriseTarget
from shakedown.twin.clock import run
from shakedown.twin.enterprise.broker import EmbeddedBroker
from shakedown.twin.enterprise.mosquitto import MosquittoBroker, mosquitto_missing
from shakedown.twin.network.memory import MemoryNetwork

MODEL = Model(
    "site.area",
    "line",
    (
        Metric(0, "cell.a", "temperature", DOUBLE, "plc1"),
        Metric(1, "cell.a", "note", STRING, "plc1"),
        Metric(2, "", "bridge/backlog", UINT64),
    ),
    ("cell.a",),
)
KINDS = ("virtual", "virtual-tls", "wall", "wall-tls", "mosquitto")
WAIT_S = 20.0


@dataclass
class Seen:
    kind: str  # NBIRTH, DDATA, ...; "barrier"
    message: payload.Payload

    @property
    def bd_seq(self) -> int:
        return next(m.long_value for m in self.message.metrics if m.name == "bdSeq")


@dataclass
class Watch:
    """Everything that passed at the broker, in order."""

    seen: list[Seen] = field(default_factory=list)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, client: aiomqtt.Client) -> None:
        async with client:
            await client.subscribe([("spBv1.0/#", 1), ("shakedown/barrier/#", 1)])
            self.ready.set()
            async for message in client.messages:
                parts = str(message.topic).split("/")
                if parts[1] == "STATE":
                    continue
                decoded = payload.Payload()
                if parts[0] == "spBv1.0":
                    decoded.ParseFromString(bytes(message.payload))
                self.seen.append(Seen(parts[2] if parts[0] == "spBv1.0" else "barrier", decoded))
                self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait, bounded, until what was seen fulfils a condition."""
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def count(self, kind: str) -> int:
        return sum(seen.kind == kind for seen in self.seen)

    def values(self, historical: bool | None = None) -> list[tuple[int, int, object]]:
        """(alias, timestamp, value) of all data, in order of arrival."""
        return [
            (m.alias, m.timestamp, None if m.is_null else getattr(m, m.WhichOneof("value")))
            for seen in self.seen
            if seen.kind == "DDATA"
            for m in seen.message.metrics
            if historical is None or m.is_historical == historical
        ]


class Rig:
    """The parts of one test; `deliver` does what the app does with readings."""

    def __init__(self, folder: Path, port: int, tls: TlsConfig | None, address: str) -> None:
        self.folder, self.port, self.address = folder, port, address
        self.config = NorthConfig(
            broker=f"{'mqtts' if tls else 'mqtt'}://broker:{port}",
            tls=tls,
            keep_alive_s=4,
            primary_host="scada",
            host_keep_alive_s=1.0,
            reconnect_s=ReconnectConfig(min=0.2, max=0.5),
            barrier_s=0.2,
            retention_margin_s=0.0,
        )
        self.watch = Watch()
        self.journal: Journal
        self.target: EnterpriseTarget
        self.task: asyncio.Task[None] | None = None
        self._observer: asyncio.Task[None] | None = None
        self._tls = ssl.create_default_context(cafile=tls.ca) if tls else None

    async def open(self) -> None:
        self.journal = await Journal.open(
            self.folder / "journal", targets=["enterprise"], rows_max=100_000, metrics=MODEL.metrics
        )

    def start(self) -> None:
        connect_to = {f"broker:{self.port}": (self.address, self.port)}
        self.target = EnterpriseTarget("enterprise", self.config, MODEL, self.journal, connect_to=connect_to)
        self.target.south("plc1", up=True)
        self.task = asyncio.create_task(self.target.run())

    async def observe(self) -> None:
        """Start watching, and speak as the primary host."""
        if self._observer is not None:
            self._observer.cancel()
            await asyncio.wait([self._observer])
            self.watch.ready.clear()
        self._observer = asyncio.create_task(self.watch.run(self.client()))
        await asyncio.wait_for(self.watch.ready.wait(), WAIT_S)
        await self.say("spBv1.0/STATE/scada", b'{"online": true, "timestamp": 1000}', retain=True)

    def client(self) -> aiomqtt.Client:
        return aiomqtt.Client(
            self.address, self.port, tls_context=self._tls, tls_insecure=bool(self._tls) or None
        )

    async def say(self, topic: str, data: bytes, *, retain: bool = False) -> None:
        async with self.client() as client:
            await client.publish(topic, data, qos=1, retain=retain)

    async def deliver(self, *samples: Sample) -> None:
        rows = await self.journal.append(samples)
        self.target.deliver(rows, samples)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110 (what changes is in the bridge, which tells nobody)
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task], timeout=WAIT_S)

    async def close(self) -> None:
        await self.stop()
        if self._observer is not None:
            self._observer.cancel()
            await asyncio.wait([self._observer])
        await self.journal.close()


Broker = EmbeddedBroker | MosquittoBroker
Case = Callable[[Rig, Broker], Awaitable[None]]


def on(kind: str, folder: Path, case: Case) -> None:
    """Run a case on one kind of clock, network and broker."""
    if kind == "mosquitto" and (missing := mosquitto_missing()):
        pytest.skip(missing)
    is_virtual = kind.startswith("virtual")
    server, tls = certificates(folder) if kind.endswith("tls") else (None, None)
    port = 1883 if is_virtual else free_port()
    address = "broker" if is_virtual else "127.0.0.1"

    def make() -> Broker:
        if kind == "mosquitto":
            return MosquittoBroker(address, port, folder / "mosquitto")
        return EmbeddedBroker(address, port, tls=server)

    async def as_bridge(broker: Broker) -> None:
        rig = Rig(folder, port, tls, address)
        await rig.open()
        try:
            await case(rig, broker)
        finally:
            await rig.close()

    async def virtual() -> None:
        with MemoryNetwork() as network:
            network.add_conduit("wan", ("site", "enterprise"))
            broker_host, bridge_host = (
                network.add_host("broker", "enterprise"),
                network.add_host("bridge", "site"),
            )
            broker = OnHost(make(), broker_host)
            await broker.start()
            try:
                await bridge_host.spawn(as_bridge(broker), name="case")  # type: ignore[arg-type]
            finally:
                await broker.stop()

    async def wall() -> None:
        broker = make()
        await broker.start()
        try:
            await as_bridge(broker)
        finally:
            await broker.stop()

    run(virtual() if is_virtual else wall(), clock="virtual" if is_virtual else "wall")


class OnHost:
    """A broker whose calls run on its own host of the network in memory."""

    def __init__(self, broker: Broker, host: object) -> None:
        self._broker, self._host = broker, host

    async def start(self) -> None:
        await self._host.spawn(self._broker.start(), name="broker")  # type: ignore[attr-defined]

    async def stop(self) -> None:
        await self._host.spawn(self._broker.stop(), name="broker")  # type: ignore[attr-defined]

    async def crash(self) -> None:
        await self._host.spawn(self._broker.crash(), name="broker")  # type: ignore[attr-defined]


def kinds() -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "kind",
        [pytest.param(kind, marks=[] if kind.startswith("virtual") else pytest.mark.wall) for kind in KINDS],
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def certificates(folder: Path, name: str = "broker") -> tuple[ssl.SSLContext, TlsConfig]:
    """A broker's TLS context with a certificate of its own, and what the bridge must trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime(2025, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    ca, secret = folder / f"{name}.pem", folder / f"{name}.key"
    ca.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(ca, secret)
    return server, TlsConfig(ca=str(ca))
