"""Judge: ledger and observation readers, Sparkplug replay, statistics, verdicts. Reads files and the wire only."""

from shakedown.acceptance.judging import judge, judge_run
from shakedown.acceptance.verdict import EXIT_CODES, CriterionResult, Verdict, combine
from shakedown.acceptance.verdict_file import read_verdict

__all__ = ["EXIT_CODES", "CriterionResult", "Verdict", "combine", "judge", "judge_run", "read_verdict"]
