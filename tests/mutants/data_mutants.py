"""Broken bridges of the data half: what they take from the south, what they keep, what they make of it."""

from __future__ import annotations

import asyncio
import struct
import time

from shakedown.bridge.app import Bridge, Parts
from shakedown.bridge.core.forwarding import Forwarding
from shakedown.bridge.core.model import GOOD
from shakedown.bridge.core.normalise import normalise
from shakedown.twin.clock import START
from tests.mutants.mutant import Mutant

SILENT_AFTER_S, HELD_S = 120.0, 15.0

# ---- what the south hands over is changed on its way to the journal


class EndsAfterAMinute(Bridge):
    """Ends by itself a minute after each start."""

    async def run(self):
        async with asyncio.timeout(60):
            await super().run()


class DropsOneIn5000(Bridge):
    """Drops one sample in five thousand."""

    taken = 0

    async def _on_readings(self, readings, entries):
        first = self.taken
        self.taken += len(readings)
        kept = [reading for number, reading in enumerate(readings, first) if number % 5000 != 4999]
        await super()._on_readings(kept, entries)


class DropsABurst(Bridge):
    """Loses the second notification after each reconnect of the north."""

    births = 0
    since = 0

    async def _on_readings(self, readings, entries):
        births = sum(target.session.counters["births"] for target in self._targets)
        self.since = 0 if births != self.births else self.since + 1
        self.births = births
        await super()._on_readings([] if self.since == 2 and births > 1 else readings, entries)


class LosesOneAtEachReconnect(Bridge):
    """Loses a single sample whenever it has been born again."""

    births = 0

    async def _on_readings(self, readings, entries):
        births = sum(target.session.counters["births"] for target in self._targets)
        first = 1 if births > self.births > 0 else 0
        self.births = births
        await super()._on_readings(readings[first:], entries)


class FallsSilent(Bridge):
    """Takes nothing more after two minutes of the run, and neither ends nor says a word."""

    async def _on_readings(self, readings, entries):
        if time.time() > START.timestamp() + SILENT_AFTER_S:
            await asyncio.Event().wait()
        await super()._on_readings(readings, entries)


class HoldsOneTopicBack(Bridge):
    """Publishes the temperature of the bowl, one topic of many, all at once every fifteen seconds."""

    held = ()
    due_s = 0.0

    async def _on_readings(self, readings, entries):
        slow = {metric.metric_id for metric in self.model.metrics if metric.name == "bowl_temperature"}
        self.held = (*self.held, *(r for r in readings if r.metric_id in slow))
        now = [r for r in readings if r.metric_id not in slow]
        if time.time() >= self.due_s:
            now, self.held, self.due_s = [*now, *self.held], (), time.time() + HELD_S
        await super()._on_readings(now, entries)


class DropsWhatIsBad(Bridge):
    """Drops every value that is not Good."""

    async def _on_readings(self, readings, entries):
        await super()._on_readings([r for r in readings if r.status == 0], entries)


class HasTwoSubscriptions(Bridge):
    """Takes every value twice."""

    async def _on_readings(self, readings, entries):
        await super()._on_readings([r for r in readings for _ in range(2)], entries)


class AcknowledgesBeforeItsJournal(Bridge):
    """Stores how far it has come before it stores what it has got: what is in between goes with a kill."""

    waiting = ()

    async def _on_readings(self, readings, entries):
        waiting, self.waiting = self.waiting, readings
        await super()._on_readings(waiting, entries)


# ---- values, names, units, qualities, timestamps


def late_by_a_millisecond(metric, reading):
    """Stamps every value one millisecond late."""
    sample = normalise(metric, reading)
    return sample._replace(ts_ms=sample.ts_ms + 1)


def cuts_to_32_bits(metric, reading):
    """Cuts each Double to the precision of a Float."""
    sample = normalise(metric, reading)
    if isinstance(sample.value, float):
        return sample._replace(value=struct.unpack("f", struct.pack("f", sample.value))[0])
    return sample


def stamps_arrival(metric, reading):
    """Stamps the time of arrival instead of the source's."""
    return normalise(metric, reading)._replace(ts_ms=time.time_ns() // 1_000_000)


def wrong_factor(metric, reading):
    """Converts one unit with a factor that is 0.1 % too high."""
    if metric.name != "bowl_pressure" or not isinstance(reading.value, float):
        return normalise(metric, reading)
    return normalise(metric, reading._replace(value=reading.value * 1.001))


def forgets_the_offset(metric, reading):
    """Converts degrees by their factor alone, without the offset."""
    sample = normalise(metric, reading)
    if metric.offset and isinstance(sample.value, float):
        return sample._replace(value=sample.value - metric.offset)
    return sample


def rounds_to_integers(metric, reading):
    """Rounds each value to an integer."""
    sample = normalise(metric, reading)
    return sample._replace(value=float(round(sample.value))) if isinstance(sample.value, float) else sample


def always_good(metric, reading, last={}):  # noqa: B006 (the memory of the mutant)
    """Holds the last good value, and calls it Good, while its source is Bad."""
    sample = normalise(metric, reading)
    if sample.quality == GOOD:
        last[metric.metric_id] = sample.value
        return sample
    return sample._replace(value=last.get(metric.metric_id, 0.0), quality=GOOD, status=0)


class SwapsTwoTags(Bridge):
    """Publishes motor current of the filler as that of the labeller and the other way round."""

    async def _on_readings(self, readings, entries):
        a, b = (m.metric_id for m in self.model.metrics if m.name == "motor_current" and m.device[0] in "fl")
        other = {a: b, b: a}
        swapped = [r._replace(metric_id=other.get(r.metric_id, r.metric_id)) for r in readings]
        await super()._on_readings(swapped, entries)


# ---- store and forward


class ReplaysWhatWasNotSent(Forwarding):
    """Takes what it has sent for arrived: loses what was in flight before the outage was noticed."""

    def closed(self):
        self._sent.clear()
        self._barriers.clear()
        super().closed()


class AcknowledgesBeforeTheBarrier(Forwarding):
    """Frees rows as soon as they were written to the socket."""

    def closed(self):
        self._barriers.clear()
        super().closed()

    def barrier(self, now_ns):
        self._sent.clear()
        return super().barrier(now_ns)


class FreesHistoryAsItIsWritten(Forwarding):
    """Frees history as soon as it was written to the socket, and the rest when it should."""

    def replayed(self, piece, upto, count):
        super().replayed(piece, upto, count)
        self._sent.remove(piece.after + 1, upto)


class ForgetsTheRetention(Forwarding):
    """Frees rows at the PUBACK, although the host behind the broker may be dead."""

    def barrier_acked(self, token, now_ns):
        super().barrier_acked(token, now_ns)
        self._acked.clear()


class NeverReplays(Forwarding):
    """Sends live data only."""

    def history(self, now_ns):
        self._unsent.clear()
        self._doubtful.clear()
        return super().history(now_ns)


class SkipsTheEndOfHistory(Forwarding):
    """Ends its history 200 rows too early after each reconnect."""

    def opened(self, now_ns, *, can_tell):
        super().opened(now_ns, can_tell=can_tell)
        self._unsent.remove(self.last_row - 199, self.last_row)


class RepeatsItsHistory(Forwarding):
    """Begins its history again, five times, when it has come to its end."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._repeats = 5

    def replayed(self, piece, upto, count):
        super().replayed(piece, upto, count)
        if not self.is_replaying and self.watermark < upto and self._repeats:
            self._repeats -= 1
            self._unsent.add(self.watermark + 1, upto)


DATA = (
    Mutant("ends_after_a_minute", ("bridge_ran",), bridge=EndsAfterAMinute),
    Mutant(
        "drops_one_sample_in_5000",
        ("loss",),
        bridge=DropsOneIn5000,
        quick=True,
    ),
    Mutant("drops_a_burst_at_reconnect", ("loss",), bridge=DropsABurst),
    Mutant("loses_one_at_each_reconnect", ("loss",), bridge=LosesOneAtEachReconnect),
    Mutant("falls_silent", ("freshness",), bridge=FallsSilent),
    Mutant("holds_one_topic_back", ("freshness",), bridge=HoldsOneTopicBack, drill="calm.yaml"),
    Mutant("loses_what_was_in_flight", ("loss",), Parts(forwarding=ReplaysWhatWasNotSent)),
    Mutant(
        "frees_history_as_it_is_written",
        ("loss",),
        Parts(forwarding=FreesHistoryAsItIsWritten),
        drill="replay.yaml",
    ),
    Mutant(
        "acknowledges_before_the_barrier",
        ("loss",),
        Parts(forwarding=AcknowledgesBeforeTheBarrier),
    ),
    Mutant(
        "forgets_the_retention_after_the_barrier",
        ("loss",),
        Parts(forwarding=ForgetsTheRetention),
    ),
    Mutant("never_replays", ("loss",), Parts(forwarding=NeverReplays)),
    Mutant("skips_the_end_of_its_history", ("loss",), Parts(forwarding=SkipsTheEndOfHistory)),
    Mutant("stamps_arrival_time", ("integrity",), Parts(normalise=stamps_arrival)),
    Mutant("wrong_unit_factor", ("integrity",), Parts(normalise=wrong_factor)),
    Mutant("forgets_the_offset_of_a_unit", ("integrity",), Parts(normalise=forgets_the_offset)),
    Mutant("rounds_to_integers", ("integrity",), Parts(normalise=rounds_to_integers)),
    Mutant("swaps_two_tags", ("integrity",), bridge=SwapsTwoTags),
    Mutant("stale_values_with_good_quality", ("integrity",), Parts(normalise=always_good)),
    Mutant("drops_what_is_bad", ("loss",), bridge=DropsWhatIsBad, drill="dropouts.yaml"),
    Mutant("has_two_subscriptions", ("integrity",), bridge=HasTwoSubscriptions),
    Mutant("acknowledges_before_its_journal", ("loss",), bridge=AcknowledgesBeforeItsJournal),
    Mutant("late_by_a_millisecond", ("integrity",), Parts(normalise=late_by_a_millisecond)),
    Mutant("cuts_to_32_bits", ("integrity",), Parts(normalise=cuts_to_32_bits)),
    Mutant("repeats_its_history", ("integrity",), Parts(forwarding=RepeatsItsHistory)),
)
