"""What a bridge does not promise is not applicable: never passed, never failed, and nothing is concluded without it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shakedown.acceptance import Verdict, judge
from tests.acceptance.judged import judged_by
from tests.acceptance.operations_day import Day
from tests.acceptance.operations_verdicts import SHIFT

KILL = ("killed", "crash", "bridge", (400, 410), ["bridge"])


def answers(verdict: Verdict) -> dict[str, str]:
    return {result.name: result.verdict for result in verdict.criteria}


def run_of(lab: Any, folder: Path, promises: dict[str, Any], **manifest: Any) -> Verdict:
    """A run with a cut of the WAN, a deaf host and a killed bridge, of a bridge that loses some of the cut."""
    plan = lab.healthy(800)
    plan.timeline.append(lab.fault(*KILL))
    plan.drop(lambda s: lab.at(120) <= s.ts_ms * 1_000_000 < lab.at(125))
    plan.manifest |= {"bridge": {"name": "theirs", "promises": promises}, **manifest}
    return judged_by({"loss", "freshness", "integrity", "session"}, plan.write(folder))


@pytest.mark.parametrize(
    ("promises", "reason"),
    [
        ({"store_and_forward": "none"}, "promises no store-and-forward, and 'wan_1'"),
        ({"store_and_forward": "memory"}, "in memory alone, and 'killed' ends its process"),
        ({"primary_host": False}, "wait for a primary host, and 'host_1' takes it away"),
    ],
)
def test_loss_that_nobody_promised_to_prevent_is_counted_and_not_judged(
    lab: Any, tmp_path: Path, promises: dict[str, Any], reason: str
) -> None:
    verdict = run_of(lab, tmp_path, promises)
    result = verdict.criterion("loss")
    assert (result.verdict, result.needs) == ("NOT_APPLICABLE", None)
    assert reason in result.statement
    assert "stays INCONCLUSIVE, unless its scenario sets `only_promised: true`" in result.statement
    assert (verdict.verdict, verdict.exit_code) == ("INCONCLUSIVE", 3)
    assert verdict.counts["lost"] == result.figures.outages[0].lost == 40


def test_a_scenario_may_say_that_it_judges_the_rest_alone(lab: Any, tmp_path: Path) -> None:
    verdict = run_of(
        lab, tmp_path, {"store_and_forward": "none"}, only_promised=True, may_be_inconclusive=["freshness"]
    )
    assert answers(verdict)["loss"] == "NOT_APPLICABLE"
    assert "only_promised" not in verdict.criterion("loss").statement
    assert verdict.verdict == "PASS"


def test_a_promise_that_is_broken_fails_as_before(lab: Any, tmp_path: Path) -> None:
    verdict = run_of(lab, tmp_path, {}, only_promised=True)
    assert answers(verdict)["loss"] == verdict.verdict == "FAIL"


@pytest.mark.parametrize("faults", [[], [("frozen", "freeze", "bridge", (400, 410), ["bridge"])]])
def test_memory_is_enough_where_nothing_ends_the_bridge(lab: Any, tmp_path: Path, faults: list[Any]) -> None:
    plan = lab.healthy(800)
    plan.timeline += [lab.fault(*fault) for fault in faults]
    plan.manifest["bridge"] = {"promises": {"store_and_forward": "memory"}}
    assert answers(judged_by({"loss"}, plan.write(tmp_path))) == {"loss": "INCONCLUSIVE"}


def test_plain_json_has_no_session_and_is_stale_only_while_its_host_has_no_broker(
    lab: Any, tmp_path: Path
) -> None:
    plan = lab.healthy(800)
    plan.manifest["bridge"] = {"promises": {"protocol": "json"}}
    rows = [
        ["H", m.ns + 1_000_000, lab.EDGE, s.device, s.metric, s.ts_ms, s.value, s.quality, False, "data"]
        for m in plan.data if m.accepted and m.heard for s in m.samples
    ]  # fmt: skip
    plan.messages.clear()
    before = [(*row[:1], lab.at(6), *row[2:5], lab.at(-5) // 1_000_000, *row[6:]) for row in rows[:8]]
    plan.host_rows = before + list({tuple(row[3:7]): row for row in reversed(rows)}.values())
    verdict = judge(plan.write(tmp_path))
    assert answers(verdict)["session"] == "NOT_APPLICABLE"
    assert verdict.criterion("freshness").figures.worst[0].longest_stale_s < 70
    assert answers(verdict)["integrity"] == "PASS"
    assert verdict.counts["lost"] == 0


@pytest.mark.parametrize("promises", [{"operations": False}, {"protocol": "json"}])
def test_who_derives_no_operations_is_not_judged_on_them(
    day: Day, tmp_path: Path, promises: dict[str, Any]
) -> None:
    folder = day.silenced().write(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"bridge": {"promises": promises}}))
    said = answers(judge(folder))
    assert {said[name] for name in SHIFT} == {"NOT_APPLICABLE"}


def test_a_bridge_that_ended_fails_and_its_last_lines_are_shown(plan: Any, tmp_path: Path) -> None:
    plan.manifest["bridge_ended"] = "its process ended with exit code 3; see bridge.log"
    folder = plan.write(tmp_path)
    lines = [f"line {number}" for number in range(30)]
    (folder / "bridge.log").write_text("\n".join([*lines, "x" * 10_000, "", "\x00 out of memory"]))
    verdict = judged_by({"bridge_ran", "integrity"}, folder)
    result = verdict.criterion("bridge_ran")
    assert verdict.verdict == result.verdict == "FAIL"
    assert "its process ended with exit code 3" in result.statement
    assert result.figures.last_lines[0] == "line 20"
    assert result.figures.last_lines[-1].endswith("out of memory")
    assert max(map(len, result.figures.last_lines)) == 400


def test_whether_a_bridge_of_others_ended_nobody_can_say(plan: Any, tmp_path: Path) -> None:
    plan.manifest["bridge"] = {"watched": False}
    assert (
        answers(judged_by({"bridge_ran", "integrity"}, plan.write(tmp_path)))["bridge_ran"]
        == "NOT_APPLICABLE"
    )


@pytest.mark.parametrize(
    ("at_s", "said"), [(400, "FAIL"), (735, "NOT_APPLICABLE")], ids=["long before", "just before the end"]
)
def test_a_bridge_of_others_that_is_gone_from_the_enterprise_has_ended(
    plan: Any, lab: Any, tmp_path: Path, at_s: float, said: str
) -> None:
    plan.manifest["bridge"] = {"watched": False}
    plan.messages = [message for message in plan.messages if message.ns < lab.at(at_s)]
    plan.host_events += [
        ["E", lab.at(5), "online", {"edge": lab.EDGE}],
        ["E", lab.at(at_s), "stale", {"edge": lab.EDGE}],
    ]
    result = judged_by({"bridge_ran"}, plan.write(tmp_path)).criterion("bridge_ran")
    assert result.verdict == said
    assert ("its session ended at 6:40, nothing kept it from another" in result.statement) == (said == "FAIL")


def test_topics_that_the_mapping_of_a_json_bridge_does_not_match_are_named(lab: Any, tmp_path: Path) -> None:
    plan = lab.healthy(800)
    plan.manifest["bridge"] = {"promises": {"protocol": "json"}}
    plan.messages.clear()
    topics = ["mine/filler.filler_1/state", "mine/filler.filler_1/count"]
    plan.host_events += [["E", lab.at(6), "unmapped", {"topic": topic}] for topic in topics]
    verdict = judged_by({"loss", "integrity"}, plan.write(tmp_path))
    said = f"2 topics arrived that the declared mapping does not match, the first {topics[0]}."
    assert answers(verdict) == {"loss": "FAIL", "integrity": "INCONCLUSIVE"}
    assert all(said in result.statement for result in verdict.criteria)


def test_what_no_sparkplug_topic_carries_is_named_where_the_edge_node_was_never_born(
    lab: Any, tmp_path: Path
) -> None:
    plan = lab.healthy(800)
    plan.messages.clear()
    folder = plan.write(tmp_path)
    log = folder / "broker.jsonl"
    *lines, end = log.read_text().splitlines()
    row = ["A", lab.at(6), "theirs", "mine/filler/state", "MQ==", 0, False]
    log.write_text("\n".join([*lines, json.dumps(row), end, ""]))
    result = judged_by({"session"}, folder).criterion("session")
    assert (result.verdict, result.measured) == ("FAIL", "no NBIRTH in 0 messages")
    assert "1 message on topics outside of spBv1.0/ reached that broker, the first on mine/filler/state." in (
        result.statement
    )
