"""Bridge files: what is wrong is named with file, line and field, and what is rendered holds no secret."""

import dataclasses
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from shakedown.bridge.yamlfile import ConfigError
from shakedown.scenarios import model
from shakedown.scenarios.bridges.choice import choose
from shakedown.scenarios.bridges.external import invitation
from shakedown.scenarios.bridges.fields import Secret, fields_of
from shakedown.scenarios.bridges.find import find_bridge, shipped_bridges
from shakedown.scenarios.bridges.render import Renderer
from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.security import Security, users_of
from shakedown.twin.enterprise.broker_access import Access

GOOD = {"name": "mine", "title": "Mine", "command": ["true"]}


@pytest.fixture(scope="module")
def setup():
    return model.set_up(model.find("wan_outage_fast"))


@pytest.fixture(scope="module")
def fields(setup):
    return fields_of(setup.site, {"plc1:4840": ("127.0.0.9", 4841), "broker:1883": ("127.0.0.1", 1884)})


def write(folder, **more):
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(GOOD | more, sort_keys=False))
    return str(file)


def rendered(folder, fields, **more):
    found = find_bridge(write(folder, **more))
    return Renderer(found.file, found.marks, fields)


@pytest.mark.parametrize("name", shipped_bridges())
def test_every_shipped_bridge_renders_for_the_shipped_plant(name, setup):
    choice = choose(name)
    site = choice.promised(setup).site
    fields = fields_of(site, {"plc1:4840": ("127.0.0.1", 1), "broker:1883": ("127.0.0.1", 2)})
    found = find_bridge(name)
    renderer = Renderer(found.file, found.marks, dataclasses.replace(fields, settings=found.file.settings))
    files = renderer.files()
    renderer.command(), renderer.environment(), renderer.working_folder()
    assert found.file.is_external or any("ns=2;s=FILLER.TT101.PV" in text or "FILLER.TT101.PV" in text
                                         for text in files.values())  # fmt: skip


def test_a_template_is_filled_with_endpoints_names_and_units(tmp_path, fields):
    text = "{{ opcua.endpoint }} {{ mqtt.port }} {{ group }}/{{ edge }}\n"
    text += "{% for m in metrics if m.states %}{{ m.node }}\n{% endfor %}"
    files = rendered(tmp_path, fields, files={"a.conf": {"text": text}}).files()
    first, *nodes = files["a.conf"].splitlines()
    assert first == "opc.tcp://127.0.0.9:4841 1884 hamburg.filling/line1"
    assert nodes[0] == "ns=2;s=FILLER.STATE"
    celsius = next(m for m in fields.metrics if m.name == "bowl_temperature")
    assert 212 * celsius.factor + celsius.offset == pytest.approx(100)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a\n{{ opcua.endpont }}\n", 6, "unknown field 'endpont' - did you mean 'endpoint'?"),
        ("a\n\n{% for m in metrics %}{{ m.tag }}{% endfor %}", 7, "unknown field 'tag'"),
        ("{{ settings.buffer }}\n", 5, "unknown field 'buffer'"),
        ("a\n{% if %}\n", 6, "not a template"),
        ("a\n{{ mqtt.port + 'x' }}\n", 6, "unsupported operand"),
        ("a\n{{ mqtt.port / 0 }}\n", 6, "division by zero"),
        ("a\n{% for i in range(10 ** 9) %}x{% endfor %}\n", 6, "Range too big"),
        ("a\n{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}\n", 6, "maximum recursion depth"),
        ("a\n{{ cycler.__init__.__globals__.os.getpid() }}\n", 6, "unknown field '__init__'"),
    ],
)
def test_an_unknown_field_is_named_with_file_line_and_field(tmp_path, fields, text, line, words):
    file = tmp_path / "mine.yaml"
    block = "".join(f"    {one}\n" for one in text.splitlines())
    file.write_text(f"name: mine\ntitle: Mine\ncommand: [x]\nworking_folder: |\n{block}")
    found = find_bridge(str(file))
    with pytest.raises(ConfigError) as error:
        Renderer(found.file, found.marks, fields).working_folder()
    assert str(error.value).startswith(f"{file}:{line}: working_folder: ")
    assert words in str(error.value)


def test_an_unknown_field_in_a_template_file_is_named_with_that_file(tmp_path, fields):
    (tmp_path / "a.j2").write_text("one\ntwo {{ lines }}\n")
    with pytest.raises(ConfigError, match=r"a\.j2:2: unknown field 'lines' - did you mean 'line'\?"):
        rendered(tmp_path, fields, files={"a.conf": {"template": "a.j2"}}).files()
    with pytest.raises(ConfigError, match=r"mine\.yaml:\d+:\d+: files\.a\.template: b\.j2 cannot be read"):
        (rendered(tmp_path, fields, files={"a": {"template": "b.j2"}})).files()


def test_a_template_lies_in_the_folder_of_its_bridge_file_also_by_a_link(tmp_path, fields):
    (tmp_path / "private").write_text("of somebody else")
    (folder := tmp_path / "theirs").mkdir()
    (folder / "link.j2").symlink_to(tmp_path / "private")
    for template in ("../private", str(tmp_path / "private"), "link.j2"):
        with pytest.raises(ConfigError, match="leads out of the folder of the bridge file"):
            rendered(folder, fields, files={"a": {"template": template}}).files()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"comand": ["x"]}, "unknown field"),
        ({"ready": {"log": "("}}, "regular expression"),
        ({"ready": {"log": "x", "port": 1}}, "several signs"),
        ({"files": {"../x": {"text": ""}}}, "plain file name"),
        ({"files": {"x": {}}}, "needs a source"),
        ({"promises": {"protocol": "json"}}, "do not agree"),
        ({"promises": {"protocol": "json", "json": {"topic": "{node}", "value": "v"}}}, "json.timestamp"),
        ({"install": {"into": "x", "pip": ["paho-mqtt"]}}, "exact version"),
        (
            {"command": [], "restarted_by_itself": True, "ready": {"log": "x"}},
            "has no command, and says ready.log, restarted_by_itself of a process",
        ),
    ],
)
def test_a_bad_bridge_file_is_refused_with_file_and_line(tmp_path, more, words):
    with pytest.raises(ConfigError, match=words) as error:
        find_bridge(write(tmp_path, **more))
    assert "mine.yaml:" in str(error.value)


def test_what_the_run_folder_keeps_holds_no_secret(tmp_path, fields):
    secret = dataclasses.replace(fields.mqtt, username="bridge", password=Secret("hunter2"))
    fields = dataclasses.replace(fields, mqtt=secret)
    renderer = rendered(tmp_path, fields, files={"a": {"text": "{{ mqtt.username }}:{{ mqtt.password }}"}})
    assert renderer.files() == {"a": "bridge:hunter2"}
    assert renderer.files_without_secrets() == {"a": "bridge:***"}
    assert renderer.secrets() == ["hunter2"]


@pytest.mark.parametrize("text", ["--password={{ mqtt.password }}", "{{ servers[0].password }}"])
def test_a_password_on_the_command_line_is_refused_also_where_this_run_has_none(tmp_path, fields, text):
    renderer = rendered(tmp_path, fields, command=["true", "-q", text])
    with pytest.raises(ConfigError, match=r"mine\.yaml:6.*command\.2.*puts a password on the command line"):
        renderer.command()


def test_a_bridge_of_vendor_values_is_judged_without_conversions(setup):
    judged = choose("naive").promised(setup)
    metric = judged.site.cells["filler"]["filler_1"].metrics
    assert (metric["bowl_temperature"].unit, metric["bowl_temperature"].from_unit) == ("FAH", "")
    assert (metric["state"].type, metric["state"].states) == ("Int32", None)
    assert not [fault for fault in judged.scenario.faults if fault.kind == "rebirth_request"]
    assert judged.documents["site"]["cells"]["filler"]["filler_1"]["metrics"]["state"]["type"] == "Int32"


def test_a_bridge_of_vendor_values_has_no_alarms_to_be_judged_by():
    with pytest.raises(UsageError, match="canonical values"):
        choose("naive").promised(model.set_up(model.find("shift_short")))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("telegraff", "Unknown bridge 'telegraff'"),
        ("nowhere/x.yaml", "does not exist"),
        ("python:x", "names no factory"),
        ("python:no_such_module_here:make", "No module named"),
        ("python:json:nothing", "has no nothing"),
        ("python:json:__name__", "cannot be called"),
    ],
)
def test_a_bridge_that_does_not_exist_is_a_usage_error(text, words):
    with pytest.raises(UsageError, match=words):
        choose(text)


def test_a_bridge_in_real_time_is_not_run_in_virtual_time(setup):
    with pytest.raises(UsageError, match="Add --clock wall"):
        choose("naive").check(setup, "virtual", "embedded")


def test_a_bridge_without_security_in_its_files_is_not_run_in_a_secure_scenario(tmp_path):
    secure = model.set_up(model.find("wan_outage_secure"))
    with pytest.raises(
        UsageError, match=r"make no use of mqtt\.ca and opcua\.policy\. Give a scenario without"
    ):
        choose(write(tmp_path)).check(secure, "wall", "embedded")
    text = "{{ mqtt.ca }} {{ servers[0].policy }}"
    choose(write(tmp_path, files={"a": {"text": text}})).check(secure, "wall", "embedded")


@pytest.fixture(scope="module")
def secured_fields(setup, tmp_path_factory):
    """As of a run with `secure: true`, of whatever a bridge promises."""
    folder = tmp_path_factory.mktemp("secured")
    (folder / "secure.yaml").write_text(
        yaml.safe_dump({"name": "safe", "title": "Safe", "secure": True, "duration_s": 30})
    )
    security = Security(folder)
    security.server("plc1", ["plc1"], application_uri="urn:plc1")
    (folder / "bridge").mkdir()
    site = security.site(model.set_up(folder / "secure.yaml"), folder / "bridge")
    return fields_of(site, {"plc1:4840": ("127.0.0.9", 4841), "broker:8883": ("127.0.0.1", 8884)})


@pytest.mark.parametrize("name", [name for name in shipped_bridges() if name != "external"])
def test_every_shipped_bridge_shows_what_a_secure_run_asks_for(name, secured_fields):
    found = find_bridge(name)
    fields = dataclasses.replace(secured_fields, settings=found.file.settings, folder="/f", install="/i")
    renderer = Renderer(found.file, found.marks, fields)
    renderer.command()  # raises where it shows a password
    text = "\n".join(renderer.files().values())
    for part in (fields.mqtt, fields.opcua):
        for needed in (part.certificate, part.key, part.username, part.password, part.ca):
            assert needed in text, needed
    assert fields.opcua.server_certificate in text
    assert fields.opcua.policy in text
    assert str(fields.mqtt.password) not in "\n".join(renderer.files_without_secrets().values())


def test_the_list_of_the_withdrawn_is_the_authoritys_and_empty(secured_fields):
    ca = x509.load_pem_x509_certificate(Path(secured_fields.opcua.ca).read_bytes())
    withdrawn = x509.load_pem_x509_crl(Path(secured_fields.opcua.revocation_list).read_bytes())
    assert withdrawn.is_signature_valid(ca.public_key())
    assert (withdrawn.issuer, len(withdrawn)) == (ca.subject, 0)


def test_a_secure_run_admits_a_bridge_to_what_its_file_asks_for_beside_its_promises(tmp_path, setup):
    asked = {"publish": ["v1/devices/me/#"], "subscribe": ["v1/devices/me/rpc/+"]}
    topics = choose(write(tmp_path, topics=asked)).topics
    plans = setup.plans
    security = Security(tmp_path)
    users = users_of(plans["broker"], plans.values(), setup.bridges, security, None, topics)
    access = Access(users)
    assert access.may_publish("bridge", "v1/devices/me/attributes")
    assert access.may_subscribe("bridge", "v1/devices/me/rpc/+")
    assert access.may_publish("bridge", "spBv1.0/hamburg.filling/NBIRTH/line1")  # what it promises
    assert not access.may_publish("bridge", "v1/gateway/telemetry")
    assert not access.may_subscribe("bridge", "v1/devices/me/#")
    assert not any(access.may_publish(name, "v1/devices/me/attributes") for name in users if name != "bridge")


@pytest.mark.parametrize("wrong", ["", "a/#/b", "a+/b", "a/b#"])
def test_what_is_not_a_topic_filter_is_refused_with_its_line(tmp_path, wrong):
    with pytest.raises(ConfigError, match=r"mine\.yaml:.*is not a topic filter"):
        find_bridge(write(tmp_path, topics={"publish": [wrong]}))


def test_a_bridge_that_somebody_else_starts_cannot_be_killed(setup):
    with pytest.raises(UsageError, match="cannot do that to one that it did not start"):
        choose("external").check(setup, "wall", "embedded")


def test_a_secure_run_gives_credentials_to_a_bridge_and_keeps_them_out_of_its_folder(tmp_path, setup):
    (tmp_path / "secure.yaml").write_text(yaml.safe_dump(
        {"name": "safe", "title": "Safe", "secure": True, "duration_s": 30, "warm_up_s": 5}
    ))  # fmt: skip
    security = Security(tmp_path)
    security.server("plc1", ["plc1"], application_uri="urn:plc1")
    (scratch := tmp_path / "bridge").mkdir()
    site = security.site(model.set_up(tmp_path / "secure.yaml"), scratch)
    own = security.client("bridge").at(scratch / "secrets")
    fields = fields_of(site, {"plc1:4840": ("127.0.0.9", 4841), "broker:8883": ("127.0.0.1", 8884)})
    text = "{{ mqtt.url }} {{ mqtt.username }} {{ mqtt.password }} {{ mqtt.ca }} {{ mqtt.key }} {{ opcua.password }}"
    text += " {{ opcua.policy }} {{ opcua.certificate }} {{ opcua.server_certificate }} {{ opcua.application_uri }}"
    renderer = rendered(tmp_path, fields, files={"a": {"text": text}})
    told = (
        f"mqtts://127.0.0.1:8884 bridge {own.password()} {own.ca} {own.key} {own.password()} Basic256Sha256"
    )
    told += f" {own.certificate} {scratch}/secrets/server-plc1.pem {own.application_uri}"
    assert renderer.files()["a"] == told
    assert renderer.files_without_secrets()["a"] == told.replace(own.password(), "***")
    invited = invitation(fields, 60)
    assert own.password() not in invited
    for needed in (own.password_file, own.ca, own.certificate, own.key, own.application_uri):
        assert str(needed) in invited
