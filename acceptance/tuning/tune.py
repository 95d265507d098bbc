"""Tuning of alarm rules on a recorded run: what deadband and delays would have done, and what to write into site.yaml.

The rule of the proposal. Where the run has faults for a rule to tell: fewest false alarms among the settings that miss
none of them and tell each within `share` of its response time (from the onset; or, where even the quickest setting
needs longer than that, from that setting's word). A fault that another alarm, as it is, tells before this one can is
that alarm's to tell. Where the rule has no fault, delay cannot be judged, and only what the noise
of the quiet signal asks for is proposed: a deadband of three deviations, and the shortest on-delay that keeps the
expected false alarms of white noise to one a week.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from textwrap import indent
from typing import Any

import yaml

from shakedown.acceptance.tuning.holdout import Trial, read_holdouts, trials
from shakedown.acceptance.tuning.noise import (
    CROSSINGS_MIN,
    Crossings,
    Noise,
    annunciation_rate,
    crossings_of,
    gauss_tail,
    samples_held,
)
from shakedown.acceptance.tuning.record import Record, Seen, Untunable, read_record
from shakedown.acceptance.tuning.replay import Bools, Setting
from shakedown.acceptance.tuning.search import (
    ON_DELAYS_S,
    SHARE,
    Figures,
    Table,
    best,
    front,
    is_better,
    others_of,
    room,
    rounded,
    tabulate,
    told_by,
)

__all__ = ["SHARE", "Check", "RuleTuning", "Tuning", "Untunable", "as_dict", "fragment", "tune"]

NOISE_SIGMAS = 3.0
ENOUGH_SIGMAS = 2.5  # a deadband that has these is left as it is
FALSE_PER_HOUR_MAX = 1 / 168
NEGLIGIBLE = 1e-9
FAULTS_MIN = 3  # a proposal made from fewer is marked where it is to be pasted


@dataclass(frozen=True)
class Check:
    """A proposal made from one half of the run, and what it does in the other."""

    made_from: str
    own: Figures
    other: Figures


@dataclass(frozen=True)
class RuleTuning:
    """One rule: its setting now and the one proposed, with what each does in the run; `proposed` None: leave it."""

    name: str
    metric: str
    unit: str
    limit: str
    now: Figures
    proposed: Figures | None
    basis: str  # faults, noise, or none
    why: str
    untold: int  # faults that no setting tells: the limit or the metric is at issue
    elsewhere: int  # faults of this alarm that another one tells before this one can: not asked of it
    late_at_best: int  # faults that even the quickest setting tells after their share of the response time
    noise: Noise | None
    crossings: Crossings
    expected_now: float | None  # false alarms in the run by the closed form; None where it does not hold
    expected_proposed: float | None
    checks: list[Check]
    unchecked: str  # why the halves show nothing, else empty
    front: list[Figures]
    trials: list[Trial] = field(default_factory=list)  # the proposal in each held-out run

    @property
    def trust(self) -> str:
        """How far the proposal can be trusted, in two words or three; empty without one."""
        if self.proposed is None:
            return ""
        if self.trials:
            faults = sum(trial.proposed.faults for trial in self.trials)
            return f"held out, {faults}" if faults >= FAULTS_MIN else "little trust"
        return "halves agree" if not _doubts(self, self.proposed) else "little trust"


@dataclass(frozen=True)
class Tuning:
    """All rules of a run."""

    folder: Path
    hours: float
    share: float
    rules: list[RuleTuning]
    document: dict[str, Any]  # site.yaml as it was in the run
    holdouts: list[str] = field(default_factory=list)


def tune(folder: Path, *, share: float = SHARE, holdouts: Sequence[Path] = ()) -> Tuning:
    """Tune every alarm rule on the run in `folder`, and try the proposals on the `holdouts`. Raises `Untunable`."""
    record = read_record(folder)
    held_out = read_holdouts(holdouts, record)
    cut_ns = _cut(record)
    told_s = {seen.rule.name: told_by(seen, seen.now) for seen in record.seen}
    rules = {
        seen.rule.name: _tuned(seen, record, cut_ns, share, others_of(seen.rule.name, told_s))
        for seen in record.seen
    }
    proposals = {name: rule.proposed.setting for name, rule in rules.items() if rule.proposed is not None}
    for name, found in trials(proposals, held_out, share).items():
        worse = [f"{trial.worse} in {trial.run}" for trial in found if trial.worse]
        rules[name] = replace(rules[name], trials=found)
        if worse:
            rules[name] = _withdrawn(rules[name], "; ".join(worse))
    hours = (record.to_ns - record.from_ns) / 3.6e12
    return Tuning(folder, hours, share, list(rules.values()), record.document, [str(f) for f in holdouts])


def _withdrawn(rule: RuleTuning, why: str) -> RuleTuning:
    assert rule.proposed is not None
    s = rule.proposed.setting
    tried = f"on {s.on_delay_s:g} s, off {s.off_delay_s:g} s, deadband {s.deadband:g}"
    return replace(rule, proposed=None, expected_proposed=None, why=f"withdrawn ({tried}): {why}")


def _said(limit: float | str | bool) -> str:
    return str(limit).lower() if isinstance(limit, bool) else str(limit)


def _cut(record: Record) -> int:
    """Where the run is cut in two: the end of a shift in its middle half, else its middle."""
    middle = (record.from_ns + record.to_ns) // 2
    quarter = (record.to_ns - record.from_ns) // 4
    ends = [ns for ns in record.shift_ends_ns if abs(ns - middle) <= quarter]
    return min(ends, key=lambda ns: abs(ns - middle), default=middle)


def _tuned(seen: Seen, record: Record, cut_ns: int, share: float, others_s: dict[str, float]) -> RuleTuning:
    table = tabulate(seen, record.from_ns, record.to_ns, cut_ns, share, others_s)
    now = table.index(seen.now)
    crossings = crossings_of(_beyond(seen), seen.scan_normal)
    if table.faults:  # that are this rule's to tell
        chosen, why = _by_faults(table, now)
        basis = "faults"
    else:
        chosen, why = _by_noise(seen, table, now)
        basis = "noise" if chosen is not None else "none"
    checks, unchecked = _checks(table)
    return RuleTuning(
        name=seen.rule.name,
        metric=seen.rule.metric,
        unit=seen.rule.unit,
        limit=f"{seen.rule.kind} {_said(seen.rule.limit)}",
        now=table.figures(now),
        proposed=None if chosen is None else table.figures(chosen),
        basis=basis,
        why=why,
        untold=int(table.is_untold.sum()),
        elsewhere=table.elsewhere,
        late_at_best=int(table.is_late_at_best.sum()),
        noise=seen.noise,
        crossings=crossings,
        expected_now=_expected(seen, crossings, seen.now),
        expected_proposed=None if chosen is None else _expected(seen, crossings, table.settings[chosen]),
        checks=checks,
        unchecked=unchecked,
        front=front(table),
    )


def _by_faults(table: Table, now: int) -> tuple[int | None, str]:
    """The proposal where there are faults; the words say why there is none, or what it rests on."""
    if table.is_untold.all():
        return (
            None,
            "no setting tells any fault of this alarm: look at the limit and the metric, not at delays",
        )
    chosen = best(table)
    if chosen is None:
        return None, "no setting tells every fault in time: look at the limit and the metric, not at delays"
    if not is_better(table.figures(chosen), table.figures(now)):
        return None, "no setting is better than the one of now"
    return chosen, f"counted over {len(table.faults)} fault{'s' * (len(table.faults) != 1)}"


def _by_noise(seen: Seen, table: Table, now: int) -> tuple[int | None, str]:
    """The proposal where no fault shows the delay: only what noise alone asks for."""
    blind = "no fault of this alarm in the run, so delay cannot be judged"
    noise = seen.noise
    if seen.rule.kind == "state":
        return None, f"{blind}, and a state has no noise"
    if noise is None:
        return None, f"{blind}, and the signal was not quiet long enough to know its noise"
    width = rounded(NOISE_SIGMAS * noise.sigma)
    if width > room(seen):
        return None, f"{blind}, and the limit lies within three deviations of the quiet signal"
    is_enough = seen.now.deadband >= ENOUGH_SIGMAS * noise.sigma
    deadband = seen.now.deadband if is_enough else width
    on_s = _on_delay(seen, noise, deadband)
    if on_s is None:
        return None, f"{blind}, and no closed form holds: the quiet signal has a memory"
    setting = Setting(on_s, seen.now.off_delay_s, deadband)
    if setting == seen.now:
        return None, f"{blind}; for the noise alone the rule is patient enough"
    chosen = table.index(setting)
    if table.false[chosen].sum() > table.false[now].sum():
        return None, f"{blind}, and what the noise asks for would have called more often in this run"
    return chosen, f"{blind}: from the noise of the quiet signal alone"


def _on_delay(seen: Seen, noise: Noise, deadband: float) -> float | None:
    """The shortest on-delay, at least that of now, that keeps noise silent; None if no closed form gives one."""
    scans_per_hour = 3600 / seen.scan_s
    out, back = _gaussian(seen, noise, deadband)
    if out * scans_per_hour <= FALSE_PER_HOUR_MAX:
        return seen.now.on_delay_s  # white or not, it cannot annunciate more often than it is beyond
    if not noise.is_white:
        return None
    m = samples_held(seen.now.off_delay_s, seen.scan_s)
    for on_s in (seen.now.on_delay_s, *(delay for delay in ON_DELAYS_S if delay > seen.now.on_delay_s)):
        n = samples_held(on_s, seen.scan_s)
        if annunciation_rate(out, back, n, m) * scans_per_hour <= FALSE_PER_HOUR_MAX:
            return on_s
    return None


def _gaussian(seen: Seen, noise: Noise, deadband: float) -> tuple[float, float]:
    """P(beyond) and P(back behind the deadband) of a scan, for a normal signal around the quiet median."""
    spread = max(noise.spread, 1e-12)
    return gauss_tail(room(seen) / spread), 1 - gauss_tail((room(seen) - deadband) / spread)


def _beyond(seen: Seen, inside: float = 0.0) -> Bools:
    """At which scans the value is beyond its limit, or beyond one that lies `inside` it."""
    if seen.rule.kind == "state":
        return seen.scan_values > 0.5
    limit = float(seen.rule.limit)
    return (
        seen.scan_values > limit - inside if seen.rule.kind == "high" else seen.scan_values < limit + inside
    )


def _expected(seen: Seen, crossings: Crossings, setting: Setting) -> float | None:
    """False alarms of the run by the closed form; None where its condition, samples without memory, is not met."""
    n, m = (samples_held(delay, seen.scan_s) for delay in (setting.on_delay_s, setting.off_delay_s))
    if crossings.beyond >= CROSSINGS_MIN:
        if not crossings.is_white:
            return None
        out = crossings.beyond / crossings.scans
        inside = _beyond(seen, setting.deadband) & seen.scan_normal
        back = 1 - int(inside.sum()) / crossings.scans
    elif seen.noise is not None and (seen.noise.is_white or _gaussian(seen, seen.noise, 0)[0] < NEGLIGIBLE):
        out, back = _gaussian(seen, seen.noise, setting.deadband)
    else:
        return None
    return crossings.scans * annunciation_rate(out, back, n, m)


def _checks(table: Table) -> tuple[list[Check], str]:
    """Each half's own proposal, tried on the other half."""
    if not table.faults:
        return [], "no fault of this alarm in the run"
    found = []
    for half, name in enumerate(("first half", "second half")):
        row = best(table, half)
        if row is None:
            return [], f"the {name} has no fault that can be told in time"
        found.append(Check(name, table.figures(row, half), table.figures(row, 1 - half)))
    return found, ""


def as_dict(tuning: Tuning) -> dict[str, Any]:
    """The result as plain data, for JSON."""
    return {
        "run": str(tuning.folder),
        "hours": tuning.hours,
        "share_of_response": tuning.share,
        "holdouts": tuning.holdouts,
        "rules": [asdict(rule) | {"trust": rule.trust} for rule in tuning.rules],
    }


def fragment(tuning: Tuning) -> str:
    """The `alarms:` of site.yaml with the proposals in it, as YAML; a rule without one is as it was.

    A comment above a rule says why its proposal is not to be taken without a thought.
    """
    rules = {rule.name: rule for rule in tuning.rules}
    lines = ["alarms:"]
    for name, body in tuning.document["alarms"].items():
        rule, changed = rules[str(name)], dict(body)
        if rule.proposed is not None:
            changes = asdict(rule.proposed.setting)
            changed |= {
                key: _plain(value) for key, value in changes.items() if value != float(body.get(key) or 0.0)
            }
            lines += [f"  # doubtful: {doubt}" for doubt in _doubts(rule, rule.proposed)]
        text = yaml.safe_dump({name: changed}, sort_keys=False, allow_unicode=True, width=118)
        lines.append(indent(text.rstrip("\n"), "  "))
    return "\n".join(lines) + "\n"


def _doubts(rule: RuleTuning, proposed: Figures) -> list[str]:
    """Why a proposal may not hold on another day."""
    if rule.trials and sum(trial.proposed.faults for trial in rule.trials) >= FAULTS_MIN:
        return []
    if not proposed.faults:
        return ["made from the noise alone, no fault of this alarm in the run"]
    found = []
    if proposed.faults < FAULTS_MIN:
        found.append(f"made from {proposed.faults} fault{'s' * (proposed.faults > 1)} of this alarm only")
    if not rule.checks:
        found.append(f"not checked on another half: {rule.unchecked}")
    for check in rule.checks:
        own, other = check.own, check.other
        untimely = own.missed + own.late, other.missed + other.late
        if other.false_alarms > own.false_alarms or untimely[1] > untimely[0]:
            found.append(
                f"not confirmed, made from the {check.made_from}: {own.false_alarms} false there, {other.false_alarms}"
                f" in the other half; missed or late {untimely[0]} of {own.faults} and {untimely[1]} of {other.faults}"
            )
    return found


def _plain(value: float) -> float | int:
    return int(value) if value == int(value) else value
