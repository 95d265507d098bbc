"""The operator at the enterprise's alarm list: sees alarms over Sparkplug, and acknowledges them as a person does."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast
from urllib.parse import quote

import aiomqtt
import httpx2

from shakedown.twin.services.edge_view import EdgeView, Row
from shakedown.twin.services.jsonl import JsonLines
from shakedown.twin.services.people.operator_model import Handled, Operator, OperatorParameters
from shakedown.twin.services.sparkplug import decode, rebirth_command, text_command

UNACKNOWLEDGED = frozenset({"unacked", "rtn_unacked", "latched_unacked"})
KEEP_ALIVE_S = 30
RECONNECT_S = (1.0, 5.0)  # first and longest pause between attempts to reach the broker
PRESS_AGAIN_S = 10.0  # a button that does nothing is pressed again after this time
PRESSES_MAX = 30  # and so many times; then the person calls somebody, which this model does not
LOST_S = 15.0  # a display that shows data without a birth for so long is asked to be drawn anew
MESSAGE_BYTES_MAX = 4 << 20
MESSAGES_QUEUED_MAX = 100_000
TAGS_MAX = 10_000  # alarms and edge nodes on the list; others are not seen
HTTP_TIMEOUT_S = 10.0

_log = logging.getLogger(__name__)

Tag = tuple[str, str, str]
"""(edge node as `group/node`, device, alarm)"""


class Button(Protocol):
    """A way to acknowledge an alarm. Raises OSError when it cannot be pressed now."""

    async def press(self, edge: str, device: str, alarm: str, operator: str) -> None: ...


class HttpButton:
    """`POST {url}/alarms/{device}/{alarm}/ack` with `{"operator": ...}`."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    async def press(self, edge: str, device: str, alarm: str, operator: str) -> None:
        target = f"{self._url}/alarms/{quote(device, safe='')}/{quote(alarm, safe='')}/ack"
        try:
            async with httpx2.AsyncClient(timeout=HTTP_TIMEOUT_S, trust_env=False) as client:
                answer = await client.post(target, json={"operator": operator})
        except httpx2.HTTPError as error:
            raise OSError(f"{target}: {error}") from error
        if not answer.is_success:
            raise OSError(f"{target} answered {answer.status_code}")


@dataclass
class _Shown:
    """One line of the alarm list."""

    state: str = "normal"
    state_ms: int = -1
    occurrence: int = 0
    occurrence_ms: int = -1
    asked: int | None = None  # the occurrence that waits for the operator
    seen_ns: int = 0
    is_true: bool = False


class OperatorDesk:
    """An operator before the alarm list of the enterprise broker at `address:port`; `log` is people.jsonl.

    `is_true(device, alarm)` says, when an alarm appears, whether it tells of something real: the operator finds out
    while handling it, and trusts the alarm accordingly. `priorities` maps `(device, alarm)` to a priority of site.yaml.
    Without a `button` acknowledgement is a DCMD on `alarm/<name>/ack`. `run()` goes on until cancelled.
    """

    def __init__(
        self,
        address: str,
        port: int,
        *,
        seed: int,
        log: JsonLines,
        is_true: Callable[[str, str], bool],
        priorities: Mapping[tuple[str, str], str] | None = None,
        parameters: OperatorParameters | None = None,
        name: str = "operator",
        button: Button | None = None,
    ) -> None:
        self._address, self._port, self._name, self._log = address, port, name, log
        self._operator = Operator(parameters or OperatorParameters(), seed, name)
        self._is_true, self._priorities = is_true, priorities or {}
        self._button = button or self
        self._edges: dict[str, EdgeView] = {}
        self._lost_ns: dict[str, int] = {}
        self._list: dict[Tag, _Shown] = {}
        self._client: aiomqtt.Client | None = None
        self._news = asyncio.Event()
        self._presses: set[asyncio.Task[None]] = set()
        self.connected = asyncio.Event()
        self.acknowledged = self.malformed = self.presses = self.given_up = 0

    async def run(self) -> None:
        """Watch and acknowledge until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch(), name=f"{self._name} watches")
                tasks.create_task(self._work(), name=f"{self._name} acknowledges")
        finally:
            for press in self._presses:
                press.cancel()

    # -- eyes ----------------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        pause_s = RECONNECT_S[0]
        while True:
            try:
                async with aiomqtt.Client(
                    self._address,
                    self._port,
                    identifier=f"people-{self._name}",
                    keepalive=KEEP_ALIVE_S,
                    max_queued_incoming_messages=MESSAGES_QUEUED_MAX,
                ) as client:
                    self._client = client
                    await client.subscribe("spBv1.0/+/+/+/#", 0)
                    self.connected.set()
                    pause_s = RECONNECT_S[0]
                    async for message in client.messages:
                        self._on_message(message.topic.value, bytes(message.payload))
            except aiomqtt.MqttError as error:
                _log.info("%s lost the alarm list: %s", self._name, error)
            finally:
                self._client = None
                self.connected.clear()
                for edge in self._edges.values():
                    edge.lost()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RECONNECT_S[1])

    def _on_message(self, topic: str, raw: bytes) -> None:
        parts = topic.split("/")
        if len(parts) not in (4, 5) or parts[2] not in (
            "NBIRTH",
            "NDEATH",
            "NDATA",
            "DBIRTH",
            "DDATA",
            "DDEATH",
        ):
            return
        name, kind, device = f"{parts[1]}/{parts[3]}", parts[2], parts[4] if len(parts) == 5 else ""
        if name not in self._edges and len(self._edges) >= TAGS_MAX:
            return
        edge = self._edges.setdefault(name, EdgeView(name))
        try:
            if len(raw) > MESSAGE_BYTES_MAX:
                raise ValueError(f"{len(raw)} bytes")
            payload = decode(raw)
        except ValueError:
            self.malformed += 1
            return
        problem: str | None = None
        rows: list[Row] = []
        if kind == "NDEATH":
            edge.death(payload)
            return
        if kind == "NBIRTH":
            rows = edge.birth(payload)
        else:
            rows, problem = edge.receive(kind, device, payload)
        self._show(name, rows)
        self._mind_what_is_lost(name, bool(problem or edge.waiting))

    def _mind_what_is_lost(self, edge: str, is_lost: bool) -> None:
        """Whoever sees only part of the data has it drawn anew, after the primary host has had its chance."""
        now_ns = time.time_ns()
        since_ns = self._lost_ns.setdefault(edge, now_ns)
        if not is_lost:
            del self._lost_ns[edge]
        elif now_ns - since_ns > LOST_S * 1e9 and self._client is not None:
            self._lost_ns[edge] = now_ns
            group, node = edge.split("/")
            self._start(self._send(f"spBv1.0/{group}/NCMD/{node}", rebirth_command(now_ns // 1_000_000)))

    def _show(self, edge: str, rows: list[Row]) -> None:
        """Bring the list up to date: the latest of each alarm counts, in whatever order it came."""
        touched: dict[Tag, _Shown] = {}
        for device, metric, ts_ms, value, quality, *_ in rows:
            kind, _, rest = metric.partition("/")
            alarm, _, what = rest.partition("/")
            if kind != "alarm" or not alarm or quality != 192:
                continue
            tag = (edge, device, alarm)
            if tag not in self._list and len(self._list) >= TAGS_MAX:
                continue
            shown = touched[tag] = self._list.setdefault(tag, _Shown())
            if what == "occurrence" and isinstance(value, int) and ts_ms >= shown.occurrence_ms:
                shown.occurrence, shown.occurrence_ms = value, ts_ms
            elif not what and isinstance(value, str) and ts_ms >= shown.state_ms:
                shown.state, shown.state_ms = value, ts_ms
        for tag, shown in touched.items():
            self._look(tag, shown)

    def _look(self, tag: Tag, shown: _Shown) -> None:
        edge, device, alarm = tag
        asks = shown.occurrence if shown.state in UNACKNOWLEDGED else None
        if asks == shown.asked:
            return
        now_ns = time.time_ns()
        if shown.asked is not None:
            self._operator.withdraw((tag, shown.asked))
        shown.asked = asks
        if asks is not None:
            shown.seen_ns, shown.is_true = now_ns, self._is_true(device, alarm)
            priority = self._priorities.get((device, alarm), "medium")
            self._operator.annunciate(now_ns, (tag, asks), f"{edge}/{device}/{alarm}", priority)
        self._news.set()

    # -- hands ---------------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            self._news.clear()
            for handled in self._operator.advance(time.time_ns()):
                self._acknowledge(handled)
            next_ns = self._operator.next_ns()
            try:
                async with asyncio.timeout(
                    None if next_ns is None else max(0, next_ns - time.time_ns()) / 1e9
                ):
                    await self._news.wait()
            except TimeoutError:
                continue  # something is done now

    def _acknowledge(self, handled: Handled) -> None:
        tag, occurrence = cast(tuple[Tag, int], handled.key)
        shown = self._list[tag]
        if shown.asked != occurrence:
            return  # somebody else did
        _, device, alarm = tag
        self._operator.learn(handled.tag, shown.is_true)
        self.acknowledged += 1
        done = {"device": device, "alarm": alarm, "occurrence": occurrence, "operator": self._name}
        self._log.write(["K", time.time_ns(), "ack", {**done, "seen_ns": shown.seen_ns}])
        self._start(self._press_until_it_works(tag, occurrence))

    async def _press_until_it_works(self, tag: Tag, occurrence: int) -> None:
        for _ in range(PRESSES_MAX):
            self.presses += 1
            try:
                await self._button.press(*tag, self._name)
            except OSError as error:
                _log.info("%s cannot acknowledge %s: %s", self._name, tag, error)
            await asyncio.sleep(PRESS_AGAIN_S)
            if self._list[tag].asked != occurrence:
                return
        self.given_up += 1

    async def press(self, edge: str, device: str, alarm: str, operator: str) -> None:
        """The button of the display itself: a DCMD."""
        group, node = edge.split("/")
        command = text_command(f"alarm/{alarm}/ack", operator, time.time_ns() // 1_000_000)
        await self._send(f"spBv1.0/{group}/DCMD/{node}/{device}", command)

    async def _send(self, topic: str, payload: bytes) -> None:
        if self._client is None:
            raise OSError("the display has no broker")
        try:
            await self._client.publish(topic, payload, 0)
        except aiomqtt.MqttError as error:
            raise OSError(str(error)) from error

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(
            _tolerantly(work), name=f"{self._name} presses a button"
        )
        self._presses.add(task)
        task.add_done_callback(self._presses.discard)


async def _tolerantly(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except OSError as error:
        _log.info("%s", error)
