"""What was concluded: the model of `verdict.json`, how verdicts combine, and the exit codes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec

from shakedown.acceptance.files import Problem

Outcome = Literal["PASS", "FAIL", "INCONCLUSIVE", "HARNESS_FAULT"]

EXIT_CODES: dict[str, int] = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3, "HARNESS_FAULT": 4}
_RANK: tuple[Outcome, ...] = ("PASS", "INCONCLUSIVE", "FAIL", "HARNESS_FAULT")


class CriterionResult(msgspec.Struct, kw_only=True):
    """What one criterion says. `needs` is what a PASS would take, in words, None when nothing is wanting.

    `excused`: inconclusive with the scenario's announced leave, and not part of the run's verdict.
    """

    name: str
    title: str
    verdict: Outcome
    threshold: str
    measured: str
    statement: str
    needs: str | None = None
    excused: bool = False
    details: dict[str, Any] = {}


class Verdict(msgspec.Struct, kw_only=True):
    """What is said of one run (docs/architecture.md, `verdict.json`)."""

    format: int = 1
    verdict: Outcome
    scope: str = "run"
    strict: bool = False
    scenario: str = ""
    seed: int = 0
    criteria: list[CriterionResult] = []
    counts: dict[str, int] = {}
    attribution: dict[str, int] = {}
    malformed: dict[str, int] = {}
    harness: list[Problem] = []
    series: dict[str, Any] = {}

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
        """Write `verdict.json`; NaN and infinite numbers become null."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")

    @classmethod
    def read(cls, path: Path) -> Verdict:
        """Read `verdict.json`. Raises msgspec.ValidationError or msgspec.DecodeError for anything else."""
        return msgspec.json.decode(path.read_bytes(), type=cls)


def combine(outcomes: Iterable[Outcome]) -> Outcome:
    """The verdict of several: a harness fault over FAIL over INCONCLUSIVE over PASS; of none, INCONCLUSIVE."""
    return max(outcomes, key=_RANK.index, default="INCONCLUSIVE")
