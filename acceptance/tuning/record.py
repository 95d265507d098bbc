"""What tuning reads of a run folder: the rules as they are, what each of them saw, and the faults to tell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shakedown.acceptance.files import Problem, read_yaml
from shakedown.acceptance.operations_site import AlarmRule, read_operations_site
from shakedown.acceptance.physical import TrueFault
from shakedown.acceptance.readers import Ledger, read_ledger, read_timeline
from shakedown.acceptance.run import BIRTH_BOUND_S, DRAIN_MARGIN_S
from shakedown.acceptance.site import Topic, read_site
from shakedown.acceptance.spans import S
from shakedown.acceptance.sparkplug import GOOD
from shakedown.acceptance.tuning.noise import Noise, noise_of
from shakedown.acceptance.tuning.replay import NEVER, Bools, Floats, Ints, Setting, Trajectory

BAD_AFTER_S = 60.0


class Untunable(Exception):
    """A folder whose alarms cannot be tuned: says what, where and the remedy."""


@dataclass(frozen=True)
class Seen:
    """One rule, its setting now, and its run: values at every scan of the window beside the trajectory."""

    rule: AlarmRule
    now: Setting
    trajectory: Trajectory
    scan_s: float
    poll_s: float
    faults: list[TrueFault]  # that name this alarm, by onset
    scan_values: Floats  # NaN before the first good sample
    scan_normal: Bools  # no fault of this alarm behind the scan, and not suppressed
    noise: Noise | None


@dataclass(frozen=True)
class Record:
    """A run folder: its rules with what they saw, and the window [from_ns, to_ns) that counts."""

    folder: Path
    document: dict[str, Any]  # site.yaml as it is
    from_ns: int
    to_ns: int
    shift_ends_ns: list[int]
    seen: list[Seen]


def read_record(folder: Path) -> Record:
    """Read `site.yaml`, `ledger.jsonl` and, if there is one, `timeline.jsonl`. Raises `Untunable`."""
    if not (folder / "ledger.jsonl").is_file() or not (folder / "site.yaml").is_file():
        raise Untunable(
            f"{folder} is not a run folder: it needs a ledger.jsonl and a site.yaml. Give the folder that"
            " `shakedown accept` printed at its end, of a suite one of the runs inside it."
        )
    problems: list[Problem] = []
    document = read_yaml(folder / "site.yaml", problems)
    _refuse(folder, problems)
    assert document is not None
    if not document.get("alarms"):
        raise Untunable(
            f"{folder / 'site.yaml'} has no alarms: there is nothing to tune. Add rules under `alarms:` and run again."
        )
    ledger = read_ledger(folder / "ledger.jsonl", problems)
    _refuse(folder, problems)
    assert ledger is not None
    site = read_site(document, ledger.signals, problems)
    _refuse(folder, problems)
    assert site is not None
    try:
        rules = read_operations_site(document, site.topics).alarms
        settings = {rule.name: _setting(document["alarms"][rule.name]) for rule in rules}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        what = f"alarms of {folder / 'site.yaml'} cannot be understood: {type(error).__name__}: {error}"
        raise Untunable(f"{what}. Validate it with `shakedown bridge check`.") from None
    from_ns, to_ns = _window(folder, ledger, problems)
    _refuse(folder, problems)
    reader = _Reader(ledger, site.topics, from_ns, to_ns)
    ends = sorted(event.ns for event in ledger.physical.of("shift") if event.data.get("phase") == "end")
    seen = [
        reader.seen(
            rule, settings[rule.name], float(document["alarms"][rule.name].get("bad_after_s") or BAD_AFTER_S)
        )
        for rule in rules
    ]
    return Record(folder, document, from_ns, to_ns, ends, seen)


def _refuse(folder: Path, problems: list[Problem]) -> None:
    if problems:
        told = "; ".join(f"{problem.what} ({problem.where})" for problem in problems[:3])
        raise Untunable(f"{folder}: {told}. {problems[0].remedy[0].upper()}{problems[0].remedy[1:]}.")


def _setting(body: dict[str, Any]) -> Setting:
    return Setting(*(float(body.get(key) or 0.0) for key in ("on_delay_s", "off_delay_s", "deadband")))


def _window(folder: Path, ledger: Ledger, problems: list[Problem]) -> tuple[int, int]:
    """As the judge has it: after the warm-up, before the drain."""
    phases = {}
    if (folder / "timeline.jsonl").is_file():
        phases = {
            fault.id: fault for fault in read_timeline(folder / "timeline.jsonl", problems) if fault.is_phase
        }
    from_ns = ledger.start_ns + int(BIRTH_BOUND_S * S)
    to_ns = ledger.end_ns - int(DRAIN_MARGIN_S * S)
    if "warm_up" in phases:
        from_ns = phases["warm_up"].end_ns
    if "drain" in phases:
        to_ns = phases["drain"].start_ns
    if to_ns <= from_ns:
        raise Untunable(
            f"{folder}: the run is over before its warm-up is, so nothing of it counts. Give a longer run."
        )
    return from_ns, to_ns


class _Reader:
    """Cuts the columns of the ledger into what each rule saw."""

    def __init__(self, ledger: Ledger, topics: tuple[Topic, ...], from_ns: int, to_ns: int) -> None:
        self._ledger = ledger
        self._topics = {topic.name: topic for topic in topics}
        self._ns = np.frombuffer(ledger.ns, dtype=np.int64) if len(ledger.ns) else np.zeros(0, np.int64)
        self._signal = (
            np.frombuffer(ledger.signal, dtype=np.int32) if len(ledger.signal) else np.zeros(0, np.int32)
        )
        self._from_ns, self._to_ns = from_ns, to_ns
        self._faults = sorted(
            ledger.physical.faults(ledger.end_ns), key=lambda fault: (fault.onset_ns, fault.id)
        )
        self._upsets = ledger.physical.of("upset")

    def seen(self, rule: AlarmRule, now: Setting, bad_after_s: float) -> Seen:
        """All that `rule` saw."""
        signal = self._ledger.signals[rule.topic.signal]
        machine = str(signal.get("machine"))
        ns, raw, good = self._offered(rule.topic)
        value = _numbers(rule, raw, good)
        good = good & np.isfinite(value)
        hidden = self._spans(rule.device, rule.suppress_in, bad_after_s)
        trajectory = Trajectory(ns, np.where(good, value, np.nan), good, self._ledger.end_ns, hidden)
        scan_s = float(signal.get("scan_ms") or 1000) / 1000
        scans = np.arange(self._from_ns, self._to_ns, max(1, int(scan_s * S)), dtype=np.int64)
        held = _at(scans, ns[good], value[good], np.nan)
        faults = [fault for fault in self._faults if rule.name in fault.alarms]
        slack_ns = int(2 * scan_s * S)
        disturbed = [(fault.onset_ns, fault.end_ns + slack_ns) for fault in faults]
        normal = (
            np.isfinite(held) & ~_inside(scans, disturbed) & ~_inside(scans, list(zip(*hidden, strict=True)))
        )
        noise = None
        if rule.kind != "state":
            noise = noise_of(held, normal & self._quiet(scans, rule, machine))
        poll_s = max(scan_s, rule.topic.sampling_interval_ms / 1000)
        return Seen(rule, now, trajectory, scan_s, poll_s, faults, held, normal, noise)

    def _offered(self, topic: Topic) -> tuple[Ints, list[Any], Bools]:
        rows = np.flatnonzero(self._signal == topic.signal)
        values, status = self._ledger.values, self._ledger.status
        pairs = [topic.expect(values[row], status[row]) for row in rows.tolist()]
        good = np.array([quality == GOOD and value is not None for value, quality in pairs], dtype=np.bool_)
        order = np.argsort(self._ns[rows], kind="stable")
        return self._ns[rows][order], [pairs[index][0] for index in order.tolist()], good[order]

    def _spans(self, device: str, states: frozenset[str], bad_after_s: float) -> tuple[Ints, Ints]:
        """When the asset's metric `state` said one of `states`, and for how long that counts once it is not usable."""
        none = np.zeros(0, np.int64)
        topic = self._topics.get(f"{device}/state")
        if not states or topic is None:
            return none, none
        begins: list[int] = []
        ends: list[int] = []
        bad_ns = None
        for ns, value, good in zip(*self._offered(topic), strict=True):
            if bad_ns is not None and ns >= bad_ns + bad_after_s * S:
                ends.append(int(bad_ns + bad_after_s * S))
                bad_ns = None
            is_inside = len(begins) > len(ends)
            if not good:
                bad_ns = int(ns) if is_inside and bad_ns is None else bad_ns
                continue
            bad_ns = None
            if (value in states) is not is_inside:
                (ends if is_inside else begins).append(int(ns))
        if len(begins) > len(ends):
            ends.append(NEVER if bad_ns is None else int(bad_ns + bad_after_s * S))
        return np.array(begins, np.int64), np.array(ends, np.int64)

    def _quiet(self, scans: Ints, rule: AlarmRule, machine: str) -> Bools:
        """Scans at which the asset runs, and neither a fault nor an upset disturbs its machine."""
        spans = [(fault.onset_ns, fault.end_ns) for fault in self._faults if fault.machine == machine]
        since: dict[str, int] = {}
        for event in self._upsets:
            named = [str(name).partition(".")[0] for name in event.data.get("signals") or ()]
            if machine not in (event.machine, *named):
                continue
            name = str(event.data.get("id"))
            if event.data.get("phase") == "start":
                since.setdefault(name, event.ns)
            elif name in since:
                spans.append((since.pop(name), event.ns))
        spans += [(begin, NEVER) for begin in since.values()]
        quiet = ~_inside(scans, spans)
        if f"{rule.device}/state" in self._topics:
            begins, ends = self._spans(rule.device, frozenset({"run"}), BAD_AFTER_S)
            quiet &= _inside(scans, list(zip(begins.tolist(), ends.tolist(), strict=True)))
        return quiet


def _numbers(rule: AlarmRule, values: list[Any], good: Bools) -> Floats:
    if rule.kind == "state":
        return np.array([float(rule.beyond(value)) for value in values])
    # What is Good and no number is treated as not Good: the bridge cannot compare it either
    usable = int, float
    return np.array(
        [
            float(value) if kept and isinstance(value, usable) else np.nan
            for value, kept in zip(values, good, strict=True)
        ],
        dtype=np.float64,
    )


def _at(moments: Ints, ns: Ints, values: Floats, before: float) -> Floats:
    """The value that held at each moment."""
    if not len(ns):
        return np.full(len(moments), before)
    index = np.searchsorted(ns, moments, side="right") - 1
    return np.where(index >= 0, values[np.maximum(index, 0)], before)


def _inside(moments: Ints, spans: list[tuple[int, int]]) -> Bools:
    """Which moments (in order) lie in one of the spans [begin, end)."""
    marks = np.zeros(len(moments), dtype=np.bool_)
    for begin, end in spans:
        marks[np.searchsorted(moments, begin) : np.searchsorted(moments, end)] = True
    return marks
