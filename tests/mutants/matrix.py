"""Mutants against criteria: `python -m tests.mutants.matrix [JOBS [DRILL...]]` runs them, and writes docs/mutants.md.

Without a drill all are run; with some, the rows of the others stay as they are.
"""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from shakedown.acceptance.criteria import CRITERIA
from shakedown.acceptance.verdict import Verdict
from tests.mutants.drills import HERE, verdict_of
from tests.mutants.mutant import Mutant
from tests.mutants.mutants import MUTANTS

PAGE = HERE.parents[1] / "docs" / "mutants.md"
COLUMNS = tuple(criterion.name for criterion in CRITERIA)
SAID = {"PASS": "pass", "FAIL": "FAIL", "INCONCLUSIVE": "open", "NOT_APPLICABLE": "n/a", None: "-"}
DRILLS = tuple(dict.fromkeys(mutant.drill for mutant in MUTANTS))
HEALTHY = tuple(Mutant(f"the healthy bridge in {drill}", (), drill=drill) for drill in DRILLS)

HEAD = """# Broken bridges

Written by `python -m tests.mutants.matrix` from one run of each; not by hand. `tests/mutants/` holds the broken
bridges: each is the healthy one with one small change, runs through the real stack in a drill, and must be caught by
the criterion that names its mistake (bold). What else it breaks follows from that. The healthy bridge fails nothing in
the same drills.

FAIL: caught. pass: this criterion has nothing against it. open: the drill is too short for a verdict. n/a: nothing
is cut in the drill. -: the drill has nothing that this criterion looks at. The criteria are explained in
[criteria.md](criteria.md).
"""


class Row(NamedTuple):
    """One line of the matrix: who ran, what is broken in it, in which drill, and what each criterion said."""

    name: str
    does: str
    drill: str
    cells: tuple[str, ...]


def row_of(mutant: Mutant, said: dict[str, str]) -> Row:
    """The line of a mutant; `said` is the verdict of each criterion that judged, by name."""
    cells = (SAID[said.get(name)] for name in COLUMNS)
    marked = (f"**{c}**" if n in mutant.caught_by else c for n, c in zip(COLUMNS, cells, strict=True))
    return Row(mutant.name, mutant.does, mutant.drill.removesuffix(".yaml"), tuple(marked))


def outcomes(verdict: Verdict) -> dict[str, str]:
    """What each criterion said."""
    return {criterion.name: criterion.verdict for criterion in verdict.criteria}


def rendered(rows: list[Row]) -> str:
    """The page."""
    lines = [("bridge", "what is broken", "drill", *COLUMNS), ("---",) * (3 + len(COLUMNS))]
    lines += [(row.name, row.does, row.drill, *row.cells) for row in rows]
    return HEAD + "\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def read(page: str) -> list[Row]:
    """The rows of a page."""
    lines = [line.strip("| \n").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    return [Row(name, does, drill, tuple(cells)) for name, does, drill, *cells in lines[2:]]


def _run(number: int) -> Row:
    mutant = (*HEALTHY, *MUTANTS)[number]
    with tempfile.TemporaryDirectory() as folder:
        verdict = verdict_of(Path(folder) / "run", mutant.bridge, mutant.parts, mutant.drill)
    if verdict.harness:
        raise SystemExit(f"{mutant.name}: {verdict.harness[0].what} - mend {mutant.drill}")
    return row_of(mutant, outcomes(verdict))


def main(jobs: int, *drills: str) -> None:
    """Run those of `drills`, or all, `jobs` at a time, and write the page."""
    all_of_them = (*HEALTHY, *MUTANTS)
    known = {row.name: row for row in read(PAGE.read_text(encoding="utf-8"))} if drills else {}
    wanted = [
        number
        for number, mutant in enumerate(all_of_them)
        if not drills or mutant.drill.removesuffix(".yaml") in drills or mutant.name not in known
    ]
    with ProcessPoolExecutor(jobs) as pool:
        known |= {row.name: row for row in pool.map(_run, wanted)}
    PAGE.write_text(rendered([known[mutant.name] for mutant in all_of_them]), encoding="utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2, *sys.argv[2:])
