"""Runs of broken bridges, broken labs and broken files: each is told by the criterion that should tell it."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from shakedown.acceptance import Verdict, judge, read_verdict
from shakedown.acceptance.blocks import Table
from tests.acceptance.judged import judged_by


def outcomes(verdict: Verdict) -> dict[str, str]:
    return {result.name: result.verdict for result in verdict.criteria}


HEALTHY = {
    "bridge_ran": "PASS",
    "freshness": "PASS",
    "loss": "INCONCLUSIVE",
    "integrity": "PASS",
    "session": "PASS",
}


@pytest.fixture(scope="session")
def long_run(lab, tmp_path_factory) -> Path:
    return lab.healthy(3_900).write(tmp_path_factory.mktemp("long"))


def test_a_healthy_bridge_passes(long_run: Path) -> None:
    verdict = judge(long_run, strict=True)
    assert (verdict.verdict, verdict.exit_code, verdict.harness) == ("PASS", 0, [])
    assert set(outcomes(verdict).values()) == {"PASS"}
    assert verdict.counts["ok"] == verdict.counts["eligible"] == 31_000
    assert verdict.criterion("loss").figures.outages[0].offered > 400
    assert (verdict.scenario, verdict.seed, verdict.strict) == ("wan_outage", 7, True)


def test_a_short_run_says_how_many_samples_it_needs(plan, tmp_path: Path) -> None:
    verdict = judge(plan.write(tmp_path))
    assert (verdict.verdict, verdict.exit_code) == ("INCONCLUSIVE", 3)
    assert outcomes(verdict) == HEALTHY
    assert (
        verdict.criterion("loss").needs
        == "23,756 more eligible samples: at the pace of this run 50 minutes more"
    )


def test_a_verdict_can_be_written_and_read(plan, tmp_path: Path) -> None:
    verdict = judge(plan.write(tmp_path))
    verdict.write(tmp_path / "verdict.json")
    assert read_verdict(tmp_path / "verdict.json") == verdict


# Bridges that break something: what they do, the criterion that must fail, and a word that it must say.


def drops_one_in_a_hundred(plan, lab) -> None:
    lost = {id(sample) for sample in plan.samples("count")[50::100]}
    keys = {(s.device, s.metric, s.ts_ms) for s in plan.samples() if id(s) in lost}
    plan.drop(lambda sample: (sample.device, sample.metric, sample.ts_ms) in keys)


def drops_a_burst_at_reconnect(plan, lab) -> None:
    span = range(lab.at(160) // lab.MS, lab.at(165) // lab.MS)
    plan.drop(lambda sample: sample.ts_ms in span)


def loses_what_was_in_flight(plan, lab) -> None:
    """It replays only what was offered after it noticed the outage."""
    plan.drop(lambda sample: sample.historical and sample.ts_ms < lab.at(145) // lab.MS)


def ignores_the_deaf_host(plan, lab) -> None:
    plan.drop(lambda sample: sample.historical and lab.at(230) // lab.MS <= sample.ts_ms)


def never_births_a_device(plan, lab) -> None:
    plan.messages = [m for m in plan.messages if m.device != "capper.capper_1"]


def duplicates_with_new_timestamps(plan, lab) -> None:
    for message in plan.data[100::50]:
        copies = [dataclasses.replace(sample, ts_ms=sample.ts_ms + 7) for sample in message.samples]
        message.samples = [*message.samples, *copies]


def stamps_arrival_time(plan, lab) -> None:
    for message in plan.data:
        for sample in message.samples:
            sample.ts_ms = message.ns // lab.MS


def wrong_unit_factor(plan, lab) -> None:
    for sample in plan.samples("pressure"):
        sample.value *= 1.001


def wrong_unit_offset_of_one_sample(plan, lab) -> None:
    plan.samples("bowl_temperature")[200].value += 0.01


def swaps_two_tags(plan, lab) -> None:
    for message in plan.messages:
        for sample in message.samples:
            if sample.device == "filler.filler_1" and sample.metric in ("heartbeat", "count"):
                sample.metric = "count" if sample.metric == "heartbeat" else "heartbeat"


def calls_stale_values_good(plan, lab) -> None:
    """The source says Uncertain, last usable value, at second 400; the bridge says Good."""
    for row in plan.ledger:
        if row[1] == lab.at(400):
            row[4] = 0x40900000


def keeps_the_last_value_of_a_bad_sensor(plan, lab) -> None:
    for row in plan.ledger:
        if row[1] == lab.at(400) and row[2] == 0:
            row[3:] = [None, 0x808B0000]


def rounds_to_two_digits(plan, lab) -> None:
    for sample in plan.samples("bowl_temperature"):
        sample.value = round(sample.value, 2)


def sends_raw_states(plan, lab) -> None:
    for sample in plan.samples("state"):
        sample.value = {"run": "6", "idle": "4", "fault": "9"}[sample.value]


def sends_twice(plan, lab) -> None:
    plan.dedupe = False
    plan.data[900].samples.append(plan.data[900].samples[0])


def invents_nan(plan, lab) -> None:
    plan.samples("pressure")[250].value = math.nan


def forgets_is_historical(plan, lab) -> None:
    for message in plan.messages:
        for sample in message.samples:
            sample.historical = False


def reorders_live_data(plan, lab) -> None:
    for first, second in zip(plan.data[300::40], plan.data[302::40], strict=False):
        first.samples, second.samples = second.samples, first.samples


def skips_a_seq(plan, lab) -> None:
    plan.messages[400].seq = 255


def reuses_bd_seq(plan, lab) -> None:
    for message in plan.messages:
        message.bd_seq = 0


def reuses_bd_seq_after_a_broker_restart(plan, lab) -> None:
    """A broker that dies publishes no Will, so nothing on the wire says that the session has ended."""
    plan.timeline.append(lab.fault("broker_1", "broker_restart", "broker", (500, 503), ["broker"]))
    plan.messages.append(lab.Message(lab.at(505), "NBIRTH", bd_seq=1))


def re_sends_the_old_will(plan, lab) -> None:
    """An automatic reconnect registers the Will of the first connection for the second one, too."""
    plan.messages.append(lab.Message(lab.at(600), "NDEATH", bd_seq=0, qos=1))
    plan.messages.append(lab.Message(lab.at(610), "NBIRTH", bd_seq=2))


def counts_bd_seq_after_setting_the_will(plan, lab) -> None:
    """The Will is one ahead of the birth."""
    next(message for message in plan.messages if message.kind == "NDEATH").bd_seq = 1
    for message in plan.messages:
        if message.kind == "NBIRTH" and message.bd_seq == 1:
            message.bd_seq = 2


def counts_bd_seq_down(plan, lab) -> None:
    for message in plan.messages:
        message.bd_seq = 7 - message.bd_seq


def never_rebirths(plan, lab) -> None:
    plan.messages.append(lab.Message(lab.at(500), "NCMD"))


def sends_data_before_the_births(plan, lab) -> None:
    plan.messages.append(lab.Message(lab.at(500), "NCMD"))
    plan.messages.append(lab.Message(lab.at(506), "NBIRTH", bd_seq=1))


def sends_data_before_nbirth(plan, lab) -> None:
    plan.messages.remove(next(m for m in plan.messages if m.kind == "NBIRTH"))


def forgets_a_dbirth(plan, lab) -> None:
    plan.messages.remove(next(m for m in plan.messages if m.kind == "DBIRTH"))


def invents_metrics(plan, lab) -> None:
    plan.data[900].samples.append(lab.Sample("filler.filler_1", "surprise", lab.at(450) // lab.MS, 1.0))


def retains_data(plan, lab) -> None:
    plan.data[900].retain = True


def publishes_data_at_qos_1(plan, lab) -> None:
    for message in plan.data:
        message.qos = 1


def sends_garbage(plan, lab) -> None:
    plan.data[900].payload = b"\x12\xff\xff"


def goes_quiet(plan, lab) -> None:
    """Live data of one topic come 20 s late, as history."""
    for message in plan.data:
        for sample in message.samples:
            if sample.metric == "torque" and message.ns > lab.at(300):
                sample.historical = True


def holds_a_topic_stale(plan, lab) -> None:
    """It calls a topic STALE for ever, and goes on with its history only."""
    mark = lab.Sample("capper.capper_1", "torque", lab.at(400) // lab.MS + 500, None, 500)
    plan.data[800].samples.append(mark)
    for message in plan.data[801:]:
        for sample in message.samples:
            if sample.metric == "torque":
                sample.historical = True


MUTANTS = [
    (drops_one_in_a_hundred, "loss", "never did"),
    (drops_a_burst_at_reconnect, "loss", "never did"),
    (loses_what_was_in_flight, "loss", "1 of them lost something"),
    (ignores_the_deaf_host, "loss", "1 of them lost something"),
    (never_births_a_device, "loss", "never did"),
    (never_births_a_device, "freshness", "4 of 8"),
    (duplicates_with_new_timestamps, "integrity", "a repeat"),
    (stamps_arrival_time, "integrity", "arrival time as source time"),
    (stamps_arrival_time, "loss", "never did"),
    (wrong_unit_factor, "integrity", "1.001 times"),
    (wrong_unit_offset_of_one_sample, "integrity", "1 of 6,3"),
    (swaps_two_tags, "integrity", "tags swapped"),
    (calls_stale_values_good, "integrity", "Bad or stale"),
    (keeps_the_last_value_of_a_bad_sensor, "integrity", "Bad or stale"),
    (rounds_to_two_digits, "integrity", "times the expected value"),
    (sends_raw_states, "integrity", "other than the source's"),
    (sends_twice, "integrity", "the same sample twice"),
    (invents_nan, "integrity", "nan times"),
    (forgets_is_historical, "session", "is_historical"),
    (reorders_live_data, "session", "is_historical"),
    (skips_a_seq, "session", "seq"),
    (reuses_bd_seq, "session", "bdSeq 0 used again"),
    (reuses_bd_seq_after_a_broker_restart, "session", "bdSeq 1 used again"),
    (re_sends_the_old_will, "session", "repeats bdSeq 0"),
    (counts_bd_seq_after_setting_the_will, "session", "had a Will with bdSeq 1"),
    (counts_bd_seq_down, "session", "must rise"),
    (never_rebirths, "session", "no NBIRTH within 10 s"),
    (sends_data_before_the_births, "session", "before the births"),
    (sends_data_before_nbirth, "session", "before NBIRTH"),
    (forgets_a_dbirth, "session", "not born"),
    (invents_metrics, "session", "without a birth"),
    (retains_data, "session", "retain True"),
    (publishes_data_at_qos_1, "session", "QoS 1"),
    (sends_garbage, "session", "decoded"),
    (goes_quiet, "freshness", "torque"),
    (holds_a_topic_stale, "freshness", "torque"),
]


@pytest.mark.parametrize(
    ("mutate", "name", "word"), MUTANTS, ids=[f"{m[0].__name__}-{m[1]}" for m in MUTANTS]
)
def test_a_broken_bridge_fails_where_it_should(
    plan, lab, tmp_path: Path, mutate, name: str, word: str
) -> None:
    mutate(plan, lab)
    verdict = judged_by({name}, plan.write(tmp_path))
    result = verdict.criterion(name)
    assert result.verdict == "FAIL", (outcomes(verdict), result.statement)
    assert word in f"{result.statement} {result.figures}"
    assert (verdict.verdict, verdict.exit_code) == ("FAIL", 1), verdict.harness
    assert verdict.attribution["lab"] == 0


def test_a_loss_of_one_sample_in_five_thousand_fails_a_long_run(lab, tmp_path: Path) -> None:
    plan = lab.healthy(3_900)
    keys = {(s.device, s.metric, s.ts_ms) for s in plan.samples(live=True)[::5_000]}
    plan.drop(lambda sample: (sample.device, sample.metric, sample.ts_ms) in keys)
    result = judged_by({"loss"}, plan.write(tmp_path)).criterion("loss")
    assert (result.verdict, result.measured) == ("FAIL", "7 of 31,000")
    assert len(result.figures.bursts) == 7


def test_strict_demands_that_nothing_is_lost(lab, tmp_path: Path) -> None:
    plan = lab.healthy(3_900)
    one = plan.samples("count", live=True)[2_000]
    plan.drop(lambda sample: (sample.metric, sample.ts_ms) == (one.metric, one.ts_ms))
    folder = plan.write(tmp_path)
    assert judged_by({"loss"}, folder).criterion("loss").verdict == "INCONCLUSIVE"
    assert judged_by({"loss"}, folder, strict=True).criterion("loss").verdict == "FAIL"


def test_what_arrives_too_late_is_lost(plan, lab, tmp_path: Path) -> None:
    for message in plan.data:
        if message.samples[0].historical and message.ns < lab.at(200):
            message.ns = lab.at(225)  # the cut ended at 160
    verdict = judge(plan.write(tmp_path))
    assert verdict.criterion("loss").verdict == "FAIL"
    assert verdict.counts["late"] > 400
    assert verdict.counts["lost"] == 0
    assert verdict.criterion("loss").figures.outages[0].drained_after_s == pytest.approx(65.0, abs=0.1)


def test_what_still_had_time_when_the_run_ended_is_not_known(lab, tmp_path: Path) -> None:
    plan = lab.healthy(3_900)
    plan.drop(lambda sample: sample.ts_ms == lab.at(3_870) // lab.MS)
    verdict = judged_by({"loss"}, plan.write(tmp_path), strict=True)
    result = verdict.criterion("loss")
    assert (result.verdict, verdict.counts["lost"]) == ("INCONCLUSIVE", 0)
    assert result.needs == "a longer drain: 8 samples still had time to arrive when the run ended"


def test_loss_has_one_denominator_wherever_it_is_named(lab, tmp_path: Path) -> None:
    """Cell, sentence, figures and topics leave out what still had time when the run ended, and the sentence says so."""
    plan = lab.healthy(800)
    plan.drop(lambda s: lab.at(400) <= s.ts_ms * lab.MS < lab.at(405) or s.ts_ms * lab.MS >= lab.at(760))
    verdict = judged_by({"loss"}, plan.write(tmp_path))
    result, counts = verdict.criterion("loss"), verdict.counts
    judged = counts["eligible"] - counts["pending"]
    assert counts["pending"] > 100
    assert result.measured == f"40 of {judged:,}, {counts['pending']:,} pending"
    offered = f"Of {counts['offered']:,} samples that the line offered {counts['eligible']:,} had to arrive"
    assert result.statement.startswith(
        f"{offered}: 40 never did, 0 came too late, and {counts['pending']:,} still had"
    )
    assert result.figures.decision.eligible == judged == sum(t.eligible for t in result.figures.worst_topics)
    assert judged == counts["ok"] + counts["lost"] + counts["late"]


def test_an_outage_of_which_nothing_arrived_was_not_drained_at_once(plan, lab, tmp_path: Path) -> None:
    plan.drop(lambda s: lab.at(40) <= s.ts_ms * lab.MS < lab.at(240))
    plan.drop(lambda s: s.ts_ms * lab.MS < lab.at(240) and s.historical)
    result = judged_by({"loss"}, plan.write(tmp_path)).criterion("loss")
    assert result.figures.outages[0].drained_after_s is None
    tables = {block.title: block for block in result.blocks if isinstance(block, Table)}
    assert tables["What each outage held up"].rows[0].cells[-1] == "none"
    losses = result.figures.decision
    weighed = f"these {losses.lost:,} weigh as {losses.lost / losses.burst_size:.1f}."
    assert weighed in result.blocks[0].text


def test_time_in_cuts_is_said_not_to_be_judged(plan, tmp_path: Path) -> None:
    result = judged_by({"freshness"}, plan.write(tmp_path)).criterion("freshness")
    figures, said = result.figures, result.blocks[0].text
    would = f"were it, {figures.within_slo_with_cuts} of {figures.critical_topics} topics would have kept"
    assert said.startswith(f"Time in injected cuts is not judged; {would}")


def test_examples_that_look_the_same_are_shown_once(plan, lab, tmp_path: Path) -> None:
    row = next(m for m in plan.data if m.heard).samples[0]
    late = [
        "H",
        lab.at(500),
        lab.EDGE,
        row.device,
        row.metric,
        row.ts_ms,
        row.value,
        row.quality,
        False,
        "data",
    ]
    plan.host_rows = [late, [*late[:1], lab.at(501), *late[2:]]]
    result = judged_by({"integrity"}, plan.write(tmp_path)).criterion("integrity")
    assert result.figures.breaches["duplicated"] == 2
    assert [row.cells[0] for row in result.blocks[0].rows] == ["the same sample twice"]


def test_a_second_outage_puts_the_deadline_off(plan, lab, tmp_path: Path) -> None:
    plan.timeline.append(lab.fault("wan_2", "down", "wan", (205, 215), ["wan"]))
    for message in plan.data:
        if message.samples[0].historical and message.ns < lab.at(200):
            message.ns = lab.at(225)
    verdict = judge(plan.write(tmp_path))
    assert verdict.counts["late"] == 0
    deadlines_ns = [outage.deadline_ns for outage in verdict.criterion("loss").figures.outages]
    assert deadlines_ns == [
        lab.at(230),
        lab.at(315),
        lab.at(350),
    ]  # each 60 s behind its end, later cuts apart


# Labs that break something: never the bridge's fault.


def test_what_the_lab_loses_is_a_harness_fault(plan, lab, tmp_path: Path) -> None:
    plan.data[900].heard = False  # accepted by the broker, and nothing was wrong with broker or host
    verdict = judge(plan.write(tmp_path))
    assert (verdict.verdict, verdict.exit_code) == ("HARNESS_FAULT", 4)
    assert verdict.attribution == {"bridge": 0, "lab": 4, "unattributed": 0}
    assert verdict.criterion("loss").verdict == "INCONCLUSIVE"
    assert "lost by the lab" in verdict.harness[0].what


def test_a_value_that_came_once_and_was_offered_twice_in_a_millisecond_is_not_the_labs_loss(
    plan, lab, tmp_path: Path
) -> None:
    place = next(n for n, row in enumerate(plan.ledger) if row[1] == lab.at(400) and row[2] == 0)
    _, ns, signal, value, _ = plan.ledger[place]
    again = [["S", ns + 250_000, signal, value, 0x40900000], ["S", ns + 500_000, signal, value, 0]]
    plan.ledger[place + 1 : place + 1] = again
    verdict = judged_by({"loss"}, plan.write(tmp_path))
    assert verdict.harness == []
    assert verdict.attribution["bridge"] > 0


def test_what_a_foreign_broker_may_have_lost_is_unattributed(plan, lab, tmp_path: Path) -> None:
    plan.broker_log = False
    plan.data[900].heard = False
    lost = plan.data[950].samples[0].ts_ms
    plan.drop(lambda sample: sample.ts_ms == lost and sample.device == "filler.filler_1")
    verdict = judge(plan.write(tmp_path))
    assert verdict.attribution == {"bridge": 0, "lab": 0, "unattributed": 8}
    assert verdict.verdict == "FAIL"


def test_a_loss_in_a_broken_session_is_the_bridges(plan, lab, tmp_path: Path) -> None:
    plan.messages[1200].seq = 250
    plan.messages[1201].heard = False
    verdict = judge(plan.write(tmp_path))
    assert verdict.attribution == {"bridge": 4, "lab": 0, "unattributed": 0}
    assert verdict.verdict == "FAIL"


def test_a_fault_that_did_not_take_effect_is_a_harness_fault(plan, tmp_path: Path) -> None:
    plan.timeline[1]["verified"] = False
    verdict = judge(plan.write(tmp_path))
    assert verdict.verdict == "HARNESS_FAULT"
    assert "wan_1" in verdict.harness[0].what


def test_a_server_that_offered_less_than_the_ledger_is_a_harness_fault(plan, tmp_path: Path) -> None:
    plan.server = {"server": {"offered": 6_000, "queued": 6_000, "overflowed": 0, "sent": 6_000}}
    assert judge(plan.write(tmp_path)).verdict == "HARNESS_FAULT"


def test_what_mosquitto_dropped_for_the_labs_own_client_is_a_harness_fault(plan, lab, tmp_path: Path) -> None:
    def said(*dropped: tuple[int, str]) -> list[str]:
        plan.server = {"broker": {"dropped_for": dropped}}
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        return [problem.what for problem in judged_by({"bridge_ran"}, plan.write(folder)).harness]

    at_s = lab.at(400) // 10**9
    assert said((at_s, "node-red-line1")) == []
    for client in ("host-scada", "shakedown-observer"):
        assert said((at_s, "edge"), (at_s, client)) == [
            f"the broker dropped messages for {client}, which could not take them in as fast as they came"
        ]
    plan.timeline.append(
        {"id": "still", "kind": "freeze", "affects": ["host"], "start_ns": lab.at(390), "end_ns": lab.at(401),
         "applied_ns": lab.at(390), "verified": True}
    )  # fmt: skip
    assert said((at_s, "host-scada")) == []


def test_a_deaf_host_is_not_the_labs_loss_but_the_bridges_to_repair(plan, lab, tmp_path: Path) -> None:
    ignores_the_deaf_host(plan, lab)
    verdict = judge(plan.write(tmp_path))
    assert verdict.attribution["bridge"] == verdict.counts["lost"] > 300
    assert verdict.attribution["lab"] == 0


# What is not the bridge's fault at all.


def test_samples_faster_than_the_sampling_interval_may_be_left_out(plan, lab, tmp_path: Path) -> None:
    plan.ledger.insert(4_000, ["S", lab.at(500) - 50_000_000, 3, 1, 0])
    plan.ledger.sort(key=lambda row: row[1])
    verdict = judge(plan.write(tmp_path))
    assert outcomes(verdict) == HEALTHY
    assert verdict.counts["offered"] == 6_401


def test_equal_after_mapping_may_be_left_out(plan, lab, tmp_path: Path) -> None:
    """At second 500 the state is 9; half a second later it is 109, which means the same."""
    plan.site_text = lab.site_yaml().replace("9: fault", "9: fault, 109: fault")
    plan.ledger.append(["S", lab.at(500.5), 1, 109, 0])
    plan.ledger.sort(key=lambda row: row[1])
    verdict = judge(plan.write(tmp_path))
    assert outcomes(verdict) == HEALTHY
    assert (verdict.counts["offered"], verdict.counts["eligible"]) == (6_401, 6_200)


def test_a_bad_sensor_reported_as_bad_is_right(plan, lab, tmp_path: Path) -> None:
    for row in plan.ledger:
        if row[2] == 0 and lab.at(400) <= row[1] <= lab.at(450):
            row[3:] = [None, 0x808B0000]
    for sample in plan.samples("bowl_temperature"):
        if lab.at(400) // lab.MS <= sample.ts_ms <= lab.at(450) // lab.MS:
            sample.value, sample.quality = None, 0
    assert outcomes(judge(plan.write(tmp_path))) == HEALTHY


@pytest.mark.parametrize("sent", [None, math.nan])
def test_a_nan_of_the_source_may_come_as_nan_or_null(plan, lab, tmp_path: Path, sent) -> None:
    for row in plan.ledger:
        if row[2] == 0 and row[1] == lab.at(400):
            row[3] = math.nan
    for sample in plan.samples("bowl_temperature"):
        if sample.ts_ms == lab.at(400) // lab.MS:
            sample.value = sent
    assert outcomes(judge(plan.write(tmp_path))) == HEALTHY


def test_a_late_will_of_an_earlier_session_is_harmless(plan, lab, tmp_path: Path) -> None:
    will = next(message for message in plan.messages if message.kind == "NDEATH")
    will.ns = lab.at(170)  # after the NBIRTH of the next session; the host tells it by its bdSeq
    plan.host_events = [event for event in plan.host_events if event[2] != "stale"]
    will.heard = False
    assert outcomes(judge(plan.write(tmp_path))) == HEALTHY


def test_a_rebirth_on_command_keeps_the_bd_seq(plan, lab, tmp_path: Path) -> None:
    plan.messages.append(lab.Message(lab.at(500), "NCMD"))
    plan.messages.append(lab.Message(lab.at(500.1), "NBIRTH", bd_seq=1))
    for i, device in enumerate(lab.DEVICES):
        samples = [lab.sample_of(topic, 499) for topic in lab.TOPICS if topic.device == device]
        plan.messages.append(lab.Message(lab.at(500.11 + i / 100), "DBIRTH", device, samples))
    verdict = judge(plan.write(tmp_path))
    assert outcomes(verdict) == HEALTHY
    assert verdict.criterion("session").figures.rebirth_commands == 1


def test_a_rebirth_command_swallowed_by_a_fault_is_not_held_against_the_bridge(
    plan, lab, tmp_path: Path
) -> None:
    plan.messages.append(lab.Message(lab.at(98), "NCMD"))
    assert outcomes(judge(plan.write(tmp_path))) == HEALTHY


def test_bd_seq_wraps(plan, lab, tmp_path: Path) -> None:
    for message in plan.messages:
        message.bd_seq = (message.bd_seq + 255) % 256
    assert outcomes(judge(plan.write(tmp_path))) == HEALTHY


def test_notes_are_no_failures(plan, tmp_path: Path) -> None:
    for message in plan.data:
        message.named = True
    verdict = judge(plan.write(tmp_path))
    assert outcomes(verdict) == HEALTHY
    assert verdict.criterion("session").figures.breaches == {
        "alias_only": sum(message.accepted for message in plan.data)
    }


def test_what_a_stranger_publishes_is_not_the_edge_nodes(plan, lab, tmp_path: Path) -> None:
    folder = plan.write(tmp_path)
    lines = (folder / "broker.jsonl").read_text().splitlines()
    strange = [
        "spBv1.0/x/DDATA/y/z",
        "spBv1.0/a",
        "spBv1.0/STATE/scada",
        "other/topic",
        "spBv1.0/x/NOPE/y",
        "spBv1.0",
    ]
    lines[100:100] = [f'["A",{lab.at(50)},"s","{topic}","/////w==",0,false]' for topic in strange]
    (folder / "broker.jsonl").write_text("\n".join(lines) + "\n")
    verdict = judge(folder)
    assert outcomes(verdict) == HEALTHY
    assert verdict.malformed == {"payloads": 2, "values": 0}


def test_garbage_under_the_edge_nodes_name_by_another_client_is_counted_and_not_held_against_it(
    plan, lab, tmp_path: Path
) -> None:
    folder = plan.write(tmp_path)
    lines = (folder / "broker.jsonl").read_text().splitlines()
    topics = [f"spBv1.0/hamburg.filling/{kind}/line1" for kind in ("NBIRTH", "NDATA", "NDEATH", "DDATA")]
    lines[100:100] = [f'["A",{lab.at(50)},"intruder","{topic}","/////w==",0,false]' for topic in topics]
    (folder / "broker.jsonl").write_text("\n".join(lines) + "\n")
    verdict = judge(folder)
    assert outcomes(verdict) == HEALTHY
    assert verdict.malformed == {"payloads": 4, "values": 0}
    assert verdict.criterion("session").figures.messages_of_strangers == 4


def test_less_than_ten_minutes_outside_of_cuts_is_inconclusive(lab, tmp_path: Path) -> None:
    verdict = judge(lab.healthy(700).write(tmp_path))
    result = verdict.criterion("freshness")
    assert (result.verdict, result.needs) == ("INCONCLUSIVE", "45 s more outside of injected cuts")


def test_series_are_bounded_and_balanced(long_run: Path) -> None:
    samples, backlog, age, done = judge(long_run).blocks
    assert {series.step_s for series in (samples, backlog, age)} == {2}
    lines = [line for series in (samples, backlog, age) for line in series.lines.values()]
    assert [len(line) for line in lines] == [1_950] * 4
    (held_up,) = backlog.lines.values()
    assert max(held_up) > 400
    assert held_up[-1] == 0
    assert [band.name for band in age.bands] == ["wan_1", "host_1"]
    assert [row.cells[2] for row in done.rows] == ["wan_1 (blackhole)", "host_1 (unplug)"]
