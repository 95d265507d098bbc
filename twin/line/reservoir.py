"""Something that machines use up and an on/off controller refills: a bowl, a hopper, a reel, an air receiver."""

from __future__ import annotations

from collections.abc import Mapping

from shakedown.twin.line.machine import Machine
from shakedown.twin.line.randomness import MS_PER_S
from shakedown.twin.line.specs import ReservoirSpec, Use


class _User:
    """What one machine has drawn since the last scan."""

    def __init__(self, machine: Machine, use: Use) -> None:
        self._machine = machine
        self._use = use
        self._drawn = 0.0

    def draw(self) -> float:
        machine, use = self._machine, self._use
        drawn = use.per_part * machine.total + use.per_litre * machine.litres
        drawn += use.per_run_s * machine.worked_ms / MS_PER_S
        since, self._drawn = drawn - self._drawn, drawn
        return since


class Reservoir:
    """Level between empty and full; refilling starts at `low` and ends at `high`, judged once a scan as a PLC does."""

    def __init__(self, spec: ReservoirSpec, machines: Mapping[str, Machine]) -> None:
        self._spec = spec
        self._users = [_User(machines[name], use) for name, use in spec.users.items()]
        self.level = spec.start * spec.capacity
        self.refilling = False

    def scan(self, elapsed_ms: int) -> tuple[float, ...]:
        """Move on to the next scan and say what drives the physics (drivers.RESERVOIR_DRIVERS)."""
        spec = self._spec
        refill = spec.refill_per_s * elapsed_ms / MS_PER_S if self.refilling else 0.0
        level = self.level + refill - sum(user.draw() for user in self._users)
        self.level = min(max(level, 0.0), spec.capacity)
        fraction = self.level / spec.capacity
        refilled = float(self.refilling)
        self.refilling = fraction < spec.high if self.refilling else fraction <= spec.low
        return fraction, refilled
