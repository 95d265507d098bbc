"""Orders, one after the other: the source of the first machine, and the warehouse behind the last one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import simpy

from shakedown.twin.line.flow import Part
from shakedown.twin.line.plant import Plant
from shakedown.twin.line.process import LINE, Record
from shakedown.twin.line.states import StopReason


@dataclass
class _Running:
    """An order of which bottles are on the line; its quantity, and where they are."""

    id: str
    lot: str
    product: str
    quantity: int
    released: int = 0
    good: int = 0
    scrap: int = 0


class Orders:
    """The source of the first machine: empty bottles without end, as the orders say, until the last is worked off.

    Each order makes one lot. It begins with its first bottle and ends when its last one has left the line.
    """

    lack = StopReason.NO_ORDER

    def __init__(self, plant: Plant, env: simpy.Environment, record: Record) -> None:
        self._plant = plant
        self._env = env
        self._record = record
        self._at = 0
        self._begun = 0
        self._left = plant.orders[0].quantity
        self._running: dict[str, _Running] = {}  # by lot; as many as find room on the line
        self._current: _Running | None = None
        self.bottles = 0
        self.on_last: Callable[[], None] | None = None  # called when the last order has ended

    def ready(self) -> bool:
        """Whether there is an order to work on."""
        plant = self._plant
        if self._left == 0 and (plant.repeat_orders or self._at + 1 < len(plant.orders)):
            self._at = (self._at + 1) % len(plant.orders)
            self._left = plant.orders[self._at].quantity
            self._current = None
        return self._left > 0

    def wait_ready(self) -> simpy.Event:
        """An event that never comes: when the orders are worked off, there is nothing more to wait for."""
        return self._env.event()

    def take(self) -> Part:
        """The next empty bottle."""
        order = self._current or self._begin()
        self._left -= 1
        self.bottles += 1
        order.released += 1
        return Part(self.bottles, order.product, order.lot, f"{order.lot}-{order.released:05d}")

    def fill(self) -> float:
        """Empty bottles are always at hand."""
        return 1.0

    def id_of(self, lot: str) -> str:
        """The order that a lot on the line is made for."""
        return self._running[lot].id

    def leaves(self, part: Part, good: bool) -> None:
        """A part leaves the line, as good product or as scrap."""
        order = self._running[part.lot]
        if good:
            order.good += part.bottles
        else:
            order.scrap += part.bottles
        if order.good + order.scrap == order.quantity:
            del self._running[part.lot]
            self._record("order", LINE, {**_data_of(order, "end"), "good": order.good, "scrap": order.scrap})
            if self.on_last is not None and not self._running and not self.ready():
                self.on_last()

    def _begin(self) -> _Running:
        self._begun += 1
        spec = self._plant.orders[self._at]
        order = _Running(
            spec.id or f"ORD-{self._begun:04d}", f"LOT-{self._begun:04d}", spec.product, spec.quantity
        )
        self._current = self._running[order.lot] = order
        self._record("order", LINE, _data_of(order, "start"))
        self._record("lot", LINE, {"id": order.lot, "item": order.product, "quantity": order.quantity})
        return order


class Warehouse:
    """The sink of the last machine: takes everything."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self.bottles = 0

    def has_room(self) -> bool:
        """There is always room."""
        return True

    def wait_room(self) -> simpy.Event:
        """Nobody waits for room in the warehouse."""
        raise AssertionError("the warehouse always has room")

    def put(self, part: Part) -> None:
        """Store a part."""
        self.bottles += part.bottles
        self._orders.leaves(part, good=True)


def _data_of(order: _Running, phase: str) -> dict[str, Any]:
    told = {"phase": phase, "id": order.id, "product": order.product, "quantity": order.quantity}
    return {**told, "lot": order.lot}
