"""What each annunciation was worth, held against the true faults of the ledger; and which faults were told.

| label | an annunciation that |
|---|---|
| TRUE | is the first to tell a fault |
| REDUNDANT | has a fault behind it that was reported already |
| CHATTER | is one of at least three of its tag within 60 s |
| FLEETING | cleared within 10 s, and nobody had acknowledged it |
| STALE | stood for more than 24 hours |
| FALSE | has no fault behind it, and is none of these |
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field

from shakedown.acceptance.alarms.annunciations import Annunciation
from shakedown.acceptance.physical import TrueFault
from shakedown.acceptance.spans import S

CHATTER_COUNT, CHATTER_S = 3, 60
FLEETING_S = 10
STALE_S = 24 * 3600
EPISODE_S = 600
FLOOD_S, FLOOD_BEGINS, FLOOD_ENDS = 600, 10, 5
LABELS = {
    "TRUE": "the first word of a fault",
    "REDUNDANT": "of a fault that was reported already",
    "FALSE": "no fault behind it",
    "CHATTER": "one of three within a minute",
    "FLEETING": "gone within ten seconds, unseen",
    "STALE": "stood for more than a day",
}


@dataclass
class Labelled:
    """The annunciations of one policy with their labels, and of each fault those that have it behind them."""

    entries: list[Annunciation]
    of_fault: dict[str, list[Annunciation]] = field(default_factory=dict)
    nuisances: list[Annunciation] = field(default_factory=list)

    def count(self, label: str) -> int:
        """How many have this label."""
        return sum(entry.label == label for entry in self.entries)

    def within(self, from_ns: int, to_ns: int) -> Labelled:
        """The same, of the annunciations in [from_ns, to_ns) alone."""
        kept = [entry for entry in self.entries if from_ns <= entry.ns < to_ns]
        nuisances = [entry for entry in self.nuisances if from_ns <= entry.ns < to_ns]
        return Labelled(kept, self.of_fault, nuisances)

    @property
    def without_fault(self) -> int:
        """How many have no fault behind them, whatever their pattern: false alarms."""
        return sum(entry.fault is None for entry in self.entries)

    @property
    def episodes(self) -> int:
        """Nuisances in units of tag-episodes: an episode ends ten minutes after its first call, whatever follows."""
        first: dict[str, int] = {}
        count = 0
        for entry in self.nuisances:
            if entry.tag not in first or entry.ns - first[entry.tag] >= EPISODE_S * S:
                first[entry.tag] = entry.ns
                count += 1
        return count


def label(
    entries: list[Annunciation], faults: list[TrueFault], slack_ns: dict[str, int], end_ns: int
) -> Labelled:
    """Label `entries` (in order of time). An alarm may lag `slack_ns` behind the end of a fault: delay and two polls.

    A nuisance is whatever has a label other than TRUE, but for the first word of a tag on a fault that another tag has
    reported already: a consequence, neither news nor nuisance.
    """
    result = Labelled(entries, {fault.id: [] for fault in faults})
    patterns = _patterns(entries, end_ns)
    by_alarm: dict[str, list[TrueFault]] = defaultdict(list)
    for fault in faults:
        for name in fault.alarms:
            by_alarm[name].append(fault)
    told: set[str] = set()
    spoken: set[tuple[str, str]] = set()
    for index, entry in enumerate(entries):
        behind = _behind(entry, by_alarm[entry.tag], slack_ns.get(entry.tag, 0), told)
        if behind is None:
            entry.label = patterns[index] or "FALSE"
            result.nuisances.append(entry)
            continue
        entry.fault = behind.id
        result.of_fault[behind.id].append(entry)
        if behind.id not in told:
            entry.label = "TRUE"
        else:
            entry.label = patterns[index] or "REDUNDANT"
            if entry.label != "REDUNDANT" or (behind.id, entry.tag) in spoken:
                result.nuisances.append(entry)
        told.add(behind.id)
        spoken.add((behind.id, entry.tag))
    return result


def _behind(entry: Annunciation, faults: list[TrueFault], slack_ns: int, told: set[str]) -> TrueFault | None:
    """The fault that an annunciation tells: of those that it may, the latest yet untold, else the latest."""
    found = [fault for fault in faults if fault.onset_ns <= entry.ns <= fault.end_ns + slack_ns]
    fresh = [fault for fault in found if fault.id not in told]
    return max(fresh or found, key=lambda fault: (fault.onset_ns, fault.id), default=None)


def _patterns(entries: list[Annunciation], end_ns: int) -> list[str]:
    """CHATTER, FLEETING, STALE or nothing of each, in that order of precedence."""
    patterns = ["" for _ in entries]
    by_tag: dict[str, list[int]] = defaultdict(list)
    for index, entry in enumerate(entries):
        by_tag[entry.tag].append(index)
        stood_ns = (end_ns if entry.cleared_ns is None else entry.cleared_ns) - entry.ns
        if stood_ns > STALE_S * S:
            patterns[index] = "STALE"
        unseen = entry.acked_ns is None or (
            entry.cleared_ns is not None and entry.acked_ns > entry.cleared_ns
        )
        if entry.cleared_ns is not None and stood_ns < FLEETING_S * S and unseen:
            patterns[index] = "FLEETING"
    for indices in by_tag.values():
        for at, last in enumerate(indices[CHATTER_COUNT - 1 :]):
            if entries[last].ns - entries[indices[at]].ns <= CHATTER_S * S:
                for index in indices[at : at + CHATTER_COUNT]:
                    patterns[index] = "CHATTER"
    return patterns


def first_told(entries: list[Annunciation], fault: TrueFault) -> Annunciation | None:
    """The first annunciation of a fault that people could act on.

    One that was shelved or suppressed before anybody had acknowledged it, while the fault was there, told nothing.
    """
    seen = [entry for entry in entries if entry.hidden_ns is None or entry.hidden_ns > fault.end_ns]
    return min(seen, key=lambda entry: entry.told_ns, default=None)


def flood_share(entries: list[Annunciation], from_ns: int, to_ns: int) -> float:
    """Share of the time in a flood: it begins above ten annunciations in ten minutes and ends below five."""
    window: deque[int] = deque()
    changes = sorted(
        [(entry.ns, 1) for entry in entries] + [(entry.ns + FLOOD_S * S, -1) for entry in entries]
    )
    flooded_ns, since = 0, None
    for ns, step in changes:
        window.append(ns) if step > 0 else window.popleft()
        if since is None and len(window) > FLOOD_BEGINS:
            since = ns
        elif since is not None and len(window) < FLOOD_ENDS:
            flooded_ns += _within(since, ns, from_ns, to_ns)
            since = None
    if since is not None:
        flooded_ns += _within(since, to_ns, from_ns, to_ns)
    return flooded_ns / max(1, to_ns - from_ns)


def _within(start: int, end: int, from_ns: int, to_ns: int) -> int:
    return max(0, min(end, to_ns) - max(start, from_ns))
