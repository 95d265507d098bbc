"""Broken alarm engines."""

from __future__ import annotations

from dataclasses import replace

from shakedown.bridge.app import Bridge, Parts
from shakedown.bridge.core import events as ev
from shakedown.bridge.core.alarm import Alarm, CommandRefused
from shakedown.bridge.core.alarm_states import Event, State
from shakedown.bridge.core.alarms import Alarms
from shakedown.bridge.core.model import GOOD
from shakedown.bridge.core.session import Session
from tests.mutants.mutant import Mutant

S = 10**9


def made_of(alarm: type[Alarm]) -> type[Alarms]:
    """An engine whose alarms are all of one kind."""

    class MadeOf(Alarms):
        __doc__ = alarm.__doc__

        def __init__(self, rules):
            super().__init__(rules)
            for healthy in self.alarms.values():
                healthy.__class__ = alarm

    return MadeOf


class IsNaive(Alarms):
    """Knows nothing but the limits: no deadband, no delay, no suppression."""

    def __init__(self, rules):
        nothing = {"deadband": 0.0, "on_delay_ns": 0, "off_delay_ns": 0, "suppress_in": frozenset()}
        super().__init__([replace(rule, **nothing) for rule in rules])


class HasNoOnDelay(Alarms):
    """Speaks at the first value beyond the limit."""

    def __init__(self, rules):
        super().__init__([replace(rule, on_delay_ns=0) for rule in rules])


class WaitsTooLong(Alarms):
    """Waits eight times as long as it should before it speaks."""

    def __init__(self, rules):
        super().__init__([replace(rule, on_delay_ns=8 * rule.on_delay_ns) for rule in rules])


class Masks(Alarms):
    """Keeps an alarm silent while another one of the same device stands."""

    def _emit(self, alarm, transition):
        others = [a for a in self.alarms.values() if a.rule.device == alarm.rule.device and a is not alarm]
        if transition.annunciates and any(other.active for other in others):
            alarm.state = State.NORMAL
            alarm.occurrence -= 1
            return
        super()._emit(alarm, transition)


class SpeaksOnce(Alarm):
    """Stays acknowledged when its condition ends, and so does not speak when it comes again."""

    def _fire(self, event, ts_ns, by=""):
        if not (self.state is State.ACKED and event is Event.CLEARED):
            super()._fire(event, ts_ns, by)


class SuppressesTrueFaults(Alarms):
    """Suppresses the alarms of a fault while the machine stands with a fault."""

    def __init__(self, rules):
        hidden = {"suppress_in": frozenset({"fault"})}
        super().__init__(
            [
                replace(rule, **hidden, state_metric_id=rule.metric_id) if rule.equals == "fault" else rule
                for rule in rules
            ]
        )


class ShelvesByItself(Alarms):
    """Shelves each alarm for an hour as soon as it has spoken."""

    def _emit(self, alarm, transition):
        super()._emit(alarm, transition)
        if transition.annunciates:
            ts_ns = transition.ts_ns
            alarm.inhibit(ts_ns + S, shelved_until_ns=ts_ns + 3600 * S)


class AcknowledgesByItself(Alarms):
    """Acknowledges each alarm as soon as it has spoken."""

    def _emit(self, alarm, transition):
        super()._emit(alarm, transition)
        if transition.annunciates:
            alarm._fire(Event.ACK, transition.ts_ns + S)


class NumbersAllAlike(Alarms):
    """Says of every annunciation that it is the first."""

    def _emit(self, alarm, transition):
        super()._emit(alarm, replace(transition, occurrence=1))


class ForgetsOverAKill(Alarms):
    """Begins anew after a restart, whatever stood before it."""

    def restore(self, device, name, saved):
        pass


class AcknowledgesOverAKill(Alarms):
    """Takes an alarm that waited for somebody before a restart for acknowledged."""

    def restore(self, device, name, saved):
        super().restore(device, name, saved)
        alarm = self.alarms[device, name]
        if alarm.state is State.UNACKED:
            alarm._fire(Event.ACK, alarm.changed_ns + S)


class ForgetsALatch(Alarm):
    """Forgets that it has latched when it is shelved."""

    def inhibit(self, ts_ns, by="", **changes):
        super().inhibit(ts_ns, by, **changes)
        if self.hidden and self.state is State.LATCHED_ACKED:
            self.state = State.NORMAL


class SuppressesForGood(Alarm):
    """Goes on suppressing however long the state that does so is Bad."""

    def take_state(self, ts_ns, value, quality):
        if quality == GOOD:
            super().take_state(ts_ns, value, quality)


class DelaysAnew(Alarm):
    """Begins an on-delay anew at each release, and so never calls for a machine that often idles for a moment."""

    def _stand_or_go(self, ts_ns):
        was_still = self.still_ns is not None and not self.is_blank
        super()._stand_or_go(ts_ns)
        if was_still and self.still_ns is None and self.since_ns is not None:
            self.since_ns = ts_ns


class MutesMost(Alarms):
    """Says nothing of an alarm that no work order follows."""

    def _emit(self, alarm, transition):
        if alarm.rule.work_order:
            super()._emit(alarm, transition)


class NeverClears(Alarms):
    """Calls, and never says that an alarm has returned to normal."""

    def _emit(self, alarm, transition):
        if transition.state not in (State.NORMAL, State.RTN_UNACKED):
            super()._emit(alarm, transition)


class ClearsAtOnce(Alarms):
    """Says of each alarm that it is over as soon as it has called."""

    def _emit(self, alarm, transition):
        super()._emit(alarm, transition)
        if transition.annunciates:
            over = {"state": State.RTN_UNACKED, "annunciates": False, "ts_ns": transition.ts_ns + S // 1000}
            super()._emit(alarm, replace(transition, **over))


class DropsHalf(Alarms):
    """Loses every second transition that calls nobody."""

    count = 0

    def _emit(self, alarm, transition):
        self.count += not transition.annunciates
        if transition.annunciates or self.count % 2:
            super()._emit(alarm, transition)


class IsDeaf(Alarms):
    """Refuses each acknowledgement."""

    def ack(self, device, name, by, now_ns):
        raise CommandRefused("not now")


class NodsAndDoesNothing(Alarms):
    """Accepts each acknowledgement, and does nothing."""

    def ack(self, device, name, by, now_ns):
        self._find(device, name, by)


class NamesTheWrongActor(Bridge):
    """Records each acknowledgement for another operator than the one who gave it."""

    def _on_command(self, metric_id, value):
        super()._on_command(metric_id, "somebody else")


class SaysRatesOnce(Bridge):
    """Says once how many calls there were in ten minutes, and never again."""

    def _operations_of(self, compiled):
        operations = super()._operations_of(compiled)
        say = operations._say_of_node
        operations._say_of_node = lambda now_ns, outcome: operations._node or say(now_ns, outcome)
        return operations


class SaysAlarmsAsHistory(Session):
    """Marks whatever it says of alarms as history, which no screen shows."""

    def _data(self, entries, now_ns):
        super()._data([(s, was or _is_of_alarm(self._model, s)) for s, was in entries], now_ns)


class ClearsLate(Session):
    """Says forty seconds late, though with the right time, that an alarm was acknowledged or is over."""

    waiting: tuple = ()

    def _live(self, event, now_ns):
        calm = {sample for sample in event.samples if _is_calm(self._model, sample)}
        self.waiting = (*self.waiting, *((now_ns + 40 * S, sample) for sample in calm))
        ripe = [sample for due_ns, sample in self.waiting if due_ns <= now_ns]
        self.waiting = tuple(entry for entry in self.waiting if entry[0] > now_ns)
        super()._live(ev.Live([*ripe, *(sample for sample in event.samples if sample not in calm)]), now_ns)


def _is_of_alarm(model, sample):
    return model.metrics[sample.metric_id].name.startswith("alarm/")


def _is_calm(model, sample):
    return _is_of_alarm(model, sample) and sample.value in ("normal", "rtn_unacked", "acked")


class IsSilent(Alarm):
    """Goes through its states and calls nobody: what should be unacknowledged is acknowledged at once."""

    def _fire(self, event, ts_ns, by=""):
        if event is Event.RAISED:
            self.state = State.ACKED
        else:
            super()._fire(event, ts_ns, by)


def _mutant(name: str, caught_by: str, alarms: type[Alarms], drill: str = "shift_drill.yaml") -> Mutant:
    quick = name == "is_naive"
    return Mutant(name, (caught_by,), Parts(alarms=alarms), drill=drill, quick=quick)


ALARMS = (
    _mutant("is_naive", "nuisance", IsNaive, "shift_noise.yaml"),
    _mutant("has_no_on_delay", "nuisance", HasNoOnDelay, "shift_noise.yaml"),
    _mutant("waits_too_long", "false_alarms", WaitsTooLong),
    _mutant("masks", "false_alarms", Masks),
    _mutant("speaks_once", "false_alarms", made_of(SpeaksOnce)),
    _mutant("suppresses_true_faults", "false_alarms", SuppressesTrueFaults),
    _mutant("is_silent", "false_alarms", made_of(IsSilent)),
    _mutant("shelves_by_itself", "false_alarms", ShelvesByItself),
    _mutant("acknowledges_by_itself", "acknowledgement", AcknowledgesByItself, "shift_orders.yaml"),
    _mutant("mutes_most", "false_alarms", MutesMost, "shift_orders.yaml"),
    _mutant("never_clears", "false_alarms", NeverClears, "shift_orders.yaml"),
    _mutant("clears_at_once", "false_alarms", ClearsAtOnce, "shift_orders.yaml"),
    _mutant("drops_half", "false_alarms", DropsHalf, "shift_orders.yaml"),
    _mutant("is_deaf", "acknowledgement", IsDeaf, "shift_orders.yaml"),
    _mutant("nods_and_does_nothing", "acknowledgement", NodsAndDoesNothing, "shift_orders.yaml"),
    Mutant(
        "names_the_wrong_actor", ("acknowledgement",), bridge=NamesTheWrongActor, drill="shift_orders.yaml"
    ),
    Mutant("says_rates_once", ("false_alarms",), bridge=SaysRatesOnce, drill="shift_orders.yaml"),
    Mutant(
        "says_alarms_as_history",
        ("false_alarms",),
        Parts(session=SaysAlarmsAsHistory),
        drill="shift_orders.yaml",
    ),
    Mutant("clears_late", ("false_alarms",), Parts(session=ClearsLate), drill="shift_orders.yaml"),
    _mutant("numbers_all_alike", "false_alarms", NumbersAllAlike),
    _mutant("forgets_over_a_kill", "work_orders", ForgetsOverAKill),
    _mutant("acknowledges_over_a_kill", "acknowledgement", AcknowledgesOverAKill, "shift_kill.yaml"),
    _mutant("forgets_a_latch", "acknowledgement", made_of(ForgetsALatch), "shift_hidden.yaml"),
    _mutant("delays_anew", "false_alarms", made_of(DelaysAnew), "shift_hidden.yaml"),
    _mutant("suppresses_for_good", "false_alarms", made_of(SuppressesForGood), "shift_hidden.yaml"),
)
