"""The steps of counters that no machine could have made, and what a report says of them (docs/oee.md).

The judge finds them in the samples that arrived: ten times the rated speed and ten parts more are the most between two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from shakedown.acceptance.oee.figures import Breaches
from shakedown.acceptance.spans import S

SUSPECTS_MAX = 20
HELD = ("jump", "fall")
"""Steps that count nothing, however many parts there were."""


class Suspect(NamedTuple):
    """A doubtful step of a counter, from the sample before it (at `since_ns`) to that which shows it."""

    unit: str
    counter: str
    since_ns: int
    ns: int
    before: int
    after: int
    parts: int
    kind: str

    def told(self) -> dict[str, Any]:
        """As a report says it."""
        return {
            "work_unit": self.unit, "count": self.counter, "at_ms": self.ns // 1_000_000,
            "before": self.before, "after": self.after, "parts": self.parts, "kind": self.kind,
        }  # fmt: skip


def suspects_of(
    unit: str,
    count: str,
    samples: Sequence[tuple[int, int]],
    modulus: int,
    ideal_s: float,
    ran_ns: Callable[[int, int], int],
    *,
    asks_rises: bool,
) -> list[Suspect]:
    """The doubtful steps of a counter's samples (ns, value); `ran_ns` says how long it ran in a span, or may have."""

    def most(ns: int) -> float:
        return 10 + 10 * ns / S / ideal_s if ideal_s else float("inf")

    found = []
    for (since_ns, before), (ns, after) in pairwise(samples):
        kind, parts = "", 0
        if after >= before:
            kind = "jump" if asks_rises and after - before > most(ns - since_ns) else ""
        else:
            bound = most(ran_ns(since_ns, ns))
            rolls_over = (
                before > 0.9 * modulus and after < 0.1 * modulus and modulus - before + after <= bound
            )
            if not rolls_over and after >= 0.9 * before:
                kind, parts = "correction", after - before
            elif not rolls_over and after > bound:
                kind = "fall"
        if kind:
            found.append(Suspect(unit, count, since_ns, ns, before, after, parts, kind))
    return found


def wrong_suspects(suspects: Sequence[Suspect], from_ns: int, to_ns: int, report: dict[str, Any]) -> Breaches:
    """What of a report's doubtful steps is missing, or never was."""
    inside = sorted((one for one in suspects if from_ns <= one.ns < to_ns), key=lambda one: one.ns)
    expected = [one.told() for one in inside]
    told = report.get("suspect_counts")
    if not isinstance(told, list):
        return [("suspect_counts", told, expected)]
    missing = [one for one in expected if one not in told] if len(told) < SUSPECTS_MAX else []
    invented = [one for one in told if one not in expected]
    found: Breaches = [("suspect_counts", None, one) for one in missing[:1]]
    return found + [("suspect_counts", one, None) for one in invented[:1]]
