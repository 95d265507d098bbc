"""The brokers that the conformance suite is held against, and how a case meets each of them."""

from __future__ import annotations

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
from shakedown.twin.enterprise.broker import EmbeddedBroker
from shakedown.twin.enterprise.mosquitto import MosquittoBroker, mosquitto_missing
from shakedown.twin.network.memory import MemoryNetwork
from tests.twin.mqtt_wire import PUBLISH, Client, Packet

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
MARKS = {
    "embedded-wall": [pytest.mark.wall],
    "mosquitto": [pytest.mark.wall],
    "amqtt": [pytest.mark.slow, pytest.mark.long],  # a library as it is changes with its version alone
}


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
            "kind",
            [pytest.param(kind, marks=[*MARKS.get(kind, []), *[strict] * (kind in fails)]) for kind in KINDS],
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
