"""site.yaml: what it compiles to, and what is refused, with the exact words."""

from __future__ import annotations

from pathlib import Path

import pytest

from shakedown.bridge.config import NODE_METRICS, Site, compile_site, load_site
from shakedown.bridge.core.datatypes import DOUBLE, STRING, UINT32
from shakedown.bridge.yamlfile import ConfigError, json_schema

SITE = """\
format: 1
enterprise: acme
site: hamburg
area: filling
line: line1
south:
  plc1:
    endpoint: opc.tcp://plc1:4840
    security: none
north:
  enterprise:
    broker: mqtt://broker:1883
    primary_host: scada
    reconnect_s: {min: 1, max: 15}
cells:
  filler:
    filler_1:
      metrics:
        bowl_temperature: {south: plc1, node: "ns=2;s=TT101", from: FAH, unit: CEL, type: Double, low: 0, high: 80}
        state: {south: plc1, node: "ns=2;s=STATE", type: String, class: state, states: {6: run, 4: idle}}
        heartbeat: {south: plc1, node: "ns=2;s=HB", type: UInt32, class: heartbeat}
"""


def write(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = SITE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "site.yaml"
    path.write_text(text)
    return path


def problems(tmp_path: Path, *changes: tuple[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_site(write(tmp_path, *changes))
    return [problem.removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def test_a_site_compiles_to_metrics_whose_index_is_the_alias(tmp_path: Path) -> None:
    model = compile_site(load_site(write(tmp_path)))
    assert (model.group_id, model.edge_node_id, model.devices) == (
        "hamburg.filling",
        "line1",
        ("filler.filler_1",),
    )
    assert [m.metric_id for m in model.metrics] == list(range(3 + len(NODE_METRICS)))
    temperature, state, heartbeat = model.of_device("filler.filler_1")
    assert (temperature.datatype, temperature.factor, temperature.offset) == (DOUBLE, 5 / 9, -160 / 9)
    assert temperature.properties == {"engUnit": "CEL", "engLow": 0, "engHigh": 80}
    assert (state.datatype, state.states) == (STRING, {6: "run", 4: "idle"})
    assert (heartbeat.datatype, heartbeat.factor, heartbeat.offset) == (UINT32, 1.0, 0.0)
    assert model.of_south("plc1") == (temperature, state, heartbeat)
    assert [m.name for m in model.of_device("")] == [name for name, _ in NODE_METRICS]


METRICS = "cells.filler.filler_1.metrics"
NO_NAME = "is not a name: lower-case letters, digits and underscores, a letter first"
URLS = "mqtt://host:1883 or mqtts://host:8883"


@pytest.mark.parametrize(
    ("old", "new", "at", "expected"),
    [
        ("site: hamburg", "site: Ham burg", "Ham", f"site: {NO_NAME} ('Ham burg') - for instance 'ham_burg'"),
        ("heartbeat: {", "heart.beat: {", "heart.beat",
         f"{METRICS}.heart.beat: {NO_NAME} ('heart.beat') - for instance 'heart_beat'"),
        ("unit: CEL", "unit: KGM", "KGM",
         f"{METRICS}.bowl_temperature.unit: FAH ([degF]) does not convert to KGM (kg) ('KGM')"
         " - choose a unit of the same dimension"),
        ("from: FAH", "from: FAHH", "FAHH",
         f"{METRICS}.bowl_temperature.from: is not a UNECE unit known here ('FAHH') - did you mean 'FAH'?"),
        (", unit: CEL", "", "FAH",
         f"{METRICS}.bowl_temperature.from: has no unit beside it ('FAH') - add unit:, the canonical one"),
        ("type: Double", "type: Int32", "Int32",
         f"{METRICS}.bowl_temperature.type: is converted ('Int32') - a converted value is not a whole number:"
         " write type: Double"),
        ('"ns=2;s=HB"', "ns=2;s=STATE", "ns=2;s=STATE, type: UInt32",
         f"{METRICS}.heartbeat.node: is mapped to filler.filler_1.metrics.state already ('ns=2;s=STATE')"
         " - a node feeds one metric: remove one of them"),
        ('"ns=2;s=HB"', "PLC.HB", "PLC.HB",
         f"{METRICS}.heartbeat.node: is not a node id ('PLC.HB') - write it as ns=2;s=NAME or ns=2;i=NUMBER"),
        ("class: heartbeat", "class: hearbeat", "hearbeat",
         f"{METRICS}.heartbeat.class: is unknown ('hearbeat') - did you mean 'heartbeat'?"),
        ("heartbeat: {south: plc1", "heartbeat: {south: plc2", "plc2",
         f"{METRICS}.heartbeat.south: is not a server under south: ('plc2') - did you mean 'plc1'?"),
        ("type: String", "type: Int32", "Int32",
         f"{METRICS}.state.type: has states ('Int32') - states are texts: write type: String"),
        ("mqtt://broker:1883", "mqtts://broker:8883", "mqtts:",
         "north.enterprise.broker: has no tls ('mqtts://broker:8883') - add tls: {ca: FILE}"),
        ("max: 15", "max: 0.5", "0.5", "north.enterprise.reconnect_s.max: is less than min (0.5) - raise it"),
        ("primary_host: scada", "primary_host: a/b", "a/b",
         "north.enterprise.primary_host: must not contain + # / ('a/b') - it is one level of the STATE topic"),
        ("mqtt://broker:1883", "tcp://broker", "tcp://broker",
         f"north.enterprise.broker: is not an MQTT broker ('tcp://broker') - write it as {URLS}"),
        ("security: none", "security: non", "non\n", "south.plc1.security: is none of 'none' ('non')"),
        ("format: 1", "format: 2", "2", "format: is none of 1 (2)"),
    ],
)  # fmt: skip
def test_refusals_name_place_key_value_and_remedy(
    tmp_path: Path, old: str, new: str, at: str, expected: str
) -> None:
    before, _, _ = SITE.replace(old, new).partition(at)
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    assert f"site.yaml:{line}:{column}: {expected}" in problems(tmp_path, (old, new))


def test_case_cannot_make_two_names_of_one(tmp_path: Path) -> None:
    text = '        State: {south: plc1, node: "ns=2;s=S2", type: String}\n        heartbeat: {'
    (problem,) = problems(tmp_path, ("        heartbeat: {", text))
    assert "is not a name" in problem
    assert "'state'" in problem


def test_problems_of_the_compiler_come_together(tmp_path: Path) -> None:
    found = problems(
        tmp_path, ("unit: CEL", "unit: KGM"), ("class: state", "class: stat"), ("s=HB", "s=TT101")
    )
    assert len(found) == 3


def test_a_site_made_in_code_is_checked_too(tmp_path: Path) -> None:
    site = load_site(write(tmp_path))
    broken = site.model_copy(update={"classes": {}})
    with pytest.raises(ConfigError, match=r"class: is unknown"):
        compile_site(broken)


def test_the_schema_knows_from_and_class() -> None:
    metric = json_schema(Site)["$defs"]["MetricConfig"]["properties"]
    assert {"from", "class", "unit", "states"} <= set(metric)


SECURE = (
    ("security: none", "security: {certificate: c, key: k, server_certificate: s}"),
    ("mqtt://broker:1883", "mqtts://broker:8883\n    tls: {ca: ca.pem}"),
)


@pytest.mark.parametrize("side", ["south.plc1", "north.enterprise"])
@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("username: u, password: hunter2", "password: must not stand here - put it into a file"),
        ("username: u, password: 31337", "password: must not stand here - put it into a file"),
        ("username: u, password: [hunter2]", "password: must not stand here - put it into a file"),
        (
            "username: u, password: {file: f, env: E}",
            "password: names no secret, or two - put it into a file",
        ),
        ("username: u, password: {file: ''}", "password: names no secret, or two - put it into a file"),
        (
            "username: u, password: {file: 31337}",
            "password.file: is a number, expected a text - put it in quotes",
        ),
        ("username: u, password: {value: hunter2}", "password.value: unknown field - known here: file, env"),
        ("username: u", "username: has no password beside it ('u') - add password:, or remove this"),
        ("password: {env: E}", "password: has no username beside it ('') - add username:, or remove this"),
    ],
)
def test_a_password_is_named_and_never_held(tmp_path: Path, side: str, user: str, expected: str) -> None:
    endpoint = "endpoint: opc.tcp://plc1:4840" if side.startswith("south") else "primary_host: scada"
    (problem,) = problems(tmp_path, *SECURE, (endpoint, "\n    ".join((endpoint, *user.split(", ", 1)))))
    assert f"{side}.{expected}" in problem
    assert "hunter2" not in problem
    assert "31337" not in problem


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("mqtt://broker:1883", "north.enterprise.broker: is not an MQTT broker ('mqtt://***@broker:1883')"),
        ("opc.tcp://plc1:4840", "south.plc1.endpoint: is not an OPC UA endpoint ('opc.tcp://***@plc1:4840')"),
    ],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(
    tmp_path: Path, address: str, expected: str
) -> None:
    (problem,) = problems(tmp_path, (address, address.replace("//", "//u:hunter2@")))
    assert expected in problem


def test_a_password_never_travels_in_the_clear(tmp_path: Path) -> None:
    user = "\n    username: u\n    password: {env: E}"
    found = problems(
        tmp_path,
        ("opc.tcp://plc1:4840", "opc.tcp://plc1:4840" + user),
        ("mqtt://broker:1883", "mqtt://broker:1883" + user),
    )
    what = "username: would have its password sent in the clear ('u') - write"
    assert [problem.partition(": ")[2] for problem in found] == [
        f"south.plc1.{what} security: {{policy, certificate, key, server_certificate}}",
        f"north.enterprise.{what} mqtts:// and tls: {{ca: FILE}}",
    ]
