"""What drives the physics of a line, and what follows it: the names that gains may hold."""

from __future__ import annotations

from shakedown.twin.line.plant_model import PlantModel
from shakedown.twin.line.signal_spec import SignalSpec

MACHINE_DRIVERS = ("run", "speed", "flow", "load", "queue", "fault", "setup", "mains")
CONVEYOR_DRIVERS = ("belt", "fill")
RESERVOIR_DRIVERS = ("level", "refill")
PLANT_DRIVERS = ("ambient",)


def drivers(plant: PlantModel) -> list[str]:
    """Names of everything physical that a response may follow, in the order in which a scan lists their values."""
    return [
        *PLANT_DRIVERS,
        *(f"{name}.{driver}" for name in plant.machines for driver in machine_drivers(plant, name)),
        *(f"{name}.{driver}" for name in plant.conveyors for driver in CONVEYOR_DRIVERS),
        *(f"{name}.{driver}" for name in plant.reservoirs for driver in RESERVOIR_DRIVERS),
    ]


def machine_drivers(plant: PlantModel, machine: str) -> list[str]:
    """What a machine drives: the same of each, its failure modes, and the set-points of its recipes."""
    return [*MACHINE_DRIVERS, *plant.machines[machine].failures, *parameters(plant, machine)]


def parameters(plant: PlantModel, machine: str) -> list[str]:
    """Names of all parameters that any product's recipe sets at a machine."""
    named = (
        name
        for recipes in plant.recipes.values()
        if machine in recipes
        for name in recipes[machine].parameters
    )
    return list(dict.fromkeys(named))


def responses(plant: PlantModel) -> dict[str, SignalSpec]:
    """The measured quantities by `<owner>.<signal>`: a response may follow another one too."""
    return {f"{owner}.{name}": spec for owner, name, spec in plant.each_signal() if spec.show is None}


def levels(measured: dict[str, SignalSpec]) -> list[list[str]]:
    """Measured quantities in the order of cause and effect: each level follows only drivers and earlier levels."""
    waiting = {
        name: {factor for key in spec.gains for factor in key.split("*") if factor in measured}
        for name, spec in measured.items()
    }
    ordered: list[list[str]] = []
    while ready := [name for name, causes in waiting.items() if not causes & waiting.keys()]:
        ordered.append(ready)
        for name in ready:
            del waiting[name]
    return ordered
