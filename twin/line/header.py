"""What the header of a ledger says of a plant besides its signals (docs/operations.md)."""

from __future__ import annotations

from typing import Any

from shakedown.twin.ledger import NS_PER_MS
from shakedown.twin.line.plant import Plant
from shakedown.twin.line.randomness import MS_PER_S


def described(plant: Plant, start_ns: int) -> dict[str, Any]:
    """Calendar, product labels, ideal times, assets and bottleneck; all times in ns since the epoch."""

    def at_ns(moment_s: float) -> int:
        return start_ns + round(moment_s * MS_PER_S) * NS_PER_MS

    calendar = [
        {
            "name": shift.name,
            "from_ns": at_ns(shift.begins_s),
            "to_ns": at_ns(shift.ends_s),
            "breaks": [[at_ns(pause.begins_s), at_ns(pause.ends_s)] for pause in shift.breaks],
        }
        for shift in plant.calendar
    ]
    ideal_s = {
        product: {
            machine: spec.cycle.mean_s * plant.products[product].cycle_factor
            for machine, spec in plant.machines.items()
        }
        for product in plant.products
    }
    assets: list[list[Any]] = []
    for asset in plant.assets.values():
        starts = [at_ns(assignment.from_s) for assignment in asset.assignments]
        for assignment, from_ns, to_ns in zip(asset.assignments, starts, [*starts[1:], None], strict=True):
            assets.append([asset.equipment, assignment.physical_asset, from_ns, to_ns])
    return {
        "calendar": calendar,
        "labels": {name: product.label for name, product in plant.products.items()},
        "ideal_s": ideal_s,
        "assets": assets,
        "bottleneck": plant.counted_machine,
    }
