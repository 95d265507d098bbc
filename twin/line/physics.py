"""The physics between two scans: every measured quantity follows its causes with a first-order lag, in closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shakedown.twin.line.drivers import levels
from shakedown.twin.line.randomness import MS_PER_S
from shakedown.twin.line.signal_spec import SignalSpec

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
_ONE = "1"  # the driver of a base


@dataclass(frozen=True)
class _Level:
    """Quantities that follow only drivers and earlier levels: arrays over terms, and over quantities."""

    gain: Floats  # of each term
    first: Indices  # where each term's two factors stand in the state
    second: Indices
    starts: Indices  # where the terms of each quantity begin
    place: Indices  # where each quantity stands in the state
    weight: Floats  # how far a quantity moves to its target in one scan; of a totaliser the scan in seconds
    leak: Floats  # 1 of a response, 0 of a totaliser


class Physics:
    """State of the plant: drivers (what machines do) and quantities (what that causes), moved on scan by scan.

    A response with target T and lag tau goes from y to T + (y - T) * exp(-dt / tau), exact for a target that is
    constant between scans; a totaliser adds T * dt. Quantities that follow other quantities are computed after them.
    """

    def __init__(self, drivers: Sequence[str], measured: Mapping[str, SignalSpec], scan_ms: int) -> None:
        places = {name: place for place, name in enumerate((_ONE, *drivers, *measured))}
        self._state: Floats = np.zeros(len(places))
        self._state[0] = 1.0
        self._drivers = slice(1, 1 + len(drivers))
        self._quantities = slice(1 + len(drivers), None)
        scan_s = scan_ms / MS_PER_S
        self._levels = [
            _level({name: measured[name] for name in names}, places, scan_s)
            for names in levels(dict(measured))
        ]

    def settle(self, drivers: Sequence[float]) -> Floats:
        """The quantities after the drivers have stood still for a long time; totalisers at zero."""
        self._state[self._drivers] = drivers
        for level in self._levels:
            self._state[level.place] = _targets(self._state, level) * level.leak
        return self._state[self._quantities]

    def move(self, drivers: Sequence[float]) -> Floats:
        """The quantities one scan later, the drivers being what they were in that scan."""
        state = self._state
        state[self._drivers] = drivers
        for level in self._levels:
            now = state[level.place]
            state[level.place] = now + level.weight * (_targets(state, level) - level.leak * now)
        return state[self._quantities]


def _targets(state: Floats, level: _Level) -> Floats:
    return np.add.reduceat(level.gain * state[level.first] * state[level.second], level.starts)


def _level(measured: Mapping[str, SignalSpec], places: Mapping[str, int], scan_s: float) -> _Level:
    terms: list[tuple[float, int, int]] = []
    starts, weights, leaks = [], [], []
    for spec in measured.values():
        starts.append(len(terms))
        terms.append((spec.response.base if spec.response else 0.0, 0, 0))
        for key, gain in spec.gains.items():
            first, _, second = key.partition("*")
            terms.append((gain, places[first], places[second or _ONE]))
        tau_s = spec.response.tau_s if spec.response else 0.0
        weights.append(-np.expm1(-scan_s / tau_s) if tau_s else 1.0 if spec.response else scan_s)
        leaks.append(1.0 if spec.response else 0.0)
    gains, firsts, seconds = zip(*terms, strict=True)
    return _Level(
        gain=np.array(gains),
        first=np.array(firsts, dtype=np.intp),
        second=np.array(seconds, dtype=np.intp),
        starts=np.array(starts, dtype=np.intp),
        place=np.array([places[name] for name in measured], dtype=np.intp),
        weight=np.array(weights),
        leak=np.array(leaks),
    )
