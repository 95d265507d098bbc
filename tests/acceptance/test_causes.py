"""A FAIL names its cause where the run shows it."""

from __future__ import annotations

from shakedown.acceptance import judge
from shakedown.acceptance.blocks import Series
from tests.acceptance.judged import judged_by

CAPPER = "capper.capper_1"


def said(plan, tmp_path, name: str = "loss") -> str:
    result = judged_by({name}, plan.write(tmp_path / "run")).criterion(name)
    assert result.verdict == "FAIL", result.statement
    return result.statement


def refuse(plan, lab, metric: str) -> None:
    """What a bridge does with a type that does not fit: each value comes as null, Bad."""
    for message in plan.messages:
        for sample in message.samples:
            if sample.metric == metric:
                sample.value, sample.quality = None, 0
    plan.site_text = lab.site_yaml().replace(
        'node: "ns=2;s=C.TQ", type: Float', 'node: "ns=2;s=C.TQ", type: UInt16'
    )


def test_a_refused_type_is_named_and_no_outage_is_blamed(plan, lab, tmp_path) -> None:
    refuse(plan, lab, "torque")
    text = said(plan, tmp_path)
    assert f"are of {CAPPER}/torque, whose type in site.yaml is UInt16 and whose source is a Float" in text
    assert "none of them lost anything" in text
    verdict = judged_by({"integrity", "freshness"}, tmp_path / "run")
    assert verdict.criterion("integrity").verdict == "PASS"  # to say so is no invention
    assert "of type UInt16 in site.yaml and Float at the source" in verdict.criterion("freshness").statement


def test_a_device_and_a_topic_that_were_never_born_are_named(plan, tmp_path) -> None:
    plan.messages = [m for m in plan.messages if m.device != CAPPER]
    plan.drop(lambda sample: sample.metric == "count")
    text = said(plan, tmp_path)
    assert f"are of device {CAPPER}, which was never born." in text
    assert "are of filler.filler_1/count, which was never born." in text
    assert "of which nothing ever arrived" in said(plan, tmp_path, "freshness")


def test_the_chart_of_the_stalest_topic_shows_the_one_that_never_arrived(plan, tmp_path) -> None:
    plan.drop(lambda sample: sample.metric == "count")
    blocks = judge(plan.write(tmp_path), only={"bridge_ran"}).blocks
    chart = next(b for b in blocks if isinstance(b, Series) and b.title.startswith("Oldest change"))
    (topic,) = chart.lines
    assert topic == "filler.filler_1/count"
    assert max(at for at in chart.lines[topic] if at is not None) > 700


def test_a_bridge_that_falls_silent_is_named(plan, lab, tmp_path) -> None:
    plan.messages = [m for m in plan.messages if m.ns < lab.at(500)]
    assert "Nothing at all arrived after 8:19." in said(plan, tmp_path)
    plan.manifest["bridge_ended"] = "it ended with exit code 1"
    assert "The bridge failed as a process: it ended with exit code 1." in said(plan, tmp_path)


def slowed(plan, lab, factor: float) -> None:
    """The bridge takes `factor` times as long for everything, and nothing comes in a cut at 400 s."""
    born = plan.messages[:3]
    live = [m for m in plan.data if not any(sample.historical for sample in m.samples)]
    for message in live:
        message.accepted = message.heard = True
        message.ns = lab.at(5) + round((message.ns - lab.at(5)) * factor)
        message.ns += 10 * lab.S * (message.ns >= lab.at(400))
    plan.messages = [*born, *(m for m in live if m.ns < lab.at(800))]
    kept = [entry for entry in plan.timeline if entry["kind"] == "phase"]
    plan.timeline = [*kept, lab.fault("wan_1", "down", "wan", (400, 410), ["wan"])]


def test_a_bridge_that_is_merely_too_slow_is_named_and_no_outage_is_blamed(plan, lab, tmp_path) -> None:
    slowed(plan, lab, 1.25)
    text = said(plan, tmp_path)
    assert (
        "The bridge brings 6.4 samples a second in the time that is not cut, and the line offers 8.0: it"
        in text
    )
    assert "outage" not in text


def test_a_bridge_that_keeps_pace_and_loses_some_is_not_called_slow(plan, tmp_path) -> None:
    plan.drop(lambda sample: sample.metric == "count" and sample.ts_ms % 2_000 == 0)
    assert "too slow" not in said(plan, tmp_path)


def test_what_the_bridge_declares_stands_beside_what_is_lost(plan, lab, tmp_path) -> None:
    plan.drop(lambda sample: sample.metric == "count" and sample.ts_ms > lab.at(400) // lab.MS)
    plan.host_rows.append(
        ["H", lab.at(700), lab.EDGE, "", "bridge/declared_gaps", lab.at(700) // lab.MS, 7, 192, False, "data"]
    )
    assert "The bridge itself declares 7 gaps and losses." in said(plan, tmp_path)
