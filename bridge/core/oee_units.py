"""One work unit (a machine): what it did when and what it made, in whatever order samples come (docs/oee.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from shakedown.bridge.core.model import GOOD, Sample, Value
from shakedown.bridge.core.oee_series import NS, PartCounter, Series, Step

COUNTS = ("produced", "good", "reject", "rework")
TEXTS = ("state", "reason", "product", "order")
SETUP_STRIDE_NS, SUM_STRIDE_NS = 10 * NS, 60 * NS
"""How finely the counts of the unit that counts for the line, and of the others, are known when hours have passed."""

STOPS = ("failure", "minor_stop")
DOWN = (*STOPS, "changeover")
WAITS = ("starved", "blocked")

Stretch = tuple[int, int]


class Episode(NamedTuple):
    """One longest stretch in which a work unit did one kind of thing."""

    begin: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class UnitConfig:
    """The metrics of a work unit, by what they say: `state`, `produced`, ... ; and by their names, for its history."""

    name: str
    ids: Mapping[str, int]
    metrics: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the values of all work units of a line mean: reasons by value, and how fast counters turn and may rise."""

    reasons: Mapping[str, str] = field(default_factory=dict)  # value: starved, blocked or minor_stop
    modulus: int = 1 << 32
    pace_ns: int = 0


class WorkUnit:
    """The history of a work unit, as long as a shift may still be restated."""

    def __init__(self, config: UnitConfig, meaning: Meaning, *, counts_for_line: bool) -> None:
        self.config = config
        self._reasons = meaning.reasons
        self.texts: dict[str, Series[str]] = {what: Series() for what in TEXTS}
        self.quantities: Series[int] = Series()
        self.counters = {
            what: PartCounter(
                meaning.modulus,
                meaning.pace_ns,
                doubts_rises=counts_for_line,
                stride_ns=SETUP_STRIDE_NS if counts_for_line else SUM_STRIDE_NS,
            )
            for what in COUNTS
        }
        self.edge_ns = 0  # newest moment that counts are divided at
        self._divides_at = ("product", "order") if counts_for_line else ("product",)
        self._whats = {i: [w for w, other in config.ids.items() if other == i] for i in config.ids.values()}

    def take(self, sample: Sample) -> bool:
        """Take a sample, late or not; returns whether it changes anything. What is not good changes nothing."""
        metric_id, ts_ms, value, quality, _ = sample
        if quality != GOOD or value is None:
            return False
        found = [self._take(what, ts_ms * 1_000_000, value) for what in self._whats[metric_id]]
        return any(found)

    def _take(self, what: str, ts_ns: int, value: Value) -> bool:
        if counter := self.counters.get(what):
            return counter.count(ts_ns, _whole(value), self.edge_ns)
        if what == "order_quantity":
            return self.quantities.put(ts_ns, _whole(value))
        if what in self._divides_at:  # a sample of the same scan counts what was made before
            self.edge_ns = max(self.edge_ns, ts_ns + 1)
        is_none = value == 0 and what != "reason"
        return self.texts[what].put(ts_ns, "" if is_none else str(value))

    # ---- what it did

    def kind(self, ts_ns: int) -> str:
        """What it does at a time."""
        return self._kind(self.texts["state"].at(ts_ns), self.texts["reason"].at(ts_ns))

    def _kind(self, state: str | None, reason: str | None) -> str:
        if state is None:
            return "unknown"
        if state in ("run", "changeover"):
            return state
        means = self._reasons.get(reason) if reason is not None else None
        if means in WAITS:
            return means
        if state == "fault":
            return "minor_stop" if means == "minor_stop" else "failure"
        return "idle"

    def since(self, ts_ns: int) -> int:
        """When what it does at a time began."""
        kind, begin = self.kind(ts_ns), ts_ns
        while True:
            changes = (self.texts["state"].changed(begin), self.texts["reason"].changed(begin))
            found = [moment for moment in changes if moment is not None]
            if not found or kind == "unknown":
                return begin
            begin = max(found)
            if self.kind(begin - 1) != kind:
                return begin
            begin -= 1

    def episodes(self, from_ns: int, to_ns: int) -> list[Episode]:
        """What it did in a stretch; the first is whole, the last goes as far as the stretch."""
        if from_ns >= to_ns:
            return []
        found: list[Episode] = []
        begin, kind = self.since(from_ns), self.kind(from_ns)
        for state_from, state_to, state in self.texts["state"].pieces(from_ns, to_ns):
            for at_ns, _, reason in self.texts["reason"].pieces(state_from, state_to):
                now = self._kind(state, reason)
                if now != kind:
                    found.append(Episode(begin, at_ns, kind))
                    begin, kind = at_ns, now
        return [*found, Episode(begin, to_ns, kind)]

    def could_run_ns(self, from_ns: int, to_ns: int) -> int:
        """How long it may have produced in a stretch."""
        pieces = self.texts["state"].pieces(from_ns, to_ns)
        return sum(end - begin for begin, end, state in pieces if state in (None, "run"))

    # ---- what it made

    def steps(self, what: str, from_ns: int, to_ns: int) -> Iterator[Step]:
        """What one of its counters counted in a stretch."""
        return self.counters[what].steps(from_ns, to_ns, self.could_run_ns)

    def product(self, step: Step) -> str:
        """Of what the parts of a step were: what was made before the sample that counts them."""
        return self.texts["product"].at(step.ts_ns - 1) or ""

    def orders(self) -> Series[str]:
        """The orders in force: one ends by its signal, or with the good part that makes up its quantity."""
        told = self.texts["order"]
        if not self.quantities.times:
            return told
        found: Series[str] = Series()
        ends = [*told.times[1:], 1 << 62]
        for begin, end, order in zip(told.times, ends, told.values, strict=True):
            found.put(begin, order)
            quantity, good = self.quantities.at(end - 1) or 0, 0
            if order == "" or quantity <= 0:
                continue
            for step in self.steps("good", begin + 1, end + 1):
                good += step.parts
                if good >= quantity:
                    found.put(step.ts_ns, "")
                    break
        return found

    def divide(self) -> None:
        """Divide the counts where product or order changed: on the way these may have been later than the counts."""
        edges = {moment + 1 for what in self._divides_at for moment in self.texts[what].times}
        for counter in self.counters.values():
            for edge_ns in edges:
                counter.divide(edge_ns)

    def gaps(self, from_ns: int, to_ns: int) -> list[Stretch]:
        """From the last good part of one product to the first good one of another, where that was in the stretch."""
        found = []
        products = self.texts["product"]
        last: tuple[int, str] | None = None
        for step in self.steps("good", 0, to_ns):
            if step.parts <= 0:
                continue
            product = products.at(step.ts_ns - 1) or ""
            if last is not None and last[1] != product and last[1] and step.ts_ns >= from_ns:
                found.append((last[0], step.ts_ns))
            last = (step.ts_ns, product)
        return found

    # ---- figures

    def figures(
        self, from_ns: int, to_ns: int, planned: Sequence[Stretch], counted: Mapping[str, Sequence[Step]]
    ) -> dict[str, Any]:
        """Its own times, counts and episodes; the times make up the planned time."""
        episodes = self.episodes(from_ns, to_ns)
        spent = spent_ns(episodes, planned)
        counts = {what: parts_of(counted[what]) for what in COUNTS[:3]}
        return {
            "work_unit": self.config.name,
            "apt_s": spent["run"] / NS,
            "aust_s": spent["changeover"] / NS,
            **{f"{kind}_s": spent[kind] / NS for kind in (*STOPS, *WAITS, "idle", "unknown")},
            **counts,
            "quality": ratio(counts["good"], counts["produced"]),
            "failures": began(episodes, "failure", from_ns),
            **mean_times(episodes, from_ns, to_ns, spent["run"]),
        }

    # ---- memory

    def series(self) -> Iterator[Series[Any]]:
        """Everything that is remembered, in a fixed order."""
        yield from self.texts.values()
        yield self.quantities
        yield from self.counters.values()


def spent_ns(episodes: Sequence[Episode], planned: Sequence[Stretch]) -> Counter[str]:
    """The planned time by what was done in it."""
    found: Counter[str] = Counter()
    at = 0
    for begin, end in planned:
        while at < len(episodes) and episodes[at].end <= begin:
            at += 1
        for episode in episodes[at:]:
            if episode.begin >= end:
                break
            found[episode.kind] += min(end, episode.end) - max(begin, episode.begin)
    return found


def began(episodes: Sequence[Episode], kind: str, from_ns: int) -> int:
    """How many episodes of a kind began in a stretch."""
    return sum(episode.kind == kind and episode.begin >= from_ns for episode in episodes)


def mean_times(episodes: Sequence[Episode], from_ns: int, to_ns: int, apt_ns: int) -> dict[str, Any]:
    """MTTR of the failures that ended in a stretch, MTBF by those that began in it."""
    own = [episode for episode in episodes if episode.kind == "failure"]
    repaired = [episode.end - episode.begin for episode in own if from_ns < episode.end < to_ns]
    return {
        "mttr_s": ratio(sum(repaired), len(repaired) * NS),
        "mtbf_s": ratio(apt_ns, began(own, "failure", from_ns) * NS),
    }


def parts_of(steps: Sequence[Step]) -> int:
    """How many parts some steps of a counter are."""
    return sum(step.parts for step in steps)


def _whole(value: Value) -> int:
    return int(value) if isinstance(value, int | float) else 0


def ratio(part: float | None, whole: float) -> float | None:
    """A quotient, None where there is no denominator."""
    return None if part is None or whole <= 0 else part / whole
