"""A row that is not Good needs a cause at its time, no oftener than the cause."""

from __future__ import annotations

import dataclasses

import pytest

from tests.acceptance.judged import judged_by

BAD_SENSOR, NO_COMMUNICATION = 0x808B0000, 0x80310000


def said(plan, tmp_path):
    verdict = judged_by({"integrity"}, plan.write(tmp_path / "run"))
    return verdict.criterion("integrity"), verdict.counts["invented"]


def claim(plan, lab, second: float, *, metric: str = "pressure", value=None, quality: int = 0) -> None:
    """The bridge calls a value not Good at that second, in live data."""
    message = next(m for m in plan.data if m.ns >= lab.at(second) and m.device == "capper.capper_1")
    message.samples.append(lab.Sample(message.device, metric, lab.at(second) // lab.MS, value, quality))


def test_two_bad_rows_beside_each_good_one_of_a_replay_are_invented(plan, tmp_path) -> None:
    good = 0
    for message in plan.data:
        old = [sample for sample in message.samples if sample.historical]
        good += len(old)
        beside = [
            dataclasses.replace(s, ts_ms=s.ts_ms + n, value=None, quality=0) for s in old for n in (1, 2)
        ]
        message.samples = [*message.samples, *beside]
    result, invented = said(plan, tmp_path)
    assert (result.verdict, invented) == ("FAIL", 2 * good)
    assert "a value called not Good without a cause" in result.statement
    assert f"{invented:,} of" in result.measured


def test_a_good_value_called_bad_is_invented(plan, tmp_path) -> None:
    plan.samples("pressure", live=True)[300].quality = 0
    result, invented = said(plan, tmp_path)
    assert (result.verdict, invented) == ("FAIL", 1)


@pytest.mark.parametrize(("claims", "invented"), [(1, 0), (2, 1)])
def test_a_lost_source_is_claimed_once(plan, lab, tmp_path, claims: int, invented: int) -> None:
    plan.timeline.append(lab.fault("plc_1", "crash", "plc1", (400, 420), ["plc"]))
    for number in range(claims):
        claim(plan, lab, 402.5 + number, quality=500)
    result, found = said(plan, tmp_path)
    assert found == invented
    assert result.verdict == ("FAIL" if invented else "PASS")
    if not invented:
        assert "1 more is called not Good by the bridge, each with a cause" in result.statement


def test_before_a_fault_and_after_its_data_are_back_there_is_no_cause(plan, lab, tmp_path) -> None:
    plan.timeline.append(lab.fault("plc_1", "crash", "plc1", (400, 420), ["plc"]))
    for second in (399.5, 425.5):
        claim(plan, lab, second)
    assert said(plan, tmp_path)[1] == 2


def test_a_cut_of_the_wan_makes_no_value_bad(plan, lab, tmp_path) -> None:
    claim(plan, lab, 190.5)
    plan.timeline.append(lab.fault("wan_2", "slow", "wan", (185, 200), ["wan"]))
    assert said(plan, tmp_path)[1] == 1


def test_the_status_of_the_source_may_come_under_another_time_instead_of_its_own(plan, lab, tmp_path) -> None:
    for row in plan.ledger:
        if row[1] == lab.at(400) and row[2] == 7:
            row[3:] = [None, BAD_SENSOR]
    at = lab.at(400) // lab.MS
    plan.drop(lambda sample: sample.metric == "pressure" and sample.ts_ms == at)
    claim(plan, lab, 400.25)
    claim(plan, lab, 400.5)
    assert said(plan, tmp_path)[1] == 1


@pytest.mark.parametrize(("starved", "quality", "invented"), [(True, 500, 0), (True, 0, 1), (False, 500, 1)])
def test_what_was_not_yet_seen_is_born_as_null_once(plan, lab, tmp_path, starved, quality, invented) -> None:
    """Its repeat says nothing new, but for another quality, and once a value was seen."""
    births = [m for m in plan.messages if m.device == "capper.capper_1" and m.kind == "DBIRTH"]
    for message, ts_ms in zip(births, (0, lab.at(170) // lab.MS), strict=False):
        never = lab.Sample(message.device, "pressure", ts_ms, None, 500)
        message.samples = [s for s in message.samples if s.metric != "pressure"] + [never]
    births[1].samples[-1].quality = quality
    if starved:
        for message in plan.data:
            message.samples = [s for s in message.samples if s.metric != "pressure"]
        births[2].samples = [s for s in births[2].samples if s.metric != "pressure"]
    assert said(plan, tmp_path)[1] == invented


def test_gaps_are_a_cause_as_often_as_they_are_declared_and_the_server_threw_away(
    plan, lab, tmp_path
) -> None:
    for number in range(5):
        claim(plan, lab, 402.5 + number)
    declared = [
        "H",
        lab.at(410),
        lab.EDGE,
        "",
        "bridge/declared_gaps",
        lab.at(410) // lab.MS,
        4,
        192,
        False,
        "data",
    ]
    plan.host_rows.append(declared)
    plan.server = {"server": {"offered": len(plan.ledger), "overflowed": 3, "dropped": 0}}
    assert said(plan, tmp_path)[1] == 2


def test_one_value_of_before_the_ledger_is_known_to_a_birth_and_no_more(plan, lab, tmp_path) -> None:
    births = [m for m in plan.messages if m.device == "capper.capper_1" and m.kind == "DBIRTH"]
    for number, message in enumerate(births[:2]):
        before = lab.Sample(message.device, "pressure", lab.START_NS // lab.MS - 5000 + number, 1.0)
        message.samples = [s for s in message.samples if s.metric != "pressure"] + [before]
    verdict = judged_by({"integrity"}, plan.write(tmp_path / "run"))
    assert verdict.counts["unexpected"] == 1


@pytest.mark.parametrize("is_said", [True, False])
def test_what_has_no_communication_is_excused_by_a_ddeath_alone(plan, lab, tmp_path, is_said: bool) -> None:
    device, lost = "capper.capper_1", range(lab.at(400), lab.at(403))
    mine = {index for index, topic in enumerate(lab.TOPICS) if topic.device == device}
    for row in plan.ledger:
        if row[1] in lost and row[2] in mine:
            row[3:] = [None, NO_COMMUNICATION]
    plan.messages = [m for m in plan.messages if m.ns not in lost or m.device != device]
    if is_said:
        plan.messages.append(lab.Message(lab.at(400.5), "DDEATH", device))
        born = [lab.sample_of(topic, 399) for topic in lab.TOPICS if topic.device == device]
        plan.messages.append(lab.Message(lab.at(403.1), "DBIRTH", device, born))
    verdict = judged_by({"loss", "session"}, plan.write(tmp_path))
    assert verdict.counts["lost"] == (0 if is_said else 4)  # the first of each: what repeats it need not come
    assert verdict.criterion("session").verdict == "PASS"
