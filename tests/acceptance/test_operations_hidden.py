"""Alarms that were hidden, or hard to see: shelves by DCMD and by HTTP, suppression, and alarms on a truth value."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from shakedown.acceptance import judge
from shakedown.acceptance.verdict import CriterionResult
from tests.acceptance.judged import judged_by
from tests.acceptance.operations_day import FILLER, MS, Call, Day, at, held
from tests.acceptance.operations_plan import ALARMS
from tests.acceptance.operations_verdicts import SHIFT, failed, outcomes

SHELVED_S = 2_591  # after the one call that no fault is behind


def hidden(day: Day, state: str) -> Call:
    """The call that no fault is behind is hidden before anybody has acknowledged it."""
    call = next(call for call in day.calls if at(2_551) // MS <= call.raised_ms <= at(2_570) // MS)
    call.acked_ms = None
    key = (call.alarm, call.occurrence)
    day.acks = [ack for ack in day.acks if (ack[3]["alarm"], ack[3]["occurrence"]) != key]
    call.hidden = (at(SHELVED_S) // MS, state)
    return call


def hiding(day: Day, folder: Path) -> CriterionResult:
    return judged_by({"false_alarms"}, day.write(folder)).criterion("false_alarms")


def said(day: Day, second: float, **command: Any) -> None:
    """The bridge publishes a shelve command that it has obeyed, however it came."""
    text = json.dumps(command)
    day.host_rows.append(
        held(at(second) + 300 * MS, FILLER, "alarm/temperature_high/shelve", at(second) // MS, text)
    )


def returned(day: Day, second: float) -> None:
    day.host_rows.append(
        held(at(second) + 300 * MS, FILLER, "alarm/temperature_high", at(second) // MS, "rtn_unacked")
    )


def dcmd(lab: Any, text: str) -> list[Any]:
    payload = lab.Payload()
    metric = payload.metrics.add()
    metric.name, metric.datatype, metric.string_value = "alarm/temperature_high/shelve", 12, text
    topic = f"spBv1.0/hamburg.filling/DCMD/line1/{FILLER}"
    encoded = base64.b64encode(payload.SerializeToString()).decode()
    return ["A", at(SHELVED_S) - 30 * MS, "ann", topic, encoded, 0, False]


def test_a_shelf_by_dcmd_needs_owner_and_expiry(day: Day, lab: Any, tmp_path: Path) -> None:
    hidden(day, "shelved")
    returned(day, 2_700)
    until = at(2_700) // MS
    said(day, SHELVED_S, operator="ann", until_ms=until, reason="sensor")
    day.commands.append(dcmd(lab, f'{{"operator":"ann","until_ms":{until},"reason":"sensor"}}'))
    assert hiding(day, tmp_path / "right").verdict == "PASS"
    day.commands[0] = dcmd(lab, f'{{"operator":"bob","until_ms":{until},"reason":"sensor"}}')
    result = hiding(day, tmp_path / "wrong")
    assert (result.verdict, "is recorded for 'ann', and was given by 'bob'" in result.statement) == (
        "FAIL",
        True,
    )


def test_a_shelf_over_http_is_known_by_what_the_bridge_publishes(day: Day, tmp_path: Path) -> None:
    hidden(day, "shelved")
    returned(day, 2_700)
    day.site["admin"] = {"host": "127.0.0.1", "port": 8090}
    said(day, SHELVED_S, operator="ann", until_ms=at(2_700) // MS, reason="sensor")
    assert outcomes(judge(day.write(tmp_path))) == dict.fromkeys(SHIFT, "PASS")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (None, "shows shelved where the rules make it rtn_unacked: no command on record hides it then"),
        ({"until_ms": at(2_700) // MS, "reason": "sensor"}, "without an owner"),
        ({"operator": "", "until_ms": at(2_700) // MS}, "without an owner"),
        ({"operator": "ann", "until_ms": at(2_700) // MS}, "without a reason"),
        ({"operator": "ann", "reason": "sensor"}, "without an expiry"),
        ({"operator": "ann", "until_ms": at(2_000) // MS, "reason": "sensor"}, "without an expiry"),
        ({"operator": "ann", "until_ms": at(2_620) // MS, "reason": "sensor"}, "shows still shelved"),
    ],
)
def test_a_shelf_over_http_needs_owner_and_expiry(
    day: Day, tmp_path: Path, command: dict[str, Any] | None, says: str
) -> None:
    hidden(day, "shelved")
    returned(day, 2_700)
    day.site["admin"] = {"host": "127.0.0.1", "port": 8090}
    if command is not None:
        said(day, SHELVED_S, **command)
    result = hiding(day, tmp_path)
    assert (result.verdict, says in result.statement) == ("FAIL", True)


def test_a_command_that_came_later_allows_nothing(day: Day, tmp_path: Path) -> None:
    hidden(day, "shelved")
    returned(day, 2_700)
    said(day, SHELVED_S + 60, operator="ann", until_ms=at(2_700) // MS, reason="sensor")
    assert "no command on record hides it then" in hiding(day, tmp_path).statement


def test_a_shelf_may_be_lengthened_and_must_end_when_told_so(day: Day, tmp_path: Path) -> None:
    hidden(day, "shelved")
    returned(day, 2_840)
    day.site["admin"] = {"host": "127.0.0.1", "port": 8090}
    said(day, SHELVED_S, operator="ann", until_ms=at(2_700) // MS, reason="sensor")
    said(day, 2_650, operator="bob", until_ms=at(2_840) // MS, reason="still the sensor")
    assert hiding(day, tmp_path / "longer").verdict == "PASS"
    said(day, 2_750, operator="bob", until_ms=0)
    assert (
        "shows still shelved where the rules make it rtn_unacked" in hiding(day, tmp_path / "ended").statement
    )


def test_a_shelf_that_never_ends_outlasts_its_expiry(day: Day, tmp_path: Path) -> None:
    call = hidden(day, "shelved")
    day.drop_calls(lambda other: other.alarm == call.alarm and other.raised_ms > call.raised_ms)
    said(day, SHELVED_S, operator="ann", until_ms=at(2_700) // MS, reason="sensor")
    assert hiding(day, tmp_path).figures.wrong[-1].what.startswith("shows still shelved")


def with_state(day: Day, states: dict[int, int]) -> None:
    """The filler shows a state too, {second: number}, whatever it does."""
    names = {6: "run", 4: "idle"}
    day.header["signals"].append(
        {**day.header["signals"][0], "tag": "F.ST", "node_id": "ns=2;s=F.ST", "machine": "filler"}
    )
    metrics = day.site["cells"]["filler"]["filler_1"]["metrics"]
    metrics["state"] = {
        "south": "plc1",
        "node": "ns=2;s=F.ST",
        "type": "String",
        "class": "state",
        "states": names,
    }
    day.site["alarms"]["temperature_high"]["suppress_in"] = ["idle"]
    index = len(day.header["signals"]) - 1
    rows = [*day.ledger_rows(), *(["S", at(second), index, number, 0] for second, number in states.items())]
    day.ledger_rows = lambda: sorted(rows, key=lambda row: row[1])  # type: ignore[method-assign]
    for second, number in states.items():
        day.host_rows.append(held(at(second) + 200 * MS, FILLER, "state", at(second) // MS, names[number]))
    for order in day.orders:
        since = order["raised_ms"] - 300_000
        samples = [
            [at(second) // MS, names[number], 192]
            for second, number in states.items()
            if since <= at(second) // MS <= order["raised_ms"]
        ]
        order["context"].append({"metric": "state", "unit": "", "samples": samples})


@pytest.mark.parametrize(("shown", "outcome"), [(4, "PASS"), (6, "FAIL")])
def test_what_suppresses_is_the_state_that_the_machine_shows(
    day: Day, tmp_path: Path, shown: int, outcome: str
) -> None:
    """The filler itself does nothing all day; a state signal that flaps is all that a bridge knows of it."""
    hidden(day, "suppressed")
    returned(day, 2_700)
    with_state(day, {0: 6, SHELVED_S: shown, 2_700: 6})
    result = hiding(day, tmp_path)
    assert result.verdict == outcome
    assert ("no state of its machine suppresses it then" in result.statement) == (outcome == "FAIL")


def test_a_call_at_the_moment_of_a_return_is_a_call(day: Day, tmp_path: Path) -> None:
    """A release and an annunciation at the same time, with one ordinal: the return does not take it away."""
    before = hiding(day, tmp_path / "before").figures.annunciations
    for call in day.calls:
        row = held(call.raised_ms * MS + 299 * MS, FILLER, f"alarm/{call.alarm}", call.raised_ms, "normal")
        day.host_rows.append(row)
    after = hiding(day, tmp_path / "after").figures.annunciations
    assert after == before == len(day.calls)


# An alarm on a truth value.


def on_a_switch(day: Day, active: bool) -> None:
    """The temperature is a switch: `active` above its limit, and the alarm is on that."""
    _, _, limit, _ = ALARMS["temperature_high"]
    day.signals["temperature"] = {
        second: (value > limit) is active for second, value in day.signals["temperature"].items()
    }
    day.site["cells"]["filler"]["filler_1"]["metrics"]["temperature"]["type"] = "Boolean"
    rule = day.site["alarms"]["temperature_high"]
    del rule["high"]
    rule["state"] = active
    for order in day.orders:
        order["reason"] |= {"limit": active, "value": active}
        for sample in order["context"][0]["samples"]:
            sample[1] = (sample[1] > limit) is active


@pytest.mark.parametrize("active", [True, False])
def test_an_alarm_on_a_truth_value(day: Day, tmp_path: Path, active: bool) -> None:
    on_a_switch(day, active)
    verdict = judge(day.write(tmp_path))
    assert verdict.harness == []
    assert outcomes(verdict) == dict.fromkeys(SHIFT, "PASS")
    assert verdict.criterion("nuisance").figures.baseline.annunciations > len(day.calls)


@pytest.mark.parametrize("active", [True, False])
def test_a_bridge_that_takes_a_truth_value_for_its_contrary(day: Day, tmp_path: Path, active: bool) -> None:
    """It speaks when the switch goes back, and gives the wrong value as the reason."""
    on_a_switch(day, active)
    for call in day.calls:
        if call.alarm == "temperature_high" and call.cleared_ms is not None:
            call.raised_ms, call.cleared_ms = call.cleared_ms, call.raised_ms + 900_000
            call.acked_ms = call.raised_ms + 30_000
    for order in day.orders:
        order["reason"] |= {"value": not active}
    both = {"work_orders", "false_alarms"}
    assert failed(judged_by(both, day.write(tmp_path))) == both


@pytest.mark.parametrize("state", [9, 0.5, ["run"]])
def test_a_state_that_is_neither_text_nor_truth_is_told(day: Day, tmp_path: Path, state: Any) -> None:
    on_a_switch(day, active=True)
    day.site["alarms"]["temperature_high"]["state"] = state
    verdict = judge(day.write(tmp_path))
    assert verdict.verdict == "HARNESS_FAULT"
    assert "a text, or true or false" in verdict.harness[0].what


@pytest.mark.parametrize(("others", "missed", "vetoes"), [(1, 1, 0), (2, 2, 1), (4, 1, 0)])
def test_a_few_misses_of_what_is_not_critical_prove_nothing(
    day: Day, tmp_path: Path, others: int, missed: int, vetoes: int
) -> None:
    """The veto is a lower bound beyond 5 %: one of one has exactly that, two of two have 22 %."""
    for number, fault in enumerate(day.faults):
        fault["critical"] = number >= others
        if number < missed:
            begin, end = (at(fault[phase]) // MS for phase in ("onset", "repaired"))
            day.drop_calls(lambda call, begin=begin, end=end: begin <= call.raised_ms <= end)  # type: ignore[misc]
    figures = hiding(day, tmp_path).figures
    assert len(figures.missed) == missed
    assert sum("not critical were missed" in veto for veto in figures.vetoes) == vetoes
