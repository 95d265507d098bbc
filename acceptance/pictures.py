"""What a report shows of the run itself, whatever it was judged on: samples, backlog, ages, the floor, what was done.

A series has at most `POINTS_MAX` points, a track of the floor at most `SPANS_MAX` spans, however long the run is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shakedown.acceptance.blocks import (
    SPANS_MAX,
    Block,
    Cell,
    Key,
    Lane,
    Row,
    Sentence,
    Series,
    Span,
    Table,
    Timeline,
    Tone,
    numbers,
    text,
)
from shakedown.acceptance.join import NEVER, Ints, Joined, TopicJoin
from shakedown.acceptance.physical import canonical
from shakedown.acceptance.run import Run
from shakedown.acceptance.spans import MS, S
from shakedown.acceptance.wording import clock, counted, number, plainly

POINTS_MAX = 2_000
MOMENT_SHARE = 1 / 640  # of the timeline: a moment is drawn this wide
FLOOR_KEYS = [
    Key("run", "runs"),
    Key("idle", "idle or on a break"),
    Key("changeover", "changes over"),
    Key("fault", "stands at fault"),
    Key("trouble", "true fault, until repaired"),
    Key("upset", "upset: a sensor or signal misbehaves, nobody is needed"),
    Key("pause", "break"),
    Key("moment", "an alarm was answered, a work order was made"),
]
STATES: dict[str, Tone] = {"run": "run", "changeover": "changeover", "fault": "fault", "idle": "idle"}


def pictures(run: Run, joined: Joined) -> list[Block]:
    """The floor where the site has alarms, OEE or work orders, what was offered, kept, held up and stale, and done."""
    site = run.operations
    has_floor = bool(site.alarms or site.lines or site.work_orders)
    return [*([floor(run)] if has_floor else []), *_series(run, joined), done(run)]


def done(run: Run) -> Block:
    """Every fault that was injected, and whether it was seen to take effect."""
    rows = [
        Row(
            [
                clock((fault.start_ns - run.ledger.start_ns) / S),
                f"{(fault.end_ns - fault.start_ns) / S:.0f} s",
                f"{fault.id} ({fault.kind})",
                fault.target,
                Cell("yes" if fault.verified else "NO", seen(fault.evidence)),
            ],
            "" if fault.verified else "bad",
        )
        for fault in run.timeline
        if not fault.is_phase
    ]
    columns = [*numbers("at", "for"), *text("fault", "struck", "seen to take effect")]
    if not rows:
        return Sentence("What was done to it: nothing. No fault was injected.")
    return Table(title="What was done to it", columns=columns, rows=rows)


def seen(evidence: Any) -> str:
    """What showed that a fault took effect, in a phrase; all that was read back stands in timeline.jsonl."""
    if not isinstance(evidence, dict) or not isinstance(evidence.get("probe"), dict):
        return plainly(evidence)
    probe, read_back = evidence["probe"], evidence.get("read_back")
    ways: dict[str, list[str]] = {}
    for entry in read_back if isinstance(read_back, list) else ():
        if isinstance(entry, dict):
            ways.setdefault(str(entry.get("kind")), []).append(str(entry.get("direction")))
    said = [f"{kind} {' and '.join(dict.fromkeys(found))}" for kind, found in ways.items()]
    counts = [f"{number(probe[name])} {name}" for name in PROBED if probe.get(name) is not None]
    if probe.get("answered"):
        counts.append(f"round trip {number(probe.get('round_trip_ms'))} ms")
    return "; ".join([*said, f"probe: {', '.join(counts)}"])


PROBED = ("sent", "arrived", "answered", "refused")


def _series(run: Run, joined: Joined) -> list[Series]:
    start_ns = run.ledger.start_ns
    seconds = max(1.0, (max(run.end_ns, run.ledger.end_ns) - start_ns) / S)
    step_s = max(1, math.ceil(seconds / POINTS_MAX))
    count = math.ceil(seconds / step_s)
    edges = start_ns + np.arange(count + 1, dtype=np.int64) * step_s * S
    offered, received = _rates(joined, edges)
    if not offered.any():
        return []
    backlog = np.cumsum(offered - received)
    figures = [
        (
            "Samples a second",
            "samples/s",
            {
                "offered by the line": _rounded(offered / step_s),
                "kept by the host": _rounded(received / step_s),
            },
        ),
        ("Backlog: offered, and not yet at the enterprise", "samples", {"backlog": _rounded(backlog)}),
    ]
    ages = [(_age_s(part, edges[1:]), part.topic.name) for part in joined.topics]
    age, topic = min(ages, key=lambda entry: (-np.nanmax(entry[0], initial=0.0), entry[1]))
    title = "Oldest change that had not arrived, of the topic that was stale the longest"
    if not np.isnan(age).all():
        figures.append((title, "s", {topic: [None if math.isnan(at) else at for at in age.tolist()]}))
    bands = [
        Span(fault.id, (fault.start_ns - start_ns) / S, (fault.end_ns - start_ns) / S)
        for fault in run.timeline
        if not fault.is_phase
    ]
    return [
        Series(title=title, unit=unit, from_s=0.0, step_s=step_s, lines=lines, bands=bands)
        for title, unit, lines in figures
    ]


def _rates(joined: Joined, edges: Ints) -> tuple[Ints, Ints]:
    """Samples offered and first arrivals in each step; only what can arrive counts as offered."""
    offered = np.zeros(len(edges) - 1, dtype=np.int64)
    received = offered.copy()
    for part in joined.topics:
        arrived = part.received_ns != NEVER
        offered += _histogram(part.ns[arrived | part.eligible], edges)
        received += _histogram(np.sort(part.received_ns[arrived]), edges)
    return offered, received


def _histogram(ns: Ints, edges: Ints) -> Ints:
    return np.diff(np.searchsorted(ns, edges))


def _age_s(part: TopicJoin, at_ns: Ints) -> NDArray[np.float64]:
    """How long, at each moment, the oldest change not yet arrived live is waited for.

    NaN before the first arrival; where none ever comes, before the first change.
    """
    if not len(part.live_ns):
        waited_s = (at_ns - part.ns[0]) // MS / 1000 if len(part.ns) else np.full(len(at_ns), np.nan)
        return np.where(waited_s > 0, waited_s, np.nan)
    held_ms = np.maximum.accumulate(part.live_ts_ms)
    arrived = np.searchsorted(part.live_ns, at_ns, side="right") - 1
    oldest = np.searchsorted(part.ts_ms, held_ms[np.maximum(arrived, 0)], side="right")
    offered = np.searchsorted(part.ns, at_ns, side="left")  # not what changes at this very moment
    waited_ms = (at_ns - part.ns[np.minimum(oldest, len(part.ns) - 1)]) // MS if len(part.ns) else 0
    age_s = np.where(oldest < offered, waited_ms, 0) / 1000
    return np.where(arrived < 0, np.nan, age_s)


def _rounded(values: NDArray[np.float64]) -> list[float | None]:
    return np.round(values, 3).tolist()


def floor(run: Run) -> Timeline:
    """What the machines did, what was wrong with them, and when people and the CMMS answered."""
    physical, start_ns = run.ledger.physical, run.ledger.start_ns
    to_s = (max(run.end_ns, run.ledger.end_ns) - start_ns) / S
    spans: dict[tuple[str, str], list[Span]] = {("shift", ""): [], ("break", ""): []}
    opened: dict[tuple[str, str, str], Span] = {}
    for event in physical.of("shift", "break", "fault", "upset"):
        at_s, data = (event.ns - start_ns) / S, event.data
        name = str(data.get("id") or data.get("name") or event.kind)
        key = (event.kind, event.machine if event.kind in ("fault", "upset") else "", name)
        if data.get("phase") in ("start", "onset"):
            mode = data.get("mode") or data.get("upset")
            opened.setdefault(key, Span(f"{name} {mode}" if mode else name, at_s, to_s, TONES[event.kind]))
        elif key in opened:
            begun = opened.pop(key)
            spans.setdefault(key[:2], []).append(Span(begun.name, begun.from_s, at_s, begun.tone))
    for key, begun in opened.items():
        spans.setdefault(key[:2], []).append(begun)
    machines = dict.fromkeys(event.machine for event in physical.of("state"))
    machines |= dict.fromkeys(machine for kind, machine in spans if kind in ("fault", "upset"))
    lanes = [
        Lane("shift", [bounded(spans["shift", ""], to_s), bounded(spans["break", ""], to_s)], named=True)
    ]
    for machine in machines:
        tracks = [
            _states(run, machine, to_s),
            spans.get(("fault", machine), []),
            spans.get(("upset", machine), []),
        ]
        lanes.append(Lane(machine or "line", [bounded(track, to_s) for track in tracks]))
    moments = {
        "answered": [ack.ns for ack in run.people.acks],
        "work orders": [order.created_ms * MS for order in run.work_orders],
    }
    for name, moments_ns in moments.items():
        at = [
            Span(name, (ns - start_ns) / S, (ns - start_ns) / S + to_s * MOMENT_SHARE, "moment")
            for ns in moments_ns
        ]
        lanes.append(Lane(name, [bounded(at, to_s)]))
    faults, upsets = (
        len({span.name for (kind, _), found in spans.items() if kind == wanted for span in found})
        for wanted in ("fault", "upset")
    )
    return Timeline(
        title="What the machines did",
        to_s=to_s,
        lanes=[lane for lane in lanes if any(lane.tracks)],
        keys=FLOOR_KEYS,
        note=f"In this run the line had {counted(faults, 'true fault')} and {counted(upsets, 'upset')}. A stop is drawn"
        " at least one mark wide.",
    )  # fmt: skip


TONES: dict[str, Tone] = {"shift": "", "break": "pause", "fault": "trouble", "upset": "upset"}


def _states(run: Run, machine: str, to_s: float) -> list[Span]:
    changes = [event for event in run.ledger.physical.of("state") if event.machine == machine]
    if not changes:
        return []
    at = [(0.0, canonical(int(changes[0].data["from"]), 0))]
    at += [
        (
            (event.ns - run.ledger.start_ns) / S,
            canonical(int(event.data["to"]), int(event.data.get("reason", 0))),
        )
        for event in changes
    ]
    ends = [begin_s for begin_s, _ in at[1:]] + [to_s]
    return [
        Span(state, begin_s, end_s, STATES[state])
        for (begin_s, state), end_s in zip(at, ends, strict=True)
        if end_s > begin_s
    ]


def bounded(spans: Iterable[Span], to_s: float) -> list[Span]:
    """The same as at most `SPANS_MAX` spans in order: more of them are drawn by columns.

    A column shows a fault where there was one, else what took most of it.
    """
    found = sorted(spans, key=lambda span: (span.from_s, span.name))
    if len(found) <= SPANS_MAX:
        return found
    width_s = to_s / SPANS_MAX or 1.0
    columns: list[tuple[float, Span] | None] = [None] * SPANS_MAX
    for span in found:
        first = max(0, int(span.from_s / width_s))
        for column in range(first, min(SPANS_MAX, max(first + 1, math.ceil(span.to_s / width_s)))):
            share_s = min(span.to_s, (column + 1) * width_s) - max(span.from_s, column * width_s)
            weight = share_s + (2 * width_s if span.tone == "fault" else 0.0)
            best = columns[column]
            if best is None or weight > best[0]:
                columns[column] = (weight, span)
    drawn: list[Span] = []
    for column, best in enumerate(columns):
        if best is None:
            continue
        begin_s, end_s = column * width_s, (column + 1) * width_s
        if drawn and drawn[-1].tone == best[1].tone and drawn[-1].to_s == begin_s:
            drawn[-1] = Span(drawn[-1].name, drawn[-1].from_s, end_s, best[1].tone)
        else:
            drawn.append(Span(best[1].name, begin_s, end_s, best[1].tone))
    return drawn
