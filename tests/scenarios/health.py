"""What the verdict on a healthy bridge must look like, however its scenario is made."""

from __future__ import annotations

from shakedown.acceptance.verdict import Verdict

MUST_BE_ZERO = ("lost", "late", "wrong", "unexpected", "duplicated")


def assert_healthy(verdict: Verdict) -> None:
    """Nobody is blamed: not the lab, not the bridge, and not one sample is missing or wrong."""
    assert verdict.harness == []
    assert [(c.name, c.statement) for c in verdict.criteria if c.verdict == "FAIL"] == []
    counts = {name: verdict.counts[name] for name in MUST_BE_ZERO}
    assert counts == dict.fromkeys(counts, 0)
    assert verdict.counts["eligible"] > 1000
    loss = next(criterion for criterion in verdict.criteria if criterion.name == "loss")
    assert loss.figures.pending == 0
