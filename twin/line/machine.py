"""A machine: takes parts, works, breaks down, changes over, hands on; starved and blocked by its neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import simpy

from shakedown.twin.line.causes import Cause, Failure, Slowness, SmallStop
from shakedown.twin.line.drivers import parameters
from shakedown.twin.line.flow import Part, Sink, Source
from shakedown.twin.line.master_data import Recipe
from shakedown.twin.line.meter import Meter
from shakedown.twin.line.process import Process
from shakedown.twin.line.ramp import Ramp
from shakedown.twin.line.randomness import MS_PER_S, Durations, stream
from shakedown.twin.line.shop import Shop
from shakedown.twin.line.states import State, StopReason

RESTART_MS = 10_000


class Machine:
    """One machine of the line as a SimPy process (`run`), with the registers that its controller shows.

    Stoppages and failures strike after working time, not calendar time: a machine that waits does not wear. Work that
    is interrupted goes on where it stopped. A part is rejected at the exit: it leaves the line there, or goes through
    the machine once more. Counters count a part when it is finished.
    """

    def __init__(self, name: str, source: Source, sink: Sink, shop: Shop) -> None:
        self.name = name
        self._spec = spec = shop.plant.machines[name]
        self._shop = shop
        self._products = shop.plant.products
        self._source = source
        self._sink = sink
        self.before: Machine | None = None  # on the line
        self._env = shop.env
        self._record = shop.record
        seed = shop.seed
        self._cycle = Durations(spec.cycle, stream(seed, f"{name}/cycle"))
        self._changeover = (
            Durations(spec.changeover, stream(seed, f"{name}/changeover")) if spec.changeover else None
        )
        self.failures = {mode: Failure(mode, failure, seed, name) for mode, failure in spec.failures.items()}
        self._slow = [Slowness(number, loss, seed, name) for number, loss in enumerate(spec.speed_losses)]
        stops = [SmallStop(stoppage, seed, name) for stoppage in spec.stoppages]
        self._causes: list[Cause] = [*stops, *self.failures.values(), *self._slow]
        self._quality = stream(seed, f"{name}/quality")
        self._rework = stream(seed, f"{name}/rework")
        self._rejects_in = self._next_reject()
        self._starved_after_ms = round(spec.starved_after_s * MS_PER_S)
        self._blocked_after_ms = round(spec.blocked_after_s * MS_PER_S)
        self._ramp = Ramp(spec.ramp_s)
        self._meter = Meter(spec.energy)
        self._parameters = parameters(shop.plant, name)
        self._recipe = Recipe()

        self.state = State.IDLE
        self.stop_reason: int = StopReason.NO_ORDER
        self.product = self.order = ""
        self.infeed = self.good = self.reject = self.total = self.reworked = 0
        self.bottles_rejected = 0
        self.litres = 0.0  # content of all bottles handled
        self._litres_per_s = 0.0  # at full work on the product that the machine is set up for
        self._hands: list[Part] = []  # at most `batch` parts, and one of the next product
        self._stops = 0
        self._waits = 0
        self._worked_ms = 0
        self._working_since: int | None = None
        self._cycle_ms = self._left_ms = (
            0  # of the current cycle, and what was left of it at the last interruption
        )
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

    @property
    def energy_kj(self) -> float:
        """Energy used so far."""
        return self._meter.read_kj(self._env.now)

    @property
    def step(self) -> int:
        """Number of the recipe's step that the machine works on, counted from 1; 0 while it does not work."""
        since = self._working_since
        if since is None:
            return 0
        done = 1.0 - (self._left_ms - (self._env.now - since)) / self._cycle_ms
        for number, step in enumerate(self._recipe.steps, 1):
            done -= step.share
            if done < 0:
                return number
        return len(self._recipe.steps)

    def run(self) -> Process:
        """The life of the machine."""
        while True:
            yield from self._attend()
            yield from self._gather()
            yield from self._attend()
            self._take_up(self._hands[0].lot)
            if self._hands[0].product != self.product:
                yield from self._set_up(self._hands[0].product)
            yield from self._make()

    @property
    def is_producing(self) -> bool:
        """Whether it is in the state Execute."""
        return self.state is State.EXECUTE

    def strike(self, mode: str) -> simpy.Event:
        """Make the machine fail in its next cycle; returns the event that the failure has begun.

        Nothing breaks in a machine that stands: one that does fails after it has worked for RESTART_MS again.
        """
        begun = self._env.event()
        self.failures[mode].strike(0 if self.is_producing else RESTART_MS, begun)
        return begun

    def scan(self, elapsed_ms: int) -> tuple[float, ...]:
        """Move on to the next scan and say what drives the physics (drivers.MACHINE_DRIVERS)."""
        worked_ms = self.worked_ms
        run = (worked_ms - self._worked_at_scan_ms) / elapsed_ms if elapsed_ms else 0.0
        self._worked_at_scan_ms = worked_ms
        state = self.state
        parameters = self._recipe.parameters
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
            self._meter.mean_kw(self._env.now, elapsed_ms),
            *[failure.progress for failure in self.failures.values()],
            *[parameters[name].value if name in parameters else 0.0 for name in self._parameters],
        )

    def _attend(self) -> Process:
        """Stand idle while there is a break or no shift."""
        calendar = self._shop.calendar
        while not calendar.is_open:
            reason = calendar.reason
            stop = None
            if self.state is not State.IDLE:
                stop = self._halt(State.IDLE, reason, reason.name.lower(), reason.name.lower())
            yield calendar.opens()
            if stop is not None:
                self._resume(stop)

    def _gather(self) -> Process:
        """Take parts until the batch is full, or the next part is of another lot and waits for the next batch."""
        source, hands = self._source, self._hands
        while len(hands) < self._spec.batch:
            if not source.ready():
                if source.lack is StopReason.NO_ORDER or (self.before and self._is_last(self.before)):
                    self.end_order()
                yield from self._wait(source.ready, source.wait_ready, self._starved_after_ms, source.lack)
            part = source.take()
            self.infeed += 1
            hands.append(part)
            if part.lot != hands[0].lot:
                break
        if self.state is State.IDLE:
            self._enter(State.EXECUTE, StopReason.NONE)

    def _take_up(self, lot: str) -> None:
        """Be on the order of the lot in hand: the set-up for it is part of it."""
        order = self._shop.orders.id_of(lot)
        if order != self.order:
            self.order = order
            self._record("order_at", self.name, {"order": order})

    def end_order(self) -> None:
        """Be on no order any more: the last one is done."""
        if self.order:
            self.order = ""
            self._record("order_at", self.name, {"order": ""})

    def _is_last(self, before: Machine) -> bool:
        """Whether nothing of its order is to come: the machine before it is on none, and nothing is in between."""
        return not before.order and not before.bottles_in_hand and not self._source.fill()

    def _set_up(self, product: str) -> Process:
        """Change over to another product; the very first product finds the machine set up for it."""
        before = self.product
        if not before:
            self._adopt(product)
            return
        self._record("changeover", self.name, {"phase": "start", "from": before, "to": product})
        stop = self._halt(State.SETUP, StopReason.CHANGEOVER, "changeover", f"{before} to {product}")
        if self._changeover is not None:
            factor = self._shop.plant.changeovers.get(before, {}).get(product, 1.0)
            yield self._env.timeout(self._changeover.draw_ms(factor))
        self._adopt(product)
        self._resume(stop)
        self._record("changeover", self.name, {"phase": "end", "from": before, "to": product})

    def _adopt(self, product: str) -> None:
        """Be set up for a product: its recipe is downloaded."""
        spec = self._products[product]
        cycle_s = self._spec.cycle.mean_s * spec.cycle_factor
        self.product = product
        self._litres_per_s = spec.volume_l * self._spec.batch / cycle_s
        self._recipe = self._shop.plant.recipe(product, self.name)
        if self._recipe.parameters:
            told = {
                name: parameter.model_dump(include={"value", "low", "high"})
                for name, parameter in self._recipe.parameters.items()
            }
            self._record("recipe", self.name, {"phase": "download", "product": product, "parameters": told})

    def _work(self) -> Process:
        """Work for one cycle, interrupted by whatever cause falls due."""
        factor = self._products[self.product].cycle_factor
        for slowness in self._slow:
            factor *= slowness.factor
        self._left_ms = self._cycle_ms = self._cycle.draw_ms(factor)
        while self._left_ms:
            due_ms = min([cause.due_ms for cause in self._causes], default=self._left_ms)
            step_ms = min(self._left_ms, due_ms)
            if step_ms:
                self._working_since = self._env.now
                yield self._env.timeout(step_ms)
                self._working_since = None
                self._worked_ms += step_ms
                self._left_ms -= step_ms
                for cause in self._causes:
                    cause.due_ms -= step_ms
            for cause in self._causes:
                if cause.due_ms <= 0:
                    yield from self._befall(cause)

    def _befall(self, cause: Cause) -> Process:
        """Bear what has fallen due."""
        if isinstance(cause, SmallStop):
            spec = cause.spec
            stop = self._halt(State.HELD, spec.code, "small_stop", spec.cause)
            yield self._env.timeout(cause.lasts.draw_ms())
            cause.rearm()
            self._resume(stop)
        elif isinstance(cause, Slowness):
            cause.toggle()
            phase = "start" if cause.active else "end"
            data = {"phase": phase, "cause": cause.spec.cause, "factor": cause.spec.factor}
            self._record("speed_loss", self.name, data)
        elif isinstance(cause, Failure):
            yield from self._fail(cause)

    def _fail(self, failure: Failure) -> Process:
        """A failure begins, or stops the machine until it is repaired."""
        fault = failure.fault
        if fault is None:
            fault = self._shop.faults.begin(
                self.name, failure.mode, failure.spec, failure.repair, failure.forget
            )
            if not failure.begin(fault):
                return
        stop = self._halt(State.ABORTED, failure.spec.code, "breakdown", failure.spec.cause)
        self._shop.faults.stop(fault)
        yield fault.repaired
        self._resume(stop)

    def _make(self) -> Process:
        """Work on what is in hand, judge it, and put it on the belt, throw it out, or work on it once more."""
        hands, lot = self._hands, self._hands[0].lot
        batch = [part for part in hands if part.lot == lot]
        part = batch[0] if self._spec.batch == 1 else self._pack(batch)
        yield from self._process(part)
        good = self._is_good()
        again = not good and self._rework.random() < self._spec.rework_share
        if again:
            self._tell(part, False, "rework", False)
            yield from self._process(part)
            good = self._is_good()
        if good:
            yield from self._hand_on(part)
            self.reworked += again
        else:
            self.reject += 1
            self.bottles_rejected += part.bottles
        del hands[: len(batch)]
        self.total += 1
        self.litres += self._products[self.product].volume_l * part.bottles
        self._tell(part, good, "good" if good else "scrap", again)
        if not good:
            self._shop.orders.leaves(part, good=False)

    def _process(self, part: Part) -> Process:
        yield from self._work()
        self._shop.materials.consume(self.name, part.product, part.serial)
        self._meter.part()

    def _hand_on(self, part: Part) -> Process:
        sink = self._sink
        if not sink.has_room():
            yield from self._wait(sink.has_room, sink.wait_room, self._blocked_after_ms, StopReason.BLOCKED)
        sink.put(part)
        self.good += 1

    def _is_good(self) -> bool:
        self._rejects_in -= 1
        if self._rejects_in:
            return True
        self._rejects_in = self._next_reject()
        return False

    def _pack(self, batch: list[Part]) -> Part:
        first, number = batch[0], self.total + 1
        bottles = sum(part.bottles for part in batch)
        serial = f"{first.lot}-{self.name}-{number:05d}"
        return Part(number, first.product, first.lot, serial, bottles, tuple(part.id for part in batch))

    def _tell(self, part: Part, good: bool, disposition: str, rework: bool) -> None:
        data: dict[str, Any] = {"id": part.id, "good": good, "product": part.product, "lot": part.lot}
        data |= {"serial": part.serial, "rework": rework, "disposition": disposition}
        if part.contents:
            data |= {"bottles": part.bottles, "contents": part.contents}
        self._record("part", self.name, data)

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
        self._meter.enter(state, self._env.now)
