"""The enterprise target: carries out what the Sparkplug session and the forwarding policy decide, over one broker."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from shakedown.bridge.config import NorthConfig
from shakedown.bridge.core import events as ev
from shakedown.bridge.core import naming
from shakedown.bridge.core.events import Effect, Event, Publish
from shakedown.bridge.core.forwarding import Forwarding, ForwardingConfig
from shakedown.bridge.core.model import Model, Sample, Value
from shakedown.bridge.core.session import Session, SessionConfig
from shakedown.bridge.core.transitions import State
from shakedown.bridge.journal.errors import JournalError
from shakedown.bridge.journal.journal import Journal
from shakedown.bridge.north.keeping import Keeper
from shakedown.bridge.north.mqtt import MqttConnection
from shakedown.bridge.north.tls import tls_context
from shakedown.bridge.secret import Secret

GOODBYE_S = 12.0
"""How long a polite stop may take at most; a little more than the session's own patience."""


class EnterpriseTarget:
    """One Sparkplug edge node on one broker, with its own cursor on the journal.

    `deliver`, `south` and `declare` are told what happens below; they never wait. `run` does everything else.
    """

    def __init__(
        self,
        name: str,
        config: NorthConfig,
        model: Model,
        journal: Journal,
        *,
        connect_to: Mapping[str, tuple[str, int]] | None = None,
        session: type[Session] = Session,
        forwarding: type[Forwarding] = Forwarding,
        log: logging.Logger | None = None,
        on_command: Callable[[int, Value], None] | None = None,
    ) -> None:
        host, port = config.host_port
        self.name = name
        self._server_name = host
        self._address = (connect_to or {}).get(f"{host}:{port}", (host, port))
        self._config = config
        self._journal = journal
        self._tls = tls_context(config.tls, f"north.{name}.tls") if config.secure and config.tls else None
        self._password = Secret(config.password, f"north.{name}.password") if config.password else None
        self._client_id = f"{model.group_id}/{model.edge_node_id}"
        self._barrier_topic = naming.barrier_topic(model.group_id, model.edge_node_id)
        self._log = log or logging.getLogger("shakedown.bridge")
        self._on_command = on_command
        reconnect = config.reconnect_s
        self.session = session(model, SessionConfig(config.primary_host, reconnect.min, reconnect.max))
        policy = ForwardingConfig.of(
            barrier_s=config.barrier_s,
            host_keep_alive_s=config.host_keep_alive_s,
            reconnect_max_s=reconnect.max,
            margin_s=config.retention_margin_s,
            replay_per_s=config.replay_per_s,
        )
        self._keeper = Keeper(name, policy, journal, forwarding, self._log)
        self.forwarding = self._keeper.forwarding
        self.dropped = self._keeper.dropped
        self.entries = self._keeper.entries
        self._connection: MqttConnection | None = None
        self._barriers: dict[int, tuple[int, float]] = {}  # packet identifier -> token, time sent
        self._can_tell = False  # the broker grants the subscription to the barriers
        self._is_asked = False  # on this connection, to show that it retains them
        self._timers: dict[ev.Timer, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._events: deque[Event] = deque()
        self._is_stepping = False
        self._stopped = asyncio.Event()
        self._is_cut = False
        self._wake = asyncio.Event()

    @property
    def counters(self) -> dict[str, int]:
        """What the session counted, and how far the forwarding is."""
        forwarding = self.forwarding
        return {
            **self.session.counters,
            "backlog": forwarding.backlog,
            "watermark": forwarding.watermark,
            "online": int(self.session.is_online),
        }

    @property
    def retention_s(self) -> float:
        """How long a row stays in the journal after it has arrived, at the least."""
        return self.forwarding.config.retention_s

    def known(self) -> list[Sample]:
        """The newest sample of each metric."""
        return self.session.image.known()

    # ---- told from below

    def recall(self, samples: Sequence[Sample]) -> None:
        """Values known from before a restart; they are in no need of being sent."""
        self._step(ev.Live(samples))

    def deliver(self, rows: range, samples: Sequence[Sample]) -> None:
        """Samples have been journaled as `rows`: publish them if that is possible now."""
        if not samples or self._is_cut:
            return
        self.forwarding.journaled(rows[0], rows[-1])
        connection = self._connection
        if connection is not None and self.session.is_online and connection.is_blocked:
            self._step(ev.Held(samples))
            return
        is_online = self.session.is_online
        self._step(ev.Live(samples))
        if is_online:
            self.forwarding.live(rows[0], rows[-1])

    def south(self, name: str, *, up: bool) -> None:
        """A server below has come or gone."""
        self._step(ev.SouthUp(name) if up else ev.SouthLost(name))

    def declare(self, values: Mapping[str, Value]) -> None:
        """Publish what the edge node says of itself and of this target, as far as it has changed."""
        rows = self._journal.last_row - self.forwarding.watermark
        own = {"bridge/backlog": self.forwarding.backlog, "bridge/journal_rows": rows}
        self._step(ev.NodeValues({**own, **values}))

    # ---- the life of the target

    async def run(self) -> None:
        """Stay connected and forward until cancelled; then say goodbye: NDEATH, DISCONNECT."""
        self._step(ev.Start())
        try:
            while True:
                await self._tick()
                pause_s = (
                    self.forwarding.pace.pause_s if self._may_replay() else min(1.0, self._config.barrier_s)
                )
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._wake.wait()
        finally:
            try:
                if not self._is_cut:
                    await self._goodbye()
                    with contextlib.suppress(JournalError):
                        await self._keeper.save()
            finally:
                self._release()

    def cut(self) -> None:
        """End as a crash does: the connection breaks, nothing is said any more."""
        self._is_cut = True
        self._release()

    async def _goodbye(self) -> None:
        self._step(ev.Stop())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await self._stopped.wait()

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
        for handle in self._timers.values():
            handle.cancel()
        for task in self._tasks:
            task.cancel()

    def _may_replay(self) -> bool:
        blocked = self._connection is None or self._connection.is_blocked
        return self.forwarding.is_replaying and self.session.is_online and not blocked

    async def _tick(self) -> None:
        await self._keeper.keep()
        if self._may_replay():
            await self._replay()
        elif self.session.is_online and not self.forwarding.is_replaying:
            self._step(ev.HistoryDone())  # what was outstanding may also have been lost, or confirmed
        self._check_life()
        self._barrier()

    async def _replay(self) -> None:
        """Send one slice of history."""
        forwarding = self.forwarding
        piece = forwarding.history(time.monotonic_ns())
        if piece is None:
            return
        epoch = forwarding.epoch
        try:
            rows = await self._journal.read(self.name, piece.after, piece.limit)
        except JournalError as error:
            self._log.error("north %s: %s", self.name, error)
            return
        if epoch != forwarding.epoch or not self._may_replay():
            return
        complete = len(rows) < piece.limit or rows[-1][0] >= piece.upto
        rows = [row for row in rows if row[0] <= piece.upto]
        if rows:
            self._step(ev.History([sample for _, sample in rows]))
        forwarding.replayed(piece, piece.upto if complete else rows[-1][0], len(rows))
        if not forwarding.is_replaying:
            self._step(ev.HistoryDone())

    def _barrier(self) -> None:
        connection = self._connection
        if connection is None or connection.is_blocked or not self.session.is_online:
            return
        barrier = self.forwarding.barrier(time.monotonic_ns())
        if barrier is not None:
            mid = connection.publish(
                Publish(self._barrier_topic, barrier.payload, qos=1, retain=barrier.retain)
            )
            self._barriers[mid] = (barrier.token, time.monotonic())

    def _check_life(self) -> None:
        """A broker is dead when a barrier stays unanswered for a keep-alive, or nothing comes for 1.5 of them."""
        connection = self._connection
        if connection is None or self.session.state not in (State.WAITING, State.BIRTHING, State.ONLINE):
            return
        connection.keep_alive()
        now_s, keep_alive_s = time.monotonic(), self._config.keep_alive_s
        silent_s = now_s - connection.heard_s
        asked_s = now_s - min((sent_s for _, sent_s in self._barriers.values()), default=now_s)
        if silent_s >= 1.5 * keep_alive_s or min(asked_s, silent_s) >= keep_alive_s:
            connection.abort()
            self.lost(f"nothing heard from the broker for {silent_s:.1f} s")

    # ---- Handler of the connection

    def connected(self) -> None:
        self._step(ev.Connected())

    def subscribed(self, granted: tuple[int, ...]) -> None:
        if self.session.state is State.SUBSCRIBING:  # the last filter is that of the barriers
            self._can_tell = len(granted) > 0 and granted[-1] <= 2
            self._step(ev.Subscribed(granted[:-1]))

    def received(self, topic: str, payload: bytes, is_retained: bool) -> None:
        if topic != self._barrier_topic:
            self._step(ev.Message(topic, payload, is_retained))
        elif is_retained:
            self._look_at_the_broker(lambda: self.forwarding.returned(payload))

    def acknowledged(self, mid: int) -> None:
        token, _ = self._barriers.pop(mid, (None, 0.0))
        if token is None:
            return
        self._look_at_the_broker(lambda: self.forwarding.barrier_acked(token, time.monotonic_ns()))
        if self.forwarding.needs_proof and not self._is_asked and self._connection is not None:
            self._is_asked = True
            self._connection.subscribe(((self._barrier_topic, 1),))

    def writable(self) -> None:
        """Back pressure is over: present values first, what was held back follows as history."""
        if self.session.is_online:
            self.forwarding.pace.blocked(time.monotonic_ns())
            self._step(ev.Released())
        self._wake.set()

    def lost(self, reason: str) -> None:
        self._connection = None
        self._barriers.clear()
        self.forwarding.closed()
        self._step(ev.ConnectionLost(reason))

    # ---- the session's effects

    def _step(self, event: Event) -> None:
        """Give the session an event and carry out its effects; events that these cause come after it."""
        self._events.append(event)
        if self._is_stepping:
            return
        self._is_stepping = True
        try:
            while self._events:
                state = self.session.state
                for effect in self.session.step(self._events.popleft(), time.time_ns()):
                    self._carry_out(effect)
                if self.session.state is not state:
                    self._log.info("north %s: %s", self.name, self.session.state.value)
                    if self.session.state is State.STOPPED:
                        self._stopped.set()
        finally:
            self._is_stepping = False

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Publish():
                if self._connection is not None:
                    self._connection.publish(effect)
            case ev.Schedule(timer, delay_s):
                if previous := self._timers.get(timer):
                    previous.cancel()
                loop = asyncio.get_running_loop()
                self._timers[timer] = loop.call_later(delay_s, self._step, ev.TimerFired(timer))
            case ev.Born():
                self._born()
            case ev.Subscribe(filters):
                if self._connection is not None:
                    self._connection.subscribe((*filters, (self._barrier_topic, 1)))
            case ev.TakeBdSeq():
                self._spawn(self._take_bd_seq())
            case ev.Connect(will):
                self._spawn(self._connect(will))
            case ev.Disconnect():
                self._disconnect()
            case ev.Abort():
                if self._connection is not None:
                    self._connection.abort()
                self._connection = None
                self.forwarding.closed()
            case ev.HostOnline(ts, is_live):
                self.forwarding.host(ts, is_live=is_live)
            case ev.HostOffline():
                self.forwarding.host_gone()
            case ev.Command(metric_id, value):
                if self._on_command is not None:
                    self._on_command(metric_id, value)
            case ev.Note(text):
                self._log.warning("north %s: %s", self.name, text)

    def _born(self) -> None:
        if self.forwarding.is_open:
            self.forwarding.reborn(time.monotonic_ns())
        else:
            self._look_at_the_broker(
                lambda: self.forwarding.opened(time.monotonic_ns(), can_tell=self._can_tell)
            )
        self._log.info(
            "north %s: born bdSeq=%d history=%d", self.name, self.session.bd_seq, self.forwarding.backlog
        )
        if not self.forwarding.is_replaying:
            self._events.append(ev.HistoryDone())
        self._wake.set()

    def _look_at_the_broker(self, look: Callable[[], None]) -> None:
        """Do what may show that the broker has lost its memory, and say so if it does."""
        was_distrusted = self.forwarding.is_distrusted
        look()
        if self.forwarding.is_distrusted and not was_distrusted:
            self._log.warning(
                "north %s: the broker has crashed or was replaced, and its STATE of %s is from before - nothing is "
                "confirmed until the host says anew that it is online", self.name, self._config.primary_host,
            )  # fmt: skip

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.disconnect()
        else:
            self._events.append(ev.ConnectionLost("not connected"))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=f"north {self.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take_bd_seq(self) -> None:
        try:
            bd_seq = await self._journal.next_bd_seq(self.name)
        except JournalError as error:
            self.lost(f"no bdSeq can be persisted: {error}")
            return
        self._step(ev.BdSeqTaken(bd_seq))

    async def _connect(self, will: Publish) -> None:
        user = (self._config.username, self._password.value()) if self._password else None
        connection = MqttConnection(
            self, client_id=self._client_id, keep_alive_s=self._config.keep_alive_s, will=will, user=user
        )
        if self._connection is not None:
            self._connection.abort()  # a bdSeq came so late that the attempt after it has begun
        self._connection = connection
        self._can_tell = self._is_asked = False
        self._barriers.clear()
        try:
            await connection.open(*self._address, tls=self._tls, server_name=self._server_name)
        except (OSError, TimeoutError) as error:
            connection.abort()
            if self._connection is connection:
                host, port = self._address
                self.lost(f"broker {host}:{port} cannot be reached: {str(error) or 'no answer'}")
