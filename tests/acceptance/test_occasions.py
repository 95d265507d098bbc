"""What a run gave no occasion or no time for, and what no leave of its scenario excuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shakedown.acceptance import Verdict
from tests.acceptance.judged import judged_by

SHORT = {"may_be_inconclusive": ["loss", "freshness"]}


def uncut(lab: Any, seconds: int = 800) -> Any:
    plan = lab.healthy(seconds, wan=(0, 0), host=(0, 0))
    plan.timeline = [entry for entry in plan.timeline if entry["kind"] == "phase"]
    plan.messages = [message for message in plan.messages if message.kind != "NDEATH"]
    return plan


def judged(plan: Any, folder: Path) -> Verdict:
    return judged_by({"loss", "freshness"}, plan.write(folder))


def dies(plan: Any, lab: Any, at_s: float) -> None:
    plan.messages = [message for message in plan.messages if message.ns < lab.at(at_s)]


def test_without_an_outage_loss_across_outages_is_not_applicable_and_the_run_may_pass(
    lab: Any, tmp_path: Path
) -> None:
    verdict = judged(uncut(lab), tmp_path)
    result = verdict.criterion("loss")
    assert (result.verdict, result.needs, verdict.verdict) == ("NOT_APPLICABLE", None, "PASS")
    assert result.statement.startswith("Not applicable: nothing was cut in this run.")
    assert "samples that the line offered" in result.statement


def test_without_an_outage_and_without_time_nothing_is_concluded(lab: Any, tmp_path: Path) -> None:
    plan = uncut(lab, 200)
    plan.manifest["may_be_inconclusive"] = ["freshness"]
    verdict = judged(plan, tmp_path / "announced_one")
    assert (verdict.criterion("loss").verdict, verdict.verdict) == ("NOT_APPLICABLE", "INCONCLUSIVE")
    assert verdict.criterion("loss").statement.endswith("so the run stays INCONCLUSIVE.")
    plan.manifest |= SHORT
    verdict = judged_by({"loss", "freshness", "integrity"}, plan.write(tmp_path / "announced_both"))
    assert (verdict.criterion("loss").verdict, verdict.verdict) == ("NOT_APPLICABLE", "PASS")


def test_without_an_outage_the_samples_are_judged_all_the_same(lab: Any, tmp_path: Path) -> None:
    plan = uncut(lab)
    plan.drop(lambda sample: lab.at(400) <= sample.ts_ms * lab.MS < lab.at(402))
    verdict = judged(plan, tmp_path)
    assert (verdict.criterion("loss").verdict, verdict.verdict) == ("FAIL", "FAIL")


def test_a_dead_bridge_is_not_excused_by_a_scenario_that_is_too_short(lab: Any, tmp_path: Path) -> None:
    plan = uncut(lab, 100)
    plan.manifest |= SHORT
    dies(plan, lab, 42)
    verdict = judged(plan, tmp_path)
    loss, freshness = verdict.criterion("loss"), verdict.criterion("freshness")
    pending, judged_n = verdict.counts["pending"], verdict.counts["ok"]
    assert pending > 200
    assert judged_n > 200
    assert (freshness.verdict, freshness.excused, verdict.verdict) == ("FAIL", False, "FAIL")
    assert "could not save it" in freshness.statement
    assert (loss.verdict, loss.excused) == ("INCONCLUSIVE", False)
    assert loss.measured == f"0 of {judged_n:,}, {pending:,} pending"
    assert "All" not in loss.statement
    assert f"{pending:,} still had time when the run ended" in loss.statement


def test_what_was_announced_is_excused_where_evidence_alone_is_lacking(lab: Any, tmp_path: Path) -> None:
    plan = lab.healthy(320, wan=(60, 120), host=(200, 220))
    plan.manifest |= SHORT
    verdict = judged(plan, tmp_path)
    assert [(result.verdict, result.excused) for result in verdict.criteria] == [("INCONCLUSIVE", True)] * 2


def test_a_lost_sample_is_not_excused(lab: Any, tmp_path: Path) -> None:
    plan = uncut(lab, 3_000)
    plan.manifest |= SHORT
    one = plan.samples("count", live=True)[1_000]
    plan.drop(lambda sample: (sample.metric, sample.ts_ms) == (one.metric, one.ts_ms))
    verdict = judged_by({"loss"}, plan.write(tmp_path))
    result = verdict.criterion("loss")
    assert (result.verdict, result.excused, verdict.verdict) == ("INCONCLUSIVE", False, "INCONCLUSIVE")


def test_one_sample_of_an_outage_is_no_pass_however_many_the_run_offered(lab: Any, tmp_path: Path) -> None:
    plan = lab.healthy(6_000)
    lost = lab.at(120) // lab.MS
    plan.drop(lambda sample: (sample.metric, sample.ts_ms) == ("count", lost))
    result = judged_by({"loss"}, plan.write(tmp_path)).criterion("loss")
    assert result.figures.decision.verdict == "PASS"
    assert (result.verdict, result.figures.by_outage.verdict) == ("FAIL", "FAIL")
    assert "2 outages, 1 of them lost something: too few to say anything" in result.statement
