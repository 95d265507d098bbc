"""True faults: open from the moment in which a deviation begins until the machine is repaired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import simpy

from shakedown.twin.line.process import Record
from shakedown.twin.line.randomness import MS_PER_S, Durations
from shakedown.twin.line.specs import FailureMode


class UnknownFaultError(LookupError):
    """There is no open fault of this id: says which are."""


@dataclass
class MachineFault:
    """One failure of one machine; `stopped` once the machine stands, `repair_s` is how long hands need to repair it."""

    id: str
    machine: str
    mode: str
    spec: FailureMode
    repair_s: float
    repaired: simpy.Event
    forget: Callable[[], None] = field(repr=False)  # the failure mode starts anew
    stopped: bool = False
    ordered: bool = False  # somebody has repaired it; the event is on its way

    @property
    def maintenance(self) -> bool:
        """Whether it needs a crew."""
        return self.spec.maintenance

    @property
    def alarms(self) -> list[str]:
        """Names of the alarms of site.yaml that tell of it."""
        return self.spec.alarms


class Faults:
    """All faults of a line. A machine opens them and waits for `repaired`; `repair` is called from anywhere."""

    def __init__(self, env: simpy.Environment, crew: bool, record: Record) -> None:
        self._env = env
        self._crew = crew
        self._record = record
        self._count = 0
        self._open: dict[str, MachineFault] = {}  # at most one for each failure mode
        self.open = MappingProxyType(self._open)

    def begin(
        self, machine: str, mode: str, spec: FailureMode, repair: Durations, forget: Callable[[], None]
    ) -> MachineFault:
        """The deviation of a failure mode begins; `repair` says how long hands will need, `forget` starts it anew."""
        self._count += 1
        fault = MachineFault(
            id=f"F{self._count:04d}",
            machine=machine,
            mode=mode,
            spec=spec,
            repair_s=repair.draw_ms() / MS_PER_S,
            repaired=self._env.event(),
            forget=forget,
        )
        self._open[fault.id] = fault
        self._tell(fault, "onset")
        return fault

    def stop(self, fault: MachineFault) -> None:
        """The machine stands; without a crew, and where none is needed, it is repaired after `repair_s`."""
        fault.stopped = True
        self._tell(fault, "stop")
        if not (fault.maintenance and self._crew):
            by_itself = self._env.timeout(round(fault.repair_s * MS_PER_S))
            by_itself.callbacks.append(lambda _: self._finish(fault))

    def repair(self, fault_id: str) -> None:
        """Repair a fault now, whether the machine stands already or the deviation is still growing.

        Raises UnknownFaultError if no fault of this id is open. A second call before that takes effect does nothing.
        """
        fault = self._open.get(fault_id)
        if fault is None:
            known = ", ".join(self._open) or "none"
            raise UnknownFaultError(
                f"No open fault {fault_id!r}; open now: {known}. Name one of line.open_faults."
            )
        if not fault.ordered:
            fault.ordered = True
            self._env.timeout(0).callbacks.append(lambda _: self._finish(fault))

    def _finish(self, fault: MachineFault) -> None:
        if self._open.pop(fault.id, None) is None:
            return  # it had repaired itself in the same millisecond
        fault.forget()
        self._tell(fault, "repaired")
        fault.repaired.succeed()

    def _tell(self, fault: MachineFault, phase: str) -> None:
        spec = fault.spec
        data: dict[str, Any] = {"phase": phase, "id": fault.id, "mode": fault.mode, "code": spec.code}
        data |= {"critical": spec.critical, "alarms": spec.alarms, "response_s": spec.response_s}
        self._record("fault", fault.machine, {**data, "maintenance": spec.maintenance})
