"""What is true on a served line right now, as models: what is answered, and what describes the answers."""

from __future__ import annotations

import inspect
import time
from typing import Any

from asyncua import ua

from shakedown.twin.ledger import NS_PER_MS
from shakedown.twin.line.line import Line
from shakedown.twin.line.plant import Plant
from shakedown.twin.line.specs import MachineSpec
from shakedown.twin.line.states import CAUSE_CODE_MIN, State, StopReason
from shakedown.twin.line.upsets import AnyUpset, MachineUpset, Trip
from shakedown.twin.web.live import Event, LiveLedger
from shakedown.twin.web.overview import Told


class SignalNow(Told):
    """The last sample offered of a signal: value (null: none), OPC UA StatusCode (0 is Good), the line's time of it."""

    name: str
    node_id: str
    value: bool | int | float | str | None
    status: int
    status_name: str
    ts_ms: int | None


class MachineNow(Told):
    """A machine's registers: parts since the line's start, bottles inside of it, energy drawn.

    `stop_cause` is the stop reason in words: the plant file's for its own causes, empty for none.
    """

    name: str
    state: int
    state_name: str
    stop_reason: int
    stop_cause: str
    product: str
    infeed: int
    good: int
    reject: int
    total: int
    reworked: int
    bottles_inside: int
    energy_kj: float


class ConveyorNow(Told):
    """The bottles on a belt."""

    name: str
    bottles: int


class FaultNow(Told):
    """A failure that has begun and is not repaired; `stopped` once the machine stands.

    One that `needs_crew` stays open until somebody repairs it; the others repair themselves after `repair_s`.
    """

    id: str
    machine: str
    mode: str
    cause: str
    stopped: bool
    needs_crew: bool
    repair_s: float
    alarms: list[str]


class BottlesNow(Told):
    """Every bottle that entered has left as good product, was rejected, or is on the line."""

    entered: int
    left: int
    rejected: int
    on_the_line: int


class Truth(Told):
    """What is physically true now; times in ms since the Unix epoch, `running_s` since the line's start."""

    ts_ms: int
    running_s: float
    machines: list[MachineNow]
    conveyors: list[ConveyorNow]
    open_faults: list[FaultNow]
    bottles: BottlesNow
    energy_kj: float


class UpsetNow(Told):
    """An upset that the plant file names; `in_force_since_ms` is null while it sleeps.

    For an upset that makes a machine fail, it is in force while that failure is open.
    """

    id: str
    kind: str
    description: str
    in_force: bool
    in_force_since_ms: int | None
    strikes_at_s: list[float]
    strikes_per_hour: float
    concerns: list[str]


class EventTold(Told):
    """One physical event of the ledger; `number` counts from 1 without gaps."""

    number: int
    ts_ms: int
    kind: str
    machine: str
    data: dict[str, Any]


class LineNow:
    """What can be asked of a running line."""

    def __init__(self, plant: Plant, line: Line, live: LiveLedger) -> None:
        self.line = line
        self.live = live
        self._plant = plant
        self._names = list(plant.each_signal_named())
        self._upsets: dict[str, AnyUpset] = dict(plant.each_upset())

    def signals(self) -> list[SignalNow]:
        """Every signal, in the order of the ledger's indices."""
        return [self._signal(index, name) for index, name in enumerate(self._names)]

    def _signal(self, index: int, name: str) -> SignalNow:
        nothing = (None, None, int(ua.StatusCodes.BadWaitingForInitialData))
        source_ts_ns, value, status = self.live.latest.get(index, nothing)
        return SignalNow(
            name=name,
            node_id=self.line.signals[index].node_id,
            value=value,
            status=status,
            status_name=ua.StatusCode(status).name,
            ts_ms=None if source_ts_ns is None else source_ts_ns // NS_PER_MS,
        )

    def truth(self) -> Truth:
        """The machines, the faults, the bottles and the energy."""
        line, now_ns = self.line, time.time_ns()
        bottles = BottlesNow(
            entered=line.bottles_in,
            left=line.bottles_out,
            rejected=line.bottles_rejected,
            on_the_line=line.bottles_on_line,
        )
        return Truth(
            ts_ms=now_ns // NS_PER_MS,
            running_s=(now_ns - self.live.start_ns) / 1e9,
            machines=self._machines(),
            conveyors=[ConveyorNow(name=n, bottles=belt.bottles) for n, belt in line.conveyors.items()],
            open_faults=self.faults(),
            bottles=bottles,
            energy_kj=line.energy_kj,
        )

    def _machines(self) -> list[MachineNow]:
        registers = ("stop_reason", "infeed", "good", "reject", "total", "reworked", "energy_kj")
        return [
            MachineNow(
                name=name,
                state=int(machine.state),
                state_name=State(machine.state).name.lower(),
                stop_cause=_cause(self._plant.machines[name], machine.stop_reason),
                product=machine.label,
                bottles_inside=machine.bottles_in_hand,
                **{register: getattr(machine, register) for register in registers},
            )
            for name, machine in self.line.machines.items()
        ]

    def faults(self) -> list[FaultNow]:
        """The open faults."""
        return [
            FaultNow(
                id=fault.id,
                machine=fault.machine,
                mode=fault.mode,
                cause=fault.spec.cause,
                stopped=fault.stopped,
                needs_crew=fault.maintenance and self._plant.crew,
                repair_s=fault.repair_s,
                alarms=fault.alarms,
            )
            for fault in self.line.open_faults.values()
        ]

    def upsets(self) -> list[UpsetNow]:
        """Every upset that the plant knows."""
        return [self.upset(name) for name in self._upsets]

    def upset(self, name: str) -> UpsetNow:
        """One upset. Raises KeyError for an id unknown."""
        upset = self._upsets[name]
        since_ns = self.live.upsets.get(name)
        failed = isinstance(upset, MachineUpset) and any(
            (fault.machine, fault.mode) == (upset.machine, upset.mode)
            for fault in self.line.open_faults.values()
        )
        return UpsetNow(
            id=name,
            kind=upset.kind,
            description=inspect.cleandoc(type(upset).__doc__ or "").split("\n\n")[0].replace("\n", " "),
            in_force=since_ns is not None or failed,
            in_force_since_ms=None if since_ns is None else since_ns // NS_PER_MS,
            strikes_at_s=upset.at_s,
            strikes_per_hour=upset.per_hour,
            concerns=_concerned(upset),
        )

    def events(self, limit: int, kind: str | None, after: int) -> list[EventTold]:
        """The last events of the ledger, oldest first."""
        return [_event_of(event) for event in self.live.tail(limit, kind, after)]


def _concerned(upset: AnyUpset) -> list[str]:
    """Signals, or the machine and its failure mode; of a trip both."""
    if isinstance(upset, MachineUpset):
        return [f"{upset.machine}: {upset.mode}", *(upset.shifts if isinstance(upset, Trip) else ())]
    return list(upset.signals)


def _cause(machine: MachineSpec, number: int) -> str:
    """A stop reason in words."""
    if number < CAUSE_CODE_MIN:
        return "" if number == StopReason.NONE else StopReason(number).name.lower().replace("_", " ")
    causes = {stoppage.code: stoppage.cause for stoppage in machine.stoppages}
    causes |= {failure.code: failure.cause for failure in machine.failures.values()}
    return causes.get(number, str(number))


def _event_of(event: Event) -> EventTold:
    number, ns, kind, machine, data = event
    return EventTold(number=number, ts_ms=ns // NS_PER_MS, kind=kind, machine=machine, data=dict(data))
