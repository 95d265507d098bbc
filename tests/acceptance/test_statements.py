"""The sentences of the criteria read well where figures are none, one, negative or unbounded."""

from __future__ import annotations

import math

import msgspec
import pytest

from shakedown.acceptance.alarms.assumptions import carried_by
from shakedown.acceptance.alarms.operators import GRID, PRIMARY, Cell
from shakedown.acceptance.alarms.view import Detection
from shakedown.acceptance.criteria import acknowledgement, false_alarms, nuisance
from shakedown.acceptance.physical import TrueFault
from shakedown.acceptance.pictures import seen

FAULT = TrueFault("F1", "jam", "filler", 0, 60, critical=False, alarms=("a",), response_s=300.0)


@pytest.mark.parametrize(
    ("low", "words"),
    [
        (0.414, "at least 41% shorter"),
        (0.0, "not shown: with 95 % confidence it may be up to 0% longer"),
        (-0.79, "not shown: with 95 % confidence it may be up to 79% longer"),
        (-math.inf, "nothing bounds the difference"),
    ],
)
def test_the_bound_of_the_acknowledgement_time_is_said_in_words(low, words):
    assert acknowledgement.bound_in_words(low).endswith(words)
    assert "-" not in acknowledgement.bound_in_words(low)


def test_occasions_are_counted_in_words():
    assert [nuisance.in_times(count) for count in (0, 1, 38)] == ["never", "once", "38 times"]


@pytest.mark.parametrize(
    ("delays_s", "words"),
    [
        ([], "there was no fault to tell"),
        ([1.0, 2.0], "each of 2 faults was told in time"),
        ([1.0, 99.0], "1 of 2 faults were told in time, 1 late"),
        ([1.0, 99.0, None], "1 of 3 faults were told in time, 1 late, 1 missed"),
    ],
)
def test_a_fault_that_was_told_late_is_not_said_to_have_been_in_time(delays_s, words):
    detections = [Detection(FAULT, delay_s, None, 75.0) for delay_s in delays_s]
    assert false_alarms._told(detections) == words


def test_the_median_of_an_even_number_of_delays_lies_between_the_two_in_the_middle():
    found = false_alarms._delays([Detection(FAULT, delay_s, None, 75.0) for delay_s in (1.0, 9.0, 4.0, 2.0)])
    assert found is not None
    assert (found.median_s, found.p95_s, found.max_s) == (3.0, 9.0, 9.0)


def test_what_showed_that_a_fault_took_effect_is_said_in_a_phrase():
    raw = {"kind": "blackhole", "toxic": "timeout", "attributes": {"timeout": 0}, "name": "wan-blackhole"}
    read_back = [raw | {"direction": "up"}, raw | {"direction": "down"}]
    probe = {"sent": 59, "arrived": 0, "answered": 0, "refused": 0, "round_trip_ms": 48.231728}
    said = seen({"read_back": read_back, "probe": probe})
    assert said == "blackhole up and down; probe: 59 sent, 0 arrived, 0 answered, 0 refused"
    assert seen({"probe": {"sent": 5, "answered": 2, "round_trip_ms": 801.0}}).endswith("round trip 801 ms")
    assert seen({"answers_meanwhile": False}) == "answers meanwhile no"
    assert seen({"read_back": 1, "probe": {"sent": "many"}}) == "probe: many sent"


@pytest.mark.parametrize(
    ("without_trust", "others", "words"),
    [
        (
            -0.25, 0.4,
            "It rests on the assumption that the operator learns which alarms to trust: without it the same shift is"
            " 25% slower. A cut of 30% holds in 9 of 10 cells of the model.",
        ),
        (0.35, 0.4, "No one assumption of the model carries it. A cut of 30% holds in 10 of 10 cells of the model."),
        (0.1, 0.1, "it the same shift is 10% faster and no more. A cut of 30% holds in 1 of 10 cells of the model."),
    ],
)  # fmt: skip
def test_the_gain_in_acknowledgement_time_names_the_assumption_that_carries_it(without_trust, others, words):
    alone = Cell(PRIMARY.median_s, PRIMARY.base, False)
    cuts = dict.fromkeys([cell for cell in GRID if cell.base < 20 and cell.stable][:10], others)
    cuts |= {PRIMARY: 0.45, alone: without_trust}
    assert carried_by(cuts, 0.3).endswith(words)


def test_a_gain_that_is_none_rests_on_nothing():
    assert carried_by({PRIMARY: 0.2}, 0.3) == "A cut of 30% holds in 0 of 1 cell of the model."


def test_what_a_verdict_says_of_a_fault_has_an_order():
    fields = msgspec.inspect.type_info(TrueFault).fields
    assert not [
        f.name for f in fields if isinstance(f.type, msgspec.inspect.SetType | msgspec.inspect.FrozenSetType)
    ]
