"""The bridge: sources below, a journal in the middle, Sparkplug targets above."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shakedown.bridge.config import Site, compile_all
from shakedown.bridge.core.alarm import CommandRefused
from shakedown.bridge.core.alarms import Alarms
from shakedown.bridge.core.forwarding import Forwarding
from shakedown.bridge.core.model import Metric, Reading, Sample, Value
from shakedown.bridge.core.normalise import is_refused, normalise
from shakedown.bridge.core.oee_shifts import Shifts
from shakedown.bridge.core.session import Session
from shakedown.bridge.core.work_orders import WorkOrders
from shakedown.bridge.journal.errors import JournalError
from shakedown.bridge.journal.journal import Journal
from shakedown.bridge.last_values import LastValues
from shakedown.bridge.north.cmms import Adapter, adapter_of
from shakedown.bridge.north.enterprise import GOODBYE_S, EnterpriseTarget
from shakedown.bridge.operations import STORE_S, TARGET, Operations, Outcome
from shakedown.bridge.operations_config import CmmsConfig
from shakedown.bridge.operations_model import OperationsModel
from shakedown.bridge.outbox import Outbox
from shakedown.bridge.south.kinds import KINDS
from shakedown.bridge.south.south import South

if TYPE_CHECKING:  # their web server takes a while to import: only where one is configured
    from shakedown.bridge.admin import Admin
    from shakedown.bridge.north.webhook import Webhook

DECLARE_S = 10.0
"""How often the bridge says how it is (only changes are sent), and stores the image for a restart; more often where
rows leave the journal sooner: the image must hold a value before its row goes."""

SOUTH_END_S, NORTH_END_S = 3.0, GOODBYE_S + 1.0
"""How long the parts may take to say goodbye before they are cancelled again."""

END_TRIES = 3

WAKE_S = 30.0
"""Longest sleep of the timers."""

RETRY_S = 1.0
"""Pause after what could not be written."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a bridge is made of; each can be replaced by one that keeps the same interface."""

    normalise: Callable[[Metric, Reading], Sample] = normalise
    journal: type[Journal] = Journal
    session: type[Session] = Session
    forwarding: type[Forwarding] = Forwarding
    north: type[EnterpriseTarget] = EnterpriseTarget
    alarms: type[Alarms] = Alarms
    shifts: type[Shifts] = Shifts
    work_orders: type[WorkOrders] = WorkOrders
    cmms: Callable[[CmmsConfig, tuple[str, int] | None], Adapter] = adapter_of


class Bridge:
    """One edge node as configured; `run()` until cancelled, then it stops politely.

    `connect_to` maps `host:port` of the configuration to the address that is really dialled. Raises ConfigError.
    """

    def __init__(
        self,
        site: Site,
        *,
        journal_path: str | Path,
        connect_to: Mapping[str, tuple[str, int]] | None = None,
        log: logging.Logger | None = None,
        parts: Parts | None = None,
    ) -> None:
        self.model, compiled = compile_all(site)
        self._site = site
        self._journal_path = Path(journal_path)
        self._connect_to = connect_to
        self._log = log or logging.getLogger("shakedown.bridge")
        self._parts = parts or Parts()
        self._normalise = self._parts.normalise
        self.operations = self._operations_of(compiled)
        self._outbox: Outbox | None = None
        self._webhook: Webhook | None = None
        self._admin: Admin | None = None
        self._due = asyncio.Event()
        self._commands: set[asyncio.Task[None]] = set()
        self._journal: Journal | None = None
        self._last_values: LastValues | None = None
        self._targets: tuple[EnterpriseTarget, ...] = ()
        self._souths: tuple[South, ...] = ()
        self._counted: Counter[str] = Counter()
        self._is_cut = False

    def _operations_of(self, compiled: OperationsModel) -> Operations | None:
        if compiled.is_empty:
            return None
        p = self._parts
        return Operations(compiled, self.model, alarms=p.alarms, shifts=p.shifts, work_orders=p.work_orders)

    @property
    def counters(self) -> dict[str, int]:
        """Everything that is counted, as `readings`, `south.plc1.connects`, `north.enterprise.births`, ..."""
        counters = dict(self._counted)
        if self._journal is not None:
            counters |= {"journal.last_row": self._journal.last_row, "journal.dropped": self._journal.dropped}
        for kind, work in (("work_orders", self._outbox), ("webhook", self._webhook), ("admin", self._admin)):
            if work is not None:
                counters |= {f"{kind}.{name}": n for name, n in work.counters.items()}
        for kind, parts in (("south", self._souths), ("north", self._targets)):
            for part in parts:
                counters |= {f"{kind}.{part.name}.{name}": n for name, n in part.counters.items()}
        return counters

    async def run(self) -> None:
        """Run until cancelled. Raises JournalError if the journal cannot be opened."""
        site, parts, model = self._site, self._parts, self.model
        journal = await parts.journal.open(
            self._journal_path,
            targets=[*site.north, *([TARGET] if self.operations is not None else [])],
            rows_max=site.journal.rows_max,
            metrics=model.metrics,
        )
        self._journal = journal
        try:
            self._targets = tuple(
                parts.north(
                    name, config, model, journal,
                    connect_to=self._connect_to, session=parts.session, forwarding=parts.forwarding, log=self._log,
                    on_command=self._on_command,
                )
                for name, config in site.north.items()
            )  # fmt: skip
            self._last_values = LastValues(journal)
            journal.on_dropped = self._on_dropped
            for target in self._targets:
                target.recall(await self._last_values.recall(model, target.name))
            if self.operations is not None:
                await self.operations.recall(journal)
                for name in site.south:
                    self.operations.reach(name, is_up=False)
            self._souths = tuple(
                KINDS[config.scheme].load()(
                    name, config, model.of_south(name), journal.get,
                    on_readings=self._on_readings, connect_to=self._connect_to,
                    on_lost=self._on_south_lost, on_alive=self._on_south_alive, on_event=self._on_event,
                )
                for name, config in site.south.items()
            )  # fmt: skip
            self._log.info(
                "bridge %s/%s: %d metrics, journal %s rows %d..%d", model.group_id, model.edge_node_id,
                len(model.metrics), self._journal_path.name, journal.watermark(self._targets[0].name), journal.last_row,
            )  # fmt: skip
            await self._run_parts()
        finally:
            await journal.close()

    def cut(self) -> None:
        """End as a crash does, before `run` is cancelled: nothing more is said and nothing more is written."""
        self._is_cut = True
        for target in self._targets:
            target.cut()

    async def _run_parts(self) -> None:
        """No part ends by itself unless it fails. The south ends first: what it has delivered still goes out."""
        loop = asyncio.get_running_loop()
        beside = self._beside()  # what of it is configured wrongly is said before anything runs
        norths = [loop.create_task(target.run(), name=f"north {target.name}") for target in self._targets]
        souths = [loop.create_task(south.run(), name=f"south {south.name}") for south in self._souths]
        souths.append(loop.create_task(self._declare(), name="declare"))
        souths += [loop.create_task(work, name=name) for name, work in beside]
        done: set[asyncio.Task[None]] = set()
        try:
            done, _ = await asyncio.wait([*norths, *souths], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(souths, SOUTH_END_S)
            await _end(norths, NORTH_END_S)
        for task in done:
            task.result()

    def _beside(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """What runs beside the south: timers, storing, the outbox, the HTTP for people."""
        operations, site = self.operations, self._site
        if operations is None:
            return []
        work = [("timers", self._run_timers(operations)), ("store", self._store(operations))]
        if site.cmms is not None:
            host, port = site.cmms.host_port
            adapter = self._parts.cmms(site.cmms, (self._connect_to or {}).get(f"{host}:{port}"))
            self._outbox = Outbox(operations, adapter, self._flush, self._log)
            work.append(("outbox", self._outbox.run()))
            if site.cmms.webhook is not None:
                from shakedown.bridge.north.webhook import Webhook

                assert self._journal is not None
                name = f"{self.model.group_id}/{self.model.edge_node_id}"
                self._webhook = Webhook(
                    site.cmms.webhook, adapter, self._journal, name, self._outbox.hint, self._log
                )
                work.append(("webhook", self._webhook.run()))
        if site.admin is not None:
            from shakedown.bridge.admin import Admin

            self._admin = Admin(operations, self._flush, site.admin.host, site.admin.port, self._log)
            work.append(("admin", self._admin.run()))
        return work

    # ---- from the south

    async def _on_readings(self, readings: Sequence[Reading], entries: Mapping[str, bytes | None]) -> None:
        """Normalise, journal, then hand on. Raises JournalError: then nothing was taken, and the south tries again."""
        if self._is_cut:
            raise asyncio.CancelledError
        metrics, normalise = self.model.metrics, self._normalise
        samples = [normalise(metrics[reading[0]], reading) for reading in readings]
        await self._take(samples, entries)
        self._count(readings, samples)

    async def _take(self, samples: list[Sample], entries: Mapping[str, bytes | None]) -> None:
        """Journal samples in one call with all that follows from them, then hand both on. Raises JournalError."""
        assert self._journal is not None
        operations, outcome = self.operations, Outcome()
        if operations is not None:
            operations.take(samples)
            outcome = operations.outcome(time.time_ns())
            if not samples and not entries and not outcome:
                return
        everything = samples + outcome.samples
        try:
            entries = {**entries, **outcome.entries}
            for target in self._targets:
                entries |= target.entries()
            rows = await self._journal.append(everything, entries)
        except JournalError:
            if operations is not None:
                operations.undo(outcome)
            self._counted["journal_failures"] += 1
            self._declare_now(is_failing=True)
            raise
        self._due.set()
        for target in self._targets:
            target.deliver(rows, everything)

    def _on_dropped(self, name: str, first_row: int, last_row: int, from_ts_ms: int, to_ts_ms: int) -> None:
        for target in self._targets:
            if target.name == name:
                target.dropped(first_row, last_row, from_ts_ms, to_ts_ms)

    async def _flush(self) -> None:
        """Journal and hand on what the engines have decided without a new sample. Raises JournalError."""
        await self._take([], {})

    async def _run_timers(self, operations: Operations) -> None:
        """Wake the engines when a delay, a shelf life or a shift is over; a full disk is answered with another try."""
        while not self._is_cut:
            due_ns = operations.due_ns
            wait_s = WAKE_S if due_ns is None else min(WAKE_S, max(0.0, (due_ns - time.time_ns()) / 1e9))
            self._due.clear()
            if wait_s > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._due.wait()
                continue
            operations.tick(time.time_ns())
            try:
                await self._flush()
            except JournalError:
                await asyncio.sleep(RETRY_S)

    async def _store(self, operations: Operations) -> None:
        assert self._journal is not None
        while True:
            await asyncio.sleep(STORE_S)
            try:
                await operations.store(self._journal, time.time_ns())
                await self._flush()
            except JournalError as error:
                self._log.error("%s", error)

    def _on_command(self, metric_id: int, value: Value) -> None:
        """A DCMD: obeyed, then written down as soon as it can be."""
        assert self.operations is not None
        try:
            self.operations.command(metric_id, value, time.time_ns())
        except CommandRefused as error:
            self._counted["commands_refused"] += 1
            self._log.warning("command refused: %s", error)
            return
        self._counted["commands"] += 1
        task = asyncio.get_running_loop().create_task(self._flush_command(), name="command")
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)

    async def _flush_command(self) -> None:
        try:
            await self._flush()
        except JournalError as error:  # it is kept, and goes with the next that can be written
            self._log.error("%s", error)

    def _count(self, readings: Sequence[Reading], samples: Sequence[Sample]) -> None:
        self._counted["readings"] += len(readings)
        for reading, sample in zip(readings, samples, strict=True):
            if sample[3] == 0 and is_refused(reading, sample):
                self._counted["values_refused"] += 1

    def _on_south_lost(self, name: str) -> None:
        self._log.warning("south %s: lost", name)
        if self.operations is not None:
            self.operations.reach(name, is_up=False)
        for target in self._targets:
            target.south(name, up=False)

    def _on_south_alive(self, name: str) -> None:
        self._log.info("south %s: alive", name)
        if self.operations is not None:
            self.operations.reach(name, is_up=True)
            self._due.set()
        for target in self._targets:
            target.south(name, up=True)

    def _on_event(self, kind: str, details: dict[str, Any]) -> None:
        self._counted[f"events.{kind}"] += 1
        if kind == "gap":
            self._counted["gaps_declared"] += int(details.get("declared", 0))
        self._log.info("%s %s", kind, " ".join(f"{key}={value}" for key, value in details.items()))

    # ---- what the edge node says of itself

    async def _declare(self) -> None:
        assert self._journal is not None
        assert self._last_values is not None
        stored_row = -1
        retention_s = min(target.retention_s for target in self._targets)
        while True:
            self._declare_now(is_failing=False)
            await asyncio.sleep(min(DECLARE_S, retention_s / 2))
            row = self._journal.last_row
            if row == stored_row:
                continue
            try:
                await self._last_values.store(self._targets[0].known(), row)
                stored_row = row
            except JournalError as error:
                self._log.error("%s", error)

    def _declare_now(self, *, is_failing: bool) -> None:
        assert self._journal is not None
        values: dict[str, Value] = {
            "bridge/declared_lost": self._journal.dropped,
            "bridge/declared_gaps": self._counted["gaps_declared"],
            "bridge/refused_values": self._counted["values_refused"],
            "bridge/journal_failing": is_failing,
            "bridge/lag_ms": max((south.counters.get("lag_ms", 0) for south in self._souths), default=0),
        }
        for target in self._targets:
            target.declare(values)


async def _end(tasks: Sequence[asyncio.Task[None]], patience_s: float) -> None:
    """Cancel tasks until they have ended, at most `END_TRIES` times.

    Once is not enough: on Python 3.11 `asyncio.wait_for` swallows a cancellation that arrives together with its result.
    """
    for _ in range(END_TRIES):
        pending = [task for task in tasks if not task.done()]
        if not pending:
            return
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=patience_s)
