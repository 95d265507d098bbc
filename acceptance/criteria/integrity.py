"""Integrity: nothing wrong, nothing invented, nothing twice; exact, and any breach is a FAIL."""

from __future__ import annotations

from typing import Any

import msgspec

from shakedown.acceptance.blocks import ROWS_MAX, Row, Table, text
from shakedown.acceptance.criterion import Criterion, Finding
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.join import Example
from shakedown.acceptance.run import unmatched
from shakedown.acceptance.spans import S
from shakedown.acceptance.wording import clock, counted, in_times

KINDS = {
    "wrong": "a value other than the source's at that timestamp",
    "wrong_quality": "quality Good where the source said Bad or stale",
    "unexpected": "a sample that the source never offered",
    "invented": "a value called not Good without a cause",
    "duplicated": "the same sample twice",
    "early": "a sample before the source had it",
}
BY_VALUES = KINDS | {"out_of_order": "a sample after a newer one, without a timestamp that says so"}
UNDECLARED_LISTED_MAX = 20
RUN_MAX_S = 7 * 86_400


class Figures(msgspec.Struct, kw_only=True, frozen=True):
    """Rows by kind of breach with the first of each; `withdrawn`: the bridge's word, with a cause, that it does not
    know."""

    breaches: dict[str, int]
    examples: dict[str, list[Example]]
    withdrawn: int
    undeclared_metrics: dict[str, int]


def judge(evidence: Evidence) -> Finding:
    """Any row at the enterprise without exactly one sample behind it is a breach."""
    joined, start_ns = evidence.joined, evidence.run.ledger.start_ns
    kinds = BY_VALUES if evidence.run.bridge.promises.identity == "values" else KINDS
    found = {kind: joined.breaches[kind] for kind in kinds if joined.breaches[kind]}
    total = sum(found.values())
    if total:
        example = joined.examples[next(iter(found))][0]
        statement = (
            f"{total:,} of {joined.rows:,} rows at the enterprise"
            f" {'is' if total == 1 else 'are'} not what the line said: "
            + "; ".join(f"{in_times(count)} {kinds[kind]}" for kind, count in found.items())
            + f". First: {example.topic} at {_when(example, start_ns)}"
            + (f", {example.looks_like}." if example.looks_like else ".")
        )
    elif joined.rows:
        said = joined.rows - joined.withdrawn - joined.earlier
        statement = f"Each of {said:,} rows at the enterprise is what the line said at that moment."
        statement += _beside(joined.withdrawn, "called not Good by the bridge, each with a cause")
        statement += _beside(joined.earlier, "of before the ledger began")
        unnamed = sum(joined.undeclared.values())
        statement += _beside(unnamed, "of metrics that site.yaml does not name, and not judged")
    else:
        statement = "Nothing arrived at the enterprise, so nothing of it could be wrong."
    if not joined.rows or total:
        statement = " ".join(filter(None, [statement, unmatched(evidence.run)]))
    rows = [_row(kind, example, start_ns) for kind in found for example in joined.examples[kind]]
    distinct = list({tuple(row.cells): row for row in rows}.values())  # equal lines would say nothing more
    columns = text("what", "topic", "received", "offered", "looks like")
    return Finding(
        verdict="FAIL" if total else "PASS" if joined.rows else "INCONCLUSIVE",
        measured=f"{total:,} of {joined.rows:,}",
        statement=statement,
        needs=None if joined.rows else "a run in which something arrives",
        figures=Figures(
            breaches={kind: joined.breaches[kind] for kind in kinds},
            examples=joined.examples,
            withdrawn=joined.withdrawn,
            undeclared_metrics=dict(joined.undeclared.most_common(UNDECLARED_LISTED_MAX)),
        ),
        blocks=[Table(title="The first of each kind", columns=columns, rows=distinct[:ROWS_MAX])]
        if rows
        else [],
    )


def _beside(count: int, what: str) -> str:
    return f" {counted(count, 'more', 'more')} {'is' if count == 1 else 'are'} {what}." if count else ""


def _when(example: Example, start_ns: int) -> str:
    """As the charts count it, and as it stands in the logs; only this where it claims no time of the run."""
    at_s = example.ts_ms / 1000 - start_ns / S
    return f"{clock(at_s)} ({example.ts_ms} ms)" if 0 <= at_s < RUN_MAX_S else f"{example.ts_ms} ms"


def _row(kind: str, example: Example, start_ns: int) -> Row:
    received = f"{_said(example.value)} at {_when(example, start_ns)}"
    return Row([BY_VALUES[kind], example.topic, received, _said(example.expected), example.looks_like], "bad")


def _said(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


CRITERION = Criterion(
    name="integrity",
    title="Integrity of what arrived",
    question="Is what arrives what the line said?",
    threshold="no value wrong, unexpected, early, or twice; none Good that the source called otherwise; none called not"
    " Good without a cause",
    judge=judge,
    figures=Figures,
    of_samples=True,
    takes_time=False,
)
