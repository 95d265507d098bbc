"""The companions of the OEE in a shift report: NEE, unplanned downtime, and the means of repairs, faults and setups.

- `nee` is (APT + AUST) / PBT * E * Q of the report's own figures, each of which is held on its own.
- `unplanned_downtime_s` is the time in fault inside the planned time; where `site.yaml` names an `order` of which the
  ledger does not tell, the idle time may be in it.
- `mttr_s` and `changeover_s_mean` are the mean length of the faults and changeovers that ended in the shift; `mtbf_s`
  is APT by the faults that began in it.

An episode that an edge of the shift or a break cuts may be taken whole or as far as it lies inside, and may belong to
the shift in which it begins, to that in which it ends, or to both; one shorter than a scan may not be seen. So a mean
is held within what all of these make of it: of what happened, of what the controller offered and of what the
enterprise received, and a scan more. Where no edge cuts an episode, these are one number.
"""

from __future__ import annotations

from typing import Any

from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.join import NEVER
from shakedown.acceptance.oee.figures import BUCKET_SHARE, NOTHING, ROUNDED, Breaches, Within, number
from shakedown.acceptance.oee.oracle import Machine, S, ShiftTruth, ratio
from shakedown.acceptance.oee.shift_reports import part_of
from shakedown.acceptance.oee.variance import breaks_of
from shakedown.acceptance.operations_site import OeeLine
from shakedown.acceptance.sparkplug import GOOD

Span = tuple[int, int]


def wrong_companions(
    evidence: Evidence, line: OeeLine, machine: Machine, truth: ShiftTruth, report: dict[str, Any]
) -> Breaches:
    """Every companion that is missing or cannot be what happened."""
    faults = _sources(evidence, line, machine.name, truth, "fault")
    setups = _sources(evidence, line, machine.name, truth, "changeover")
    breaks = breaks_of(evidence)
    scan_s = machine.scan_ms / 1000
    allowed = {
        "nee": _nee(report),
        "unplanned_downtime_s": _downtime(line, truth),
        "mttr_s": _mean(faults, truth, breaks, scan_s),
        "mtbf_s": _between(faults, truth),
        "changeover_s_mean": _mean(setups, truth, breaks, scan_s),
    }
    return [
        (name, report.get(name), within.true)
        for name, within in allowed.items()
        if not within.holds(number(report.get(name)), 1e-6)
    ]


def _nee(report: dict[str, Any]) -> Within:
    names = ("apt_s", "aust_s", "pbt_s", "effectiveness", "quality")
    figures = [figure for name in names if (figure := number(report.get(name))) is not None]
    if len(figures) < len(names) or not figures[2]:
        return NOTHING
    apt_s, aust_s, pbt_s, effectiveness, quality = figures
    nee = (apt_s + aust_s) / pbt_s * effectiveness * quality
    return Within(nee - ROUNDED, nee + ROUNDED, False, nee)


def _downtime(line: OeeLine, truth: ShiftTruth) -> Within:
    down_s, slack_s = truth.down_ns / S, BUCKET_SHARE * truth.pbt_ns / S
    waiting_s = truth.buckets_ns["adot"] / S if line.order is not None and truth.delay_ns is None else 0.0
    return Within(down_s - slack_s, down_s + waiting_s + slack_s, False, down_s)


def _between(sources: list[list[Span]], truth: ShiftTruth) -> Within:
    """APT by the number of faults; null without any."""
    faults = [len(chosen) for spans in sources for chosen in _choices(spans, truth)]
    some = [count for count in faults if count]
    apt_s, slack_s = truth.buckets_ns["apt"] / S, BUCKET_SHARE * truth.pbt_ns / S
    if not some:
        return NOTHING
    true = ratio(apt_s, faults[1])
    return Within((apt_s - slack_s) / max(some), (apt_s + slack_s) / min(some), 0 in faults, true)


def _mean(sources: list[list[Span]], truth: ShiftTruth, breaks: list[Span], scan_s: float) -> Within:
    """The mean length of the episodes; null without any."""
    means = [
        ratio(sum(lengths) / S, len(lengths))
        for spans in sources
        for chosen in _choices(spans, truth)
        for lengths in _lengths(chosen, truth, breaks)
    ]
    some = [mean for mean in means if mean is not None]
    if not some:
        return NOTHING
    return Within(min(some) - scan_s, max(some) + scan_s, None in means, means[0])


def _choices(spans: list[Span], truth: ShiftTruth) -> list[list[Span]]:
    """The episodes that ended in the shift, that began in it, and that touch it."""
    touching = [(begin, end) for begin, end in spans if begin < truth.to_ns and end > truth.from_ns]
    ended = [(begin, end) for begin, end in touching if end < truth.to_ns]
    began = [(begin, end) for begin, end in touching if begin >= truth.from_ns]
    return [ended, began, touching]


def _lengths(spans: list[Span], truth: ShiftTruth, breaks: list[Span]) -> list[list[int]]:
    """Their lengths in ns: whole, inside the shift, and inside its planned time."""
    inside = [(max(begin, truth.from_ns), min(end, truth.to_ns)) for begin, end in spans]
    paused = [
        sum(max(0, min(end, until) - max(begin, pause)) for pause, until in breaks) for begin, end in inside
    ]
    planned = [end - begin - pause for (begin, end), pause in zip(inside, paused, strict=True)]
    return [[end - begin for begin, end in spans], [end - begin for begin, end in inside], planned]


def _sources(
    evidence: Evidence, line: OeeLine, machine: str, truth: ShiftTruth, state: str
) -> list[list[Span]]:
    """When the machine was in a state: as it happened, as it was offered, and as it arrived."""
    ledger = evidence.run.ledger
    first, changes = ledger.physical.states_of(machine)
    part = part_of(evidence, line.state)
    rows = list(
        zip(
            part.ns.tolist(),
            part.values,
            (part.quality == GOOD).tolist(),
            (part.received_ns != NEVER).tolist(),
            strict=True,
        )
    )
    offered = [(ns, value) for ns, value, good, _ in rows if good]
    received = [(ns, value) for ns, value, good, came in rows if good and came]
    end_ns = max(truth.to_ns, ledger.end_ns)
    series: list[list[tuple[int, Any]]] = [[(ledger.start_ns, first), *changes], offered, received]
    return [_episodes(changes_of, state, end_ns) for changes_of in series]


def _episodes(changes: list[tuple[int, Any]], state: str, end_ns: int) -> list[Span]:
    """(begin, end) of each time in a state; one still going ends at the end."""
    found: list[Span] = []
    begin: int | None = None
    for ns, value in changes:
        if value == state:
            begin = ns if begin is None else begin
        elif begin is not None:
            found.append((begin, ns))
            begin = None
    if begin is not None:
        found.append((begin, max(begin, end_ns)))
    return found
