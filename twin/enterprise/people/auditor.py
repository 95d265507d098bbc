"""The auditor: counts a shift by hand, with a person's errors. Pure but for `audit_ledger`.

What is counted is what physically happened at the bottleneck, as the ledger has it. A person misses a part now and
then, counts one twice more rarely, reads a wrist-watch, and does not see every short stop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from shakedown.twin.enterprise.jsonl import JsonLines
from shakedown.twin.line.randomness import stream

S = 1_000_000_000
EXECUTE = 6
"""PackML's number of the state in which a machine produces."""

Span = tuple[int, int]


@dataclass(frozen=True)
class AuditorParameters:
    """How good an auditor is: of each part, of each stop, of a watch."""

    missed: float = 0.002
    counted_twice: float = 0.001
    shortest_stop_s: float = 20.0  # a shorter one is not written down
    watch_s: float = 5.0  # begin and end of a stop are read to this

    def __post_init__(self) -> None:
        if not (0 <= self.missed <= 1 and 0 <= self.counted_twice <= 1 and self.watch_s > 0):
            raise ValueError(f"{self}: probabilities are from 0 to 1, the watch shows more than 0 s")


@dataclass(frozen=True)
class Shift:
    """When people should have worked: from, to and the breaks between, in ns."""

    name: str
    from_ns: int
    to_ns: int
    breaks: tuple[Span, ...] = ()

    def busy(self) -> list[Span]:
        """The spans between the breaks."""
        spans, begin = [], self.from_ns
        for pause in sorted(self.breaks):
            spans.append((begin, min(pause[0], self.to_ns)))
            begin = max(begin, pause[1])
        spans.append((begin, self.to_ns))
        return [span for span in spans if span[1] > span[0]]


def audit(
    shift: Shift,
    machine: str,
    events: Iterable[list[Any]],
    seed: int,
    parameters: AuditorParameters | None = None,
) -> dict[str, Any]:
    """What stands on the clipboard at the end of `shift`: `events` are the ledger's `P` rows in order of time."""
    given = parameters or AuditorParameters()
    draws = stream(seed, f"auditor/{shift.name}/{shift.from_ns}")
    good = scrap = 0
    changes: list[tuple[int, int]] = []
    state_before: int | None = None
    for _, ns, kind, where, data in events:
        if where != machine:
            continue
        if kind == "part" and shift.from_ns <= ns < shift.to_ns and data.get("disposition") != "rework":
            good, scrap = good + bool(data["good"]), scrap + (not data["good"])
        elif kind == "state":
            state_before = data["from"] if state_before is None else state_before
            changes.append((ns, data["to"]))
    stops = [
        _read(stop, given, draws)
        for stop in _standing(shift, state_before, changes)
        if stop[1] - stop[0] >= given.shortest_stop_s * S
    ]
    busy_ns = sum(end - begin for begin, end in shift.busy())
    good, scrap = _tally(good, given, draws), _tally(scrap, given, draws)
    return {
        "shift": shift.name,
        "produced": good + scrap,
        "good": good,
        "reject": scrap,
        "run_s": max(0.0, round((busy_ns - sum(stops)) / S, 3)),
        "stops": len(stops),
    }


def _standing(shift: Shift, state: int | None, changes: list[tuple[int, int]]) -> Iterator[Span]:
    """The spans of working time in which the machine did not produce."""
    begin = shift.from_ns
    for ns, after in [*changes, (shift.to_ns, EXECUTE)]:
        end = min(max(ns, shift.from_ns), shift.to_ns)
        if state is not None and state != EXECUTE and after == EXECUTE:
            for busy in shift.busy():
                span = max(begin, busy[0]), min(end, busy[1])
                if span[1] > span[0]:
                    yield span
        if after != EXECUTE and (state == EXECUTE or state is None):
            begin = end
        state = after


def _read(stop: Span, given: AuditorParameters, draws: np.random.Generator) -> int:
    """How long a stop lasted by the watch, in ns: both ends fall on the watch's grid, which lies anywhere."""
    step = max(1, round(given.watch_s * S))
    grid = int(draws.integers(step))
    begin, end = (round((ns - grid) / step) * step if step > 1 else ns for ns in stop)
    return end - begin


def _tally(true: int, given: AuditorParameters, draws: np.random.Generator) -> int:
    missed, twice = draws.binomial(true, given.missed), draws.binomial(true, given.counted_twice)
    return int(true - missed + twice)


def audit_ledger(
    ledger: Path, log: JsonLines, seed: int, parameters: AuditorParameters | None = None
) -> list[dict[str, Any]]:
    """Audit every shift that the ledger holds to its end, and write each to `log` (people.jsonl) as a `K` row."""
    decode = msgspec.json.Decoder().decode
    events: list[list[Any]] = []
    end_ns = 0
    with ledger.open("rb") as lines:
        header = decode(next(lines))
        for line in lines:
            if line.startswith((b'["P"', b'["Z"')):
                row = decode(line)
                end_ns = max(end_ns, row[1])
                if row[0] == "P" and row[2] in ("part", "state") and row[3] == header.get("bottleneck"):
                    events.append(row)
    events.sort(key=lambda row: row[1])
    clipboards = []
    for row in header.get("calendar", []):
        if row["to_ns"] > end_ns:
            continue  # it was not over: nobody has counted it
        pauses = tuple((begin, end) for begin, end in row["breaks"])
        shift = Shift(row["name"], row["from_ns"], row["to_ns"], pauses)
        clipboards.append(audit(shift, header["bottleneck"], events, seed, parameters))
        log.write(["K", shift.to_ns, "audit", clipboards[-1]])
    return clipboards
