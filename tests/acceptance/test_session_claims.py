"""Births, deaths and payloads claim something, and each claim is held against the run."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.judged import judged_by

CAPPER = "capper.capper_1"


def broken(plan, tmp_path) -> dict[str, int]:
    return judged_by({"session"}, plan.write(tmp_path)).criterion("session").figures.breaches


def state(plan, lab, second: float, *, online: bool, host: str = "scada") -> None:
    said = json.dumps({"online": online, "timestamp": lab.at(second) // lab.MS}).encode()
    plan.messages.append(lab.Message(lab.at(second), "STATE", host=host, payload=said, qos=1, retain=True))


def births(plan, lab, second: float, bd_seq: int = 1) -> None:
    plan.messages.append(lab.Message(lab.at(second), "NBIRTH", bd_seq=bd_seq))
    for number, device in enumerate(lab.DEVICES):
        shown = [lab.sample_of(topic, int(second)) for topic in lab.TOPICS if topic.device == device]
        plan.messages.append(lab.Message(lab.at(second + 0.01 * (number + 1)), "DBIRTH", device, shown))


def without(plan, lab, from_s: float, to_s: float, device: str = "") -> None:
    """Nothing is sent in that time, of one device if given."""
    span = range(lab.at(from_s), lab.at(to_s))
    plan.messages = [
        m for m in plan.messages if m.host or m.ns not in span or m.device != (device or m.device)
    ]


# ---- births


def test_births_show_the_datatype_of_the_site(plan, lab, tmp_path) -> None:
    plan.site_text = lab.site_yaml().replace("type: Boolean", "type: Int32")
    assert broken(plan, tmp_path) == {"birth_model": 3}


@pytest.mark.parametrize(("unit", "found"), [("NU", 0), ("BAR", 3)])
def test_births_show_the_unit_of_the_site(plan, lab, tmp_path, unit: str, found: int) -> None:
    plan.site_text = (
        lab.site_yaml().replace("from: FAH, unit: CEL, ", "").replace("from: PS, unit: BAR, ", "")
    )
    for message in plan.messages:
        if message.kind == "DBIRTH":
            for sample in message.samples:
                sample.unit = unit if sample.metric == "torque" else ""
    assert broken(plan, tmp_path).get("birth_model", 0) == found


def test_a_unit_that_only_other_births_show_is_missed(plan, tmp_path) -> None:
    for message in plan.messages:
        for sample in message.samples if message.kind == "DBIRTH" else ():
            sample.unit = "NU" if sample.metric == "torque" else ""
    assert broken(plan, tmp_path) == {"birth_model": 6}  # of bowl_temperature and pressure


def test_a_range_that_the_site_gives_is_shown(plan, lab, tmp_path) -> None:
    plan.site_text = lab.site_yaml().replace("unit: NU,", "unit: NU, low: 0, high: 9,")
    for message in plan.messages:
        for sample in message.samples if message.kind == "DBIRTH" else ():
            sample.unit = {"torque": "NU", "bowl_temperature": "CEL", "pressure": "BAR"}.get(
                sample.metric, ""
            )
    assert broken(plan, tmp_path) == {"birth_model": 3}


def test_births_that_nothing_asked_for(plan, lab, tmp_path) -> None:
    without(plan, lab, 500, 501)
    births(plan, lab, 500)
    assert broken(plan, tmp_path) == {"birth_cause": 1}


def test_a_command_is_good_for_one_birth(plan, lab, tmp_path) -> None:
    plan.messages.append(lab.Message(lab.at(499.9), "NCMD"))
    without(plan, lab, 500, 501)
    births(plan, lab, 500)
    assert broken(plan, tmp_path / "one") == {}
    without(plan, lab, 510, 511)
    births(plan, lab, 510)
    assert broken(plan, tmp_path / "two") == {"birth_cause": 1}


def test_the_primary_host_asks_by_its_state_and_no_other_does(plan, lab, tmp_path) -> None:
    without(plan, lab, 500, 501)
    births(plan, lab, 500)
    state(plan, lab, 499.9, online=True, host="mes")
    assert broken(plan, tmp_path / "other") == {"birth_cause": 1}
    state(plan, lab, 499.8, online=True)
    assert broken(plan, tmp_path / "own") == {}


def test_a_device_is_born_again_only_after_its_death(plan, lab, tmp_path) -> None:
    again = [lab.sample_of(topic, 500) for topic in lab.TOPICS if topic.device == CAPPER]
    plan.messages.append(lab.Message(lab.at(500.35), "DBIRTH", CAPPER, again))
    assert broken(plan, tmp_path) == {"birth_cause": 1}


# ---- the primary host


def test_who_goes_on_while_the_primary_host_is_offline(plan, lab, tmp_path) -> None:
    state(plan, lab, 1, online=True)
    state(plan, lab, 500, online=False)
    state(plan, lab, 520, online=True)
    assert broken(plan, tmp_path)["host_offline"] == 2 * 10  # two devices, from 10 s after its word


def test_births_on_a_new_connection_wait_for_the_primary_host(plan, lab, tmp_path) -> None:
    state(plan, lab, 500, online=False)
    state(plan, lab, 520, online=True)
    without(plan, lab, 501, 520)
    plan.messages.append(lab.Message(lab.at(501), "NDEATH", bd_seq=1, qos=1))
    births(plan, lab, 504, bd_seq=2)
    births(plan, lab, 520, bd_seq=2)
    without(plan, lab, 520.3, 520.32)
    assert broken(plan, tmp_path)["host_offline"] == 1


def test_an_older_word_of_the_host_is_none(plan, lab, tmp_path) -> None:
    state(plan, lab, 500, online=True)
    state(plan, lab, 450, online=False)
    plan.messages[-1].ns = lab.at(501)
    assert broken(plan, tmp_path) == {}


# ---- deaths


@pytest.mark.parametrize(("host", "found"), [("scada", {}), ("mes", {"death_cause": 1})])
def test_an_edge_node_leaves_for_its_own_host_alone(plan, lab, tmp_path, host: str, found: dict) -> None:
    state(plan, lab, 500, online=False, host=host)
    state(plan, lab, 505, online=True, host=host)
    without(plan, lab, 500.1, 506)
    plan.messages.append(lab.Message(lab.at(500.1), "NDEATH", bd_seq=1, qos=1, early_s=0.001))
    births(plan, lab, 505.5, bd_seq=2)
    assert broken(plan, tmp_path) == found


def test_a_will_says_nothing_of_itself(plan, lab, tmp_path) -> None:
    without(plan, lab, 500.1, 506)
    plan.messages.append(lab.Message(lab.at(500.1), "NDEATH", bd_seq=1, qos=1, early_s=400))
    births(plan, lab, 505.5, bd_seq=2)
    assert broken(plan, tmp_path / "qos_1") == {}
    next(m for m in plan.messages if m.early_s).qos = 0
    assert broken(plan, tmp_path / "qos_0") == {"qos_retain": 1}


def lose_the_source(plan, lab, *, ddeath_s: float | None) -> None:
    plan.timeline.append(lab.fault("plc_1", "crash", "plc1", (500, 560), ["plc"]))
    lost = range(lab.at(500), lab.at(560))
    plan.ledger = [row for row in plan.ledger if row[1] not in lost]
    plan.messages = [m for m in plan.messages if m.ns not in lost]
    for number, device in enumerate(lab.DEVICES if ddeath_s is not None else ()):
        plan.messages.append(lab.Message(lab.at(ddeath_s + number / 10), "DDEATH", device))
        back = [lab.sample_of(topic, 560) for topic in lab.TOPICS if topic.device == device]
        plan.messages.append(lab.Message(lab.at(560.1 + number / 10), "DBIRTH", device, back))


@pytest.mark.parametrize(("ddeath_s", "found"), [(510, {}), (545, {"ddeath": 2}), (None, {"ddeath": 2})])
def test_a_device_without_its_source_is_dead(plan, lab, tmp_path, ddeath_s, found: dict) -> None:
    lose_the_source(plan, lab, ddeath_s=ddeath_s)
    assert broken(plan, tmp_path) == found


def test_a_device_whose_source_is_there_is_not_dead(plan, lab, tmp_path) -> None:
    without(plan, lab, 500, 502, CAPPER)
    plan.messages.append(lab.Message(lab.at(500), "DDEATH", CAPPER))
    again = [lab.sample_of(topic, 501) for topic in lab.TOPICS if topic.device == CAPPER]
    plan.messages.append(lab.Message(lab.at(501.5), "DBIRTH", CAPPER, again))
    assert broken(plan, tmp_path) == {"death_cause": 1}


# ---- times


def test_a_payload_says_when_it_was_published(plan, tmp_path) -> None:
    for message in plan.data[900:910]:
        message.early_s = 3600
    plan.data[920].early_s = -5
    assert broken(plan, tmp_path) == {"payload_time": 11}


def replays_of(plan) -> list:
    """The histories of the first device: after the cut from 100 s to 160 s, and after new births on a connection."""
    return [m for m in plan.data if len(m.samples) > 20 and m.device != CAPPER]


def in_the_order_of(plan, lab, message, *spans: tuple[int, int]) -> None:
    """The history in `message` comes span by span; the broker knew of the lost connection at 103 s."""
    plan.site_text = lab.site_yaml().replace(" keep_alive_s: 30", " keep_alive_s: 2", 1)
    next(m for m in plan.messages if m.kind == "NDEATH").ns = lab.at(103)
    found = [
        sample
        for from_s, to_s in spans
        for sample in message.samples
        if lab.at(from_s) <= sample.ts_ms * lab.MS < lab.at(to_s)
    ]
    assert len(found) == len(message.samples)
    message.samples = found


def test_history_comes_in_its_order(plan, tmp_path) -> None:
    replays_of(plan)[0].samples.reverse()
    assert broken(plan, tmp_path)["history_order"] > 100


def test_what_was_never_sent_may_come_before_what_comes_once_more(plan, lab, tmp_path) -> None:
    in_the_order_of(plan, lab, replays_of(plan)[0], (105, 165), (90, 105))
    assert broken(plan, tmp_path) == {}


def test_what_cannot_have_been_sent_before_does_not_come_late(plan, lab, tmp_path) -> None:
    in_the_order_of(plan, lab, replays_of(plan)[0], (130, 165), (90, 130))
    assert broken(plan, tmp_path) == {"history_order": 4 * (130 - 110)}  # from two keep-alives and 2 s after


def test_what_comes_once_more_has_an_order_too(plan, lab, tmp_path) -> None:
    in_the_order_of(plan, lab, replays_of(plan)[0], (105, 165), (100, 105), (90, 100))
    assert broken(plan, tmp_path) == {"history_order": 4 * 10}


@pytest.mark.parametrize(("cell", "found"), [(120, {}), (600, {"history_order": 4 * (135 - 110)})])
def test_a_gap_that_the_source_filled_later_has_an_order_too(
    plan, lab, tmp_path, cell: int, found: dict
) -> None:
    in_the_order_of(plan, lab, replays_of(plan)[0], (135, 165), (90, 110), (110, 135))
    plan.timeline.append(lab.fault("cell_1", "reset", "cell", (cell, cell + 5), ["cell"]))
    assert broken(plan, tmp_path) == found


@pytest.mark.parametrize(
    ("spans", "found"),
    [
        ([(273, 293), (263, 273), (240, 263)], {}),
        ([(273, 293), (263, 273), (253, 263), (240, 253)], {"history_order": 4 * 13}),
    ],
)
def test_after_births_that_were_asked_for_what_was_sent_before_has_its_order(
    plan, lab, tmp_path, spans: list, found: dict
) -> None:
    in_the_order_of(plan, lab, replays_of(plan)[1], *spans)
    assert broken(plan, tmp_path) == found
