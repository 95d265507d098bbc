"""What the alarm criteria share: both policies' annunciations over the judged window, and what became of each fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from shakedown.acceptance.alarms.annunciations import Annunciation, Transition, annunciations, transitions
from shakedown.acceptance.alarms.baseline import naive
from shakedown.acceptance.alarms.beside import replayed
from shakedown.acceptance.alarms.labels import Labelled, first_told, label
from shakedown.acceptance.alarms.oracle import Lives, lives
from shakedown.acceptance.join import Joined
from shakedown.acceptance.operations_site import AlarmRule, sensor_alarms
from shakedown.acceptance.physical import TrueFault
from shakedown.acceptance.run import Run
from shakedown.acceptance.spans import S
from shakedown.acceptance.wording import number

RESPONSE_SHARE = 0.25  # a fault must be told within this share of the time that people have for it
POLLS = 2


class Detection(msgspec.Struct, frozen=True):
    """One fault and when each policy told it, in seconds from its onset; None if never."""

    fault: TrueFault
    delay_s: float | None
    baseline_s: float | None
    bound_s: (
        float  # the larger of baseline + two polls and min(response / 4, baseline + on-delay + two polls)
    )
    why_missed: str = ""

    @property
    def missed(self) -> bool:
        return self.delay_s is None

    @property
    def in_time(self) -> bool:
        """Whether it was told within its bound."""
        return self.delay_s is not None and self.delay_s <= self.bound_s + 1e-9


@dataclass
class AlarmView:
    """Annunciations and faults of the window [from_ns, to_ns)."""

    from_ns: int
    to_ns: int
    moves: dict[str, list[Transition]]
    policy: Labelled
    baseline: Labelled
    all_entries: list[Annunciation]  # of the policy, before and after the window too
    detections: list[Detection]
    pending: int  # faults that there was no time left to tell
    lives: Lives
    beside: Labelled | None  # what other rules would have annunciated, where the scenario names any

    @property
    def published(self) -> bool:
        """Whether any alarm state ever arrived."""
        return any(self.moves.values())

    @property
    def rules_failed(self) -> str:
        """Says that a failure is the rules' own, where the bridge did all that they say, in time; else empty."""
        late = any(entry.told_ns != entry.ns for entry in self.all_entries)
        if self.lives.breaches or late or not self.lives.exact:
            return ""
        return (
            f" The rules fail here, not the bridge: it did what they say, in each of {number(self.lives.exact)}"
            " transitions."
        )


def alarm_view(run: Run, joined: Joined) -> AlarmView:
    """Label what was annunciated and what the naive baseline would have, against the faults of the ledger."""
    moves = transitions(run, [*run.operations.alarms, *sensor_alarms(run.operations.alarms)])
    from_ns, to_ns = run.window_start_ns(None), run.window_end_ns
    faults = sorted(
        run.ledger.physical.faults(run.ledger.end_ns), key=lambda fault: (fault.onset_ns, fault.id)
    )
    rules = run.operations.alarms
    slack_ns = _slack_ns(run, rules)
    policy = label(annunciations(run, moves), faults, slack_ns, run.end_ns)
    baseline = label(naive(rules, joined.topics), faults, slack_ns, run.end_ns)
    view = AlarmView(
        from_ns,
        to_ns,
        moves,
        policy.within(from_ns, to_ns),
        baseline.within(from_ns, to_ns),
        policy.entries,
        [],
        0,
        lives(run, joined, moves, (from_ns, to_ns)),
        _beside(run, joined, faults),
    )
    for fault in faults:
        if not (fault.alarms and from_ns <= fault.onset_ns < to_ns):
            continue
        detection = _detection(run, fault, moves, policy.of_fault[fault.id], baseline.of_fault[fault.id])
        if detection.missed and fault.onset_ns + fault.response_s * S > to_ns and fault.end_ns > to_ns:
            view.pending += 1
        else:
            view.detections.append(detection)
    return view


def _beside(run: Run, joined: Joined, faults: list[TrueFault]) -> Labelled | None:
    rules = run.operations.beside
    if not rules:
        return None
    slack_ns = _slack_ns(run, rules)
    entries = label(replayed(rules, joined.topics), faults, slack_ns, run.end_ns)
    return entries.within(run.window_start_ns(None), run.window_end_ns)


def _slack_ns(run: Run, rules: Sequence[AlarmRule]) -> dict[str, int]:
    """How long after the end of a fault each alarm may still tell it: its on-delay and two polls."""
    return {rule.name: int((rule.on_delay_s + POLLS * poll_s(run, rule)) * S) for rule in rules}


def poll_s(run: Run, rule: AlarmRule) -> float:
    """How far apart two looks at the metric of an alarm are."""
    scan_ms = float(run.ledger.signals[rule.topic.signal].get("scan_ms") or 1000)
    return max(scan_ms, rule.topic.sampling_interval_ms) / 1000


def _detection(
    run: Run,
    fault: TrueFault,
    moves: dict[str, list[Transition]],
    told: list[Annunciation],
    baseline: list[Annunciation],
) -> Detection:
    first, naive_first = first_told(told, fault), first_told(baseline, fault)
    baseline_s = None if naive_first is None else (naive_first.ns - fault.onset_ns) / S
    rules = [rule for rule in run.operations.alarms if rule.name in fault.alarms]
    bound_s = told_within_s(
        fault.response_s, baseline_s, [(rule.on_delay_s, POLLS * poll_s(run, rule)) for rule in rules]
    )
    delay_s = None if first is None else (first.told_ns - fault.onset_ns) / S
    why = _why(fault, rules, moves, told) if first is None else ""
    return Detection(fault, delay_s, baseline_s, bound_s, why)


def told_within_s(response_s: float, baseline_s: float | None, rules: Sequence[tuple[float, float]]) -> float:
    """How soon a fault must be told; `rules` are (on-delay, two polls) of its alarms, `baseline_s` the naive delay.

    A quarter of the response time or, if that is less, the naive delay, the on-delay and two polls. No rule can tell a
    fault before its signal shows it, so never less than the naive delay and two polls.
    """
    bound_s = RESPONSE_SHARE * response_s
    if baseline_s is None or not rules:
        return bound_s
    slack_s = max(on_delay_s + polls_s for on_delay_s, polls_s in rules)
    return max(baseline_s + max(polls_s for _, polls_s in rules), min(bound_s, baseline_s + slack_s))


def _why(
    fault: TrueFault, rules: list[AlarmRule], moves: dict[str, list[Transition]], told: list[Annunciation]
) -> str:
    """Why nobody was told of a fault, in words."""
    if not rules:
        return f"none of its alarms ({', '.join(sorted(fault.alarms))}) is in site.yaml"
    if told:
        return f"{told[0].tag} was hidden before anybody had acknowledged it"
    standing = {rule.name: _state_at(moves[rule.name], fault.onset_ns) for rule in rules}
    for name, state in standing.items():
        if state in ("shelved", "suppressed", "out_of_service"):
            return f"{name} was {state} when it began"
        if state != "normal":
            return f"{name} stood already ({state}) and did not speak again: it masked the fault"
    return f"{', '.join(standing)} never spoke"


def _state_at(moves: list[Transition], ns: int) -> str:
    return next((move.state for move in reversed(moves) if move.ns <= ns), "normal")
