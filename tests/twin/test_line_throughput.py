"""Throughput of two machines with a finite buffer, against exact results of queueing theory.

Exponential processing, failures and repairs: the Markov process of Gershwin and Berman, "Analysis of Transfer Lines
Consisting of Two Unreliable Machines with Random Processing Times and Finite Storage Buffers", AIIE Transactions 13
(1981), here with blocking after service, so that up to N + 2 parts stand between the machines: one blocked in the
first, N in the buffer, one in the second. Machines that never fail leave a birth-death chain, which has a closed form.
"""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simpy

from shakedown.twin.ledger import Ledger
from shakedown.twin.line import Line, Plant

BATCHES = 20
STUDENT_99_9 = 3.883  # two-sided 99.9 % quantile of Student's t with 19 degrees of freedom


def reliable(rate_1: float, rate_2: float, buffer: int) -> float:
    """Parts a second of two machines that never fail: rate_2 times the probability that the second is not starved."""
    rho = rate_1 / rate_2
    return rate_2 * (1 - 1 / sum(rho**parts for parts in range(buffer + 3)))


def unreliable(
    rates: tuple[float, float], fails: tuple[float, float], repairs: tuple[float, float], n: int
) -> float:
    """Parts a second of two machines that fail while they work, from the stationary state of the Markov process."""
    full = n + 2
    states = list(product(range(full + 1), (0, 1), (0, 1)))
    index = {state: place for place, state in enumerate(states)}
    generator = np.zeros((len(states), len(states)))

    def flow(source: tuple[int, int, int], target: tuple[int, int, int], rate: float) -> None:
        generator[index[source], index[target]] += rate
        generator[index[source], index[source]] -= rate

    for parts, first, second in states:
        here = (parts, first, second)
        if not first:
            flow(here, (parts, 1, second), repairs[0])
        elif parts < full:
            flow(here, (parts + 1, 1, second), rates[0])
            flow(here, (parts, 0, second), fails[0])
        if not second:
            flow(here, (parts, first, 1), repairs[1])
        elif parts > 0:
            flow(here, (parts - 1, first, 1), rates[1])
            flow(here, (parts, first, 0), fails[1])
    equations = np.vstack([generator.T, np.ones(len(states))])
    stationary = np.linalg.lstsq(equations, np.append(np.zeros(len(states)), 1.0), rcond=None)[0]
    return rates[1] * sum(stationary[index[state]] for state in states if state[0] > 0 and state[2])


def _machine(mean_s: float, mtbf_s: float | None = None, mttr_s: float = 0.0) -> dict[str, Any]:
    def exponential(mean_s: float) -> dict[str, Any]:
        return {"distribution": "exponential", "mean_s": mean_s}

    failures = {}
    if mtbf_s:
        failure = {"cause": "failure", "code": 100}
        failures["failure"] = {**failure, "mtbf": exponential(mtbf_s), "mttr": exponential(mttr_s)}
    return {"cycle": exponential(mean_s), "failures": failures}


def _measured(
    first: dict[str, Any], second: dict[str, Any], buffer: int, batch_s: int, tmp_path: Path
) -> tuple[float, float]:
    """Mean throughput and half-width of its 99.9 % confidence interval, by batch means after one batch of warm-up."""
    plant = Plant.model_validate(
        {
            "plant": "pair",
            "scan_ms": 60_000,
            "products": {"a": {"label": "A", "volume_l": 1}},
            "orders": [{"product": "a", "quantity": 1_000_000}],
            "machines": {"first": first, "second": second},
            "conveyors": {"buffer": {"capacity": buffer}},
        }
    )
    env = simpy.Environment()
    with Ledger(tmp_path / "ledger.jsonl", start_ns=0) as ledger:
        line = Line(plant, env, 20_261, ledger)
        line.start()
        made = []
        for batch in range(BATCHES + 1):
            env.run(until=(batch + 1) * batch_s * 1_000)
            made.append(line.bottles_out)
    rates = np.diff(made) / batch_s
    return float(rates.mean()), STUDENT_99_9 * float(rates.std(ddof=1)) / math.sqrt(BATCHES)


@pytest.mark.slow
def test_the_two_theories_agree_where_they_meet() -> None:
    never = 1e-12
    for buffer in (1, 4):
        assert unreliable((1.0, 0.8), (never, never), (1.0, 1.0), buffer) == pytest.approx(
            reliable(1.0, 0.8, buffer)
        )
    assert reliable(1.0, 1.0, 1) == pytest.approx(3 / 4)


@pytest.mark.slow
@pytest.mark.parametrize(("mean_1_s", "mean_2_s", "buffer"), [(1.0, 1.0, 1), (1.0, 0.8, 3)])
def test_two_reliable_machines(mean_1_s: float, mean_2_s: float, buffer: int, tmp_path: Path) -> None:
    mean, half_width = _measured(_machine(mean_1_s), _machine(mean_2_s), buffer, 1_500, tmp_path)
    exact = reliable(1 / mean_1_s, 1 / mean_2_s, buffer)
    assert abs(mean - exact) < half_width
    one_place = abs(reliable(1 / mean_1_s, 1 / mean_2_s, buffer + 1) - exact)
    assert half_width < one_place, "too short to tell a buffer from one with a place more"


@pytest.mark.slow
def test_two_unreliable_machines(tmp_path: Path) -> None:
    mean, half_width = _measured(_machine(1.0, 30, 8), _machine(0.9, 40, 10), 5, 4_000, tmp_path)
    exact = unreliable((1.0, 1 / 0.9), (1 / 30, 1 / 40), (1 / 8, 1 / 10), 5)
    assert abs(mean - exact) < half_width
    assert half_width < 0.05 * exact, "too short to say anything"
    assert exact < 0.9 * reliable(1.0, 1 / 0.9, 5), "failures must cost more than the interval is wide"
