"""What befalls a machine after so much time spent working: small stops, failures, times of lower speed."""

from __future__ import annotations

import simpy

from shakedown.twin.line.faults import MachineFault
from shakedown.twin.line.quantities import Duration
from shakedown.twin.line.randomness import Durations, stream
from shakedown.twin.line.specs import FailureMode, SpeedLoss, Stoppage


class Cause:
    """Something that falls due when `due_ms` of working time are over."""

    def __init__(self, between: Duration, seed: int, name: str) -> None:
        self._between = Durations(between, stream(seed, f"{name}/between"))
        self.due_ms = self._between.draw_ms()

    def rearm(self) -> None:
        """Draw the working time until it falls due next."""
        self.due_ms = self._between.draw_ms()


class SmallStop(Cause):
    """One stoppage cause of one machine, and how long it lasts."""

    def __init__(self, spec: Stoppage, seed: int, machine: str) -> None:
        name = f"{machine}/stoppage/{spec.code}"
        super().__init__(spec.between, seed, name)
        self.spec = spec
        self.lasts = Durations(spec.lasts, stream(seed, f"{name}/lasts"))


class Failure(Cause):
    """One failure mode of one machine: waits, develops (or not), stands still, is repaired, and begins anew."""

    def __init__(self, mode: str, spec: FailureMode, seed: int, machine: str) -> None:
        name = f"{machine}/stoppage/{spec.code}"
        super().__init__(spec.mtbf, seed, name)
        self.mode = mode
        self.spec = spec
        self.repair = Durations(spec.mttr, stream(seed, f"{name}/lasts"))
        self._develops = Durations(spec.develops, stream(seed, f"{name}/develops")) if spec.develops else None
        self._development_ms = 0
        self._awaited: list[simpy.Event] = []
        self.fault: MachineFault | None = None

    @property
    def progress(self) -> float:
        """How far it has gone: 0 before the onset, 1 from the stop until the repair."""
        if self.fault is None:
            return 0.0
        if self.fault.stopped or not self._development_ms:
            return 1.0
        return 1.0 - max(self.due_ms, 0) / self._development_ms

    def begin(self, fault: MachineFault) -> bool:
        """The deviation begins; returns whether it stops the machine at once."""
        self.fault = fault
        for begun in self._awaited:
            begun.succeed()
        self._awaited.clear()
        if self._develops is None:
            return True
        self.due_ms = self._development_ms = self._develops.draw_ms()
        return False

    def strike(self, due_ms: int, begun: simpy.Event) -> None:
        """Fall due after the machine has worked for `due_ms` more, if not begun yet; `begun` succeeds once it has."""
        if self.fault is not None:
            begun.succeed()
            return
        self.due_ms = due_ms
        self._awaited.append(begun)

    def forget(self) -> None:
        """Repaired: begin anew."""
        self.fault = None
        self._development_ms = 0
        self.rearm()


class Slowness(Cause):
    """One cause of lower speed: falls due to begin, then to end."""

    def __init__(self, number: int, spec: SpeedLoss, seed: int, machine: str) -> None:
        name = f"{machine}/speed_loss/{number}"
        super().__init__(spec.between, seed, name)
        self.spec = spec
        self.active = False
        self._lasts = Durations(spec.lasts, stream(seed, f"{name}/lasts"))

    @property
    def factor(self) -> float:
        """What it makes of a cycle time now."""
        return self.spec.factor if self.active else 1.0

    def toggle(self) -> None:
        """Begin, or end, and fall due for the other."""
        self.active = not self.active
        if self.active:
            self.due_ms = self._lasts.draw_ms()
        else:
            self.rearm()
