"""The operator model against closed forms and against the figures that it was made for."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shakedown.twin.enterprise.people.operator_model import (
    PRIORITIES,
    Handled,
    Operator,
    OperatorParameters,
)
from shakedown.twin.line.randomness import stream

S = 1_000_000_000
GRID = tuple(
    OperatorParameters(median_s=median_s, base_per_10_min=base, uses_ppv=uses_ppv)
    for median_s, base, uses_ppv in product((4.0, 15.0, 25.0), (6.0, 10.0, 20.0), (True, False))
)
PATIENCE_NS = 8 * 3600 * S
"""How long after the last annunciation a replayed operator goes on."""


class Arrival(NamedTuple):
    """One annunciation of a recorded trajectory."""

    ns: int
    tag: str
    priority: str
    is_true: bool


def simulate(
    arrivals: Iterable[Arrival], parameters: OperatorParameters, seed: int, *, patience_ns: int = PATIENCE_NS
) -> Iterator[tuple[Arrival, Handled]]:
    """What an operator makes of `arrivals` (in order of time), each with its handling, in the order of handling.

    What is not handled `patience_ns` after the last arrival never is: a queue that grows has no end to wait for.
    """
    operator = Operator(parameters, seed)
    open_: dict[Hashable, Arrival] = {}
    last_ns = 0

    def work(ns: int) -> Iterator[tuple[Arrival, Handled]]:
        # one event at a time: what was learnt from one alarm counts for the next
        while (moment := operator.next_ns()) is not None and moment <= ns:
            for handled in operator.advance(moment):
                arrival = open_.pop(handled.key)
                operator.learn(arrival.tag, arrival.is_true)
                yield arrival, handled

    for number, arrival in enumerate(arrivals):
        last_ns = arrival.ns
        yield from work(last_ns)
        operator.advance(arrival.ns)
        open_[number] = arrival
        operator.annunciate(arrival.ns, number, arrival.tag, arrival.priority)
    yield from work(last_ns + patience_ns)


def pollaczek_khinchine_s(
    median_s: float, per_10_min: float, sigma: float = 0.6, background: float = 0.3
) -> float:
    """Mean time in an M/G/1 queue with that lognormal service; infinite where it never empties."""
    mean_s = median_s * math.exp(sigma**2 / 2) / (1 - background)
    second_moment = mean_s**2 * math.exp(sigma**2)
    rate = per_10_min / 600
    load = rate * mean_s
    return math.inf if load >= 1 else mean_s + rate * second_moment / (2 * (1 - load))


def poisson(
    per_10_min: float, hours: float, seed: int, priorities: tuple[str, ...] = ("medium",)
) -> list[Arrival]:
    draws = stream(seed, "arrivals")
    count = round(hours * 6 * per_10_min)
    moments = np.cumsum(draws.standard_exponential(count) * 600 * S / per_10_min)
    chosen = draws.integers(len(priorities), size=count)
    return [
        Arrival(round(ns), "tag", priorities[which], True) for ns, which in zip(moments, chosen, strict=True)
    ]


def ack_s(arrivals: list[Arrival], parameters: OperatorParameters, seed: int = 0) -> list[float]:
    """Seconds from annunciation to acknowledgement, in the order of handling."""
    return [(done.done_ns - arrival.ns) / S for arrival, done in simulate(arrivals, parameters, seed)]


CELLS = [
    (15, 10),
    *(pytest.param(*c, marks=pytest.mark.slow) for c in [(15, 5), (15, 15), (25, 5), (25, 10), (4, 20)]),
]


@pytest.mark.parametrize(("median_s", "per_10_min"), CELLS)
def test_mean_acknowledgement_time_is_that_of_the_queue(median_s: float, per_10_min: float) -> None:
    times = ack_s(poisson(per_10_min, 800, 1), OperatorParameters(median_s=median_s, uses_ppv=False))
    batches = [float(np.mean(batch)) for batch in np.array_split(times, 20)]
    error = float(np.std(batches, ddof=1)) / math.sqrt(20)
    expected = pollaczek_khinchine_s(median_s, per_10_min)
    assert error < 0.05 * expected  # enough was simulated to tell
    assert abs(float(np.mean(times)) - expected) < 4 * error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("median_s", "stated"), [(15, {1: 27, 5: 30, 10: 37, 15: 58, 20: 135}), (25, {1: 46, 5: 58, 10: 105})]
)
def test_the_stated_means_of_a_day(median_s: float, stated: dict[int, float]) -> None:
    """The figures of the standard page were themselves simulated; they hold to 15 %."""
    for per_10_min, expected_s in stated.items():
        parameters = OperatorParameters(median_s=median_s, uses_ppv=False)
        days = [ack_s(poisson(per_10_min, 24, seed), parameters, seed) for seed in range(40)]
        mean_s = float(np.mean([time for day in days for time in day]))
        assert mean_s == pytest.approx(expected_s, rel=0.15), (median_s, per_10_min)


@pytest.mark.parametrize(("median_s", "unstable"), [(15, 23.4), (25, 14.0)])
def test_beyond_the_stated_rate_the_queue_never_empties(median_s: float, unstable: float) -> None:
    assert pollaczek_khinchine_s(median_s, unstable * 1.01) == math.inf
    assert pollaczek_khinchine_s(median_s, unstable * 0.99) < math.inf
    parameters = OperatorParameters(median_s=median_s, uses_ppv=False)
    first, last = np.array_split(ack_s(poisson(unstable * 1.3, 50, 3), parameters), 2)
    assert np.mean(last) > 2 * np.mean(first)


@pytest.mark.slow
def test_the_rest_of_the_plant_loads_as_alarms_of_the_line_do() -> None:
    alone = OperatorParameters(median_s=15, uses_ppv=False)
    beside = OperatorParameters(median_s=15, uses_ppv=False, base_per_10_min=9)
    few = poisson(1, 4000, 5)
    assert np.mean(ack_s(few, beside)) == pytest.approx(pollaczek_khinchine_s(15, 10), rel=0.05)
    assert np.mean(ack_s(few, alone)) == pytest.approx(pollaczek_khinchine_s(15, 1), rel=0.05)


@pytest.mark.slow
def test_priority_is_non_preemptive() -> None:
    """Cobham: class k waits R / ((1 - s[k-1]) (1 - s[k])), s[k] being the load of the classes up to k."""
    rate = 15 / 600
    mean_s = 15 * math.exp(0.18) / 0.7
    residual = rate * mean_s**2 * math.exp(0.36) / 2
    arrivals = poisson(15, 1500, 7, PRIORITIES)
    waits: dict[str, list[float]] = {priority: [] for priority in PRIORITIES}
    for arrival, done in simulate(arrivals, OperatorParameters(uses_ppv=False), 0):
        waits[arrival.priority].append((done.begun_ns - arrival.ns) / S)
    load = rate * mean_s / 4
    for rank, priority in enumerate(PRIORITIES):
        expected = residual / ((1 - rank * load) * (1 - (rank + 1) * load))
        assert np.mean(waits[priority]) == pytest.approx(expected, rel=0.1), priority


def test_who_is_called_in_vain_comes_later() -> None:
    """Half of the alarms of this tag are false, so about half are put off by a lognormal of median 60 s."""
    arrivals = [
        arrival._replace(is_true=number % 2 == 0) for number, arrival in enumerate(poisson(0.5, 8000, 9))
    ]
    put_off = [
        (done.turned_to_ns - done.annunciated_ns) / S
        for _, done in simulate(arrivals, OperatorParameters(uses_ppv=True), 0)
    ]
    delayed = [delay for delay in put_off if delay]
    assert len(delayed) / len(put_off) == pytest.approx(0.5, abs=0.03)
    assert np.median(delayed) == pytest.approx(60, rel=0.05)
    assert np.std(np.log(delayed)) == pytest.approx(0.6, rel=0.05)


def test_trust_is_the_share_of_true_ones_among_the_last_twenty() -> None:
    operator = Operator(OperatorParameters(), 0)
    assert operator.trust("new") == 1.0
    for number in range(30):
        operator.learn("tag", number < 16)
    assert operator.trust("tag") == pytest.approx(6 / 20)
    for _ in range(20):
        operator.learn("tag", False)
    assert operator.trust("tag") == 0.1
    assert Operator(OperatorParameters(uses_ppv=False), 0).trust("tag") == 1.0


def test_what_is_withdrawn_in_time_takes_no_time() -> None:
    operator = Operator(OperatorParameters(), 0)
    for key in "abc":
        operator.annunciate(0, key, "tag")
    operator.advance(0)
    operator.withdraw("b")
    operator.withdraw("unknown")
    handled = operator.advance(10**13)
    assert [one.key for one in handled] == ["a", "c"]
    assert handled[1].begun_ns == handled[0].done_ns
    assert operator.next_ns() is None


def test_another_tag_changes_nothing_of_what_one_draws() -> None:
    def service(tags: list[str]) -> list[int]:
        operator = Operator(OperatorParameters(), 4)
        for number, tag in enumerate(tags):
            operator.annunciate(0, number, tag)
        return sorted(one.done_ns - one.begun_ns for one in operator.advance(10**15) if one.tag == "mine")

    assert service(["mine", "mine"]) == service(["other", "mine", "other", "mine"])


def test_a_list_without_end_is_cut() -> None:
    operator = Operator(OperatorParameters(), 0)
    for number in range(10_050):
        operator.annunciate(0, number, "tag")
    operator.annunciate(0, 0, "tag")  # shown already
    assert operator.unseen == 50


@pytest.mark.parametrize(
    "wrong", [{"median_s": 0}, {"background": 1}, {"base_per_10_min": -1}, {"trust_min": 0}, {"memory": 0}]
)
def test_parameters_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        OperatorParameters(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="priority 'urgent'"):
        Operator(OperatorParameters(), 0).annunciate(0, 1, "tag", "urgent")


_arrivals = st.lists(
    st.builds(
        Arrival, st.integers(0, 3600 * S), st.sampled_from("abc"), st.sampled_from(PRIORITIES), st.booleans()
    ),
    max_size=40,
).map(sorted)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(_arrivals, st.integers(0, 5), st.sampled_from(GRID))
def test_every_alarm_is_handled_once_one_at_a_time(
    arrivals: list[Arrival], seed: int, parameters: OperatorParameters
) -> None:
    handled = [done for _, done in simulate(arrivals, parameters, seed)]
    keys = [done.key for done in handled]
    assert len(set(keys)) == len(keys)
    if pollaczek_khinchine_s(parameters.median_s, parameters.base_per_10_min) < math.inf:
        assert len(keys) == len(arrivals)  # else some wait for ever
    for done in handled:
        assert done.annunciated_ns <= done.turned_to_ns <= done.begun_ns < done.done_ns
    assert all(before.done_ns <= after.begun_ns for before, after in pairwise(handled))
    assert handled == [done for _, done in simulate(arrivals, parameters, seed)]
