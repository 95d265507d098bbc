"""Every criterion of the table passes through the same suite; a new one needs a row in the table and nothing here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from shakedown.acceptance import criteria, judge, judging, read_verdict
from shakedown.acceptance.blocks import Block, Sentence, Table
from shakedown.acceptance.criteria import CRITERIA, all_criteria
from shakedown.acceptance.criterion import Criterion, Finding
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.judging import evidence_of
from shakedown.acceptance.run import load_run
from shakedown.acceptance.verdict import EXIT_CODES, combine
from shakedown.acceptance.verdict_file import verdict_schema
from shakedown.reports.text import plain
from tests.acceptance import operations_day
from tests.acceptance.operations_report import open_reports_of

OUTCOMES = {"PASS", "FAIL", "INCONCLUSIVE"}


def _evidence(folder: Path) -> Evidence:
    return evidence_of(load_run(folder))


@pytest.fixture(scope="session")
def healthy_runs(lab, tmp_path_factory) -> list[Evidence]:
    """A run of the way of the data, and one of a shift."""
    plain = lab.healthy(3_900).write(tmp_path_factory.mktemp("healthy"))
    day = operations_day.healthy()
    day.reports += open_reports_of(day)
    return [_evidence(plain), _evidence(day.write(tmp_path_factory.mktemp("healthy_shift")))]


@pytest.fixture(scope="session")
def silent_runs(lab, tmp_path_factory) -> list[Evidence]:
    """Bridges that send nothing at all."""
    plan = lab.healthy(800)
    plan.messages.clear()
    day = operations_day.healthy()
    folder = day.silenced().write(tmp_path_factory.mktemp("silent_shift"))
    return [_evidence(plan.write(tmp_path_factory.mktemp("silent"))), _evidence(folder)]


_RESULTS: dict[tuple[str, int], Finding] = {}


def once(criterion: Criterion, evidence: Evidence) -> Finding:
    """What a criterion makes of one of the session's runs, worked out once."""
    key = criterion.name, id(evidence)
    if key not in _RESULTS:
        _RESULTS[key] = criterion.judge(evidence)
    return _RESULTS[key]


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


def test_the_page_of_the_criteria_has_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "criteria.md").read_text(encoding="utf-8")
    rows = [f"| {row.name} | {row.question} | {row.threshold} |" for row in CRITERIA]
    assert "\n".join(["|---|---|---|", *rows, ""]) in page
    sections = re.findall(r"^##+ (\w+)$", page, re.MULTILINE)
    assert [name for name in sections if name in {row.name for row in CRITERIA}] == [
        row.name for row in CRITERIA
    ]


def test_passes_a_healthy_run_and_says_so_in_full(criterion: Criterion, healthy: Evidence) -> None:
    found = once(criterion, healthy)
    assert (found.verdict, found.needs) == ("PASS", None)
    for text in (criterion.title, criterion.question, criterion.threshold, found.measured, found.statement):
        assert text.strip()
    assert criterion.question.endswith("?")
    assert found.statement.endswith(".")


def test_figures_are_of_their_own_type_and_plain_json(criterion: Criterion, healthy: Evidence) -> None:
    found = once(criterion, healthy)
    assert type(found.figures) is criterion.figures
    assert msgspec.json.decode(msgspec.json.encode(found.figures), type=criterion.figures) == found.figures


def test_blocks_are_whole_and_show_nothing_that_is_not_there(
    criterion: Criterion, healthy: Evidence, silent: Evidence
) -> None:
    for block in [*once(criterion, healthy).blocks, *once(criterion, silent).blocks]:
        for words in words_of(block):
            assert not re.search(r"\b(None|nan|inf)\b", words), words
        if isinstance(block, Table):
            assert all(len(row.cells) == len(block.columns) for row in block.rows)
            assert 0 < len(block.rows) <= 50


def words_of(block: Block) -> Iterator[str]:
    """Every text of a block."""
    if isinstance(block, Sentence):
        yield from (block.text, *block.items)
    elif isinstance(block, Table):
        yield from (plain(block.title), block.note)
        yield from (plain(cell) for row in block.rows for cell in row.cells)


def test_is_deterministic(criterion: Criterion, healthy: Evidence) -> None:
    assert msgspec.json.encode(once(criterion, healthy)) == msgspec.json.encode(criterion.judge(healthy))


def test_never_passes_a_bridge_that_sends_nothing(criterion: Criterion, silent: Evidence) -> None:
    if criterion.name == "bridge_ran":
        return  # it may stand there and be silent
    result = once(criterion, silent)
    assert result.verdict in OUTCOMES - {"PASS"}
    assert result.verdict == "FAIL" or result.needs


def test_a_silent_bridge_fails(silent_runs: list[Evidence]) -> None:
    for evidence in silent_runs:
        judged = [criterion for criterion in CRITERIA if criterion.applies(evidence.run)]
        assert combine(once(criterion, evidence).verdict for criterion in judged) == "FAIL"


def test_runs_without_alarms_oee_and_cmms_are_not_judged_on_them(healthy_runs: list[Evidence]) -> None:
    of_each = [{row.name for row in CRITERIA if row.applies(evidence.run)} for evidence in healthy_runs]
    every = {"bridge_ran", "freshness", "loss", "integrity", "session"}
    assert of_each == [every, every | {"oee", "nuisance", "false_alarms", "acknowledgement", "work_orders"}]


def test_a_crash_is_a_harness_fault_that_names_the_criterion(
    criterion: Criterion, day: operations_day.Day, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(evidence: Evidence) -> None:
        raise ZeroDivisionError("by the criterion itself")

    table = tuple(replace(row, judge=crash) if row.name == criterion.name else row for row in CRITERIA)
    monkeypatch.setattr(judging, "all_criteria", lambda: (table, ()))
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


class Broken(NamedTuple):
    """An entry point of somebody's package; `found` is what it leads to, an exception that it raises."""

    name: str
    found: object
    value: str = "theirs:CRITERION"

    def load(self) -> object:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Broken]]:
    """Entry points of the group, to be filled."""
    found: list[Broken] = []
    monkeypatch.setattr(criteria, "entry_points", lambda group: found)
    all_criteria.cache_clear()
    yield found
    all_criteria.cache_clear()


def test_people_may_have_criteria_of_their_own(
    theirs: list[Broken], day: operations_day.Day, tmp_path: Path
) -> None:
    theirs.append(Broken("theirs", replace(CRITERIA[0], name="theirs")))
    judge(day.write(tmp_path)).write(tmp_path / "verdict.json")
    verdict = read_verdict(tmp_path / "verdict.json")
    assert verdict.criterion("theirs").verdict == "PASS"
    assert type(verdict.criterion("theirs").figures) is CRITERIA[0].figures
    assert "theirs" in json.dumps(verdict_schema())


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (ImportError("no module named 'theirs'"), "ImportError: no module named 'theirs'"),
        ("text", "it is str, not shakedown.acceptance.criterion.Criterion"),
        (CRITERIA[1], "its name 'freshness' is taken"),
    ],
)
def test_one_that_cannot_be_used_is_a_harness_fault_that_names_it(
    theirs: list[Broken], day: operations_day.Day, tmp_path: Path, found: object, said: str
) -> None:
    theirs.append(Broken("theirs", found))
    verdict = judge(day.write(tmp_path))
    assert verdict.verdict == "HARNESS_FAULT"
    assert said in verdict.harness[0].what
    assert "criterion 'theirs' of theirs:CRITERION" in verdict.harness[0].what
    assert [result.name for result in verdict.criteria] == [row.name for row in CRITERIA]
    assert "HARNESS_FAULT" not in {result.verdict for result in verdict.criteria}


def test_the_schema_names_the_figures_of_each_criterion() -> None:
    schema = verdict_schema()
    conditions = schema["$defs"]["CriterionResult"]["allOf"]
    assert [row["if"]["properties"]["name"]["const"] for row in conditions] == [row.name for row in CRITERIA]
    for row, criterion in zip(conditions, CRITERIA, strict=True):
        name = row["then"]["properties"]["figures"]["anyOf"][0]["$ref"].removeprefix("#/$defs/")
        assert list(schema["$defs"][name]["properties"]) == list(criterion.figures.__struct_fields__)


def test_a_verdict_without_a_figure_is_refused(day: operations_day.Day, tmp_path: Path) -> None:
    judge(day.write(tmp_path)).write(tmp_path / "verdict.json")
    text = (tmp_path / "verdict.json").read_text()
    (tmp_path / "verdict.json").write_text(text.replace('"judged_s"', '"judged"'))
    with pytest.raises(msgspec.ValidationError, match="judged_s"):
        read_verdict(tmp_path / "verdict.json")
