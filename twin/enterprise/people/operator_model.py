"""How a person at the alarm list answers: one pair of hands, a queue by priority, and trust that false alarms use up.

Pure: no clock, no I/O; time is handed in as integer nanoseconds. The figures are those of the response-time literature
(ISA-18.2; about 4 s to read an alarm; lognormal service; response rates that match an alarm's reliability):

- one server, non-preemptive priority, first come first served within a priority;
- service lognormal(median `median_s`, `sigma`), stretched by 1 / (1 - `background`): the share of the day that the
  person has other work to do;
- the person turns to an alarm at once with the probability max(`trust_min`, PPV), PPV being the share of true ones
  among the tag's last `memory`; else it is put off by lognormal(median `put_off_median_s`, `sigma`). A tag never met
  is trusted.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from shakedown.twin.line.randomness import stream

S = 1_000_000_000
PRIORITIES = ("critical", "high", "medium", "low")
WAITING_MAX = 10_000
"""Alarms that wait at a time; a list longer than this shows no more, and what comes then is not seen (`unseen`)."""


@dataclass(frozen=True)
class OperatorParameters:
    """One kind of person in one kind of control room; `base_per_10_min` is what the rest of the plant annunciates."""

    median_s: float = 15.0
    base_per_10_min: float = 0.0
    uses_ppv: bool = True
    sigma: float = 0.6
    background: float = 0.3
    trust_min: float = 0.1
    memory: int = 20
    put_off_median_s: float = 60.0

    def __post_init__(self) -> None:
        if not (self.median_s > 0 and self.put_off_median_s > 0 and 0 <= self.background < 1):
            raise ValueError(f"{self}: medians must be above 0 s, background from 0 to below 1")
        if not (
            self.base_per_10_min >= 0 and self.sigma >= 0 and 0 < self.trust_min <= 1 and self.memory >= 1
        ):
            raise ValueError(
                f"{self}: rates and sigma must not be negative, trust_min above 0 to 1, memory 1 or more"
            )


class Handled(NamedTuple):
    """One alarm, from its annunciation to the press of the button."""

    key: Hashable
    tag: str
    annunciated_ns: int
    turned_to_ns: int  # taken seriously; the same as annunciated unless it was put off
    begun_ns: int
    done_ns: int


class _Alarm(NamedTuple):
    """An alarm that waits; `key` is None for one of the rest of the plant."""

    key: Hashable
    tag: str
    rank: int
    annunciated_ns: int
    turned_to_ns: int
    service_ns: int


class Operator:
    """One operator; hand in what is annunciated, and ask `advance` for what was handled meanwhile.

    Every tag draws from a stream of its own, so that another tag's alarms change nothing of this one's. Time never
    goes back from call to call.
    """

    def __init__(self, parameters: OperatorParameters, seed: int, name: str = "operator") -> None:
        self._parameters = parameters
        self._seed, self._name = seed, name
        self._streams: dict[str, np.random.Generator] = {}
        self._known: dict[str, deque[bool]] = {}
        self._put_off: list[tuple[int, int, _Alarm]] = []  # by the moment in which they are turned to
        self._queue: list[tuple[int, int, int, _Alarm]] = []  # by rank, then by that moment
        self._in_hand: tuple[int, int, _Alarm] | None = None  # begun, done
        self._withdrawn: set[Hashable] = set()
        self._waiting: set[Hashable] = set()
        self._count = 0
        self._next_base_ns: int | None = None
        self._base = stream(seed, f"{name}/rest of the plant")
        self.unseen = 0

    def annunciate(self, ns: int, key: Hashable, tag: str, priority: str = "medium") -> None:
        """An alarm appears at `ns`; `key` names this occurrence, `tag` its kind. ValueError for an unknown priority."""
        if priority not in PRIORITIES:
            raise ValueError(f"priority {priority!r} of {tag}: use one of {', '.join(PRIORITIES)}")
        if key in self._waiting:
            return
        if len(self._waiting) >= WAITING_MAX:
            self.unseen += 1
            return
        self._waiting.add(key)
        self._take(ns, key, tag, PRIORITIES.index(priority), self._stream(tag))

    def withdraw(self, key: Hashable) -> None:
        """It no longer asks for anything: whoever has not turned to it yet never does."""
        if key in self._waiting:
            self._withdrawn.add(key)

    def learn(self, tag: str, is_true: bool) -> None:
        """Whether an alarm of this tag had told of something real."""
        self._known.setdefault(tag, deque(maxlen=self._parameters.memory)).append(is_true)

    def trust(self, tag: str) -> float:
        """Probability of being turned to at once."""
        known = self._known.get(tag)
        if not known or not self._parameters.uses_ppv:
            return 1.0
        return max(self._parameters.trust_min, sum(known) / len(known))

    def next_ns(self) -> int | None:
        """When something happens next if nothing more is annunciated; None for never."""
        first = self._next_base_ns
        if self._put_off and (first is None or self._put_off[0][0] < first):
            first = self._put_off[0][0]
        if self._in_hand and (first is None or self._in_hand[1] < first):
            first = self._in_hand[1]
        return first

    def advance(self, ns: int) -> list[Handled]:
        """Everything handled up to and including `ns`, in order."""
        if self._next_base_ns is None and self._parameters.base_per_10_min:
            self._next_base_ns = ns + self._base_gap_ns()
        handled = []
        while (moment := self.next_ns()) is not None and moment <= ns:
            if self._in_hand and self._in_hand[1] == moment:
                begun_ns, done_ns, alarm = self._in_hand
                self._in_hand = None
                self._forget(alarm.key)
                if alarm.key is not None:
                    turned_to_ns = alarm.turned_to_ns
                    handled.append(
                        Handled(alarm.key, alarm.tag, alarm.annunciated_ns, turned_to_ns, begun_ns, done_ns)
                    )
            elif self._put_off and self._put_off[0][0] == moment:
                _, order, alarm = heapq.heappop(self._put_off)
                heapq.heappush(self._queue, (alarm.rank, moment, order, alarm))
            else:
                self._next_base_ns = moment + self._base_gap_ns()
                if len(self._queue) < WAITING_MAX:
                    self._take(moment, None, "", PRIORITIES.index("medium"), self._base)
                continue  # it is in the queue only now
            self._begin(moment)
        return handled

    # -- inside --------------------------------------------------------------------------------------------------------

    def _begin(self, ns: int) -> None:
        if self._in_hand or (self._put_off and self._put_off[0][0] == ns):
            return  # all that come at this moment are looked at before one is chosen
        while self._queue:
            alarm = heapq.heappop(self._queue)[3]
            if alarm.key is None or alarm.key not in self._withdrawn:
                self._in_hand = ns, ns + alarm.service_ns, alarm
                return
            self._forget(alarm.key)

    def _forget(self, key: Hashable) -> None:
        self._waiting.discard(key)
        self._withdrawn.discard(key)

    def _take(self, ns: int, key: Hashable, tag: str, rank: int, draws: np.random.Generator) -> None:
        given = self._parameters
        # always three draws, so that trust changes what is done with them and nothing after
        service, doubt, delay = draws.standard_normal(), draws.random(), draws.standard_normal()
        service_s = given.median_s * math.exp(given.sigma * service) / (1 - given.background)
        put_off_s = 0.0
        if key is not None and doubt >= self.trust(tag):
            put_off_s = given.put_off_median_s * math.exp(given.sigma * delay)
        turned_to_ns = ns + round(put_off_s * S)
        self._count += 1
        alarm = _Alarm(key, tag, rank, ns, turned_to_ns, round(service_s * S))
        heapq.heappush(self._put_off, (turned_to_ns, self._count, alarm))

    def _stream(self, tag: str) -> np.random.Generator:
        if tag not in self._streams:
            self._streams[tag] = stream(self._seed, f"{self._name}/{tag}")
        return self._streams[tag]

    def _base_gap_ns(self) -> int:
        return max(1, round(self._base.standard_exponential() * 600 * S / self._parameters.base_per_10_min))
