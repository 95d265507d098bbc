"""`secure: true`: a run passes on both clocks, repeats byte for byte with other keys, keeps its secrets, refuses."""

import io
import json
import re

import pytest
import yaml
from health import assert_healthy
from intruders import Intruded
from rich.console import Console

from shakedown.bridge.config import Site
from shakedown.bridge.yamlfile import ConfigError
from shakedown.scenarios import model
from shakedown.scenarios.brokers import check_choice
from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.replay import replay
from shakedown.scenarios.runner import Request, accept, accept_each
from shakedown.scenarios.security import secured
from shakedown.twin import authority
from shakedown.twin.enterprise.mosquitto import mosquitto_missing

QUIET = Console(file=io.StringIO())
SHORT = {
    "name": "short", "title": "A short secure run", "secure": True, "warm_up_s": 10, "duration_s": 35, "drain_s": 15,
    "may_be_inconclusive": ["freshness", "loss"],
    "faults": [
        {"id": "cut", "kind": "down", "target": "wan", "at_s": 12, "for_s": 6},
        {"id": "plc", "kind": "crash", "target": "plc1", "at_s": 22, "for_s": 3},
    ],
    "override": {"site": {"north": {"enterprise": {
        "keep_alive_s": 5, "host_keep_alive_s": 5, "reconnect_s": {"min": 0.5, "max": 2}, "retention_margin_s": 1}}}},
}  # fmt: skip


def set_up(folder, **changes):
    """The setup of a short secure run."""
    (folder / "short.yaml").write_text(yaml.safe_dump(SHORT | changes))
    return model.set_up(folder / "short.yaml")


@pytest.fixture
def passwords(monkeypatch):
    """Every password that an authority gives out."""
    found, give = [], authority.Authority.credentials

    def credentials(self, username, **more):
        own = give(self, username, **more)
        found.append(own.password())
        return own

    monkeypatch.setattr(authority.Authority, "credentials", credentials)
    return found


def passed(outcome):
    assert_healthy(outcome.verdict)
    return outcome.verdict.verdict == "PASS"


def assert_no_secrets(folder, passwords):
    """Nothing in a run folder lets anybody in."""
    assert passwords
    for file in folder.iterdir():
        content = file.read_text(errors="replace")
        assert not any(password in content for password in passwords), file
        assert "PRIVATE KEY" not in content


@pytest.mark.slow
def test_a_secure_run_passes_and_repeats_with_other_keys_and_keeps_its_secrets(tmp_path, passwords):
    outcome = accept(Request(set_up(tmp_path), tmp_path / "run"), QUIET)
    assert passed(outcome)
    authority._key_of.cache_clear()
    assert replay(outcome.folder, QUIET).same
    assert len(passwords) == 2 * len(("asks", "scada", "observer", "bridge"))
    assert_no_secrets(outcome.folder, passwords)
    site = yaml.safe_load((outcome.folder / "site.yaml").read_text())
    assert site["north"]["enterprise"]["broker"] == "mqtts://broker"
    assert site["south"]["plc1"]["password"] == {"file": "secrets/bridge.password"}


@pytest.mark.slow
def test_a_shift_is_secure_up_to_the_work_order(tmp_path):
    setup = set_up(
        tmp_path, overlays=["shift", "dense"], faults=[], duration_s=240, people={"crew": {"poll_s": 5}}
    )
    outcome = accept(Request(setup, tmp_path / "run"), QUIET)
    assert outcome.verdict.harness == []
    assert outcome.verdict.counts["lost"] == 0
    assert setup.site.cmms.url == "https://cmms:8080"
    *orders, end = [json.loads(line) for line in (outcome.folder / "cmms.jsonl").read_text().splitlines()]
    assert end[2] == {"work_orders": len(orders)}
    assert {order["state"] for order in orders} & {"assigned", "in_progress", "completed", "closed"}


def refused_of(forger):
    """What the intruders must be refused, and how often."""
    return {("tls", ""): 1, ("user", forger): 1, ("publish", forger): 5, ("will", forger): 1,
            ("client_id", forger): 1, ("subscribe", "bridge"): 1}  # fmt: skip


ANSWERS = [
    "begun", ("wrong password", 5), ("client id", 2), ("wildcard", [0x80]),
    "BadCertificateUntrusted", "BadUserAccessDenied", "BadSecurityPolicyRejected", "ended",
]  # fmt: skip


@pytest.mark.parametrize("clock", ["virtual", pytest.param("wall", marks=pytest.mark.wall)])
def test_intruders_are_refused_and_counted_and_nothing_else_suffers(tmp_path, clock):
    bridge = Intruded()
    setup = set_up(tmp_path, faults=[], duration_s=30)
    outcome = accept(Request(setup, tmp_path / "run", clock=clock, bridge=bridge), QUIET)
    assert bridge.done == ANSWERS
    assert passed(outcome)
    assert refusals(outcome.folder) == refused_of("observer")
    counters = json.loads((outcome.folder / "server.json").read_text())
    assert sum(counters["broker"]["refused"].values()) == sum(refused_of("observer").values())
    server = counters["server"]
    assert [server[f"refused_{what}"] for what in ("certificates", "users", "in_clear")] == [1, 1, 1]
    assert b"forged" not in (outcome.folder / "observer.jsonl").read_bytes()


def refusals(folder):
    """Who was refused what, and how often, as broker.jsonl says."""
    log = [json.loads(line) for line in (folder / "broker.jsonl").read_text().splitlines()]
    refused = [(what, user) for kind, _, what, user, *_ in (row for row in log if row[0] == "R")]
    return {row: refused.count(row) for row in refused}


@pytest.mark.slow
def test_of_two_bridges_at_one_broker_neither_speaks_for_the_other(tmp_path):
    line_2 = {"line": "line2", "south": {"plc1": {"endpoint": "opc.tcp://plc2:4840"}}}
    parts = {"bridge_b": {"kind": "bridge", "override": {"site": line_2}}}
    bridge = Intruded("bridge_b")
    setup = set_up(tmp_path, faults=[], duration_s=30, parts=parts)
    outcomes = accept_each(Request(setup, tmp_path / "run", bridge=bridge), QUIET)
    assert bridge.done == ANSWERS
    assert [passed(outcome) for outcome in outcomes.values()] == [True, True]
    assert [refusals(outcome.folder) for outcome in outcomes.values()] == [refused_of("bridge_b")] * 2


@pytest.mark.wall
@pytest.mark.skipif(bool(mosquitto_missing()), reason=mosquitto_missing() or "present")
def test_a_secure_run_on_the_wall_with_mosquitto(tmp_path, passwords):
    request = Request(set_up(tmp_path), tmp_path / "run", clock="wall", broker="mosquitto")
    outcome = accept(request, QUIET)
    assert passed(outcome)
    assert_no_secrets(outcome.folder, passwords)


def test_a_site_of_a_plant_is_taken_with_the_certificates_of_the_run(tmp_path):
    own = {"ca": "/etc/plant/ca.pem", "certificate": "/etc/plant/c.pem", "key": "/etc/plant/k.pem"}
    site = {"north": {"enterprise": {"broker": "mqtts://broker:8884", "tls": own}}}
    with pytest.raises(ConfigError, match=r"has no certificate - write secure: true in the scenario"):
        set_up(tmp_path, secure=False, override={"site": site})
    north = set_up(tmp_path, override={"site": site}).site.north["enterprise"]
    assert (north.broker, north.tls.ca) == ("mqtts://broker:8884", "secrets/ca.pem")


@pytest.mark.parametrize("document", [None, [], {}, {"north": 5, "south": {"a": 7}, "cmms": []}])
def test_a_site_that_is_none_is_left_to_who_reads_it(document):
    assert secured(document, "bridge") == document


def test_a_site_is_secured_once(tmp_path):
    once = set_up(tmp_path, overlays=["shift"]).documents["site"]
    assert secured(once, "bridge") == once
    assert Site.model_validate(once).cmms.tls.ca == "secrets/ca.pem"


def test_a_foreign_broker_cannot_be_secure(tmp_path):
    with pytest.raises(UsageError, match=re.escape("Give --broker embedded or mosquitto")):
        check_choice("mqtt://127.0.0.1:1", "wall", set_up(tmp_path))
