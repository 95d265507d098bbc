"""A machine: takes parts, works, breaks down, changes over, hands on; starved and blocked by its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

import simpy

from shakedown.twin.line.flow import Part, Sink, Source
from shakedown.twin.line.plant import MachineSpec, Product, Stoppage
from shakedown.twin.line.ramp import Ramp
from shakedown.twin.line.randomness import MS_PER_S, Durations, stream
from shakedown.twin.line.states import State, StopReason

Record = Callable[[str, str, dict[str, Any]], None]
"""Takes kind, machine and data of a physical event that happens now."""
Process = Generator[simpy.Event, Any, None]


class Cause:
    """One stoppage cause of one machine: how much working time is left until it strikes, and how long it lasts."""

    def __init__(self, spec: Stoppage, seed: int, name: str) -> None:
        self.spec = spec
        self.state = State.ABORTED if spec.kind == "breakdown" else State.HELD
        self._between = Durations(spec.between, stream(seed, f"{name}/between"))
        self.lasts = Durations(spec.lasts, stream(seed, f"{name}/lasts"))
        self.rearm()

    def rearm(self) -> None:
        """Draw the working time until it strikes next."""
        self.due_ms = self._between.draw_ms()


class Machine:
    """One machine of the line as a SimPy process (`run`), with the registers that its controller shows.

    Stoppages strike after working time, not calendar time: a machine that waits does not wear. Work that is
    interrupted goes on where it stopped. A part is rejected at the exit and leaves the line there.
    """

    def __init__(
        self,
        name: str,
        spec: MachineSpec,
        products: Mapping[str, Product],
        source: Source,
        sink: Sink,
        env: simpy.Environment,
        seed: int,
        record: Record,
    ) -> None:
        self.name = name
        self._spec = spec
        self._products = products
        self._source = source
        self._sink = sink
        self._env = env
        self._record = record
        self._cycle = Durations(spec.cycle, stream(seed, f"{name}/cycle"))
        self._changeover = (
            Durations(spec.changeover, stream(seed, f"{name}/changeover")) if spec.changeover else None
        )
        self._causes = [Cause(cause, seed, f"{name}/stoppage/{cause.code}") for cause in spec.stoppages]
        self._quality = stream(seed, f"{name}/quality")
        self._rejects_in = self._next_reject()
        self._starved_after_ms = round(spec.starved_after_s * MS_PER_S)
        self._blocked_after_ms = round(spec.blocked_after_s * MS_PER_S)
        self._ramp = Ramp(spec.ramp_s)

        self.state = State.IDLE
        self.stop_reason: int = StopReason.NO_ORDER
        self.product = ""
        self.infeed = self.good = self.reject = self.total = 0
        self.bottles_rejected = 0
        self.litres = 0.0  # content of all bottles handled
        self._litres_per_s = 0.0  # at full work on the product that the machine is set up for
        self._hands: list[Part] = []  # at most `batch` parts, and one of the next product
        self._stops = 0
        self._waits = 0
        self._worked_ms = 0
        self._working_since: int | None = None
        self._worked_at_scan_ms = 0

    @property
    def bottles_in_hand(self) -> int:
        """How many bottles are inside the machine."""
        return sum(part.bottles for part in self._hands)

    @property
    def label(self) -> str:
        """Name of the product that the machine is set up for."""
        return self._products[self.product].label if self.product else ""

    @property
    def worked_ms(self) -> int:
        """Time spent working so far, the current cycle included."""
        since = self._working_since
        return self._worked_ms if since is None else self._worked_ms + self._env.now - since

    def run(self) -> Process:
        """The life of the machine."""
        while True:
            yield from self._gather()
            if self._hands[0].product != self.product:
                yield from self._set_up(self._hands[0].product)
            yield from self._work()
            yield from self._hand_on()

    def scan(self, elapsed_ms: int) -> tuple[float, ...]:
        """Move on to the next scan and say what drives the physics (checks.MACHINE_DRIVERS)."""
        worked_ms = self.worked_ms
        run = (worked_ms - self._worked_at_scan_ms) / elapsed_ms if elapsed_ms else 0.0
        self._worked_at_scan_ms = worked_ms
        state = self.state
        product = self._products[self.product] if self.product else None
        target = 1 / product.cycle_factor if product and state is State.EXECUTE else 0.0
        return (
            run,
            self._ramp.move(target, elapsed_ms),
            run * self._litres_per_s,
            product.load if product else 1.0,
            self._source.fill(),
            float(state is State.ABORTED or state is State.HELD),
            float(state is State.SETUP),
        )

    def _gather(self) -> Process:
        """Take parts until the batch is full, or the next part is of another product and waits for the next batch."""
        source, hands = self._source, self._hands
        while len(hands) < self._spec.batch:
            if not source.ready():
                yield from self._wait(source.ready, source.wait_ready, self._starved_after_ms, source.lack)
            part = source.take()
            self.infeed += 1
            hands.append(part)
            if part.product != hands[0].product:
                break
        if self.state is State.IDLE:
            self._enter(State.EXECUTE, StopReason.NONE)

    def _set_up(self, product: str) -> Process:
        """Change over to another product; the very first product finds the machine set up for it."""
        before = self.product
        if not before:
            self._adopt(product)
            return
        self._record("changeover", self.name, {"phase": "start", "from": before, "to": product})
        stop = self._halt(State.SETUP, StopReason.CHANGEOVER, "changeover", f"{before} to {product}")
        if self._changeover is not None:
            yield self._env.timeout(self._changeover.draw_ms())
        self._adopt(product)
        self._resume(stop)
        self._record("changeover", self.name, {"phase": "end", "from": before, "to": product})

    def _adopt(self, product: str) -> None:
        spec = self._products[product]
        cycle_s = self._spec.cycle.mean_s * spec.cycle_factor
        self.product = product
        self._litres_per_s = spec.volume_l * self._spec.batch / cycle_s

    def _work(self) -> Process:
        """Work for one cycle, interrupted by whatever cause falls due."""
        left_ms = self._cycle.draw_ms(self._products[self.product].cycle_factor)
        while left_ms:
            due = min(self._causes, key=_due_ms, default=None)
            step_ms = left_ms if due is None else min(left_ms, due.due_ms)
            self._working_since = self._env.now
            yield self._env.timeout(step_ms)
            self._working_since = None
            self._worked_ms += step_ms
            left_ms -= step_ms
            for cause in self._causes:
                cause.due_ms -= step_ms
            if due is not None and due.due_ms == 0:
                yield from self._stoppage(due)

    def _stoppage(self, cause: Cause) -> Process:
        """Stand still for one cause."""
        stop = self._halt(cause.state, cause.spec.code, cause.spec.kind, cause.spec.cause)
        if cause.state is State.ABORTED:
            self._record("fault", self.name, {"phase": "start", **stop})
        yield self._env.timeout(cause.lasts.draw_ms())
        cause.rearm()
        if cause.state is State.ABORTED:
            self._record("fault", self.name, {"phase": "end", **stop})
        self._resume(stop)

    def _hand_on(self) -> Process:
        """Judge the batch and put it on the belt, or throw it out."""
        hands, product = self._hands, self._hands[0].product
        batch = [part for part in hands if part.product == product]
        part = batch[0] if self._spec.batch == 1 else self._pack(batch)
        self._rejects_in -= 1
        good = self._rejects_in != 0
        if good:
            if not self._sink.has_room():
                sink = self._sink
                yield from self._wait(
                    sink.has_room, sink.wait_room, self._blocked_after_ms, StopReason.BLOCKED
                )
            self._sink.put(part)
            self.good += 1
        else:
            self.reject += 1
            self.bottles_rejected += part.bottles
            self._rejects_in = self._next_reject()
        del hands[: len(batch)]
        self.total += 1
        self.litres += self._products[product].volume_l * part.bottles
        self._record("part", self.name, _described(part, good))

    def _pack(self, batch: list[Part]) -> Part:
        bottles = sum(part.bottles for part in batch)
        return Part(self.total + 1, batch[0].product, bottles, tuple(part.id for part in batch))

    def _next_reject(self) -> int:
        """How many parts from now the next one is rejected; -1 for never (the countdown does not meet zero)."""
        return int(self._quality.geometric(self._spec.reject_rate)) if self._spec.reject_rate else -1

    def _wait(
        self,
        ready: Callable[[], bool],
        event: Callable[[], simpy.Event],
        patience_ms: int,
        reason: StopReason,
    ) -> Process:
        """Wait for a neighbour; a wait longer than the machine's patience is a stop (a shorter one is a gap)."""
        self._waits += 1
        this_wait = self._waits
        stop: dict[str, Any] = {}

        def lose_patience(_: simpy.Event) -> None:
            if self._waits == this_wait and self.state is State.EXECUTE:
                state = State.IDLE if reason is StopReason.NO_ORDER else State.SUSPENDED
                stop.update(self._halt(state, reason, reason.name.lower(), reason.name.lower()))

        self._env.timeout(patience_ms).callbacks.append(lose_patience)
        while not ready():
            yield event()
        self._waits += 1  # the watchdog of this wait is void
        if stop:
            self._resume(stop)

    def _halt(self, state: State, reason: int, kind: str, cause: str) -> dict[str, Any]:
        """Stop for a cause; what it returns describes the stop and goes to `_resume`."""
        self._stops += 1
        stop = {"id": self._stops, "kind": kind, "cause": cause, "code": int(reason)}
        self._record("stop", self.name, {"phase": "start", **stop})
        self._enter(state, reason)
        return stop

    def _resume(self, stop: dict[str, Any]) -> None:
        self._record("stop", self.name, {"phase": "end", **stop})
        self._enter(State.EXECUTE, StopReason.NONE)

    def _enter(self, state: State, reason: int) -> None:
        self._record("state", self.name, {"from": int(self.state), "to": int(state), "reason": int(reason)})
        self.state = state
        self.stop_reason = int(reason)


def _due_ms(cause: Cause) -> int:
    return cause.due_ms


def _described(part: Part, good: bool) -> dict[str, Any]:
    data: dict[str, Any] = {"id": part.id, "good": good, "product": part.product}
    return {**data, "bottles": part.bottles, "contents": part.contents} if part.contents else data
