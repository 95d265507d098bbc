"""What the verdict on a healthy bridge must look like, however its scenario is made."""

from __future__ import annotations

from pathlib import Path

from shakedown.acceptance.run import load_run
from shakedown.acceptance.session import DATA, Message, Replay
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


def sent_per_sample(folder: Path) -> float:
    """How many samples the broker took in data, live and as history, for each that the line offered."""
    run = load_run(folder)
    replay = Replay(log=run.wire)
    own = (
        m
        for m in replay
        if isinstance(m, Message) and m.edge == run.site.edge and m.kind in DATA and m.device
    )
    return sum(len(message.samples) for message in own) / len(run.ledger.values)


def declared_lost(folder: Path) -> int:
    """How many samples the bridge itself declares lost, `bridge/declared_lost` of its edge node."""
    host = load_run(folder).host
    named = {key for key, (_, _, metric) in enumerate(host.edges) if metric.endswith("declared_lost")}
    return max(
        (v for key, v in zip(host.key, host.values, strict=True) if key in named and isinstance(v, int)),
        default=0,
    )
