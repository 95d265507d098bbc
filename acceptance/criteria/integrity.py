"""Integrity: nothing wrong, nothing invented, nothing twice; exact, and any breach is a FAIL."""

from __future__ import annotations

from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.verdict import CriterionResult

NAME, TITLE = "integrity", "Integrity of what arrived"
THRESHOLD = (
    "no value wrong, unexpected, or duplicated after dedupe; none Good that the source called otherwise"
)

KINDS = {
    "wrong": "a value other than the source's at that timestamp",
    "wrong_quality": "quality Good where the source said Bad or stale",
    "unexpected": "a sample that the source never offered",
    "duplicated": "the same sample twice after dedupe",
}
UNDECLARED_LISTED_MAX = 20


def judge(evidence: Evidence) -> CriterionResult:
    """Any row at the enterprise without exactly one sample behind it is a breach."""
    joined = evidence.joined
    found = {kind: joined.breaches[kind] for kind in KINDS if joined.breaches[kind]}
    total = sum(found.values())
    if total:
        first = next(iter(found))
        example = joined.examples[first][0]
        statement = (
            f"{total:,} of {joined.rows:,} rows at the enterprise are not what the line said: "
            + "; ".join(f"{count:,} times {KINDS[kind]}" for kind, count in found.items())
            + f". First: {example['topic']} at {example['ts_ms']} ms"
            + (f", {example['looks_like']}." if example.get("looks_like") else ".")
        )
    elif joined.rows:
        statement = (
            f"Each of the {joined.rows:,} rows at the enterprise is what the line said at that moment."
        )
    else:
        statement = "Nothing arrived at the enterprise, so nothing of it could be wrong."
    return CriterionResult(
        name=NAME,
        title=TITLE,
        verdict="FAIL" if total else "PASS" if joined.rows else "INCONCLUSIVE",
        threshold=THRESHOLD,
        measured=f"{total:,} of {joined.rows:,}",
        statement=statement,
        needs=None if joined.rows else "a run in which something arrives",
        details={
            "breaches": {kind: joined.breaches[kind] for kind in KINDS},
            "examples": joined.examples,
            "withdrawn": joined.withdrawn,
            "undeclared_metrics": dict(joined.undeclared.most_common(UNDECLARED_LISTED_MAX)),
        },
    )
