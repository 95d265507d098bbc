"""The clock of the deadlines stands still during cuts, and a backlog has the time that the link needs for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shakedown.acceptance.readers import TimelineEntry
from shakedown.acceptance.run import free_time_later, load_run

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


@pytest.mark.parametrize(
    ("network", "per_s"),
    [
        ("{}", 10_000),
        ("{wan: {latency_ms: 20}, cell: {bandwidth_kB_s: null}}", 10_000),
        ("{wan: {bandwidth_kB_s: 2}, cell: {bandwidth_kB_s: 500}}", 20),
        ("{wan: {bandwidth_kB_s: fast}, cell: 7}", 10_000),
        ("[]", 10_000),
    ],
)
def test_a_backlog_drains_as_fast_as_the_thinnest_link(plan, lab, tmp_path, network: str, per_s: int) -> None:
    """Whatever the bridge allows itself."""
    plan.site_text = lab.site_yaml().replace("replay_per_s: 5000", "replay_per_s: 1")
    plan.write(tmp_path)
    (tmp_path / "scenario.yaml").write_text(f"network: {network}\n")
    run = load_run(tmp_path)
    assert run.drain_per_s == per_s
    wan = run.outages[0]
    backlog = 8 * (160 - 100 + 45 + 1)  # from one and a half keep-alives before the cut
    after_s = max(60.0, 2 * backlog / per_s)
    assert wan.deadline_ns == lab.at(160 + after_s)
