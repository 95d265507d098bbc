"""The judge: reads a run folder, applies every criterion, and says what may be concluded."""

from __future__ import annotations

import time
import traceback
from collections.abc import Collection
from pathlib import Path

from shakedown.acceptance.attribution import attribute
from shakedown.acceptance.criteria import all_criteria
from shakedown.acceptance.criterion import Criterion, Finding, More
from shakedown.acceptance.evidence import Evidence
from shakedown.acceptance.files import Problem, read_json
from shakedown.acceptance.join import join
from shakedown.acceptance.pictures import pictures
from shakedown.acceptance.reconciliation import reconcile
from shakedown.acceptance.run import Run, Unjudgeable, load_run
from shakedown.acceptance.verdict import Answer, CriterionResult, Outcome, Verdict, combine

UNDECIDED = " Nothing else that a PASS rests on came to a verdict either, so the run stays INCONCLUSIVE."
NOT_WHOLE = "let the scenario run to its end: `shakedown accept SCENARIO --seed N`"


def judge(
    run_folder: str | Path,
    *,
    strict: bool = False,
    only: Collection[str] = (),
    took_s: dict[str, float] | None = None,
) -> Verdict:
    """Judge one run by its files. Never raises on account of what they hold: that is a harness fault, or INCONCLUSIVE.

    `strict` demands that no sample at all is lost; `only` names the criteria at stake, all if it names none;
    `took_s` is filled with the seconds that each criterion took. A folder whose manifest does not say `complete` is not
    judged.
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
    return judge_run(run, verdict, only=only, took_s=took_s)


def judge_run(
    run: Run,
    verdict: Verdict | None = None,
    *,
    only: Collection[str] = (),
    took_s: dict[str, float] | None = None,
) -> Verdict:
    """Judge a run that is in hand already; the verdict says so where the judge itself fails."""
    verdict = verdict or Verdict(verdict="HARNESS_FAULT", strict=run.strict)
    verdict.bridge = run.bridge
    try:
        _conclude(run, verdict, only, {} if took_s is None else took_s)
    except Exception as error:  # the same for the judge itself: a harness fault, not a traceback
        verdict.verdict = "HARNESS_FAULT"
        verdict.harness = [*run.problems, _crash("the judge", error)]
    return verdict


def evidence_of(run: Run) -> Evidence:
    """What the criteria read of a run, to be judged on one of them alone."""
    joined = join(run)
    return Evidence(run, joined, attribute(run, joined))


def _conclude(run: Run, verdict: Verdict, only: Collection[str], took_s: dict[str, float]) -> None:
    evidence = evidence_of(run)
    joined, attribution = evidence.joined, evidence.attribution
    criteria, problems = all_criteria()
    run.problems += problems
    asked = [criterion for criterion in criteria if not only or criterion.name in only]
    judged = [criterion for criterion in asked if criterion.applies(run)]
    results = []
    for criterion in judged:
        began_s = time.perf_counter()
        results.append(_judged(criterion, evidence))
        took_s[criterion.name] = round(time.perf_counter() - began_s, 3)
    verdict.criteria = [result for result, _ in results]
    if run.wire is not None:
        run.problems += run.wire.problems
    if attribution.lab:
        what = f"{attribution.lab} samples were lost by the lab, after its broker had accepted them"
        remedy = "a defect of the embedded broker or of the primary host: report it with the run folder"
        run.problems.append(Problem(what, "host.jsonl against broker.jsonl", remedy))
    run.problems += reconcile(run, evidence.passed)
    lost = joined.count("lost")
    late = joined.count("late")
    pending = joined.count("pending")
    eligible = joined.count("eligible")
    verdict.counts = {
        "offered": len(run.ledger.values),
        "eligible": eligible,
        "ok": eligible - lost - late - pending,
        "pending": pending,
        "lost": lost,
        "late": late,
        "wrong": joined.breaches["wrong"] + joined.breaches["wrong_quality"],
        "unexpected": joined.breaches["unexpected"],
        "invented": joined.breaches["invented"],
        "duplicated": joined.breaches["duplicated"],
        "out_of_order": joined.breaches["out_of_order"],
        "declared": min(lost, joined.declared_lost),
    }
    verdict.attribution = attribution.counts()
    verdict.malformed = {"payloads": evidence.malformed["payloads"], "values": evidence.malformed["values"]}
    verdict.harness = run.problems
    verdict.blocks = pictures(run, joined)
    said = [outcome for _, outcome in results if outcome is not None]
    for result in _unoccasioned(run, judged, results):
        result.statement += UNDECIDED
        said.append("INCONCLUSIVE")
    verdict.verdict = combine([*said, "HARNESS_FAULT"] if run.problems else said)


def _judged(criterion: Criterion, evidence: Evidence) -> tuple[CriterionResult, Outcome | None]:
    """One criterion's result, and what it is to the run's verdict, None for nothing.

    Nothing is: what is inconclusive for want of evidence, with the scenario's announced leave; what the run gave no
    occasion for; what the bridge does not promise, unless it is decisive and the scenario does not say that it judges
    only the rest. A criterion that crashes is our own defect, never a word about the bridge.
    """
    run = evidence.run
    try:
        if reason := criterion.unpromised(run):
            result = _unpromised(criterion, evidence, reason)
            return result, "INCONCLUSIVE" if criterion.decisive and not _only_promised(run) else None
        found = criterion.judge(evidence)
        if criterion.of_samples and found.verdict != "FAIL" and (needs := _identity(evidence)):
            found.verdict, found.needs = "INCONCLUSIVE", needs
        if isinstance(found.needs, More):
            found.needs = found.needs.in_words(run.window_s)
        result = _result(criterion, found, verdict=found.verdict, statement=found.statement)
    except Exception as error:  # any defect of a criterion must end in a verdict that names it
        problem = _crash(f"criterion {criterion.name!r}", error)
        run.problems.append(problem)
        said = f"The {problem.what}: nothing is said about the bridge."
        return _result(criterion, None, verdict="HARNESS_FAULT", statement=said), "HARNESS_FAULT"
    if found.verdict == "NOT_APPLICABLE":
        return result, None
    if found.verdict == "INCONCLUSIVE" and found.is_short and result.name in _announced(run):
        result.excused = True
        result.statement += (
            " This scenario is too short to judge it, says so, and its verdict does not include it."
        )
        return result, None
    return result, found.verdict


def _unpromised(criterion: Criterion, evidence: Evidence, reason: str) -> CriterionResult:
    """What the bridge does not owe; some of it is measured all the same."""
    said = f"Not applicable: {reason}."
    if criterion.decisive and not _only_promised(evidence.run):
        said += " So the run stays INCONCLUSIVE, unless its scenario sets `only_promised: true`."
    if not criterion.is_measured_anyway:
        return _result(criterion, None, verdict="NOT_APPLICABLE", statement=said)
    found = criterion.judge(evidence)
    found.needs = None
    said = f"{said} It was measured all the same. {found.statement}"
    return _result(criterion, found, verdict="NOT_APPLICABLE", statement=said)


def _unoccasioned(
    run: Run, judged: list[Criterion], results: list[tuple[CriterionResult, Outcome | None]]
) -> list[CriterionResult]:
    """Decisive criteria that the run gave no occasion for, and did not announce, where no other one is counted."""
    decisive = [row for criterion, row in zip(judged, results, strict=True) if criterion.decisive]
    if len(decisive) < 2 or any(outcome is not None for _, outcome in decisive) or _only_promised(run):
        return []
    return [r for r, _ in decisive if r.verdict == "NOT_APPLICABLE" and r.name not in _announced(run)]


def _announced(run: Run) -> list[str]:
    """The criteria that the scenario may be too short for, as it says."""
    names = run.manifest.get("may_be_inconclusive")
    return names if isinstance(names, list) else []


def _only_promised(run: Run) -> bool:
    return run.manifest.get("only_promised") is True


def _identity(evidence: Evidence) -> str:
    """What it takes to tell all samples from one another, where values alone do; "" if they do."""
    unknown = evidence.joined.unidentified
    if not unknown:
        return ""
    return (
        f"values that step with each sample, as the overlay `stepping` makes them: of {len(unknown)} of"
        f" {len(evidence.run.topics)} topics they do not tell one sample from another, first {unknown[0]}"
    )


def _result(
    criterion: Criterion, found: Finding | None, *, verdict: Answer, statement: str
) -> CriterionResult:
    return CriterionResult(
        name=criterion.name,
        title=criterion.title,
        question=criterion.question,
        verdict=verdict,
        threshold=(found and found.threshold) or criterion.threshold,
        measured=found.measured if found else "not measured",
        statement=statement,
        needs=found.needs if found and isinstance(found.needs, str) else None,
        figures=found.figures if found else None,
        blocks=found.blocks if found else [],
    )


def _crash(what: str, error: Exception) -> Problem:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    last = traceback.format_exception_only(error)[-1].strip()
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    return Problem(f"{what} crashed: {last}", where, "a defect of the judge: report it with the run folder")
