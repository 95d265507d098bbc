"""Alarms: rules over samples, with deadband, delays, latching, shelving and suppression. No I/O and no clock.

The condition of a rule is judged in source time: a delay counts from the sample that began it, and a transition is
stamped with the moment the delay was over, whether a later sample or a timer tells so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from shakedown.bridge.core.alarm_states import UNANSWERED, Event, Flags, State, step
from shakedown.bridge.core.model import GOOD, Sample, Value

IN_FLIGHT_NS = 1_000_000_000
"""A timer waits this much longer than the delay: the sample that ends the condition may be on its way."""

SHELVE_MAX_S = 12 * 3600
"""Longest time an alarm may be shelved (OPC UA Part 9, MaxTimeShelved)."""

TEXT_MAX = 200
"""Longest name of an operator, and longest reason, that is kept."""


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """One alarm as configured; exactly one of `high`, `low` and `equals` is given."""

    device: str
    name: str
    metric_id: int
    high: float | None = None
    low: float | None = None
    equals: str | bool | None = None
    deadband: float = 0.0
    on_delay_ns: int = 0
    off_delay_ns: int = 0
    latching: bool = False
    confirm: bool = False
    re_alarm_ns: int = 0  # 0: never
    suppress_in: frozenset[str] = frozenset()
    state_metric_id: int | None = None
    priority: str = "medium"
    work_order: bool = False
    text: str = ""
    context_ids: tuple[int, ...] = ()  # metrics whose last minutes explain the alarm

    @property
    def key(self) -> tuple[str, str]:
        return self.device, self.name

    @property
    def limit(self) -> float | str | bool:
        """The threshold, whichever kind it is."""
        return next(limit for limit in (self.high, self.low, self.equals) if limit is not None)

    def is_beyond(self, value: Value, was_beyond: bool) -> bool:
        """Whether a value is alarming; the deadband is the way back that a value must go to be normal again."""
        if self.equals is not None:
            return value == self.equals
        margin = self.deadband if was_beyond else 0.0
        if self.high is not None:
            return value > self.high - margin  # type: ignore[operator]
        return value < self.low + margin  # type: ignore[operator]


@dataclass(frozen=True, slots=True)
class Transition:
    """An alarm has changed: `value` is the newest beyond its limit then, `by` the operator if there was one."""

    rule: AlarmRule
    ts_ns: int
    state: State
    occurrence: int  # ordinal of the newest annunciation, 0 before the first
    annunciates: bool
    value: Value = None
    by: str = ""


class CommandRefused(ValueError):
    """An operator's command cannot be obeyed; the text says why and what would be possible."""


class Alarm:
    """One alarm: the condition behind it, its ISA-18.2 state, and who keeps it silent."""

    KEPT = (
        "occurrence", "beyond", "active", "since_ns", "ts_ns", "value", "cause", "changed_ns", "acked_ns", "confirmed",
        "suppressed", "shelved_until_ns", "removed",
    )  # fmt: skip
    """What is remembered over a restart, beside the state."""

    def __init__(self, rule: AlarmRule, emit: Callable[[Alarm, Transition], None]) -> None:
        self.rule = rule
        self.state = State.NORMAL
        self.occurrence = 0
        self.beyond = False  # the newest value, after the deadband
        self.active = False  # ... and after the delays
        self.since_ns: int | None = None  # since when `beyond` and `active` differ
        self.ts_ns = -1  # newest sample judged
        self.value: Value = None
        self.cause: Value = None  # the newest value beyond the limit: within the deadband none tells why
        self.changed_ns = 0
        self.acked_ns = 0
        self.confirmed = True
        self.suppressed = False
        self.shelved_until_ns = 0  # 0: not shelved
        self.removed = False
        self.is_blind = False  # its source is out of reach: a delay cannot be said to be over
        self._emit = emit

    @property
    def flags(self) -> Flags:
        """Active, Acked, Confirmed and Retain of OPC UA Part 9."""
        acked = self.state not in UNANSWERED
        return Flags(self.active, acked, self.confirmed, self.active or not acked or not self.confirmed)

    # ---- the condition

    def take(self, ts_ns: int, value: Value, quality: int) -> None:
        """Judge a sample. One that is older than the last is ignored; one that is not good proves nothing.

        Before the first good one nothing is too old: a server stamps "waiting for data" with its own clock.
        """
        if ts_ns < self.ts_ns and self.value is not None:
            return
        self.elapse(ts_ns)
        self.ts_ns = ts_ns
        if quality != GOOD or value is None:
            self.since_ns, self.beyond = None, self.active
            return
        self.value = value
        beyond = self.rule.is_beyond(value, self.beyond)
        if self.rule.is_beyond(value, was_beyond=False):
            self.cause = value
        if beyond is not self.beyond:
            self.beyond = beyond
            self.since_ns = ts_ns if beyond is not self.active else None
            self.elapse(ts_ns)

    def elapse(self, now_ns: int) -> None:
        """Let the delays that are over by `now_ns` take effect."""
        if self.since_ns is not None:
            delay_ns = self.rule.off_delay_ns if self.active else self.rule.on_delay_ns
            due_ns = self.since_ns + delay_ns
            if now_ns >= due_ns:
                self.since_ns = None
                self.active = self.beyond
                if self.active:
                    self._fire(Event.RAISED, due_ns)
                else:
                    self._fire(Event.CLEARED_LATCHING if self.rule.latching else Event.CLEARED, due_ns)
        if self.rule.re_alarm_ns and self.state is State.ACKED:
            due_ns = self.acked_ns + self.rule.re_alarm_ns
            if now_ns >= due_ns:
                self._fire(Event.RE_ALARM, due_ns)

    def tick(self, now_ns: int) -> None:
        """The time has come for whatever `due_ns` said."""
        if self.shelved_until_ns and now_ns >= self.shelved_until_ns:
            self.inhibit(self.shelved_until_ns, shelved_until_ns=0)
        if not self.is_blind:
            self.elapse(now_ns - IN_FLIGHT_NS)

    @property
    def due_ns(self) -> int | None:
        """When `tick` has something to do if no sample comes before."""
        due = [self.shelved_until_ns] if self.shelved_until_ns else []
        if self.since_ns is not None and not self.is_blind:
            delay_ns = self.rule.off_delay_ns if self.active else self.rule.on_delay_ns
            due.append(self.since_ns + delay_ns + IN_FLIGHT_NS)
        if self.rule.re_alarm_ns and self.state is State.ACKED and not self.is_blind:
            due.append(self.acked_ns + self.rule.re_alarm_ns + IN_FLIGHT_NS)
        return min(due, default=None)

    # ---- what silences it

    def inhibit(self, ts_ns: int, by: str = "", **changes: Any) -> None:
        """Change what silences the alarm; the strongest of out of service, shelved and suppressed is shown."""
        before = self._inhibition()
        for name, value in changes.items():
            setattr(self, name, value)
        after = self._inhibition()
        if after is before:
            return
        if after is None:
            if before is Event.SUPPRESS and self.rule.on_delay_ns:
                self._begin_anew(ts_ns)
            after = Event.RELEASE_RAISED if self.active else Event.RELEASE_CLEAR
        self._fire(after, ts_ns, by)

    def _begin_anew(self, ts_ns: int) -> None:
        """The on-delay of a condition runs from the end of suppression: a machine that starts has its time to."""
        self.active = False
        self.since_ns = ts_ns if self.beyond else None

    def _inhibition(self) -> Event | None:
        if self.removed:
            return Event.REMOVE
        if self.shelved_until_ns:
            return Event.SHELVE
        return Event.SUPPRESS if self.suppressed else None

    # ---- the operator

    def answer(self, event: Event, now_ns: int, by: str) -> None:
        """Carry out ACK or RESET; raises CommandRefused if there is nothing to answer."""
        self.elapse(max(self.ts_ns, now_ns - IN_FLIGHT_NS))
        if step(self.state, event).state is self.state:
            raise CommandRefused(
                f"alarm {self.rule.device}/{self.rule.name} is {self.state.value}: nothing to {event.value}"
            )
        self._fire(event, now_ns, by)

    def confirm(self) -> None:
        """Confirm that the response has been made (OPC UA Part 9); raises CommandRefused if none is waited for."""
        if self.confirmed:
            raise CommandRefused(f"alarm {self.rule.device}/{self.rule.name} awaits no confirmation")
        self.confirmed = True

    # ---- a transition

    def _fire(self, event: Event, ts_ns: int, by: str = "") -> None:
        state, annunciates = step(self.state, event)
        if state is self.state and not annunciates:
            return
        self.state = state
        self.changed_ns = ts_ns = max(ts_ns, self.changed_ns)
        if annunciates:
            self.occurrence += 1
            self.confirmed = True
        if event is Event.ACK:
            self.acked_ns = ts_ns
            self.confirmed = not self.rule.confirm
        self._emit(self, Transition(self.rule, ts_ns, state, self.occurrence, annunciates, self.cause, by))


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

    def take(self, sample: Sample) -> None:
        """Judge a sample by every rule that looks at its metric."""
        metric_id, ts_ms, value, quality, _ = sample
        ts_ns = ts_ms * 1_000_000
        for alarm in self._of_metric.get(metric_id, ()):
            before = (alarm.beyond, alarm.since_ns, alarm.active)
            alarm.take(ts_ns, value, quality)
            if before != (alarm.beyond, alarm.since_ns, alarm.active):
                self._touched[alarm.rule.key] = None
        suppressed = self._of_state.get(metric_id)
        if suppressed and quality == GOOD and ts_ns >= self._state_ts.get(metric_id, -1):
            self._state_ts[metric_id] = ts_ns
            for alarm in suppressed:
                self._inhibit(alarm, ts_ns, suppressed=value in alarm.rule.suppress_in)

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
        if not _is_text(reason) and (until_ns or reason):
            raise CommandRefused(
                f"shelving {device}/{name} needs a reason of 1 to {TEXT_MAX} printable characters"
            )
        if until_ns == 0:
            if not alarm.shelved_until_ns:
                raise CommandRefused(f"alarm {device}/{name} is not shelved")
            self._inhibit(alarm, now_ns, by, shelved_until_ns=0)
            return
        if not now_ns < until_ns <= now_ns + SHELVE_MAX_S * 10**9:
            raise CommandRefused(
                f"shelving {device}/{name} must end in the future, at most {SHELVE_MAX_S // 3600} h from now"
            )
        self._inhibit(alarm, now_ns, by, shelved_until_ns=until_ns)
        self._touched[device, name] = None  # the end may have moved without a transition

    def service(self, device: str, name: str, by: str, *, is_out: bool, now_ns: int) -> None:
        """Take an alarm out of service, or return it."""
        self._inhibit(self._find(device, name, by), now_ns, by, removed=is_out)

    def _find(self, device: str, name: str, by: str) -> Alarm:
        if not _is_text(by):
            raise CommandRefused(f"a command needs the operator's name, 1 to {TEXT_MAX} printable characters")
        alarm = self.alarms.get((device, name))
        if alarm is None:
            raise CommandRefused(f"there is no alarm {name!r} on device {device!r}")
        return alarm

    # ---- over a restart

    @staticmethod
    def save(alarm: Alarm) -> dict[str, Any]:
        """What must be remembered of an alarm, as plain data."""
        return {"state": alarm.state.value, **{name: getattr(alarm, name) for name in Alarm.KEPT}}

    def restore(self, device: str, name: str, saved: dict[str, Any]) -> None:
        """Continue an alarm where it was; one that is no longer configured is forgotten."""
        alarm = self.alarms.get((device, name))
        if alarm is not None:
            alarm.state = State(saved["state"])
            for key in Alarm.KEPT:
                setattr(alarm, key, saved[key])

    # ---- helpers

    def _inhibit(self, alarm: Alarm, ts_ns: int, by: str = "", **changes: Any) -> None:
        if any(getattr(alarm, name) != value for name, value in changes.items()):
            alarm.inhibit(ts_ns, by, **changes)
            self._touched[alarm.rule.key] = None

    def _emit(self, alarm: Alarm, transition: Transition) -> None:
        self._transitions.append(transition)
        self._touched[alarm.rule.key] = None


def _is_text(text: str) -> bool:
    """Whether a text may be kept and shown: no line breaks, nothing that has no encoding."""
    return 0 < len(text) <= TEXT_MAX and text.isprintable()
