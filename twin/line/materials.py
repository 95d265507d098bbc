"""Materials: lots that are opened one after the other, and what each part consumes of them."""

from __future__ import annotations

from shakedown.twin.line.plant import Plant
from shakedown.twin.line.process import LINE, Record

SMALLEST = 1_000_000
"""Quantities are kept in millionths of the item's unit, as integers: so the mass balance is exact."""


class Materials:
    """The materials of a line; a machine calls `consume` for each part that goes through it."""

    def __init__(self, plant: Plant, record: Record) -> None:
        self._record = record
        self._lot_size = {name: round(item.lot_quantity * SMALLEST) for name, item in plant.items.items()}
        self._left = dict.fromkeys(plant.items, 0)
        self._lots = dict.fromkeys(plant.items, 0)
        self._bill = {
            (product, machine): [(item, round(quantity * SMALLEST)) for item, quantity in items.items()]
            for product, machines in plant.bill.items()
            for machine, items in machines.items()
        }

    def consume(self, machine: str, product: str, serial: str) -> None:
        """Take what the bill says for one part, from the lot that is open, and from the next when that is empty."""
        for item, wanted in self._bill.get((product, machine), ()):
            while wanted:
                if not self._left[item]:
                    self._open(item)
                taken = min(wanted, self._left[item])
                wanted -= taken
                self._left[item] -= taken
                consumed = {
                    "item": item,
                    "lot": self._lot(item),
                    "quantity": taken / SMALLEST,
                    "part": serial,
                }
                self._record("consume", machine, consumed)

    def _open(self, item: str) -> None:
        self._lots[item] += 1
        self._left[item] = size = self._lot_size[item]
        self._record("lot", LINE, {"id": self._lot(item), "item": item, "quantity": size / SMALLEST})

    def _lot(self, item: str) -> str:
        return f"{item}-{self._lots[item]:04d}"
