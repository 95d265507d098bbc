"""Broken Sparkplug sessions."""

from __future__ import annotations

from dataclasses import replace

from shakedown.bridge.app import Parts
from shakedown.bridge.core import events as ev
from shakedown.bridge.core.datatypes import DOUBLE
from shakedown.bridge.core.model import BAD
from shakedown.bridge.core.session import Session
from shakedown.bridge.journal.journal import Journal
from tests.mutants.mutant import Mutant


class LosesAtTheWrap(Session):
    """Sends only the first sample of what carries seq 255."""

    def _publish_group(self, device, group, now_ns):
        if self._seq == 255:
            del group.entries[1:]
        super()._publish_group(device, group, now_ns)


class LosesWhileItReplays(Session):
    """Loses half of what comes while it replays its history."""

    def _live(self, event, now_ns):
        if self._replaying:
            event = ev.Live(event.samples[: len(event.samples) // 2])
        super()._live(event, now_ns)


class BearsOneMetricLess(Session):
    """Leaves the last metric of each device out of the births."""

    def _device_birth(self, device, now_ns):
        snapshot = self.image.snapshot
        self.image.snapshot = lambda name: snapshot(name)[:-1]
        super()._device_birth(device, now_ns)
        self.image.snapshot = snapshot


class BearsWhatWasFirst(Session):
    """Shows in every birth what the first one showed."""

    def _device_birth(self, device, now_ns):
        snapshot, first = self.image.snapshot, self.__dict__.setdefault("first", {})
        self.image.snapshot = lambda name: first.setdefault(name, snapshot(name))
        super()._device_birth(device, now_ns)
        self.image.snapshot = snapshot


class UsesStaleAliases(Session):
    """Gives new aliases in every second birth, and goes on with the old ones in its data."""

    def _device_birth(self, device, now_ns):
        snapshot = self.image.snapshot
        if self.counters["births"] % 2:
            self.image.snapshot = lambda name: _with_aliases_swapped(snapshot(name))
        super()._device_birth(device, now_ns)
        self.image.snapshot = snapshot


def _with_aliases_swapped(values):
    doubles = [n for n, (metric, _) in enumerate(values) if metric.datatype == DOUBLE][:2]
    if len(doubles) == 2:
        (one, first), (two, second) = (values[n] for n in doubles)
        values[doubles[0]] = (replace(one, metric_id=two.metric_id), first)
        values[doubles[1]] = (replace(two, metric_id=one.metric_id), second)
    return values


class LeavesWithoutADeath(Session):
    """Disconnects politely, which takes its Will away, and says no NDEATH."""

    def _leave(self, now_ns):
        super()._leave(now_ns)
        self._effects[:] = [e for e in self._effects if not isinstance(e, ev.Publish)]


class RenewsItsWillTooLate(Session):
    """Connects with the bdSeq of the session before in its Will."""

    def _send_connect(self, event, now_ns):
        self.bd_seq = (event.bd_seq - 1) % 256
        will = self._death(now_ns)
        self.bd_seq = event.bd_seq
        self._effects.append(ev.Connect(will))


class RetainsItsData(Session):
    """Asks the broker to retain its data."""

    def _publish(self, message_type, device, data):
        super()._publish(message_type, device, data)
        if message_type == "DDATA":
            self._effects[-1] = replace(self._effects[-1], retain=True)


class IgnoresThatTheHostIsOffline(Session):
    """Goes on publishing while the primary host is offline."""

    def _host_gone(self, now_ns):
        self._effects.pop()  # the forwarding does not hear of it either


class ForgetsIsHistorical(Session):
    """Sends its history without the mark is_historical."""

    def _history(self, event, now_ns):
        self._data([(sample, False) for sample in event.samples], now_ns)


class InventsBadValues(Session):
    """Puts two Bad values beside each Good one of its history."""

    def _history(self, event, now_ns):
        beside = [
            s._replace(ts_ms=s.ts_ms + n, value=None, quality=BAD) for s in event.samples for n in (0, 1, 2)
        ]
        beside[::3] = event.samples
        super()._history(ev.History(beside), now_ns)


class NeverRebirths(Session):
    """Does not answer a rebirth command."""

    def _command(self, data, now_ns):
        return None


class SendsDataBeforeItsBirths(Session):
    """Goes on with data after a rebirth command and sends the births of the devices late."""

    def _births(self, now_ns):
        outcome = super()._births(now_ns)
        births = [effect for effect in self._effects if isinstance(effect, ev.Publish)]
        others = [effect for effect in self._effects if not isinstance(effect, ev.Publish)]
        self._effects[:] = births[1:] + births[:1] + others
        return outcome


class RepeatsASequenceNumber(Session):
    """Counts one message in a thousand not at all."""

    messages = 0

    def _next_seq(self):
        self.messages += 1
        seq = super()._next_seq()
        if self.messages % 1000 == 0:
            self._seq = seq
        return seq


class Reorders(Session):
    """Sends every tenth live batch after the one that follows it."""

    batches = 0
    waiting = ()

    def _births(self, now_ns):
        self.waiting = ()
        return super()._births(now_ns)

    def _live(self, event, now_ns):
        self.batches += 1
        if self.batches % 10 == 0:
            self.waiting = event.samples
            return
        super()._live(event, now_ns)
        self._data([(sample, False) for sample in self.waiting], now_ns)
        self.waiting = ()


class RepeatsWithNewTimestamps(Session):
    """Sends one batch in fifty a second time, stamped anew."""

    batches = 0

    def _live(self, event, now_ns):
        self.batches += 1
        super()._live(event, now_ns)
        if self.batches % 50 == 0:
            again = [sample._replace(ts_ms=sample.ts_ms + 7) for sample in event.samples]
            super()._live(ev.Live(again), now_ns)


class Lags(Session):
    """Publishes what comes once in ten seconds."""

    since_ns = 0
    waiting: tuple = ()

    def _live(self, event, now_ns):
        self.waiting = (*self.waiting, *event.samples)
        if now_ns - self.since_ns < 10_000_000_000:
            return
        samples, self.waiting, self.since_ns = self.waiting, (), now_ns
        super()._live(ev.Live(samples), now_ns)


class NamesAnotherUnit(Session):
    """Calls pascal bar in the birth of one metric."""

    def __init__(self, model, config):
        wrong = (_in_bar(metric) if metric.name == "bowl_pressure" else metric for metric in model.metrics)
        super().__init__(replace(model, metrics=tuple(wrong)), config)


def _in_bar(metric):
    return replace(metric, properties=metric.properties | {"engUnit": "BAR"})


class ShowsAllAlarmsAsLow(Session):
    """Shows each alarm with the lowest priority."""

    def __init__(self, model, config):
        low = (_with_low_priority(metric) for metric in model.metrics)
        super().__init__(replace(model, metrics=tuple(low)), config)


def _with_low_priority(metric):
    shown = metric.properties
    return replace(metric, properties=shown | {"priority": "low"}) if "priority" in shown else metric


class StampsAnHourEarly(Session):
    """Gives each payload of data a timestamp of an hour before."""

    def _data(self, entries, now_ns):
        super()._data(entries, now_ns - 3600 * 10**9)


class RebirthsUnasked(Session):
    """Sends all its births once in a quarter of a minute."""

    since_ns = 0

    def _live(self, event, now_ns):
        super()._live(event, now_ns)
        self.since_ns = self.since_ns or now_ns
        if now_ns - self.since_ns > 15 * 10**9:
            self.since_ns = now_ns
            self._births(now_ns)


class NeverReportsADeviceDead(Session):
    """Says nothing when a server below is lost."""

    def _settle(self, now_ns):
        return None


class ReportsDevicesDead(Session):
    """Says at each rebirth command that its devices are dead."""

    def _command(self, data, now_ns):
        alive, self.image.is_alive = self.image.is_alive, lambda device: False
        self._settle(now_ns)
        self.image.is_alive = alive
        return super()._command(data, now_ns)


class HasAWillThatMayBeLost(Session):
    """Has a Will of QoS 0."""

    def _send_connect(self, event, now_ns):
        super()._send_connect(event, now_ns)
        self._effects[-1] = ev.Connect(replace(self._effects[-1].will, qos=0))


class ReplaysBackwards(Session):
    """Sends each piece of its history from its end to its beginning."""

    def _history(self, event, now_ns):
        super()._history(ev.History(event.samples[::-1]), now_ns)


class SwapsPiecesOfItsHistory(Session):
    """Sends the second piece of its history before the first, the fourth before the third, and so on."""

    held = None

    def _history(self, event, now_ns):
        if self.held is None:
            self.held = event
            return
        super()._history(event, now_ns)
        self._let_go(now_ns)

    def _live(self, event, now_ns):
        self._let_go(now_ns)
        super()._live(event, now_ns)

    def _history_done(self, event, now_ns):
        self._let_go(now_ns)
        super()._history_done(event, now_ns)

    def _let_go(self, now_ns):
        if self.held is not None:
            held, self.held = self.held, None
            super()._history(held, now_ns)


class WaitsForNobody(Session):
    """Is born as soon as it is connected, whether the primary host is there or not."""

    def _subscribed(self, event, now_ns):
        self._host_online = True
        return super()._subscribed(event, now_ns)


class ObeysAnyHost(Session):
    """Leaves, and is born again, at the word of whatever host."""

    def _subscribe(self, event, now_ns):
        self._state_topic = "spBv1.0/STATE/+"
        super()._subscribe(event, now_ns)

    def _message(self, event, now_ns):
        if event.topic.startswith("spBv1.0/STATE/"):
            return self._host_state(event, now_ns)
        return super()._message(event, now_ns)


class ReusesBdSeq(Journal):
    """Begins each session with bdSeq 0."""

    async def next_bd_seq(self, target):
        await super().next_bd_seq(target)
        return 0


SOURCE_AWAY = "source_away.yaml"

SESSION = (
    Mutant("repeats_with_new_timestamps", ("integrity",), Parts(session=RepeatsWithNewTimestamps)),
    Mutant("forgets_is_historical", ("session",), Parts(session=ForgetsIsHistorical)),
    Mutant("invents_bad_values", ("integrity",), Parts(session=InventsBadValues)),
    Mutant("reorders", ("session",), Parts(session=Reorders)),
    Mutant("never_rebirths", ("session",), Parts(session=NeverRebirths)),
    Mutant("data_before_births", ("session",), Parts(session=SendsDataBeforeItsBirths)),
    Mutant("repeats_a_sequence_number", ("session",), Parts(session=RepeatsASequenceNumber)),
    Mutant("reuses_bd_seq", ("session",), Parts(journal=ReusesBdSeq)),
    Mutant("loses_at_the_wrap", ("loss",), Parts(session=LosesAtTheWrap), drill="calm.yaml"),
    Mutant("loses_while_it_replays", ("loss",), Parts(session=LosesWhileItReplays)),
    Mutant("bears_one_metric_less", ("session",), Parts(session=BearsOneMetricLess)),
    Mutant("bears_what_was_first", ("session",), Parts(session=BearsWhatWasFirst)),
    Mutant("uses_stale_aliases", ("integrity",), Parts(session=UsesStaleAliases)),
    Mutant("leaves_without_a_death", ("session",), Parts(session=LeavesWithoutADeath)),
    Mutant("renews_its_will_too_late", ("session",), Parts(session=RenewsItsWillTooLate)),
    Mutant("retains_its_data", ("session",), Parts(session=RetainsItsData)),
    Mutant(
        "ignores_that_the_host_is_offline",
        ("loss",),
        Parts(session=IgnoresThatTheHostIsOffline),
        drill="host_away.yaml",
    ),
    Mutant("names_another_unit", ("session",), Parts(session=NamesAnotherUnit), drill=SOURCE_AWAY),
    Mutant(
        "shows_all_alarms_as_low", ("session",), Parts(session=ShowsAllAlarmsAsLow), drill="shift_orders.yaml"
    ),
    Mutant("stamps_an_hour_early", ("session",), Parts(session=StampsAnHourEarly), drill=SOURCE_AWAY),
    Mutant("rebirths_unasked", ("session",), Parts(session=RebirthsUnasked), drill=SOURCE_AWAY),
    Mutant(
        "never_reports_a_device_dead", ("session",), Parts(session=NeverReportsADeviceDead), drill=SOURCE_AWAY
    ),
    Mutant("reports_devices_dead", ("session",), Parts(session=ReportsDevicesDead), drill=SOURCE_AWAY),
    Mutant(
        "has_a_will_that_may_be_lost", ("session",), Parts(session=HasAWillThatMayBeLost), drill=SOURCE_AWAY
    ),
    Mutant("replays_backwards", ("session",), Parts(session=ReplaysBackwards), drill=SOURCE_AWAY),
    Mutant(
        "swaps_pieces_of_its_history",
        ("session",),
        Parts(session=SwapsPiecesOfItsHistory),
        drill="host_away.yaml",
    ),
    Mutant("obeys_any_host", ("session",), Parts(session=ObeysAnyHost), drill=SOURCE_AWAY),
    Mutant("waits_for_nobody", ("session",), Parts(session=WaitsForNobody), drill="host_away.yaml"),
    Mutant("lags", ("freshness",), Parts(session=Lags), drill="calm.yaml"),
)
