"""What an alarm engineer would say of alarm rules that are no error: `bridge check` prints it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from shakedown.bridge.core.alarm_rule import AlarmRule

S = 1_000_000_000
OFF_DELAY_S = 300
RULES_MIN = 10
CRITICAL_SHARE, HIGH_SHARE = 0.10, 0.25
"""Twice and not quite twice what ISA-18.2 (16) asks for, 5 % and 15 %: a line has few alarms."""


def remarks(rules: Sequence[AlarmRule]) -> list[str]:
    """One line each, the rule's place first; the alarms that the bridge makes itself are left out."""
    written = [rule for rule in rules if not rule.is_bad]
    found = [f"alarms.{rule.name}: {what}" for rule in written for what in _of(rule)]
    count = Counter(rule.priority for rule in written)
    total = len(written)
    if total >= RULES_MIN and (
        count["critical"] > CRITICAL_SHARE * total or count["high"] > HIGH_SHARE * total
    ):
        found.append(
            f"alarms: {count['critical']} of {total} are critical and {count['high']} high, where about 5 % and 15 %"
            " help people to tell what is urgent"
        )
    return found


def _of(rule: AlarmRule) -> list[str]:
    found = []
    if not rule.on_delay_ns and not rule.off_delay_ns:
        found.append("has no delay: each sample beyond it calls - give on_delay_s, or off_delay_s")
    if rule.equals is None and not rule.deadband:
        found.append("has no deadband: noise at the limit calls again and again - give deadband")
    if rule.off_delay_ns > OFF_DELAY_S * S:
        what = f"stands for {rule.off_delay_ns / S:g} s after its cause is gone"
        found.append(f"{what}, and a new one in that time does not call - shorten off_delay_s")
    if missing := rule.missing:
        found.append(f"is not rationalised - give {', '.join(missing)}")
    return found
