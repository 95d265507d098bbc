"""What a person can get wrong: one paragraph with what, where and remedy, the right exit code, nothing left behind."""

import json
import re
import resource
import shutil
from importlib import resources
from pathlib import Path

import pytest
import yaml
from cli_rig import CommandLine

PLANT = Path(str(resources.files("shakedown.scenarios"))) / "plants" / "bottling"
SHORT = ("--duration", "10")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A short run that nobody may change; copy it."""
    line = CommandLine(tmp_path_factory.mktemp("finished"))
    assert line.here("accept", "wan_outage", *SHORT, "--out", "run").returncode == 3
    return line.folder / "run"


def assert_refused(line, result, *words, code=2):
    """One paragraph on standard error, no traceback, and no run, partial folder or temporary file left."""
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr
    assert not list(line.folder.glob("**/*.partial"))
    assert list(line.temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("wan_outge",), ("Unknown scenario 'wan_outge'. Did you mean 'wan_outage'? Shipped",)),
        (("no/wan_outag.yml",), ("no/wan_outag.yml does not exist. Did you mean 'wan_outage'?",)),
        (("nope",), ("Unknown scenario 'nope'", "wan_outage_fast", ".yaml")),
        (("nope.yaml",), ("nope.yaml does not exist", "shipped scenarios")),
        (("--clock", "x0"), ("'x0' is not a clock", "x60")),
        (("--clock", "x²"), ("'x²' is not a clock",)),
        (("--clock", "x٣"), ("'x٣' is not a clock",)),
        (("--duration", "nan"), ("'nan' is not a finite number", "--duration")),
        (("--duration", "inf"), ("'inf' is not a finite number",)),
        (("--seed", "-1"), ("-1 is not in the range",)),
        (("--broker", "foo"), ("--broker 'foo' is not a broker", "mqtt://127.0.0.1:1883")),
        (
            ("--broker", "mqtt://u:p@127.0.0.1:1883", "--clock", "wall"),
            ("--broker: an address must hold no user",),
        ),
        (
            ("--toxiproxy", "http://u:p@127.0.0.1:1", "--clock", "wall"),
            ("--toxiproxy: an address must hold no",),
        ),
        (("--broker", "mosquitto"), ("cannot follow clock virtual", "Add --clock wall")),
        (
            ("--broker", "mqtt://127.0.0.1:1", "--clock", "wall"),
            ("strikes the broker", "--broker mosquitto", "a copy of the scenario without broker_restart."),
        ),
        (("--toxiproxy", "http://127.0.0.1:1"), ("Add --clock wall",)),
        (("--out", "file/run"), ("file/run cannot be made", "Not a directory", "--out")),
        (("--out", "/proc/nowhere/run"), ("cannot be made", "Give another --out")),
    ],
)
def test_what_cannot_be_had_is_refused_before_anything_starts(line, args, words):
    (line.folder / "file").write_text("")
    assert_refused(line, line.here("accept", *args), *words)


@pytest.mark.parametrize("args", [("nope",), ("--seed", "-1")])
def test_a_process_of_its_own_refuses_in_the_same_words(line, args):
    result, here = line.run("accept", *args), line.here("accept", *args)
    assert_refused(line, result)
    assert (result.returncode, result.stderr) == (here.returncode, here.stderr)


def own_plant(line, name, change):
    """A scenario on a plant of one's own, whose file `name` is changed as text."""
    shutil.copytree(PLANT, line.folder / "plant")
    scenario = {
        "name": "own",
        "title": "Own",
        "plant": "plant",
        "warm_up_s": 5,
        "duration_s": 10,
        "drain_s": 5,
    }
    (line.folder / "own.yaml").write_text(yaml.safe_dump(scenario))
    file = line.folder / name
    file.write_text(change(file.read_text()))


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("own.yaml", lambda t: t + "durations_s: 3\n", ("own.yaml:7:1", "durations_s", "did you mean 'duration_s'?")),
        ("own.yaml", lambda t: t + "plant: [\n", ("own.yaml:", "not YAML")),
        ("own.yaml", lambda t: "", ("own.yaml", "is empty")),
        ("own.yaml", lambda t: t.replace("name: own", "name: Own one"),
         ("own.yaml:3:7", "name: is not a name ('Own one') - begin with a small letter")),
        ("own.yaml", lambda t: t + "overlays: shift\n", ("overlays: is a text, expected a list ('shift')",)),
        ("own.yaml", lambda t: t.replace("duration_s: 10", "duration_s: ten"), ("is not a number ('ten')",)),
        ("own.yaml", lambda t: t.replace("duration_s: 10", "duration_s: .nan"), ("is not a finite number (nan)",)),
        ("own.yaml", lambda t: t.replace("plant: plant", "plant: other"), ("plant 'other'", "bottling")),
        ("plant/site.yaml", lambda t: t.replace("from: FAH", "from: KGM", 1),
         ("plant/site.yaml:", "KGM (kg) does not convert to CEL", "same dimension")),
        ("plant/site.yaml", lambda t: t.replace("from: FAH", "from: XYZ", 1),
         ("is not a UNECE unit known here ('XYZ')",)),
        ("plant/site.yaml", lambda t: t.replace("FILLER.TT101.PV", "FILLER.TT109.PV", 1),
         ("plant/site.yaml:", "has no signal 'ns=2;s=FILLER.TT109.PV'", "did you mean 'ns=2;s=FILLER.TT10")),
        ("plant/site.yaml", lambda t: t.replace("mqtt://", "mqtts://", 1), ("plant/site.yaml:", "tls")),
        ("plant/site.yaml", lambda t: t.replace("\njournal:", "\njournall:", 1), ("did you mean 'journal'?",)),
    ],
)  # fmt: skip
def test_a_file_of_ones_own_is_refused_with_file_line_and_remedy(line, name, change, words):
    own_plant(line, name, change)
    assert_refused(line, line.here("accept", "own.yaml"), *words)


def test_several_things_wrong_with_a_site_are_told_at_once(line):
    own_plant(
        line,
        "plant/site.yaml",
        lambda t: t.replace("from: FAH", "from: KGM").replace("unit: PAL", "unit: QQQ"),
    )
    result = line.here("accept", "own.yaml")
    assert_refused(line, result)
    assert len(re.findall(r"plant/site\.yaml:\d+:\d+: ", result.stderr)) >= 3


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            ("--toxiproxy", "http://127.0.0.1:1"),
            ("no Toxiproxy server answers at http://127.0.0.1:1", "start it"),
        ),
        (("--broker", "mqtt://127.0.0.1:1"), ("MQTT broker at 127.0.0.1:1 does not answer", "--broker")),
    ],
)
@pytest.mark.wall
def test_a_server_that_does_not_answer_is_named(line, args, words):
    assert_refused(line, line.run("accept", *SHORT, "--clock", "wall", *args), "cannot be started", *words)


def test_a_run_folder_that_exists_is_kept(line):
    (line.folder / "run").mkdir()
    (line.folder / "run" / "precious").write_text("kept")
    assert_refused(line, line.here("accept", *SHORT, "--out", "run"), "run exists already", "rm -r run")
    assert (line.folder / "run" / "precious").read_text() == "kept"


@pytest.mark.slow
def test_a_file_that_may_not_grow_is_a_harness_fault_and_no_verdict(line):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    result = line.run("accept", "wan_outage", "--duration", "60", "--out", "run", preexec_fn=limit)
    assert result.returncode == 4
    assert "Traceback" not in result.stderr
    assert any(said.startswith("harness fault: ") for said in result.stderr.splitlines())
    assert "File too large" in result.stderr
    assert "ulimit -f" in result.stderr or "raise the limit" in result.stderr
    assert not (line.folder / "run").exists()
    assert not (line.folder / "run.partial" / "verdict.json").exists()
    assert (
        json.loads((line.folder / "run.partial" / "manifest.json").read_text())["status"] == "harness fault"
    )
    ledger = (line.folder / "run.partial" / "ledger.jsonl").read_bytes()
    assert b'["Z"' not in ledger
    assert list(line.temporary.iterdir()) == []
    for command in ("replay", "verify"):
        again = line.here(command, "run.partial")
        assert again.returncode != 0
        assert "harness fault" in again.stderr + again.stdout


def broken(finished, line, change):
    folder = line.folder / "copy"
    shutil.copytree(finished, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    change(folder, manifest)
    return folder


def rewritten(**facts):
    def change(folder, manifest):
        (folder / "manifest.json").write_text(json.dumps(manifest | facts))

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (rewritten(status="running"), ("'running'", "only a complete run")),
        (rewritten(clock="wall"), ("happened in the real world once", "shakedown accept")),
        (rewritten(format=99), ("format 99", "version of Shakedown that wrote it")),
        (
            lambda folder, _: (folder / "manifest.json").write_text("{"),
            ("manifest.json is not the manifest",),
        ),
        (
            lambda folder, _: (folder / "manifest.json").write_text("[]"),
            ("manifest.json is not the manifest",),
        ),
        (lambda folder, _: (folder / "manifest.json").write_text('{"format": 1}'), ("lacks status, seed",)),
        (lambda folder, _: (folder / "manifest.json").unlink(), ("is not a run folder",)),
        (lambda folder, _: (folder / "ledger.jsonl").unlink(), ("lacks ledger.jsonl", "shakedown verify")),
        (lambda folder, _: (folder / "site.yaml").unlink(), ("site.yaml",)),
    ],
)
def test_what_is_no_whole_run_is_not_replayed(line, finished, change, words):
    folder = broken(finished, line, change)
    assert_refused(line, line.here("replay", str(folder)), *words)


def test_a_run_and_its_replay_agree_and_a_changed_one_is_found(line, finished):
    again = line.here("replay", str(finished))
    assert (again.returncode, again.stdout.split(":")[0]) == (0, "identical")
    assert line.here("verify", str(finished)).returncode == 0
    folder = broken(finished, line, lambda folder, _: (folder / "verdict.json").write_text("{}"))
    result = line.here("verify", str(folder))
    assert (result.returncode, result.stdout) == (1, "verdict.json was changed\n")
