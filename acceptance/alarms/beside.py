"""Other rules, replayed beside those of the run: what they would have called people for on the same process.

The rules are those of docs/alarms.md, worked out by the judge over the samples that the line offered; nobody
acknowledges, and nothing arrives late.
"""

from __future__ import annotations

import math

from shakedown.acceptance.alarms.annunciations import Annunciation
from shakedown.acceptance.alarms.condition import Signal, condition_of
from shakedown.acceptance.alarms.life import Facts, Start, life
from shakedown.acceptance.join import TopicJoin
from shakedown.acceptance.operations_site import AlarmRule
from shakedown.acceptance.spans import MS, NEVER, span_at
from shakedown.acceptance.sparkplug import GOOD


def replayed(rules: tuple[AlarmRule, ...], parts: list[TopicJoin]) -> list[Annunciation]:
    """What `rules` would have annunciated on the samples offered, in order of time."""
    by_topic = {part.topic.name: part for part in parts}
    found: list[Annunciation] = []
    for rule in rules:
        state = _offered(by_topic.get(f"{rule.device}/state")) if rule.suppress_in else Signal()
        condition = condition_of(rule, _offered(by_topic.get(rule.metric)), state, lambda ns: 0)
        facts = Facts(rule, condition.active.spans, [("suppressed", condition.suppressed)], [], [])
        calls = [entry.ns for entry in life(facts, Start(0), NEVER) if entry.calls]
        for number, ns in enumerate(calls, start=1):
            span = span_at(condition.active.spans, ns)
            cleared_ns = span[1] if span is not None and span[1] < NEVER else None
            found.append(Annunciation(rule, ns, ns, number, cleared_ns=cleared_ns))
    return sorted(found, key=lambda entry: (entry.ns, entry.tag))


def _offered(part: TopicJoin | None) -> Signal:
    if part is None:
        return Signal()
    values = [
        value if quality == GOOD and not (isinstance(value, float) and math.isnan(value)) else None
        for value, quality in zip(part.values, part.quality.tolist(), strict=True)
    ]
    return Signal([ts_ms * MS for ts_ms in part.ts_ms.tolist()], values)
