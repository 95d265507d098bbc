"""What the parts of a line have in common: plant, environment, seed, and the way to write down what happens."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import simpy

from shakedown.twin.line.plant import Plant

if TYPE_CHECKING:
    from shakedown.twin.line.calendar import Calendar
    from shakedown.twin.line.faults import Faults
    from shakedown.twin.line.materials import Materials
    from shakedown.twin.line.production_orders import Orders

Record = Callable[[str, str, dict[str, Any]], None]
"""Takes kind, machine and data of a physical event that happens now."""
Process = Generator[simpy.Event, Any, None]
LINE = ""
"""The machine of an event that concerns the line as a whole."""


@dataclass(frozen=True)
class Shop:
    """The shop floor as each machine finds it."""

    plant: Plant
    env: simpy.Environment
    seed: int
    record: Record
    calendar: Calendar
    faults: Faults
    materials: Materials
    orders: Orders
