"""`shakedown init`: what it writes passes at once, and nothing that is there is touched."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from shakedown.scenarios import model
from shakedown.scenarios.init_command import FILES

DOCS = Path(__file__).parents[2] / "docs" / "ci.md"


def test_it_writes_the_files_and_the_scenario_can_be_read(line):
    assert line.here("init", "mine").returncode == 0
    found = {
        str(p.relative_to(line.folder / "mine")) for p in (line.folder / "mine").rglob("*") if p.is_file()
    }
    assert found == set(FILES)
    assert model.set_up(line.folder / "mine" / "scenario.yaml").plant.plant == "kiosk"


@pytest.mark.parametrize("name", [".github/workflows/acceptance.yml", ".gitlab-ci.yml"])
def test_ci_runs_pytest_and_keeps_the_runs(line, name):
    line.here("init")
    text = (line.folder / name).read_text()
    assert "pytest --shakedown-out runs" in text
    assert isinstance(yaml.safe_load(text), dict)


@pytest.mark.parametrize("name", [".github/workflows/acceptance.yml", ".gitlab-ci.yml"])
def test_ci_installs_shakedown_from_the_source_that_its_variable_names(line, name):
    line.here("init")
    steps = [step.strip(" -").removeprefix("run: ") for step in (line.folder / name).read_text().splitlines()]
    clone, install = (step for step in steps if step.startswith(("git clone", "python -m pip")))
    assert install == "python -m pip install /tmp/shakedown/bridge /tmp/shakedown pytest"
    subprocess.run(["git", "init", "-q", "-b", "main", "theirs"], cwd=line.folder, check=True)
    clone = clone.replace("/tmp/shakedown", "cloned")
    for source, fails, said in (("", True, "SHAKEDOWN_SOURCE: is not set"), ("theirs", False, "")):
        environment = {"PATH": os.environ["PATH"], "SHAKEDOWN_SOURCE": source}
        done = subprocess.run(
            ["sh", "-c", clone], cwd=line.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert (bool(done.returncode), said in done.stderr) == (fails, True), done.stderr


def test_nothing_is_overwritten_and_nothing_is_half_written(line):
    (line.folder / "scenario.yaml").write_text("mine")
    found = line.here("init")
    assert found.returncode == 2
    assert "scenario.yaml exists already" in found.stderr
    assert [path.name for path in line.folder.iterdir()] == ["scenario.yaml"]
    assert (line.folder / "scenario.yaml").read_text() == "mine"


def test_a_folder_that_cannot_be_is_refused(line):
    (line.folder / "file").write_text("")
    found = line.here("init", "file/below")
    assert found.returncode == 2
    assert "Traceback" not in found.stderr


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_commands_of_the_docs_pass_at_once(line):
    (block,) = [
        text for text in re.findall(r"```\n(.*?)```", DOCS.read_text(), re.S) if "shakedown init" in text
    ]
    commands = block.splitlines()
    assert commands == ["shakedown init my-line", "cd my-line", "pytest", "shakedown accept scenario.yaml"]
    assert line.here("init", "my-line").returncode == 0
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--shakedown-strict"],
        cwd=line.folder / "my-line", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert tests.returncode == 0, tests.stdout
    accepted = line.here("accept", str(line.folder / "my-line" / "scenario.yaml"), "--seed", "1")
    assert accepted.returncode == 0, accepted.stdout
