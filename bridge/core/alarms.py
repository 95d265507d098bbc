"""All alarms of an edge node: samples in, transitions out, and the commands of operators. No I/O and no clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from shakedown.bridge.core.alarm import SERVICE_MAX_S, Alarm, CommandRefused
from shakedown.bridge.core.alarm_rule import AlarmRule, Transition
from shakedown.bridge.core.alarm_states import Event
from shakedown.bridge.core.model import Sample

SHELVE_MAX_S = 12 * 3600
"""Longest time an alarm may be shelved (OPC UA Part 9, MaxTimeShelved)."""

TEXT_MAX = 200
"""Longest name of an operator, and longest reason, that is kept."""


class Alarms:
    """All alarms of an edge node. `take` samples, `tick` when `due_ns` has come, then `drain` the transitions."""

    def __init__(self, rules: Sequence[AlarmRule]) -> None:
        self.alarms = {rule.key: Alarm(rule, self._emit) for rule in rules}
        self._of_metric: dict[int, list[Alarm]] = defaultdict(list)
        self._of_state: dict[int, list[Alarm]] = defaultdict(list)
        for alarm in self.alarms.values():
            self._of_metric[alarm.rule.metric_id].append(alarm)
            if alarm.rule.suppress_in and alarm.rule.state_metric_id is not None:
                self._of_state[alarm.rule.state_metric_id].append(alarm)
        self._state_ts: dict[int, int] = {}
        self._transitions: list[Transition] = []
        self._touched: dict[tuple[str, str], None] = {}

    @property
    def metric_ids(self) -> set[int]:
        """Metrics whose samples `take` wants to see."""
        return self._of_metric.keys() | self._of_state.keys()

    @property
    def state_ids(self) -> set[int]:
        """Of these the states that suppress: of samples with one time they come first."""
        return set(self._of_state)

    def take(self, sample: Sample) -> None:
        """Judge a sample by every rule that looks at its metric."""
        metric_id, ts_ms, value, quality, _ = sample
        ts_ns = ts_ms * 1_000_000
        suppressed = self._of_state.get(metric_id)
        if suppressed and ts_ns >= self._state_ts.get(metric_id, -1):
            self._state_ts[metric_id] = ts_ns
            for alarm in suppressed:
                before = (alarm.suppressed, alarm.state_bad_ns)
                alarm.take_state(ts_ns, value, quality)
                if before != (alarm.suppressed, alarm.state_bad_ns):
                    self._touched[alarm.rule.key] = None
        for alarm in self._of_metric.get(metric_id, ()):
            condition = (alarm.beyond, alarm.since_ns, alarm.active, alarm.is_blank)
            alarm.take(ts_ns, value, quality)
            if condition != (alarm.beyond, alarm.since_ns, alarm.active, alarm.is_blank):
                self._touched[alarm.rule.key] = None

    def reach(self, metric_ids: Iterable[int], *, is_up: bool) -> None:
        """The source of metrics has come within or gone out of reach: without it no delay can be over."""
        for metric_id in metric_ids:
            for alarm in self._of_metric.get(metric_id, ()):
                alarm.is_blind = not is_up

    def tick(self, now_ns: int) -> None:
        """Let time pass: delays, shelf lives, re-alarms."""
        for alarm in self.alarms.values():
            due_ns = alarm.due_ns
            if due_ns is not None and due_ns <= now_ns:
                alarm.tick(now_ns)
                self._touched[alarm.rule.key] = None

    @property
    def due_ns(self) -> int | None:
        """When `tick` is next needed; None while nothing is pending."""
        return min((due for alarm in self.alarms.values() if (due := alarm.due_ns) is not None), default=None)

    def drain(self) -> tuple[list[Transition], list[Alarm]]:
        """Transitions since the last call in their order, and every alarm that is no longer as it was."""
        transitions, self._transitions = self._transitions, []
        touched, self._touched = self._touched, {}
        return transitions, [self.alarms[key] for key in touched]

    # ---- the operator's commands; each raises CommandRefused

    def ack(self, device: str, name: str, by: str, now_ns: int) -> None:
        """Acknowledge as operator `by`."""
        self._find(device, name, by).answer(Event.ACK, now_ns, by)

    def reset(self, device: str, name: str, by: str, now_ns: int) -> None:
        """Reset a latched alarm."""
        self._find(device, name, by).answer(Event.RESET, now_ns, by)

    def confirm(self, device: str, name: str, by: str, now_ns: int) -> None:
        """Confirm the response to an acknowledged alarm."""
        self._find(device, name, by).confirm()
        self._touched[device, name] = None

    def shelve(self, device: str, name: str, by: str, until_ns: int, reason: str, now_ns: int) -> None:
        """Silence an alarm until `until_ns`; it needs an owner, a reason and an end. 0 ends it now."""
        alarm = self._find(device, name, by)
        place = f"shelving {device}/{name}"
        if until_ns == 0 and not alarm.shelved_until_ns:
            raise CommandRefused(f"alarm {device}/{name} is not shelved")
        _check_until(place, until_ns, reason, now_ns, SHELVE_MAX_S)
        self._hide(alarm, now_ns, by, shelved_until_ns=until_ns)

    def remove(self, device: str, name: str, by: str, until_ns: int, reason: str, now_ns: int) -> None:
        """Take an alarm out of service until `until_ns`; it needs an owner, a reason and an end. 0 returns it now."""
        alarm = self._find(device, name, by)
        place = f"taking {device}/{name} out of service"
        if until_ns == 0 and not alarm.removed_until_ns:
            raise CommandRefused(f"alarm {device}/{name} is in service")
        _check_until(place, until_ns, reason, now_ns, SERVICE_MAX_S)
        self._hide(alarm, now_ns, by, removed_until_ns=until_ns)

    def _find(self, device: str, name: str, by: str) -> Alarm:
        if not _is_text(by):
            raise CommandRefused(f"a command needs the operator's name, 1 to {TEXT_MAX} printable characters")
        alarm = self.alarms.get((device, name))
        if alarm is None:
            raise CommandRefused(f"there is no alarm {name!r} on device {device!r}")
        return alarm

    def restore(self, device: str, name: str, saved: dict[str, Any]) -> None:
        """Continue an alarm where it was; one that is no longer configured is forgotten."""
        alarm = self.alarms.get((device, name))
        if alarm is not None:
            alarm.restore(saved)

    # ---- helpers

    def _hide(self, alarm: Alarm, now_ns: int, by: str, **until_ns: int) -> None:
        alarm.settle(now_ns)
        alarm.inhibit(now_ns, by, **until_ns)
        self._touched[alarm.rule.key] = None  # the end may have moved without a transition

    def _emit(self, alarm: Alarm, transition: Transition) -> None:
        self._transitions.append(transition)
        self._touched[alarm.rule.key] = None


def _check_until(what: str, until_ns: int, reason: str, now_ns: int, longest_s: int) -> None:
    """Refuse a shelf or a removal without a reason or an end; one that ends now needs none."""
    if not _is_text(reason) and (until_ns or reason):
        raise CommandRefused(f"{what} needs a reason of 1 to {TEXT_MAX} printable characters")
    if until_ns and not now_ns < until_ns <= now_ns + longest_s * 10**9:
        raise CommandRefused(
            f"{what} must end in the future, at most {longest_s // 3600} h from now (until_ms)"
        )


def _is_text(text: str) -> bool:
    """Whether a text may be kept and shown: no line breaks, nothing that has no encoding."""
    return 0 < len(text) <= TEXT_MAX and text.isprintable()
