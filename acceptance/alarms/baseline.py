"""The naive baseline: the alarms of the same site without any of their tuning, on the same recorded trajectory.

It is replayed by the judge over the ledger's samples, not run a second time: people who repair machines make two runs
differ. Its policy is frozen: `POLICY_SHA256` is the hash of its text, and a test holds the two together.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from shakedown.acceptance.alarms.annunciations import Annunciation
from shakedown.acceptance.join import TopicJoin
from shakedown.acceptance.operations_site import AlarmRule
from shakedown.acceptance.sparkplug import GOOD

POLICY: dict[str, Any] = {
    "name": "naive",
    "active": "value > high, value < low, or state equal; at the sample, at once",
    "deadband": 0,
    "on_delay_s": 0,
    "off_delay_s": 0,
    "latching": False,
    "suppress_in": [],
    "re_alarm_s": 0,
    "not_good": "a sample without a value or not Good changes nothing",
    "annunciates": "each change from inactive to active",
}
POLICY_SHA256 = "810d0ee74d08dec333a04ee4536af0b21a81ba2e4b817ffa36a853ba3cf72a18"


def policy_sha256(policy: dict[str, Any] = POLICY) -> str:
    """SHA-256 of the policy as canonical JSON."""
    return _sha256(policy)


def limits_sha256(rules: tuple[AlarmRule, ...]) -> str:
    """SHA-256 of what the baseline takes from `site.yaml`: which alarm watches what, and its limit."""
    return _sha256([[rule.name, rule.metric, rule.kind, rule.limit] for rule in rules])


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def naive(rules: tuple[AlarmRule, ...], parts: list[TopicJoin]) -> list[Annunciation]:
    """What the naive policy would have annunciated on the samples offered, in order of time."""
    by_topic = {part.topic.name: part for part in parts}
    found: list[Annunciation] = []
    for rule in rules:
        found += _replayed(rule, by_topic[rule.metric])
    return sorted(found, key=lambda entry: (entry.ns, entry.tag))


def _replayed(rule: AlarmRule, part: TopicJoin) -> list[Annunciation]:
    found: list[Annunciation] = []
    active = False
    for ns, value, quality in zip(part.ns.tolist(), part.values, part.quality.tolist(), strict=True):
        if quality != GOOD or value is None:
            continue
        beyond = rule.beyond(value)
        if beyond and not active:
            found.append(Annunciation(rule, ns, ns, len(found) + 1))
        elif active and not beyond:
            found[-1].cleared_ns = ns
        active = beyond
    return found
