"""Every transition of every alarm, held against what the rules of `site.yaml` make of the samples that arrived.

The judge works out what each alarm must have shown, and when (spans.py, condition.py, life.py; the rules are those of
docs/alarms.md), and compares: state and source time of each transition, who has acknowledged, and what is absent.
Excused, and counted, is what the bridge could not know in time: transitions around a fault south of the bridge or of
the bridge itself, until the samples since then decide; and what the rules leave open: a command within seconds of a
change, a delay missed by less than a sample may be late.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec
import numpy as np

from shakedown.acceptance.alarms.annunciations import HIDDEN, UNACKED, CutTime, Transition
from shakedown.acceptance.alarms.commands import LONGEST_S, Commands, commands
from shakedown.acceptance.alarms.condition import Condition, Signal, condition_of, settled, signal_of
from shakedown.acceptance.alarms.labels import FLOOD_S
from shakedown.acceptance.alarms.life import Facts, Shown, Start, life
from shakedown.acceptance.alarms.obedience import disobedience
from shakedown.acceptance.alarms.rates import untrue_rates
from shakedown.acceptance.join import Joined
from shakedown.acceptance.operations_site import AlarmRule, sensor_alarms
from shakedown.acceptance.run import Run
from shakedown.acceptance.source_faults import AFTER_NS, BEFORE_NS, away_from_source
from shakedown.acceptance.spans import MS, NEVER, S, Span, span_at, union
from shakedown.acceptance.wording import clock

LATE_NS = 2 * S  # ... and at other times so late: sampling, publishing, and a second
IN_FLIGHT_NS = 1 * S  # the bridge waits so long for a sample before it says that a delay is over
CLOSE_NS = LATE_NS - IN_FLIGHT_NS  # so far a delay may be missed and yet said to be over
TOLD_NS = 10 * S  # a transition is at the enterprise so soon, where no fault is near
RACE_NS = LATE_NS + IN_FLIGHT_NS  # a change so long before a command may have become known after it


class Breach(msgspec.Struct, kw_only=True, frozen=True):
    """One thing that an alarm showed, or did not, against its rules; `is_answer`: it is about an acknowledgement."""

    alarm: str
    ns: int
    is_answer: bool
    what: str


ACTIVE = frozenset({"unacked", "acked"})
BY_ACK = frozenset({("unacked", "acked"), ("latched_unacked", "latched_acked")})
"""What nothing but an acknowledgement leads to, however late samples come."""
WHY_HIDDEN = {
    "suppressed": ": no state of its machine suppresses it then",
    "shelved": ": no command on record hides it then",
    "out_of_service": ": no command on record hides it then",
}


@dataclass
class Lives:
    """The transitions of all alarms: how many were as the rules make them, excused by reason, and what was wrong."""

    exact: int = 0
    excused: Counter[str] = field(default_factory=Counter)
    breaches: list[Breach] = field(default_factory=list)

    def of(self, *, is_answer: bool) -> list[Breach]:
        """The breaches that are about acknowledgements, or that are not."""
        return [breach for breach in self.breaches if breach.is_answer is is_answer]


LISTED_MAX = 5
AROUND_FAULTS = "around a fault south of the bridge, or of the bridge itself"
LEFT_OPEN = "where the rules leave a choice"
PENDING = "still on the way when the run ended"


def lives(run: Run, joined: Joined, moves: dict[str, list[Transition]], window: Span) -> Lives:
    """Compare the transitions of every alarm in the judged window."""
    found = Lives()
    rules = [*run.operations.alarms, *sensor_alarms(run.operations.alarms)]
    given = commands(run, rules)
    faults = _Faults(run)
    signals: dict[str, Signal] = {}
    calls: list[tuple[int, str]] = []

    def signal(name: str) -> Signal:
        if name not in signals:
            part = next((part for part in joined.topics if part.topic.name == name), None)
            signals[name] = Signal() if part is None else signal_of(part, run.host)
        return signals[name]

    for rule in rules:
        state = signal(f"{rule.device}/state") if rule.suppress_in else Signal()
        told = _Told(run, faults, rule, moves.get(rule.name, []), given[rule.name])
        told.compare(found, signal(rule.metric), state, window)
        calls += [(entry.ns, f"{rule.device}/{rule.name}") for entry in told.seen if entry.calls]
    # A late call counts out of order
    disturbed = union((start, end + FLOOD_S * S) for start, end in faults.south)
    for metric, ns, what in untrue_rates(run, sorted(calls), window, disturbed):
        found.breaches.append(Breach(alarm=metric, ns=ns, is_answer=False, what=what))
    found.breaches.sort(key=lambda breach: (breach.ns, breach.alarm, breach.what.startswith("shows")))
    return found


def in_words(breaches: list[Breach], start_ns: int) -> list[str]:
    """The first breach and how many there are, in a sentence of each alarm that has any; the first five of them."""
    first: dict[str, Breach] = {}
    for breach in breaches:
        first.setdefault(breach.alarm, breach)
    counts = Counter(breach.alarm for breach in breaches)
    return [
        f"{'metric' if '/' in alarm else 'alarm'} {alarm} {breach.what}, at {clock((breach.ns - start_ns) / S)}"
        + (f" ({counts[alarm]} like that)" if counts[alarm] > 1 else "")
        for alarm, breach in list(first.items())[:LISTED_MAX]
    ]


class _Faults:
    """When something was between a sample and the bridge (`south`), or between a transition and its arrival."""

    def __init__(self, run: Run) -> None:
        faults = (fault for fault in run.timeline if not fault.is_phase and fault.affects)
        around = ((fault.start_ns - BEFORE_NS, fault.end_ns + AFTER_NS) for fault in faults)
        self.cuts = CutTime(run)
        self.south = away_from_source(run)
        self.all = union(around, ((outage.from_ns, outage.deadline_ns) for outage in run.outages))

    def hold_up(self, from_ns: int, to_ns: int) -> bool:
        """Whether a fault, or what it left to be sent, was there at any time from one to the other."""
        return any(start <= to_ns and from_ns <= end for start, end in self.all)


class _Told:
    """One alarm: what it showed, against what it must."""

    def __init__(
        self, run: Run, faults: _Faults, rule: AlarmRule, moves: list[Transition], given: Commands
    ) -> None:
        self.run, self.faults, self.rule, self.given = run, faults, rule, given
        self.seen = _by_moment(moves)
        self._times = [entry.ns for entry in self.seen]
        self._first: dict[tuple[int, str], Transition] = {}  # of the same, the one that came first
        for move in sorted(moves, key=lambda move: move.received_ns):
            self._first.setdefault((move.ns, move.state), move)
        self._is_apart = False  # shown and due differ already, and not in the answer alone

    def compare(self, found: Lives, signal: Signal, state: Signal, window: Span) -> None:
        """Segment by segment between what is excused."""
        condition = condition_of(self.rule, signal, state, self._late(signal))
        hidden = [
            ("out_of_service", self.given.hidden("remove")),
            ("shelved", self.given.hidden("shelve")),
            ("suppressed", condition.suppressed),
        ]
        facts = Facts(
            self.rule, condition.active.spans, hidden, self.given.times("ack"), self.given.times("reset")
        )
        faults = self._around_faults(signal, state)
        excused = union(faults, _left_open(condition, hidden), [(0, window[0]), (window[1], NEVER)])
        must: list[Shown] = []
        judged: list[Span] = []
        for (_, begin), (end, _) in pairwise(excused):
            start_ns = self._known_from(condition, signal, hidden, begin, end)
            if start_ns >= end:
                continue
            segment = start_ns, end
            judged.append(segment)
            must += self._compare(found, facts, segment)
        others = [
            entry
            for entry in self.seen
            if window[0] <= entry.ns < window[1] and not span_at(judged, entry.ns)
        ]
        for entry in others:
            found.excused[AROUND_FAULTS if span_at(faults, entry.ns) else LEFT_OPEN] += 1
            if (before := self._state_at(entry.ns - 1), entry.state) in BY_ACK and not self._was_acked(
                entry.ns
            ):
                what = f"shows {entry.state} after {before}, and nobody had acknowledged it"
                found.breaches.append(Breach(alarm=self.rule.name, ns=entry.ns, is_answer=True, what=what))
        for command, what in disobedience(self.run, self.rule, self.given, must, judged):
            is_answer = command.verb not in LONGEST_S
            found.breaches.append(Breach(alarm=self.rule.name, ns=command.ns, is_answer=is_answer, what=what))

    def _late(self, signal: Signal) -> Callable[[int], int]:
        """By how much the sample of a time may come after what a delay, and a second, made of the time before it."""
        cuts = self.faults.cuts

        def late(ns: int) -> int:
            index = bisect_right(signal.ns, ns) - 1
            if index < 0 or not signal.received_ns[index]:
                return CLOSE_NS
            return max(CLOSE_NS, cuts.without(signal.ns[index], signal.received_ns[index]) - IN_FLIGHT_NS)

        return late

    def _around_faults(self, signal: Signal, state: Signal) -> list[Span]:
        """When samples of this alarm may have come late, or are missing."""
        lost = [(ns - S, ns + S) for ns in (*signal.lost_ns, *state.lost_ns)]
        return union(self.faults.south, lost)

    def _known_from(
        self, condition: Condition, signal: Signal, hidden: list[tuple[str, list[Span]]], begin: int, end: int
    ) -> int:
        """From when on all that decides is known: the samples since `begin` say it, and the alarm is not hidden."""
        ns = settled(condition, signal, begin)
        cover = union(*(spans for _, spans in hidden))
        while ns < end and (span := span_at(cover, ns)) is not None:
            ns = span[1]
        return ns + MS

    def _compare(self, found: Lives, facts: Facts, segment: Span) -> list[Shown]:
        start_ns, end_ns = segment
        before = self._state_at(start_ns)
        start = Start(
            start_ns,
            before in ("normal", "acked", "latched_acked"),
            before in ("latched_unacked", "latched_acked"),
        )
        facts, races = self._raced(facts, start, end_ns)
        must = life(facts, start, end_ns)
        if must[0].state != before:
            self._breach(found, start_ns, must[0].state, before, "still ")
        expected = {entry.ns: entry for entry in must[1:]}
        seen = {entry.ns: entry for entry in self.seen if start_ns < entry.ns < end_ns}
        for ns in sorted(expected.keys() | seen.keys()):
            ours, theirs = expected.get(ns), seen.get(ns)
            if span_at(races, ns):
                found.excused[LEFT_OPEN] += 1
            elif ours is not None and theirs is not None and ours == theirs:
                found.exact += 1
                self._check_way(found, self._first[ns, theirs.state])
                self._is_apart &= theirs.state in HIDDEN  # beneath what hides both, they may still differ
            elif theirs is None and self._is_pending(ns):
                found.excused[PENDING] += 1
            else:
                self._breach_at(found, ns, ours, theirs, must)
        for _, end in races:
            now, shown = _at(must, end), self._state_at(end)
            if now != shown and end < end_ns:
                self._breach(found, end, now, shown, "")
        return must

    def _raced(self, facts: Facts, start: Start, until_ns: int) -> tuple[Facts, list[Span]]:
        """Where a command came within seconds of a change; an acknowledgement is taken before it where that fits."""
        edges = sorted(
            ns
            for spans in (facts.active, *(spans for reason, spans in facts.hidden if reason == "suppressed"))
            for span in spans
            for ns in span
        )
        ends = [end for reason, spans in facts.hidden if reason != "suppressed" for _, end in spans]
        races = []
        for ns in (*(command.ns for command in (*self.given.obeyed, *self.given.sent)), *ends):
            near = edges[bisect_right(edges, ns - RACE_NS) : bisect_right(edges, ns + MS)]
            if near and start.ns < near[0] and ns < until_ns:
                races.append((near[0], ns + 2 * MS))
        races = union(races)
        acks = list(facts.acks)
        for index, ack in enumerate(acks):
            race = span_at(races, ack)
            if race is None or _at(life(facts, start, until_ns), race[1]) == self._state_at(race[1]):
                continue
            acks[index] = race[0] - 1
            other = Facts(facts.rule, facts.active, facts.hidden, sorted(acks), facts.resets)
            if _at(life(other, start, until_ns), race[1]) == self._state_at(race[1]):
                facts = other
            else:
                acks[index] = ack
        return facts, races

    def _was_acked(self, ns: int) -> bool:
        """Whether an acknowledgement is on record in the seconds before, whatever a fault held up."""
        return any(ns - RACE_NS <= ack <= ns + MS for ack in self.given.times("ack"))

    def _check_way(self, found: Lives, move: Transition) -> None:
        """A transition that no fault was near is there within seconds, and live: else nobody is shown it."""
        late_ns = move.received_ns - move.ns
        if (late_ns <= TOLD_NS and move.live) or self.faults.hold_up(move.ns, move.received_ns):
            return
        how = f"{late_ns / S:.0f} s after it" if move.live else "as history"
        what = f"is shown {move.state} only {how}, with no fault near"
        found.breaches.append(Breach(alarm=self.rule.name, ns=move.ns, is_answer=False, what=what))

    def _breach_at(
        self, found: Lives, ns: int, ours: Shown | None, theirs: Shown | None, must: list[Shown]
    ) -> None:
        due = ours.state if ours else _at(must, ns)
        shown = theirs.state if theirs else self._state_at(ns)
        if due != shown:
            self._breach(found, ns, due, shown, "" if theirs else "still ")
            return
        what = f"shows {shown} at a time at which nothing changes"
        if ours is not None and ours.calls:
            what = "calls nobody where it should"
        elif theirs is not None and theirs.calls:
            what = "calls once more than it should"
        self._is_apart = False
        found.breaches.append(Breach(alarm=self.rule.name, ns=ns, is_answer=False, what=what))

    def _breach(self, found: Lives, ns: int, due: str, shown: str, still: str) -> None:
        """Two states that differ; if in the answer alone, it is about that, unless it follows from another breach."""
        what = f"shows {still}{shown} where the rules make it {due}{WHY_HIDDEN.get(shown, '')}"
        self._is_apart |= bool({due, shown} & HIDDEN) or (due in ACTIVE) is not (shown in ACTIVE)
        found.breaches.append(Breach(alarm=self.rule.name, ns=ns, is_answer=not self._is_apart, what=what))

    def _state_at(self, ns: int) -> str:
        index = bisect_right(self._times, ns) - 1
        return self.seen[index].state if index >= 0 else "normal"

    def _is_pending(self, ns: int) -> bool:
        return int(self.run.deadlines_ns(np.array([ns]))[0]) > self.run.end_ns


def _by_moment(moves: list[Transition]) -> list[Shown]:
    """The last state of each moment, and whether it called: its ordinal is a new one."""
    found: list[Shown] = []
    told: set[tuple[int, str]] = set()
    ordinal = None
    for move in moves:
        if (move.ns, move.state) in told:
            continue  # in a birth, or replayed
        told.add((move.ns, move.state))
        calls = move.state == UNACKED and move.occurrence is not None and move.occurrence != ordinal
        ordinal = move.occurrence if calls else ordinal
        if found and found[-1].ns == move.ns:
            found[-1] = Shown(move.ns, move.state, found[-1].calls or calls)
        elif calls or not found or found[-1].state != move.state:
            found.append(Shown(move.ns, move.state, calls))
    return found


def _left_open(condition: Condition, hidden: list[tuple[str, list[Span]]]) -> list[Span]:
    """Delays missed by less than a sample may be late; and conditions that change as hiding does."""
    edges = {ns for span in condition.active.spans for ns in span}
    both = {ns for _, spans in hidden for span in spans for ns in span} & edges
    return union(
        [(end - 1, due + S) for end, due in condition.active.close], [(ns - 1, ns + MS) for ns in both]
    )


def _at(shown: list[Shown], ns: int) -> str:
    index = bisect_right(shown, (ns, "~", True)) - 1
    return shown[max(0, index)].state
