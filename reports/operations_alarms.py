"""The alarm part of a report: what people were called for, against naive rules on the same process, and faults told."""

from __future__ import annotations

from typing import Any

from shakedown.acceptance.criteria.false_alarms import FALSE_MAX
from shakedown.acceptance.criteria.nuisance import CUT_MIN
from shakedown.reports.facts import RunFacts
from shakedown.reports.formatting import counted, number, percent, seconds
from shakedown.reports.physical_events import Span
from shakedown.reports.strip import bar
from shakedown.reports.svg import clock

LABELS = {
    "TRUE": "the first word of a fault",
    "REDUNDANT": "of a fault that was told already",
    "FALSE": "no fault behind it",
    "CHATTER": "one of three within a minute",
    "FLEETING": "gone within ten seconds, unseen",
    "STALE": "stood for more than a day",
}
WORST_MAX = 10
BEYOND = 1.5  # a delay bar ends at this multiple of its bound


def alarms(facts: RunFacts) -> dict[str, Any] | None:
    """What the template shows; None if the run was not judged on its alarms."""
    nuisance, false = facts.details("nuisance"), facts.details("false_alarms")
    if not nuisance and not false:
        return None
    return {"nuisance": _nuisance(facts, nuisance), "false": _false(facts, false)}


def _nuisance(facts: RunFacts, details: dict[str, Any]) -> dict[str, Any] | None:
    if not details:
        return None
    policy, naive = details["policy"], details["baseline"]
    most = max([*policy["labels"].values(), *naive["labels"].values(), 1])
    return {
        "policy": policy,
        "baseline": naive,
        "labels": [
            {
                "name": words,
                "tag": "",
                "policy": policy["labels"].get(name, 0),
                "baseline": naive["labels"].get(name, 0),
                "bars": _pair(policy["labels"].get(name, 0), naive["labels"].get(name, 0), most, words),
            }
            for name, words in LABELS.items()
            if policy["labels"].get(name) or naive["labels"].get(name)
        ],
        "worst": _worst(facts, policy["worst"], naive["worst"]),
        "bound": _bound(details.get("cut_lower_95")),
    }


def _pair(policy: float, naive: float, most: float, words: str) -> list[Any]:
    return [
        bar(policy, most, "ours", f"these rules: {words}"),
        bar(naive, most, "naive", f"naive rules: {words}"),
    ]


def _bound(low: float | None) -> str:
    """The exact bound of the cut, in words."""
    demanded = f"{percent(CUT_MIN, 0)} fewer are demanded"
    if low is None or low <= 0:
        return f"With 95 % confidence no cut at all can be shown; {demanded}."
    return (
        f"With 95 % confidence there are at least {percent(low, 0)} fewer (exact binomial bound); {demanded}."
    )


def _worst(facts: RunFacts, policy: dict[str, int], naive: dict[str, int]) -> list[dict[str, Any]]:
    """The alarms that called for nothing most often, under either rules; the lists end after ten."""
    tags = sorted(
        policy.keys() | naive.keys(), key=lambda tag: (-policy.get(tag, 0), -naive.get(tag, 0), tag)
    )
    most = max([*policy.values(), *naive.values(), 1])

    def count(of: dict[str, int], tag: str) -> int | None:
        return of.get(tag, 0 if len(of) < WORST_MAX else None)

    return [
        {
            "name": facts.alarm_texts.get(tag) or tag,
            "tag": tag if facts.alarm_texts.get(tag) else "",
            "policy": number(count(policy, tag)) if count(policy, tag) is not None else "few",
            "baseline": number(count(naive, tag)) if count(naive, tag) is not None else "few",
            "bars": _pair(policy.get(tag, 0), naive.get(tag, 0), most, tag),
        }
        for tag in tags[:WORST_MAX]
    ]


def _false(facts: RunFacts, details: dict[str, Any]) -> dict[str, Any] | None:
    if not details:
        return None
    faults = {span.id: span for span in facts.floor.faults} if facts.floor else {}
    delays = details.get("delays") or {}
    worst = [_delay(row, faults.get(row["fault"])) for row in delays.get("worst", [])]
    return {
        "share": _share(details),
        "vetoes": _grouped(details.get("vetoes", [])),
        "faults": details["faults"],
        "pending": details.get("faults_still_to_be_told", 0),
        "missed": [_missed(facts, row) for row in details.get("missed", [])],
        "miss_bound": percent(details.get("miss_rate_upper_95")),
        "baseline_missed": details.get("baseline_missed", 0),
        "median": seconds(delays["median_s"]) if delays else "",
        "p95": seconds(delays["p95_s"]) if delays else "",
        "max": seconds(delays["max_s"]) if delays else "",
        "delays": sorted(worst, key=lambda row: -row["share"])[:WORST_MAX],
        "flood": percent(details.get("flood_share")),
        "baseline_flood": percent(details.get("baseline_flood_share")),
    }


def _share(details: dict[str, Any]) -> str:
    """The share of false alarms and its exact bound, in words."""
    total, false = details["annunciations"], details["false"]
    if not total:
        return "Nobody was called."
    return (
        f"{counted(false, 'call') if false else 'No call'} of {number(total)} had no fault behind"
        f" {'it' if false < 2 else 'them'}"
        f" ({percent(details.get('share'))}). With 95 % confidence the share is below"
        f" {percent(details.get('upper_95'))} (exact binomial bound); {percent(FALSE_MAX, 0)} is allowed."
    )


def _grouped(texts: list[str]) -> list[str]:
    """The same said several times is said once, with how often."""
    return [
        text if texts.count(text) == 1 else f"{text} ({texts.count(text)} times)"
        for text in dict.fromkeys(texts)
    ]


def _missed(facts: RunFacts, row: dict[str, Any]) -> dict[str, Any]:
    return row | {"at": clock(facts.second(row["onset_ns"]))}


def _delay(row: dict[str, Any], fault: Span | None) -> dict[str, Any]:
    """One fault: how soon it was told, as a share of its bound. One that was missed has none."""
    delay_s, bound_s = row["delay_s"], row["bound_s"] or 1.0
    share = BEYOND if delay_s is None else delay_s / bound_s
    late = delay_s is None or share > 1 + 1e-9
    return {
        "fault": row["fault"],
        "what": f"{fault.name.replace('_', ' ')}, {fault.machine or 'line'}" if fault else "",
        "delay": "missed" if delay_s is None else seconds(delay_s),
        "bound": seconds(bound_s),
        "baseline": "missed" if row.get("baseline_s") is None else seconds(row["baseline_s"]),
        "late": late,
        "share": share if delay_s is not None else float("inf"),
        "bar": bar(share, BEYOND, "late" if late else "ours", f"{row['fault']}", [("limit", 1.0)]),
    }
