"""The primary host: the lab's stand-in for SCADA, MES or historian, and the log of what the enterprise really has.

Sparkplug B 3.0 chapter 5: STATE birth and will, sequence reordering with a time limit, rebirth requests, deduplication.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import aiomqtt
import msgspec

from shakedown.twin.enterprise.edge_view import EdgeView, Row
from shakedown.twin.enterprise.jsonl import JsonLines
from shakedown.twin.enterprise.mqtt_batches import Batches, batches
from shakedown.twin.enterprise.sparkplug import decode, rebirth_command, text_command

REORDER_TIMEOUT_S = 5.0  # how long a gap in seq may last before a rebirth is asked for
REBIRTH_INTERVAL_S = 5.0  # at most one rebirth request per edge node in this time
GOODBYE_S = 2.0  # how long the last STATE may take to be acknowledged
RECONNECT_S = (1.0, 5.0)  # first and longest pause between attempts to reach the broker
MESSAGES_QUEUED_MAX = 100_000  # beyond it aiomqtt drops and warns: the loss then shows in the broker's count
MESSAGE_BYTES_MAX = 4 << 20
RECALLED_BYTES = 1 << 20  # of the log at once

Display = Callable[[str, list[Row]], None]
"""Is shown new rows of an edge node, `group/node`."""


class PrimaryHost:
    """A primary host application at `address:port` that appends what it holds to `log` (host.jsonl).

    `run()` goes on until it is cancelled and then says goodbye; `cut()` first makes it a crash: no more log, no goodbye
    that anybody hears. A new PrimaryHost on the same log remembers the samples that it holds. `displays` are shown the
    rows that it keeps, by edge node.
    """

    def __init__(
        self,
        address: str,
        port: int,
        *,
        host_id: str,
        keep_alive_s: int,
        log: Path,
        displays: Sequence[Display] = (),
        tls: ssl.SSLContext | None = None,
        user: tuple[str, str] | None = None,
    ) -> None:
        self._address, self._port = address, port
        self._state_topic = f"spBv1.0/STATE/{host_id}"
        self._host_id = host_id
        self._keep_alive_s = keep_alive_s
        self._displays = displays
        self._tls = tls
        self._user = user or (None, None)
        self._edges: dict[str, EdgeView] = {}
        self._gap_timers: dict[str, asyncio.TimerHandle] = {}
        self._asked_ns: dict[str, int] = {}
        self._client: aiomqtt.Client | None = None
        self._sends: set[asyncio.Task[None]] = set()
        self._reported_duplicates: dict[str, int] = {}
        self.samples = 0  # rows in the log, those of earlier hosts on the same log included
        self.messages = self.malformed = self.rebirths_asked = 0
        self.connected = asyncio.Event()
        if log.exists():
            self._recall(log)
        self._log = JsonLines(log, append=True)

    def _recall(self, log: Path) -> None:
        whole = msgspec.json.Decoder()
        with log.open("rb") as file:
            while lines := file.readlines(RECALLED_BYTES):
                samples = [line for line in lines if line.startswith(b'["H"') and line.endswith(b"]\n")]
                for _, _, edge, device, metric, ts_ms, value, quality, *_ in whole.decode_lines(
                    b"".join(samples)
                ):
                    self._edge(edge).dedupe[device, metric].is_new(ts_ms, value, quality)
                self.samples += len(samples)

    def _edge(self, name: str) -> EdgeView:
        if name not in self._edges:
            self._edges[name] = EdgeView(name)
        return self._edges[name]

    @property
    def duplicates(self) -> int:
        """Repeats recognised and dropped since the start of this host."""
        return sum(edge.duplicates for edge in self._edges.values())

    def cut(self) -> None:
        """The first half of a crash: nothing more reaches the log."""
        self._log.cut()

    async def run(self) -> None:
        """Stay connected, keep what is new, until cancelled."""
        self._event("started", {"host_id": self._host_id})
        pause_s = RECONNECT_S[0]
        try:
            while True:
                try:
                    await self._session()
                    pause_s = RECONNECT_S[0]
                except aiomqtt.MqttError as error:
                    if self._is_ending():
                        return  # the goodbye found no broker
                    self._lost(str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RECONNECT_S[1])
        finally:
            for timer in self._gap_timers.values():
                timer.cancel()
            self._log.close(time.time_ns(), samples=self.samples, duplicates=self.duplicates)

    async def _session(self) -> None:
        since_ms = time.time_ns() // 1_000_000
        birth = self._state(True, since_ms)
        will = aiomqtt.Will(self._state_topic, self._state(False, since_ms), 1, True)
        async with self._connection(will) as client:
            self._client = client
            await client.subscribe([(self._state_topic, 1), ("spBv1.0/+/+/+/#", 1)])
            await client.publish(self._state_topic, birth, 1, True)
            self._event("connected", {"state_ts_ms": since_ms})
            self.connected.set()
            try:
                async for messages in batches(client):
                    for message in messages:
                        self._on_message(message.topic.value, bytes(message.payload), birth)
            except asyncio.CancelledError:
                goodbye = self._state(False, time.time_ns() // 1_000_000)
                await client.publish(self._state_topic, goodbye, 1, True, timeout=GOODBYE_S)
                raise

    def _connection(self, will: aiomqtt.Will | None) -> aiomqtt.Client:
        return aiomqtt.Client(
            self._address,
            self._port,
            identifier=f"host-{self._host_id}",
            keepalive=self._keep_alive_s,
            will=will,
            tls_context=self._tls,
            username=self._user[0],
            password=self._user[1],
            queue_type=Batches,
            max_queued_incoming_messages=MESSAGES_QUEUED_MAX,
        )

    @staticmethod
    def _is_ending() -> bool:
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0

    @staticmethod
    def _state(online: bool, ts_ms: int) -> str:
        return json.dumps({"online": online, "timestamp": ts_ms})

    def _lost(self, reason: str) -> None:
        self._client = None
        self.connected.clear()
        self._event("disconnected", {"reason": reason})
        for name, edge in self._edges.items():
            if edge.online:
                edge.lost()
                self._event("stale", {"edge": name, "because": "host lost the broker"})

    def _event(self, kind: str, details: dict[str, object]) -> None:
        self._log.write(["E", time.time_ns(), kind, details])

    def _on_message(self, topic: str, payload: bytes, birth: str) -> None:
        if topic == self._state_topic:
            self._on_state(payload, birth)
            return
        parts = topic.split("/")
        if len(parts) not in (4, 5) or parts[1] == "STATE":
            return
        edge, kind, device = f"{parts[1]}/{parts[3]}", parts[2], parts[4] if len(parts) == 5 else ""
        if kind in ("NCMD", "DCMD"):
            return
        self.messages += 1
        try:
            if len(payload) > MESSAGE_BYTES_MAX:
                raise ValueError(f"{len(payload)} bytes, more than {MESSAGE_BYTES_MAX}")
            self._on_edge(edge, kind, device, payload)
        except ValueError as error:
            self.malformed += 1
            self._event("malformed", {"edge": edge, "topic": topic[:200], "because": str(error)[:200]})
            if edge in self._edges:
                self.ask_rebirth(edge, "malformed payload")

    def _on_state(self, payload: bytes, birth: str) -> None:
        try:
            state = json.loads(payload)
        except ValueError:
            state = None
        if not (isinstance(state, dict) and state.get("online") is True) and self._client is not None:
            self._send(self._client, self._state_topic, birth.encode(), qos=1, retain=True)

    def _on_edge(self, name: str, kind: str, device: str, raw: bytes) -> None:
        payload = decode(raw)
        edge = self._edge(name)
        if kind == "NDEATH":
            if edge.death(payload):
                self._event("stale", {"edge": name, "because": "NDEATH"})
                self._event("offline", {"edge": name})
            return
        if kind == "NBIRTH":
            self._keep(edge, edge.birth(payload))
            self._event("online", {"edge": name})
        elif kind in ("DBIRTH", "DDATA", "NDATA", "DDEATH"):
            rows, problem = edge.receive(kind, device, payload)
            self._keep(edge, rows)
            if problem:
                self.ask_rebirth(name, problem)
        else:
            raise ValueError(f"unknown message type {kind[:20]!r}")
        self._watch_gap(edge)

    def _keep(self, edge: EdgeView, rows: list[Row]) -> None:
        now_ns = time.time_ns()
        if rows:
            self.samples += len(rows)
            self._log.write_all([("H", now_ns, edge.edge, *row) for row in rows])
            for show in self._displays:
                show(edge.edge, rows)
        repeated = edge.duplicates - self._reported_duplicates.get(edge.edge, 0)
        if repeated:
            self._reported_duplicates[edge.edge] = edge.duplicates
            self._event("duplicate", {"edge": edge.edge, "count": repeated})

    def _watch_gap(self, edge: EdgeView) -> None:
        timer = self._gap_timers.pop(edge.edge, None)
        if edge.waiting:
            if timer is None:
                self._event("gap", {"edge": edge.edge, "waiting": len(edge.waiting)})
                loop = asyncio.get_running_loop()
                timer = loop.call_later(REORDER_TIMEOUT_S, self._gap_expired, edge)
            self._gap_timers[edge.edge] = timer
        elif timer is not None:
            timer.cancel()
            self._event("reordered", {"edge": edge.edge})

    def _gap_expired(self, edge: EdgeView) -> None:
        self._gap_timers.pop(edge.edge, None)
        if edge.waiting:
            self.ask_rebirth(edge.edge, f"a gap in seq lasted {REORDER_TIMEOUT_S:g} s")

    def ask_rebirth(self, edge: str, because: str, *, at_once: bool = False) -> None:
        """Send the edge node a rebirth command, unless no broker is there or (without `at_once`) one just went out."""
        now_ns = time.time_ns()
        too_soon = now_ns - self._asked_ns.get(edge, 0) < REBIRTH_INTERVAL_S * 1e9
        if self._client is None or (too_soon and not at_once):
            return
        self._asked_ns[edge] = now_ns
        self.rebirths_asked += 1
        self._event("rebirth_requested", {"edge": edge, "because": because})
        group, node = edge.split("/")
        self._send(self._client, f"spBv1.0/{group}/NCMD/{node}", rebirth_command(now_ns // 1_000_000))

    async def reaches_broker(self) -> bool:
        """Whether the broker answers on this host's own connection. Raises aiomqtt.MqttError."""
        if self._client is None:
            return False
        await self._client.subscribe(f"{self._state_topic}/nobody", 0)
        return True

    async def command(self, edge: str, device: str, metric: str, text: str) -> None:
        """Write `text` to a metric of a device: a DCMD. Raises OSError when no broker takes it."""
        if self._client is None:
            raise OSError("the primary host has no broker")
        group, node = edge.split("/")
        command = text_command(metric, text, time.time_ns() // 1_000_000)
        try:
            await self._client.publish(f"spBv1.0/{group}/DCMD/{node}/{device}", command, 0)
        except aiomqtt.MqttError as error:
            raise OSError(str(error)) from error

    async def say_of(self, host_id: str, *, online: bool | None) -> bool:
        """Publish a retained STATE of another host, None: take it away. Whether the broker has acknowledged it."""
        if self._client is None:
            return False
        payload = b"" if online is None else self._state(online, time.time_ns() // 1_000_000)
        try:
            await self._client.publish(f"spBv1.0/STATE/{host_id}", payload, 1, True, timeout=GOODBYE_S)
        except aiomqtt.MqttError:
            return False
        return True

    def _send(
        self, client: aiomqtt.Client, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False
    ) -> None:
        async def send() -> None:
            try:
                await client.publish(topic, payload, qos, retain)
            except aiomqtt.MqttError as error:
                self._event("disconnected", {"reason": f"publish to {topic} failed: {error}"})

        task = asyncio.get_running_loop().create_task(send(), name=f"host publish {topic}")
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)
