"""A connection to a live broker that only listens: what passes is handed over, one message at a time.

Each message is dealt with before the next is read, so nothing piles up here: what is too fast waits in the socket,
and at the broker.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from shakedown.acceptance.readers import WireMessage

TOPIC = "spBv1.0/#"
KEEP_ALIVE_S = 30
CONNECT_TIMEOUT_S = 10.0
LOOP_S = 0.2
RECONNECT_S = (0.5, 10.0)  # first and longest pause


class CannotListen(Exception):
    """The broker cannot be reached, or does not let us listen: says why."""


@dataclass(frozen=True)
class Address:
    """Where a broker is, and who we are there. `tls` holds the authority, and our own certificate if it wants one."""

    host: str
    port: int
    user: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None


class Connected:
    """The subscription is in force."""


class Lost:
    """The connection is gone; it is being made again."""


Event = WireMessage | Connected | Lost | None
"""None: nothing for a moment."""


def listen(address: Address, topic: str = TOPIC) -> Iterator[Event]:
    """What happens at the broker, for ever: after a connection that was there is lost, it is made again.

    A message whose topic is not UTF-8 is left out. Raises `CannotListen` when the first connection fails.
    """
    began = False
    pause_s = RECONNECT_S[0]
    while True:
        is_there = False
        try:
            for event in _Session(address, topic).events():
                if isinstance(event, Connected):
                    began = is_there = True
                    pause_s = RECONNECT_S[0]
                yield event
        except CannotListen:
            if not began:
                raise
        if is_there:
            yield Lost()
        until = time.monotonic() + pause_s
        while time.monotonic() < until:
            time.sleep(LOOP_S)
            yield None
        pause_s = min(2 * pause_s, RECONNECT_S[1])


class _Session:
    """One connection from CONNECT to its loss."""

    def __init__(self, address: Address, topic: str) -> None:
        self._address, self._topic = address, topic
        self._held: list[Event] = []
        self._refused = ""
        name = f"shakedown-monitor-{os.urandom(4).hex()}"
        self._client = client = mqtt.Client(CallbackAPIVersion.VERSION2, name, reconnect_on_failure=False)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        if address.user is not None:
            client.username_pw_set(address.user, address.password)
        if address.tls is not None:
            client.tls_set_context(address.tls)

    def events(self) -> Iterator[Event]:
        """What happens until the connection is lost. Raises `CannotListen` when it does not come about."""
        where = f"{self._address.host}:{self._address.port}"
        try:
            self._client.connect(self._address.host, self._address.port, KEEP_ALIVE_S)
        except (OSError, ValueError) as error:
            raise CannotListen(f"{where}: {error}") from None
        listening, by = False, time.monotonic() + CONNECT_TIMEOUT_S
        try:
            while True:
                result = self._client.loop(LOOP_S)
                held, self._held = self._held, []
                listening |= any(isinstance(event, Connected) for event in held)
                yield from held or (None,)
                if self._refused:
                    raise CannotListen(f"{where}: {self._refused}")
                if not listening and (result != mqtt.MQTT_ERR_SUCCESS or time.monotonic() > by):
                    raise CannotListen(f"{where}: {_reason(result)} before the subscription was in force")
                if result != mqtt.MQTT_ERR_SUCCESS:
                    return
        finally:
            self._client.disconnect()
            self._client.loop(0)

    def _on_connect(self, client: mqtt.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._refused = f"the broker refuses the connection: {reason}"
        else:
            client.subscribe(self._topic, qos=1)

    def _on_subscribe(self, client: Any, data: Any, mid: int, reasons: Any, properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._refused = f"the broker refuses the subscription to {self._topic}"
        else:
            self._held.append(Connected())

    def _on_message(self, client: Any, data: Any, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        entry = WireMessage(time.time_ns(), None, topic, bytes(message.payload), message.qos, message.retain)
        self._held.append(entry)


def _reason(result: int) -> str:
    if result == mqtt.MQTT_ERR_SUCCESS:
        return f"no answer for {CONNECT_TIMEOUT_S:g} s"
    return str(mqtt.error_string(result)).rstrip(".").lower()
