"""The pytest plugin, from a project outside that has packages of its own called as ours are."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from shakedown.scenarios.testing import Lab

DOCS = Path(__file__).parents[2] / "docs" / "ci.md"
SCENARIO = """
format: 1
name: short
title: A short cut
warm_up_s: 5
duration_s: 30
drain_s: 20
may_be_inconclusive: [freshness, loss]
faults:
  - {id: cut, kind: down, target: wan, at_s: 10, for_s: 5}
"""
TESTS = """
import asyncio
import json

import bridge
import pytest
import reports


class Silent:
    def __init__(self, fields):
        pass

    async def run(self):
        await asyncio.Event().wait()


@pytest.mark.shakedown("short.yaml")
def test_passes(shakedown_run, pytestconfig):
    assert (bridge.MINE, reports.MINE) == (1, 2)
    shakedown_run.assert_pass()
    shakedown_run.assert_pass("integrity", "session")
    assert not (shakedown_run.samples().fate == "lost").any()
    shakedown_run.assert_fail()
    for check in (shakedown_run.assert_pass, shakedown_run.assert_fail):
        with pytest.raises(pytest.fail.Exception, match="'losses' was judged - did you mean 'loss'") as found:
            check("losses")
        assert not found.value.pytrace


@pytest.mark.shakedown("short.yaml")
def test_shares_the_run(shakedown_run, shakedown, request):
    assert shakedown.accept("short.yaml", beside=request.path.parent) is shakedown_run
    asked = json.loads((shakedown_run.folder / "manifest.json").read_text())
    assert asked["seed"] == shakedown_run.seed == shakedown.forced.get("seed", 0)


def test_refuses_a_silent_bridge(shakedown, request):
    run = shakedown.accept("short.yaml", bridge=Silent, beside=request.path.parent)
    assert "never born" in run.criterion("session").statement
    run.assert_pass()


@pytest.mark.shakedown("absent.yaml")
def test_of_an_absent_scenario(shakedown_run):
    pass


def test_without_a_marker(shakedown_run):
    pass


def test_mistyped(shakedown):
    shakedown.accept("wan_outage", duration_s=1e6).assert_pass("losses")


def test_inside_a_loop(shakedown):
    async def main():
        shakedown.accept("wan_outage")

    asyncio.run(main())
"""
CONFTEST = """
import pathlib
import sys


def pytest_sessionfinish(session):
    folder = pathlib.Path(__file__).parent / "loaded"
    if folder.is_dir():
        (folder / "names").write_text(" ".join(sys.modules))
"""


@pytest.fixture
def project(tmp_path):
    """A folder with packages `bridge` and `reports`, a scenario and tests."""
    for name, text in {
        "bridge/__init__.py": "MINE = 1\n",
        "reports/__init__.py": "MINE = 2\n",
        "conftest.py": CONFTEST,
        "tests/short.yaml": SCENARIO,
        "tests/test_line.py": TESTS,
        "tests/test_nothing.py": "def test_nothing():\n    pass\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def run_pytest(project, *args):
    command = [
        sys.executable,
        "-P",
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        f"--basetemp={project / 'temporary'}",
    ]
    command += ["--strict-markers", *args]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(project), "COLUMNS": "200"}
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "options",
    [
        ["--import-mode=prepend", "--shakedown-seed", "7", "--shakedown-out", "runs"],
        pytest.param(["--import-mode=importlib"], marks=pytest.mark.slow),
        pytest.param(["-n", "2", "--shakedown-out", "runs"], marks=pytest.mark.slow),
    ],
    ids=["prepend", "importlib", "xdist"],
)
def test_an_outside_project_is_judged_and_a_failure_says_what_and_where(project, options):
    found = run_pytest(project, *options)
    assert found.returncode == 1
    assert "2 failed, 3 passed, 3 errors" in found.stdout, found.stdout
    assert re.search(r"E +AssertionError: short, seed [07]: FAIL", found.stdout)
    assert re.search(r"E +FAIL  Sparkplug session: Edge node .* was never born", found.stdout)
    (report,) = re.findall(r"^E +report  (\S+)$", found.stdout, re.MULTILINE)
    assert Path(report).is_file()
    assert "usage or configuration: Scenario file absent.yaml does not exist" in found.stdout
    assert 'mark the test with @pytest.mark.shakedown("SCENARIO")' in found.stdout
    assert "there is no criterion 'losses' - did you mean 'loss'?" in found.stdout
    assert "Call accept() from a test that is not async" in found.stdout
    if "--shakedown-out" in options:
        folders = {path.name.split("-gw")[0] for path in (project / "runs").iterdir()}
        assert all(re.fullmatch(r"short-seed[07](-2)?", name) for name in folders), folders
        assert Path(report).is_relative_to(project / "runs")


def test_what_does_not_ask_for_a_run_loads_nothing_of_the_lab(project):
    (project / "loaded").mkdir()
    assert run_pytest(project, "tests/test_nothing.py").returncode == 0
    loaded = set((project / "loaded" / "names").read_text().split())
    assert "shakedown.scenarios.pytest_plugin" in loaded
    ours = {name for name in loaded if name.split(".")[0] == "shakedown"}
    assert ours == {"shakedown", "shakedown.scenarios", "shakedown.scenarios.pytest_plugin"}
    assert (
        not {"simpy", "asyncua", "pandas", "numpy", "pydantic", "msgspec", "amqtt", "paho", "rich"} & loaded
    )


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"clock": "x0"}, "'x0' is not a clock"),
        ({"seed": -1}, "Seed -1 is not 0 to 4294967295"),
        ({"bridge": "absent"}, "Unknown bridge 'absent'"),
        ({"bridge": "naive", "clock": "virtual"}, "Add --clock wall"),
        ({"broker": "mosquitto"}, "Add --clock wall"),
        ({"bridge": "thingsboard", "clock": "wall"}, "Add --broker mosquitto"),
        ({"duration_s": -3}, "-3"),
    ],
)
def test_what_cannot_be_had_fails_the_test_and_leaves_nothing(tmp_path, asked, words):
    with pytest.raises(pytest.fail.Exception, match=words):
        Lab(tmp_path / "runs", (tmp_path,)).accept("wan_outage", **asked)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_of_several_bridges_each_is_judged(tmp_path):
    run = Lab(tmp_path / "runs", (tmp_path,)).accept("two_lines", duration_s=30)
    assert set(run.bridges) == {"bridge", "bridge_b"}
    assert set(run.samples().bridge) == set(run.bridges)
    run.assert_pass("integrity", "session")
    with pytest.raises(AssertionError, match="For a verdict it needs") as found:
        run.assert_pass()
    assert str(found.value).count("report.html") == 2
    assert run.report.is_file()


@pytest.mark.slow
def test_the_ten_lines_of_the_docs(project):
    (block,) = [
        text for text in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S) if "seed=7" in text
    ]
    assert len(block.splitlines()) <= 10
    (project / "tests" / "test_docs.py").write_text(block)
    (project / "tests" / "short.yaml").rename(project / "tests" / "scenario.yaml")
    found = run_pytest(project, "tests/test_docs.py")
    assert found.returncode == 0, found.stdout
