"""Bridges that stamp the arrival: what is lost, twice, out of order or late is told by values that step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.judged import judged_by

WAY = {"freshness", "loss", "integrity"}


@pytest.fixture
def stepping(lab: Any) -> Iterator[None]:
    """A plant of counters alone, as the overlay `stepping` makes of any."""
    before = list(lab.TOPICS)
    lab.TOPICS[:] = [topic for topic in before if topic.metric in ("heartbeat", "count")]
    yield
    lab.TOPICS[:] = before


def stamped(plan: Any) -> Any:
    """The same bridge, which stamps what it sends with the time of sending, and sends nothing twice."""
    plan.manifest["bridge"] = {"name": "theirs", "promises": {"identity": "values"}}
    arrived = set()
    for message in sorted(plan.data, key=lambda message: message.ns):
        message.samples = [s for s in message.samples if (s.device, s.metric, s.value) not in arrived]
        for sample in message.samples:
            sample.ts_ms, sample.historical = message.ns // 1_000_000, False
        if message.accepted and message.heard:
            arrived |= {(s.device, s.metric, s.value) for s in message.samples}
    return plan


@pytest.mark.usefixtures("stepping")
def test_a_healthy_one_passes_although_no_timestamp_is_the_sources(lab: Any, tmp_path: Path) -> None:
    verdict = judged_by(WAY, stamped(lab.healthy(10_100)).write(tmp_path))
    assert {result.name: result.verdict for result in verdict.criteria} == dict.fromkeys(WAY, "PASS")
    assert (verdict.verdict, verdict.harness) == ("PASS", [])
    assert {
        verdict.counts[name] for name in ("lost", "late", "duplicated", "unexpected", "out_of_order")
    } == {0}
    assert verdict.counts["eligible"] > 29_956
    figures = verdict.criterion("freshness").figures
    assert (figures.latency_p50_s, figures.latency_p99_s) == (0.301, 0.311)


def loses(plan: Any, lab: Any) -> None:
    for message in plan.data[700:705]:
        message.samples = [sample for sample in message.samples if sample.metric != "count"]


def sends_twice(plan: Any, lab: Any) -> None:
    first = plan.data[700]
    ns = first.ns + 100_000_000
    again = [replace(sample, ts_ms=ns // 1_000_000) for sample in first.samples]
    plan.messages.append(lab.Message(ns, "DDATA", first.device, again))


def sends_backwards(plan: Any, lab: Any) -> None:
    one, other = plan.data[700], plan.data[702]
    one.samples, other.samples = other.samples, one.samples


def invents(plan: Any, lab: Any) -> None:
    plan.data[700].samples[-1].value = 10_000_000


def invents_lower_ones(plan: Any, lab: Any) -> None:
    first = plan.data[700]
    lower = [replace(sample, value=-7) for sample in first.samples]
    plan.messages.append(lab.Message(first.ns + 100_000_000, "DDATA", first.device, lower))


def guesses(plan: Any, lab: Any) -> None:
    plan.data[700].ns -= 900_000_000


def whitewashes(plan: Any, lab: Any) -> None:
    for row in plan.ledger[1000:1020]:
        row[4] = 0x80000000  # the source called it Bad, and it arrives as Good


def is_slow(plan: Any, lab: Any) -> None:
    for message in plan.data:
        message.ns += 20_000_000_000


@pytest.mark.usefixtures("stepping")
@pytest.mark.parametrize(
    ("breaks", "name", "word", "counted"),
    [
        (loses, "loss", "never did", "lost"),
        (sends_twice, "integrity", "the same sample twice", "duplicated"),
        (sends_backwards, "integrity", "a sample after a newer one", "out_of_order"),
        (invents, "integrity", "never offered", "unexpected"),
        (invents_lower_ones, "integrity", "never offered", "unexpected"),
        (guesses, "integrity", "before the source had it", None),
        (whitewashes, "integrity", "quality Good where the source said Bad", "wrong"),
        (is_slow, "freshness", "worst is", None),
    ],
)
def test_each_mistake_is_caught_by_its_criterion(
    lab: Any, tmp_path: Path, breaks: Callable[[Any, Any], None], name: str, word: str, counted: str | None
) -> None:
    plan = stamped(lab.healthy(800))
    breaks(plan, lab)
    verdict = judged_by(WAY, plan.write(tmp_path))
    assert verdict.criterion(name).verdict == "FAIL"
    assert word in verdict.criterion(name).statement
    assert counted is None or verdict.counts[counted] > 0
    assert verdict.attribution["lab"] == 0


def test_where_values_do_not_identify_nothing_is_passed_and_the_reason_is_given(
    lab: Any, tmp_path: Path
) -> None:
    plan = stamped(lab.healthy(800))
    plan.manifest["bridge"]["promises"]["protocol"] = "sparkplug"
    verdict = judged_by(WAY, plan.write(tmp_path))
    for name in WAY:
        result = verdict.criterion(name)
        assert result.verdict == "INCONCLUSIVE"
        assert "the overlay `stepping`" in (result.needs or "")
        assert "of 5 of 8 topics" in (result.needs or "")
        assert "filler.filler_1/bowl_temperature" in (result.needs or "")


def test_plain_json_shows_one_value_of_before_the_ledger_and_invents_no_others(
    lab: Any, tmp_path: Path
) -> None:
    said = []
    for count in (1, 2):
        plan = lab.healthy(800)
        plan.manifest["bridge"] = {"promises": {"protocol": "json"}}
        first = next(message for message in plan.data if message.samples)
        for number in range(count):
            old = [replace(first.samples[0], ts_ms=1 + number, value=number)]
            plan.messages.append(lab.Message(first.ns + number, "DDATA", first.device, old))
        said.append(judged_by({"integrity"}, plan.write(tmp_path / str(count))).counts["unexpected"])
    assert said == [0, 1]


@pytest.mark.usefixtures("stepping")
@pytest.mark.parametrize("value", [None, -1])
def test_what_is_no_value_of_the_line_is_unexpected_once_the_line_was_heard(
    lab: Any, tmp_path: Path, value: int | None
) -> None:
    plan = stamped(lab.healthy(800))
    healthy = plan.data[700]
    ns = healthy.ns + 100_000_000
    extra = replace(healthy.samples[-1], value=value, ts_ms=ns // 1_000_000)
    plan.messages.append(lab.Message(ns, "DDATA", healthy.device, [extra]))
    verdict = judged_by({"integrity"}, plan.write(tmp_path))
    assert verdict.counts["unexpected"] == 1
    statement = verdict.criterion("integrity").statement
    assert "is not what the line said: once a sample that the source never offered." in statement
    assert f" at 5:53 ({ns // 1_000_000} ms)" in statement, "the time of the charts, and that of the logs"


@pytest.mark.usefixtures("stepping")
@pytest.mark.parametrize("carried", [True, False])
def test_a_sample_without_a_value_takes_no_other_out_of_judgement(
    lab: Any, tmp_path: Path, carried: bool
) -> None:
    plan = stamped(lab.healthy(800))
    count = next(index for index, topic in enumerate(lab.TOPICS) if topic.metric == "count")
    row = next(row for row in plan.ledger if row[0] == "S" and row[2] == count and row[1] > plan.data[690].ns)
    lost = row[3]
    row[3] = None
    for message in plan.data:
        for sample in message.samples:
            if (sample.metric, sample.value) == ("count", lost):
                sample.value = None
        if not carried:
            message.samples = [s for s in message.samples if s.value is not None]
    loses(plan, lab)
    verdict = judged_by({"loss", "integrity"}, plan.write(tmp_path))
    assert verdict.counts["lost"] == 3  # what `loses` takes away, and nothing for the null
    assert verdict.counts["unexpected"] == 0
    assert verdict.criterion("loss").verdict == "FAIL"
