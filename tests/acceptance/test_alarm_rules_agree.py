"""The bridge's alarms and the judge's reading of the same page, written apart, on random histories: they agree.

Times are chosen so that nothing coincides: where it does, or where a command comes before what the bridge can know, the
rules leave a choice, and the judge says nothing.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shakedown.acceptance.alarms.commands import Command, Commands
from shakedown.acceptance.alarms.condition import Signal, condition_of
from shakedown.acceptance.alarms.life import Facts, Shown, Start, life
from shakedown.acceptance.operations_site import AlarmRule
from shakedown.acceptance.site import Topic
from shakedown.bridge.core import alarm_rule
from shakedown.bridge.core.alarm import CommandRefused
from shakedown.bridge.core.alarms import Alarms
from shakedown.bridge.core.model import BAD, GOOD, Sample

S, MS = 1_000_000_000, 1_000_000
ON_S, OFF_S, AGAIN_S, BAD_S = 3.2, 2.2, 7.3, 4.2
IDLE = frozenset({"idle"})

values = st.lists(st.sampled_from([8.0, 9.5, 11.0, 11.0, None]), min_size=5, max_size=60).map(
    lambda found: found + found[-1:] * (90 - len(found))
)
states = st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["run", "idle", None])), max_size=12)
verbs = st.sampled_from(["ack", "ack", "reset", "shelve", "remove"])
commands = st.lists(st.tuples(st.integers(1, 60), verbs, st.integers(0, 25)), max_size=10)


def bridge_rule(**more: Any) -> alarm_rule.AlarmRule:
    on_ns, off_ns = (round(more.pop(name, or_s) * S) for name, or_s in (("on_s", ON_S), ("off_s", OFF_S)))
    bad_ns = round(BAD_S * S)
    return alarm_rule.AlarmRule(
        "d", "a", 0, deadband=1.0, on_delay_ns=on_ns, off_delay_ns=off_ns, bad_after_ns=bad_ns, **more
    )


class Played:
    """What the bridge made of a history: its transitions by moment, and the commands that it obeyed."""

    def __init__(self, rule: alarm_rule.AlarmRule) -> None:
        self.alarms, self.obeyed = Alarms([rule]), Commands()
        self.shown: list[Shown] = []

    def play(self, values: list[Any], states: list[Any], commands: list[Any]) -> None:
        events: list[tuple[float, Any]] = [(float(s), ("value", value)) for s, value in enumerate(values)]
        events += [(s + 0.5, ("state", value)) for s, value in dict(states).items()]
        events += [(second + 0.1, command) for second, *command in {c[0]: c for c in commands}.values()]
        for second, event in sorted(events, key=lambda entry: entry[0]):
            self.until(round(second * S))
            self._do(round(second * 1000) * MS, *event)
            self._drain()
        self.until(200 * S)

    def until(self, ns: int) -> None:
        while (due := self.alarms.due_ns) is not None and due <= ns:
            self.alarms.tick(due)
            self._drain()

    def _do(self, ns: int, what: str, given: Any) -> None:
        if what in ("value", "state"):
            sample = Sample(0 if what == "value" else 1, ns // MS, given, BAD if given is None else GOOD)
            return self.alarms.take(sample)
        until_ms = 0 if given < 3 else ns // MS + given * 1000 + 50
        text = f'{{"operator":"ann","until_ms":{until_ms},"reason":"r"}}'
        with suppress(CommandRefused):
            if what in ("shelve", "remove"):
                getattr(self.alarms, what)("d", "a", "ann", until_ms * MS, "r", ns)
            else:
                text = "ann"
                getattr(self.alarms, what)("d", "a", "ann", ns)
            self.obeyed.obeyed.append(Command(ns, what, text))

    def _drain(self) -> None:
        for move in self.alarms.drain()[0]:
            if self.shown and self.shown[-1].ns == move.ts_ns:
                calls = self.shown.pop().calls or move.annunciates
                self.shown.append(Shown(move.ts_ns, move.state.value, calls))
            else:
                self.shown.append(Shown(move.ts_ns, move.state.value, move.annunciates))


def judged(played: Played, values: list[Any], states: list[Any], **more: Any) -> list[Shown]:
    """The judge's own life of the same alarm."""
    fields: dict[str, Any] = {
        "kind": "high",
        "on_delay_s": ON_S,
        "off_delay_s": OFF_S,
        "suppress_in": IDLE,
        **more,
    }
    rule = AlarmRule(
        name="a", topic=Topic("d", "m", 0, "Double"), unit="", limit=10.0, priority="low", work_order=False, text="",
        deadband=1.0, bad_after_s=BAD_S, **fields,
    )  # fmt: skip
    signal = Signal([second * S for second in range(len(values))], values)
    seen = sorted(dict(states).items())
    state = Signal([round((second + 0.5) * S) for second, _ in seen], [value for _, value in seen])
    condition = condition_of(rule, signal, state, lambda ns: 0)
    given = played.obeyed
    hidden = [
        ("out_of_service", given.hidden("remove")),
        ("shelved", given.hidden("shelve")),
        ("suppressed", condition.suppressed),
    ]
    facts = Facts(rule, condition.active.spans, hidden, given.times("ack"), given.times("reset"))
    return life(facts, Start(-1), 190 * S)[1:]


def distinct(shown: list[Shown]) -> list[Shown]:
    """Without what shows the same as before and calls nobody."""
    found: list[Shown] = []
    for entry in shown:
        if entry.calls or entry.state != (found[-1].state if found else "normal"):
            found.append(entry)
    return found


@settings(max_examples=300, deadline=None)
@given(values, states, commands, st.booleans(), st.booleans())
def test_bridge_and_judge_agree(
    values: list[Any], states: list[Any], commands: list[Any], latching: bool, again: bool
) -> None:
    re_alarm_s = AGAIN_S if again else 0.0
    rule = bridge_rule(
        high=10.0, latching=latching, re_alarm_ns=round(re_alarm_s * S), suppress_in=IDLE, state_metric_id=1
    )
    played = Played(rule)
    played.play(values, states, commands)
    assert distinct(played.shown) == judged(played, values, states, latching=latching, re_alarm_s=re_alarm_s)


@settings(max_examples=100, deadline=None)
@given(values, commands)
def test_they_agree_on_a_sensor_that_stays_bad(values: list[Any], commands: list[Any]) -> None:
    played = Played(bridge_rule(is_bad=True, on_s=BAD_S, off_s=BAD_S))
    played.play(values, [], commands)
    bad = {"kind": "bad", "on_delay_s": BAD_S, "off_delay_s": BAD_S, "suppress_in": frozenset()}
    assert distinct(played.shown) == judged(played, values, [], **bad)
