"""What must agree between the parts of a plant file: names, sources of signals, the flow, and mass balances."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shakedown.twin.line.plant import FailureMode, MachineSpec, Plant, ReservoirSpec, SignalSpec, Stoppage
    from shakedown.twin.line.quantities import Duration

Place = tuple[str | int, ...]
Problem = tuple[Place, object, str]
"""Where in the file, the value there, and `what - remedy`."""

INTEGERS = {"Int16": 15, "UInt16": 16, "Int32": 31, "UInt32": 32, "Int64": 63, "UInt64": 64}
"""Integer types and how many bits of magnitude they hold."""
UNSIGNED = ("UInt16", "UInt32", "UInt64")

CYCLE_S_MIN = 0.025  # the fastest can fillers built make about 40 parts a second

MACHINE_REGISTERS = {
    "state": tuple(INTEGERS),
    "stop_reason": tuple(INTEGERS),
    "product": ("String",),
    "order": ("String",),
    "heartbeat": UNSIGNED,
    "infeed": UNSIGNED,
    "good": UNSIGNED,
    "reject": UNSIGNED,
    "total": UNSIGNED,
    "reworked": UNSIGNED,
    "step": UNSIGNED,
    "starved": ("Boolean",),
    "blocked": ("Boolean",),
}
CONVEYOR_REGISTERS = {"heartbeat": UNSIGNED, "running": ("Boolean",), "parts": UNSIGNED}
RESERVOIR_REGISTERS = {"heartbeat": UNSIGNED, "refilling": ("Boolean",)}
"""What a controller shows without a sensor, and the types that can carry it."""

COUNTERS = ("infeed", "good", "reject", "total", "reworked")
"""Registers that only count up."""

MACHINE_DRIVERS = ("run", "speed", "flow", "load", "queue", "fault", "setup", "mains")
CONVEYOR_DRIVERS = ("belt", "fill")
RESERVOIR_DRIVERS = ("level", "refill")
PLANT_DRIVERS = ("ambient",)


def problems(plant: Plant) -> list[Problem]:
    """Every contradiction in a plant file, in the order of the file."""
    from shakedown.twin.line.checks_production import check_production
    from shakedown.twin.line.checks_upsets import check_upsets

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


def type_problem(spec: SignalSpec) -> str | None:
    """Why a signal's type cannot carry its source, or None."""
    if spec.show is not None:
        tables = (MACHINE_REGISTERS, CONVEYOR_REGISTERS, RESERVOIR_REGISTERS)
        allowed = next(table[spec.show] for table in tables if spec.show in table)
        if spec.type not in allowed:
            return f"type {spec.type} cannot show {spec.show} - use {' or '.join(allowed)}"
        return None
    if spec.type in ("Boolean", "String"):
        return f"type {spec.type} cannot show a measured quantity - use Double, Float or an integer type"
    if spec.range is None:
        return "range is missing - a sensor has one, give [low, high] in the vendor's unit"
    source = spec.response or spec.totaliser
    if spec.type in INTEGERS:
        least, most = integer_limits(spec.type)
        if not least <= spec.range[0] <= spec.range[1] <= most:
            return f"range {spec.range} does not fit type {spec.type} ({least} to {most}) - use a wider type"
    if spec.type in INTEGERS and source is not None and source.resolution % 1:
        return f"resolution {source.resolution:g} does not fit type {spec.type} - use a whole number, or type Double"
    return None


def integer_limits(data_type: str) -> tuple[int, int]:
    """The least and the greatest number of an integer type."""
    bits = INTEGERS[data_type]
    return (0 if data_type in UNSIGNED else -(1 << bits)), (1 << bits) - 1


def drivers(plant: Plant) -> list[str]:
    """Names of everything physical that a response may follow, in the order in which a scan lists their values."""
    return [
        *PLANT_DRIVERS,
        *(f"{name}.{driver}" for name in plant.machines for driver in machine_drivers(plant, name)),
        *(f"{name}.{driver}" for name in plant.conveyors for driver in CONVEYOR_DRIVERS),
        *(f"{name}.{driver}" for name in plant.reservoirs for driver in RESERVOIR_DRIVERS),
    ]


def machine_drivers(plant: Plant, machine: str) -> list[str]:
    """What a machine drives: the same of each, its failure modes, and the set-points of its recipes."""
    return [*MACHINE_DRIVERS, *plant.machines[machine].failures, *parameters(plant, machine)]


def parameters(plant: Plant, machine: str) -> list[str]:
    """Names of all parameters that any product's recipe sets at a machine."""
    named = (
        name
        for recipes in plant.recipes.values()
        if machine in recipes
        for name in recipes[machine].parameters
    )
    return list(dict.fromkeys(named))


def responses(plant: Plant) -> dict[str, SignalSpec]:
    """The measured quantities by `<owner>.<signal>`: a response may follow another one too."""
    return {f"{owner}.{name}": spec for owner, name, spec in plant.each_signal() if spec.show is None}


def gains_of(spec: SignalSpec) -> dict[str, float]:
    """The gains of a measured quantity, whichever its source."""
    source = spec.response or spec.totaliser
    return source.gains if source is not None else {}


def did_you_mean(name: str, known: list[str]) -> str:
    """A remedy for an unknown name."""
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"


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


def _flow(plant: Plant) -> Iterator[Problem]:
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


def _reservoirs(plant: Plant) -> Iterator[Problem]:
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


def _use_per_s(plant: Plant, reservoir: ReservoirSpec) -> float:
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


def _signals(plant: Plant) -> Iterator[Problem]:
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


def _gains(plant: Plant) -> Iterator[Problem]:
    measured = responses(plant)
    known = [*drivers(plant), *measured]
    for owner, name, spec in plant.each_signal():
        source = "response" if spec.response else "totaliser"
        for key in gains_of(spec):
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


def levels(measured: dict[str, SignalSpec]) -> list[list[str]]:
    """Measured quantities in the order of cause and effect: each level follows only drivers and earlier levels."""
    waiting = {
        name: {factor for key in gains_of(spec) for factor in key.split("*") if factor in measured}
        for name, spec in measured.items()
    }
    ordered: list[list[str]] = []
    while ready := [name for name, causes in waiting.items() if not causes & waiting.keys()]:
        ordered.append(ready)
        for name in ready:
            del waiting[name]
    return ordered


def _circular(measured: dict[str, SignalSpec]) -> list[str]:
    placed = {name for level in levels(measured) for name in level}
    return [name for name in measured if name not in placed]


def _dropouts(plant: Plant) -> Iterator[Problem]:
    known = list(plant.each_signal_named())
    for index, dropout in enumerate(plant.dropouts):
        for position, name in enumerate(dropout.signals):
            if name not in known:
                place = ("dropouts", index, "signals", position)
                yield place, name, f"unknown signal {name!r} - {did_you_mean(name, known)}"
