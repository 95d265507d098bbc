"""The line: machines and conveyors in the order of flow, and one sampler that shows all of them once a scan."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import simpy

from shakedown.twin.ledger import NS_PER_MS, Change, Chronicle
from shakedown.twin.line.calendar import Calendar
from shakedown.twin.line.disturbances import Disturbances
from shakedown.twin.line.drivers import drivers, responses
from shakedown.twin.line.faults import Faults, MachineFault
from shakedown.twin.line.flow import Conveyor, Sink, Source
from shakedown.twin.line.header import described
from shakedown.twin.line.machine import Machine
from shakedown.twin.line.master_data import Asset
from shakedown.twin.line.materials import Materials
from shakedown.twin.line.physics import Floats, Physics
from shakedown.twin.line.plant import Plant
from shakedown.twin.line.process import Process
from shakedown.twin.line.production_orders import Orders, Warehouse
from shakedown.twin.line.randomness import MS_PER_S
from shakedown.twin.line.registers import Value, reader
from shakedown.twin.line.reservoir import Reservoir
from shakedown.twin.line.sensors import Sensors
from shakedown.twin.line.shop import Shop
from shakedown.twin.line.signals import signals_of
from shakedown.twin.line.specs import Ambient
from shakedown.twin.line.states import State

Offer = tuple[Value, int]
OnScan = Callable[[int, list[Change]], None]
BESIDES_NS = 250_000
"""Between two offers of one signal within a scan."""
AFTER_EVERYTHING = 2
"""SimPy priority of a scan: it sees all that happens in its millisecond."""


class Line:
    """One production line of a plant file on a SimPy environment whose unit is a millisecond.

    `signals` are what it shows; `on_scan(source_ts_ns, changes)` is called once a scan with `(signal_index, value,
    status)` of each signal whose value or status changed, and at time 0 with all of them. Each change is in the ledger
    before `on_scan` sees it. Timestamps are `ledger.start_ns` plus the model's time, so the ledger's start must be the
    moment in which the environment starts to run. The same plant, seed and start give the same ledger, byte for byte.
    """

    def __init__(self, plant: Plant, env: simpy.Environment, seed: int, ledger: Chronicle) -> None:
        self.signals = signals_of(plant)
        self.on_scan: OnScan | None = None
        self.events = 0  # that have happened
        self._plant = plant
        self._env = env
        self._seed = seed
        self._ledger = ledger
        self._build_flow()
        self.reservoirs = {name: Reservoir(spec, self.machines) for name, spec in plant.reservoirs.items()}
        self._build_signals()

    @property
    def bottles_in(self) -> int:
        """Bottles that have entered the line."""
        return self._orders.bottles

    @property
    def bottles_out(self) -> int:
        """Bottles that have left the line as good product."""
        return self._warehouse.bottles

    @property
    def bottles_rejected(self) -> int:
        """Bottles that machines have thrown out."""
        return sum(machine.bottles_rejected for machine in self.machines.values())

    @property
    def bottles_on_line(self) -> int:
        """Bottles on conveyors and in machines: work in progress, counted one by one."""
        in_machines = sum(machine.bottles_in_hand for machine in self.machines.values())
        return in_machines + sum(conveyor.bottles for conveyor in self.conveyors.values())

    @property
    def energy_kj(self) -> float:
        """What all machines have drawn from the mains so far."""
        return sum(machine.energy_kj for machine in self.machines.values())

    @property
    def open_faults(self) -> Mapping[str, MachineFault]:
        """Failures that have begun and are not repaired, by id."""
        return self._faults.open

    def repair(self, fault_id: str) -> None:
        """Repair a fault now, also from outside of the model. Raises UnknownFaultError if it is not open."""
        self._faults.repair(fault_id)

    def trigger(self, upset_id: str) -> None:
        """Set off an upset of the plant file now, also from outside of the model. Raises UnknownUpsetError."""
        self._disturbances.trigger(upset_id)

    def start(self) -> None:
        """Write the ledger's header and set machines and sampler going; the first scan is at time 0."""
        start_ns = self._ledger.start_ns
        self._ledger.header(self._plant.plant, self._seed, self.signals, described(self._plant, start_ns))
        at_rest = self._physics.settle(self._drivers(0))
        self._env.process(self._calendar.run())
        for machine in self.machines.values():
            self._env.process(machine.run())
        self._disturbances.start()
        for owner, asset in self._plant.assets.items():
            self._env.process(self._swap(owner, asset))
        self._env.process(self._sample(at_rest))

    def _build_flow(self) -> None:
        plant, env = self._plant, self._env
        self._calendar = Calendar(plant.calendar, env, self._record)
        self._faults = Faults(env, plant.crew, self._record)
        self._orders = Orders(plant, env, self._record)
        self._warehouse = Warehouse(self._orders)
        materials = Materials(plant, self._record)
        shop = Shop(
            plant, env, self._seed, self._record, self._calendar, self._faults, materials, self._orders
        )
        self.conveyors = {name: Conveyor(spec, env) for name, spec in plant.conveyors.items()}
        sources: list[Source] = [self._orders, *self.conveyors.values()]
        sinks: list[Sink] = [*self.conveyors.values(), self._warehouse]
        self.machines = {
            name: Machine(name, source, sink, shop)
            for name, source, sink in zip(plant.machines, sources, sinks, strict=True)
        }
        for before, machine in pairwise(self.machines.values()):
            machine.before = before
        self._orders.on_last = self._end_orders
        self._disturbances = Disturbances(plant, self.machines, env, self._seed, self._record)
        self._sides = list(pairwise(self.machines.values()))  # of each conveyor

    def _end_orders(self) -> None:
        for machine in self.machines.values():
            machine.end_order()

    def _build_signals(self) -> None:
        plant = self._plant
        owners: dict[str, object] = {**self.machines, **self.conveyors, **self.reservoirs}
        measured = responses(plant)
        self._physics = Physics(drivers(plant), measured, plant.scan_ms)
        self._sensors = Sensors(measured, self._seed)
        self._sensor_places: list[int] = []
        self._registers: list[tuple[int, Callable[[int], Value]]] = []
        for index, (owner, _, spec) in enumerate(plant.each_signal()):
            if spec.show is None:
                self._sensor_places.append(index)
            else:
                self._registers.append((index, reader(spec, owners[owner])))
        self._good = [0] * len(self.signals)
        self._offered: list[Offer | None] = [None] * len(self.signals)

    def _record(self, kind: str, machine: str, data: dict[str, Any]) -> None:
        self.events += 1
        self._ledger.event(self._now_ns(), kind, machine, data)

    def _now_ns(self) -> int:
        return self._ledger.start_ns + int(self._env.now) * NS_PER_MS

    def _swap(self, owner: str, asset: Asset) -> Process:
        """Put one physical asset after the other in its place."""
        for assignment in asset.assignments[1:]:
            yield self._env.timeout(round(assignment.from_s * MS_PER_S) - self._env.now)
            data = {"equipment": asset.equipment, "physical_asset": assignment.physical_asset}
            self._record("swap", owner, data)

    def _sample(self, quantities: Floats) -> Process:
        """Scan on a fixed grid from time 0 on, where the plant is at rest: one process for all signals."""
        scan_ms = self._plant.scan_ms
        yield _Scan(self._env, 0)
        scan = 0
        while True:
            readings: list[Value] = [None] * len(self.signals)
            for place, reading in zip(self._sensor_places, self._sensors.read(quantities), strict=True):
                readings[place] = reading
            for place, read in self._registers:
                readings[place] = read(scan)
            self._offer(readings)
            yield _Scan(self._env, scan_ms)
            scan += 1
            quantities = self._physics.move(self._drivers(scan_ms))

    def _drivers(self, elapsed_ms: int) -> list[float]:
        """What machines, conveyors and reservoirs did since the last scan, in the order of drivers.drivers."""
        drivers = [_ambient_cel(self._plant.ambient, self._env.now)]
        for machine in self.machines.values():
            drivers += machine.scan(elapsed_ms)
        for conveyor, (before, after) in zip(self.conveyors.values(), self._sides, strict=True):
            producing = before.state is State.EXECUTE or after.state is State.EXECUTE
            drivers += conveyor.scan(producing, elapsed_ms)
        for reservoir in self.reservoirs.values():
            drivers += reservoir.scan(elapsed_ms)
        return drivers

    def _offer(self, readings: list[Value]) -> None:
        """Write down and hand over what differs from the last offer; a signal that is Bad has no value.

        Also at time 0 nothing is offered of a signal that is silent.
        """
        changes: list[Change] = []
        offered = self._offered
        offers: list[Offer | None] = list(zip(readings, self._good, strict=True))
        for index, distorted in self._disturbances.distort(readings):
            offers[index] = distorted
        for index, offer in enumerate(offers):
            if offer is not None and offer != offered[index]:
                offered[index] = offer
                changes.append((index, *offer))
        self._show(self._now_ns(), changes)
        for nth, besides in enumerate(self._disturbances.again(), 1):
            self._show(self._now_ns() + nth * BESIDES_NS, [(index, *offer) for index, offer in besides])

    def _show(self, source_ts_ns: int, changes: list[Change]) -> None:
        self._ledger.samples(source_ts_ns, changes)
        if self.on_scan is not None:
            self.on_scan(source_ts_ns, changes)


class _Scan(simpy.Event):
    """A timeout that comes after all other events of its millisecond."""

    def __init__(self, env: simpy.Environment, delay_ms: int) -> None:
        super().__init__(env)
        self._ok = True
        self._value = None
        env.schedule(self, priority=AFTER_EVERYTHING, delay=delay_ms)


def _ambient_cel(ambient: Ambient, now_ms: int) -> float:
    """Temperature of the hall: a sine over the day, the mean at time 0."""
    return ambient.mean_cel + ambient.swing_cel * math.sin(math.tau * now_ms / (ambient.period_s * MS_PER_S))
