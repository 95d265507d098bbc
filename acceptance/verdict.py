"""What was concluded: the model of `verdict.json`, how verdicts combine, and the exit codes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec

from shakedown.acceptance.blocks import Block
from shakedown.acceptance.files import Problem
from shakedown.acceptance.promises import Bridge

Outcome = Literal["PASS", "FAIL", "INCONCLUSIVE", "HARNESS_FAULT"]
"""What is said of a run."""
Answer = Literal["PASS", "FAIL", "INCONCLUSIVE", "HARNESS_FAULT", "NOT_APPLICABLE"]
"""What is said on one criterion; NOT_APPLICABLE is what the bridge does not promise or the run did not put to
the test, and never a PASS."""

FORMAT = 2
EXIT_CODES: dict[str, int] = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3, "HARNESS_FAULT": 4}
_RANK: tuple[Outcome, ...] = ("PASS", "INCONCLUSIVE", "FAIL", "HARNESS_FAULT")


class Conclusion(msgspec.Struct, kw_only=True):
    """What was concluded on one criterion, in words. `needs` is what a PASS would take, None when nothing is wanting.

    `excused`: inconclusive with the scenario's announced leave, and not part of the run's verdict.
    """

    name: str
    title: str
    question: str = ""
    verdict: Answer
    threshold: str
    measured: str
    statement: str
    needs: str | None = None
    excused: bool = False

    @property
    def in_full(self) -> str:
        """The statement, and what a verdict would take."""
        wanting = self.needs and self.verdict != "PASS"
        return f"{self.statement} For a verdict it needs {self.needs}." if wanting else self.statement


class CriterionResult(Conclusion, kw_only=True):
    """The same with its `figures` (a struct of the criterion's own) and the blocks that show them."""

    figures: Any = None
    blocks: list[Block] = []


class Verdict(msgspec.Struct, kw_only=True):
    """What is said of one run (docs/architecture.md, `verdict.json`); `blocks` show the run itself."""

    format: int = FORMAT
    verdict: Outcome
    scope: str = "run"
    strict: bool = False
    scenario: str = ""
    seed: int = 0
    bridge: Bridge = Bridge()
    criteria: list[CriterionResult] = []
    counts: dict[str, int] = {}
    attribution: dict[str, int] = {}
    malformed: dict[str, int] = {}
    harness: list[Problem] = []
    blocks: list[Block] = []

    @property
    def exit_code(self) -> int:
        """0 PASS, 1 FAIL, 3 INCONCLUSIVE, 4 harness fault."""
        return EXIT_CODES[self.verdict]

    def criterion(self, name: str) -> CriterionResult:
        """The result of the criterion `name`. Raises KeyError if it was not judged."""
        for result in self.criteria:
            if result.name == name:
                return result
        raise KeyError(f"no criterion {name!r}; judged were {[result.name for result in self.criteria]}")

    def write(self, path: Path) -> None:
        """Write `verdict.json`."""
        path.write_bytes(self.encoded())

    def encoded(self) -> bytes:
        """What `verdict.json` holds; NaN and infinite numbers become null, half a surrogate pair a question mark."""
        try:
            found = msgspec.json.encode(self)
        except UnicodeEncodeError:  # JSON of others may hold such a half, as "\\ud800"
            found = msgspec.json.encode(_writable(msgspec.to_builtins(self)))
        return msgspec.json.format(found, indent=1) + b"\n"


def _writable(value: Any) -> Any:
    """The same with every text as UTF-8 can hold it."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_writable(key): _writable(inner) for key, inner in value.items()}
    return [_writable(inner) for inner in value] if isinstance(value, list | tuple) else value


def combine(outcomes: Iterable[Outcome]) -> Outcome:
    """The verdict of several: a harness fault over FAIL over INCONCLUSIVE over PASS; of none, INCONCLUSIVE."""
    return max(outcomes, key=_RANK.index, default="INCONCLUSIVE")
