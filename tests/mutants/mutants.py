"""Broken bridges: each is the healthy one with one small change, and names the criterion that must catch it.

A mutant that no criterion catches shows a check that cannot fail.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from shakedown.bridge.app import Bridge, Parts
from shakedown.bridge.core import events as ev
from shakedown.bridge.core.datatypes import DOUBLE
from shakedown.bridge.core.forwarding import Forwarding
from shakedown.bridge.core.model import GOOD
from shakedown.bridge.core.normalise import normalise
from shakedown.bridge.core.session import Session, State
from shakedown.bridge.journal import Journal

# ---- what the south hands over is changed on its way to the journal


def filtering(keep: Callable[[int], bool]) -> type[Bridge]:
    """A bridge that takes only the readings whose running number `keep` accepts."""

    class Filtering(Bridge):
        taken = 0

        async def _on_readings(self, readings, south_position):
            first = self.taken
            self.taken += len(readings)
            kept = [reading for number, reading in enumerate(readings, first) if keep(number)]
            await super()._on_readings(kept, south_position)

    return Filtering


class DropsABurst(Bridge):
    """Loses the second notification after each reconnect of the north."""

    births = 0
    since = 0

    async def _on_readings(self, readings, south_position):
        births = sum(target.session.counters["births"] for target in self._targets)
        self.since = 0 if births != self.births else self.since + 1
        self.births = births
        await super()._on_readings([] if self.since == 2 and births > 1 else readings, south_position)


class DropsWhatIsBad(Bridge):
    async def _on_readings(self, readings, south_position):
        await super()._on_readings([r for r in readings if r.status == 0], south_position)


class HasTwoSubscriptions(Bridge):
    """Takes every value twice."""

    async def _on_readings(self, readings, south_position):
        await super()._on_readings([r for r in readings for _ in range(2)], south_position)


class AcknowledgesBeforeItsJournal(Bridge):
    """Stores how far it has come before it stores what it has got: what is in between goes with a kill."""

    waiting = ()

    async def _on_readings(self, readings, south_position):
        waiting, self.waiting = self.waiting, readings
        await super()._on_readings(waiting, south_position)


# ---- values, names, units, qualities, timestamps


def late_by_a_millisecond(metric, reading):
    sample = normalise(metric, reading)
    return sample._replace(ts_ms=sample.ts_ms + 1)


def cuts_to_32_bits(metric, reading):
    sample = normalise(metric, reading)
    if isinstance(sample.value, float):
        return sample._replace(value=struct.unpack("f", struct.pack("f", sample.value))[0])
    return sample


def stamps_arrival(metric, reading):
    return normalise(metric, reading)._replace(ts_ms=time.time_ns() // 1_000_000)


def wrong_factor(metric, reading):
    if metric.name != "bowl_pressure" or not isinstance(reading.value, float):
        return normalise(metric, reading)
    return normalise(metric, reading._replace(value=reading.value * 1.001))


def forgets_the_offset(metric, reading):
    sample = normalise(metric, reading)
    if metric.offset and isinstance(sample.value, float):
        return sample._replace(value=sample.value - metric.offset)
    return sample


def rounds_to_integers(metric, reading):
    sample = normalise(metric, reading)
    return sample._replace(value=float(round(sample.value))) if isinstance(sample.value, float) else sample


def always_good(metric, reading, last={}):  # noqa: B006 (the memory of the mutant)
    sample = normalise(metric, reading)
    if sample.quality == GOOD:
        last[metric.metric_id] = sample.value
        return sample
    return sample._replace(value=last.get(metric.metric_id, 0.0), quality=GOOD, status=0)


class SwapsTwoTags(Bridge):
    """Publishes motor current of the filler as that of the labeller and the other way round."""

    async def _on_readings(self, readings, south_position):
        a, b = (m.metric_id for m in self.model.metrics if m.name == "motor_current" and m.device[0] in "fl")
        other = {a: b, b: a}
        swapped = [r._replace(metric_id=other.get(r.metric_id, r.metric_id)) for r in readings]
        await super()._on_readings(swapped, south_position)


# ---- store and forward


class ReplaysWhatWasNotSent(Forwarding):
    """Takes what it has sent for arrived: loses what was in flight before the outage was noticed."""

    def births(self, now_ns):
        if self._sent > self.watermark:
            self.watermark = self._sent
        super().births(now_ns)


class AcknowledgesBeforeTheBarrier(Forwarding):
    """Frees rows as soon as they were written to the socket."""

    def confirmable(self, now_ns):
        return self.position if self.position > self.watermark else None


class ForgetsTheRetention(Forwarding):
    """Frees rows at the PUBACK, although the host behind the broker may be dead."""

    def confirmable(self, now_ns):
        row = None
        while self._acked:
            row = self._acked.popleft()[0]
        return row if row is not None and row > self.watermark else None


class NeverReplays(Forwarding):
    """Sends live data only."""

    def births(self, now_ns):
        self.watermark = self.last_row
        super().births(now_ns)


class SkipsTheEndOfHistory(Forwarding):
    """Ends its history 200 rows too early after each reconnect."""

    def births(self, now_ns):
        super().births(now_ns)
        if self._ranges:
            after, upto = self._ranges.pop()
            if after < upto - 200:
                self._ranges.append((after, upto - 200))


class ReplaysForEver(Forwarding):
    """Begins its history again when it has come to its end."""

    def replayed(self, piece, upto, count):
        super().replayed(piece, upto, count)
        if not self._ranges and self.watermark < upto:
            self._ranges.append((self.watermark, upto))


# ---- the Sparkplug session


class LosesAtTheWrap(Session):
    """Sends only the first sample of what carries seq 255."""

    def _publish_group(self, device, group, now_ns):
        if self._seq == 255:
            del group.entries[1:]
        super()._publish_group(device, group, now_ns)


class LosesWhileItReplays(Session):
    def _live(self, event, now_ns):
        if self._replaying:
            event = ev.Live(event.samples[: len(event.samples) // 2])
        return super()._live(event, now_ns)


class BearsOneMetricLess(Session):
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

    def _leave(self, following, now_ns):
        state = super()._leave(following, now_ns)
        self._effects[:] = [e for e in self._effects if not isinstance(e, ev.Publish)]
        return state


class RenewsItsWillTooLate(Session):
    def _send_connect(self, event, now_ns):
        self.bd_seq = (event.bd_seq - 1) % 256
        will = self._death(now_ns)
        self.bd_seq = event.bd_seq
        self._effects.append(ev.Connect(will))
        return State.CONNECTING


class RetainsItsData(Session):
    def _publish(self, message_type, device, data):
        super()._publish(message_type, device, data)
        if message_type == "DDATA":
            self._effects[-1] = replace(self._effects[-1], retain=True)


class IgnoresThatTheHostIsOffline(Session):
    def _host_gone(self, now_ns):
        return self.state


class ForgetsIsHistorical(Session):
    def _history(self, event, now_ns):
        self._data([(sample, False) for sample in event.samples], now_ns)
        return self.state


class NeverRebirths(Session):
    def _command(self, data, now_ns):
        return self.state


class SendsDataBeforeItsBirths(Session):
    """Goes on with data after a rebirth command and sends the births of the devices late."""

    def _births(self, now_ns):
        state = super()._births(now_ns)
        births = [effect for effect in self._effects if isinstance(effect, ev.Publish)]
        others = [effect for effect in self._effects if not isinstance(effect, ev.Publish)]
        self._effects[:] = births[1:] + births[:1] + others
        return state


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
            return self.state
        state = super()._live(event, now_ns)
        self._data([(sample, False) for sample in self.waiting], now_ns)
        self.waiting = ()
        return state


class RepeatsWithNewTimestamps(Session):
    """Sends one batch in fifty a second time, stamped anew."""

    batches = 0

    def _live(self, event, now_ns):
        self.batches += 1
        state = super()._live(event, now_ns)
        if self.batches % 50 == 0:
            again = [sample._replace(ts_ms=sample.ts_ms + 7) for sample in event.samples]
            super()._live(ev.Live(again), now_ns)
        return state


class Lags(Session):
    """Publishes what comes once in ten seconds."""

    since_ns = 0
    waiting: tuple = ()

    def _live(self, event, now_ns):
        self.waiting = (*self.waiting, *event.samples)
        if now_ns - self.since_ns < 10_000_000_000:
            return self.state
        samples, self.waiting, self.since_ns = self.waiting, (), now_ns
        return super()._live(ev.Live(samples), now_ns)


class ReusesBdSeq(Journal):
    async def next_bd_seq(self, target):
        await super().next_bd_seq(target)
        return 0


@dataclass(frozen=True)
class Mutant:
    """A broken bridge and the criteria of which at least one must say FAIL."""

    name: str
    caught_by: tuple[str, ...]
    parts: Parts | None = None
    bridge: type[Bridge] = Bridge
    drill: str = "drill.yaml"


MUTANTS: tuple[Mutant, ...] = (
    Mutant("drops_one_sample_in_5000", ("loss",), bridge=filtering(lambda number: number % 5000 != 4999)),
    Mutant("drops_a_burst_at_reconnect", ("loss",), bridge=DropsABurst),
    Mutant("loses_what_was_in_flight", ("loss",), Parts(forwarding=ReplaysWhatWasNotSent)),
    Mutant("acknowledges_before_the_barrier", ("loss",), Parts(forwarding=AcknowledgesBeforeTheBarrier)),
    Mutant("forgets_the_retention_after_the_barrier", ("loss",), Parts(forwarding=ForgetsTheRetention)),
    Mutant("never_replays", ("loss",), Parts(forwarding=NeverReplays)),
    Mutant("skips_the_end_of_its_history", ("loss",), Parts(forwarding=SkipsTheEndOfHistory)),
    Mutant("stamps_arrival_time", ("integrity",), Parts(normalise=stamps_arrival)),
    Mutant("wrong_unit_factor", ("integrity",), Parts(normalise=wrong_factor)),
    Mutant("forgets_the_offset_of_a_unit", ("integrity",), Parts(normalise=forgets_the_offset)),
    Mutant("rounds_to_integers", ("integrity",), Parts(normalise=rounds_to_integers)),
    Mutant("swaps_two_tags", ("integrity",), bridge=SwapsTwoTags),
    Mutant("stale_values_with_good_quality", ("integrity",), Parts(normalise=always_good)),
    Mutant("repeats_with_new_timestamps", ("integrity",), Parts(session=RepeatsWithNewTimestamps)),
    Mutant("forgets_is_historical", ("session",), Parts(session=ForgetsIsHistorical)),
    Mutant("reorders", ("session",), Parts(session=Reorders)),
    Mutant("never_rebirths", ("session",), Parts(session=NeverRebirths)),
    Mutant("data_before_births", ("session",), Parts(session=SendsDataBeforeItsBirths)),
    Mutant("repeats_a_sequence_number", ("session",), Parts(session=RepeatsASequenceNumber)),
    Mutant("reuses_bd_seq", ("session",), Parts(journal=ReusesBdSeq)),
    Mutant("drops_what_is_bad", ("loss", "integrity"), bridge=DropsWhatIsBad, drill="dropouts.yaml"),
    Mutant("has_two_subscriptions", ("integrity",), bridge=HasTwoSubscriptions),
    Mutant("acknowledges_before_its_journal", ("loss",), bridge=AcknowledgesBeforeItsJournal),
    Mutant("late_by_a_millisecond", ("integrity",), Parts(normalise=late_by_a_millisecond)),
    Mutant("cuts_to_32_bits", ("integrity",), Parts(normalise=cuts_to_32_bits)),
    Mutant("replays_for_ever", ("integrity",), Parts(forwarding=ReplaysForEver)),
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
    Mutant("lags", ("freshness",), Parts(session=Lags), drill="calm.yaml"),
)
