"""One alarm: the condition behind it, its ISA-18.2 state, and what hides it. The rules stand in docs/alarms.md.

The condition is judged in source time: a delay counts from the sample that began it, and a transition is stamped with
the moment the delay was over, whether a later sample or a timer tells so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shakedown.bridge.core.alarm_rule import AlarmRule, Transition
from shakedown.bridge.core.alarm_states import UNANSWERED, Event, Flags, State, step
from shakedown.bridge.core.model import GOOD, Value

IN_FLIGHT_NS = 1_000_000_000
"""A timer waits this much longer than the delay: the sample that ends the condition may be on its way."""

SERVICE_MAX_S = 30 * 24 * 3600
"""Longest time that an alarm may be out of service."""


BY_PEOPLE = (State.SHELVED, State.OUT_OF_SERVICE)


class CommandRefused(ValueError):
    """An operator's command cannot be obeyed; the text says why and what would be possible."""


def is_usable(value: Value, quality: int) -> bool:
    """Whether a sample says anything of its metric: it is Good, and has a value that is not NaN."""
    return quality == GOOD and value is not None and value == value


class Alarm:
    """One alarm. `state` goes on beneath what hides it; `shown` is what is published."""

    KEPT = (
        "occurrence", "beyond", "active", "since_ns", "still_ns", "is_blank", "ts_ns", "value", "cause", "changed_ns",
        "acked_ns", "confirmed", "suppressed", "state_bad_ns", "shelved_until_ns", "removed_until_ns",
    )  # fmt: skip
    """What is remembered over a restart, beside the states."""

    def __init__(self, rule: AlarmRule, emit: Callable[[Alarm, Transition], None]) -> None:
        self.rule = rule
        self.state = State.NORMAL  # A to F
        self.hidden: State | None = None  # G to I: what is shown instead
        self.put_off: State | None = None  # the state before a call that waits for the release
        self.occurrence = 0
        self.beyond = False  # the newest usable value, after the deadband
        self.active = False  # ... and after the delays
        self.since_ns: int | None = None  # since when `beyond` and `active` differ, later by each standstill
        self.still_ns: int | None = None  # since when the clock of a delay stands still
        self.is_blank = False  # the newest sample is not usable
        self.ts_ns = -1  # newest sample judged
        self.value: Value = None
        self.cause: Value = None  # the newest value beyond the limit: within the deadband none tells why
        self.changed_ns = 0  # of what is shown
        self.acked_ns = 0
        self.confirmed = True
        self.suppressed = False
        self.state_bad_ns: int | None = None  # since when the state that suppresses is not usable
        self.shelved_until_ns = 0  # 0: not shelved
        self.removed_until_ns = 0  # 0: in service
        self.is_blind = False  # its source is out of reach: a delay cannot be said to be over
        self._emit = emit

    @property
    def shown(self) -> State:
        """The state as it is published."""
        return self.hidden or self.state

    @property
    def flags(self) -> Flags:
        """Active, Acked, Confirmed and Retain of OPC UA Part 9."""
        acked = self.state not in UNANSWERED
        return Flags(self.active, acked, self.confirmed, self.active or not acked or not self.confirmed)

    # ---- the condition

    def take(self, ts_ns: int, value: Value, quality: int) -> None:
        """Judge a sample. One that is older than the last is ignored; one that is not usable proves nothing.

        Before the first usable one nothing is too old: a server stamps "waiting for data" with its own clock.
        """
        if ts_ns < self.ts_ns and self.value is not None:
            return
        if self._is_waiting:
            self.elapse(ts_ns)
        self.ts_ns = ts_ns
        rule, is_usable_ = self.rule, is_usable(value, quality)
        if is_usable_:
            self.value = value
        if rule.is_bad:
            beyond = not is_usable_
        else:
            if self.is_blank is is_usable_:
                self.is_blank = not is_usable_
                self._stand_or_go(ts_ns)
            if self.is_blank:
                return
            beyond = rule.is_beyond(value, self.beyond)
            if rule.is_beyond(value, was_beyond=False):
                self.cause = value
        if beyond is not self.beyond:
            self.beyond = beyond
            self.since_ns = ts_ns if beyond is not self.active else None
            self.elapse(ts_ns)

    def take_state(self, ts_ns: int, value: Value, quality: int) -> None:
        """Follow the state of the machine: it may suppress, and if it is not usable it does so for a while only."""
        self._let_go(ts_ns)
        if is_usable(value, quality):
            self.state_bad_ns = None
            self._suppress(ts_ns, value in self.rule.suppress_in)
        elif self.suppressed and self.state_bad_ns is None:
            self.state_bad_ns = ts_ns

    def _let_go(self, now_ns: int) -> None:
        """End a suppression by a state that has not been usable for too long by `now_ns`."""
        if self.state_bad_ns is not None and now_ns >= (end_ns := self.state_bad_ns + self.rule.bad_after_ns):
            self.state_bad_ns = None
            self._suppress(end_ns, False)

    def elapse(self, now_ns: int) -> None:
        """Let the delays that are over by `now_ns` take effect."""
        self._let_go(now_ns)
        due_ns = self._delay_due_ns
        if due_ns is not None and now_ns >= due_ns:
            self.since_ns = None
            self.active = self.beyond
            if self.active:
                self._fire(Event.RAISED, due_ns)
            else:
                self._fire(Event.CLEARED_LATCHING if self.rule.latching else Event.CLEARED, due_ns)
            self._stand_or_go(due_ns)
        if self.rule.re_alarm_ns and self.state is State.ACKED:
            due_ns = self.acked_ns + self.rule.re_alarm_ns
            if now_ns >= due_ns:
                self._fire(Event.RE_ALARM, due_ns)

    @property
    def _is_waiting(self) -> bool:
        return self.since_ns is not None or self.state_bad_ns is not None or self.rule.re_alarm_ns > 0

    @property
    def _delay_due_ns(self) -> int | None:
        if self.since_ns is None:
            return None
        due_ns = self.since_ns + (self.rule.off_delay_ns if self.active else self.rule.on_delay_ns)
        if self.still_ns is not None and due_ns >= self.still_ns:
            return None
        return due_ns

    def _stand_or_go(self, ts_ns: int) -> None:
        """Stop the clock of the delay, or let it go on: nothing is proven while the value is not usable, and no alarm
        becomes active while it is suppressed."""
        if self.is_blank or (self.suppressed and not self.active):
            if self.still_ns is None:
                self.still_ns = ts_ns
        elif self.still_ns is not None:
            if self.since_ns is not None:
                self.since_ns += max(0, ts_ns - max(self.still_ns, self.since_ns))
            self.still_ns = None

    def tick(self, now_ns: int) -> None:
        """The time has come for whatever `due_ns` said."""
        if self.removed_until_ns and now_ns >= self.removed_until_ns:
            self.inhibit(self.removed_until_ns, removed_until_ns=0)
        if self.shelved_until_ns and now_ns >= self.shelved_until_ns:
            self.inhibit(self.shelved_until_ns, shelved_until_ns=0)
        if not self.is_blind:
            self.elapse(now_ns - IN_FLIGHT_NS)

    @property
    def due_ns(self) -> int | None:
        """When `tick` has something to do if no sample comes before."""
        if not (self._is_waiting or self.shelved_until_ns or self.removed_until_ns):
            return None  # asked for all the time, and mostly so
        due = [until_ns for until_ns in (self.removed_until_ns, self.shelved_until_ns) if until_ns]
        if not self.is_blind:
            if (delay_ns := self._delay_due_ns) is not None:
                due.append(delay_ns + IN_FLIGHT_NS)
            if self.state_bad_ns is not None:
                due.append(self.state_bad_ns + self.rule.bad_after_ns + IN_FLIGHT_NS)
            if self.rule.re_alarm_ns and self.state is State.ACKED:
                due.append(self.acked_ns + self.rule.re_alarm_ns + IN_FLIGHT_NS)
        return min(due, default=None)

    # ---- what hides it

    def inhibit(self, ts_ns: int, by: str = "", **changes: Any) -> None:
        """Change what hides the alarm; the strongest of out of service, shelved and suppressed is shown.

        People who hide an alarm are called anew if it stands when that ends; a machine that stops does not ask for it.
        """
        for name, value in changes.items():
            setattr(self, name, value)
        before, hidden = self.hidden, self._hiding()
        if hidden is before:
            return
        if before in BY_PEOPLE and hidden not in BY_PEOPLE and self.active and self.put_off is None:
            self.put_off, self.state = self.state, State.UNACKED
        self.hidden = hidden
        self._show(ts_ns, by)

    def _suppress(self, ts_ns: int, is_on: bool) -> None:
        if is_on is self.suppressed:
            return
        if not self.is_blind:
            self.elapse(ts_ns)
        self.suppressed = is_on
        self._stand_or_go(ts_ns)
        if not self.is_blind:
            self.elapse(ts_ns)  # a delay of no length is over at the release
        self.inhibit(ts_ns)

    def _hiding(self) -> State | None:
        if self.removed_until_ns:
            return State.OUT_OF_SERVICE
        if self.shelved_until_ns:
            return State.SHELVED
        return State.SUPPRESSED if self.suppressed else None

    # ---- the operator

    def answer(self, event: Event, now_ns: int, by: str) -> None:
        """Carry out ACK or RESET; raises CommandRefused if there is nothing to answer."""
        self.settle(now_ns)
        if self.hidden is not None or step(self.state, event).state is self.state:
            raise CommandRefused(
                f"alarm {self.rule.device}/{self.rule.name} is {self.shown.value}: nothing to {event.value}"
            )
        self._fire(event, now_ns, by)

    def settle(self, now_ns: int) -> None:
        """Let what was over before a command take effect before it."""
        if not self.is_blind:
            self.elapse(max(self.ts_ns, now_ns - IN_FLIGHT_NS))

    def confirm(self) -> None:
        """Confirm that the response has been made (OPC UA Part 9); raises CommandRefused if none is waited for."""
        if self.confirmed:
            raise CommandRefused(f"alarm {self.rule.device}/{self.rule.name} awaits no confirmation")
        self.confirmed = True

    # ---- a transition

    def _fire(self, event: Event, ts_ns: int, by: str = "") -> None:
        before, (state, annunciates) = self.state, step(self.state, event)
        if self.put_off is not None and event is Event.CLEARED:  # nobody was called, so nobody has to answer
            state, self.put_off = step(self.put_off, event).state, None
        elif self.put_off is not None and event is Event.CLEARED_LATCHING:
            self.put_off = None
        elif state is before and not annunciates:
            return
        self.state = state
        if annunciates:
            self.put_off = before
        if event is Event.ACK:
            self.acked_ns = max(ts_ns, self.changed_ns)
            self.confirmed = not self.rule.confirm
        if self.hidden is None:
            self._show(ts_ns, by)

    def _show(self, ts_ns: int, by: str) -> None:
        """Say what is shown now; a call that was put off is made as soon as nothing hides it."""
        calls = self.put_off is not None and self.hidden is None
        if calls:
            self.put_off = None
            self.occurrence += 1
            self.confirmed = True
        self.changed_ns = ts_ns = max(ts_ns, self.changed_ns)
        self._emit(self, Transition(self.rule, ts_ns, self.shown, self.occurrence, calls, self.cause, by))

    # ---- over a restart

    def save(self) -> dict[str, Any]:
        """What must be remembered, as plain data."""
        put_off = self.put_off.value if self.put_off else None
        kept = {name: getattr(self, name) for name in Alarm.KEPT}
        return {"state": self.state.value, "put_off": put_off, **kept}

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue where `save` was, be it that of an earlier version: docs/alarms.md says what becomes of it."""
        for name in Alarm.KEPT:
            if name in saved:
                setattr(self, name, saved[name])
        self.state = State(saved["state"])
        if put_off := saved.get("put_off"):
            self.put_off = State(put_off)
        if "put_off" not in saved:
            self._migrate(is_removed=bool(saved.get("removed")))
        self.hidden = self._hiding()
        self._adapt()

    def _adapt(self) -> None:
        """Leave what the rule, as it is now, would never end: a suppression, a latch, a confirmation."""
        rule = self.rule
        if not rule.suppress_in and self.suppressed:
            self.state_bad_ns = None
            self._suppress(self.changed_ns, False)
        if not rule.latching:
            self._fire(Event.RESET, self.changed_ns)
        self.confirmed = self.confirmed or not rule.confirm

    def _migrate(self, *, is_removed: bool) -> None:
        """From a version in which nothing went on beneath what hides: one that stands hidden calls at its release."""
        if is_removed:
            self.removed_until_ns = self.changed_ns + SERVICE_MAX_S * 10**9
        if self.state in (State.SHELVED, State.SUPPRESSED, State.OUT_OF_SERVICE):
            self.state = State.UNACKED if self.active else State.NORMAL
            self.put_off = State.NORMAL if self.active else None
        self._stand_or_go(self.ts_ns)
