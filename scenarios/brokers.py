"""Which MQTT broker a run uses: the embedded one, a Mosquitto of its own, or one that is there already."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.model import Scenario
from shakedown.twin.enterprise.broker import EmbeddedBroker
from shakedown.twin.enterprise.jsonl import JsonLines
from shakedown.twin.enterprise.mosquitto import ForeignBroker, MosquittoBroker, mosquitto_missing


class Broker(Protocol):
    """What a lab needs of a broker."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def crash(self) -> None: ...


class AcceptanceLog:
    """broker.jsonl: every PUBLISH that the embedded broker accepted."""

    def __init__(self, path: Path) -> None:
        self._log = JsonLines(path)
        self.messages = 0

    def on_accept(self, ns: int, client_id: str, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        self.messages += 1
        self._log.write(
            ["A", ns, client_id, topic, bytes(payload), qos, retain]
        )  # msgspec writes bytes as base64

    def close(self) -> None:
        self._log.close(time.time_ns(), messages=self.messages)


def check_choice(choice: str, clock: str, scenario: Scenario) -> None:
    """Raise UsageError unless `choice` is embedded, mosquitto or an mqtt:// URL that can carry this scenario."""
    if choice == "embedded":
        return
    if choice != "mosquitto":
        foreign_address(choice)
    if clock != "wall":
        raise UsageError(
            f"--broker {choice} is a real process and cannot follow clock {clock}. Add --clock wall."
        )
    if choice == "mosquitto":
        if missing := mosquitto_missing():
            raise UsageError(f"--broker mosquitto: {missing}.")
        return
    restarts = [fault.id for fault in scenario.faults if fault.kind == "broker_restart"]
    if restarts:
        raise UsageError(
            f"--broker {choice}: scenario {scenario.name} restarts the broker ({', '.join(restarts)}), and the lab "
            "cannot restart one that it did not start. Give --broker mosquitto, or a scenario without broker_restart."
        )


def foreign_address(url: str) -> tuple[str, int]:
    """Host and port of `mqtt://host[:port]`. Raises UsageError."""
    try:
        parts = urlsplit(url)
        if parts.scheme == "mqtt" and parts.hostname:
            return parts.hostname, parts.port or 1883
    except ValueError:
        pass
    raise UsageError(f"--broker {url!r} is not a broker. Give `embedded`, `mosquitto` or a URL such as "
                     f"mqtt://127.0.0.1:1883.")  # fmt: skip


def make_broker(choice: str, address: str, port: int, folder: Path, log: AcceptanceLog | None) -> Broker:
    """The broker of that choice, to listen on `address:port` (a foreign one is where its URL says)."""
    if choice == "embedded":
        return EmbeddedBroker(address, port, on_accept=log.on_accept if log else None)
    if choice == "mosquitto":
        return MosquittoBroker(address, port, folder)
    return ForeignBroker(*foreign_address(choice))
