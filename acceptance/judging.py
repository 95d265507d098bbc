"""The judge: reads a run folder, applies every criterion, and says what may be concluded."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

from shakedown.acceptance.attribution import attribute
from shakedown.acceptance.criteria import CRITERIA, Criterion
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.files import Problem, read_json
from shakedown.acceptance.join import join
from shakedown.acceptance.run import Run, Unjudgeable, load_run
from shakedown.acceptance.series import series
from shakedown.acceptance.verdict import CriterionResult, Verdict, combine

NOT_WHOLE = "let the scenario run to its end: `shakedown accept SCENARIO --seed N`"


def judge(run_folder: str | Path, *, strict: bool = False) -> Verdict:
    """Judge one run by its files. Never raises on account of what they hold: that is a harness fault, or INCONCLUSIVE.

    `strict` demands that no sample at all is lost. A folder whose manifest does not say `complete` is not judged.
    """
    folder = Path(run_folder)
    problems: list[Problem] = []
    manifest = read_json(folder / "manifest.json", problems, remedy=NOT_WHOLE)
    verdict = Verdict(verdict="HARNESS_FAULT", strict=strict, harness=problems)
    if manifest is None:
        return verdict
    verdict.scenario = str(manifest.get("scenario", ""))
    seed = manifest.get("seed", 0)
    verdict.seed = seed if type(seed) is int else 0
    if manifest.get("status") != "complete":
        what = f"the run is {manifest.get('status')!r}, not complete: it holds no verdict"
        problems.append(Problem(what, "manifest.json, status", NOT_WHOLE))
        verdict.verdict = "INCONCLUSIVE"
        return verdict
    try:
        run = load_run(folder, strict=strict)
    except Unjudgeable as error:
        problems += error.problems
        return verdict
    try:
        _conclude(run, verdict)
    except Exception as error:  # the same for the judge itself: a harness fault, not a traceback
        verdict.verdict = "HARNESS_FAULT"
        verdict.harness = [*run.problems, _crash("the judge", error)]
    return verdict


def _conclude(run: Run, verdict: Verdict) -> None:
    joined = join(run)
    attribution = attribute(run, joined)
    evidence = Evidence(run, joined, attribution)
    verdict.criteria = [_judged(criterion, evidence) for criterion in CRITERIA if criterion.applies(run)]
    if run.wire is not None:
        run.problems += run.wire.problems
    if attribution.lab:
        what = f"{attribution.lab} samples were lost by the lab, after its broker had accepted them"
        remedy = "a defect of the embedded broker or of the primary host: report it with the run folder"
        run.problems.append(Problem(what, "host.jsonl against broker.jsonl", remedy))
    lost = joined.count("lost")
    late = joined.count("late")
    eligible = joined.count("eligible")
    verdict.counts = {
        "offered": len(run.ledger.values),
        "eligible": eligible,
        "ok": eligible - lost - late - joined.count("pending"),
        "lost": lost,
        "late": late,
        "wrong": joined.breaches["wrong"] + joined.breaches["wrong_quality"],
        "unexpected": joined.breaches["unexpected"],
        "duplicated": joined.breaches["duplicated"],
        "declared": min(lost, joined.declared_lost),
    }
    verdict.attribution = attribution.counts()
    verdict.malformed = {"payloads": evidence.malformed["payloads"], "values": evidence.malformed["values"]}
    verdict.harness = run.problems
    verdict.series = series(run, joined)
    _excuse(verdict.criteria, run.manifest)
    outcomes = [result.verdict for result in verdict.criteria if not result.excused]
    verdict.verdict = combine([*outcomes, "HARNESS_FAULT"] if run.problems else outcomes)


def _excuse(criteria: list[CriterionResult], manifest: dict[str, Any]) -> None:
    """Mark what is inconclusive with the scenario's announced leave; a FAIL is never excused."""
    announced = manifest.get("may_be_inconclusive")
    for result in criteria:
        if result.verdict == "INCONCLUSIVE" and isinstance(announced, list) and result.name in announced:
            result.excused = True
            result.statement += (
                " This scenario is too short to judge it, says so, and its verdict does not include it."
            )


def _judged(criterion: Criterion, evidence: Evidence) -> CriterionResult:
    """One criterion's result; a criterion that crashes is our own defect, never a word about the bridge."""
    try:
        return criterion.judge(evidence)
    except Exception as error:  # any defect of a criterion must end in a verdict that names it
        problem = _crash(f"criterion {criterion.name!r}", error)
        evidence.run.problems.append(problem)
        return CriterionResult(
            name=criterion.name,
            title=criterion.title,
            verdict="HARNESS_FAULT",
            threshold=criterion.threshold,
            measured="not measured",
            statement=f"The {problem.what}: nothing is said about the bridge.",
        )


def _crash(what: str, error: Exception) -> Problem:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    last = traceback.format_exception_only(error)[-1].strip()
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    return Problem(f"{what} crashed: {last}", where, "a defect of the judge: report it with the run folder")
