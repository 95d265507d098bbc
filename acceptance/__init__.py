"""Judge: ledger and observation readers, Sparkplug replay, statistics, verdicts. Reads files and the wire only."""

from shakedown.acceptance.judging import judge
from shakedown.acceptance.verdict import EXIT_CODES, CriterionResult, Verdict, combine

__all__ = ["EXIT_CODES", "CriterionResult", "Verdict", "combine", "judge"]
