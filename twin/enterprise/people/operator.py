"""The operator at the enterprise's alarm list: sees what the primary host shows, and acknowledges as a person does."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from shakedown.twin.enterprise.edge_view import Row
from shakedown.twin.enterprise.jsonl import JsonLines
from shakedown.twin.enterprise.people.operator_model import Handled, Operator, OperatorParameters

UNACKNOWLEDGED = frozenset({"unacked", "rtn_unacked", "latched_unacked"})
PRESS_AGAIN_S = 10.0  # a button that does nothing is pressed again after this time
PRESSES_MAX = 30  # and so many times; then the person calls somebody, which this model does not
TAGS_MAX = 10_000  # alarms on the list; others are not seen

_log = logging.getLogger(__name__)

Tag = tuple[str, str, str]
"""(edge node as `group/node`, device, alarm)"""


class Button(Protocol):
    """A way to acknowledge an alarm. Raises OSError when it cannot be pressed now."""

    async def press(self, edge: str, device: str, alarm: str, operator: str) -> None: ...


class CommandButton:
    """A DCMD on `alarm/<name>/ack`, sent by `command(edge, device, metric, text)` of the primary host."""

    def __init__(self, command: Callable[[str, str, str, str], Awaitable[None]]) -> None:
        self._command = command

    async def press(self, edge: str, device: str, alarm: str, operator: str) -> None:
        await self._command(edge, device, f"alarm/{alarm}/ack", operator)


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
    """An operator before the alarm list, which is a display of the primary host: `show` it what comes.

    `is_true(device, alarm)` says, when an alarm appears, whether it tells of something real: the operator finds out
    while handling it, and trusts the alarm accordingly. `priorities` maps `(device, alarm)` to a priority of site.yaml.
    `button` acknowledges; `log` is people.jsonl. `run()` goes on until cancelled.
    """

    def __init__(
        self,
        button: Button,
        *,
        seed: int,
        log: JsonLines,
        is_true: Callable[[str, str], bool],
        priorities: Mapping[tuple[str, str], str] | None = None,
        parameters: OperatorParameters | None = None,
        name: str = "operator",
    ) -> None:
        self._button, self._name, self._log = button, name, log
        self._operator = Operator(parameters or OperatorParameters(), seed, name)
        self._is_true, self._priorities = is_true, priorities or {}
        self._list: dict[Tag, _Shown] = {}
        self._news = asyncio.Event()
        self._presses: set[asyncio.Task[None]] = set()
        self.acknowledged = self.presses = self.given_up = 0

    # -- eyes ----------------------------------------------------------------------------------------------------------

    def show(self, edge: str, rows: list[Row]) -> None:
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

    async def run(self) -> None:
        """Acknowledge until cancelled."""
        try:
            await self._work()
        finally:
            for press in self._presses:
                press.cancel()

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
