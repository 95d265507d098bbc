"""What must agree between upsets and the line: signals and failure modes that exist, and that the upset can befall."""

from __future__ import annotations

from collections.abc import Iterator

from shakedown.twin.line.plant_model import PlantModel
from shakedown.twin.line.problem import Problem, did_you_mean
from shakedown.twin.line.signal_spec import SignalSpec
from shakedown.twin.line.upsets.trip import Trip
from shakedown.twin.line.upsets.upset import MachineUpset, SignalUpset, number_problem


def check_upsets(plant: PlantModel) -> Iterator[Problem]:
    """Every contradiction in the upsets."""
    signals = plant.each_signal_named()
    for name, upset in plant.upsets.items():
        if isinstance(upset, SignalUpset):
            yield from _signals(plant, name, upset, signals)
        elif isinstance(upset, MachineUpset):
            yield from _mode(plant, name, upset)
        if isinstance(upset, Trip):
            yield from _shifts(name, upset, signals)


def affected(plant: PlantModel, upset: SignalUpset) -> list[str]:
    """The signals of an upset by full name; an owner stands for all of its signals."""
    return [
        f"{owner}.{signal}"
        for named in upset.signals
        for owner, signal in [named.split(".", 1) if "." in named else (named, "")]
        for signal in ([signal] if signal else plant.signals.get(owner, {}))
    ]


def _signals(
    plant: PlantModel, name: str, upset: SignalUpset, signals: dict[str, SignalSpec]
) -> Iterator[Problem]:
    for position, named in enumerate(upset.signals):
        place = ("upsets", name, "signals", position)
        if named not in signals and named not in plant.signals:
            remedy = did_you_mean(named, [*signals, *plant.signals])
            yield place, named, f"unknown signal {named!r} - {remedy}"
    for full in affected(plant, upset):
        if full in signals and (problem := upset.problem(signals[full])):
            yield ("upsets", name, "signals"), full, f"{full} {problem}"


def _mode(plant: PlantModel, name: str, upset: MachineUpset) -> Iterator[Problem]:
    machine = plant.machines.get(upset.machine)
    if machine is None:
        remedy = did_you_mean(upset.machine, list(plant.machines))
        yield ("upsets", name, "machine"), upset.machine, f"unknown machine {upset.machine!r} - {remedy}"
        return
    mode = machine.failures.get(upset.mode)
    if mode is None:
        remedy = (
            did_you_mean(upset.mode, list(machine.failures))
            if machine.failures
            else "it has none, give it some"
        )
        yield (
            ("upsets", name, "mode"),
            upset.mode,
            f"{upset.machine} has no failure {upset.mode!r} - {remedy}",
        )
    elif problem := upset.mode_problem(mode):
        yield ("upsets", name, "mode"), upset.mode, f"{upset.mode} {problem}"


def _shifts(name: str, upset: Trip, signals: dict[str, SignalSpec]) -> Iterator[Problem]:
    for full in upset.shifts:
        place = ("upsets", name, "shifts", full)
        if full not in signals:
            yield place, full, f"unknown signal {full!r} - {did_you_mean(full, list(signals))}"
        elif problem := number_problem(signals[full]):
            yield place, full, f"{full} {problem}"
