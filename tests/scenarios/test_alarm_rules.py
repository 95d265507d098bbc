"""The alarm rules that are shipped: an alarm engineer would sign those of the shift; those that must fail are named."""

from __future__ import annotations

from collections import Counter

from shakedown.bridge.config import compile_all
from shakedown.bridge.core.alarm_remarks import remarks
from shakedown.bridge.core.alarm_rule import AlarmRule
from shakedown.scenarios import model


def rules(scenario: str) -> list[AlarmRule]:
    return [rule for rule in compile_all(model.set_up(model.find(scenario)).site)[1].rules if not rule.is_bad]


def test_nothing_is_to_be_said_against_the_rules_of_the_shift() -> None:
    shipped = rules("shift")
    assert remarks(shipped) == []
    count = Counter(rule.priority for rule in shipped)
    shares = [count["critical"], count["high"], count["medium"] + count["low"]]
    assert shares == [1, 3, 14], "about 5, 15 and 80 %"
    assert any(rule.low and "air" in rule.text for rule in shipped), "without air nothing runs"


def test_naive_rules_are_named_for_what_they_are() -> None:
    said = remarks(rules("naive_vs_tuned"))
    for what, least in (("has no delay", 18), ("has no deadband", 13)):
        assert sum(what in remark for remark in said) >= least, what
