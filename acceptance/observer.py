"""The passive observer: an ordinary MQTT subscriber at the enterprise broker that writes down what passes."""

from __future__ import annotations

import asyncio
import binascii
import os
import ssl
import time
from collections import Counter
from pathlib import Path
from typing import Any, cast

import aiomqtt
import msgspec

TOPIC = "spBv1.0/#"
KEEP_ALIVE_S = 10
CONNECT_TIMEOUT_S = 5.0
RECONNECT_S = (
    0.1,
    1.0,
)  # first and longest pause: births are not retained, so it must be back before the bridge is
EDGES_MAX = 1_000  # edge nodes that are counted; more are a flood
MESSAGES_QUEUED_MAX = (
    100_000  # beyond it aiomqtt drops and warns; the broker's own count then shows what is missing
)


class _Batches(asyncio.Queue[Any]):
    """Gives away all it holds as one item: aiomqtt starts two tasks for each."""

    def _init(self, maxsize: int) -> None:
        self._queue: list[aiomqtt.Message] = []

    def _put(self, item: aiomqtt.Message) -> None:
        self._queue.append(item)

    def _get(self) -> list[aiomqtt.Message]:
        held, self._queue = self._queue, []
        return held


class Observer:
    """Subscribes to all of Sparkplug at `address:port`, QoS 1 and clean session, and appends to `log` (observer.jsonl).

    `run()` goes on until it is cancelled; then the log gets its `Z` line. The broker may come and go meanwhile. Raises
    OSError when the log cannot be written, FileExistsError when it is there already.
    """

    def __init__(
        self,
        address: str,
        port: int,
        *,
        log: str | Path,
        name: str = "observer",
        tls: ssl.SSLContext | None = None,
        user: tuple[str, str] | None = None,
    ) -> None:
        self._address, self._port, self._name = address, port, name
        self._tls = tls
        self._user = user or (None, None)
        self._encode = msgspec.json.Encoder().encode
        self._fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self.messages = 0
        self.heard: Counter[str] = Counter()  # messages of each edge node, `group/node`, its deaths apart
        self.connected = asyncio.Event()

    async def run(self) -> None:
        """Stay connected and write until cancelled."""
        pause_s = RECONNECT_S[0]
        try:
            while True:
                try:
                    await self._session()
                except aiomqtt.MqttError as error:
                    if self.connected.is_set():
                        pause_s = RECONNECT_S[0]
                    self._lost(str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RECONNECT_S[1])
        finally:
            self._write(["Z", time.time_ns(), {"messages": self.messages}])
            os.close(self._fd)

    async def _session(self) -> None:
        async with aiomqtt.Client(
            self._address,
            self._port,
            identifier=f"shakedown-{self._name}",
            clean_session=True,
            keepalive=KEEP_ALIVE_S,
            timeout=CONNECT_TIMEOUT_S,
            tls_context=self._tls,
            username=self._user[0],
            password=self._user[1],
            queue_type=_Batches,
            max_queued_incoming_messages=MESSAGES_QUEUED_MAX,
        ) as client:
            await client.subscribe(TOPIC, qos=1)
            self._write(["E", time.time_ns(), "connected", {}])
            self.connected.set()
            async for item in client.messages:
                for message in cast("list[aiomqtt.Message]", item):
                    self._keep(message)

    def _keep(self, message: aiomqtt.Message) -> None:
        payload = (
            message.payload if isinstance(message.payload, bytes) else str(message.payload or "").encode()
        )
        text = binascii.b2a_base64(payload, newline=False).decode("ascii")
        self._write(["M", time.time_ns(), message.topic.value, text, message.qos, message.retain])
        self.messages += 1
        levels = message.topic.value.split("/", 4)
        if len(levels) > 3 and levels[2] != "NDEATH":
            edge = f"{levels[1]}/{levels[3]}"
            if edge in self.heard or len(self.heard) < EDGES_MAX:
                self.heard[edge] += 1

    def _lost(self, reason: str) -> None:
        if self.connected.is_set():
            self.connected.clear()
            self._write(["E", time.time_ns(), "disconnected", {"reason": reason}])

    def _write(self, record: list[object]) -> None:
        """Append one line; a system call each, so that a killed process leaves at most one torn line."""
        line = self._encode(record) + b"\n"
        while line:
            line = line[os.write(self._fd, line) :]
