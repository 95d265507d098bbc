"""What must agree between master data and the line: names, shifts that do not overlap, drivers of one name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from shakedown.twin.line.drivers import MACHINE_DRIVERS, parameters
from shakedown.twin.line.plant_model import PlantModel
from shakedown.twin.line.problem import Place, Problem, did_you_mean


def check_production(plant: PlantModel) -> Iterator[Problem]:
    """Every contradiction in calendar, bill, recipes, changeovers, assets, and failure modes."""
    yield from _calendar(plant)
    yield from _bill(plant)
    yield from _recipes(plant)
    yield from _changeovers(plant)
    owners = [*plant.machines, *plant.conveyors, *plant.reservoirs]
    yield from _unknown(plant.assets, owners, ("assets",), "machine, conveyor or reservoir")
    if plant.bottleneck is not None:
        yield from _unknown([plant.bottleneck], list(plant.machines), (), "machine", key="bottleneck")
    yield from _drivers(plant)
    yield from _orders(plant)


def _calendar(plant: PlantModel) -> Iterator[Problem]:
    after_s = 0.0
    for index, shift in enumerate(plant.calendar):
        if shift.begins_s < after_s:
            yield (
                ("calendar", index, "begins_s"),
                shift.begins_s,
                f"shift {shift.name!r} begins before the one before it ends at {after_s:g} s - give them in order",
            )
        after_s = shift.ends_s


def _bill(plant: PlantModel) -> Iterator[Problem]:
    yield from _unknown(plant.bill, list(plant.products), ("bill",), "product")
    for product, machines in plant.bill.items():
        yield from _unknown(machines, list(plant.machines), ("bill", product), "machine")
        for machine, items in machines.items():
            yield from _unknown(items, list(plant.items), ("bill", product, machine), "item")
    for item in plant.items:
        if item in plant.products:
            yield (
                ("items", item),
                item,
                "is also the name of a product - a lot could not tell them apart, rename one",
            )


def _recipes(plant: PlantModel) -> Iterator[Problem]:
    yield from _unknown(plant.recipes, list(plant.products), ("recipes",), "product")
    for product, machines in plant.recipes.items():
        yield from _unknown(machines, list(plant.machines), ("recipes", product), "machine")


def _changeovers(plant: PlantModel) -> Iterator[Problem]:
    products = list(plant.products)
    yield from _unknown(plant.changeovers, products, ("changeovers",), "product")
    for before, factors in plant.changeovers.items():
        yield from _unknown(factors, products, ("changeovers", before), "product")
        if before in factors:
            place = ("changeovers", before, before)
            yield place, before, "changes over to itself - a machine does not; leave it out"


def _drivers(plant: PlantModel) -> Iterator[Problem]:
    """Failure modes and set-points are drivers: each name once a machine."""
    for machine, spec in plant.machines.items():
        taken = list(MACHINE_DRIVERS)
        for mode in spec.failures:
            if mode in taken:
                yield (
                    ("machines", machine, "failures", mode),
                    mode,
                    "is also a driver of machines - rename it",
                )
            taken.append(mode)
        for name in parameters(plant, machine):
            if name in taken:
                product = next(
                    p for p, r in plant.recipes.items() if machine in r and name in r[machine].parameters
                )
                place = ("recipes", product, machine, "parameters", name)
                yield place, name, f"is also a driver or a failure mode of {machine} - rename it"


def _orders(plant: PlantModel) -> Iterator[Problem]:
    ids = [order.id for order in plant.orders if order.id is not None]
    for index, order in enumerate(plant.orders):
        if order.id is not None and (ids.count(order.id) > 1 or plant.repeat_orders):
            yield (
                ("orders", index, "id"),
                order.id,
                "would be the id of two orders - give each its own, and repeat_orders: false; or leave ids out",
            )


def _unknown(
    names: Iterable[str], known: list[str], place: Place, what: str, key: str | None = None
) -> Iterator[Problem]:
    for name in names:
        if name not in known:
            yield (*place, key or name), name, f"unknown {what} {name!r} - {did_you_mean(name, known)}"
