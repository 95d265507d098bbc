"""What the parts of a line have in common: plant, environment, seed, and the way to write down what happens."""

from __future__ import annotations

from dataclasses import dataclass

import simpy

from shakedown.twin.line.calendar import Calendar
from shakedown.twin.line.faults import Faults
from shakedown.twin.line.materials import Materials
from shakedown.twin.line.plant import Plant
from shakedown.twin.line.process import Record
from shakedown.twin.line.production_orders import Orders


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
