"""Every criterion of the table passes through the same suite; a new one needs a row in the table and nothing here."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from shakedown.acceptance import judge, judging
from shakedown.acceptance.attribution import attribute
from shakedown.acceptance.criteria import CRITERIA, Criterion
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.join import join
from shakedown.acceptance.run import load_run
from shakedown.acceptance.verdict import EXIT_CODES, combine
from tests.acceptance import shift_day

OUTCOMES = {"PASS", "FAIL", "INCONCLUSIVE"}


def _evidence(folder: Path) -> Evidence:
    run = load_run(folder)
    joined = join(run)
    return Evidence(run, joined, attribute(run, joined))


@pytest.fixture(scope="session")
def healthy_runs(lab, tmp_path_factory) -> list[Evidence]:
    """A run of the way of the data, and one of a shift."""
    plain = lab.healthy(3_900).write(tmp_path_factory.mktemp("healthy"))
    shift = shift_day.healthy().write(tmp_path_factory.mktemp("healthy_shift"))
    return [_evidence(plain), _evidence(shift)]


@pytest.fixture(scope="session")
def silent_runs(lab, tmp_path_factory) -> list[Evidence]:
    """Bridges that send nothing at all."""
    plan = lab.healthy(800)
    plan.messages.clear()
    day = shift_day.healthy()
    folder = day.silenced().write(tmp_path_factory.mktemp("silent_shift"))
    return [_evidence(plan.write(tmp_path_factory.mktemp("silent"))), _evidence(folder)]


@pytest.fixture(params=CRITERIA, ids=lambda criterion: criterion.name)
def criterion(request) -> Criterion:
    return request.param


@pytest.fixture
def healthy(criterion: Criterion, healthy_runs: list[Evidence]) -> Evidence:
    """The first of the healthy runs that this criterion is about."""
    return next(evidence for evidence in healthy_runs if criterion.applies(evidence.run))


@pytest.fixture
def silent(criterion: Criterion, silent_runs: list[Evidence]) -> Evidence:
    return next(evidence for evidence in silent_runs if criterion.applies(evidence.run))


def test_names_are_unique() -> None:
    assert len({criterion.name for criterion in CRITERIA}) == len(CRITERIA)


def test_passes_a_healthy_run_and_says_so_in_full(criterion: Criterion, healthy: Evidence) -> None:
    result = criterion.judge(healthy)
    assert (result.verdict, result.needs) == ("PASS", None)
    assert (result.name, result.title) == (criterion.name, criterion.title)
    for text in (result.title, result.threshold, result.measured, result.statement):
        assert text.strip()
    assert result.statement.endswith(".")


def test_results_are_plain_json(criterion: Criterion, healthy: Evidence) -> None:
    result = criterion.judge(healthy)
    assert msgspec.json.decode(msgspec.json.encode(result), type=type(result)) == result


def test_is_deterministic(criterion: Criterion, healthy: Evidence) -> None:
    assert msgspec.json.encode(criterion.judge(healthy)) == msgspec.json.encode(criterion.judge(healthy))


def test_never_passes_a_bridge_that_sends_nothing(criterion: Criterion, silent: Evidence) -> None:
    result = criterion.judge(silent)
    assert result.verdict in OUTCOMES - {"PASS"}
    assert result.verdict == "FAIL" or result.needs


def test_a_silent_bridge_fails(silent_runs: list[Evidence]) -> None:
    for evidence in silent_runs:
        judged = [criterion for criterion in CRITERIA if criterion.applies(evidence.run)]
        assert combine(criterion.judge(evidence).verdict for criterion in judged) == "FAIL"


def test_runs_without_alarms_oee_and_cmms_are_not_judged_on_them(healthy_runs: list[Evidence]) -> None:
    of_each = [{row.name for row in CRITERIA if row.applies(evidence.run)} for evidence in healthy_runs]
    plain = {"freshness", "loss", "integrity", "session"}
    assert of_each == [plain, plain | {"oee", "nuisance", "false_alarms", "acknowledgement", "work_orders"}]


def test_a_crash_is_a_harness_fault_that_names_the_criterion(
    criterion: Criterion, day: shift_day.Day, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(evidence: Evidence) -> None:
        raise ZeroDivisionError("by the criterion itself")

    table = tuple(row._replace(judge=crash) if row.name == criterion.name else row for row in CRITERIA)
    monkeypatch.setattr(judging, "CRITERIA", table)
    verdict = judge(day.write(tmp_path))
    assert (verdict.verdict, verdict.exit_code) == ("HARNESS_FAULT", 4)
    assert verdict.criterion(criterion.name).verdict == "HARNESS_FAULT"
    assert "ZeroDivisionError: by the criterion itself" in verdict.harness[0].what
    assert "test_criteria_suite.py" in verdict.harness[0].where
    assert all(
        result.verdict != "HARNESS_FAULT" for result in verdict.criteria if result.name != criterion.name
    )


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], "INCONCLUSIVE"),
        (["PASS", "PASS"], "PASS"),
        (["PASS", "INCONCLUSIVE"], "INCONCLUSIVE"),
        (["INCONCLUSIVE", "FAIL", "PASS"], "FAIL"),
        (["FAIL", "HARNESS_FAULT"], "HARNESS_FAULT"),
    ],
)
def test_verdicts_combine_by_rank(outcomes, expected) -> None:
    assert combine(outcomes) == expected


def test_exit_codes() -> None:
    assert EXIT_CODES == {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3, "HARNESS_FAULT": 4}
