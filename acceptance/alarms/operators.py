"""The operator model of the acknowledgement criterion: a simulated operator, replayed on lists of annunciations.

One person, one alarm at a time, the most urgent first and never interrupted; other duties take 30 % of their time, so a
service time is lognormal(median m, sigma 0.6) / 0.7. Trust is learned: they turn to an alarm at once with the share of
the last 20 of its tag that had a reason (at least 10 %), else lognormal(60 s) later.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

SIGMA = 0.6
FREE_SHARE = 0.7
TRUST_WINDOW, TRUST_MIN = 20, 0.1
DISTRUST_MEDIAN_S = 60.0
WINDOW_S = 600.0


class Call(NamedTuple):
    """One annunciation as the operator hears it. `rank` 0 is the most urgent; `fault` is what is behind it."""

    at_s: float
    rank: int
    tag: str
    fault: str | None
    trust: float = 1.0  # share of the last calls of its tag that had a reason
    key: str = ""  # names its draws: the same call of two policies has the same


@dataclass(frozen=True)
class Cell:
    """One cell of the grid: median service time, alarms per ten minutes of the baseline, whether trust is learned."""

    median_s: float
    base: float
    ppv: bool

    @property
    def name(self) -> str:
        """As reports show it."""
        return f"m={self.median_s:g} s, base {self.base:g}, PPV {'on' if self.ppv else 'off'}"

    @property
    def stable(self) -> bool:
        """Whether one person can keep up with the baseline at all."""
        return self.base / WINDOW_S * mean_service_s(self.median_s) < 1.0


PRIMARY = Cell(15.0, 10.0, True)
GRID = tuple(
    Cell(m, base, ppv) for m in (4.0, 15.0, 25.0) for base in (6.0, 10.0, 20.0) for ppv in (True, False)
)


def mean_service_s(median_s: float) -> float:
    """Mean of the service time, other duties included."""
    return median_s * math.exp(SIGMA**2 / 2) / FREE_SHARE


def trusted(calls: Iterable[Call]) -> list[Call]:
    """The calls, in order of time, with the trust that their tags have earned so far, and names for their draws."""
    history: dict[str, deque[bool]] = {}
    seen: Counter[tuple[str, str | None]] = Counter()
    found = []
    for call in sorted(calls, key=_order):
        past = history.setdefault(call.tag, deque(maxlen=TRUST_WINDOW))
        trust = max(TRUST_MIN, sum(past) / len(past)) if past else 1.0
        past.append(call.fault is not None)
        seen[call.tag, call.fault] += 1
        key = f"{call.fault}/{call.tag}/{seen[call.tag, call.fault]}"
        found.append(call._replace(trust=trust, key=key))
    return found


def at_rate(calls: Iterable[Call], factor: float, span_s: tuple[float, float], seed: str) -> list[Call]:
    """The calls with those that have no fault behind them thinned or repeated `factor` times, in order of time.

    A repeated call is one of another tag that behaves alike: of the same trust, at any time of `span_s`.
    """
    found = []
    for call in calls:
        if call.fault is not None:
            found.append(call)
            continue
        rng = random.Random(f"{seed}/{call.key}/rate")
        for copy in range(int(factor) + (rng.random() < factor % 1)):
            at_s = rng.uniform(*span_s) if copy else call.at_s
            found.append(call._replace(at_s=at_s, key=f"{call.key}/{copy}"))
    return sorted(found, key=_order)


def _order(call: Call) -> tuple[float, int, str]:
    return call.at_s, call.rank, call.tag


def acknowledge(calls: Sequence[Call], cell: Cell, seed: str) -> list[float]:
    """When each call is acknowledged, in the seconds of `calls`."""
    draws = [_draw(call, cell, seed) for call in calls]
    turned = [call.at_s + wait_s for call, (wait_s, _) in zip(calls, draws, strict=True)]
    order = sorted(range(len(calls)), key=lambda index: (turned[index], index))
    done = [math.inf] * len(calls)
    waiting: list[tuple[int, float, int]] = []
    free_s, coming = -math.inf, 0
    while coming < len(order) or waiting:
        if not waiting:
            free_s = max(free_s, turned[order[coming]])
        while coming < len(order) and turned[order[coming]] <= free_s:
            index = order[coming]
            heapq.heappush(waiting, (calls[index].rank, turned[index], index))
            coming += 1
        _, _, index = heapq.heappop(waiting)
        free_s += draws[index][1]
        done[index] = free_s
    return done


def _draw(call: Call, cell: Cell, seed: str) -> tuple[float, float]:
    """(seconds until the operator turns to a call, seconds of service)."""
    chance, later_s, service_s = _luck(f"{seed}/{call.key}", cell.median_s)
    return (later_s if cell.ppv and chance >= call.trust else 0.0), service_s


@lru_cache(maxsize=50_000)  # both policies have the same draws, and a generator takes long to seed
def _luck(key: str, median_s: float) -> tuple[float, float, float]:
    """What is drawn for a call: a chance in [0, 1), seconds until somebody turns to it late, seconds of service."""
    rng = random.Random(key)
    chance, later_s = rng.random(), rng.lognormvariate(math.log(DISTRUST_MEDIAN_S), SIGMA)
    return chance, later_s, rng.lognormvariate(math.log(median_s), SIGMA) / FREE_SHARE


def fault_delays(
    calls: Sequence[Call], done: Sequence[float], onsets_s: dict[str, float], cap_s: float
) -> dict[str, float]:
    """Seconds from the onset of each fault to its first acknowledgement; `cap_s` where there is none before."""
    delays = dict.fromkeys(onsets_s, cap_s)
    for call, done_s in zip(calls, done, strict=True):
        if call.fault in delays:
            delays[call.fault] = min(delays[call.fault], done_s - onsets_s[call.fault])
    return delays
