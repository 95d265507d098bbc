"""What must agree between the parts of a plant file: names, sources of signals, the flow, and mass balances."""

from __future__ import annotations

from collections.abc import Iterator

from shakedown.twin.line.checks_production import check_production
from shakedown.twin.line.checks_upsets import check_upsets
from shakedown.twin.line.drivers import drivers, levels, responses
from shakedown.twin.line.plant_model import PlantModel
from shakedown.twin.line.problem import Place, Problem, did_you_mean
from shakedown.twin.line.quantities import Duration
from shakedown.twin.line.signal_spec import (
    CONVEYOR_REGISTERS,
    MACHINE_REGISTERS,
    RESERVOIR_REGISTERS,
    SignalSpec,
)
from shakedown.twin.line.specs import FailureMode, MachineSpec, ReservoirSpec, Stoppage

CYCLE_S_MIN = 0.025  # the fastest can fillers built make about 40 parts a second


def problems(plant: PlantModel) -> list[Problem]:
    """Every contradiction in a plant file, in the order of the file."""
    return [
        *(
            found
            for name, machine in plant.machines.items()
            for found in _machine(("machines", name), machine)
        ),
        *_flow(plant),
        *_reservoirs(plant),
        *_signals(plant),
        *_gains(plant),
        *_dropouts(plant),
        *check_production(plant),
        *check_upsets(plant),
    ]


def _machine(place: Place, machine: MachineSpec) -> Iterator[Problem]:
    cycle = machine.cycle
    per_part_s = cycle.mean_s / machine.batch
    if per_part_s < CYCLE_S_MIN:
        text = (
            f"{cycle.mean_s:g} for {machine.batch} parts is {1 / per_part_s:,.0f} parts a second, faster than any"
            f" machine built - give at least {CYCLE_S_MIN * machine.batch:g}"
        )
        yield (*place, "cycle", "mean_s"), cycle.mean_s, text
    causes: list[tuple[Place, str, Duration, Stoppage | FailureMode]] = []
    for index, stoppage in enumerate(machine.stoppages):
        causes.append(((*place, "stoppages", index), "between", stoppage.between, stoppage))
    for name, failure in machine.failures.items():
        causes.append(((*place, "failures", name), "mtbf", failure.mtbf, failure))
    codes: dict[int, Stoppage | FailureMode] = {}
    for inside, key, time, cause in causes:
        if time.mean_s < cycle.mean_s:
            text = (
                f"{cause.cause!r} strikes every {time.mean_s:g} s, more often than a cycle of {cycle.mean_s:g} s ends"
                f" - give a longer {key}.mean_s"
            )
            yield (*inside, key, "mean_s"), time.mean_s, text
        first = codes.setdefault(cause.code, cause)
        if first is not cause:
            text = f"is also the code of {first.cause!r}: they are not all different - give each a code of its own"
            yield (*inside, "code"), cause.code, text


def _flow(plant: PlantModel) -> Iterator[Problem]:
    expected = len(plant.machines) - 1
    if len(plant.conveyors) != expected:
        yield (
            ("conveyors",),
            list(plant.conveyors),
            f"{len(plant.conveyors)} conveyors for {len(plant.machines)} machines - give {expected}, one between two",
        )
    taken: dict[str, str] = {}
    for section in ("machines", "conveyors", "reservoirs"):
        for name in getattr(plant, section):
            if name in taken:
                yield (section, name), name, f"is also the name of one of the {taken[name]} - choose another"
            taken[name] = section
    for index, order in enumerate(plant.orders):
        if order.product not in plant.products:
            remedy = did_you_mean(order.product, list(plant.products))
            yield ("orders", index, "product"), order.product, f"unknown product {order.product!r} - {remedy}"


def _reservoirs(plant: PlantModel) -> Iterator[Problem]:
    for name, reservoir in plant.reservoirs.items():
        place = ("reservoirs", name)
        unknown = [user for user in reservoir.users if user not in plant.machines]
        for user in unknown:
            remedy = did_you_mean(user, list(plant.machines))
            yield (*place, "users", user), user, f"unknown machine {user!r} - {remedy}"
        if unknown:
            continue
        use_per_s = _use_per_s(plant, reservoir)
        if reservoir.refill_per_s <= use_per_s:
            yield (
                (*place, "refill_per_s"),
                reservoir.refill_per_s,
                f"is refilled slower than the machines use it up ({use_per_s:.4g}/s) - give more than that",
            )


def _use_per_s(plant: PlantModel, reservoir: ReservoirSpec) -> float:
    """The most that the users of a reservoir draw in a second, over all products."""
    total = 0.0
    for name, use in reservoir.users.items():
        machine = plant.machines[name]
        total += use.per_run_s + max(
            (use.per_part + use.per_litre * product.volume_l * machine.batch)
            / (machine.cycle.mean_s * product.cycle_factor)
            for product in plant.products.values()
        )
    return total


def _signals(plant: PlantModel) -> Iterator[Problem]:
    registers = {  # of two with one name, which is a problem of its own, the machine counts
        **dict.fromkeys(plant.reservoirs, RESERVOIR_REGISTERS),
        **dict.fromkeys(plant.conveyors, CONVEYOR_REGISTERS),
        **dict.fromkeys(plant.machines, MACHINE_REGISTERS),
    }
    tags: dict[str, str] = {}
    taken = set(drivers(plant))
    for owner in plant.signals:
        if owner not in registers:
            remedy = did_you_mean(owner, list(registers))
            yield ("signals", owner), owner, f"unknown machine, conveyor or reservoir {owner!r} - {remedy}"
    for owner, name, spec in plant.each_signal():
        place = ("signals", owner, name)
        first = tags.setdefault(spec.tag.casefold(), f"{owner}.{name}")
        if first != f"{owner}.{name}":
            yield (
                (*place, "tag"),
                spec.tag,
                f"duplicate tag, it is also that of {first} - rename one (case does not tell)",
            )
        if spec.show is None and f"{owner}.{name}" in taken:
            yield (
                place,
                name,
                f"{owner}.{name} is also a driver - gains could not tell them apart, rename the signal",
            )
        known = registers.get(owner)
        if spec.show is not None and known is not None and spec.show not in known:
            yield (
                (*place, "show"),
                spec.show,
                f"{owner} has no {spec.show} - {did_you_mean(spec.show, list(known))}",
            )


def _gains(plant: PlantModel) -> Iterator[Problem]:
    measured = responses(plant)
    known = [*drivers(plant), *measured]
    for owner, name, spec in plant.each_signal():
        source = "response" if spec.response else "totaliser"
        for key in spec.gains:
            place = ("signals", owner, name, source, "gains", key)
            factors = key.split("*")
            if len(factors) > 2:
                yield place, key, "is a product of more than two drivers - use two at most"
            for factor in factors:
                if factor not in known:
                    yield place, key, f"unknown driver {factor!r} - {did_you_mean(factor, known)}"
    for name in _circular(measured):
        owner, _, signal = name.partition(".")
        yield (
            ("signals", owner, signal),
            name,
            f"{name} follows itself in a circle - break the circle in its gains",
        )


def _circular(measured: dict[str, SignalSpec]) -> list[str]:
    placed = {name for level in levels(measured) for name in level}
    return [name for name in measured if name not in placed]


def _dropouts(plant: PlantModel) -> Iterator[Problem]:
    known = list(plant.each_signal_named())
    for index, dropout in enumerate(plant.dropouts):
        for position, name in enumerate(dropout.signals):
            if name not in known:
                place = ("dropouts", index, "signals", position)
                yield place, name, f"unknown signal {name!r} - {did_you_mean(name, known)}"
