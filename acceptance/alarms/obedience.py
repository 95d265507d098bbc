"""Whether commands were obeyed and recorded: each that could be has done what it says, and who did it is on record.

What may be commanded follows from what the alarm must have shown in the seconds around the command; where that
changes, or a fault is near, nothing is said.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from shakedown.acceptance.alarms.annunciations import CutTime
from shakedown.acceptance.alarms.commands import LONGEST_S, Command, Commands
from shakedown.acceptance.alarms.life import ANSWERABLE, Shown
from shakedown.acceptance.operations_site import AlarmRule
from shakedown.acceptance.run import GRACE_S, Run
from shakedown.acceptance.spans import MS, S, Span, span_at

WAY_NS = 5 * S  # of a command from the broker to the bridge, cuts not counted
CLOCK_NS = 10 * MS  # the bridge's clock may be behind the broker's by this much
AROUND_NS = 3 * S  # the state of an alarm that a command is held against did not change within this


def disobedience(
    run: Run, rule: AlarmRule, given: Commands, must: list[Shown], judged: list[Span]
) -> Iterator[tuple[Command, str]]:
    """What is wrong with each command that was not obeyed, or was recorded though nobody had given it."""
    cuts = CutTime(run)
    left = list(given.sent)
    for record in given.obeyed:
        cause = next((sent for sent in left if _may_cause(sent, record, cuts)), None)
        if cause is not None:
            left.remove(cause)
        elif near := [sent for sent in left if _is_near(sent, record)]:
            left.remove(near[-1])
            yield (
                record,
                f"{record.verb} is recorded for {record.operator!r}, and was given by {near[-1].operator!r}",
            )
        elif (who := _nobody(run, rule, record)) is not None:
            yield record, who
        if what := _unfit(record):
            yield record, what
    for sent in left:
        if _must_be_obeyed(run, sent, must, judged):
            yield sent, f"{sent.verb} by {sent.operator!r} was not obeyed, or there is no record of it"


def _may_cause(sent: Command, record: Command, cuts: CutTime) -> bool:
    said = record.content
    if (sent.verb, sent.operator, said | sent.content) != (record.verb, record.operator, said):
        return False  # what was left out is on record as nothing
    return sent.ns <= record.ns + CLOCK_NS and cuts.without(sent.ns, record.ns) <= WAY_NS


def _is_near(sent: Command, record: Command) -> bool:
    return sent.verb == record.verb and 0 <= record.ns - sent.ns <= WAY_NS


def _nobody(run: Run, rule: AlarmRule, record: Command) -> str | None:
    """Nobody gave this command that is on record; None where somebody may have, by the bridge's own HTTP."""
    if record.verb == "ack":
        for ack in run.people.acks:
            is_this = (ack.device, ack.alarm) == (rule.device, rule.name) and ack.ns <= record.ns
            if is_this and ack.operator in ("", record.operator):
                return None
        return f"ack is recorded for {record.operator!r}, and nobody had given it"
    return None if run.operations.has_admin else f"{record.verb} is recorded, and nobody had given it"


def _unfit(record: Command) -> str:
    """What a command lacks that hides an alarm, and should not have been obeyed."""
    if record.verb not in LONGEST_S:
        return "" if record.operator else f"{record.verb} is recorded for nobody"
    content = record.content
    if not content.get("operator"):
        return f"{record.verb} without an owner"
    if record.until_ns == 0 and content.get("until_ms") == 0:
        return ""
    if not content.get("reason"):
        return f"{record.verb} without a reason"
    if not record.ns < record.until_ns <= record.ns + LONGEST_S[record.verb] * S:
        return f"{record.verb} without an expiry, or with one too far"
    return ""


def _must_be_obeyed(run: Run, sent: Command, must: list[Shown], judged: list[Span]) -> bool:
    """Whether nothing could keep a command from taking effect."""
    hides = sent.verb in LONGEST_S and sent.until_ns > sent.ns and not _unfit(sent)
    answerable = ANSWERABLE.get(sent.verb, frozenset())
    segment = span_at(judged, sent.ns)
    if segment is None or not (hides or answerable):
        return False
    from_ns, to_ns = sent.ns - AROUND_NS, sent.ns + WAY_NS
    if from_ns < segment[0] or to_ns > segment[1]:
        return False
    for fault in run.timeline:
        if fault.affects and fault.start_ns < to_ns and from_ns < fault.end_ns + int(GRACE_S * S):
            return False
    first = bisect_right(must, (from_ns, "~", True)) - 1
    last = bisect_left(must, (to_ns,))
    return hides or all(entry.state in answerable for entry in must[max(0, first) : last])
