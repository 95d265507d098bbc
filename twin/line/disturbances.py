"""Upsets at run time: when each one strikes, and what the signals show meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import simpy

from shakedown.twin.line.checks_upsets import affected
from shakedown.twin.line.machine import Machine
from shakedown.twin.line.plant import Plant
from shakedown.twin.line.process import Process, Record
from shakedown.twin.line.randomness import MS_PER_S, stream
from shakedown.twin.line.upsets.trip import Trip
from shakedown.twin.line.upsets.upset import Distortion, MachineUpset, Offer, SignalUpset, Upset, Value

S_PER_H = 3_600


class UnknownUpsetError(LookupError):
    """The plant has no upset of this id: says which it has."""


class _Active:
    """One upset in force: its distortions by signal index, and since when."""

    def __init__(self, distortions: dict[int, Distortion], since_ms: int) -> None:
        self.distortions = distortions
        self.since_ms = since_ms


class Disturbances:
    """All upsets of a line: `start` sets the scheduled and the random ones going, `trigger` sets one off now.

    An upset that is in force already does not strike again. Several on one signal act one after the other, in the
    order in which they began.
    """

    def __init__(
        self, plant: Plant, machines: Mapping[str, Machine], env: simpy.Environment, seed: int, record: Record
    ) -> None:
        self._upsets: dict[str, Upset] = dict(plant.each_upset())
        self._plant = plant
        self._signals = plant.each_signal_named()
        self._indices = {name: index for index, name in enumerate(self._signals)}
        self._machines = machines
        self._env = env
        self._seed = seed
        self._record = record
        self._active: dict[str, _Active] = {}  # at most one for each upset

    def start(self) -> None:
        """Set going what strikes by schedule or by chance."""
        for name, upset in self._upsets.items():
            for moment_s in upset.at_s:
                self._env.process(self._scheduled(name, round(moment_s * MS_PER_S)))
            if upset.per_hour:
                self._env.process(self._by_chance(name, upset.per_hour))

    def trigger(self, name: str) -> None:
        """Set off an upset now. Raises UnknownUpsetError if the plant has none of this id."""
        if name not in self._upsets:
            known = ", ".join(self._upsets) or "none"
            raise UnknownUpsetError(
                f"No upset {name!r}; this plant has: {known}. Name one, or add it to the plant."
            )
        self._env.process(self._strike(name))

    def distort(self, readings: list[Value]) -> list[tuple[int, Offer | None]]:
        """What is offered otherwise than read, by signal index (None: nothing); only of signals with an upset."""
        shown: dict[int, Offer | None] = {}
        for name, active in list(self._active.items()):
            elapsed_s = (self._env.now - active.since_ms) / MS_PER_S
            was_over = _over(active)
            for index, distortion in active.distortions.items():
                offer = shown.get(index, (readings[index], 0))
                if offer is not None and not offer[1]:
                    shown[index] = distortion.show(offer[0], elapsed_s)
            if _over(active) and not was_over:
                self._tell(name, "end")
        return list(shown.items())

    def again(self) -> Iterator[list[tuple[int, Offer]]]:
        """What is offered besides within the scan that `distort` was asked for, one batch after the other."""
        besides = [
            (index, distortion.again())
            for active in self._active.values()
            for index, distortion in active.distortions.items()
        ]
        for nth in range(max((len(offers) for _, offers in besides), default=0)):
            yield [(index, offers[nth]) for index, offers in besides if nth < len(offers)]

    def _scheduled(self, name: str, moment_ms: int) -> Process:
        yield self._env.timeout(moment_ms)
        yield from self._strike(name)

    def _by_chance(self, name: str, per_hour: float) -> Process:
        chance = stream(self._seed, f"upset/{name}/when")
        mean_ms = S_PER_H * MS_PER_S / per_hour
        while True:
            yield self._env.timeout(max(1, round(chance.standard_exponential() * mean_ms)))
            yield from self._strike(name)

    def _strike(self, name: str) -> Process:
        """Let an upset have its time; a second one of the same id waits for its next turn."""
        upset = self._upsets[name]
        if isinstance(upset, MachineUpset):  # what the signals show of a failure, they show once it has begun
            yield self._machines[upset.machine].strike(upset.mode)
        active = self._active.get(name)
        if active is not None and not _over(active):
            return
        distortions = self._distortions(name, upset)
        if not distortions:
            return
        self._active[name] = _Active(distortions, self._env.now)
        self._tell(name, "start")
        if isinstance(upset, Trip) or (isinstance(upset, SignalUpset) and upset.lasting):
            yield self._env.timeout(round(upset.lasts_s * MS_PER_S))
            del self._active[name]
            self._tell(name, "end")

    def _distortions(self, name: str, upset: Upset) -> dict[int, Distortion]:
        made: dict[int, Distortion] = {}
        for full in _concerned(self._plant, upset):
            signal = self._signals[full]
            if isinstance(upset, Trip):
                made[self._indices[full]] = upset.distortion(full, signal)
            elif isinstance(upset, SignalUpset):
                chance = stream(self._seed, f"upset/{name}/{full}/{self._env.now}")
                made[self._indices[full]] = upset.distortion(signal, chance)
        return made

    def _tell(self, name: str, phase: str) -> None:
        """One event for each machine whose signals are concerned."""
        upset = self._upsets[name]
        owners: dict[str, list[str]] = {}
        for full in _concerned(self._plant, upset):
            owners.setdefault(full.partition(".")[0], []).append(full)
        for owner, signals in owners.items():
            data: dict[str, Any] = {"phase": phase, "id": name, "upset": upset.kind, "signals": signals}
            self._record("upset", owner, data)


def _concerned(plant: Plant, upset: Upset) -> list[str]:
    """The signals that an upset distorts, by full name."""
    if isinstance(upset, Trip):
        return list(upset.shifts)
    return affected(plant, upset) if isinstance(upset, SignalUpset) else []


def _over(active: _Active) -> bool:
    """Whether an upset without a duration has had its effect on all of its signals."""
    return all(distortion.over for distortion in active.distortions.values())
