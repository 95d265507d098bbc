"""Bridge (the policy alone), link, broker and host, in steps of half a second; each of them fails in any order."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from shakedown.bridge.core.forwarding import NS, Forwarding, ForwardingConfig
from shakedown.bridge.core.memory import Memory
from shakedown.bridge.core.spans import Spans

CONFIG = ForwardingConfig(barrier_s=1.0, retention_s=20.0, replay_per_s=100, slice_max=50)
STEP_S = 0.5
UNNOTICED_S = 15.0  # 1.5 x the host's keep-alive; R = 20 s leaves 5 s to come back
RETURN_S = 4.0  # how long a host that lives takes to come back
RECONNECT_S = 1.0
SAVE_STEPS = 10


@dataclass
class BrokerModel:
    """`sync` has on disk what it has retained, `snapshot` what it had when it was last written, `empty` nothing;
    `deaf` retains no barriers and `refusing` does not even grant the subscription."""

    kind: str
    barrier: bytes | None = None
    state: tuple[bool, int] | None = None
    file: tuple[bytes | None, tuple[bool, int] | None] = (None, None)
    down_steps: int = 0

    @property
    def is_up(self) -> bool:
        return self.down_steps == 0

    def retain_barrier(self, payload: bytes) -> None:
        if self.kind not in ("deaf", "refusing"):
            self.barrier = payload
            self._write()

    def retain_state(self, state: tuple[bool, int]) -> None:
        self.state = state
        self._write()

    def _write(self) -> None:
        if self.kind == "sync":
            self.snapshot()

    def snapshot(self) -> None:
        if self.kind != "empty":
            self.file = (self.barrier, self.state)

    def crash(self, steps: int) -> bool:
        """Returns whether nobody can tell by its memory that it has crashed."""
        is_the_same = self.file[0] == self.barrier
        self.barrier, self.state = self.file
        self.down_steps = steps
        return is_the_same and self.state is not None and self.state[0]


@dataclass
class HostModel:
    """`standard`, `foreign` (its timestamp never changes), or `none`: the broker's subscribers are always there."""

    kind: str
    ts: int = 1000
    is_connected: bool = True
    unnoticed_s: float = 0.0  # half-open: the broker does not know yet
    back_s: float = 0.0

    @property
    def is_receiving(self) -> bool:
        return self.kind == "none" or (self.is_connected and self.unnoticed_s == 0)

    def leave(self, back_s: float) -> None:
        self.is_connected, self.unnoticed_s, self.back_s = False, 0.0, back_s


@dataclass
class Plant:
    policy: type[Forwarding] = Forwarding
    config: ForwardingConfig = CONFIG
    broker_kind: str = "sync"
    host_kind: str = "standard"
    silence_s: float = 6.0  # how long the bridge takes to notice a dead link
    latency_steps: int = 2  # of the way down
    rows_max: int = 1_000_000  # of the journal
    now_ns: int = NS
    boot_ns: int = 0
    received: set[int] = field(default_factory=set)
    sent: int = 0  # rows that went out, each time they did
    confirmed: int = 0
    last_row: int = 0
    link: str = "up"  # up, swallow (both ways), no_acks (down direction only), down (visibly)

    def __post_init__(self) -> None:
        self.journal: list[tuple[int, int]] = []  # batches of rows
        self.settled: set[int] = set()  # what the journal knows to have arrived
        self.gone: set[int] = set()  # dropped, neither arrived nor declared
        self.declared: set[int] = set()
        self.broker, self.host = BrokerModel(self.broker_kind), HostModel(self.host_kind)
        if self.host_kind != "none":
            self.broker.retain_state((True, self.host.ts))
        self.forwarding = self.policy(self.config, 0, 0, Memory("a"))
        self.saved, self.saved_step, self.steps = Memory("a").encode(), 0, 0
        self.link_s, self.has_swallowed = 0.0, False
        self.is_connected = self.is_online = self.is_asked = False
        self.is_dead = False  # the broker of this connection has crashed, which the bridge may not know
        self.idle_s = RECONNECT_S
        self.host_ts = -1  # newest STATE that the session has obeyed
        self.downlink: deque[tuple[int, str, object]] = deque()  # (step, what, of what), in order
        self.recent: list[set[int]] = [set(), set()]  # rows that the broker has read just now, and before
        self.since_births: set[int] = set()
        self.confused: set[int] = set()  # sent to a host that asks for births
        self.rebirth_steps = 0

    @property
    def mono_ns(self) -> int:
        return self.now_ns - self.boot_ns

    # ---- one step

    def step(self, rows: int) -> None:
        self.steps += 1
        self.now_ns += int(STEP_S * NS)
        self.recent = [set(), self.recent[0]]
        self._broker_and_host()
        self._link()
        self._receive()
        self._rebirths()
        if rows:
            first, self.last_row = self.last_row + 1, self.last_row + rows
            self._append(first, self.last_row)
            self.forwarding.journaled(first, self.last_row)
            if self.is_online:
                self._send(range(first, self.last_row + 1))
                self.forwarding.live(first, self.last_row)
        self._replay()
        if self.forwarding.is_unsaved or (rows and self.steps - self.saved_step >= SAVE_STEPS):
            self.save()
        self._barrier()
        self._confirm()

    def save(self) -> None:
        self.forwarding.is_unsaved, self.saved_step = False, self.steps
        self.saved = self.forwarding.memory().encode()

    def _broker_and_host(self) -> None:
        broker, host = self.broker, self.host
        broker.down_steps = max(0, broker.down_steps - 1)
        if not broker.is_up or host.kind == "none":
            return
        if host.is_connected and host.unnoticed_s > 0:
            host.unnoticed_s -= STEP_S
            if host.unnoticed_s <= 0:
                host.leave(RETURN_S)
                self._say_state(online=False)
        elif not host.is_connected:
            host.back_s -= STEP_S
            if host.back_s <= 0:
                host.is_connected, host.unnoticed_s = True, 0.0
                host.ts += host.kind == "standard"
                self._say_state(online=True)

    def _say_state(self, *, online: bool) -> None:
        self.broker.retain_state((online, self.host.ts))
        self._down("state", (online, self.host.ts, True))

    def _down(self, what: str, of_what: object) -> None:
        if self.is_connected and not self.is_dead:
            self.downlink.append((self.steps + self.latency_steps, what, of_what))

    def _link(self) -> None:
        swallowed, self.has_swallowed = self.has_swallowed, self.link == "swallow"
        is_reset = self.link == "down" or (swallowed and self.link != "swallow")  # TCP does not skip bytes
        self.link_s = 0.0 if self.link == "up" else self.link_s + STEP_S
        if self.is_connected and (
            is_reset or self.link_s >= self.silence_s or (self.is_dead and self.link == "up")
        ):
            self.disconnect()
        elif not self.is_connected:
            self.idle_s += STEP_S
            if self.link == "up" and self.broker.is_up and self.idle_s >= RECONNECT_S:
                self._connect()

    def disconnect(self) -> None:
        self.is_connected = self.is_online = self.is_asked = self.is_dead = False
        self.idle_s = 0.0
        self.downlink.clear()
        self.received |= self.confused  # nobody asked for them
        self.confused.clear()
        self.forwarding.closed()

    def _connect(self) -> None:
        self.is_connected = True
        self._down("suback", None)
        if self.broker.state is not None:
            self._down("state", (*self.broker.state, False))
        self._give_back()

    def _give_back(self) -> None:
        if self.broker.barrier is not None:
            self._down("returned", self.broker.barrier)

    # ---- what the bridge is told

    def _receive(self) -> None:
        while self.is_connected and self.link == "up" and self.downlink and self.downlink[0][0] <= self.steps:
            _, what, of_what = self.downlink.popleft()
            getattr(self, f"_on_{what}")(of_what)

    def _on_suback(self, _: object) -> None:
        if self.host.kind == "none":
            self._births()

    def _on_state(self, state: tuple[bool, int, bool]) -> None:
        online, ts, is_live = state
        if ts < self.host_ts:
            return
        is_new, self.host_ts = is_live or ts > self.host_ts, ts
        if not online:
            self.forwarding.host_gone()
            if self.is_online:
                self.disconnect()
            return
        self.forwarding.host(ts, is_live=is_live)
        if not self.is_online or is_new:
            self._births()

    def _on_returned(self, payload: bytes) -> None:
        self.forwarding.returned(payload)

    def _on_puback(self, token: int) -> None:
        self.forwarding.barrier_acked(token, self.mono_ns)
        if self.forwarding.needs_proof and not self.is_asked:
            self.is_asked = True
            self._give_back()

    def _births(self) -> None:
        if self.forwarding.is_open:
            self.forwarding.reborn(self.mono_ns)
        else:
            self.forwarding.opened(self.mono_ns, can_tell=self.broker.kind != "refusing")
        self.is_online = True
        self.since_births.clear()

    def _rebirths(self) -> None:
        """The host understands nothing for some steps; its commands come once a second."""
        if self.rebirth_steps:
            self.rebirth_steps -= 1
            if self.rebirth_steps % 2 == 0 and self.is_online and self.link == "up":
                self.confused.clear()
                self._births()

    # ---- what the bridge does

    @property
    def is_read(self) -> bool:
        """Whether the broker reads what the bridge sends."""
        return self.link in ("up", "no_acks") and self.broker.is_up and not self.is_dead

    def _append(self, first: int, last: int) -> None:
        """One batch; at the bound whole batches go, as the forwarding wants it."""
        self.journal.append((first, last))
        excess = sum(b - a + 1 for a, b in self.journal) - self.rows_max
        for low, high in (*self.forwarding.spare(), (0, last)):
            for a, b in [batch for batch in self.journal if low <= batch[0] and batch[1] <= high]:
                if excess > 0:
                    excess -= b - a + 1
                    self.journal.remove((a, b))
                    lost = {row for row in range(a, b + 1) if row > self.confirmed} - self.settled
                    self.gone |= lost
                    for row in sorted(lost):
                        self.forwarding.dropped(row, row)

    def _send(self, rows: Sequence[int]) -> None:
        self.sent += len(rows)
        assert not self.since_births & set(rows), "what comes twice between births is taken for two"
        self.since_births |= set(rows)
        if self.is_read:
            self.recent[0] |= set(rows) - self.received
            if self.rebirth_steps and self.link == "up":
                self.confused |= set(rows) - self.received
            elif self.host.is_receiving:
                self.received |= set(rows)

    def _replay(self) -> None:
        piece = self.forwarding.history(self.mono_ns) if self.is_online else None
        if piece is not None:
            rows = [
                r for a, b in self.journal if b > piece.after for r in range(max(a, piece.after + 1), b + 1)
            ]
            rows = rows[: piece.limit]
            complete = len(rows) < piece.limit or rows[-1] >= piece.upto
            rows = [row for row in rows if row <= piece.upto]
            self._send(rows)
            self.forwarding.replayed(piece, piece.upto if complete else rows[-1], len(rows))

    def _barrier(self) -> None:
        barrier = self.forwarding.barrier(self.mono_ns) if self.is_online else None
        if barrier is not None and self.is_read:
            if barrier.retain:
                self.broker.retain_barrier(barrier.payload)
            self._down("puback", barrier.token)

    def _confirm(self) -> None:
        forwarding, row = self.forwarding, self.forwarding.confirmable()
        lost = Spans(forwarding.lost)
        self.declared |= _rows(lost) & self.gone
        self.gone -= self.declared
        forwarding.declared(lost)
        arrived = set(range(self.confirmed + 1, (row or 0) + 1)) | _rows(forwarding.arrived)
        missing = arrived - self.received - self.declared
        assert not missing, f"rows {sorted(missing)[:5]} left the journal, the host never had them"
        self.gone -= arrived
        self.settled |= arrived
        if row is not None:
            assert row > self.confirmed
            self.confirmed = row
            forwarding.confirmed(row)
        forwarding.settled(Spans(forwarding.arrived))
        self.journal = [(a, b) for a, b in self.journal if not set(range(a, b + 1)) <= self.settled]

    # ---- faults

    def fail(self, kind: str, steps: int) -> None:
        """A fault that comes once; what it lasts is half seconds."""
        host = self.host
        if kind == "snapshot":
            self.broker.snapshot()
        elif kind == "broker_crash" and self.broker.is_up:
            self._crash_broker(steps)
        elif kind in ("kill", "reboot"):
            self._kill(is_reboot=kind == "reboot")
        elif kind == "rebirths":
            self.rebirth_steps = steps
        elif host.kind == "none" or not host.is_connected or not self.broker.is_up:
            return
        elif kind == "host_half_open":
            host.unnoticed_s = host.unnoticed_s or UNNOTICED_S
        elif kind == "host_dies":
            host.leave(RETURN_S + steps * STEP_S)
            self._say_state(online=False)

    def _crash_broker(self, steps: int) -> None:
        """What it has just read is lost. A host that is not there comes back late; but see the assumptions in
        docs/bridge.md."""
        self.received -= self.recent[0] | self.recent[1]
        self.is_dead = self.is_connected
        self.downlink.clear()
        host, is_unseen = self.host, self.broker.crash(steps)
        away_s = host.back_s if not host.is_connected else 90.0 if host.unnoticed_s > 0 else RETURN_S
        is_assumed = (is_unseen and not self.forwarding.is_distrusted) or host.kind == "foreign"
        host.leave(min(away_s, RETURN_S) if is_assumed else away_s)

    def _kill(self, *, is_reboot: bool) -> None:
        if self.is_connected:
            self.disconnect()
        if is_reboot:
            self.boot_ns = self.now_ns
        self.host_ts = -1
        settled, gone = (
            Spans((row, row) for row in rows if row > self.confirmed) for rows in (self.settled, self.gone)
        )
        memory = Memory.decode(self.saved)
        self.forwarding = self.policy(
            self.config, self.confirmed, self.last_row, memory, settled=settled, gone=gone
        )


def _rows(spans: Spans) -> set[int]:
    return {row for first, last in spans for row in range(first, last + 1)}


LASTING = ("up", "swallow", "no_acks", "down")
ONCE = ("host_half_open", "host_dies", "broker_crash", "snapshot", "kill", "reboot", "rebirths")


def run(plant: Plant, faults: list[tuple[str, int, int]]) -> None:
    """Kind, half seconds, rows in each of them."""
    for kind, steps, rows in faults:
        if kind in LASTING:
            plant.link = kind
        else:
            plant.fail(kind, steps)
        for _ in range(steps):
            plant.step(rows)


def heal(plant: Plant, steps: int) -> None:
    """Let everything come back, and the rest arrive."""
    plant.link = "up"
    for _ in range(steps):
        if plant.confirmed == plant.last_row:
            break
        plant.step(0)
