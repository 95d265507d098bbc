"""Each broken bridge is caught by the criterion that should catch it; the healthy one passes the same drills."""

import pytest

from shakedown.acceptance.criteria import CRITERIA
from tests.mutants.drills import verdict_of
from tests.mutants.matrix import DRILLS, HEALTHY, PAGE, outcomes, read, rendered, row_of
from tests.mutants.mutants import MUTANTS, REPRESENTATIVE

AGAIN = "run `python -m tests.mutants.matrix`, which writes docs/mutants.md"
ROWS = {row.name: row for row in read(PAGE.read_text(encoding="utf-8"))}
QUICK = ("drill.yaml", "shift_orders.yaml")
SHIFT = [drill for drill in DRILLS if drill.startswith("shift_")]


def _one(thing, name, *, quick, in_ci=True):
    marks = [] if quick else [pytest.mark.slow]
    return pytest.param(thing, id=name, marks=marks if quick or in_ci else [*marks, pytest.mark.long])


def _mutant(mutant):
    return _one(mutant, mutant.name, quick=mutant.quick, in_ci=mutant.name in REPRESENTATIVE)


@pytest.mark.parametrize("healthy", [_one(h, h.drill, quick=h.drill in QUICK) for h in HEALTHY])
def test_the_healthy_bridge_passes_the_drill(tmp_path, healthy):
    verdict = verdict_of(tmp_path / "run", drill=healthy.drill)
    assert verdict.verdict == "PASS", [(c.name, c.verdict, c.measured) for c in verdict.criteria]
    assert row_of(healthy, outcomes(verdict)) == ROWS[healthy.name], AGAIN
    if healthy.drill == "drill.yaml":
        assert verdict.counts["lost"] == verdict.counts["late"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in (2, 3))])
@pytest.mark.parametrize("drill", SHIFT)
def test_the_healthy_bridge_fails_nothing_with_other_seeds(tmp_path, drill, seed):
    verdict = verdict_of(tmp_path / "run", drill=drill, seed=seed)
    assert verdict.harness == []
    assert "FAIL" not in outcomes(verdict).values(), [(c.name, c.statement) for c in verdict.criteria]


@pytest.mark.parametrize("mutant", [_mutant(mutant) for mutant in MUTANTS])
def test_a_broken_bridge_is_caught(tmp_path, mutant):
    verdict = verdict_of(tmp_path / "run", mutant.bridge, mutant.parts, mutant.drill)
    assert verdict.harness == []
    assert verdict.verdict == "FAIL"
    said = outcomes(verdict)
    failed = {name for name, outcome in said.items() if outcome == "FAIL"}
    assert failed & set(mutant.caught_by), [(c.name, c.verdict, c.measured) for c in verdict.criteria]
    assert row_of(mutant, said) == ROWS[mutant.name], AGAIN


def test_every_mutant_says_what_is_broken_in_it():
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names)
    for mutant in MUTANTS:
        assert mutant.does.endswith("."), mutant.name
        assert "|" not in mutant.does, mutant.name


def test_for_every_criterion_a_mutant_runs_in_ci():
    assert {m.caught_by[0] for m in MUTANTS if m.name in REPRESENTATIVE} == {c.name for c in CRITERIA}


def test_the_matrix_fits_the_table_of_mutants():
    assert list(ROWS) == [mutant.name for mutant in (*HEALTHY, *MUTANTS)], AGAIN
    for mutant in (*HEALTHY, *MUTANTS):
        row, empty = ROWS[mutant.name], row_of(mutant, {})
        assert row[:3] == empty[:3], AGAIN
        assert [c.startswith("**") for c in row.cells] == [c.startswith("**") for c in empty.cells], AGAIN
        caught = [cell for cell in row.cells if cell.startswith("**")]
        assert "**FAIL**" in caught or not mutant.caught_by, f"{mutant.name} is not caught"
        assert mutant.caught_by or "FAIL" not in row.cells, f"{mutant.name} fails"


def test_the_page_is_as_it_is_written():
    assert rendered(list(ROWS.values())) == PAGE.read_text(encoding="utf-8"), AGAIN
