"""The clock of the deadlines stands still during cuts."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shakedown.acceptance.readers import TimelineEntry
from shakedown.acceptance.run import free_time_later

SPAN = st.tuples(st.integers(0, 200), st.integers(1, 60))


def _cuts(spans: list[tuple[int, int]]) -> list[TimelineEntry]:
    found = [
        TimelineEntry("c", "down", "wan", at, at + length, True, frozenset(), True) for at, length in spans
    ]
    return sorted(found, key=lambda cut: cut.start_ns)


@given(st.lists(SPAN, max_size=6), st.integers(0, 300), st.integers(1, 100))
def test_a_wait_is_that_many_steps_outside_of_cuts(spans: list[tuple[int, int]], at: int, wait: int) -> None:
    """Against the definition, step by step."""
    cuts = _cuts(spans)
    moment, waited = at, 0
    while waited < wait:
        waited += not any(cut.start_ns <= moment < cut.end_ns for cut in cuts)
        moment += 1
    assert int(free_time_later(np.array([at]), wait, cuts)[0]) == moment
